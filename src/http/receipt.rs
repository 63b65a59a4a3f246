//! Answers to publishing as JSON, formed by hand where they are many.

use std::fmt::Write as _;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::problem::Problem;
use crate::publish::{Batch, Checked, Item, ItemResult, Outcome, Published, Queued, Receipt};
use crate::schema::Violation;

use super::call::Call;

/// Status and body of the answer to a single event.
pub(super) fn single(published: &Published) -> (StatusCode, Vec<u8>) {
    let mut text = String::with_capacity(224);
    let status = match &published.outcome {
        Outcome::Accepted(receipt) => {
            write_receipt(&mut text, "accepted", receipt);
            StatusCode::CREATED
        }
        Outcome::Duplicate(receipt) => {
            write_receipt(&mut text, "duplicate", receipt);
            StatusCode::OK
        }
        Outcome::Queued(queued) => {
            text.push_str(&Value::Object(of_queued(queued)).to_string());
            StatusCode::ACCEPTED
        }
        Outcome::Checked(checked) => {
            text.push_str(&Value::Object(of_checked(checked)).to_string());
            StatusCode::OK
        }
    };
    if !published.warnings.is_empty() && text.pop().is_some() {
        text.push_str(",\"warnings\":");
        text.push_str(&warnings(&published.warnings).to_string());
        text.push('}');
    }
    (status, text.into_bytes())
}

/// A batch whose items are all queued or all only checked says so; else each item speaks for itself.
pub(super) fn batch_status(batch: &Batch) -> StatusCode {
    let all = |is_so: fn(&ItemResult) -> bool| batch.items.iter().all(|item| is_so(&item.result));
    if all(|result| matches!(result, ItemResult::Queued(_))) {
        StatusCode::ACCEPTED
    } else if all(|result| matches!(result, ItemResult::Checked(_))) {
        StatusCode::OK
    } else {
        StatusCode::MULTI_STATUS
    }
}

/// The items of a batch.
pub(super) fn items(batch: &Batch, call: &Call) -> Value {
    Value::Array(batch.items.iter().map(|one| Value::Object(item(one, call))).collect())
}

/// One item of a batch or a stream.
pub(super) fn item(item: &Item, call: &Call) -> Map<String, Value> {
    let mut members = match &item.result {
        ItemResult::Accepted(receipt) => of_receipt("accepted", receipt),
        ItemResult::Duplicate(receipt) => of_receipt("duplicate", receipt),
        ItemResult::Queued(queued) => of_queued(queued),
        ItemResult::Checked(checked) => of_checked(checked),
        ItemResult::Failed(error) => {
            let problem = Problem::from(error).to_value(call.id(), call.correlation_id());
            object(json!({"status": "failed", "problem": problem}))
        }
        ItemResult::Aborted => object(json!({"status": "aborted"})),
        ItemResult::Unknown => object(json!({"status": "unknown"})),
    };
    members.insert("index".to_owned(), item.index.into());
    if let Some(event_id) = &item.event_id {
        members.insert("eventId".to_owned(), event_id.as_str().into());
    }
    if !item.warnings.is_empty() {
        members.insert("warnings".to_owned(), warnings(&item.warnings));
    }
    members
}

