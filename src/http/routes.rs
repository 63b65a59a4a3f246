//! Every route, on one page. `front` has checked id, limits and credential before any of them runs.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{MethodRouter, get, post};
use http::header::EXPECT;

use crate::problem::{Code, Problem};

use super::registry::{schemas, settings, subjects};
use super::serve::Shared;
use super::{
    asyncapi, body, dead_letters, docs, event_types, groups, operations, pages, publish, read, redrives,
    replays, upgrade,
};

type Route = MethodRouter<Arc<Shared>>;

/// The routes: path and methods.
pub(super) fn table() -> Vec<(&'static str, Route)> {
    vec![
        ("/v1/events", post(publish::events)),
        ("/v1/topics/{topic}/events", get(read::events).post(publish::topic_events)),
        ("/v1/topics/{topic}/events/{partition}/{offset}", get(read::event)),
        ("/v1/topics/{topic}/cursor", get(read::cursor)),
        ("/v1/stream", get(upgrade::stream)),
        ("/v1/event-types", get(event_types::list)),
        ("/v1/event-types/{eventType}", get(event_types::one).post(event_types::act)),
        ("/v1/event-types/{eventType}/diff", get(event_types::difference)),
        ("/v1/groups", get(groups::list)),
        ("/v1/groups/{group}", get(groups::one).put(groups::put).delete(groups::delete).post(groups::act)),
        ("/v1/groups/{group}/dead-letters", get(dead_letters::list)),
        ("/v1/groups/{group}/dead-letters/{id}", get(dead_letters::one).post(dead_letters::act)),
        ("/v1/dead-letters", get(dead_letters::counts)),
        ("/v1/groups/{group}/redrives", get(redrives::list).post(redrives::begin)),
        ("/v1/redrives/{id}", get(redrives::one).post(redrives::act)),
        ("/v1/groups/{group}/replays", get(replays::list).post(replays::begin)),
        ("/v1/replays/{id}", get(replays::one).post(replays::act)),
        ("/v1/whoami", get(operations::whoami)),
        ("/v1/tickets", post(operations::ticket)),
        ("/v1/admin/config", get(operations::config)),
        ("/v1/admin/reload", post(operations::reload)),
        ("/livez", get(operations::livez)),
        ("/readyz", get(operations::readyz)),
        ("/problems/{code}", get(pages::problem)),
        ("/openapi.yaml", get(pages::openapi_yaml)),
        ("/openapi.json", get(pages::openapi_json)),
        ("/asyncapi.yaml", get(asyncapi::yaml)),
        ("/asyncapi.json", get(asyncapi::json)),
        ("/docs", get(docs::catalogue)),
        ("/docs/types/{eventType}", get(docs::event_type)),
        ("/docs/types/{eventType}/versions", get(docs::versions)),
        ("/docs/types/{eventType}/schema", get(docs::schema)),
        ("/docs/http", get(docs::http_api)),
        ("/docs/events", get(docs::events)),
        ("/docs/assets/{name}", get(docs::asset)),
        ("/", get(pages::front)),
    ]
}

/// The routes of the schema registry, where it is below `/registry`.
fn registry() -> Vec<(&'static str, Route)> {
    vec![
        ("/registry/subjects", get(subjects::list)),
        ("/registry/subjects/{subject}", post(subjects::look_up).delete(subjects::delete)),
        ("/registry/subjects/{subject}/versions", get(subjects::versions).post(subjects::register)),
        (
            "/registry/subjects/{subject}/versions/{version}",
            get(subjects::version).delete(subjects::delete_version),
        ),
        ("/registry/subjects/{subject}/versions/{version}/schema", get(subjects::text)),
        ("/registry/subjects/{subject}/versions/{version}/referencedby", get(subjects::referrers)),
        ("/registry/compatibility/subjects/{subject}/versions", post(subjects::check)),
        ("/registry/compatibility/subjects/{subject}/versions/{version}", post(subjects::check_version)),
        ("/registry/schemas", get(schemas::list)),
        ("/registry/schemas/types", get(schemas::types)),
        ("/registry/schemas/ids/{id}", get(schemas::by_id)),
        ("/registry/schemas/ids/{id}/schema", get(schemas::text)),
        ("/registry/schemas/ids/{id}/subjects", get(schemas::subjects)),
        ("/registry/schemas/ids/{id}/versions", get(schemas::versions)),
        ("/registry/schemas/guids/{guid}", get(schemas::by_guid)),
        ("/registry/schemas/guids/{guid}/ids", get(schemas::ids)),
        ("/registry/config", get(settings::config).put(settings::put_config).delete(settings::delete_config)),
        (
            "/registry/config/{subject}",
            get(settings::config).put(settings::put_config).delete(settings::delete_config),
        ),
        ("/registry/mode", get(settings::mode).put(settings::put_mode).delete(settings::delete_mode)),
        (
            "/registry/mode/{subject}",
            get(settings::mode).put(settings::put_mode).delete(settings::delete_mode),
        ),
        ("/registry/contexts", get(settings::contexts)),
        ("/registry/v1/metadata/id", get(settings::cluster)),
        ("/registry/v1/metadata/version", get(settings::release)),
        ("/registry/associations/resources/{namespace}/{name}", get(settings::associations)),
    ]
}

/// The routes as a service.
pub(super) fn router(shared: &Arc<Shared>) -> Router {
    let own = table().into_iter().map(|(path, route)| (path.to_owned(), route));
    let registry =
        registry().into_iter().map(|(path, route)| (shared.config.registry_path.place(path), route));
    own.chain(registry)
        .fold(Router::new(), |router, (path, route)| router.route(&path, route))
        .route(docs::SLASHED, get(docs::unslashed))
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
