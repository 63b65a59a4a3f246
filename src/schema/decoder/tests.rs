//! Records read as JSON, by schemas that come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

use super::*;
use crate::event::json::Value;
use crate::event::{Catalogue, Headers, Offset, Storage, Timestamp, TopicRule, Wire};
use crate::schema::Violation;
use crate::schema::codec::Undecodable;
use crate::schema::framing::HEADER;
use crate::schema::registry::Guid;

pub(super) const UUID: &str = "89791762-2336-4186-9674-299b90a802e2";

/// Schemas with ids up to the number known; asked for all there are, it learns of them when it may.
#[derive(Debug, Default)]
pub(super) struct Book {
    known: AtomicUsize,
    all: AtomicUsize,
    pub(super) asked: AtomicUsize,
    /// The latest schemas of event types as they are known, and as they are.
    pub(super) latest: Mutex<BTreeMap<&'static str, i32>>,
    pub(super) latest_now: Mutex<BTreeMap<&'static str, i32>>,
    compiled: Mutex<Vec<Writer>>,
    pub(super) may_learn: Notify,
}

/// A language whose text is JSON with every bit turned, behind one index.
#[derive(Debug)]
struct Turned;

impl Codec for Turned {
    fn indexes(&self) -> &[u8] {
        b"i"
    }

    fn encode(&self, _data: &Value<'_>, _out: &mut Vec<u8>) -> Result<(), Vec<Violation>> {
        Ok(())
    }

    fn split<'b>(&self, framed: &'b [u8]) -> Result<(&'b [u8], &'b [u8]), Undecodable> {
        let cut_off = || Undecodable { problem: "cut off within the indexes".to_owned() };
        framed.split_first_chunk::<1>().map(|(indexes, rest)| (&indexes[..], rest)).ok_or_else(cut_off)
    }

    fn decode(
        &self,
        indexes: &[u8],
        encoded: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Undecodable> {
        assert_eq!((indexes, bytes_max), (&b"i"[..], JSON_BYTES_MAX));
        if encoded.is_empty() || encoded.iter().any(u8::is_ascii) {
            return Err(Undecodable { problem: "not turned".to_owned() });
        }
        out.extend(encoded.iter().map(|byte| !byte));
        Ok(())
    }
}

#[async_trait]
impl Writers for Book {
    fn find(&self, writer: Writer) -> Option<(Language, usize)> {
        let Writer::Id(id) = writer else {
            return Some((Language::Coded(Box::new(Turned)), 1));
        };
        if id.number() > i32::try_from(self.known.load(Ordering::SeqCst)).unwrap() {
            return None;
        }
        self.compiled.lock().unwrap().push(writer);
        let language = match id.number() {
            1 => Language::Json,
            2 => Language::Unusable,
            _ => Language::Coded(Box::new(Turned)),
        };
        Some((language, 1))
    }

    fn latest(&self, event_type: &EventType) -> Option<SchemaId> {
        self.latest.lock().unwrap().get(event_type.as_str()).copied().and_then(SchemaId::new)
    }

    async fn learn(&self, wanted: &[Wanted]) {
        assert!(!wanted.is_empty());
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.may_learn.notified().await;
        self.known.store(self.all.load(Ordering::SeqCst), Ordering::SeqCst);
        *self.latest.lock().unwrap() = self.latest_now.lock().unwrap().clone();
    }
}

impl Book {
    /// Knows the schemas up to 3 of those up to 4.
    pub(super) fn new() -> Arc<Self> {
        let book = Self::default();
        book.known.store(3, Ordering::SeqCst);
        book.all.store(4, Ordering::SeqCst);
        Arc::new(book)
    }
}

pub(super) fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

pub(super) fn rule(name: &str, format: Format, wire: Wire) -> TopicRule {
    TopicRule { storage: Storage::Headers, format, wire, ..TopicRule::plain(topic(name), vec![]) }
}

/// `avro` and `json` name their schemas, `plain` does not.
pub(super) fn decoder(book: &Arc<Book>) -> Decoder {
    let rules = vec![
        rule("avro", Format::Avro, Wire::Prefix),
        rule("json", Format::Json, Wire::Prefix),
        rule("plain", Format::Json, Wire::None),
    ];
    decoder_of(book, rules, rule("any", Format::Json, Wire::None), &telemetry::Registry::new())
}