/// Ids, topics and times need no escaping: their grammars hold no quote, backslash or control character.
fn write_receipt(text: &mut String, status: &str, receipt: &Receipt) {
    let Receipt { event_id, topic, partition, offset, timestamp } = receipt;
    let written = write!(
        text,
        "{{\"status\":\"{status}\",\"eventId\":\"{event_id}\",\"topic\":\"{topic}\",\"partition\":{partition},\
         \"offset\":{offset},\"timestamp\":\"{timestamp}\"}}"
    );
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

fn of_receipt(status: &str, receipt: &Receipt) -> Map<String, Value> {
    object(json!({
        "status": status,
        "eventId": receipt.event_id.as_str(),
        "topic": receipt.topic.as_str(),
        "partition": receipt.partition.number(),
        "offset": receipt.offset.number(),
        "timestamp": receipt.timestamp.to_string(),
    }))
}

fn of_queued(queued: &Queued) -> Map<String, Value> {
    let mut members = object(json!({
        "status": "queued",
        "eventId": queued.event_id.as_str(),
        "topic": queued.topic.as_str(),
        "partition": queued.partition.number(),
    }));
    if let Some(offset) = queued.offset {
        members.insert("offset".to_owned(), offset.number().into());
    }
    members
}

fn of_checked(checked: &Checked) -> Map<String, Value> {
    let mut members = object(json!({
        "status": "checked",
        "topic": checked.topic.as_str(),
        "partition": checked.partition.map(crate::event::Partition::number),
        "schemaId": checked.schema_id.map(crate::schema::SchemaId::number),
    }));
    if let Some(event_id) = &checked.event_id {
        members.insert("eventId".to_owned(), event_id.as_str().into());
    }
    let (name, key) = match &checked.key {
        None => ("key", Value::Null),
        Some(key) => match std::str::from_utf8(key) {
            Ok(text) => ("key", text.into()),
            Err(_) => {
                use base64::Engine as _;
                ("keyBase64", base64::engine::general_purpose::STANDARD.encode(key).into())
            }
        },
    };
    members.insert(name.to_owned(), key);
    members
}

fn warnings(violations: &[Violation]) -> Value {
    let list = violations.iter().take(20);
    Value::Array(
        list.map(|one| json!({"pointer": one.pointer, "keyword": one.keyword, "message": one.message}))
            .collect(),
    )
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::single;
    use crate::event::{EventId, Offset, Partition, Timestamp, Topic};
    use crate::publish::{Checked, Outcome, Published, Receipt};
    use crate::schema::Violation;

    const ID: &str = "0193b5a0-1111-7222-8333-444455556666";

    fn answer(outcome: Outcome, warnings: Vec<Violation>) -> (u16, Value) {
        let (status, body) = single(&Published { outcome, warnings });
        (status.as_u16(), serde_json::from_slice(&body).unwrap())
    }

    fn receipt() -> Receipt {
        Receipt {
            event_id: EventId::parse(ID).unwrap(),
            topic: Topic::parse("orders.v1").unwrap(),
            partition: Partition::new(3),
            offset: Offset::new(17),
            timestamp: Timestamp::parse("2026-11-21T10:15:30.123Z").unwrap(),
        }
    }

    #[test]
    fn receipts_are_json() {
        let members = |status| {
            json!({"status": status, "eventId": ID, "topic": "orders.v1", "partition": 3, "offset": 17,
                   "timestamp": "2026-11-21T10:15:30.123Z"})
        };
        assert_eq!(answer(Outcome::Accepted(receipt()), vec![]), (201, members("accepted")));
        assert_eq!(answer(Outcome::Duplicate(receipt()), vec![]), (200, members("duplicate")));
    }

    #[test]
    fn warnings_are_added() {
        let (pointer, place) = ("/data/a".to_owned(), "/data/a".to_owned());
        let warning = Violation { pointer, place, keyword: "type".into(), message: "must be \"x\"".into() };
        let (_, body) = answer(Outcome::Accepted(receipt()), vec![warning]);
        assert_eq!(
            body["warnings"],
            json!([{"pointer": "/data/a", "keyword": "type", "message": "must be \"x\""}])
        );
        assert_eq!(body["offset"], 17);
    }

    #[test]
    fn keys_that_are_no_text_are_base64() {
        let checked = |key: &[u8]| {
            let outcome = Outcome::Checked(Checked {
                event_id: None,
                topic: Topic::parse("orders.v1").unwrap(),
                partition: None,
                key: Some(key.to_vec().into()),
                schema_id: None,
            });
            answer(outcome, vec![]).1
        };
        assert_eq!(checked(b"a\"b")["key"], "a\"b");
        assert_eq!(checked(&[0xff])["keyBase64"], "/w==");
    }
}
