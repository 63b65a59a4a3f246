//! Pages for people and contracts for machines.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;

use crate::problem::{Code, Problem};

use super::answer;
use super::operations::html;
use super::query::Segments;
use super::serve::Shared;

/// The contract, written by hand.
pub(super) const OPENAPI_YAML: &str = include_str!("../../openapi/openapi.yaml");
/// The same as JSON; a test holds both together.
pub(super) const OPENAPI_JSON: &str = include_str!("../../openapi/openapi.json");

/// What an error code means.
pub(super) async fn problem(segments: Segments) -> Result<Response, Problem> {
    let name = segments.get(0);
    let code = Code::ALL
        .iter()
        .find(|code| code.as_str() == name)
        .ok_or_else(|| Problem::new(Code::NotFound, "there is no such problem"))?;
    let retry = if code.is_retryable() {
        "The same request may succeed later."
    } else {
        "The same request will fail again."
    };
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <body style=\"font-family:system-ui;max-width:40em;margin:3em auto;padding:0 1em\">\
         <h1>{title}</h1><p><code>{name}</code>, status {status}</p><p>{meaning}</p><p>{retry}</p>",
        title = code.title(),
        status = code.status(),
        meaning = code.meaning(),
    );
    let mut response = html(page);
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    response.headers_mut().insert("content-security-policy", policy);
    Ok(response)
}

/// The contract.
pub(super) async fn openapi_yaml() -> Response {
    answer::text("application/yaml", OPENAPI_YAML)
}

/// The contract as JSON.
pub(super) async fn openapi_json() -> Response {
    answer::text("application/json", OPENAPI_JSON)
}

/// The playground, in dev mode.
pub(super) async fn front(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    match &shared.parts.front_page {
        Some(page) => Ok(html(page.to_string())),
        None => Err(Problem::hidden(Code::NotFound)),
    }
}
