//! Values, keys and headers pass byte for byte, both ways.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{Client, Gateway, Native};

/// What a record may have of data where the brokers' limit of a batch (1,048,588 bytes) is left as it is.
const VALUE_BYTES: usize = 1_048_400;

/// Everything Kafka allows that these clients can say; every value tells who wrote it.
fn records(client: Client) -> Vec<Native> {
    let name = format!("{client:?}");
    let header = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
    let json = |text: &str| Some(json!({"by": name, "text": text}).to_string().into_bytes());
    let full = Native {
        key: Some(b"a".to_vec()),
        value: json("full"),
        headers: vec![
            header("same", b"1"),
            header("same", b"2"),
            header("empty", b""),
            header("bytes", b"\xff\x00"),
            header("größe", "ß".as_bytes()),
        ],
        ..Native::default()
    };
    let of = |key: Option<&[u8]>, value: Option<Vec<u8>>| Native {
        key: key.map(<[u8]>::to_vec),
        value,
        ..Native::default()
    };
    // The key says who wrote what has no value.
    let tombstone = of(Some(format!("tombstone of {name}").as_bytes()), None);
    let text = "x".repeat(VALUE_BYTES - name.len());
    vec![
        full,
        of(None, json("no key")),
        of(Some(b""), json("empty key")),
        tombstone,
        of(Some(b"k\xff"), json(&text)),
    ]
}

/// The records of one client in a subscriber's words, in the order of `records`.
fn expected(client: Client) -> Vec<Value> {
    let name = format!("{client:?}");
    let data = |text: &str| json!({"by": name, "text": text});
    let headers = json!({"same": ["1", "2"], "empty": "", "bytes": {"base64": "/wA="}, "größe": "ß"});
    vec![
        json!({"key": "a", "headers": headers, "meta": {}, "data": data("full")}),
        json!({"key": null, "headers": {}, "meta": {}, "data": data("no key")}),
        json!({"key": "", "headers": {}, "meta": {}, "data": data("empty key")}),
        json!({"key": format!("tombstone of {name}"), "headers": {}, "meta": {}, "data": null, "tombstone": true}),
        json!({"keyBase64": "a/8=", "headers": {}, "meta": {}, "data": data(&"x".repeat(VALUE_BYTES - name.len()))}),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(has_kafka, has_interop)), ignore = "needs Java 17 and Maven, npm, and Python with venv")]
async fn a_subscriber_gets_what_other_clients_wrote() {
    let gateway = Gateway::start("native").await;
    let mut socket = gateway.socket().await;
    let subscribe = json!({"id": 1, "op": "subscribe", "topics": [gateway.topic], "from": "latest"});
    socket.ask(1, &subscribe.to_string()).await;
    for client in [Client::KafkaJs, Client::KafkaPython] {
        client.produce(&gateway.topic, &records(client)).await;
        let mut missing = expected(client);
        while !missing.is_empty() {
            let mut event = socket.next_event().await;
            let members = event.as_object_mut().unwrap();
            for place in ["op", "sub", "topic", "partition", "offset", "timestamp", "cursor"] {
                members.remove(place);
            }
            let found = missing.iter().position(|one| *one == event);
            let shown: String = event.to_string().chars().take(500).collect();
            missing.remove(found.unwrap_or_else(|| panic!("{client:?}: {shown}")));
        }
    }
    socket.close().await;
    gateway.stop().await;
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &[u8]| {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    };
    add("weirgate-key", "größe".as_bytes());
    add("weirgate-header-same", b"1");
    add("weirgate-header-same", b"2");
    add("weirgate-header-empty", b"");
    add("weirgate-header-bytes", b"\xff\xfe");
    add("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    headers
}

/// The headers of a record without those that tell the envelope.
fn given(record: &Native) -> Vec<(&str, &[u8])> {
    let shown = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref().unwrap()));
    shown.filter(|(name, _)| !name.starts_with("weirgate-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(has_kafka, has_interop)), ignore = "needs Java 17 and Maven, npm, and Python with venv")]
async fn other_clients_get_the_posted_bytes() {
    let expected: [(&str, &[u8]); 5] = [
        ("same", b"1"),
        ("same", b"2"),
        ("empty", b""),
        ("bytes", b"\xff\xfe"),
        ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let data = "{ \"text\": \"ß\\u00df\", \"number\": 1.50 }";
    let event = format!(
        "{{\"eventId\":\"550e8400-e29b-41d4-a716-446655440000\",\"eventType\":\"interop.written.v1\",\
         \"eventVersion\":\"1.0.0\",\"timestamp\":\"2026-11-21T10:15:30.123Z\",\"source\":\"interop\",  \"data\":{data}}}"
    );
    for (envelope, stored) in [("native", event.as_str()), ("headers", data)] {
        let gateway = Gateway::start(envelope).await;
        let (status, receipt) = gateway.post("/v1/events", headers(), event.clone()).await;
        assert_eq!(status, 201, "{receipt}");
        for client in [Client::KafkaPython, Client::KafkaJs] {
            let mut consumer = client.consume(&gateway.topic, &format!("{envelope}-{client:?}")).await;
            let record = consumer.record().await.expect("a record");
            assert_eq!(record.key.as_deref(), Some("größe".as_bytes()), "{client:?}");
            assert_eq!(record.value.as_deref(), Some(stored.as_bytes()), "{client:?}, {envelope}");
            assert_eq!(given(&record), expected, "{client:?}, {envelope}");
            assert_eq!(receipt["partition"], record.partition);
            let told = |name: &str| record.headers.iter().find(|(have, _)| have == name);
            let event_type = told("weirgate-event-type").and_then(|(_, value)| value.as_deref());
            assert_eq!(event_type, (envelope == "headers").then_some(&b"interop.written.v1"[..]));
            consumer.end().await;
        }
        gateway.stop().await;
    }
}