pub(super) fn decoder_of(
    book: &Arc<Book>,
    rules: Vec<TopicRule>,
    defaults: TopicRule,
    metrics: &telemetry::Registry,
) -> Decoder {
    let catalogue = LiveCatalogue::new(Catalogue::new(rules, defaults));
    Decoder::of(Arc::<Book>::clone(book), catalogue, metrics)
}

/// A record of the schema with this id, in the language of which every bit is turned.
pub(super) fn coded(id: i32, json: &str) -> Record {
    record(&[b"\x00", &id.to_be_bytes()[..], b"i", &turned(json)].concat(), &[])
}

pub(super) fn turned(json: &str) -> Vec<u8> {
    json.bytes().map(|byte| !byte).collect()
}

pub(super) fn record(value: &[u8], headers: &[(&str, &[u8])]) -> Record {
    let header = |(name, value): &(&str, &[u8])| ((*name).into(), Some(Bytes::copy_from_slice(value)));
    Record {
        offset: Offset::ZERO,
        timestamp: Timestamp::from_millis(0),
        key: None,
        value: Some(Bytes::copy_from_slice(value)),
        headers: headers.iter().map(header).collect::<Headers>(),
        decoded: None,
    }
}

pub(super) fn json(text: &str) -> Option<Decoded> {
    Some(Decoded::Json(Bytes::copy_from_slice(text.as_bytes())))
}

pub(super) fn read(decoder: &Decoder, name: &str, record: Record) -> Option<Decoded> {
    let mut records = [record];
    assert!(decoder.read(&topic(name), &mut records, Unknown::IsTold));
    let [record] = records;
    record.decoded
}

pub(super) fn problem(decoded: Option<Decoded>) -> String {
    let Some(Decoded::Undecodable(problem)) = decoded else { panic!("decoded: {decoded:?}") };
    problem.to_string()
}

#[test]
fn records_are_read_by_the_schema_they_name() {
    let decoder = decoder(&Book::new());
    assert_eq!(read(&decoder, "avro", coded(3, "{}")), json("{}"));
    let guid = [b"\x01", &Guid::parse(UUID).unwrap().as_bytes()[..], b"i"].concat();
    assert_eq!(read(&decoder, "avro", record(&turned("[1]"), &[(HEADER, &guid)])), json("[1]"));
    // A language is the schema's, whatever the topic's is now.
    assert_eq!(read(&decoder, "json", coded(3, "{}")), json("{}"));
    for name in ["avro", "json"] {
        assert_eq!(read(&decoder, name, record(b"\x00\x00\x00\x00\x01{}", &[])), Some(Decoded::Rest(5)));
        assert_eq!(read(&decoder, name, record(b"{}", &[(HEADER, b"\x00\x00\x00\x00\x01")])), None);
        assert_eq!(read(&decoder, name, record(b" {\"a\":1}", &[])), None, "JSON is read as it is");
        let tombstone = Record { value: None, ..record(b"", &[]) };
        assert_eq!(read(&decoder, name, tombstone), None);
    }
    assert_eq!(read(&decoder, "json", record(b"\x00\x00\x00\x00\x09{}", &[])), Some(Decoded::Rest(5)));
}

#[test]
fn what_cannot_be_read_says_why() {
    let decoder = decoder(&Book::new());
    let told =
        |value: &[u8], headers: &[(&str, &[u8])]| problem(read(&decoder, "avro", record(value, headers)));
    assert_eq!(told(b"\x00\x00\x00\x00\x09i", &[]), "no schema has the id 9");
    assert_eq!(told(b"\x00\x00\x00\x00\x02i", &[]), "the schema with the id 2 cannot be used here");
    assert_eq!(told(b"\x00\x00\x00", &[]), "cut off within the name of the schema");
    assert_eq!(told(b"\x00\x00\x00\x00\x03", &[]), "cut off within the indexes");
    assert_eq!(told(b"\x06abc", &[]), "names no schema, and is not JSON");
    assert_eq!(told(b"", &[]), "names no schema, and is not JSON");
    let header = |value| told(b"\x06abc", &[(HEADER, value)]);
    assert_eq!(header(b"?"), "the header __value_schema_id is in an unknown form");
    assert_eq!(header(b"\x00\x00\x00\x00\x03i+"), "the header __value_schema_id has bytes after its end");
}

