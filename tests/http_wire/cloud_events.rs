//! Topics that store CloudEvents: what is posted, what lies there, what readers and documents tell.

use serde_json::{Value, json};
use weirgate::event::{EventType, KeyRule, Storage, Topic, TopicRule, json::Pointer};

use crate::gateway::{Gateway, JSON, SHOP};

const ID: &str = "0193b5a0-1111-7222-8333-444455556666";
const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json");

/// `loose.v1` with one storage, keyed by a member of the data.
fn start(storage: Storage) -> Gateway {
    let types = vec![EventType::parse("things.noted.v1").unwrap()];
    let rule = TopicRule {
        storage,
        is_schema_required: false,
        key: Some(KeyRule { pointer: Pointer::parse("/data/room").unwrap(), is_optional: true }),
        ..TopicRule::plain(Topic::parse("loose.v1").unwrap(), types)
    };
    Gateway::with(|setup| setup.topics = Some(vec![rule]))
}

fn page(gateway: &Gateway, query: &str) -> Vec<Value> {
    let page = gateway.send("GET", &format!("/v1/topics/loose.v1/events{query}"), &[SHOP], "");
    assert_eq!(page.status, 200, "{}", page.text());
    page.json()["events"].as_array().unwrap().clone()
}

#[test]
fn readers_see_the_same_events_in_both_modes() {
    let native = json!({"eventId": ID, "eventType": "things.noted.v1", "data": {"room": "blue"}}).to_string();
    let event = json!({"specversion": "1.0", "id": "A-1", "source": "shop", "type": "things.noted.v1", "subject": "wall",
        "data": {"room": "red"}});
    for (storage, values) in [
        (Storage::CloudEventsBinary, [json!({"room": "blue"}), json!({"room": "red"})]),
        (Storage::CloudEventsStructured, [Value::Null, event.clone()]),
    ] {
        let gateway = start(storage);
        assert_eq!(gateway.post("", &[], &native).status, 201);
        let answer = gateway.send("POST", "/v1/events", &[SHOP, STRUCTURED], &event.to_string());
        assert_eq!(answer.status, 201, "{}", answer.text());
        let records = gateway.log.records("loose.v1");
        for (record, value) in records.iter().zip(values) {
            let stored: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
            assert!(value.is_null() || stored == value, "{storage:?}: {stored}");
        }
        let events = page(&gateway, "?from=earliest");
        assert_eq!(
            (&events[0]["meta"]["eventId"], &events[0]["key"]),
            (&json!(ID), &json!("blue")),
            "{storage:?}"
        );
        assert_eq!(
            (&events[1]["data"]["room"], &events[1]["key"]),
            (&json!("red"), &json!("red")),
            "{storage:?}"
        );
        assert_eq!(events[1]["headers"]["ce_subject"], "wall", "{storage:?}");
        assert_eq!(events[1]["meta"]["eventId"], answer.json()["eventId"], "{storage:?}");
        for filter in [
            r#"{"pointer":"/data/room","eq":"red"}"#,
            r#"{"header":"ce_subject","eq":"wall"}"#,
            &format!(r#"{{"pointer":"/eventId","eq":{}}}"#, answer.json()["eventId"]),
        ] {
            let encoded: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let found = page(&gateway, &format!("?from=earliest&filter={encoded}"));
            assert_eq!((found.len(), &found[0]["data"]["room"]), (1, &json!("red")), "{storage:?}, {filter}");
        }
        let one = gateway.send("GET", "/v1/topics/loose.v1/events/0/1", &[SHOP], "");
        assert_eq!(one.json()["data"], json!({"room": "red"}));
    }
}

#[test]
fn what_readers_of_the_topic_would_take_for_something_else_is_refused() {
    let gateway = start(Storage::CloudEventsBinary);
    let event =
        json!({"specversion": "1.0", "id": "A-1", "source": "shop", "type": "things.noted.v1"}).to_string();
    let answer = gateway.send("POST", "/v1/events", &[SHOP, STRUCTURED], &event);
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_cloudevent"), "{}", answer.text());
    let headers = [SHOP, JSON, ("weirgate-header-content-type", "application/cloudevents+json")];
    let answer = gateway.send("POST", "/v1/topics/loose.v1/events", &headers, "{}");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(gateway.log.records("loose.v1").is_empty());
    let gateway = start(Storage::CloudEventsStructured);
    assert_eq!(gateway.send("POST", "/v1/events", &[SHOP, STRUCTURED], &event).status, 201);
}

#[test]
fn the_media_type_of_data_in_binary_mode_is_kept() {
    let gateway = start(Storage::CloudEventsBinary);
    let headers = [
        SHOP,
        ("content-type", "application/vnd.things+json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "A-1"),
        ("ce-source", "shop"),
        ("ce-type", "things.noted.v1"),
    ];
    let answer = gateway.send("POST", "/v1/events", &headers, "{}");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let record = gateway.log.records("loose.v1").remove(0);
    assert_eq!(record.headers.last_text("content-type"), Some("application/vnd.things+json"));
}

#[test]
fn the_document_tells_how_the_topic_stores_events() {
    let gateway = start(Storage::CloudEventsBinary);
    let document = gateway.send("GET", "/asyncapi.json", &[SHOP], "").json();
    let record = &document["components"]["messages"]["record.things.noted.v1"];
    assert_eq!(record["x-envelope"], "cloudevents-binary");
    assert_eq!(record["payload"]["allOf"][1]["required"], json!(["meta", "data"]));
}
