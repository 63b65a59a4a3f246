//! `/docs`: pages that tell people what may be published and read here, and how.
//!
//! Pages are written by the server from what is in force and what the reader's grants allow, and can be read without a
//! script; scripts and styles are files of our own, since the policy of every page allows nothing else. A reader without a
//! credential is told how to give one: the page's script keeps it in the tab and sends it as a header, never in a URL.
//!
//! ```text
//! request ── reader (principal; in dev mode this machine's own) ── known ── list | event_type | … ── page ── answer
//! ```

mod activity;
mod asset;
mod event_type;
mod events;
mod fields;
mod http_api;
mod list;
mod page;
mod reader;
mod rules;
mod snippet;
mod versions;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_DISPOSITION, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::problem::{Code, Problem};

use super::call::Call;
use super::known::{self, About, Versions, of_known};
use super::query::{Query, RawQuery, Segments};
use super::serve::Shared;
use super::{answer, asyncapi};

use page::{Here, Page};
pub(super) use reader::{Reader, Visitor};

/// Whether a path is of the docs, which answer everybody, though not with the same.
pub(super) fn holds(path: &str) -> bool {
    path == "/docs" || path.starts_with("/docs/")
}

/// The catalogue's address as some write it.
pub(super) const SLASHED: &str = "/docs/";

/// Leads to the catalogue.
pub(super) async fn unslashed(RawQuery(query): RawQuery) -> Response {
    let location = query.map_or_else(|| "/docs".to_owned(), |query| format!("/docs?{query}"));
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response()
}

/// Writes a problem as a page into its answer.
pub(super) fn write_problem(problem: &Problem, request_id: &str, headers: &mut HeaderMap) -> Bytes {
    page::write_problem(problem, request_id, headers)
}

/// The catalogue of event types.
pub(super) async fn catalogue(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["q"])?;
    let Visitor { principal, reader, .. } = visitor;
    let wanted = query.get("q").unwrap_or_default().trim().to_owned();
    let list = move |parts: &_, principal: &_| list::body(&known::topics(parts, principal), &wanted);
    let body = of_known(&shared, &principal, list).await?;
    Ok(Page { title: "Event types", here: Here::Types, reader: &reader, body }.respond(StatusCode::OK))
}

/// One event type.
pub(super) async fn event_type(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    segments: Segments,
) -> Result<Response, Problem> {
    let Visitor { principal, reader, origin } = visitor;
    let Some(about) = About::of(&shared, &principal, segments.get(0)).await? else {
        return Ok(page::missing(&reader, "There is no such event type, or you may not see it."));
    };
    let now = shared.parts.clock.now();
    let body = of_known(&shared, &principal, move |_, _| event_type::body(&about, &origin, now)).await?;
    Ok(Page { title: segments.get(0), here: Here::Types, reader: &reader, body }.respond(StatusCode::OK))
}

/// How the versions of an event type's schema differ.
pub(super) async fn versions(
    State(shared): State<Arc<Shared>>,
    visitor: Visitor,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["from", "to"])?;
    let Visitor { principal, reader, .. } = visitor;
    let name = segments.get(0).to_owned();
    let find = move |parts: &_, principal: &_| known::find(parts, principal, &name);
    let known = of_known(&shared, &principal, find).await?.map(|(_, known)| known);
    let versions = known.as_ref().and_then(|_| Versions::of(&shared, &principal, segments.get(0)));
    let (Some(known), Some(versions)) = (known, versions) else {
        return Ok(page::missing(&reader, "The registry has no versions of it, or you may not see them."));
    };
    let difference = versions.difference(&shared, &query).await?;
    let body = versions::body(&known.event_type, &versions.all, &difference);
    Ok(Page { title: "Versions", here: Here::Types, reader: &reader, body }.respond(StatusCode::OK))
}

/// The HTTP API, with every operation to be tried.
pub(super) async fn http_api(State(shared): State<Arc<Shared>>, visitor: Visitor) -> Response {
    let body = http_api::body(&shared.config.registry_path.place("/registry"));
    Page { title: "HTTP API", here: Here::Http, reader: &visitor.reader, body }.respond(StatusCode::OK)
}

/// The AsyncAPI document as a page.
pub(super) async fn events(State(shared): State<Arc<Shared>>, visitor: Visitor) -> Result<Response, Problem> {
    let Visitor { principal, reader, origin } = visitor;
    let body = asyncapi::page(&shared, &principal, origin, events::body).await?;
    let title = "Events and the socket";
    Ok(Page { title, here: Here::Events, reader: &reader, body }.respond(StatusCode::OK))
}

/// The schema of an event type, with all that it refers to, as a file.
pub(super) async fn schema(
    State(shared): State<Arc<Shared>>,
    call: Call,
    reader: Reader,
    segments: Segments,
) -> Result<Response, Problem> {
    let principal = match reader.principal() {
        Some(principal) => principal,
        None => call.principal()?,
    };
    let name = segments.get(0).to_owned();
    let find = move |parts: &_, principal: &_| known::find(parts, principal, &name);
    let known = of_known(&shared, principal, find).await?.map(|(_, known)| known);
    let contract = known.and_then(|known| known.contract).ok_or_else(|| Problem::hidden(Code::NotFound))?;
    let mut response = answer::text("application/schema+json", format!("{:#}\n", contract.standing_alone()));
    let name = contract.subject.chars().map(|letter| if is_plain(letter) { letter } else { '_' });
    let disposition = format!("attachment; filename=\"{}.json\"", name.collect::<String>());
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// A style, script or image of the pages.
pub(super) async fn asset(segments: Segments, headers: HeaderMap) -> Result<Response, Problem> {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    asset::respond(segments.get(0), accepted).ok_or_else(|| Problem::hidden(Code::NotFound))
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-')
}
