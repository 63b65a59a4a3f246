//! A letter's record as it lies in the redrive topic, and what its group's members see of it.

use std::sync::Arc;

use bytes::Bytes;

use crate::event::{HeaderName, Headers, Offset, Partition, Record, Timestamp, Topic};
use crate::log::NewRecord;

use super::super::burial::{LETTER_HEADERS, source_time};
use super::super::dead_letters::DeadLetterId;

const TOPIC: &str = "__dlq.errors.topic";
const PARTITION: &str = "__dlq.errors.partition";
const OFFSET: &str = "__dlq.errors.offset";
const ID: &str = "weirgate-dlq-id";
const FIRST_FAILED_AT: &str = "weirgate-dlq-first-failed-at";
const REDRIVES: &str = "weirgate-dlq-redrives";
/// The source record's time; a header of redrive topics alone.
const TIME: &str = "weirgate-redrive-timestamp";
/// For which group of the name it is, where one before it was deleted; a header of redrive topics alone.
const INCARNATION: &str = "weirgate-redrive-incarnation";

/// A record of a redrive topic, read back.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct Redriven {
    /// The source topic; its partition has the number of that of the redrive topic.
    pub(in crate::delivery) topic: Topic,
    /// The source record, as it was before it failed.
    pub(in crate::delivery) record: Record,
    /// Which letter, by the place of this record.
    pub(in crate::delivery) letter: DeadLetterId,
    /// How often it was redriven, this time included.
    pub(in crate::delivery) redrives: u32,
    /// When it failed first, before it was redriven.
    pub(in crate::delivery) first_failed: Option<Timestamp>,
    /// For which group of the name it is.
    pub(in crate::delivery) incarnation: u64,
}

impl Redriven {
    /// Reads a record of a partition of a redrive topic; `None` for one that no gateway wrote.
    pub(in crate::delivery) fn read(record: &Record, partition: Partition) -> Option<Self> {
        let text = |name: &str| record.headers.last_text(name);
        if source_of(record)?.1 != partition {
            return None;
        }
        let timestamp = text(TIME)?.parse().ok().map(Timestamp::from_millis)?;
        let is_source = |name: &HeaderName| {
            !LETTER_HEADERS.contains(&&**name) && **name != *TIME && **name != *INCARNATION
        };
        let headers = record.headers.iter().filter(|(name, _)| is_source(name));
        Some(Self {
            topic: source_of(record)?.0,
            record: Record {
                offset: Offset::new(text(OFFSET)?.parse().ok()?),
                timestamp,
                headers: headers.map(|(name, value)| (Arc::clone(name), value.cloned())).collect(),
                ..record.clone()
            },
            letter: DeadLetterId::new(text(ID)?, partition, record.offset)?,
            redrives: text(REDRIVES)?.parse().ok()?,
            first_failed: text(FIRST_FAILED_AT).and_then(|text| Timestamp::parse(text).ok()),
            incarnation: text(INCARNATION).map_or(Some(0), |text| text.parse().ok())?,
        })
    }
}

/// Where a letter comes from; `None` for a record that is no letter.
pub(super) fn source_of(letter: &Record) -> Option<(Topic, Partition, Offset)> {
    let text = |name: &str| letter.headers.last_text(name);
    let partition = Partition::new(text(PARTITION)?.parse().ok()?);
    Some((Topic::parse(text(TOPIC)?).ok()?, partition, Offset::new(text(OFFSET)?.parse().ok()?)))
}

/// The record for the redrive topic: of `letter` the headers that say which one it is, of `source` all else. They are the
/// same but for a letter that only points at its source. It is for this group of the name.
pub(super) fn outgoing(letter: &Record, source: &Record, incarnation: u64) -> NewRecord {
    let redrives = letter.headers.last_text(REDRIVES).and_then(|text| text.parse().ok()).unwrap_or(0_u32);
    let own = [
        (REDRIVES, redrives.saturating_add(1).to_string()),
        (TIME, source_time(letter).millis().to_string()),
        (INCARNATION, incarnation.to_string()),
    ];
    let is_letter = |name: &HeaderName| LETTER_HEADERS.contains(&&**name);
    let is_own = |name: &HeaderName| own.iter().any(|(own, _)| **name == **own);
    let of_source = source.headers.iter().filter(|(name, _)| !is_letter(name) && !is_own(name));
    let of_letter = letter.headers.iter().filter(|(name, _)| is_letter(name) && !is_own(name));
    let mut headers: Vec<(HeaderName, Option<Bytes>)> =
        of_source.chain(of_letter).map(|(name, value)| (Arc::clone(name), value.cloned())).collect();
    headers.extend(
        own.iter()
            .map(|(name, value)| (HeaderName::from(*name), Some(Bytes::copy_from_slice(value.as_bytes())))),
    );
    NewRecord {
        key: source.key.clone(),
        value: source.value.clone(),
        headers: Headers::new(headers),
        timestamp: None,
    }
}

