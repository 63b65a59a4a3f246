//! Events that go into a topic of CloudEvents and are read back: by subscribers as what was posted, by readers of
//! CloudEvents as the attributes that were posted.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::{any, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};
use serde_json::{Map, Value, json};

use super::RecordView;
use crate::event::envelope::Error;
use crate::event::json::{Document, Limits, Pointer};
use crate::event::{
    Catalogue, Draft, EventId, EventType, Fill, Headers, Offset, Partition, Record, Storage, Timestamp,
    Topic, TopicRule,
};

const ID: &str = "550e8400-e29b-41d4-a716-446655440000";
const STORAGES: [Storage; 2] = [Storage::CloudEventsBinary, Storage::CloudEventsStructured];

fn catalogue() -> Catalogue {
    let rule = |topic: &str, types: &[&str], event_id: Option<&str>| TopicRule {
        event_id: event_id.map(|pointer| Pointer::parse(pointer).unwrap()),
        ..TopicRule::plain(
            Topic::parse(topic).unwrap(),
            types.iter().map(|text| EventType::parse(text).unwrap()).collect(),
        )
    };
    let rules =
        vec![rule("own.ids", &["own.made.v1"], Some("/eventId")), rule("named", &["com.example.made"], None)];
    Catalogue::new(rules, rule("defaults", &[], None))
}

fn fill() -> Fill {
    Fill {
        event_id: EventId::parse(ID).unwrap(),
        timestamp: Timestamp::parse("2026-11-21T10:15:30.123Z").unwrap(),
        source: "order-service".into(),
        correlation_id: Some("from-the-request".into()),
    }
}

fn record(draft: &Draft<'_>, storage: Storage) -> Record {
    draft.check_storage(storage).unwrap();
    let (value, headers) = draft.seal(&fill(), storage, None);
    Record {
        offset: Offset::new(0),
        timestamp: Timestamp::from_millis(0),
        key: None,
        value: Some(value),
        headers: Headers::new(headers),
        decoded: None,
    }
}

fn shown(record: &Record, storage: Storage) -> Value {
    let mut out = b"{".to_vec();
    let view = RecordView::parse(record, storage);
    view.write_members(&mut out, &Topic::parse("orders.v1").unwrap(), Partition::new(0));
    out.push(b'}');
    serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
}

/// The members and the data of a record, as one envelope.
fn seen(record: &Record, storage: Storage) -> Value {
    let mut shown = shown(record, storage);
    let mut envelope = shown["meta"].take();
    envelope["data"] = shown["data"].take();
    envelope
}

fn native(envelope: &Value, storage: Storage) -> Record {
    let text = envelope.to_string();
    let document = Document::parse(text.as_bytes(), Limits::default()).unwrap();
    let catalogue = catalogue();
    let draft = Draft::from_native(document.node(), &catalogue).unwrap();
    record(&draft, storage)
}

fn with_event<T>(event: &Value, then: impl FnOnce(&Draft<'_>) -> T) -> T {
    let text = event.to_string();
    let document = Document::parse(text.as_bytes(), Limits::default()).unwrap();
    let catalogue = catalogue();
    then(&Draft::from_cloud_event(document.node(), &catalogue).unwrap())
}

/// The attributes and the data that a reader of CloudEvents finds, as the specification has it.
fn read_event(record: &Record) -> (BTreeMap<String, String>, Option<Value>) {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let content_type = text(record.headers.last("content-type").unwrap());
    if content_type.starts_with("application/cloudevents") {
        assert_eq!(content_type, "application/cloudevents+json; charset=UTF-8");
        let mut event: Map<String, Value> = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        let data = event.remove("data");
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        return (event.into_iter().map(|(name, value)| (name, text(value))).collect(), data);
    }
    let named = record
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("ce_")?.to_owned(), text(value.unwrap()))));
    let attributes = named.chain([("datacontenttype".to_owned(), content_type)]).collect();
    (attributes, Some(serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()))
}

