//! Data alone, where neither record nor value names its schema: as another producer writes it, by the latest schema of its
//! event type.
//!
//! What lies in the topic from before it held data alone is read as it was then: JSON, and data behind a name. The latest
//! schema goes first, since a number in Avro may look like one in JSON, and what it does not read may be from before.

use std::sync::Arc;

use super::metrics::Reason;
use super::{Decoder, Language, Place, Unknown, Unread, Wanted, decode, is_json, unusable};
use crate::event::{Decoded, EventType, Record, type_beside};
use crate::schema::SchemaId;
use crate::schema::framing::{Frame, Writer};

impl Decoder {
    pub(super) fn read_plain(
        &self,
        place: Place<'_>,
        record: &Record,
        value: &[u8],
        unknown: Unknown,
    ) -> Result<Option<Decoded>, Unread> {
        let event_type = type_of(place, record);
        let latest = event_type.as_ref().and_then(|event_type| self.latest(event_type));
        let misfit = match latest.as_ref().map(|(id, language)| read_by(*id, language, value)) {
            Some(Ok(json)) => return Ok(Some(json)),
            Some(Err(misfit)) => misfit,
            None => unnamed("names no schema, and its event type has none"),
        };
        if latest.is_some() && is_json(value) {
            return Ok(None);
        }
        let mut wanted = Vec::new();
        // There may be a version that is not known here yet: this may be the first that was written by it.
        if let Some(latest) = event_type.map(Wanted::Latest)
            && let Err(Unread::NotYet(latest)) = self.wait_for(latest, unknown)
        {
            wanted.extend(latest);
        }
        if wanted.is_empty() && is_json(value) {
            return Ok(None);
        }
        if let Ok(Some(frame)) = Frame::before(value) {
            match self.read_framed(place.format, &frame, value, unknown) {
                Ok(read) => return Ok(read),
                Err(Unread::NotYet(writers)) => wanted.extend(writers),
                Err(Unread::Undecodable { .. }) => {}
            }
        }
        Err(if wanted.is_empty() { misfit } else { Unread::NotYet(wanted) })
    }

    fn latest(&self, event_type: &EventType) -> Option<(SchemaId, Arc<Language>)> {
        let id = self.0.writers.latest(event_type)?;
        Some((id, self.language(Writer::Id(id))?))
    }
}

/// The type that a record says, else that of the topic's events which say none.
fn type_of(place: Place<'_>, record: &Record) -> Option<EventType> {
    match type_beside(&record.headers) {
        Some(text) => EventType::parse(&text).ok(),
        None => place.catalogue.default_type(place.topic).ok(),
    }
}

fn read_by(id: SchemaId, language: &Language, value: &[u8]) -> Result<Decoded, Unread> {
    match language {
        Language::Json => Err(unnamed("names no schema, and its event type's is JSON")),
        Language::Coded(codec) => decode(&Frame::alone(id, value), &**codec),
        Language::Unusable => unusable(Writer::Id(id)),
    }
}

