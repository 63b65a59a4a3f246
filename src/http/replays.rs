//! Replays: a range of a group's topics delivered to it once more, planned, begun, told of and cancelled.
//!
//! All of it takes the right `replay`. A caller that has it for some of a group's topics replays those alone, and sees a
//! replay when it may replay all its topics.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use crate::auth::{Object, Operation, Principal};
use crate::delivery::{self, JobId, Replay, ReplayOrder, ResetTo};
use crate::event::{GroupName, Topic};
use crate::problem::{Code, Problem};

use super::answer::{self, only, problem_of};
use super::audit::{self, Act};
use super::call::Call;
use super::dead_letters::may;
use super::query::{Query, RawQuery, Segments, invalid};
use super::serve::Shared;
use super::{body, media};

/// How many replays a list has that names no limit, and the most it can have.
const PAGE: usize = 20;
const PAGE_MAX: usize = 100;
/// What may stand behind a replay's id.
const CANCEL: &str = "cancel";

/// What a caller asks for.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wanted {
    from: ResetTo,
    to: Option<ResetTo>,
    topics: Option<Vec<Topic>>,
    filter: Option<Value>,
    rate_per_second: Option<u32>,
    #[serde(default)]
    dry_run: bool,
}

/// Plans a replay, or begins one.
pub(super) async fn begin(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let request = media::require_json(request, &shared.config.limits).await?;
    let body = body::read(request.into_body(), &shared, &call).await?;
    Query::parse(query.as_deref(), &[])?;
    let Wanted { from, to, topics, filter, rate_per_second, dry_run } = wanted(&body)?;
    let group = segments.group(0)?;
    let principal = call.principal()?;
    let topics = match topics {
        Some(topics) if topics.is_empty() => {
            own_topics(&shared, principal, &group)?;
            return Err(invalid("'topics' names none"));
        }
        Some(topics) => {
            for topic in &topics {
                may(&shared, principal, Operation::Replay, Object::GroupTopic(&group, topic))?;
            }
            topics
        }
        None => own_topics(&shared, principal, &group)?,
    };
    let order = ReplayOrder { from, to, topics, filter, rate_per_second, by: principal.id().to_owned() };
    let delivery = &shared.parts.delivery;
    if dry_run {
        let plan = delivery.plan_replay(&group, &order).await.map_err(|error| problem_of(&error))?;
        return answer::json_of(StatusCode::OK, &plan);
    }
    audit::tell(&shared, &call, Act::BeginReplay(&group)).await?;
    let replay = delivery.begin_replay(&group, order).await.map_err(|error| problem_of(&error))?;
    let mut response = answer::json_of(StatusCode::ACCEPTED, &replay)?;
    if let Ok(location) = HeaderValue::try_from(format!("/v1/replays/{}", replay.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The last replays of a group, the newest first.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["cursor", "limit"])?;
    let limit = query.number("limit", 1, PAGE_MAX)?.unwrap_or(PAGE);
    let group = segments.group(0)?;
    let principal = call.principal()?;
    own_topics(&shared, principal, &group)?;
    let is_meant = |replay: &Replay| may_touch(&shared, principal, replay);
    let page = shared.parts.delivery.replays(&group, is_meant, limit, query.get("cursor"));
    answer::json_of(StatusCode::OK, &page.map_err(|error| problem_of(&error))?)
}

/// One replay.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    if let Some((_, CANCEL)) = segments.verb(0) {
        return Ok(only("POST"));
    }
    Query::parse(query.as_deref(), &[])?;
    let replay = find(&shared, call.principal()?, segments.get(0))?;
    answer::json_of(StatusCode::OK, &replay)
}

/// `POST …/{id}:cancel`.
pub(super) async fn act(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Some((name, CANCEL)) = segments.verb(0) else { return Ok(only("GET")) };
    Query::parse(query.as_deref(), &[])?;
    let principal = call.principal()?;
    let id = find(&shared, principal, name)?.id;
    audit::tell(&shared, &call, Act::CancelReplay(&id)).await?;
    let cancelled = shared.parts.delivery.cancel_replay(&id, principal.id()).await;
    let replay = cancelled.map_err(|error| problem_of(&error))?;
    answer::json_of(StatusCode::OK, &replay)
}

/// The replay of an id. What the caller may not touch looks as if it were not there.
fn find(shared: &Shared, principal: &Principal, text: &str) -> Result<Replay, Problem> {
    if !shared.parts.authenticator.allows_any(principal, Operation::Replay) {
        return Err(Problem::hidden(Code::Forbidden));
    }
    let unknown = || problem_of(&delivery::Error::UnknownReplay);
    let id = JobId::parse(text).ok_or_else(unknown)?;
    let found = shared.parts.delivery.replay(&id).map_err(|error| problem_of(&error))?;
    if may_touch(shared, principal, &found) { Ok(found) } else { Err(unknown()) }
}

/// Whether the caller may replay all that a replay is about.
fn may_touch(shared: &Shared, principal: &Principal, replay: &Replay) -> bool {
    let Replay { group, topics, .. } = replay;
    let may = |object| may(shared, principal, Operation::Replay, object).is_ok();
    let may_all = || !topics.is_empty() && topics.iter().all(|topic| may(Object::GroupTopic(group, topic)));
    may(Object::Group(group)) || may_all()
}

/// The topics of a group that the caller may replay.
fn own_topics(shared: &Shared, principal: &Principal, group: &GroupName) -> Result<Vec<Topic>, Problem> {
    let whole = may(shared, principal, Operation::Replay, Object::Group(group));
    let policy = shared.parts.delivery.policy(group);
    let topics = policy.map(|policy| policy.topics.clone());
    let Err(refused) = whole else {
        return topics.ok_or_else(|| problem_of(&delivery::Error::UnknownGroup(group.clone())));
    };
    let mut topics = topics.unwrap_or_default();
    topics
        .retain(|topic| may(shared, principal, Operation::Replay, Object::GroupTopic(group, topic)).is_ok());
    if topics.is_empty() { Err(refused) } else { Ok(topics) }
}

fn wanted(body: &[u8]) -> Result<Wanted, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { Code::InvalidParameter } else { Code::MalformedJson };
        let known = "{\"from\": place, \"to\": place, \"topics\": […], \"filter\": {…}, \"ratePerSecond\": number, \
                     \"dryRun\": true or false}, where a place is \"earliest\", \"latest\", {\"timestamp\": …} or \
                     {\"offsets\": {topic: {partition: offset}}}";
        Problem::new(code, format!("the body must be {known}: {error}"))
    })
}
