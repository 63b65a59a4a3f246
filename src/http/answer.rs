//! Answers: JSON bodies, problems, and the guard that knows when an answer has left.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};

use crate::problem::{Code, Problem};

use super::connection::Connection;
use super::serve::Shared;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A JSON answer from bytes already formed.
pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A JSON answer of a value.
pub(super) fn json_of(status: StatusCode, value: &impl serde::Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Problem::hidden(Code::Internal)
    })?;
    Ok(json(status, body))
}

/// A text answer of some media type.
pub(super) fn text(media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// A room's error as a problem. Faults that are not the caller's are logged here, where they are answered.
pub(super) fn problem_of<'e, E: std::error::Error>(error: &'e E) -> Problem
where
    Problem: From<&'e E>,
{
    let problem = Problem::from(error);
    match problem.code.status() {
        500 => tracing::error!(%error, "a request failed by a mistake of the gateway"),
        501.. => tracing::debug!(%error, code = problem.code.as_str(), "a request could not be served"),
        _ => {}
    }
    problem
}

/// The answer to a method that an address does not take, with those it does.
pub(super) fn only(methods: &'static str) -> Response {
    let mut response = Problem::hidden(Code::MethodNotAllowed).into_response();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// Handlers fail with problems; the front writes them, since only it knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = StatusCode::from_u16(self.code.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes a problem into its answer.
pub(super) fn write_problem(
    problem: &Problem,
    request_id: &str,
    correlation_id: Option<&str>,
    headers: &mut HeaderMap,
) -> Bytes {
    headers.insert(CONTENT_TYPE, PROBLEM);
    write_headers(problem, headers);
    problem.to_json(request_id, correlation_id).into()
}

/// Writes what goes with a problem, whatever its body looks like.
pub(super) fn write_headers(problem: &Problem, headers: &mut HeaderMap) {
    // The router measured the empty body that another one replaces.
    headers.remove(CONTENT_LENGTH);
    headers.insert(CACHE_CONTROL, NO_STORE);
    match problem.code {
        Code::Unauthenticated => add_challenges(headers, "Bearer realm=\"weirgate\""),
        Code::TokenExpired | Code::TokenInvalid => {
            add_challenges(headers, "Bearer realm=\"weirgate\", error=\"invalid_token\"");
        }
        _ => {}
    }
    if let Some(after) = wait(problem) {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

fn add_challenges(headers: &mut HeaderMap, bearer: &'static str) {
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(bearer));
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey realm=\"weirgate\""));
}

/// What a client should wait. Where the gateway as a whole refuses, up to 3 s more, so that all do not come back
/// at once.
fn wait(problem: &Problem) -> Option<Duration> {
    const SHORTEST: Duration = Duration::from_secs(1);
    if problem.code.status() == 503 {
        return Some(problem.retry_after.unwrap_or(SHORTEST) + Duration::from_secs(jitter(3)));
    }
    let is_expected = matches!(problem.code, Code::RateLimited | Code::IdempotencyInProgress);
    problem.retry_after.or_else(|| is_expected.then_some(SHORTEST))
}

/// A number from 0 to `bound`, for spreading clients.
pub(super) fn jitter(bound: u64) -> u64 {
    let random = getrandom::u64().unwrap_or_default();
    random % (bound + 1)
}

/// A body that keeps its connection and the gateway busy until it has left.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _serving: Serving,
}

impl Answer {
    /// This body; `serving` ends with it.
    pub(super) fn new(body: Body, serving: Serving) -> Self {
        Self { body, _serving: serving }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request being served: counted in its connection and in the gateway.
#[derive(Debug)]
pub(super) struct Serving {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
}

impl Serving {
    /// Counts a request in.
    pub(super) fn begin(connection: &Arc<Connection>, shared: &Arc<Shared>) -> Self {
        connection.watch().enter();
        shared.drain.enter();
        shared.metrics.in_flight.inc();
        Self { connection: Arc::clone(connection), shared: Arc::clone(shared) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.connection.watch().leave();
        self.shared.metrics.in_flight.dec();
        self.shared.drain.leave();
    }
}
