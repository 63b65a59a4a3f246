//! Reading a topic without a group: where to begin, what to see, and one page, one event or a cursor of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use crate::auth::{Authenticator, Object, Operation, Principal, Rows};
use crate::event::{Cursor, Filter, Offset, Partition, Pattern, Timestamp, Topic};
use crate::feed::{self, Admission, At, From, Gap, OnSlow, Page, PageRequest};
use crate::problem::{Code, Problem};

use super::answer::{self, problem_of};
use super::call::Call;
use super::follow;
use super::media::{self, Reading};
use super::query::{Query, RawQuery, Segments, invalid};
use super::serve::Shared;

/// How many events a page has that names no limit, and the most it can have.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

/// The longest a page waits for its first event.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// `GET /v1/topics/{topic}/events`: a page, or a stream.
pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let reading = media::wanted(&headers)?;
    let known: &[&str] = match reading {
        Reading::Page => &["from", "key", "filter", "ticket", "limit", "wait"],
        Reading::Sse | Reading::Lines => &["from", "key", "filter", "ticket"],
    };
    let query = Query::parse(query.as_deref(), known)?;
    let last_event_id = last_event_id(&headers)?;
    let topic = segments.topic(0)?;
    let from = match last_event_id.as_deref().or_else(|| query.get("from")) {
        Some(text) => from_text(text, &topic)?,
        // A page without a place shows what there is; a stream without one shows what comes.
        None if reading == Reading::Page => From::Earliest,
        None => From::Latest,
    };
    let filter = filter(&query)?;
    let limit = query.number("limit", 1, PAGE_MAX)?.unwrap_or(PAGE);
    let wait = query.duration("wait", WAIT_MAX)?.unwrap_or_default();
    let principal = call.principal()?;
    admission(&shared.parts.authenticator, principal, &topic)?;
    let request = feed::Request {
        topics: vec![Pattern::new(topic.as_str())],
        from,
        filter,
        admission: admission_of(&shared.parts.authenticator, principal),
        on_slow: OnSlow::Resume,
    };
    match reading {
        Reading::Page => page(&shared, PageRequest { request, limit, wait }).await,
        Reading::Sse | Reading::Lines => follow::serve(&shared, &call, reading, request).await,
    }
}

/// `GET /v1/topics/{topic}/events/{partition}/{offset}`.
pub(super) async fn event(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    Query::parse(query.as_deref(), &["ticket"])?;
    let number = |index: usize| segments.get(index).parse::<u64>().ok();
    let partition = number(1).and_then(|number| u32::try_from(number).ok());
    let (Some(partition), Some(offset)) = (partition, number(2)) else {
        return Err(Problem::new(Code::NotFound, "partition and offset must be whole numbers"));
    };
    let topic = segments.topic(0)?;
    let admission = admission(&shared.parts.authenticator, call.principal()?, &topic)?;
    let (partition, offset) = (Partition::new(partition), Offset::new(offset));
    let event = shared.parts.feed.read_one(&topic, partition, offset, &admission).await;
    Ok(answer::json(StatusCode::OK, event.map_err(|error| problem_of(&error))?))
}

/// `GET /v1/topics/{topic}/cursor`.
pub(super) async fn cursor(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = Query::parse(query.as_deref(), &["at"])?;
    let at = match query.get("at") {
        None | Some("latest") => At::Latest,
        Some("earliest") => At::Earliest,
        Some(text) => {
            let time = timestamp(text)
                .ok_or_else(|| invalid("'at' must be latest, earliest or an RFC 3339 time"))?;
            At::Time(time)
        }
    };
    let topic = segments.topic(0)?;
    admission(&shared.parts.authenticator, call.principal()?, &topic)?;
    let cursor = shared.parts.feed.cursor(std::slice::from_ref(&topic), at).await;
    let cursor = cursor.map_err(|error| problem_of(&error))?;
    answer::json_of(StatusCode::OK, &json!({"cursor": cursor.encode()}))
}

/// One page. A page that waits is cut short when the gateway goes away.
async fn page(shared: &Shared, request: PageRequest) -> Result<Response, Problem> {
    let at_once = PageRequest { wait: Duration::ZERO, ..request.clone() };
    let page = tokio::select! {
        page = shared.parts.feed.page(request) => page,
        () = shared.drain.refusing().cancelled() => shared.parts.feed.page(at_once).await,
    };
    let page = page.map_err(|error| problem_of(&error))?;
    let mut response = answer::json(StatusCode::OK, write_page(&page));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn write_page(page: &Page) -> Vec<u8> {
    let size: usize = page.frames.iter().map(|frame| frame.members().len() + 3).sum();
    let mut out = Vec::with_capacity(size + 256);
    out.extend_from_slice(b"{\"events\":[");
    for (index, frame) in page.frames.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        out.extend_from_slice(frame.members());
        out.push(b'}');
    }
    out.push(b']');
    if !page.gaps.is_empty() {
        let gaps: Vec<_> = page.gaps.iter().map(gap).collect();
        out.extend_from_slice(b",\"gaps\":");
        out.extend_from_slice(json!(gaps).to_string().as_bytes());
    }
    out.extend_from_slice(b",\"cursor\":\"");
    out.extend_from_slice(page.cursor.encode().as_bytes());
    out.extend_from_slice(if page.is_at_end { b"\",\"atEnd\":true}" } else { b"\",\"atEnd\":false}" });
    out
}