#[test]
fn records_of_other_topics_pass_by() {
    let book = Book::new();
    let decoder = decoder(&book);
    assert_eq!(read(&decoder, "plain", coded(3, "{}")), None);
    assert_eq!(read(&decoder, "unlisted", coded(3, "{}")), None);
    assert!(book.compiled.lock().unwrap().is_empty());
}

#[test]
fn dead_letters_are_read_as_the_records_they_were() {
    let decoder = decoder(&Book::new());
    let letter = |source: &[u8]| {
        let record = coded(3, "{}");
        let headers = vec![(LETTERS_TOPIC.into(), Some(Bytes::copy_from_slice(source)))];
        Record { headers: Headers::new(headers), ..record }
    };
    assert_eq!(read(&decoder, "dlq.avro.group", letter(b"avro")), json("{}"));
    assert_eq!(read(&decoder, "dlq.avro.group", letter(b"plain")), None);
    assert_eq!(read(&decoder, "dlq.avro.group", coded(3, "{}")), None);
}

#[test]
fn what_cannot_be_read_is_counted_by_topic_and_reason() {
    let registry = telemetry::Registry::new();
    let rules = vec![rule("avro", Format::Avro, Wire::Prefix), rule("json", Format::Json, Wire::Prefix)];
    let decoder = decoder_of(&Book::new(), rules, rule("any", Format::Avro, Wire::Prefix), &registry);
    let letter = |source: &[u8]| {
        let headers = vec![(LETTERS_TOPIC.into(), Some(Bytes::copy_from_slice(source)))];
        Record { headers: Headers::new(headers), ..record(b"\x06abc", &[]) }
    };
    for (topic, record) in [
        ("avro", coded(3, "{}")),
        ("avro", coded(9, "{}")),
        ("avro", coded(2, "{}")),
        ("avro", record(b"\x00\x00\x00\x00\x03", &[])),
        ("avro", record(b"\x06abc", &[])),
        ("dlq.avro.group", letter(b"avro")),
        ("json", record(b"\x06abc", &[(HEADER, b"?")])),
        ("unlisted", record(b"\x06abc", &[])),
    ] {
        read(&decoder, topic, record);
    }
    let rendered = registry.render();
    let counts: Vec<_> = rendered.lines().filter(|line| line.starts_with("weirgate_undecodable")).collect();
    let count = |topic: &str, reason: &str, count: usize| {
        format!("weirgate_undecodable_records_total{{reason=\"{reason}\",topic=\"{topic}\"}} {count}")
    };
    let expected = [
        count("avro", "broken_data", 1),
        count("other", "unnamed", 1),
        count("json", "unnamed", 1),
        count("avro", "unknown_schema", 1),
        count("avro", "unnamed", 2),
        count("avro", "unusable_schema", 1),
    ];
    assert_eq!(BTreeSet::from_iter(counts), expected.iter().map(String::as_str).collect());
}

#[test]
fn a_schema_is_compiled_once() {
    let book = Book::new();
    let decoder = decoder(&book);
    for _ in 0..3 {
        assert_eq!(read(&decoder, "avro", coded(3, "{}")), json("{}"));
    }
    assert_eq!(*book.compiled.lock().unwrap(), [Writer::Id(SchemaId::new(3).unwrap())]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_schema_is_asked_for_once_and_for_a_while() {
    let book = Book::new();
    let decoder = decoder(&book);
    let settle = async |id| {
        let mut records = [coded(id, "{}"), coded(3, "[]")];
        let began = Instant::now();
        decoder.settle(&topic("avro"), &mut records, began + WAIT_MAX).await;
        let [record, other] = records;
        assert_eq!(other.decoded, json("[]"));
        (record.decoded, began.elapsed())
    };
    let (decoded, waited) = settle(4).await;
    assert_eq!((problem(decoded), waited >= WAIT_MAX), ("no schema has the id 4".to_owned(), true));
    let (decoded, waited) = settle(4).await;
    assert_eq!((problem(decoded), waited), ("no schema has the id 4".to_owned(), Duration::ZERO));
    assert_eq!(book.asked.load(Ordering::SeqCst), 1);

    tokio::time::advance(known::MISS).await;
    book.may_learn.notify_one();
    assert_eq!(settle(4).await, (json("{}"), Duration::ZERO));
    book.may_learn.notify_one();
    assert_eq!(problem(settle(5).await.0), "no schema has the id 5");
    assert_eq!(book.asked.load(Ordering::SeqCst), 3);
}