#[test]
fn a_native_event_is_a_cloud_event_in_the_topic() {
    let envelope = json!({
        "eventId": ID, "eventType": "orders.placed.v1", "eventVersion": "1.2", "timestamp": "2026-11-21T11:15:30+01:00",
        "source": "größe shop", "correlationId": "c-1", "causationId": "", "data": {"n": 1},
    });
    let attributes = json!({
        "specversion": "1.0", "id": ID, "type": "orders.placed.v1", "eventversion": "1.2",
        "time": "2026-11-21T11:15:30+01:00", "source": "gr%C3%B6%C3%9Fe%20shop", "correlationid": "c-1",
        "datacontenttype": "application/json",
    });
    let attributes: BTreeMap<String, String> = serde_json::from_value(attributes).unwrap();
    for storage in STORAGES {
        let record = native(&envelope, storage);
        assert_eq!(read_event(&record), (attributes.clone(), Some(json!({"n": 1}))), "{storage:?}");
        assert_eq!(seen(&record, storage), envelope, "{storage:?}");
    }
}

#[test]
fn a_cloud_event_is_seen_with_its_members_and_its_other_attributes_as_headers() {
    let event = json!({
        "specversion": "1.0", "id": "A-1", "source": "/my/ctx", "type": "com.example.made", "subject": "a b",
        "count": 7, "partitionkey": "pk", "data": {"n": 1},
    });
    let of_source = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, b"/my/ctx");
    let event_id = uuid::Uuid::new_v5(&of_source, b"A-1").to_string();
    let meta = json!({
        "eventId": event_id, "eventType": "com.example.made", "eventVersion": "1.0.0", "source": "/my/ctx",
        "timestamp": "2026-11-21T10:15:30.123Z", "correlationId": "from-the-request",
    });
    for (storage, content_type) in
        STORAGES.into_iter().zip(["application/json", "application/cloudevents+json; charset=UTF-8"])
    {
        let record = with_event(&event, |draft| record(draft, storage));
        let shown = shown(&record, storage);
        let headers = json!({
            "ce_id": "A-1", "ce_subject": "a b", "ce_count": "7", "ce_partitionkey": "pk", "content-type": content_type,
        });
        assert_eq!((&shown["meta"], &shown["headers"]), (&meta, &headers), "{storage:?}");
        assert_eq!(shown["data"], json!({"n": 1}));
        let view = RecordView::parse(&record, storage);
        assert_eq!(view.header("ce_subject"), Some(&b"a b"[..]));
        let at =
            |pointer: &str| view.at(&Pointer::parse(pointer).unwrap()).map(|value| value.to_owned_value());
        assert_eq!((at("/eventType"), at("/data/n")), (Some("com.example.made".into()), Some(1.into())));
        assert_eq!((at("/eventId"), at("/subject")), (Some(event_id.clone().into()), None));
    }
}

#[test]
fn an_event_without_data_is_stored_where_it_is_no_deletion() {
    let event = json!({"specversion": "1.0", "id": ID, "source": "s", "type": "a.b.v1"});
    with_event(&event, |draft| {
        let refused = draft.check_storage(Storage::CloudEventsBinary).unwrap_err();
        assert!(matches!(refused, Error::CloudEvent { attribute, .. } if attribute == "data"));
        let record = record(draft, Storage::CloudEventsStructured);
        assert_eq!(serde_json::from_slice::<Value>(record.value.as_ref().unwrap()).unwrap(), event);
        let shown = shown(&record, Storage::CloudEventsStructured);
        assert_eq!((&shown["data"], shown.get("tombstone")), (&Value::Null, None));
        let data = Pointer::parse("/data").unwrap();
        assert!(RecordView::parse(&record, Storage::CloudEventsStructured).at(&data).unwrap().is_null());
    });
}

#[test]
fn data_that_would_be_read_as_another_event_is_refused_in_binary_mode() {
    let inner = json!({"specversion": "1.0", "id": ID, "source": "another", "type": "a.b.v1"});
    let event = json!({
        "specversion": "1.0", "id": ID, "source": "s", "type": "a.b.v1", "data": inner,
        "datacontenttype": "Application/CloudEvents+json",
    });
    with_event(&event, |draft| {
        let refused = draft.check_storage(Storage::CloudEventsBinary).unwrap_err();
        assert!(matches!(refused, Error::CloudEvent { attribute, .. } if attribute == "datacontenttype"));
        let seen = seen(&record(draft, Storage::CloudEventsStructured), Storage::CloudEventsStructured);
        assert_eq!((&seen["source"], &seen["data"]["source"]), (&json!("s"), &json!("another")));
    });
}

