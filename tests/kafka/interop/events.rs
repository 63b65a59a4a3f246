//! The official SDKs of CloudEvents as the other end of a topic that stores CloudEvents, in both modes and both ways.

use std::collections::BTreeMap;
use std::process::Stdio;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::clients::script;
use super::{Gateway, PATIENCE};
use crate::broker;

const ID: &str = "550e8400-e29b-41d4-a716-446655440000";
/// The SDKs, by their scripts.
const SDKS: [&str; 2] = ["events.py", "events.cjs"];

/// Runs an SDK to its end; answers the lines it printed.
async fn run(name: &str, arguments: &[&str], input: &[Value]) -> Vec<Value> {
    let brokers = spawn_blocking(broker::shared).await.unwrap().join(",");
    let mut command = script(name).await;
    command.arg(arguments[0]).arg(brokers).args(&arguments[1..]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let lines: String = input.iter().map(|line| format!("{line}\n")).collect();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).await.unwrap();
    drop(stdin);
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("the SDK ends in time").unwrap();
    assert!(output.status.success(), "{name} {arguments:?} failed");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Attributes as text, times in milliseconds, and the data.
fn plain(event: &Value) -> BTreeMap<String, Value> {
    let members = event.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
    members
        .map(|(name, value)| match (name.as_str(), value) {
            ("data", _) => (name.clone(), value.clone()),
            ("time", Value::String(text)) => {
                let time = weirgate::event::Timestamp::parse(text).unwrap();
                (name.clone(), time.to_string().into())
            }
            (_, Value::String(text)) => (name.clone(), text.clone().into()),
            _ => (name.clone(), value.to_string().into()),
        })
        .collect()
}

/// What was posted as a CloudEvent.
fn posted(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "/interop/gr%C3%B6%C3%9Fe",
        "type": "interop.written.v1", "time": "2026-11-21T10:15:30.123Z", "subject": "ein Größenwahn 🛒 100%",
        "datacontenttype": "application/json", "correlationid": "c-1", "partitionkey": "a key", "count": "7",
        "data": {"key": "unused", "text": "ß", "number": 1.5},
    })
}

fn cloud_event() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/cloudevents+json"));
    headers
}

/// The same event in the binary mode of HTTP.
fn in_headers(event: &Value) -> (HeaderMap, String) {
    let mut headers = HeaderMap::new();
    for (name, value) in event.as_object().unwrap() {
        if matches!(name.as_str(), "data" | "datacontenttype") {
            continue;
        }
        let encode = |byte: u8| match byte {
            b'!' | b'#'..=b'$' | b'&'..=b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        let text: String = value.as_str().unwrap().bytes().map(encode).collect();
        let name = HeaderName::from_bytes(format!("ce-{name}").as_bytes()).unwrap();
        headers.insert(name, HeaderValue::from_str(&text).unwrap());
    }
    (headers, event["data"].to_string())
}

/// Posts a native event and two CloudEvents; answers what readers of CloudEvents must see.
async fn post_all(gateway: &Gateway) -> Vec<Value> {
    let native = json!({
        "eventId": ID, "eventType": "interop.written.v1", "eventVersion": "1.2", "source": "interop shop",
        "timestamp": "2026-11-21T11:15:30.123+01:00", "correlationId": "c-2", "data": {"key": "k", "text": "ß"},
    });
    let as_event = json!({
        "specversion": "1.0", "id": ID, "type": "interop.written.v1", "eventversion": "1.2", "source": "interop%20shop",
        "time": "2026-11-21T10:15:30.123Z", "correlationid": "c-2", "datacontenttype": "application/json",
        // Both SDKs take a record's key for this attribute.
        "partitionkey": "k", "data": {"key": "k", "text": "ß"},
    });
    let (structured, binary) = (posted("A-1"), posted("A 2"));
    let (headers, data) = in_headers(&binary);
    for (headers, body) in
        [(HeaderMap::new(), native.to_string()), (cloud_event(), structured.to_string()), (headers, data)]
    {
        let (status, answer) = gateway.post("/v1/events", headers, body).await;
        assert_eq!(status, 201, "{answer}");
    }
    vec![as_event, structured, binary]
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(has_kafka, has_interop)), ignore = "needs Java 17 and Maven, npm, and Python with venv")]
async fn the_official_sdks_read_what_was_posted() {
    for mode in ["cloudevents-binary", "cloudevents-structured"] {
        let gateway = Gateway::start(mode).await;
        let expected = post_all(&gateway).await;
        for name in SDKS {
            let group = format!("{mode}-{name}");
            let count = expected.len().to_string();
            let found = run(name, &["read", &gateway.topic, &group, &count], &[]).await;
            for event in &expected {
                let one = found.iter().find(|one| one["id"] == event["id"]);
                let one = one.unwrap_or_else(|| panic!("{name}, {mode}: {} in {found:?}", event["id"]));
                assert_eq!(plain(one), plain(event), "{name}, {mode}");
            }
        }
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(has_kafka, has_interop)), ignore = "needs Java 17 and Maven, npm, and Python with venv")]
async fn subscribers_get_what_the_official_sdks_wrote() {
    let writers = [
        ("events.py", "binary"),
        ("events.py", "structured"),
        ("events.py", "v1-binary"),
        ("events.py", "v1-structured"),
        ("events.cjs", "binary"),
        ("events.cjs", "structured"),
    ];
    // Its readers need not care for the mode, with the older functions' exception: they give the data's media type.
    let gateway = Gateway::start("cloudevents-structured").await;
    let mut socket = gateway.socket().await;
    let filter = json!({"pointer": "/eventType", "eq": "interop.written.v1"});
    let subscribe =
        json!({"id": 1, "op": "subscribe", "topics": [gateway.topic], "from": "latest", "filter": filter});
    socket.ask(1, &subscribe.to_string()).await;
    for (name, mode) in writers {
        let event = posted(&format!("{name} {mode}"));
        run(name, &["write", &gateway.topic, mode], std::slice::from_ref(&event)).await;
        let seen = socket.next_event().await;
        let (meta, headers) = (&seen["meta"], &seen["headers"]);
        assert_eq!(seen["data"], event["data"], "{name} {mode}: {seen}");
        assert_eq!(headers["ce_id"], event["id"], "{name} {mode}: {seen}");
        assert_eq!((&headers["ce_subject"], &headers["ce_count"]), (&event["subject"], &event["count"]));
        for (member, attribute) in
            [("eventType", "type"), ("source", "source"), ("correlationId", "correlationid")]
        {
            assert_eq!(meta[member], event[attribute], "{name} {mode}: {seen}");
        }
        assert_eq!(meta["eventVersion"], "1.0.0");
        assert!(uuid::Uuid::parse_str(meta["eventId"].as_str().unwrap()).is_ok(), "{seen}");
        let time = weirgate::event::Timestamp::parse(meta["timestamp"].as_str().unwrap()).unwrap();
        assert_eq!(time.to_string(), event["time"], "{name} {mode}: {seen}");
        assert_eq!(seen["key"], "a key");
    }
    socket.close().await;
    gateway.stop().await;
}
