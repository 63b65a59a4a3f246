//! `GET /asyncapi.json` and `.yaml`: what this gateway does now, as far as the caller may know it.
//!
//! ```text
//! asyncapi-base.yaml (the socket, by hand) ─┐
//! catalogue, topics, schemas, groups ──── Known ── document ── rendered (kept for the next) ── ETag
//! the caller's grants ──────────────────────┘
//! ```

mod document;
mod known;
mod message;
mod relocate;
mod rendered;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use crate::auth::Principal;
use crate::problem::{Code, Problem};

use self::known::{Known, View};
pub(super) use self::rendered::Kept;
use self::rendered::{Form, Rendered};
use super::call::Call;
use super::origin::Origin;
use super::query::{Query, RawQuery, invalid};
use super::serve::Shared;

/// The document as JSON.
pub(super) async fn json(
    shared: State<Arc<Shared>>,
    call: Call,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&shared, &call, &query, &headers, Form::Json).await
}

/// The document as YAML.
pub(super) async fn yaml(
    shared: State<Arc<Shared>>,
    call: Call,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&shared, &call, &query, &headers, Form::Yaml).await
}

/// Something made of the document as the caller may know it.
pub(super) async fn page<T: Send + 'static>(
    shared: &Arc<Shared>,
    principal: &Arc<Principal>,
    origin: Origin,
    make: impl FnOnce(&Value) -> T + Send + 'static,
) -> Result<T, Problem> {
    let (shared, principal) = (Arc::clone(shared), Arc::clone(principal));
    off_thread(move || {
        let registry = shared.config.registry_path.place("/registry");
        let known = Known::gather(&shared.parts, &principal, (origin, registry), View::Gateway);
        make(&document::document(&known))
    })
    .await
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "the AsyncAPI document could not be made");
        Problem::hidden(Code::Internal)
    })
}

async fn answer(
    shared: &Arc<Shared>,
    call: &Call,
    RawQuery(query): &RawQuery,
    headers: &HeaderMap,
    form: Form,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["view"])?;
    let view = match query.get("view") {
        None | Some("gateway") => View::Gateway,
        Some("client") => View::Client,
        Some(_) => return Err(invalid("'view' must be gateway or client")),
    };
    let origin = Origin::of(shared, call, headers);
    let registry = shared.config.registry_path.place("/registry");
    let principal = Arc::clone(call.principal()?);
    let work = {
        let shared = Arc::clone(shared);
        move || {
            let known = Known::gather(&shared.parts, &principal, (origin, registry), view);
            shared.asyncapi.render(known, form)
        }
    };
    let rendered = off_thread(work).await?;
    Ok(respond(&rendered, headers))
}

fn respond(rendered: &Rendered, headers: &HeaderMap) -> Response {
    let is_known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == rendered.etag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(rendered.body.clone().into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(rendered.form.media_type()));
        response
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&rendered.etag) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Authorization, X-Api-Key"));
    response
}