#[test]
fn an_event_received_in_binary_mode_keeps_the_media_type_of_its_data() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let attributes = [
        pair("specversion", "1.0"),
        pair("id", ID),
        pair("source", "s"),
        pair("type", "a.b.v1"),
        pair("ext", "ü"),
    ];
    let (document, catalogue) = (Document::parse(b"[1]", Limits::default()).unwrap(), catalogue());
    let media_type = "application/vnd.x+json";
    let draft =
        Draft::from_cloud_event_binary(&attributes, Some(media_type), Some(document.node()), &catalogue)
            .unwrap();
    for storage in STORAGES {
        let (found, data) = read_event(&record(&draft, storage));
        assert_eq!(
            (found["datacontenttype"].as_str(), found["ext"].as_str()),
            (media_type, "ü"),
            "{storage:?}"
        );
        assert_eq!((found.len(), data), (6, Some(json!([1]))), "{storage:?}");
    }
}

fn foreign(value: Option<&str>, headers: &[(&str, &str)]) -> Record {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).into(), Some(Bytes::copy_from_slice(value.as_bytes()))))
        .collect();
    Record {
        offset: Offset::new(0),
        timestamp: Timestamp::from_millis(0),
        key: None,
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::new(headers),
        decoded: None,
    }
}

const REQUIRED: [(&str, &str); 4] =
    [("ce_specversion", "1.0"), ("ce_id", "1"), ("ce_source", "/elsewhere"), ("ce_type", "not.ours")];

#[test]
fn events_of_other_producers_are_read_whatever_the_topic_stores() {
    let structured =
        r#"{"specversion":"1.0","id":"1","source":"/elsewhere","type":"not.ours","ext":true,"data":[1]}"#;
    let typed = [("content-type", "application/cloudevents+json")];
    let native = [Storage::Native, Storage::Headers];
    for storage in native.into_iter().chain(STORAGES) {
        for record in [foreign(Some("[1]"), &REQUIRED), foreign(Some(structured), &typed)] {
            let seen = seen(&record, storage);
            assert_eq!((&seen["source"], &seen["data"]), (&json!("/elsewhere"), &json!([1])), "{storage:?}");
            assert!(uuid::Uuid::parse_str(seen["eventId"].as_str().unwrap()).is_ok());
        }
    }
    // Some writers leave the media type out or give the data's, and so say nothing where the topic does not.
    for headers in [&[][..], &[("content-type", "application/json")]] {
        let untyped = foreign(Some(structured), headers);
        assert_eq!(seen(&untyped, Storage::CloudEventsStructured)["eventType"], "not.ours");
        assert_eq!(seen(&untyped, Storage::CloudEventsBinary)["data"]["type"], "not.ours");
    }
    assert_eq!(
        seen(&foreign(Some("[1]"), &REQUIRED), Storage::CloudEventsStructured)["eventType"],
        "not.ours"
    );
}

#[test]
fn what_is_no_cloud_event_is_data() {
    for left_out in 0..REQUIRED.len() {
        let headers: Vec<_> =
            REQUIRED.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, one)| *one).collect();
        let record = foreign(Some("1"), &headers);
        assert_eq!(seen(&record, Storage::CloudEventsBinary), json!({"data": 1}), "without {left_out}");
    }
    let typed = [("content-type", "application/cloudevents+json")];
    for value in [
        "7",
        r#"{"specversion":"0.3","id":"1","source":"s","type":"t","data":1}"#,
        r#"{"specversion":"1.0","id":"","source":"s","type":"t","data":1}"#,
        r#"{"specversion":"1.0","id":"1","source":"s","type":"t","ext":{},"data":1}"#,
        r#"{"specversion":"1.0","id":"1","id":"2","source":"s","type":"t","data":1}"#,
    ] {
        let seen = seen(&foreign(Some(value), &typed), Storage::CloudEventsStructured);
        assert!(seen.get("eventId").is_none(), "{value}: {seen}");
    }
}

#[test]
fn data_that_is_no_json_is_told_with_the_events_members() {
    let text = [REQUIRED.as_slice(), &[("content-type", "text/plain")]].concat();
    let typed = [("content-type", "application/cloudevents+json")];
    let encoded = r#"{"specversion":"1.0","id":"1","source":"s","type":"not.ours","data_base64":"AA=="}"#;
    for record in [foreign(Some("123"), &text), foreign(Some(encoded), &typed)] {
        let shown = shown(&record, Storage::CloudEventsBinary);
        assert_eq!(shown["meta"]["eventType"], "not.ours");
        assert!(shown["undecodable"].is_string() && shown["eventBase64"].is_string(), "{shown}");
    }
    let deletion = shown(&foreign(None, &REQUIRED), Storage::CloudEventsBinary);
    assert_eq!((&deletion["tombstone"], &deletion["meta"]["eventType"]), (&json!(true), &json!("not.ours")));
}

