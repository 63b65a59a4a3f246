//! What a record of a dead-letter topic says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::event::{GroupName, Headers, Offset, Partition, Record, Timestamp, Topic};

use super::super::burial::LETTER_HEADERS;
use super::{DeadLetterId, DeadLetterState, Note, Standing};

/// A dead letter, without its payload.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Which one it is.
    pub id: DeadLetterId,
    /// The group that failed.
    pub group: GroupName,
    /// The source topic.
    pub topic: Topic,
    /// The source partition.
    pub partition: Partition,
    /// The source offset.
    pub offset: Offset,
    /// The record's key, where it is UTF-8.
    pub key: Option<String>,
    /// The record's key where it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// What became of it.
    pub state: DeadLetterState,
    /// Since when it is no longer open, and who decided that.
    #[serde(flatten)]
    pub settled: Option<super::Settled>,
    /// Why it is dead.
    pub reason: String,
    /// In the consumer's words.
    pub error: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed first.
    pub first_failed_at: Option<Timestamp>,
    /// When it failed last.
    pub last_failed_at: Option<Timestamp>,
    /// How often it was redriven.
    pub redrives: u32,
    /// The record's headers, those of the letter itself left out.
    pub headers: Map<String, Value>,
    /// What people wrote to it, the oldest first.
    pub notes: Vec<Note>,
}

/// Which letter a record of the dead-letter topic's `partition` is; `None` for a record that is none.
pub(super) fn id_of(record: &Record, partition: Partition) -> Option<DeadLetterId> {
    DeadLetterId::new(record.headers.last_text("weirgate-dlq-id")?, partition, record.offset)
}

/// When a letter's last attempt failed.
pub(super) fn last_failed_at(record: &Record) -> Option<Timestamp> {
    time(record, "weirgate-dlq-last-failed-at")
}

/// Why a letter is dead.
pub(super) fn reason(record: &Record) -> Option<&str> {
    record.headers.last_text("weirgate-dlq-reason")
}

/// All that a record says of its letter; `None` for a record that is none.
pub(super) fn read(
    group: &GroupName,
    id: DeadLetterId,
    record: &Record,
    standing: Standing,
) -> Option<DeadLetter> {
    let headers = &record.headers;
    let text = |name: &str| headers.last_text(name);
    let number = |name: &str| text(name).and_then(|text| text.parse().ok());
    let key = record.key.as_ref().map(|key| std::str::from_utf8(key).map_err(|_| STANDARD.encode(key)));
    let (key, key_base64) = match key {
        None => (None, None),
        Some(Ok(key)) => (Some(key.to_owned()), None),
        Some(Err(encoded)) => (None, Some(encoded)),
    };
    Some(DeadLetter {
        id,
        group: group.clone(),
        topic: Topic::parse(text("__dlq.errors.topic")?).ok()?,
        partition: Partition::new(text("__dlq.errors.partition")?.parse().ok()?),
        offset: Offset::new(text("__dlq.errors.offset")?.parse().ok()?),
        key,
        key_base64,
        state: standing.state,
        settled: standing.settled,
        reason: reason(record)?.to_owned(),
        error: text("weirgate-dlq-error").map(str::to_owned),
        attempts: number("weirgate-dlq-attempts").unwrap_or(0),
        first_failed_at: time(record, "weirgate-dlq-first-failed-at"),
        last_failed_at: last_failed_at(record),
        redrives: number("weirgate-dlq-redrives").unwrap_or(0),
        headers: source_headers(headers),
        notes: standing.notes,
    })
}

fn time(record: &Record, header: &str) -> Option<Timestamp> {
    record.headers.last_text(header).and_then(|text| Timestamp::parse(text).ok())
}

/// The headers as in a subscriber's frame: text, `{"base64":…}`, null, and an array where a name repeats.
fn source_headers(headers: &Headers) -> Map<String, Value> {
    let mut shown = Map::new();
    for (name, value) in headers.iter().filter(|(name, _)| !LETTER_HEADERS.contains(&&***name)) {
        let value = value.map_or(Value::Null, |bytes| match std::str::from_utf8(bytes) {
            Ok(text) => Value::from(text),
            Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
        });
        match shown.get_mut(&**name) {
            None => drop(shown.insert(name.to_string(), value)),
            Some(Value::Array(all)) => all.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn repeated_and_binary_headers_are_shown_as_in_frames() {
        let header =
            |name: &str, value: &'static [u8]| (Arc::from(name), Some(bytes::Bytes::from_static(value)));
        let all =
            vec![header("a", b"1"), header("a", b"2"), header("b", b"\xff"), header("weirgate-dlq-id", b"x")];
        let shown = source_headers(&Headers::new(all));
        assert_eq!(Value::Object(shown), json!({"a": ["1", "2"], "b": {"base64": "/w=="}}));
    }
}