#[cfg(test)]
impl Redriven {
    /// A record of a redrive topic, of this letter of `orders.v1`, whose number is its source offset.
    pub(in crate::delivery) fn sample(
        partition: Partition,
        offset: u64,
        key: Option<u8>,
        letter: u64,
    ) -> Record {
        let values = [
            (TOPIC, "orders.v1".to_owned()),
            (PARTITION, partition.to_string()),
            (OFFSET, letter.to_string()),
            (ID, format!("{letter:032x}")),
            (REDRIVES, "1".to_owned()),
            (TIME, "5".to_owned()),
        ];
        let headers = values.map(|(name, value)| (HeaderName::from(name), Some(Bytes::from(value))));
        Record {
            offset: Offset::new(offset),
            timestamp: Timestamp::from_millis(5),
            key: key.map(|key| Bytes::copy_from_slice(&[key])),
            value: None,
            headers: Headers::new(headers.into()),
            decoded: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID_TEXT: &str = "5f70bf18a086007016e948b04aed3b82";

    fn header(name: &str, value: &str) -> (HeaderName, Option<Bytes>) {
        (HeaderName::from(name), Some(Bytes::copy_from_slice(value.as_bytes())))
    }

    fn letter() -> Record {
        let headers = vec![
            header("traceparent", "00-1"),
            header("a", "1"),
            header("a", "2"),
            (HeaderName::from("null"), None),
            header(TOPIC, "orders.v1"),
            header(PARTITION, "2"),
            header(OFFSET, "55"),
            header(ID, ID_TEXT),
            header("weirgate-dlq-error", "no such sku"),
            header(FIRST_FAILED_AT, "2026-11-21T10:00:00.000Z"),
            header(REDRIVES, "1"),
            header("weirgate-dlq-timestamp", "1000"),
        ];
        Record {
            offset: Offset::new(7),
            timestamp: Timestamp::from_millis(8_000_000),
            key: Some(Bytes::from_static(b"\xff42")),
            value: Some(Bytes::from_static(b"{}")),
            headers: Headers::new(headers),
            decoded: None,
        }
    }

    /// As it is read back at this offset of the redrive topic.
    fn stored(new: NewRecord, offset: u64) -> Record {
        let NewRecord { key, value, headers, timestamp: _ } = new;
        let timestamp = Timestamp::from_millis(9_000_000);
        Record { offset: Offset::new(offset), timestamp, key, value, headers, decoded: None }
    }

    #[test]
    fn a_member_sees_the_source_record_and_how_often_it_was_redriven() {
        let sent = stored(outgoing(&letter(), &letter(), 7), 3);
        let seen = Redriven::read(&sent, Partition::new(2)).unwrap();
        assert_eq!((seen.topic.as_str(), seen.redrives), ("orders.v1", 2));
        assert_eq!(seen.letter.to_string(), format!("{ID_TEXT}-2-3"));
        assert_eq!(seen.first_failed, Timestamp::parse("2026-11-21T10:00:00.000Z").ok());
        let record = seen.record;
        assert_eq!((record.offset, record.timestamp), (Offset::new(55), Timestamp::from_millis(1_000)));
        assert_eq!((record.key, record.value), (letter().key, letter().value));
        let names: Vec<&str> = record.headers.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["traceparent", "a", "a", "null"]);
        // Once more, and every header is there once.
        let again = stored(outgoing(&sent, &sent, 7), 4);
        assert_eq!(again.headers.iter().filter(|(name, _)| ***name == *REDRIVES).count(), 1);
        assert_eq!(again.headers.iter().filter(|(name, _)| ***name == *TIME).count(), 1);
    }

    #[test]
    fn of_a_pointer_the_source_record_is_sent() {
        let headers =
            Headers::new(vec![header("big", "x"), header(REDRIVES, "forged"), header(ID, "forged")]);
        let source = Record { value: Some(Bytes::from_static(b"whole")), headers, ..letter() };
        let seen = Redriven::read(&stored(outgoing(&letter(), &source, 7), 0), Partition::new(2)).unwrap();
        assert_eq!(seen.record.value.as_deref(), Some(b"whole".as_slice()));
        assert_eq!(seen.record.headers.last_text("big"), Some("x"));
        assert_eq!((seen.redrives, seen.record.headers.len()), (2, 1));
    }

    #[test]
    fn a_letter_that_does_not_say_its_sources_time_has_it_as_its_own() {
        let all = letter();
        let headers = all.headers.iter().filter(|(name, _)| ***name != *"weirgate-dlq-timestamp");
        let headers = headers.map(|(name, value)| (Arc::clone(name), value.cloned())).collect();
        let old = Record { headers, ..all };
        let seen = Redriven::read(&stored(outgoing(&old, &old, 7), 0), Partition::new(2)).unwrap();
        assert_eq!(seen.record.timestamp, Timestamp::from_millis(8_000_000));
    }

    #[test]
    fn what_no_gateway_wrote_is_no_redriven_record() {
        assert!(Redriven::read(&letter(), Partition::new(2)).is_none(), "without the time");
        let sent = stored(outgoing(&letter(), &letter(), 7), 3);
        assert!(Redriven::read(&sent, Partition::new(1)).is_none(), "of another partition");
        for missing in [TOPIC, PARTITION, OFFSET, ID, REDRIVES, TIME] {
            for forged in [None, Some(Bytes::from_static(b"\xff"))] {
                let headers = sent.headers.iter().map(|(name, value)| {
                    let value = if **name == *missing { forged.clone() } else { value.cloned() };
                    (Arc::clone(name), value)
                });
                let bad = Record { headers: headers.collect(), ..sent.clone() };
                assert!(Redriven::read(&bad, Partition::new(2)).is_none(), "{missing}");
            }
        }
    }
}
