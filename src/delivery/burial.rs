//! Writing dead letters: `dlq.{topic}.{group}`, awaited, with every header of the design.
//!
//! The letter keeps the record's partition, key, value and headers, and in a header its time: its own time is that of its
//! writing, from which retention counts. Over the log's size limit the error's
//! text is shortened, then a pointer to the source record is written instead. Whatever else fails is tried again,
//! for ever: the source record counts as settled only when the log has the letter.

mod ordered;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use crate::event::{GroupName, HeaderName, Headers, Offset, Partition, Record, Timestamp, Topic};
use crate::log::{self, Append, Cleanup, NewRecord, TopicSpec};

use super::dead_letters::{DeadLetterId, Fate, Verdict};
use super::group::{Burial, Reason, Slot};
use super::key_hash::KeyHash;
use super::redrive::{Rank, Redriven};
use super::shared::Shared;

pub(super) use ordered::bury_in_order;

/// The longest error text of a letter.
const ERROR_BYTES_MAX: usize = 1_024;
const ERROR_BYTES_SHORT: usize = 64;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Headers that a letter sets, and so never copies.
pub(super) const LETTER_HEADERS: [&str; 14] = [
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
enum Form {
    Whole,
    ShortError,
    /// The key, and where the source record lies.
    Pointer,
    /// Where the source record lies.
    BarePointer,
}

/// A record that is to be a letter.
#[derive(Debug)]
pub(super) struct Death {
    /// The source topic.
    topic: Topic,
    burial: Burial,
    /// Where it was taken, which is where it lies unless it was redriven.
    taken: Offset,
    /// Which letter it is already, where it was redriven.
    redriven: Option<Redriven>,
    /// After so many redrives a letter is held for a person.
    redrives_max: u32,
    /// Its place among the letters of its key, where it was redriven and later ones are not to pass it.
    rank: Option<Rank>,
}

/// Which letter was written, and where it lies.
#[derive(Debug)]
struct Written {
    name: String,
    at: Offset,
}

/// A letter that was written: what it was for.
#[derive(Debug)]
pub(super) struct Buried {
    pub(super) slot: Slot,
    pub(super) epoch: u64,
    pub(super) offset: u64,
    /// What is to be known of a letter that was redriven.
    pub(super) verdict: Option<Verdict>,
    /// Where it lies.
    pub(super) letter: Offset,
    /// Its key, where that can be parked.
    pub(super) key: Option<KeyHash>,
    /// Whether its key is to be parked now.
    pub(super) parks: bool,
}

/// The key of a letter's record, where it has one.
pub(super) fn key_of(letter: &Record) -> Option<KeyHash> {
    if let Some(key) = &letter.key {
        return Some(KeyHash::of(key));
    }
    let is_pointer = letter.headers.last_text("weirgate-dlq-reason") == Some(Reason::TooLarge.as_str());
    let pointer = letter.value.as_ref().filter(|_| is_pointer)?;
    let place: serde_json::Value = serde_json::from_slice(pointer).ok()?;
    KeyHash::parse(place.get(KEY_HASH)?.as_str()?)
}

/// The time of the record that a letter is of.
pub(super) fn source_time(letter: &Record) -> Timestamp {
    let said = letter.headers.last_text(TIMESTAMP).and_then(|text| text.parse().ok());
    said.map_or(letter.timestamp, Timestamp::from_millis)
}

/// The dead-letter topic of a group's topic.
pub(super) fn topic_of(topic: &Topic, group: &GroupName) -> Option<Topic> {
    Topic::parse(&format!("dlq.{topic}.{group}")).ok()
}

/// Writes a letter; returns when the log has it.
async fn bury(shared: &Shared, group: &GroupName, death: Death) -> Buried {
    let mut form = Form::Whole;
    let mut delay = RETRY_FIRST;
    let written = loop {
        match write(shared, group, &death, form).await {
            Ok(written) => break written,
            Err(log::Error::RecordTooLarge { .. }) if form != Form::BarePointer => form = form.smaller(),
            Err(error) => {
                complain(shared, group, &death, &error);
                sleep(delay).await;
                delay = (delay * 2).min(RETRY_MAX);
            }
        }
    };
    count(shared, group, &death, form);
    reopen(shared, group, &Vec::from_iter(death.born(&written))).await;
    death.buried(written.at)
}

impl Death {
    pub(super) fn new(
        topic: Topic,
        mut burial: Burial,
        redriven: Option<Redriven>,
        redrives_max: u32,
        rank: Option<Rank>,
    ) -> Self {
        let taken = burial.record.offset;
        if let Some(Redriven { record, first_failed, .. }) = &redriven {
            burial.record = record.clone();
            burial.first_failed = first_failed.unwrap_or(burial.first_failed);
        }
        Self { topic, burial, taken, redriven, redrives_max, rank }
    }

    fn identity(&self, group: &GroupName, incarnation: u64) -> Identity {
        // Its source may have been made anew while it was a letter.
        match &self.redriven {
            Some(redriven) => Identity { name: redriven.letter.name().to_owned(), redrives: self.redrives() },
            None => Identity::of(group, &self.topic, incarnation, &self.burial),
        }
    }

    /// How often it was redriven; a time that it was not tried does not count.
    fn redrives(&self) -> u32 {
        let redrives = self.redriven.as_ref().map_or(0, |redriven| redriven.redrives);
        redrives.saturating_sub(u32::from(self.burial.reason == Reason::KeyParked))
    }

    /// Its letter, which was written now, if this is its first.
    fn born(&self, written: &Written) -> Option<DeadLetterId> {
        let partition = Partition::new(self.burial.slot.partition);
        DeadLetterId::new(&written.name, partition, written.at).filter(|_| self.redriven.is_none())
    }

    /// Its letter lies there.
    fn buried(self, letter: Offset) -> Buried {
        let redrives = self.redrives();
        let Self { burial, taken, redriven, redrives_max, rank, .. } = self;
        let verdict = redriven.map(|redriven| {
            let partition = Partition::new(burial.slot.partition);
            let is_held = redrives >= redrives_max;
            Verdict {
                letter: redriven.letter.name().into(),
                fate: Fate::Failed { partition, offset: letter, is_held, rank },
            }
        });
        Buried {
            slot: burial.slot,
            epoch: burial.epoch,
            offset: taken.number(),
            verdict,
            letter,
            key: burial.key,
            parks: burial.parks,
        }
    }
}

/// What was decided of letters before their records died once more, as after a reset, holds no longer. Returns when that
/// is durable: a letter that its group forgot would count as settled.
async fn reopen(shared: &Shared, group: &GroupName, letters: &[DeadLetterId]) {
    let mut delay = RETRY_FIRST;
    if letters.is_empty() {
        return;
    }
    while let Err(error) = shared.states.reopen(group, letters, shared.clock.now()).await {
        shared.metrics.dead_letter_failures.inc();
        tracing::error!(%group, letters = letters.len(), %error, "dead letters cannot be opened again; their lanes wait");
        sleep(delay).await;
        delay = (delay * 2).min(RETRY_MAX);
    }
}

fn complain(shared: &Shared, group: &GroupName, death: &Death, error: &log::Error) {
    shared.metrics.dead_letter_failures.inc();
    let Death { topic, burial, .. } = death;
    let offset = burial.record.offset.number();
    let partition = burial.slot.partition;
    tracing::error!(%group, %topic, partition, offset, %error, "a dead letter cannot be written; its lane waits");
}

fn count(shared: &Shared, group: &GroupName, death: &Death, form: Form) {
    let Death { topic, burial, .. } = death;
    let reason = form.reason(burial.reason).as_str();
    shared.metrics.dead_letters.with_label_values(&[group.as_str(), topic.as_str(), reason]).inc();
    if burial.attempts > 0 {
        shared.metrics.attempts.observe(f64::from(burial.attempts));
    }
}

async fn write(shared: &Shared, group: &GroupName, death: &Death, form: Form) -> Result<Written, log::Error> {
    let Death { topic, burial, .. } = death;
    let (letters, incarnation) = grave(shared, group, topic, burial.slot.partition).await?;
    let partition = Partition::new(burial.slot.partition);
    let identity = death.identity(group, incarnation);
    let name = identity.name.clone();
    let record = letter(group, topic, identity, burial, form);
    let appended = shared.log.append(Append { topic: letters, partition, records: vec![record] }).await?;
    Ok(Written { name, at: appended.base })
}

/// The dead-letter topic, made where there is none or it has too few partitions, and the source's incarnation.
async fn grave(
    shared: &Shared,
    group: &GroupName,
    topic: &Topic,
    partition: u32,
) -> Result<(Topic, u64), log::Error> {
    let letters =
        topic_of(topic, group).ok_or(log::Error::NotSupported("dead-letter topics of such long names"))?;
    let source = shared.log.topic(topic);
    let incarnation = source.as_ref().map_or(0, |info| info.incarnation.0);
    let partitions = source.map_or(0, |info| info.spec.partitions).max(partition + 1);
    if shared.log.topic(&letters).is_none_or(|info| info.spec.partitions < partitions) {
        let spec = TopicSpec {
            name: letters.clone(),
            partitions,
            cleanup: Cleanup::Delete,
            retention: Some(shared.config.dead_letter_retention),
            retention_bytes: None,
        };
        shared.log.ensure_topic(&spec).await?;
        tracing::info!(topic = %letters, partitions, "dead-letter topic made");
    }
    Ok((letters, incarnation))
}

/// Which letter it is, and how often it came back.
#[derive(Debug)]
struct Identity {
    name: String,
    redrives: u32,
}

impl Identity {
    /// Of a letter that never was one.
    fn of(group: &GroupName, topic: &Topic, incarnation: u64, burial: &Burial) -> Self {
        let partition = Partition::new(burial.slot.partition);
        Self { name: name(group, incarnation, partition, topic, burial.record.offset), redrives: 0 }
    }
}

fn letter(group: &GroupName, topic: &Topic, identity: Identity, burial: &Burial, form: Form) -> NewRecord {
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
pub(super) fn name(
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
    const fn smaller(self) -> Self {
        match self {
            Self::Whole => Self::ShortError,
            Self::ShortError => Self::Pointer,
            Self::Pointer | Self::BarePointer => Self::BarePointer,
        }
    }

    const fn reason(self, reason: Reason) -> Reason {
        match self {
            Self::Whole | Self::ShortError => reason,
            Self::Pointer | Self::BarePointer => Reason::TooLarge,
        }
    }
}

impl Reason {
    /// As in the header and the metric.
    pub(super) const fn as_str(self) -> &'static str {
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

#[cfg(test)]
mod tests {
    use crate::event::Timestamp;

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
