//! Topics whose records hold Avro or Protobuf and nothing else: no byte before the data says which schema wrote it.

use serde_json::{Value, json};
use weirgate::event::{EventType, Format, Record, Storage, Topic, TopicRule, Wire};
use weirgate::schema::Store;

use crate::client::{Answer, Client};
use crate::gateway::{Gateway, JSON, SHOP};
use crate::registry::ask;

const OWN: &str = "weirgate-schema-id";
const PATH: &str = "/v1/topics/loose.v1/events";

const AVRO: &str = r#"{"type":"record","name":"Sold","fields":[{"name":"customerId","type":"string"},{"name":"n","type":"int"}]}"#;
/// As bytes not to be told from the first: what it adds comes first.
const AVRO_LATER: &str = r#"{"type":"record","name":"Sold","fields":[{"name":"note","type":"string","default":""},
    {"name":"customerId","type":"string"},{"name":"n","type":"int"}]}"#;
const PROTOBUF: &str = r#"syntax = "proto3"; message Sold { string customer_id = 1; int32 n = 2; } message Other { bool b = 1; }"#;
const PROTOBUF_LATER: &str =
    r#"syntax = "proto3"; message Sold { string note = 3; string customer_id = 1; int32 n = 2; }"#;

const DATA: &str = r#"{"customerId":"c-1","n":7}"#;
/// The data in Avro: the text's length and the number are in zigzag.
const IN_AVRO: &[u8] = b"\x06c-1\x0e";
/// The data in Protobuf: fields 1 and 2.
const IN_PROTOBUF: &[u8] = b"\x0a\x03c-1\x10\x07";

/// A topic of one type, in a language.
fn start(format: Format, storage: Storage) -> Gateway {
    let types = vec![EventType::parse("sold.v1").unwrap()];
    let rule = TopicRule {
        format,
        wire: Wire::None,
        storage,
        ..TopicRule::plain(Topic::parse("loose.v1").unwrap(), types)
    };
    Gateway::with(|setup| {
        setup.store = Store::Embedded;
        setup.topics = Some(vec![rule]);
    })
}

