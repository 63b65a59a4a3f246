//! The record of a letter: its headers, what it holds of the dead record, and what can be read of it afterwards.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::event::{GroupName, HeaderName, Headers, Offset, Partition, Record, Timestamp, Topic};
use crate::log::NewRecord;

use super::super::group::{Burial, Reason};
use super::super::key_hash::KeyHash;

/// The longest error text of a letter.
const ERROR_BYTES_MAX: usize = 1_024;
const ERROR_BYTES_SHORT: usize = 64;

/// Headers that a letter sets, and so never copies.
pub(in crate::delivery) const LETTER_HEADERS: [&str; 14] = [
    "__dlq.errors.topic",
    "__dlq.errors.partition",
    "__dlq.errors.offset",
    "__dlq.errors.group",
    "__dlq.errors.delivery.count",
    "__dlq.errors.message",
    "weirgate-dlq-id",
    "weirgate-dlq-reason",
    "weirgate-dlq-error",
    "weirgate-dlq-attempts",
    "weirgate-dlq-first-failed-at",
    "weirgate-dlq-last-failed-at",
    "weirgate-dlq-redrives",
    TIMESTAMP,
];

/// The record's time, in milliseconds. Letters that were written before there was this header have it as their own.
const TIMESTAMP: &str = "weirgate-dlq-timestamp";

/// Where a pointer without its record's key says which key that is.
const KEY_HASH: &str = "keyHash";

/// How much of the record a letter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    ShortError,
    /// The key, and where the source record lies.
    Pointer,
    /// Where the source record lies.
    BarePointer,
}

/// Which letter it is, and how often it came back.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) redrives: u32,
}

impl Identity {
    /// Of a letter that never was one.
    pub(super) fn of(group: &GroupName, topic: &Topic, incarnation: u64, burial: &Burial) -> Self {
        let partition = Partition::new(burial.slot.partition);
        Self { name: name(group, incarnation, partition, topic, burial.record.offset), redrives: 0 }
    }
}

/// The record of a letter.
pub(super) fn letter(
    group: &GroupName,
    topic: &Topic,
    identity: Identity,
    burial: &Burial,
    form: Form,
) -> NewRecord {
    let Burial { slot, record, .. } = burial;
    let is_pointer = matches!(form, Form::Pointer | Form::BarePointer);
    let offset = record.offset;
    let error_max = if form == Form::Whole { ERROR_BYTES_MAX } else { ERROR_BYTES_SHORT };
    let reason = form.reason(burial.reason);
    let error = shorten(burial.error.as_deref().unwrap_or_else(|| burial.reason.words()), error_max);
    let values: [String; 14] = [
        topic.to_string(),
        slot.partition.to_string(),
        offset.to_string(),
        group.to_string(),
        burial.attempts.to_string(),
        error.to_owned(),
        identity.name,
        reason.as_str().to_owned(),
        error.to_owned(),
        burial.attempts.to_string(),
        burial.first_failed.to_string(),
        burial.last_failed.to_string(),
        identity.redrives.to_string(),
        record.timestamp.millis().to_string(),
    ];
    let kept = record.headers.iter().filter(|(name, _)| !is_pointer && !LETTER_HEADERS.contains(&&***name));
    let mut headers: Vec<(HeaderName, Option<Bytes>)> =
        kept.map(|(name, value)| (Arc::clone(name), value.cloned())).collect();
    let own = LETTER_HEADERS.iter().zip(values);
    headers.extend(own.map(|(name, value)| (HeaderName::from(*name), Some(Bytes::from(value)))));
    let pointer = || match burial.key.filter(|_| form == Form::BarePointer) {
        Some(key) => serde_json::json!({
            "topic": topic, "partition": slot.partition, "offset": offset, KEY_HASH: key.to_string()
        }),
        None => serde_json::json!({ "topic": topic, "partition": slot.partition, "offset": offset }),
    };
    NewRecord {
        key: record.key.clone().filter(|_| form != Form::BarePointer),
        value: if is_pointer { Some(pointer().to_string().into()) } else { record.value.clone() },
        headers: Headers::new(headers),
        // Of its own: Kafka's retention counts from there, and the record may be older than that.
        timestamp: None,
    }
}

