//! Dead letters: what there are, what is in one, and what is to become of it.
//!
//! A caller with grants on some of a group's topics sees their letters alone; one that lies elsewhere is not there.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::auth::{Object, Operation, Principal};
use crate::delivery::{
    self, DeadLetterFilter, DeadLetterId, DeadLetterQuery, DeadLetterState, REASONS, Standing,
};
use crate::event::{GroupName, Timestamp, Topic};
use crate::problem::{Code, Problem};

use super::answer::{self, problem_of};
use super::audit::{self, Act};
use super::call::Call;
use super::query::{Query, RawQuery, Segments, invalid};
use super::serve::Shared;
use super::{body, media};

/// How many letters, or counts, a list has that names no limit, and the most it can have.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;
/// What may stand behind a letter's id.
const ANNOTATE: &str = "annotate";
const DISCARD: &str = "discard";
const REDRIVE: &str = "redrive";

/// What is to become of a letter.
#[derive(Debug)]
enum Wanted {
    /// It gets this note.
    Annotate(String),
    /// It is unneeded.
    Discard,
    /// It goes back to its group.
    Redrive,
}

/// A note to be added.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Annotation {
    note: String,
}

/// How many there are, by group, topic and reason.
pub(super) async fn counts(
    State(shared): State<Arc<Shared>>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["cursor", "limit"])?;
    let limit = query.number("limit", 1, PAGE_MAX)?.unwrap_or(PAGE);
    let principal = call.principal()?;
    if !shared.parts.authenticator.allows_any(principal, Operation::DeadLetterRead) {
        return Err(Problem::hidden(Code::Forbidden));
    }
    let may_see = |group: &GroupName, topic: &Topic| {
        may(&shared, principal, Operation::DeadLetterRead, Object::GroupTopic(group, topic)).is_ok()
    };
    let counts = shared.parts.delivery.dead_letter_counts(may_see, limit, query.get("cursor")).await;
    answer::json_of(StatusCode::OK, &counts.map_err(|error| problem_of(&error))?)
}

/// The letters of a group.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(
        query.as_deref(),
        &["topic", "reason", "key", "correlationId", "from", "to", "state", "cursor", "limit"],
    )?;
    let query = DeadLetterQuery {
        filter: filter(|name| query.get(name))?,
        limit: query.number("limit", 1, PAGE_MAX)?.unwrap_or(PAGE),
        cursor: query.get("cursor").map(ToOwned::to_owned),
    };
    let group = segments.group(0)?;
    let topic = query.filter.topic.as_ref();
    let object = topic.map_or(Object::Group(&group), |topic| Object::GroupTopic(&group, topic));
    may(&shared, call.principal()?, Operation::DeadLetterRead, object)?;
    let page = shared.parts.delivery.dead_letters(&group, query).await.map_err(|error| problem_of(&error))?;
    answer::json_of(StatusCode::OK, &page)
}

/// One letter; with its event for who may see that.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    if let Some((_, ANNOTATE | DISCARD | REDRIVE)) = segments.verb(1) {
        return Ok(answer::only("POST"));
    }
    Query::parse(query.as_deref(), &[])?;
    let group = segments.group(0)?;
    let principal = call.principal()?;
    let sources = sources(&shared, principal, Operation::DeadLetterRead, &group)?;
    let id = id(segments.get(1))?;
    let found = shared.parts.delivery.dead_letter(&group, &sources, &id).await;
    let found = found.map_err(|error| problem_of(&error))?;
    let object = Object::GroupTopic(&group, &found.letter.topic);
    if may(&shared, principal, Operation::DeadLetterPayload, object).is_err() {
        return answer::json_of(StatusCode::OK, &found.letter);
    }
    audit::tell(&shared, &call, Act::SeePayload(&group, &id)).await?;
    let mut told = serde_json::to_vec(&found.letter).map_err(|error| {
        tracing::error!(%error, "a dead letter cannot be written as JSON");
        Problem::hidden(Code::Internal)
    })?;
    // Its closing brace makes room for the event's members.
    told.pop();
    told.push(b',');
    found.write_event(&mut told);
    told.push(b'}');
    let mut response = answer::json(StatusCode::OK, told);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `POST …/{id}:annotate`, `:discard` and `:redrive`.
