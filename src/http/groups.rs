//! Consumer groups: their state, their policy, the word to go on, and where they go on.

use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::json;

use crate::auth::{Object, Operation};
use crate::delivery::{PolicyPatch, Put, Reset, ResetState, Resume};
use crate::event::GroupName;
use crate::problem::{Code, Problem};

use super::answer::{self, only, problem_of};
use super::audit::{self, Act};
use super::call::Call;
use super::query::{Query, RawQuery, Segments, invalid};
use super::serve::Shared;
use super::{body, media, query};

/// How many groups a list has that names no limit, and the most it can have.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;
const RESET: &str = "reset";
const RESUME: &str = "resume";

/// The groups the caller may see, by name.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    call: Call,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["cursor", "limit"])?;
    let limit = query.number("limit", 1, PAGE_MAX)?.unwrap_or(PAGE);
    // The cursor is the last name of the page before.
    let after = query.get("cursor").map(GroupName::parse).transpose();
    let after = after.map_err(|_| invalid("'cursor' must be that of a page before"))?;
    let principal = call.principal()?;
    let authenticator = &shared.parts.authenticator;
    let may_any = [Operation::Consume, Operation::GroupAdmin]
        .into_iter()
        .any(|operation| authenticator.allows_any(principal, operation));
    if !may_any {
        return Err(Problem::hidden(Code::Forbidden));
    }
    let may_see = |group: &GroupName| require_sight(&shared, &call, group).is_ok();
    let page = shared.parts.delivery.groups(may_see, after.as_ref(), limit).await;
    let (groups, has_more) = page.map_err(|error| problem_of(&error))?;
    let cursor = groups.last().filter(|_| has_more).map(|view| view.group.clone());
    let mut body = json!({ "groups": groups });
    if let (Some(cursor), Some(members)) = (cursor, body.as_object_mut()) {
        members.insert("cursor".to_owned(), cursor.as_str().into());
    }
    answer::json_of(StatusCode::OK, &body)
}

/// One group.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &[])?;
    if let Some((_, RESET | RESUME)) = segments.verb(0) {
        return Ok(only("POST"));
    }
    let group = segments.group(0)?;
    require_sight(&shared, &call, &group)?;
    let view = shared.parts.delivery.group(&group).await.map_err(|error| problem_of(&error))?;
    answer::json_of(StatusCode::OK, &view)
}

/// Makes a group or changes its policy.
pub(super) async fn put(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    if let Some((_, RESET | RESUME)) = segments.verb(0) {
        return Ok(only("POST"));
    }
    let request = media::require_json(request, &shared.config.limits).await?;
    let body = body::read(request.into_body(), &shared, &call).await?;
    Query::parse(query.as_deref(), &[])?;
    let patch = PolicyPatch::parse(&body).map_err(|error| problem_of(&error))?;
    let group = GroupName::parse(segments.get(0)).map_err(|error| invalid(format!("the {error}")))?;
    require(&shared, &call, Operation::GroupAdmin, Object::Group(&group))?;
    audit::tell(&shared, &call, Act::PutGroup(&group)).await?;
    let (put, view) =
        shared.parts.delivery.put_policy(&group, patch).await.map_err(|error| problem_of(&error))?;
    let status = match put {
        Put::Created => StatusCode::CREATED,
        Put::Changed => StatusCode::OK,
    };
    answer::json_of(status, &view)
}

/// Deletes a group that nobody works for.
pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    if let Some((_, RESET | RESUME)) = segments.verb(0) {
        return Ok(only("POST"));
    }
    let group = administered(&shared, &call, segments.get(0), query.as_deref())?;
    audit::tell(&shared, &call, Act::DeleteGroup(&group)).await?;
    shared.parts.delivery.delete_group(&group).await.map_err(|error| problem_of(&error))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST …/{group}:reset` and `:resume`.
pub(super) async fn act(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    match segments.verb(0) {
        Some((name, RESET)) => {
            let request = media::require_json(request, &shared.config.limits).await?;
            let body = body::read(request.into_body(), &shared, &call).await?;
            let wish = wish(&body)?;
            let group = administered(&shared, &call, name, query.as_deref())?;
            reset(&shared, &call, &group, &wish).await
        }
        Some((name, RESUME)) => {
            let resume = if request.body().is_end_stream() {
                Resume::default()
            } else {
                let request = media::require_json(request, &shared.config.limits).await?;
                going_on(&body::read(request.into_body(), &shared, &call).await?)?
            };
            let group = administered(&shared, &call, name, query.as_deref())?;
            audit::tell(&shared, &call, Act::ResumeGroup(&group)).await?;
            let resumed = shared.parts.delivery.resume(&group, resume).await;
            let view = resumed.map_err(|error| problem_of(&error))?;
            answer::json_of(StatusCode::OK, &view)
        }
        Some(_) | None => Ok(only("GET, PUT, DELETE")),
    }
}

/// Moves the group's offsets, or tells what would be moved.
async fn reset(shared: &Shared, call: &Call, group: &GroupName, wish: &Reset) -> Result<Response, Problem> {
    if !wish.dry_run {
        audit::tell(shared, call, Act::ResetGroup(group)).await?;
    }
    let view = shared.parts.delivery.reset(group, wish).await.map_err(|error| problem_of(&error))?;
    let status = match view.state {
        ResetState::Planned | ResetState::Done => StatusCode::OK,
        ResetState::Moving => StatusCode::ACCEPTED,
    };
    answer::json_of(status, &view)
}

fn wish(body: &[u8]) -> Result<Reset, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { Code::InvalidParameter } else { Code::MalformedJson };
        Problem::new(code, format!("the body must say where to, as in {{\"to\": \"earliest\"}}: {error}"))
    })
}

fn going_on(body: &[u8]) -> Result<Resume, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { Code::InvalidParameter } else { Code::MalformedJson };
        let wanted = r#"{"deadLetter": [{"topic": "orders.v1", "partition": 0, "offset": 17}]}"#;
        Problem::new(code, format!("the body is empty, or says what is given up, as in {wanted}: {error}"))
    })
}

/// The group of this name, for who may administer it.
fn administered(shared: &Shared, call: &Call, name: &str, query: Option<&str>) -> Result<GroupName, Problem> {
    Query::parse(query, &[])?;
    let group = query::group(name)?;
    require(shared, call, Operation::GroupAdmin, Object::Group(&group))?;
    Ok(group)
}

/// Members and administrators see a group.
fn require_sight(shared: &Shared, call: &Call, group: &GroupName) -> Result<(), Problem> {
    require(shared, call, Operation::Consume, Object::Group(group))
        .or_else(|_| require(shared, call, Operation::GroupAdmin, Object::Group(group)))
}

fn require(shared: &Shared, call: &Call, operation: Operation, object: Object<'_>) -> Result<(), Problem> {
    let access = shared.parts.authenticator.authorize(call.principal()?, operation, object);
    access.map(drop).map_err(|error| problem_of(&error))
}