/// What names a letter: the same record of the same group always has the same, however often it is written.
pub(in crate::delivery) fn name(
    group: &GroupName,
    incarnation: u64,
    partition: Partition,
    topic: &Topic,
    offset: Offset,
) -> String {
    let text = format!("{group}/{topic}/{incarnation}/{partition}/{offset}");
    let digest = Sha256::digest(text);
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// At most so many bytes of a text, cut between characters.
fn shorten(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

impl Form {
    pub(super) const fn smaller(self) -> Self {
        match self {
            Self::Whole => Self::ShortError,
            Self::ShortError => Self::Pointer,
            Self::Pointer | Self::BarePointer => Self::BarePointer,
        }
    }

    pub(super) const fn reason(self, reason: Reason) -> Reason {
        match self {
            Self::Whole | Self::ShortError => reason,
            Self::Pointer | Self::BarePointer => Reason::TooLarge,
        }
    }
}

impl Reason {
    /// As in the header and the metric.
    pub(in crate::delivery) const fn as_str(self) -> &'static str {
        match self {
            Self::RetriesExhausted => "retries_exhausted",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::KeyParked => "key_parked",
            Self::TooLarge => "too_large",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::RetriesExhausted => "every attempt failed",
            Self::Rejected => "rejected by the consumer",
            Self::Expired => "not settled in time",
            Self::KeyParked => "an earlier event of its key is dead and not settled",
            Self::TooLarge => "too large for the dead-letter topic",
        }
    }
}

/// The key of a letter's record, where it has one.
pub(in crate::delivery) fn key_of(letter: &Record) -> Option<KeyHash> {
    if let Some(key) = &letter.key {
        return Some(KeyHash::of(key));
    }
    let is_pointer = letter.headers.last_text("weirgate-dlq-reason") == Some(Reason::TooLarge.as_str());
    let pointer = letter.value.as_ref().filter(|_| is_pointer)?;
    let place: serde_json::Value = serde_json::from_slice(pointer).ok()?;
    KeyHash::parse(place.get(KEY_HASH)?.as_str()?)
}

/// The time of the record that a letter is of.
pub(in crate::delivery) fn source_time(letter: &Record) -> Timestamp {
    let said = letter.headers.last_text(TIMESTAMP).and_then(|text| text.parse().ok());
    said.map_or(letter.timestamp, Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::super::super::group::Slot;
    use super::*;

    fn burial() -> Burial {
        let header = |name: &str, value: &'static str| (HeaderName::from(name), Some(Bytes::from(value)));
        let headers =
            vec![header("traceparent", "00-1"), header("weirgate-dlq-reason", "old"), header("ce_id", "7")];
        Burial {
            slot: Slot { topic: 0, partition: 2 },
            epoch: 9,
            record: Record {
                offset: Offset::new(55),
                timestamp: Timestamp::from_millis(1_000),
                key: Some(Bytes::from("42")),
                value: Some(Bytes::from("{}")),
                headers: Headers::new(headers),
                decoded: None,
            },
            key: None,
            parks: false,
            reason: Reason::Rejected,
            error: Some("no such sku".into()),
            attempts: 2,
            first_failed: Timestamp::from_millis(2_000),
            last_failed: Timestamp::from_millis(3_000),
        }
    }

    fn identity() -> Identity {
        Identity { name: "5f70bf18a086007016e948b04aed3b82".to_owned(), redrives: 2 }
    }

    fn names() -> (GroupName, Topic) {
        (GroupName::parse("inventory-sync").unwrap(), Topic::parse("orders.v1").unwrap())
    }

    #[test]
    fn every_header_of_a_letter_has_its_value() {
        let (group, topic) = names();
        let letter = letter(&group, &topic, identity(), &burial(), Form::Whole);
        for (name, value) in [
            ("__dlq.errors.topic", "orders.v1"),
            ("__dlq.errors.partition", "2"),
            ("__dlq.errors.offset", "55"),
            ("__dlq.errors.group", "inventory-sync"),
            ("__dlq.errors.delivery.count", "2"),
            ("__dlq.errors.message", "no such sku"),
            ("weirgate-dlq-reason", "rejected"),
            ("weirgate-dlq-error", "no such sku"),
            ("weirgate-dlq-attempts", "2"),
            ("weirgate-dlq-first-failed-at", "1970-01-01T00:00:02.000Z"),
            ("weirgate-dlq-last-failed-at", "1970-01-01T00:00:03.000Z"),
            ("weirgate-dlq-id", "5f70bf18a086007016e948b04aed3b82"),
            ("weirgate-dlq-redrives", "2"),
            ("weirgate-dlq-timestamp", "1000"),
            ("traceparent", "00-1"),
            ("ce_id", "7"),
        ] {
            assert_eq!(letter.headers.last_text(name), Some(value), "{name}");
            assert_eq!(letter.headers.iter().filter(|(have, _)| &***have == name).count(), 1, "{name}");
        }
        assert_eq!(letter.timestamp, None, "it is kept from when it is written");
        assert_eq!(letter.key, Some(Bytes::from("42")));
        assert_eq!(letter.value, Some(Bytes::from("{}")));
    }

    #[test]
    fn the_name_is_of_group_incarnation_partition_and_offset() {
        let (group, topic) = names();
        let name_of =
            |incarnation, offset| name(&group, incarnation, Partition::new(2), &topic, Offset::new(offset));
        assert_eq!(name_of(3, 55), name_of(3, 55));
        assert_ne!(name_of(3, 55), name_of(4, 55));
        assert_ne!(name_of(3, 55), name_of(3, 56));
        assert_eq!(name_of(3, 55).len(), 32);
    }

    #[test]
    fn a_letter_too_large_becomes_a_pointer() {
        let (group, topic) = names();
        let burial = Burial { error: Some("ä".repeat(2_000).into()), ..burial() };
        let whole = letter(&group, &topic, identity(), &burial, Form::Whole);
        assert_eq!(whole.headers.last("weirgate-dlq-error").unwrap().len(), ERROR_BYTES_MAX);
        let short = letter(&group, &topic, identity(), &burial, Form::ShortError);
        assert_eq!(short.headers.last("weirgate-dlq-error").unwrap().len(), ERROR_BYTES_SHORT);
        let pointer = letter(&group, &topic, identity(), &burial, Form::Pointer);
        let value: serde_json::Value = serde_json::from_slice(pointer.value.as_ref().unwrap()).unwrap();
        assert_eq!(value, serde_json::json!({"topic": "orders.v1", "partition": 2, "offset": 55}));
        assert_eq!(pointer.headers.last_text("weirgate-dlq-reason"), Some("too_large"));
        assert_eq!(pointer.headers.last("traceparent"), None);
        let parked = Burial { key: Some(KeyHash::of(b"42")), ..burial };
        for form in [Form::Whole, Form::Pointer, Form::BarePointer] {
            let letter = letter(&group, &topic, identity(), &parked, form);
            let NewRecord { key, value, headers, .. } = letter;
            let record = Record { key, value, headers, ..parked.record.clone() };
            assert_eq!(key_of(&record), parked.key, "{form:?}");
        }
    }
}