/// A gap as clients see it: first missed, next delivered.
pub(super) fn gap(gap: &Gap) -> serde_json::Value {
    json!({
        "gap": { gap.topic.as_str(): { gap.partition.to_string(): [gap.from.number(), gap.to.number()] } },
        "reason": gap.reason.as_str(),
    })
}

/// What the caller may see of the topic; an error where that is nothing.
fn admission(
    authenticator: &Authenticator,
    principal: &Principal,
    topic: &Topic,
) -> Result<Admission, Problem> {
    let operation = if topic.is_audit() { Operation::AuditRead } else { Operation::Subscribe };
    let access = authenticator.authorize(principal, operation, Object::Topic(topic));
    match access.map_err(|error| problem_of(&error))?.rows {
        Rows::All => Ok(Admission::All),
        Rows::Only(filters) => {
            let filters = filters.into_iter().map(|one| Filter::equals(one.pointer, &one.equals));
            Ok(Admission::Rows(Filter::any(filters.collect())))
        }
    }
}

/// The same as a function, asked again whenever grants change.
fn admission_of(
    authenticator: &Authenticator,
    principal: &Arc<Principal>,
) -> Arc<dyn Fn(&Topic) -> Admission + Send + Sync> {
    let (authenticator, principal) = (authenticator.clone(), Arc::clone(principal));
    Arc::new(move |topic| admission(&authenticator, &principal, topic).unwrap_or(Admission::Denied))
}

fn filter(query: &Query<'_>) -> Result<Option<Filter>, Problem> {
    let mut filters = Vec::new();
    if let Some(key) = query.get("key") {
        filters.push(Filter::key_equals(key));
    }
    if let Some(text) = query.get("filter") {
        let filter = Filter::parse_text(text).map_err(|error| invalid(format!("'filter': {error}")))?;
        filters.push(filter);
    }
    Ok(match filters.len() {
        0 => None,
        1 => filters.pop(),
        _ => Some(Filter::all(filters)),
    })
}

/// `Last-Event-ID`, as a browser sends it when it comes back; an empty one says nothing.
fn last_event_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let text = value.to_str().map_err(|_| invalid("Last-Event-ID must be a cursor"))?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Where to begin: a word, a time, `{partition}:{offset},…`, or a cursor.
fn from_text(text: &str, topic: &Topic) -> Result<From, Problem> {
    match text {
        "earliest" => return Ok(From::Earliest),
        "latest" => return Ok(From::Latest),
        _ => {}
    }
    if let Some(time) = timestamp(text) {
        return Ok(From::Time(time));
    }
    if text.contains(':') {
        let positions = text.split(',').map(position).collect::<Option<BTreeMap<_, _>>>();
        let positions =
            positions.ok_or_else(|| invalid("'from': positions are written {partition}:{offset},…"))?;
        return Ok(From::Positions(BTreeMap::from([(topic.clone(), positions)])));
    }
    let cursor = Cursor::decode(text).map_err(|error| {
        invalid(format!(
            "'from' must be earliest, latest, a time, positions or a cursor; as a cursor it {error}"
        ))
    })?;
    Ok(From::Cursor { cursor, positions: BTreeMap::new() })
}

fn position(text: &str) -> Option<(Partition, Offset)> {
    let (partition, offset) = text.split_once(':')?;
    Some((Partition::new(partition.parse().ok()?), Offset::new(offset.parse().ok()?)))
}

/// A `+` that was not percent-encoded has become a space by now.
fn timestamp(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|_| Timestamp::parse(&text.replace(' ', "+"))).ok()
}

#[cfg(test)]
mod tests {
    use super::{From, from_text, position};
    use crate::event::{Offset, Partition, Timestamp, Topic};

    #[test]
    fn places_to_begin_are_words_times_and_positions() {
        let topic = Topic::parse("orders.v1").unwrap();
        assert_eq!(from_text("earliest", &topic).unwrap(), From::Earliest);
        let time = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
        assert_eq!(from_text("2026-11-21T10:00:00Z", &topic).unwrap(), From::Time(time));
        assert_eq!(from_text("2026-11-21T11:00:00 01:00", &topic).unwrap(), From::Time(time));
        let From::Positions(positions) = from_text("0:5,2:7", &topic).unwrap() else { panic!("positions") };
        assert_eq!(positions[&topic][&Partition::new(2)], Offset::new(7));
        for bad in ["0:", "a:1", "0:1,", "0:-1", "0:1;1:2"] {
            assert!(from_text(bad, &topic).is_err(), "{bad}");
        }
        assert_eq!(position("1:2"), Some((Partition::new(1), Offset::new(2))));
    }
}
