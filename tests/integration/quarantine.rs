//! A refused event is kept, and published once the schema is put right.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::TestGateway;

const TOPICS: &str = "topics: [{name: notes.v1, event_types: [notes.taken.v1], schema: {quarantine: refused}}, \
                      {name: refused, partitions: 1}]";

fn write_schema(directory: &Path, length_max: u64) {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
        "properties": {"text": {"type": "string", "maxLength": length_max}},
    });
    let folder = directory.join("notes/taken");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("v1.json"), schema.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_is_kept_and_published_once_the_schema_is_put_right() {
    let directory = tempfile::tempdir().unwrap();
    write_schema(directory.path(), 3);
    let gateway = TestGateway::with(TOPICS).with_schemas(directory.path()).start().await;
    let event =
        json!({"eventType": "notes.taken.v1", "source": "desk", "data": {"text": "tomato"}}).to_string();
    let refused = gateway.publish(event).await.expect(422);
    assert_eq!(refused["code"], "schema_violation");
    let place = json!({"state": "kept", "topic": "refused", "partition": 0, "offset": 0});
    assert_eq!(refused["quarantine"], place, "{refused}");

    let page = gateway.get("/v1/topics/refused/events?from=earliest&wait=10s").await.expect(200);
    let kept = &page["events"][0];
    assert_eq!(kept["headers"]["weirgate-quarantine-topic"], "notes.v1");
    let errors: Value =
        serde_json::from_str(kept["headers"]["weirgate-quarantine-errors"].as_str().unwrap()).unwrap();
    assert_eq!((&errors[0]["pointer"], &errors[0]["keyword"]), (&json!("/data/text"), &json!("maxLength")));

    write_schema(directory.path(), 10);
    gateway.post("/v1/admin/reload", "application/json", "").await.expect(200);
    let again = gateway.publish(kept["event"].to_string()).await.expect(201);
    assert_eq!((&again["topic"], &again["eventId"]), (&json!("notes.v1"), &kept["event"]["eventId"]));
    let twice = gateway.publish(kept["event"].to_string()).await.expect(200);
    assert_eq!(twice["status"], "duplicate");
    gateway.stop().await;
}
