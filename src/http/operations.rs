//! Routes for operators, and for callers about themselves.

use std::convert::Infallible;
use std::fmt;
use std::net::TcpListener;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;

use crate::auth::{Object, Operation};
use crate::log::Health;
use crate::problem::{Code, Problem};
use crate::publish::Memory;

use super::answer::{self, problem_of};
use super::audit::{self, Act};
use super::call::Call;
use super::drain::Phase;
use super::query::{Query, RawQuery};
use super::serve::Shared;
use super::{ReloadError, Reloaded};

/// The process answers.
pub(super) async fn livez() -> Response {
    answer::json(StatusCode::OK, r#"{"alive":true}"#)
}

/// Whether traffic should come here.
pub(super) async fn readyz(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let mut reasons = Vec::new();
    if shared.drain.phase() > Phase::Serving {
        reasons.push(json!({"part": "gateway", "detail": "draining"}));
    }
    if let Health::Unready { summary, detail } = shared.parts.log.health() {
        // An operator's words may name brokers or paths: they go to the log, not to whoever asks.
        tracing::debug!(%detail, "the log is not ready");
        reasons.push(json!({"part": "log", "detail": summary}));
    }
    if !shared.parts.delivery.is_ready() {
        reasons.push(json!({"part": "groups", "detail": "the groups' policies are being loaded"}));
    }
    if !shared.parts.delivery.has_dead_letter_states() {
        reasons
            .push(json!({"part": "dead-letters", "detail": "the states of dead letters are being loaded"}));
    }
    if !shared.parts.judged_by.are_ready() {
        reasons.push(json!({"part": "schemas", "detail": "the schema registry is being loaded"}));
    }
    let memory = shared.parts.publisher.memory();
    if memory == Memory::Loading {
        reasons.push(
            json!({"part": "idempotency", "detail": "the ids of events stored before are being loaded"}),
        );
    }
    let is_ready = reasons.is_empty();
    if memory == Memory::Late {
        let detail = "the ids of events stored before cannot be loaded; repeats of those are stored again";
        reasons.push(json!({"part": "idempotency", "detail": detail}));
    }
    // To send traffic elsewhere would help nobody: other gateways ask the same registry.
    if !shared.parts.judged_by.are_reachable() {
        let detail = "the schema registry cannot be asked; the schemas that are known go on";
        reasons.push(json!({"part": "schemas", "detail": detail}));
    }
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json_of(status, &json!({"ready": is_ready, "reasons": reasons}))
}

/// Who calls, and what they may do.
pub(super) async fn whoami(
    State(shared): State<Arc<Shared>>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    let principal = call.principal()?;
    let mut body = json!({
        "principal": principal.id(),
        "grants": shared.parts.authenticator.grants_of(principal),
    });
    if let (Some(end), Some(members)) = (principal.expires_at(), body.as_object_mut()) {
        let left = end.millis().saturating_sub(shared.parts.clock.now().millis()).max(0);
        members.insert("expiresInMs".to_owned(), left.into());
    }
    answer::json_of(StatusCode::OK, &body)
}

/// A ticket for clients that cannot send headers.
pub(super) async fn ticket(
    State(shared): State<Arc<Shared>>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    let ticket =
        shared.parts.authenticator.issue_ticket(call.principal()?).map_err(|error| problem_of(&error))?;
    let expires_in = u64::try_from(ticket.expires_in.as_millis()).unwrap_or(u64::MAX);
    let body = json!({"ticket": ticket.text, "expiresInMs": expires_in});
    let mut response = answer::json_of(StatusCode::CREATED, &body)?;
    response.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The configuration, secrets hidden.
pub(super) async fn config(
    State(shared): State<Arc<Shared>>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    require_admin(&shared, &call)?;
    Query::parse(query.as_deref(), &[])?;
    answer::json_of(StatusCode::OK, &(shared.parts.config_view)())
}

/// Reads the configuration again.
pub(super) async fn reload(
    State(shared): State<Arc<Shared>>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    require_admin(&shared, &call)?;
    Query::parse(query.as_deref(), &[])?;
    audit::tell(&shared, &call, Act::Reload).await?;
    let reload = Arc::clone(&shared.parts.reload);
    match tokio::task::spawn_blocking(move || reload()).await {
        Ok(Ok(Reloaded { kept })) => {
            answer::json_of(StatusCode::OK, &json!({"reloaded": true, "kept": kept}))
        }
        Ok(Err(error @ ReloadError::Refused(_))) => Err(Problem::new(Code::Conflict, error.to_string())),
        Ok(Err(ReloadError::Log(error))) => Err(problem_of(&error)),
        Err(error) => {
            tracing::error!(%error, "reload panicked");
            Err(Problem::hidden(Code::Internal))
        }
    }
}

fn require_admin(shared: &Shared, call: &Call) -> Result<(), Problem> {
    let access = shared.parts.authenticator.authorize(call.principal()?, Operation::Admin, Object::Nothing);
    access.map(drop).map_err(|error| problem_of(&error))
}

/// Serves `/metrics` on a listener of its own.
pub(super) async fn serve_metrics(shared: Arc<Shared>, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return report(&error),
    };
    let places = Arc::new(tokio::sync::Semaphore::new(64));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                report(&error);
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = metrics(&shared, &request);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(shared_header_timeout());
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                tracing::trace!(%error, "metrics connection ended");
            }
            drop(place);
        });
    }
}

/// A scraper keeps its connection for at most this long between scrapes.
const fn shared_header_timeout() -> std::time::Duration {
    std::time::Duration::from_secs(75)
}

fn metrics(shared: &Shared, request: &Request<Incoming>) -> http::Response<Full<bytes::Bytes>> {
    let found = match (request.method() == Method::GET, request.uri().path()) {
        (true, "/metrics") => Some(shared.parts.registry.render()),
        _ => None,
    };
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = http::Response::new(Full::from(found.unwrap_or_default()));
    *response.status_mut() = status;
    let media_type = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, media_type);
    response
}

fn report(error: &dyn fmt::Display) {
    tracing::warn!(%error, "cannot accept a connection for metrics");
}

/// An HTML page.
pub(super) fn html(text: impl Into<Body>) -> Response {
    answer::text("text/html; charset=utf-8", text)
}