#[test]
fn records_from_before_a_change_of_storage_are_seen_as_what_they_are() {
    let envelope = json!({"eventId": ID, "eventType": "a.b.v1", "eventVersion": "1", "timestamp": "2020-01-01T00:00:00Z",
        "source": "s", "correlationId": "c", "data": {"eventId": "x", "eventType": "y.z.v1", "data": 1}});
    let all = [Storage::Native, Storage::Headers, Storage::CloudEventsBinary, Storage::CloudEventsStructured];
    for stored in all {
        let record = native(&envelope, stored);
        for read in all {
            // Data that looks like an envelope is one where envelopes are stored.
            if read == Storage::Native && matches!(stored, Storage::Headers | Storage::CloudEventsBinary) {
                continue;
            }
            let shown = shown(&record, read);
            let members = if stored == Storage::Native { &shown["event"] } else { &shown["meta"] };
            assert_eq!(members["eventType"], "a.b.v1", "{stored:?} as {read:?}: {shown}");
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z /%ü\u{fffe}:?#]{1,20}", Just("mailto:a@b.example".to_owned())]
}

proptest! {
    #[test]
    fn a_native_events_members_are_seen_again(
        own_id in any::<bool>(), version: bool, time: bool, source in proptest::option::of(text()),
        correlation in proptest::option::of(text()), causation in proptest::option::of(Just(String::new())), number: i64,
        nested in any::<bool>()
    ) {
        let event_type = if own_id { "own.made.v1" } else { "user.created.v1" };
        let mut given = json!({"eventType": event_type, "data": {"n": number, "s": "\n\"ä"}});
        if nested {
            given["data"] = given.clone();
        }
        let mut put = |name: &str, text: Option<&str>| if let Some(text) = text { given[name] = text.into() };
        put("eventId", own_id.then_some("any text"));
        put("eventVersion", version.then_some("1.7"));
        put("timestamp", time.then_some("2020-01-01T00:00:00+02:00"));
        put("source", source.as_deref());
        put("correlationId", correlation.as_deref());
        put("causationId", causation.as_deref());
        let filled = json!({"eventId": ID, "eventVersion": "1.0.0", "timestamp": "2026-11-21T10:15:30.123Z",
            "source": "order-service", "correlationId": "from-the-request"});
        let mut expected = given.clone();
        for (name, value) in filled.as_object().unwrap() {
            expected.as_object_mut().unwrap().entry(name).or_insert_with(|| value.clone());
        }
        for storage in STORAGES {
            assert_eq!(seen(&native(&given, storage), storage), expected, "{storage:?}");
        }
    }

    #[test]
    fn a_cloud_events_attributes_are_read_again(
        id in "[a-zA-Z0-9 ü-]{1,12}", time: bool, version: bool, correlation: bool, key: bool, subject in proptest::option::of("[a-z/ é]{1,9}"),
        count: Option<i32>, flag: Option<bool>, content_type: bool, number: i64
    ) {
        let mut event = json!({"specversion": "1.0", "id": id, "source": "/my/ctx", "type": "user.created.v1", "data": {"n": number}});
        let mut put = |name: &str, value: Option<Value>| if let Some(value) = value { event[name] = value };
        put("time", time.then(|| "2018-04-05T17:31:00.123456789Z".into()));
        put("eventversion", version.then(|| "1.7".into()));
        put("correlationid", correlation.then(|| "mine".into()));
        put("partitionkey", key.then(|| "pk".into()));
        put("subject", subject.map(Value::from));
        put("count", count.map(Value::from));
        put("flag", flag.map(Value::from));
        put("datacontenttype", content_type.then(|| "application/json; charset=utf-8".into()));
        for storage in STORAGES {
            let record = with_event(&event, |draft| record(draft, storage));
            let (attributes, data) = read_event(&record);
            let mut expected: BTreeMap<String, String> = event.as_object().unwrap().iter()
                .filter(|(name, _)| *name != "data")
                .map(|(name, value)| (name.clone(), value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)))
                .collect();
            if storage == Storage::CloudEventsBinary {
                expected.entry("datacontenttype".to_owned()).or_insert_with(|| "application/json".to_owned());
            } else {
                assert_eq!(serde_json::from_slice::<Value>(record.value.as_ref().unwrap()).unwrap(), event);
            }
            assert_eq!((attributes, data), (expected, Some(event["data"].clone())), "{storage:?}");
        }
    }
}
