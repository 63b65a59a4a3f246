//! Official clients of schema registries, each through a whole round trip; then events are judged by what it registered.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;
use weirgate::event::json::{Document, Limits};
use weirgate::schema::avro::Avro;
use weirgate::schema::codec::Codec as _;

use super::gateway::Gateway;
use super::native;

/// How the topic's records are stored.
const JSON: &str = "envelope: native";
const AVRO: &str = "envelope: headers, schema: {format: avro}";
const PROTOBUF: &str = "envelope: headers, schema: {format: protobuf}";
/// A script ends sooner, on a busy machine too.
const SCRIPT_MAX: Duration = Duration::from_secs(120);

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/registry")
}

async fn publish(gateway: &Gateway, event_type: &str, data: &Value) -> (u16, Value) {
    let body = json!({"eventType": event_type, "source": "clients", "data": data}).to_string();
    let request =
        reqwest::Client::new().post(format!("{}/v1/events", gateway.url)).bearer_auth(&gateway.token);
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

/// Runs a client's script against a gateway that judges events by its registry.
async fn round_trip(script: &str, stored: &str) {
    let is_avro_too = stored == JSON;
    // The registry may be that of other gateways too.
    let name = |what: &str| format!("clients.{}.{what}.v1", uuid::Uuid::new_v4().simple());
    let (ordered, paid) = (name("ordered"), name("paid"));
    let topic = |name, stored| format!("{{name: {name}, event_types: [{name}], partitions: 1, {stored}}}");
    let topics = format!("topics=[{},{}]", topic(&ordered, stored), topic(&paid, AVRO));
    let gateway = Gateway::start_with(&["schemas.store=embedded", &topics, "groups={}"]);
    gateway.ready().await;
    let (status, refused) = publish(&gateway, &ordered, &json!({"orderId": "ord_1"})).await;
    assert_eq!((status, &refused["code"]), (422, &json!("schema_missing")), "{refused}");

    let mut command = native::script("clients/registry", script);
    command.args([&format!("{}/registry", gateway.url), &gateway.token, &ordered, &paid]);
    let running = Command::from(command).kill_on_drop(true).output();
    let output = timeout(SCRIPT_MAX, running).await.expect("the script ends").unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{told}\nThe gateway: {}", gateway.log());
    assert!(text.contains("round trip"), "{text}");

    let (status, stored) = publish(&gateway, &ordered, &json!({"orderId": "ord_1"})).await;
    assert_eq!(status, 201, "{stored}");
    let (status, refused) = publish(&gateway, &ordered, &json!({"orderId": 1})).await;
    assert_eq!((status, &refused["code"]), (422, &json!("schema_violation")), "{refused}");
    let avro = text.lines().find_map(|line| line.strip_prefix("avro "));
    assert_eq!(avro.is_some(), is_avro_too, "{text}");
    if let Some(digits) = avro {
        judge_avro(&gateway, &paid, digits).await;
    }
}

/// What the client wrote in Avro is what the gateway makes of the same data, byte for byte, and is read as such.
async fn judge_avro(gateway: &Gateway, paid_topic: &str, digits: &str) {
    let file = |name: &str| fs::read_to_string(scripts().join(name)).unwrap();
    let (avro, paid) = (Avro::parse(&file("paid.avsc"), &[]).unwrap(), file("paid.json"));
    let record: Vec<u8> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect();
    let (prefix, written) = record.split_at(5);
    assert_eq!(prefix[0], 0, "{digits}");
    let encode = |text: &[u8]| {
        let document = Document::parse(text, Limits::default()).unwrap();
        let mut bytes = Vec::new();
        avro.encode(document.root(), &mut bytes).unwrap();
        bytes
    };
    assert_eq!(encode(paid.as_bytes()), written);
    let mut read = Vec::new();
    avro.decode(&[], written, 10_000, &mut read).unwrap();
    assert_eq!(encode(&read), written);
    let read: Value = serde_json::from_slice(&read).unwrap();
    assert_eq!((&read["at"], &read["receipt"]), (&json!("2026-11-21T10:15:30.123Z"), &json!("AP8=")));

    let (status, stored) = publish(gateway, paid_topic, &read).await;
    assert_eq!(status, 201, "{stored}");
    let (status, refused) = publish(gateway, paid_topic, &json!({"orderId": "ord_1"})).await;
    assert_eq!((status, &refused["code"]), (422, &json!("schema_violation")), "{refused}");
}

#[tokio::test]
#[cfg_attr(not(has_interop), ignore = "needs npm, and Python with venv")]
async fn confluents_client_for_python_registers_writes_and_reads() {
    round_trip("round_trip.py", JSON).await;
}

#[tokio::test]
#[cfg_attr(not(has_interop), ignore = "needs npm, and Python with venv")]
async fn confluents_client_for_javascript_registers_writes_and_reads() {
    round_trip("official.cjs", JSON).await;
}

#[tokio::test]
#[cfg_attr(not(has_interop), ignore = "needs npm, and Python with venv")]
async fn confluents_client_for_python_registers_writes_and_reads_protobuf() {
    round_trip("protobuf.py", PROTOBUF).await;
}

#[tokio::test]
#[cfg_attr(not(has_interop), ignore = "needs npm, and Python with venv")]
async fn confluents_client_for_javascript_registers_writes_and_reads_protobuf() {
    round_trip("protobuf.cjs", PROTOBUF).await;
}

#[tokio::test]
#[cfg_attr(not(has_interop), ignore = "needs npm, and Python with venv")]
async fn kafkajss_client_registers_writes_and_reads() {
    round_trip("kafkajs.cjs", JSON).await;
}
