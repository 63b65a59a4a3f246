//! What the gateway says: answers and pushes as JSON text. Events and deliveries come ready from their rooms.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::delivery::{self, Refused, Tag};
use crate::event::{Cursor, Partition, Positions, Topic};
use crate::feed;
use crate::problem::{CloseCode, Problem};

use super::command::Reply;

/// Every kind of message the gateway sends; the contract lists the same.
#[cfg(test)]
pub(super) const KINDS: &[&str] = &[
    "answer",
    "event",
    "positions",
    "gap",
    "delivery",
    "settled",
    "withdrawn",
    "assignment",
    "draining",
    "unsubscribed",
    "expiring",
    "ping",
    "pong",
    "bye",
];

#[derive(Serialize)]
struct Answer<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    op: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

/// A good answer without members: `{}`.
#[derive(Debug, Serialize)]
pub(super) struct Nothing {}

/// The good answer to a command.
pub(super) fn ok(reply: &Reply, ok: impl Serialize) -> Bytes {
    let (id, op) = address(reply);
    text(&Answer { id, op, ok: Some(ok), error: None })
}

/// The bad answer to a command.
pub(super) fn error(reply: &Reply, problem: &Problem, connection: &str) -> Bytes {
    let (id, op) = address(reply);
    text(&Answer { id, op, ok: None::<()>, error: Some(described(problem, connection)) })
}

pub(super) fn positions(sub: u32, positions: &Positions, cursor: &Cursor) -> Bytes {
    text(&json!({ "sub": sub, "positions": positions, "cursor": cursor.encode() }))
}

pub(super) fn gap(sub: u32, gap: &feed::Gap) -> Bytes {
    missing(sub, &gap.topic, gap.partition, [gap.from.number(), gap.to.number()], gap.reason.as_str())
}

/// Records that will never come: `[first missed, next delivered]`.
pub(super) fn missing(sub: u32, topic: &Topic, partition: Partition, range: [u64; 2], reason: &str) -> Bytes {
    let partitions = BTreeMap::from([(partition, range)]);
    text(&json!({ "sub": sub, "gap": BTreeMap::from([(topic, partitions)]), "reason": reason }))
}

/// Settlements that did not count.
pub(super) fn settled(sub: u32, refused: &[Refused], unknown: &[String]) -> Bytes {
    let unknown = unknown.iter().map(|tag| json!({ "delivery": tag, "state": delivery::State::Unknown }));
    let states: Vec<Value> = refused.iter().map(|refused| json!(refused)).chain(unknown).collect();
    text(&json!({ "sub": sub, "settled": states }))
}

pub(super) fn withdrawn(sub: u32, tags: &[Tag], reason: delivery::Withdrawal) -> Bytes {
    text(&json!({ "sub": sub, "withdrawn": tags, "reason": reason }))
}

pub(super) fn assignment(
    sub: u32,
    partitions: &BTreeMap<Topic, Vec<Partition>>,
    lag: Option<delivery::Lag>,
    (breaker, reason): (delivery::Breaker, Option<delivery::BreakerReason>),
) -> Bytes {
    let mut assignment = json!({ "sub": sub, "assignment": partitions, "breaker": breaker });
    if let Some(members) = assignment.as_object_mut() {
        members.extend(lag.map(|lag| ("lag".to_owned(), json!(lag))));
        members.extend(reason.map(|reason| ("breakerReason".to_owned(), json!(reason))));
    }
    text(&assignment)
}

/// No further delivery will come: settle what is in hand.
pub(super) fn draining(sub: u32) -> Bytes {
    text(&json!({ "sub": sub, "draining": true }))
}

/// A subscription ended, and why; the connection goes on.
pub(super) fn unsubscribed(sub: u32, problem: &Problem, connection: &str) -> Bytes {
    text(&json!({ "sub": sub, "unsubscribed": described(problem, connection) }))
}

pub(super) fn expiring(left: Duration) -> Bytes {
    text(&json!({ "op": "expiring", "inMs": millis(left) }))
}

pub(super) const fn ping() -> Bytes {
    Bytes::from_static(br#"{"op":"ping"}"#)
}

pub(super) const fn pong() -> Bytes {
    Bytes::from_static(br#"{"op":"pong"}"#)
}

/// The last message, before the close frame.
pub(super) fn bye(code: CloseCode, detail: Option<&str>, delay: Option<Duration>) -> Bytes {
    let mut bye = json!({
        "op": "bye",
        "code": code.number(),
        "reason": code.reason(),
        "reconnect": code.should_reconnect(),
    });
    if let Some(members) = bye.as_object_mut() {
        members.extend(detail.map(|detail| ("detail".to_owned(), json!(detail))));
        members.extend(delay.map(|delay| ("delayMs".to_owned(), json!(millis(delay)))));
    }
    text(&bye)
}

/// Whole milliseconds, as all times of the protocol are given.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn address(reply: &Reply) -> (Option<&RawValue>, Option<&str>) {
    let op = reply.op.map_or("error", super::command::Op::as_str);
    (reply.id.as_deref(), reply.id.is_none().then_some(op))
}

/// A problem object as answers carry it: with `temporary`, whether trying again can help.
fn described(problem: &Problem, connection: &str) -> Value {
    let mut value = problem.to_value(connection, None);
    if let Some(members) = value.as_object_mut() {
        members.insert("temporary".to_owned(), problem.code.is_retryable().into());
        members.extend(problem.retry_after.map(|after| ("retryAfterMs".to_owned(), json!(millis(after)))));
    }
    value
}

fn text(message: &impl Serialize) -> Bytes {
    // The messages are maps with text keys, which JSON always holds.
    Bytes::from(serde_json::to_vec(message).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Nothing, bye, error, missing, ok, settled};
    use crate::event::{Partition, Topic};
    use crate::problem::{CloseCode, Code, Problem};
    use crate::socket::command::{Command, Reply};
    use std::time::Duration;

    fn reply(text: &str) -> Reply {
        Command::parse(text).unwrap().reply
    }

    #[test]
    fn answers_carry_the_id_or_else_the_op() {
        assert_eq!(&ok(&reply(r#"{"op":"pause","id":"a"}"#), Nothing {})[..], br#"{"id":"a","ok":{}}"#);
        assert_eq!(&ok(&reply(r#"{"op":"pause"}"#), 1)[..], br#"{"op":"pause","ok":1}"#);
        let answer = error(&reply(r#"{"op":"dance"}"#), &Problem::new(Code::BadRequest, "no"), "c-1");
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["op"], "error");
        assert_eq!(answer["error"]["code"], "bad_request");
        assert_eq!(answer["error"]["temporary"], false);
    }

    #[test]
    fn pushes_look_as_documented() {
        let topic = Topic::parse("orders.v1").unwrap();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&missing(
                7,
                &topic,
                Partition::new(0),
                [124, 180],
                "overrun"
            ))
            .unwrap(),
            serde_json::json!({"sub": 7, "gap": {"orders.v1": {"0": [124, 180]}}, "reason": "overrun"})
        );
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&settled(9, &[], &["?".to_owned()])).unwrap(),
            serde_json::json!({"sub": 9, "settled": [{"delivery": "?", "state": "unknown"}]})
        );
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&bye(
                CloseCode::Drain,
                None,
                Some(Duration::from_millis(11_250))
            ))
            .unwrap(),
            serde_json::json!({"op": "bye", "code": 4300, "reason": "drain", "reconnect": true, "delayMs": 11_250})
        );
    }
}
