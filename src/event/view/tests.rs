//! What subscribers and filters see of stored records.

use bytes::Bytes;
use proptest::prelude::{any, proptest};

use super::{RecordView, write_members};
use crate::event::json::Pointer;
use crate::event::{Decoded, Headers, Offset, Partition, Record, Storage, Timestamp, Topic};

fn record(value: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]) -> Record {
    let headers =
        headers.iter().map(|(name, value)| ((*name).into(), value.map(Bytes::copy_from_slice))).collect();
    Record {
        offset: Offset::new(124),
        timestamp: Timestamp::from_millis(1_000),
        key: Some(Bytes::from_static(b"42")),
        value: value.map(Bytes::copy_from_slice),
        headers: Headers::new(headers),
        decoded: None,
    }
}

fn text(record: &Record, storage: Storage) -> String {
    let mut out = b"{".to_vec();
    write_members(&mut out, &Topic::parse("orders.v1").unwrap(), Partition::new(3), record, storage);
    out.push(b'}');
    String::from_utf8(out).unwrap()
}

fn shown(record: &Record, storage: Storage) -> serde_json::Value {
    let text = text(record, storage);
    assert!(!text.contains(['\r', '\n']), "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn at(record: &Record, storage: Storage, pointer: &str) -> Option<serde_json::Value> {
    RecordView::parse(record, storage)
        .at(&Pointer::parse(pointer).unwrap())
        .map(|value| value.to_owned_value())
}

const ENVELOPE: &[u8] =
    b"{\r\n \"eventId\":\"e1\", \"eventType\":\"orders.placed.v1\",\n\"timestamp\":\"2020-01-01T00:00:00Z\",\"data\":{\"n\":1.50}\n}";

#[test]
fn an_envelope_is_shown_as_stored_in_one_line() {
    let record = record(Some(ENVELOPE), &[]);
    assert_eq!(
        text(&record, Storage::Native),
        r#"{"topic":"orders.v1","partition":3,"offset":124,"timestamp":"1970-01-01T00:00:01.000Z","key":"42","headers":{},"event":{   "eventId":"e1", "eventType":"orders.placed.v1", "timestamp":"2020-01-01T00:00:00Z","data":{"n":1.50} }}"#
    );
    assert_eq!(at(&record, Storage::Native, "/eventType"), Some("orders.placed.v1".into()));
    assert_eq!(at(&record, Storage::Native, "/data/n"), Some(1.5.into()));
    assert_eq!(at(&record, Storage::Native, "/source"), None);
    let view = RecordView::parse(&record, Storage::Native);
    assert_eq!((view.event_id(), view.event_type()), (Some("e1"), Some("orders.placed.v1")));
}

#[test]
fn one_who_reads_a_record_alone_gets_its_very_bytes() {
    let as_stored = |record: &Record, storage| {
        let mut out = Vec::new();
        let topic = Topic::parse("orders.v1").unwrap();
        RecordView::parse(record, storage).write_members_as_stored(&mut out, &topic, Partition::new(3));
        out
    };
    let written = as_stored(&record(Some(ENVELOPE), &[]), Storage::Native);
    assert!(written.ends_with(&[&b"\"headers\":{},\"event\":"[..], ENVELOPE].concat()));
    let data = b"[1,\r\n2 ]\n";
    let headers: [(&str, Option<&[u8]>); 1] = [("weirgate-event-type", Some(b"orders.placed.v1"))];
    let written = as_stored(&record(Some(data), &headers), Storage::Headers);
    assert!(written.ends_with(&[&b",\"data\":"[..], data].concat()));
}

#[test]
fn an_envelope_in_headers_is_shown_as_meta() {
    let headers: [(&str, Option<&[u8]>); 4] = [
        ("weirgate-event-type", Some(b"orders.placed.v1")),
        ("weirgate-event-id", Some(b"e\"1")),
        ("x", Some(b"1")),
        ("weirgate-custom", Some(b"kept")),
    ];
    let record = record(Some(b"{\"n\":\n1}"), &headers);
    for storage in [Storage::Headers, Storage::Native] {
        let shown = shown(&record, storage);
        assert_eq!(shown["meta"], serde_json::json!({"eventId": "e\"1", "eventType": "orders.placed.v1"}));
        assert_eq!(shown["data"], serde_json::json!({"n": 1}));
        assert_eq!(shown["headers"], serde_json::json!({"x": "1", "weirgate-custom": "kept"}));
        assert_eq!(at(&record, storage, "/eventId"), Some("e\"1".into()));
        assert_eq!(at(&record, storage, "/data/n"), Some(1.into()));
    }
}

#[test]
fn headers_win_over_data_that_looks_like_an_envelope_only_where_the_topic_stores_headers() {
    let record = record(Some(ENVELOPE), &[("weirgate-event-type", Some(b"mine.is.v1"))]);
    assert_eq!(at(&record, Storage::Headers, "/eventType"), Some("mine.is.v1".into()));
    assert_eq!(at(&record, Storage::Headers, "/data/data/n"), Some(1.5.into()));
    assert_eq!(at(&record, Storage::Native, "/eventType"), Some("orders.placed.v1".into()));
    assert_eq!(at(&record, Storage::Native, "/data/n"), Some(1.5.into()));
    assert!(shown(&record, Storage::Headers)["meta"].is_object());
    assert!(shown(&record, Storage::Native)["event"].is_object());
}

#[test]
fn a_record_without_envelope_is_all_data() {
    for value in ["{\"a\":1}", " [1]", "\"x\"", "7 ", "{\"eventType\":\"a\",\"data\":1}"] {
        let record = record(Some(value.as_bytes()), &[]);
        let shown = shown(&record, Storage::Native);
        assert_eq!(shown["meta"], serde_json::json!({}));
        assert_eq!(shown["data"], serde_json::from_str::<serde_json::Value>(value).unwrap());
        assert_eq!(at(&record, Storage::Native, "/data").unwrap(), shown["data"]);
        assert_eq!(at(&record, Storage::Native, "/eventType"), None);
    }
}

#[test]
fn what_parsers_read_differently_matches_no_pointer() {
    let twice = br#"{"eventId":"1","eventType":"t","data":{"a":1},"data":{"a":2}}"#;
    let record = record(Some(twice), &[]);
    assert_eq!(at(&record, Storage::Native, "/data/a"), None);
    assert_eq!(at(&record, Storage::Native, "/data/data/a"), None);
    assert_eq!(at(&record, Storage::Native, "/eventType"), None);
}

#[test]
fn tombstones_and_other_bytes_are_told_apart() {
    let tombstone = shown(&record(None, &[]), Storage::Native);
    assert_eq!((&tombstone["data"], &tombstone["tombstone"]), (&serde_json::Value::Null, &true.into()));
    let deep = "[".repeat(121) + &"]".repeat(121);
    for value in [
        &b"\xff"[..],
        b"",
        b"{",
        b"{\"a\":1} x",
        b"{\"a\":\"\n\"}",
        b"\"\xed\xa0\x80\"",
        b"\"\\uD800\"",
        deep.as_bytes(),
    ] {
        let shown = shown(&record(Some(value), &[]), Storage::Native);
        assert!(shown["undecodable"].is_string() && shown["eventBase64"].is_string(), "{shown}");
    }
}

#[test]
fn what_was_decoded_is_seen_and_the_value_stays() {
    let of =
        |decoded| Record { decoded: Some(decoded), ..record(Some(b"\x00\x00\x00\x00\x07{\"a\":1}"), &[]) };
    for decoded in [Decoded::Rest(5), Decoded::Json(Bytes::from_static(b"{\"a\":1}"))] {
        let record = of(decoded);
        assert_eq!(shown(&record, Storage::Headers)["data"], serde_json::json!({"a": 1}));
        let view = RecordView::parse(&record, Storage::Headers);
        assert!(view.at(&Pointer::parse("/data/a").unwrap()).is_some());
    }
    let beyond = shown(&of(Decoded::Rest(99)), Storage::Headers);
    assert_eq!(
        (&beyond["eventBase64"], &beyond["undecodable"]),
        (&"AAAAAAd7ImEiOjF9".into(), &"not JSON".into())
    );
    let without = of(Decoded::Undecodable("no schema has the id 7".into()));
    let told = shown(&without, Storage::Headers);
    assert_eq!(told["eventBase64"], "AAAAAAd7ImEiOjF9");
    assert_eq!(told["undecodable"], "no schema has the id 7");
    assert_eq!(without.bytes() + 7, of(Decoded::Json(Bytes::from_static(b"{\"a\":1}"))).bytes());
}

#[test]
fn keys_and_headers_that_are_no_text_are_shown_as_base64() {
    let mut record = record(
        Some(b"1"),
        &[("b", Some(b"\xff")), ("a", Some(b"1")), ("b", None), ("a\"", Some(b"\n")), ("b", Some(b"t"))],
    );
    record.key = Some(Bytes::from_static(b"\xff\xfe"));
    let shown_once = shown(&record, Storage::Native);
    assert_eq!(shown_once["keyBase64"], "//4=");
    assert!(shown_once.get("key").is_none());
    let expected = serde_json::json!({"a": "1", "a\"": "\n", "b": [{"base64": "/w=="}, null, "t"]});
    assert_eq!(shown_once["headers"], expected);
    record.key = None;
    assert_eq!(shown(&record, Storage::Native)["key"], serde_json::Value::Null);
}

proptest! {
    #[test]
    fn whatever_is_stored_is_shown_as_valid_json(
        value in proptest::option::of(any::<Vec<u8>>()),
        key in proptest::option::of(any::<Vec<u8>>()),
        headers in proptest::collection::vec((".{0,3}", proptest::option::of(any::<Vec<u8>>())), 0..6),
        is_native: bool,
    ) {
        let mut record = record(value.as_deref(), &[]);
        record.key = key.map(Bytes::from);
        record.headers = headers.into_iter().map(|(name, value)| (name.into(), value.map(Bytes::from))).collect();
        shown(&record, if is_native { Storage::Native } else { Storage::Headers });
    }

    #[test]
    fn json_like_values_are_shown_as_valid_json(value in r#"[\[\]{}:,"\\ad0-9.eE+\-\n\r ]{0,30}"#) {
        let record = record(Some(value.as_bytes()), &[]);
        let shown = shown(&record, Storage::Native);
        if let Ok(parsed) = serde_json::from_str::<serde_json::Value>(&value) {
            assert_eq!(shown["data"], parsed);
        }
    }
}
