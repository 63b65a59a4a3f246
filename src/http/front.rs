//! The one layer before the routes: id, limits, drain, preflight, credential; and after them: problems, headers,
//! metrics. The order of its checks is the one at the top of the API's description.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, ORIGIN, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use hyper::body::Incoming;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::auth::{Credential, Principal};
use crate::problem::{Code, Problem};

use super::answer::{Answer, Serving, problem_of, write_problem};
use super::call::{Call, CorrelationId};
use super::connection::Connection;
use super::drain::Phase;
use super::metrics::Metrics;
use super::serve::Shared;
use super::{body, credential, docs, head, media, registry};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// What a page may read of an answer.
const EXPOSED: &str = "x-request-id, x-correlation-id, retry-after, ratelimit, ratelimit-policy, \
                       idempotency-replayed, location";

/// Answers one request.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    router: &Router,
    connection: &Arc<Connection>,
    request: Request<Incoming>,
) -> Result<http::Response<Answer>, Infallible> {
    let began = Instant::now();
    let serving = Serving::begin(connection, shared);
    let (parts, body) = request.into_parts();
    let body = Body::new(body);
    let id = shared.request_ids.next();
    let tongue = Tongue::of(shared, parts.uri.path(), &parts.headers);
    let origin = allowed_origin(shared, &parts);
    let correlation_id = correlation_id(&parts.headers);
    let peer = head::client_address(&shared.admission, connection.peer(), &parts.headers);
    let head =
        head::check_framing(connection).and_then(|()| head::check(&parts, &shared.config.limits.load()));
    let version = parts.version;
    let is_doubtful = head.as_ref().is_err_and(|problem| problem.code == Code::BadRequest);
    let checked = match head {
        Ok(()) => check(shared, connection, &parts).await,
        Err(problem) => Err(problem),
    };
    let (call, response) = match checked {
        Ok(Passed::Preflight) => {
            let call = Call::new(id, correlation_id, None, peer, Arc::clone(connection));
            (call, preflight(&parts.headers, origin.is_some()))
        }
        Ok(Passed::Caller(principal)) => {
            let call = Call::new(id, correlation_id, principal, peer, Arc::clone(connection));
            let request = Request::from_parts(parts, body);
            let response = route(&shared.metrics, router, &call, request).await;
            (call, response)
        }
        Err(problem) => {
            let call = Call::new(id, correlation_id, None, peer, Arc::clone(connection));
            let is_awaiting = parts.headers.contains_key(EXPECT);
            body::discard(body, is_awaiting, &shared.config.limits).await;
            (call, problem.into_response())
        }
    };
    let mut response = finish(shared, &call, response, origin, (version, tongue));
    if is_doubtful && version < Version::HTTP_2 {
        // Whoever sent such a head may mean something else by what follows.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    shared.metrics.answered(call.route(), response.status().as_str(), began.elapsed());
    Ok(response.map(|body| Answer::new(body, serving)))
}

/// How a path tells what went wrong.
#[derive(Debug, Clone, Copy)]
enum Tongue {
    /// By problems.
    Own,
    /// By a page, since a browser asked for one.
    Page,
    /// As clients of a schema registry know it.
    Registry,
}

impl Tongue {
    fn of(shared: &Shared, path: &str, headers: &HeaderMap) -> Self {
        if shared.config.registry_path.holds(path) {
            Self::Registry
        } else if docs::holds(path) && media::prefers_page(headers) {
            Self::Page
        } else {
            Self::Own
        }
    }
}

/// What the checks before the routes let through.
enum Passed {
    Preflight,
    Caller(Option<Arc<Principal>>),
}

async fn check(shared: &Arc<Shared>, connection: &Connection, parts: &Parts) -> Result<Passed, Problem> {
    let path = parts.uri.path();
    let is_probe = matches!(path, "/livez" | "/readyz");
    if shared.drain.phase() >= Phase::Refusing && !is_probe {
        return Err(Problem::hidden(Code::Draining));
    }
    if parts.method == Method::OPTIONS {
        return Ok(Passed::Preflight);
    }
    let is_public =
        is_probe || path.starts_with("/problems/") || (path == "/" && shared.parts.front_page.is_some());
    // The socket takes its credential in other ways too, and answers a page's bad one after the upgrade.
    if is_public || path == "/v1/stream" {
        return Ok(Passed::Caller(None));
    }
    let query = parts.uri.query().unwrap_or_default();
    credential::refuse_in_url(query)?;
    let is_ticket_route = parts.method == Method::GET && path.starts_with("/v1/topics/");
    let ticket = credential::ticket_of(query).filter(|_| is_ticket_route);
    let found = match (credential::from_headers(&parts.headers)?, ticket) {
        (Some(_), Some(_)) => {
            return Err(Problem::new(Code::BadRequest, "send one credential: a header or a ticket"));
        }
        (Some(credential), None) => credential,
        (None, Some(ticket)) => Credential::Ticket(ticket),
        (None, None) => match connection.credential() {
            Some(credential) => credential,
            // What they tell depends on who asks, and tells nobody nothing.
            None if docs::holds(path) => return Ok(Passed::Caller(None)),
            None => return Err(Problem::new(Code::Unauthenticated, "send a bearer token or an API key")),
        },
    };
    let principal =
        shared.parts.authenticator.authenticate(found).await.map_err(|error| problem_of(&error))?;
    Ok(Passed::Caller(Some(principal)))
}

/// A panic in a handler ends its request only.
async fn route(metrics: &Metrics, router: &Router, call: &Call, mut request: Request<Body>) -> Response {
    request.extensions_mut().insert(call.clone());
    match AssertUnwindSafe(router.clone().oneshot(request)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Err(_) => {
            metrics.panics.inc();
            tracing::error!(request.id = call.id(), route = call.route(), "a handler panicked");
            Problem::hidden(Code::Internal).into_response()
        }
    }
}

fn finish(
    shared: &Shared,
    call: &Call,
    mut response: Response,
    origin: Option<HeaderValue>,
    (version, tongue): (Version, Tongue),
) -> Response {
    // HTTP/2 has no such header; its connections are told otherwise.
    let is_http1 = version < Version::HTTP_2;
    let mut must_close = shared.drain.phase() >= Phase::Leaving || call.connection().is_unread();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        if problem.code == Code::Internal {
            tracing::error!(
                request.id = call.id(),
                route = call.route(),
                "request failed by a mistake of the gateway"
            );
        }
        // What is left of such a body is not read any more.
        must_close |=
            matches!(problem.code, Code::BodyTooLarge | Code::RequestTimeout | Code::HeadersTooLarge);
        // The router has counted the empty body it saw.
        response.headers_mut().remove(CONTENT_LENGTH);
        let headers = response.headers_mut();
        let body = match tongue {
            Tongue::Own => write_problem(&problem, call.id(), call.correlation_id(), headers),
            Tongue::Page => docs::write_problem(&problem, call.id(), headers),
            Tongue::Registry => {
                let (status, body) = registry::write_problem(&problem, headers);
                *response.status_mut() = status;
                body
            }
        };
        *response.body_mut() = Body::from(body);
    }
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(call.id()) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(Ok(id)) = call.correlation_id().map(HeaderValue::from_str) {
        headers.insert(CORRELATION_ID, id);
    }
    if let Some(origin) = origin {
        headers.insert("access-control-allow-origin", origin);
        headers.insert("access-control-expose-headers", HeaderValue::from_static(EXPOSED));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    if must_close && !is_upgrade && is_http1 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The `Origin`, where it may read our answers.
fn allowed_origin(shared: &Shared, parts: &Parts) -> Option<HeaderValue> {
    if !parts.uri.path().starts_with("/v1/") {
        return None;
    }
    let origin = parts.headers.get(ORIGIN)?;
    let text = origin.to_str().ok()?;
    shared.config.allowed_origins.iter().any(|pattern| pattern.matches(text)).then(|| origin.clone())
}

fn preflight(headers: &HeaderMap, is_allowed: bool) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if is_allowed {
        let answer = response.headers_mut();
        answer.insert("access-control-allow-methods", HeaderValue::from_static("GET, POST, PUT, DELETE"));
        answer.insert("access-control-max-age", HeaderValue::from_static("600"));
        if let Some(wanted) = headers.get("access-control-request-headers") {
            answer.insert("access-control-allow-headers", wanted.clone());
        }
    }
    response
}

fn correlation_id(headers: &HeaderMap) -> CorrelationId {
    let Some(value) = headers.get(CORRELATION_ID) else { return Ok(None) };
    match value.to_str() {
        // It becomes the envelope's member, and so obeys its rule.
        Ok(text) if (1..=128).contains(&text.len()) && !text.contains('\t') => Ok(Some(text.into())),
        _ => Err(Problem::new(
            Code::InvalidParameter,
            "X-Correlation-Id must be 1 to 128 visible ASCII characters",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use http::Request;
    use tokio_util::task::TaskTracker;

    use super::super::admission::Admission;
    use super::super::metrics::Metrics;
    use super::super::{Limits, LiveLimits};
    use super::{Call, Connection, route};
    use crate::problem::{Code, Problem};
    use crate::telemetry::Registry;

    #[tokio::test]
    async fn a_panic_ends_its_request_only() {
        let metrics = Metrics::register(&Registry::new());
        let admission =
            Arc::new(Admission::new(LiveLimits::new(Limits::for_tests()), vec![], metrics.clone()));
        let peer = "127.0.0.1".parse().unwrap();
        let permit = admission.admit(peer).unwrap();
        let connection = Arc::new(Connection::new(peer, permit, TaskTracker::new()));
        let router = Router::new()
            .route("/panics", get(async || -> &'static str { panic!("a mistake") }))
            .route("/works", get(async || "fine"));
        let call = Call::new("r-1".into(), Ok(None), None, peer, connection);
        let ask = |path: &str| Request::get(path).body(Body::empty()).unwrap();
        let failed = route(&metrics, &router, &call, ask("/panics")).await;
        assert_eq!(failed.extensions().get::<Problem>().unwrap().code, Code::Internal);
        assert_eq!(metrics.panics.get(), 1);
        assert_eq!(route(&metrics, &router, &call, ask("/works")).await.status(), 200);
    }
}
