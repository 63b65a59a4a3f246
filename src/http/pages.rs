//! Pages for people and contracts for machines.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST};
use http::{HeaderMap, HeaderValue};

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

/// The playground, in dev mode. It holds a token, so it is given to pages of this machine's own name alone: a foreign
/// name that was made to point here would read it as its own page.
pub(super) async fn front(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page = shared.parts.front_page.as_ref().ok_or_else(|| Problem::hidden(Code::NotFound))?;
    if !headers.get(HOST).and_then(|host| host.to_str().ok()).is_some_and(is_loopback) {
        return Err(Problem::new(
            Code::BadRequest,
            "the playground is at http://127.0.0.1 or http://localhost",
        ));
    }
    let mut response = html(page());
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                  img-src data:; frame-ancestors 'none'";
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Whether a request's `Host` is this machine's own name.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost")
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machines_own_names_are_loopback() {
        for own in ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.0.0.2"] {
            assert!(is_loopback(own), "{own}");
        }
        for foreign in ["evil.example:8080", "localhost.evil.example", "10.0.0.1", "", "[::2]:80"] {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }
}
