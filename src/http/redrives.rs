//! Redrives: many dead letters of a group sent back to it, planned, begun, told of and cancelled.
//!
//! A caller with grants on some of a group's topics redrives their letters alone, and sees a redrive when it may see all
//! its topics.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};

use crate::auth::{Object, Operation, Principal};
use crate::delivery::{self, DeadLetterId, JobId, Redrive, RedriveOf, RedriveOrder};
use crate::event::GroupName;
use crate::problem::{Code, Problem};

use super::answer::{self, only, problem_of};
use super::audit::{self, Act};
use super::call::Call;
use super::dead_letters::{filter, may, sources};
use super::query::{Query, RawQuery, Segments, invalid};
use super::serve::Shared;
use super::{body, media};

/// How many redrives a list has that names no limit, and the most it can have.
const PAGE: usize = 20;
const PAGE_MAX: usize = 100;
/// What may stand behind a redrive's id.
const CANCEL: &str = "cancel";

/// What a caller asks for.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wanted {
    filter: Option<WantedFilter>,
    ids: Option<Vec<String>>,
    rate_per_second: Option<u32>,
    #[serde(default)]
    dry_run: bool,
}

/// The filter's members, as the list of letters has them.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WantedFilter {
    topic: Option<String>,
    reason: Option<String>,
    key: Option<String>,
    correlation_id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    state: Option<String>,
}

/// Plans a redrive, or begins one.
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
    let wanted = wanted(&body)?;
    let of = wanted.of()?;
    let group = segments.group(0)?;
    let principal = call.principal()?;
    let sources = match &of {
        RedriveOf::Filter(filter) if let Some(topic) = &filter.topic => {
            may(&shared, principal, Operation::DeadLetterRedrive, Object::GroupTopic(&group, topic))?;
            vec![topic.clone()]
        }
        RedriveOf::Filter(_) | RedriveOf::Ids(_) => {
            sources(&shared, principal, Operation::DeadLetterRedrive, &group)?
        }
    };
    let by = principal.id().to_owned();
    let order = RedriveOrder { of, sources, rate_per_second: wanted.rate_per_second, by };
    let delivery = &shared.parts.delivery;
    if wanted.dry_run {
        let plan = delivery.plan_redrive(&group, &order).await.map_err(|error| problem_of(&error))?;
        return answer::json_of(StatusCode::OK, &plan);
    }
    audit::tell(&shared, &call, Act::BeginRedrive(&group)).await?;
    let redrive = delivery.begin_redrive(&group, order).await.map_err(|error| problem_of(&error))?;
    let mut response = answer::json_of(StatusCode::ACCEPTED, &redrive)?;
    if let Ok(location) = HeaderValue::try_from(format!("/v1/redrives/{}", redrive.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The last redrives of a group, the newest first.
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
    sources(&shared, principal, Operation::DeadLetterRead, &group)?;
    let is_meant = |redrive: &Redrive| may_touch(&shared, principal, Operation::DeadLetterRead, redrive);
    let page = shared.parts.delivery.redrives(&group, is_meant, limit, query.get("cursor"));
    answer::json_of(StatusCode::OK, &page.map_err(|error| problem_of(&error))?)
}

/// One redrive.
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
    let redrive = find(&shared, call.principal()?, Operation::DeadLetterRead, segments.get(0))?;
    answer::json_of(StatusCode::OK, &redrive)
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
    let id = find(&shared, principal, Operation::DeadLetterRedrive, name)?.id;
    audit::tell(&shared, &call, Act::CancelRedrive(&id)).await?;
    let cancelled = shared.parts.delivery.cancel_redrive(&id, principal.id()).await;
    let redrive = cancelled.map_err(|error| problem_of(&error))?;
    answer::json_of(StatusCode::OK, &redrive)
}

/// The redrive of an id, where the caller may do this with it. What it may not touch looks as if it were not there.
fn find(
    shared: &Shared,
    principal: &Principal,
    operation: Operation,
    text: &str,
) -> Result<Redrive, Problem> {
    if !shared.parts.authenticator.allows_any(principal, operation) {
        return Err(Problem::hidden(Code::Forbidden));
    }
    let id = JobId::parse(text).ok_or_else(|| problem_of(&delivery::Error::UnknownRedrive))?;
    let found = shared.parts.delivery.redrive(&id).map_err(|error| problem_of(&error))?;
    if may_touch(shared, principal, operation, &found) {
        return Ok(found);
    }
    // Who may do it with another one, or only see this one, is told so.
    let may_see = may_touch(shared, principal, Operation::DeadLetterRead, &found);
    Err(if may_see { Problem::hidden(Code::Forbidden) } else { problem_of(&delivery::Error::UnknownRedrive) })
}

/// Whether the caller may do this with the letters of a redrive's group, or of all its topics.
fn may_touch(shared: &Shared, principal: &Principal, operation: Operation, redrive: &Redrive) -> bool {
    let Redrive { group, topics, .. } = redrive;
    let may_all = |group: &GroupName| {
        let mut objects = topics.iter().map(|topic| Object::GroupTopic(group, topic));
        !topics.is_empty() && objects.all(|object| may(shared, principal, operation, object).is_ok())
    };
    may(shared, principal, operation, Object::Group(group)).is_ok() || may_all(group)
}

fn wanted(body: &[u8]) -> Result<Wanted, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { Code::InvalidParameter } else { Code::MalformedJson };
        let known = "{\"filter\": {…} or \"ids\": […], \"ratePerSecond\": number, \"dryRun\": true or false}";
        Problem::new(code, format!("the body must be {known}: {error}"))
    })
}

impl Wanted {
    /// Which letters are meant.
    fn of(&self) -> Result<RedriveOf, Problem> {
        match (&self.filter, &self.ids) {
            (Some(wanted), None) => Ok(RedriveOf::Filter(filter(|name| wanted.get(name))?)),
            (None, Some(ids)) => {
                ids.iter().map(|id| self::id(id)).collect::<Result<_, _>>().map(RedriveOf::Ids)
            }
            (Some(_), Some(_)) => Err(invalid("give either 'filter' or 'ids'")),
            (None, None) => {
                Err(invalid("give 'filter' or 'ids'; {\"filter\": {}} takes all letters that are open"))
            }
        }
    }
}

impl WantedFilter {
    fn get(&self, name: &str) -> Option<&str> {
        let Self { topic, reason, key, correlation_id, from, to, state } = self;
        let member = match name {
            "topic" => topic,
            "reason" => reason,
            "key" => key,
            "correlationId" => correlation_id,
            "from" => from,
            "to" => to,
            "state" => state,
            _ => return None,
        };
        member.as_deref()
    }
}

fn id(text: &str) -> Result<DeadLetterId, Problem> {
    DeadLetterId::parse(text).ok_or_else(|| {
        let text: String = text.chars().take(100).collect();
        Problem::new(Code::DeadLetterNotFound, format!("there is no dead letter {text:?}"))
    })
}
