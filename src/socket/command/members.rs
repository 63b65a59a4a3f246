//! The members of each command, as they are written, and how they become what the client wants.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::delivery::{AckMode, ConnectionId, Settlement, Tag};
use crate::event::{Filter, GroupName, Partition, Pattern, Topic};
use crate::feed::OnSlow;
use crate::problem::{Code, Problem};
use crate::publish::{Ack, Options};
use crate::socket::place;
use crate::telemetry::TraceContext;

use super::{Audience, Body, Op, Publishing, Settling, Worker, invalid};

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| Problem::new(Code::InvalidParameter, error.to_string()))
}

pub(super) fn read_body(op: Op, text: &str) -> Result<Body, Problem> {
    match op {
        Op::Hello => read::<HelloMembers>(text).map(|hello| Body::Hello { token: hello.token }),
        Op::Subscribe => read_subscribe(read(text)?),
        Op::Unsubscribe => read::<SubMembers>(text).map(|members| Body::Unsubscribe { sub: members.sub }),
        Op::Ack => read_ack(read(text)?),
        Op::Nack => read::<SettleMembers>(text).map(|members| {
            let delay = members.delay_ms.map(Duration::from_millis);
            let reason = members.reason;
            settle(members.sub, members.delivery, |tag| Settlement::Nack { tag, delay, reason })
        }),
        Op::Reject => read::<SettleMembers>(text).map(|members| {
            let reason = members.reason;
            settle(members.sub, members.delivery, |tag| Settlement::Reject { tag, reason })
        }),
        Op::Extend => read::<ExtendMembers>(text).map(|members| {
            let by = Duration::from_millis(members.by_ms);
            settle(members.sub, members.delivery, |tag| Settlement::Extend { tag, by })
        }),
        Op::Credit => {
            read::<CreditMembers>(text).map(|members| Body::Credit { sub: members.sub, credit: members.set })
        }
        Op::Pause => read::<SubMembers>(text).map(|members| Body::Pause { sub: members.sub }),
        Op::Resume => read::<SubMembers>(text).map(|members| Body::Resume { sub: members.sub }),
        Op::Publish => read_publish(read(text)?),
        Op::Refresh => read::<RefreshMembers>(text).map(|members| Body::Refresh { token: members.token }),
        Op::Ping => Ok(Body::Ping),
        Op::Pong => Ok(Body::Pong),
    }
}

#[derive(Deserialize)]
struct HelloMembers {
    token: Option<String>,
}

#[derive(Deserialize)]
struct RefreshMembers {
    token: String,
}

#[derive(Deserialize)]
struct SubMembers {
    sub: u32,
}

