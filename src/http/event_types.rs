//! `/v1/event-types`: what may be published or read here, for programs. The pages of `/docs` tell the same to people.
//!
//! A type that is not there and one that the caller may not know look the same.

mod difference;
mod told;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::event::EventType;
use crate::problem::{Code, Problem};
use crate::publish::Validated;

use super::answer;
use super::call::Call;
use super::known::{self, About, Versions, of_known};
use super::media::{self, Media};
use super::query::{Query, RawQuery, Segments, invalid};
use super::serve::Shared;
use super::{body, publish};

/// How many types a list has that names no limit, and the most it can have.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;
/// What stands behind a type's name to have data judged.
const VALIDATE: &str = "validate";

/// The event types, by name.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["cursor", "limit"])?;
    let limit = query.number("limit", 1, PAGE_MAX)?.unwrap_or(PAGE);
    // The cursor is the last name of the page before.
    let after = match query.get("cursor") {
        None => String::new(),
        Some(name) => {
            EventType::parse(name).map_err(|_| invalid("'cursor' must be that of a page before"))?.to_string()
        }
    };
    let list = move |parts: &_, principal: &_| {
        let (types, has_more) = known::types(parts, principal, &after, limit);
        let items: Vec<Map<String, Value>> =
            types.iter().map(|(topic, known)| told::summary(topic, known)).collect();
        let cursor = types.last().filter(|_| has_more).map(|(_, known)| known.event_type.to_string());
        (items, cursor)
    };
    let (items, cursor) = of_known(&shared, call.principal()?, list).await?;
    let mut body = json!({ "eventTypes": items });
    if let (Some(cursor), Some(members)) = (cursor, body.as_object_mut()) {
        members.insert("cursor".to_owned(), cursor.into());
    }
    answer::json_of(StatusCode::OK, &body)
}

/// One event type, with all that is told of it.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    let about = About::of(&shared, call.principal()?, segments.get(0)).await?;
    match (about, segments.verb(0)) {
        (Some(about), _) => answer::json_of(StatusCode::OK, &told::whole(&about)),
        (None, Some((_, VALIDATE))) => Ok(answer::only("POST")),
        (None, _) => Err(missing()),
    }
}

/// `POST …/{eventType}:validate`: judges data and stores nothing.
pub(super) async fn act(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let Some((name, VALIDATE)) = segments.verb(0) else { return Ok(answer::only("GET")) };
    let taken = [(Media::Json, "application/json"), (Media::JsonBased, "any +json")];
    let (_, request) = media::require(request, &taken, &shared.config.limits).await?;
    let body = body::read(request.into_body(), &shared, &call).await?;
    Query::parse(query.as_deref(), &[])?;
    let principal = call.principal()?;
    let find = {
        let name = name.to_owned();
        move |parts: &_, principal: &_| known::find(parts, principal, &name)
    };
    let (topic, known) = of_known(&shared, principal, find).await?.ok_or_else(missing)?;
    let publisher = &shared.parts.publisher;
    match publisher.validate(principal, &topic.rule, &known.event_type, &body).await {
        Ok(validated) => answer::json_of(StatusCode::OK, &valid(&known.event_type, &validated)),
        Err(error) => publish::refused(&error, &call),
    }
}

/// How two versions of a type's schema differ.
pub(super) async fn difference(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["from", "to"])?;
    let principal = call.principal()?;
    let name = segments.get(0).to_owned();
    let find = move |parts: &_, principal: &_| known::find(parts, principal, &name);
    let (_, known) = of_known(&shared, principal, find).await?.ok_or_else(missing)?;
    let versions = Versions::of(&shared, principal, known.event_type.as_str()).ok_or_else(unregistered)?;
    let found = versions.difference(&shared, &query).await?;
    answer::json_of(StatusCode::OK, &difference::told(&known.event_type, &versions, &found))
}

fn valid(event_type: &EventType, validated: &Validated) -> Value {
    let mut body = json!({"valid": true, "eventType": event_type.as_str()});
    if let (Some(subject), Some(id), Some(members)) =
        (&validated.subject, validated.schema_id, body.as_object_mut())
    {
        members.insert("subject".to_owned(), (**subject).into());
        members.insert("schemaId".to_owned(), id.number().into());
    }
    body
}

fn missing() -> Problem {
    Problem::new(Code::NotFound, "there is no such event type, or nothing that you may know of it")
}

fn unregistered() -> Problem {
    Problem::new(
        Code::NotFound,
        "the registry has no versions of this type's schema, or none that you may read",
    )
}
