//! Every route, on one page. `front` has checked id, limits and credential before any of them runs.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{MethodRouter, get, post};
use http::header::EXPECT;

use crate::problem::{Code, Problem};

use super::serve::Shared;
use super::{body, groups, operations, pages, publish, read, upgrade};

type Route = MethodRouter<Arc<Shared>>;

/// The routes: path and methods.
pub(super) fn table() -> Vec<(&'static str, Route)> {
    vec![
        ("/v1/events", post(publish::events)),
        ("/v1/topics/{topic}/events", get(read::events).post(publish::topic_events)),
        ("/v1/topics/{topic}/events/{partition}/{offset}", get(read::event)),
        ("/v1/topics/{topic}/cursor", get(read::cursor)),
        ("/v1/stream", get(upgrade::stream)),
        ("/v1/groups", get(groups::list)),
        ("/v1/groups/{group}", get(groups::one).put(groups::put)),
        ("/v1/groups/{group}/dead-letters", get(groups::dead_letters)),
        ("/v1/whoami", get(operations::whoami)),
        ("/v1/tickets", post(operations::ticket)),
        ("/v1/admin/config", get(operations::config)),
        ("/v1/admin/reload", post(operations::reload)),
        ("/livez", get(operations::livez)),
        ("/readyz", get(operations::readyz)),
        ("/problems/{code}", get(pages::problem)),
        ("/openapi.yaml", get(pages::openapi_yaml)),
        ("/openapi.json", get(pages::openapi_json)),
        ("/", get(pages::front)),
    ]
}

/// The routes as a service.
pub(super) fn router(shared: &Arc<Shared>) -> Router {
    table()
        .into_iter()
        .fold(Router::new(), |router, (path, route)| router.route(path, route))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::clone(shared))
}

async fn not_found(State(shared): State<Arc<Shared>>, request: Request) -> Problem {
    discard(&shared, request).await;
    Problem::hidden(Code::NotFound)
}

async fn method_not_allowed(State(shared): State<Arc<Shared>>, request: Request) -> Problem {
    discard(&shared, request).await;
    Problem::hidden(Code::MethodNotAllowed)
}

async fn discard(shared: &Shared, request: Request) {
    let is_awaiting = request.headers().contains_key(EXPECT);
    body::discard(request.into_body(), is_awaiting, &shared.config.limits).await;
}