#[derive(Deserialize)]
struct CreditMembers {
    sub: u32,
    set: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SettleMembers {
    sub: u32,
    delivery: String,
    delay_ms: Option<u64>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExtendMembers {
    sub: u32,
    delivery: String,
    by_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AckMembers {
    sub: u32,
    delivery: Option<String>,
    deliveries: Option<Vec<String>>,
    up_to: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubscribeMembers {
    topics: Option<Vec<String>>,
    group: Option<String>,
    from: Option<serde_json::Value>,
    filter: Option<serde_json::Value>,
    on_slow: Option<String>,
    credit: Option<u32>,
    ack: Option<String>,
    adopt: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublishMembers<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    ack: Option<String>,
    #[serde(default)]
    dry_run: bool,
    key: Option<String>,
    partition: Option<u32>,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

fn settle(sub: u32, tag: String, settlement: impl FnOnce(Tag) -> Settlement) -> Body {
    let settling = match Tag::parse(&tag) {
        Ok(tag) => Settling::new(settlement(tag)),
        Err(_) => Settling { settlement: None, unknown: vec![tag] },
    };
    Body::Settle { sub, settling }
}

fn read_ack(members: AckMembers) -> Result<Body, Problem> {
    let AckMembers { sub, delivery, deliveries, up_to } = members;
    let texts = match (delivery, deliveries, up_to) {
        (Some(delivery), None, None) => vec![delivery],
        (None, Some(deliveries), None) => deliveries,
        (None, None, Some(up_to)) => return Ok(settle(sub, up_to, Settlement::AckUpTo)),
        _ => return Err(invalid("", "an ack has one of delivery, deliveries and upTo")),
    };
    let mut unknown = Vec::new();
    let mut tags = Vec::with_capacity(texts.len());
    for text in texts {
        match Tag::parse(&text) {
            Ok(tag) => tags.push(tag),
            Err(_) => unknown.push(text),
        }
    }
    let settlement = (!tags.is_empty()).then_some(Settlement::Ack(tags));
    Ok(Body::Settle { sub, settling: Settling { settlement, unknown } })
}

fn read_subscribe(members: SubscribeMembers) -> Result<Body, Problem> {
    match members.group.clone() {
        Some(group) => read_worker(&group, members).map(|worker| Body::Join(Box::new(worker))),
        None => read_audience(members).map(|audience| Body::Subscribe(Box::new(audience))),
    }
}

fn read_worker(group: &str, members: SubscribeMembers) -> Result<Worker, Problem> {
    let SubscribeMembers { topics, group: _, from, filter, on_slow, credit, ack, adopt } = members;
    let broadcast_only =
        [("/from", from.is_some()), ("/filter", filter.is_some()), ("/onSlow", on_slow.is_some())];
    if let Some((pointer, _)) = broadcast_only.iter().find(|(_, is_given)| *is_given) {
        return Err(invalid(pointer, "does not go with a group; it reads from where it has committed"));
    }
    let group = GroupName::parse(group).map_err(|error| invalid("/group", error.to_string()))?;
    let parse_topic = |(index, name): (usize, String)| {
        Topic::parse(&name).map_err(|error| invalid(&format!("/topics/{index}"), error.to_string()))
    };
    let topics = topics
        .map(|names| names.into_iter().enumerate().map(parse_topic).collect::<Result<Vec<_>, _>>())
        .transpose()?;
    if credit == Some(0) {
        return Err(invalid("/credit", "must be at least 1; pause holds deliveries back"));
    }
    let ack = match ack.as_deref() {
        None | Some("manual") => AckMode::Manual,
        Some("auto") => AckMode::Auto,
        Some(_) => return Err(invalid("/ack", "must be manual or auto")),
    };
    Ok(Worker { group, topics, credit, ack, adopt: adopt.as_deref().map(ConnectionId::new) })
}

fn read_audience(members: SubscribeMembers) -> Result<Audience, Problem> {
    let SubscribeMembers { topics, group: _, from, filter, on_slow, credit, ack, adopt } = members;
    let group_only = [("/credit", credit.is_some()), ("/ack", ack.is_some()), ("/adopt", adopt.is_some())];
    if let Some((pointer, _)) = group_only.iter().find(|(_, is_given)| *is_given) {
        return Err(invalid(pointer, "goes with a group only"));
    }
    let topics = topics.filter(|topics| !topics.is_empty());
    let topics = topics.ok_or_else(|| invalid("/topics", "name topics, or a group"))?;
    let filter = filter
        .map(|filter| {
            Filter::parse(&filter)
                .map_err(|error| invalid(&format!("/filter{}", error.pointer), error.problem))
        })
        .transpose()?;
    let on_slow = match on_slow.as_deref() {
        None | Some("resume") => OnSlow::Resume,
        Some("skip") => OnSlow::Skip,
        Some("close") => OnSlow::Close,
        Some("latest") => {
            return Err(Problem::new(
                Code::NotSupported,
                "onSlow latest is not supported yet; use resume or skip",
            ));
        }
        Some(_) => return Err(invalid("/onSlow", "must be resume, skip or close")),
    };
    let from = place::parse(from)?;
    Ok(Audience { topics: topics.iter().map(|topic| Pattern::new(topic)).collect(), from, filter, on_slow })
}

fn read_publish(members: PublishMembers<'_>) -> Result<Body, Problem> {
    let PublishMembers { event, ack, dry_run, key, partition, traceparent, tracestate } = members;
    let ack = match ack.as_deref() {
        None | Some("stored") => Ack::Stored,
        Some("none") => Ack::None,
        Some(_) => return Err(invalid("/ack", "must be stored or none")),
    };
    let trace = traceparent.and_then(|parent| TraceContext::parse(&parent, tracestate.as_deref()));
    let options = Options {
        ack,
        dry_run,
        key: key.map(Bytes::from),
        partition: partition.map(Partition::new),
        trace,
        ..Options::default()
    };
    let event = Bytes::copy_from_slice(event.get().as_bytes());
    Ok(Body::Publish(Box::new(Publishing { event, options })))
}