/// Registers a version of the type's schema, whatever was there; answers its id.
fn register(gateway: &Gateway, kind: &str, schema: &str) -> String {
    assert_eq!(ask(gateway, "PUT", "/config", &[SHOP], r#"{"compatibility":"NONE"}"#).status, 200);
    let body = json!({"schemaType": kind, "schema": schema}).to_string();
    let answer = ask(gateway, "POST", "/subjects/sold.v1-value/versions", &[SHOP], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["id"].to_string()
}

fn post(gateway: &Gateway, headers: &[(&str, &str)], data: &str) -> Answer {
    gateway.send("POST", PATH, &[&[SHOP, JSON], headers].concat(), data)
}

/// What is read, from the beginning.
fn read(gateway: &Gateway) -> Vec<Value> {
    let page = gateway.send("GET", &format!("{PATH}?from=earliest"), &[SHOP], "");
    assert_eq!(page.status, 200, "{}", page.text());
    page.json()["events"].as_array().unwrap().clone()
}

fn last(gateway: &Gateway) -> Record {
    gateway.log.records("loose.v1").pop().unwrap()
}

fn json_of(data: &str) -> Value {
    serde_json::from_str(data).unwrap()
}

#[test]
fn json_is_posted_and_read_and_the_data_alone_is_stored() {
    for (format, kind, schema, bytes) in
        [(Format::Avro, "AVRO", AVRO, IN_AVRO), (Format::Protobuf, "PROTOBUF", PROTOBUF, IN_PROTOBUF)]
    {
        for storage in [Storage::Headers, Storage::CloudEventsBinary] {
            let gateway = start(format, storage);
            assert_eq!(post(&gateway, &[], DATA).code(), "schema_missing");
            let id = register(&gateway, kind, schema);
            assert_eq!(post(&gateway, &[], r#"{"customerId":7}"#).code(), "schema_violation");
            let receipt = post(&gateway, &[], DATA);
            assert_eq!(receipt.status, 201, "{}", receipt.text());
            let record = last(&gateway);
            assert_eq!(record.value.as_deref(), Some(bytes));
            assert_eq!(record.headers.last_text(OWN), Some(&*id));
            assert_eq!(record.headers.last("__value_schema_id"), None);
            let media_type = (storage == Storage::CloudEventsBinary)
                .then(|| format!("application/{}", kind.to_lowercase()));
            assert_eq!(record.headers.last_text("content-type"), media_type.as_deref());
            let event = &read(&gateway)[0];
            assert_eq!((&event["data"], &event["headers"][OWN]), (&json_of(DATA), &json!(id)), "{event}");
            assert_eq!(event["meta"]["eventType"], "sold.v1");
            let single = gateway.send("GET", &format!("{PATH}/0/0"), &[SHOP], "");
            assert_eq!(single.json()["data"], json_of(DATA));
        }
    }
}

#[test]
fn the_name_of_the_gateways_header_is_not_a_callers_to_give() {
    let gateway = start(Format::Avro, Storage::Headers);
    register(&gateway, "AVRO", AVRO);
    for name in ["weirgate-header-weirgate-schema-id", "weirgate-schema-id"] {
        let refused = post(&gateway, &[(name, "2")], DATA);
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_parameter"), "{name}");
    }
    assert!(gateway.log.records("loose.v1").is_empty());
}

#[test]
fn events_are_read_as_they_were_written_when_the_schema_has_evolved() {
    for (format, kind, first, second) in
        [(Format::Avro, "AVRO", AVRO, AVRO_LATER), (Format::Protobuf, "PROTOBUF", PROTOBUF, PROTOBUF_LATER)]
    {
        let gateway = start(format, Storage::Headers);
        register(&gateway, kind, first);
        assert_eq!(post(&gateway, &[], DATA).status, 201);
        register(&gateway, kind, second);
        let later = json!({"customerId": "c-2", "n": 8, "note": "with care"});
        let receipt = post(&gateway, &[], &later.to_string());
        assert_eq!(receipt.status, 201, "{}", receipt.text());
        let events = read(&gateway);
        assert_eq!((&events[0]["data"], &events[1]["data"]), (&json_of(DATA), &later));
        let deleted = ask(&gateway, "DELETE", "/subjects/sold.v1-value", &[SHOP], "");
        assert_eq!(deleted.status, 200, "{}", deleted.text());
        assert_eq!(read(&gateway), events);
    }
}

#[test]
fn what_another_producer_wrote_alone_is_read_by_the_latest_schema_of_its_type() {
    for (format, kind, first, second, bytes) in [
        (Format::Avro, "AVRO", AVRO, AVRO_LATER, IN_AVRO),
        (Format::Protobuf, "PROTOBUF", PROTOBUF, PROTOBUF_LATER, IN_PROTOBUF),
    ] {
        let gateway = start(format, Storage::Headers);
        register(&gateway, kind, first);
        gateway.log.put("loose.v1", bytes, &[]);
        gateway.log.put("loose.v1", bytes, &[("weirgate-event-type", "sold")]);
        gateway.log.put("loose.v1", DATA.as_bytes(), &[]);
        let events = read(&gateway);
        assert_eq!(events.len(), 3);
        for event in &events {
            assert_eq!(event["data"], json_of(DATA), "{event}");
        }
        register(&gateway, kind, second);
        let (other, added): (&[u8], &[u8]) = match format {
            Format::Protobuf => (bytes, b"\x1a\x01x"),
            Format::Json | Format::Avro => (b"\x02x", bytes),
        };
        gateway.log.put("loose.v1", &[other, added].concat(), &[]);
        let event = &read(&gateway)[3];
        assert_eq!(event["data"], json!({"note": "x", "customerId": "c-1", "n": 7}), "{event}");
    }
}

#[test]
fn bytes_that_are_no_data_of_the_schema_are_told_and_stop_nobody() {
    let gateway = start(Format::Avro, Storage::Headers);
    let id = register(&gateway, "AVRO", AVRO);
    let cut_off = &IN_AVRO[..3];
    let longer = [IN_AVRO, b"\x00"].concat();
    let broken: [&[u8]; 4] = [cut_off, &longer, b"", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"];
    for value in broken {
        gateway.log.put("loose.v1", value, &[]);
        gateway.log.put("loose.v1", value, &[(OWN, &id)]);
    }
    gateway.log.put("loose.v1", IN_AVRO, &[(OWN, "99")]);
    gateway.log.put("loose.v1", IN_AVRO, &[(OWN, "first")]);
    gateway.log.put("loose.v1", IN_AVRO, &[("weirgate-event-type", "unheard.of.v1")]);
    assert_eq!(post(&gateway, &[], DATA).status, 201);
    let mut events = read(&gateway);
    assert_eq!(events.pop().unwrap()["data"], json_of(DATA));
    assert_eq!(events.len(), 2 * broken.len() + 3);
    for event in &events {
        assert!(event["undecodable"].is_string() && event["eventBase64"].is_string(), "{event}");
    }
    let told = |at: usize| events[at]["undecodable"].as_str().unwrap();
    assert_eq!((told(0), told(1)), ("the data is cut off", "the data is cut off"));
    assert_eq!(told(2), "there are bytes after the data");
    assert_eq!(told(4), "a number is cut off or too long");
    assert_eq!(told(8), "no schema has the id 99");
    let metrics = Client::connect(gateway.metrics_address).send("GET", "/metrics", &[], b"");
    for reason in ["broken_data", "unknown_schema", "unnamed"] {
        let series = format!("weirgate_undecodable_records_total{{reason=\"{reason}\",topic=\"loose.v1\"}} ");
        assert!(metrics.text().contains(&series), "{series}: {}", metrics.text());
    }
}