fn unnamed(problem: &str) -> Unread {
    Unread::Undecodable { reason: Reason::Unnamed, problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use tokio::time::Instant;

    use super::Decoder;
    use crate::event::{Decoded, EventType, Format, Record, TopicRule, Wire};
    use crate::schema::decoder::tests::{
        Book, coded, decoder_of, json, problem, read, record, rule, topic, turned,
    };
    use crate::schema::decoder::{WAIT_MAX, known};
    use crate::schema::framing::OWN_HEADER;
    use crate::telemetry;

    const TYPE: &str = "weirgate-event-type";

    /// `plain` and `two` hold data alone, `framed` names its schemas before it.
    fn decoder(book: &Arc<Book>, metrics: &telemetry::Registry) -> Decoder {
        let types = |names: &[&str]| names.iter().map(|name| EventType::parse(name).unwrap()).collect();
        let rules = vec![
            TopicRule { event_types: types(&["sold.v1"]), ..rule("plain", Format::Avro, Wire::None) },
            TopicRule { event_types: types(&["sold.v1", "a"]), ..rule("two", Format::Avro, Wire::None) },
            rule("framed", Format::Avro, Wire::Prefix),
        ];
        decoder_of(book, rules, rule("any", Format::Json, Wire::None), metrics)
    }

    /// Schemas of which `sold.v1` and `two` have the third.
    fn book() -> Arc<Book> {
        let book = Book::new();
        for latest in [&book.latest, &book.latest_now] {
            latest.lock().unwrap().extend([("sold.v1", 3), ("two", 3), ("json.v1", 1), ("unusable.v1", 2)]);
        }
        book
    }

    #[test]
    fn data_is_read_by_the_schema_noted_beside_it_whatever_the_latest_is() {
        let decoder = decoder(&Book::new(), &telemetry::Registry::new());
        let noted = |value: &[u8], id: &[u8]| record(value, &[(OWN_HEADER, id)]);
        for name in ["plain", "framed"] {
            assert_eq!(read(&decoder, name, noted(&turned("{}"), b"3")), json("{}"));
            let told = |record: Record| problem(read(&decoder, name, record));
            assert_eq!(told(noted(&turned("{}"), b"9")), "no schema has the id 9");
            assert_eq!(told(noted(&turned("{}"), b"2")), "the schema with the id 2 cannot be used here");
            assert_eq!(told(noted(&turned("{}"), b"three")), "the header weirgate-schema-id is no id");
            assert_eq!(told(noted(b"", b"3")), "not turned");
            assert_eq!(told(noted(b"{}", b"3")), "not turned");
        }
    }

    #[test]
    fn what_another_producer_wrote_is_read_by_the_latest_of_its_type() {
        let decoder = decoder(&book(), &telemetry::Registry::new());
        let value = turned("[1]");
        let cloud_event: &[(&str, &[u8])] =
            &[("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"s"), ("ce_type", b"sold.v1")];
        for (name, headers) in [
            ("plain", &[][..]),
            ("plain", &[("x", &b"1"[..])]),
            ("two", &[]),
            ("two", &[(TYPE, b"sold.v1")]),
            ("two", cloud_event),
        ] {
            assert_eq!(read(&decoder, name, record(&value, headers)), json("[1]"), "{name} {headers:?}");
        }
        let letter = record(&value, &[("__dlq.errors.topic", b"plain")]);
        assert_eq!(read(&decoder, "dlq.plain.group", letter), json("[1]"));
    }

    #[test]
    fn what_no_schema_of_its_type_reads_says_why_and_is_counted() {
        let metrics = telemetry::Registry::new();
        let decoder = decoder(&book(), &metrics);
        let told = |value: &[u8], event_type: &[u8]| {
            problem(read(&decoder, "plain", record(value, &[(TYPE, event_type)])))
        };
        let value = turned("{}");
        assert_eq!(told(b"\x06abc", b"sold.v1"), "not turned");
        assert_eq!(told(b"", b"sold.v1"), "not turned");
        assert_eq!(told(&value, b"unknown.v1"), "names no schema, and its event type has none");
        assert_eq!(told(&value, b"json.v1"), "names no schema, and its event type's is JSON");
        assert_eq!(told(&value, b"unusable.v1"), "the schema with the id 2 cannot be used here");
        assert_eq!(told(&value, b"\x01"), "names no schema, and its event type has none");
        let rendered = metrics.render();
        for (reason, count) in [("broken_data", 2), ("unnamed", 3), ("unusable_schema", 1)] {
            let line = format!(
                "weirgate_undecodable_records_total{{reason=\"{reason}\",topic=\"plain\"}} {count}\n"
            );
            assert!(rendered.contains(&line), "{line}: {rendered}");
        }
    }

    #[test]
    fn what_lay_in_the_topic_before_is_read_as_it_was_then() {
        let decoder = decoder(&book(), &telemetry::Registry::new());
        assert_eq!(read(&decoder, "plain", record(b" {\"a\":1}", &[])), None);
        assert_eq!(read(&decoder, "plain", coded(3, "{}")), json("{}"));
        assert_eq!(read(&decoder, "plain", record(b"\x00\x00\x00\x00\x01{}", &[])), Some(Decoded::Rest(5)));
        assert_eq!(problem(read(&decoder, "plain", coded(9, "{}"))), "not turned");
        let tombstone = Record { value: None, ..record(b"", &[]) };
        assert_eq!(read(&decoder, "plain", tombstone), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_is_asked_for_where_it_is_not_known_or_does_not_fit() {
        for before in [None, Some(1)] {
            let book = Book::new();
            book.latest.lock().unwrap().extend(before.map(|id| ("sold.v1", id)));
            book.latest_now.lock().unwrap().insert("sold.v1", 3);
            let decoder = decoder(&book, &telemetry::Registry::new());
            let settle = async || {
                let mut records = [record(&turned("{}"), &[]), record(&turned("[]"), &[])];
                decoder.settle(&topic("plain"), &mut records, Instant::now() + WAIT_MAX).await;
                records.map(|record| record.decoded)
            };
            let [first, _] = settle().await;
            assert!(problem(first).starts_with("names no schema"));
            assert_eq!(book.asked.load(Ordering::SeqCst), 1);
            book.may_learn.notify_one();
            settle().await;
            assert_eq!(book.asked.load(Ordering::SeqCst), 1, "it was just asked for");
            tokio::time::advance(known::MISS).await;
            assert_eq!(settle().await, [json("{}"), json("[]")]);
            assert_eq!(book.asked.load(Ordering::SeqCst), 2);
        }
    }
}