pub(super) async fn act(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let (name, wanted) = match segments.verb(1) {
        Some((name, DISCARD)) => (name, Wanted::Discard),
        Some((name, REDRIVE)) => (name, Wanted::Redrive),
        Some((name, ANNOTATE)) => {
            let request = media::require_json(request, &shared.config.limits).await?;
            let body = body::read(request.into_body(), &shared, &call).await?;
            (name, Wanted::Annotate(annotation(&body)?.note))
        }
        Some(_) | None => return Ok(answer::only("GET")),
    };
    Query::parse(query.as_deref(), &[])?;
    let group = segments.group(0)?;
    let principal = call.principal()?;
    let sources = sources(&shared, principal, Operation::DeadLetterRedrive, &group)?;
    let id = id(name)?;
    let delivery = &shared.parts.delivery;
    let by = principal.id();
    let outcome = match wanted {
        Wanted::Annotate(note) => {
            audit::tell(&shared, &call, Act::Annotate(&group, &id)).await?;
            delivery.annotate_dead_letter(&group, &sources, &id, by, &note).await
        }
        Wanted::Discard => {
            audit::tell(&shared, &call, Act::Discard(&group, &id)).await?;
            delivery.discard_dead_letter(&group, &sources, &id, by).await
        }
        Wanted::Redrive => {
            audit::tell(&shared, &call, Act::Redrive(&group, &id)).await?;
            delivery.redrive_dead_letter(&group, &sources, &id, by).await
        }
    };
    let standing = outcome.map_err(|error| problem_of(&error))?;
    answer::json_of(StatusCode::OK, &told(&id, &standing))
}

/// How a letter stands now.
fn told(id: &DeadLetterId, standing: &Standing) -> serde_json::Value {
    let mut told = json!(standing);
    if let Some(members) = told.as_object_mut() {
        members.insert("id".to_owned(), json!(id));
    }
    told
}

fn annotation(body: &[u8]) -> Result<Annotation, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { Code::InvalidParameter } else { Code::MalformedJson };
        Problem::new(code, format!("the body must be {{\"note\": text}}: {error}"))
    })
}

/// The filters, each checked: what none of the letters can have is refused.
pub(super) fn filter<'g>(get: impl Fn(&str) -> Option<&'g str>) -> Result<DeadLetterFilter, Problem> {
    let text = |name: &str| get(name).map(ToOwned::to_owned);
    let time = |name: &str| {
        let time = get(name).map(Timestamp::parse).transpose();
        time.map_err(|_| invalid(format!("'{name}' must be a time as in RFC 3339, with its offset")))
    };
    let topic = get("topic").map(Topic::parse).transpose();
    let (from, to) = (time("from")?, time("to")?);
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(invalid("'from' must be before 'to'"));
    }
    if let Some(reason) = get("reason").filter(|reason| !REASONS.contains(reason)) {
        return Err(invalid(format!("'reason' {reason:?} is none of {}", REASONS.join(", "))));
    }
    Ok(DeadLetterFilter {
        topic: topic.map_err(|error| invalid(format!("'topic' {error}")))?,
        reason: text("reason"),
        key: text("key"),
        correlation_id: text("correlationId"),
        from,
        to,
        state: get("state").map(state).transpose()?,
    })
}

fn state(text: &str) -> Result<DeadLetterState, Problem> {
    let found = DeadLetterState::ALL.into_iter().find(|state| state.as_str() == text);
    let all = DeadLetterState::ALL.map(DeadLetterState::as_str);
    found.ok_or_else(|| invalid(format!("'state' {text:?} is none of {}", all.join(", "))))
}

fn id(text: &str) -> Result<DeadLetterId, Problem> {
    DeadLetterId::parse(text).ok_or_else(|| problem_of(&delivery::Error::UnknownDeadLetter))
}

/// The source topics of a group whose letters the caller may do this with.
pub(super) fn sources(
    shared: &Shared,
    principal: &Principal,
    operation: Operation,
    group: &GroupName,
) -> Result<Vec<Topic>, Problem> {
    let whole = may(shared, principal, operation, Object::Group(group));
    let sources = shared.parts.delivery.dead_letter_sources(group).map_err(|error| problem_of(&error));
    let Err(refused) = whole else { return sources };
    let mut sources = sources.unwrap_or_default();
    sources.retain(|topic| may(shared, principal, operation, Object::GroupTopic(group, topic)).is_ok());
    if sources.is_empty() { Err(refused) } else { Ok(sources) }
}

pub(super) fn may(
    shared: &Shared,
    principal: &Principal,
    operation: Operation,
    object: Object<'_>,
) -> Result<(), Problem> {
    let access = shared.parts.authenticator.authorize(principal, operation, object);
    access.map(drop).map_err(|error| problem_of(&error))
}
