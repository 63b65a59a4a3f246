//! What a client may say: one JSON object, read once into a checked command.
//!
//! A text that is no object, or names no `op`, is [`Malformed`] and ends the connection. Everything else becomes a
//! command or a problem that answers it; unknown members are ignored, members that cannot go together are refused.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::delivery::{AckMode, ConnectionId, Settlement, Tag};
use crate::event::{GroupName, Partition, Pattern, Topic};
use crate::feed::{Filter, From, OnSlow};
use crate::problem::{Code, Problem, Violation};
use crate::publish::{Ack, Options};
use crate::telemetry::TraceContext;

use super::place;

/// Credit of a group subscription that names none.
const CREDIT_DEFAULT: u32 = 32;

/// Bytes of the longest `id`.
const ID_BYTES_MAX: usize = 128;

/// The text is not a command at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

macro_rules! ops {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The `op` of a command.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Op { $($(#[$doc])* $variant,)* }

        impl Op {
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            fn parse(text: &str) -> Option<Self> {
                match text { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

ops! {
    Hello = "hello",
    Subscribe = "subscribe",
    Unsubscribe = "unsubscribe",
    Ack = "ack",
    Nack = "nack",
    Reject = "reject",
    Extend = "extend",
    Credit = "credit",
    Pause = "pause",
    Resume = "resume",
    Publish = "publish",
    Refresh = "refresh",
    Ping = "ping",
    Pong = "pong",
}

/// To whom an answer goes: the command's `id` as it was written, and its `op` for commands without one.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) id: Option<Box<RawValue>>,
    /// `None` for an operation that does not exist.
    pub(super) op: Option<Op>,
}

/// One message of a client.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) reply: Reply,
    pub(super) body: Result<Body, Problem>,
}

/// What the client wants.
#[derive(Debug)]
pub(super) enum Body {
    Hello { token: Option<String> },
    Subscribe(Box<Audience>),
    Join(Box<Worker>),
    Unsubscribe { sub: u32 },
    Settle { sub: u32, settling: Settling },
    Credit { sub: u32, credit: u32 },
    Pause { sub: u32 },
    Resume { sub: u32 },
    Publish(Box<Publishing>),
    Refresh { token: String },
    Ping,
    Pong,
}

/// A broadcast subscription.
#[derive(Debug)]
pub(super) struct Audience {
    pub(super) topics: Vec<Pattern>,
    pub(super) from: From,
    pub(super) filter: Option<Filter>,
    pub(super) on_slow: OnSlow,
}

/// A group subscription.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) group: GroupName,
    pub(super) topics: Option<Vec<Topic>>,
    pub(super) credit: Option<u32>,
    pub(super) ack: AckMode,
    pub(super) adopt: Option<ConnectionId>,
}

/// A settlement, and the tags in it that no gateway made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settling {
    pub(super) settlement: Option<Settlement>,
    pub(super) unknown: Vec<String>,
}

/// An event to be published.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) event: Bytes,
    pub(super) options: Options,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    op: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

impl Command {
    /// Reads a message.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        if !text.trim_ascii_start().starts_with('{') {
            return Err(Malformed("a message must be a JSON object"));
        }
        let head: Head<'_> = serde_json::from_str(text)
            .map_err(|_| Malformed("a message must be one JSON object with an op"))?;
        let op = head.op.ok_or(Malformed("a message must have an op"))?;
        let op: String = serde_json::from_str(op.get()).map_err(|_| Malformed("op must be a string"))?;
        let id = head.id.map(read_id).transpose()?;
        let op = Op::parse(&op);
        let body = op.map_or_else(
            || Err(Problem::new(Code::BadRequest, "there is no such op")),
            |op| read_body(op, text),
        );
        Ok(Self { reply: Reply { id, op }, body })
    }
}

impl Settling {
    fn new(settlement: Settlement) -> Self {
        Self { settlement: Some(settlement), unknown: Vec::new() }
    }
}

impl Worker {
    /// The window asked for, or the default.
    pub(super) fn credit(&self, in_flight_max: u32) -> u32 {
        self.credit.unwrap_or(CREDIT_DEFAULT.min(in_flight_max))
    }
}

/// A problem of one member of a command.
pub(super) fn invalid(pointer: &str, message: impl Into<String>) -> Problem {
    let message = message.into();
    Problem::new(Code::InvalidParameter, format!("{pointer}: {message}")).with_errors(vec![Violation {
        pointer: pointer.to_owned(),
        keyword: "parameter".to_owned(),
        message,
    }])
}

fn read_id(raw: &RawValue) -> Result<Box<RawValue>, Malformed> {
    let is_scalar = !raw.get().starts_with(['{', '[', 't', 'f']);
    if is_scalar && raw.get().len() <= ID_BYTES_MAX {
        Ok(raw.to_owned())
    } else {
        Err(Malformed("id must be a number or a string of at most 128 bytes"))
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| Problem::new(Code::InvalidParameter, error.to_string()))
}

fn read_body(op: Op, text: &str) -> Result<Body, Problem> {
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

#[cfg(test)]
mod tests {
    use super::{Body, Command, Op};
    use crate::problem::Code;

    fn code(text: &str) -> Code {
        Command::parse(text).unwrap().body.unwrap_err().code
    }

    #[test]
    fn every_op_reads_its_own_name() {
        for op in Op::ALL {
            assert_eq!(Op::parse(op.as_str()), Some(*op));
        }
    }

    #[test]
    fn what_is_no_object_with_an_op_is_malformed() {
        for text in [
            "",
            "null",
            "[]",
            r#"["hello"]"#,
            "{}",
            r#"{"op":7}"#,
            r#"{"op":null}"#,
            r#"{"op":"ping"} {}"#,
            "{\"op\":\"ping\"",
            r#"{"op":"ping","op":"pong"}"#,
            r#"{"op":"ping","id":{}}"#,
            r#"{"op":"ping","id":true}"#,
        ] {
            assert!(Command::parse(text).is_err(), "{text}");
        }
        let long = format!(r#"{{"op":"ping","id":"{}"}}"#, "x".repeat(200));
        assert!(Command::parse(&long).is_err());
    }

    #[test]
    fn ids_are_kept_as_written_and_unknown_members_ignored() {
        let command = Command::parse(r#" {"id": 1.50, "op":"ping", "colour":"red"}"#).unwrap();
        assert_eq!(command.reply.id.unwrap().get(), "1.50");
        assert!(matches!(command.body, Ok(Body::Ping)));
        assert!(Command::parse(r#"{"id":null,"op":"ping"}"#).unwrap().reply.id.is_none());
    }

    #[test]
    fn members_that_do_not_go_together_are_refused() {
        assert_eq!(code(r#"{"op":"dance"}"#), Code::BadRequest);
        for text in [
            r#"{"op":"subscribe"}"#,
            r#"{"op":"subscribe","topics":[]}"#,
            r#"{"op":"subscribe","topics":["a"],"credit":1}"#,
            r#"{"op":"subscribe","topics":["a"],"onSlow":"cry"}"#,
            r#"{"op":"subscribe","topics":["a"],"from":"yesterday"}"#,
            r#"{"op":"subscribe","group":"g","from":"latest"}"#,
            r#"{"op":"subscribe","group":"g","credit":0}"#,
            r#"{"op":"subscribe","group":"a b"}"#,
            r#"{"op":"subscribe","group":"g","ack":"maybe"}"#,
            r#"{"op":"ack","sub":1}"#,
            r#"{"op":"ack","sub":1,"delivery":"x","upTo":"y"}"#,
            r#"{"op":"ack","delivery":"x"}"#,
            r#"{"op":"unsubscribe","sub":-1}"#,
            r#"{"op":"publish"}"#,
            r#"{"op":"refresh"}"#,
        ] {
            assert_eq!(code(text), Code::InvalidParameter, "{text}");
        }
        assert_eq!(code(r#"{"op":"subscribe","topics":["a"],"onSlow":"latest"}"#), Code::NotSupported);
    }

    #[test]
    fn an_event_is_taken_byte_for_byte() {
        let command = Command::parse(r#"{"op":"publish","event": {"a" : 1.0,"a":2} }"#).unwrap();
        let Ok(Body::Publish(publishing)) = command.body else { panic!() };
        assert_eq!(&publishing.event[..], br#"{"a" : 1.0,"a":2}"#);
    }

    #[test]
    fn a_tag_no_gateway_made_is_unknown() {
        let command = Command::parse(r#"{"op":"nack","sub":9,"delivery":"?"}"#).unwrap();
        let Ok(Body::Settle { sub: 9, settling }) = command.body else { panic!() };
        assert_eq!((settling.settlement, settling.unknown), (None, vec!["?".to_owned()]));
    }
}
