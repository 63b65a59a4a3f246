//! Topics whose records name the schema of their data: JSON is posted and read, whatever is stored.

use serde_json::{Value, json};

use crate::harness::{TestGateway, eventually};

const TOPICS: &str = "
schemas: {store: embedded}
topic_defaults: {envelope: headers, partitions: 1}
topics:
- {name: prefix.v1, event_types: [prefix.v1], key: /data/customerId, schema: {wire: prefix}}
- {name: header.v1, event_types: [header.v1], key: /data/customerId, schema: {wire: header}}
groups: {workers: {topics: [prefix.v1]}}
";

/// The same topics, read as what lies in them.
const RAW: &str = "
schemas: {store: embedded}
topic_defaults: {envelope: headers, partitions: 1}
topics: [{name: prefix.v1, event_types: [prefix.v1]}, {name: header.v1, event_types: [header.v1]}]
groups: {workers: {topics: [prefix.v1]}}
";

const SCHEMA: &str = r#"{"type":"object","required":["customerId"],"properties":{"customerId":{"type":"string"},"n":{"type":"number"}}}"#;

/// Starts a gateway with these topics and waits for its registry.
async fn start(yaml: &str) -> TestGateway {
    let gateway = TestGateway::with(yaml).start().await;
    gateway.until_ready().await;
    gateway
}

/// Registers a schema for the data of an event type; answers its id.
async fn register(gateway: &TestGateway, event_type: &str, kind: &str, schema: &str) -> i64 {
    let path = format!("/registry/subjects/{event_type}-value/versions");
    let body = json!({"schemaType": kind, "schema": schema}).to_string();
    let registered = gateway.post(&path, "application/vnd.schemaregistry.v1+json", body).await;
    registered.expect(200)["id"].as_i64().unwrap()
}

/// Posts data as it is to a topic.
async fn post(gateway: &TestGateway, topic: &str, data: &str) -> Value {
    let answer =
        gateway.post(&format!("/v1/topics/{topic}/events"), "application/json", data.to_owned()).await;
    answer.expect(201)
}

/// The events of a topic, from its beginning.
async fn events(gateway: &TestGateway, topic: &str, query: &str) -> Vec<Value> {
    let page = gateway.get(&format!("/v1/topics/{topic}/events?from=earliest{query}")).await.expect(200);
    page["events"].as_array().unwrap().clone()
}

/// The record at an offset as it lies in its topic.
async fn raw(gateway: &TestGateway, topic: &str, offset: u64) -> Value {
    gateway.rewrite(RAW);
    gateway.post("/v1/admin/reload", "application/json", "").await.expect(200);
    let record = gateway.get(&format!("/v1/topics/{topic}/events/0/{offset}")).await.expect(200);
    gateway.rewrite(TOPICS);
    gateway.post("/v1/admin/reload", "application/json", "").await.expect(200);
    record
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn framed_json_is_posted_and_read_as_json_everywhere() {
    let gateway = start(TOPICS).await;
    let id = register(&gateway, "prefix.v1", "JSON", SCHEMA).await;
    let mut socket = gateway.socket().await;
    socket.ask(1, r#"{"id":1,"op":"subscribe","topics":["prefix.v1"],"from":"latest","filter":{"pointer":"/data/customerId","eq":"c-1"}}"#).await;
    let mut worker = gateway.socket().await;
    let ok = worker.ask(1, r#"{"id":1,"op":"subscribe","group":"workers","credit":4}"#).await;

    let data = r#"{"customerId":"c-1","n":1.50}"#;
    let receipt = post(&gateway, "prefix.v1", data).await;
    assert_eq!(receipt["status"], "accepted");
    let expected = json!({"customerId": "c-1", "n": 1.5});
    let event = socket.next_event().await;
    assert_eq!((&event["key"], &event["data"]), (&json!("c-1"), &expected), "{event}");
    assert_eq!(event["meta"]["eventType"], "prefix.v1");
    let delivery = worker.next_event().await;
    assert_eq!(delivery["data"], expected, "{delivery}");
    assert_eq!(events(&gateway, "prefix.v1", "").await[0]["data"], expected);
    let single = gateway.get("/v1/topics/prefix.v1/events/0/0").await;
    assert!(single.text.contains(&format!(r#""data":{data}"#)), "as it was posted: {}", single.text);

    let tag = &delivery["delivery"];
    worker.send(&json!({"op":"reject","sub":ok["sub"],"delivery":tag,"reason":"no"}).to_string()).await;
    let letter = eventually("the dead letter can be read", async || {
        let path = "/v1/topics/dlq.prefix.v1.workers/events?from=earliest";
        let page = gateway.get(path).await;
        if page.status == 200 { page.json()["events"].as_array()?.first().cloned() } else { None }
    })
    .await;
    assert_eq!(letter["data"], expected, "{letter}");

    let stored = raw(&gateway, "prefix.v1", 0).await;
    let frame = [&[0], &i32::try_from(id).unwrap().to_be_bytes()[..], data.as_bytes()].concat();
    assert_eq!(stored["eventBase64"], base64(&frame), "{stored}");
    socket.close().await;
    worker.close().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_names_the_schema_by_its_identity() {
    let gateway = start(TOPICS).await;
    let id = register(&gateway, "header.v1", "JSON", SCHEMA).await;
    let schema = gateway.get(&format!("/registry/schemas/ids/{id}")).await.expect(200);
    post(&gateway, "header.v1", r#"{"customerId":"c-1"}"#).await;
    let event = &events(&gateway, "header.v1", "").await[0];
    assert_eq!(event["data"], json!({"customerId": "c-1"}));
    let guid: uuid::Uuid = schema["guid"].as_str().unwrap().parse().unwrap();
    let name = [&[1], &guid.as_bytes()[..]].concat();
    assert_eq!(event["headers"]["__value_schema_id"], json!({"base64": base64(&name)}), "{event}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_schema_of_the_topics_format_is_refused() {
    let yaml = TOPICS.replace("key: /data/customerId, schema: {wire: header}", "schema: {format: avro}");
    let gateway = start(&yaml).await;
    let post = async |topic: &str, data: &str| {
        gateway.post(&format!("/v1/topics/{topic}/events"), "application/json", data.to_owned()).await
    };
    post("prefix.v1", r#"{"customerId":"c-1"}"#).await.expect_problem(422, "schema_missing");
    register(&gateway, "prefix.v1", "JSON", SCHEMA).await;
    register(&gateway, "header.v1", "JSON", SCHEMA).await;
    let refused = post("header.v1", r#"{"customerId":"c-1"}"#).await.expect_problem(422, "schema_missing");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("is JSON, and the topic holds avro"), "{detail}");
    post("prefix.v1", r#"{"customerId":1}"#).await.expect_problem(422, "schema_violation");
    let reserved = gateway
        .request("POST", "/v1/topics/prefix.v1/events")
        .header("content-type", "application/json")
        .header("Weirgate-Header-__value_schema_id", "x")
        .body(r#"{"customerId":"c-1"}"#);
    gateway.send(reserved).await.expect_problem(400, "invalid_parameter");
    let dry = "/v1/topics/prefix.v1/events?dryRun=true";
    let checked = gateway.post(dry, "application/json", r#"{"customerId":"c-1"}"#).await.expect(200);
    assert_eq!(checked["status"], "checked", "{checked}");
    assert!(events(&gateway, "prefix.v1", "").await.is_empty());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_whose_wire_changes_is_read_as_it_was_written() {
    let with = |wire: &str| TOPICS.replace("{wire: header}", &format!("{{format: avro, wire: {wire}}}"));
    let gateway = start(&with("prefix")).await;
    let schema = r#"{"type":"record","name":"Sold","fields":[
        {"name":"customerId","type":"string"},{"name":"n","type":["null","int"]}]}"#;
    register(&gateway, "header.v1", "AVRO", schema).await;
    let mut posted = Vec::new();
    for (n, wire) in ["prefix", "none", "header", "none"].into_iter().enumerate() {
        gateway.rewrite(&with(wire));
        gateway.post("/v1/admin/reload", "application/json", "").await.expect(200);
        let data = json!({"customerId": "c-1", "n": n});
        post(&gateway, "header.v1", &data.to_string()).await;
        posted.push(data);
    }
    let read: Vec<Value> = events(&gateway, "header.v1", "").await;
    assert_eq!(read.iter().map(|event| event["data"].clone()).collect::<Vec<_>>(), posted);
    let own: Vec<bool> =
        read.iter().map(|event| event["headers"]["weirgate-schema-id"].is_string()).collect();
    assert_eq!(own, [false, true, false, true]);
    gateway.stop().await;
}

const STORY: &str = "
schemas: {store: embedded}
topics:
- {name: orders.v1, event_types: [orders.v1], partitions: 12, retention: 7d, key: /data/customerId,
   event_id: /data/eventId, envelope: headers, schema: {format: avro}}
groups: {inventory-sync: {topics: [orders.v1]}, notification-dispatch: {topics: [orders.v1]}}
";

const ORDER_PLACED: &str = r#"{"type":"record","name":"OrderPlacedEvent","namespace":"com.mpc.commerce.orders","fields":[
    {"name":"eventId","type":"string"},{"name":"orderId","type":"string"},{"name":"customerId","type":"string"},
    {"name":"amount","type":"double"},{"name":"timestamp","type":"long"}]}"#;

/// A text as Avro has it: its length in zigzag, which is one byte of short texts, and its bytes.
fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len() * 2).unwrap()], text.as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_posted_as_json_stored_as_avro_and_read_as_json() {
    let gateway = start(STORY).await;
    let data = json!({"eventId":"evt-1","orderId":"ord_1","customerId":"c-42","amount":59.8,"timestamp":300});
    let path = "/v1/topics/orders.v1/events";
    let missing = gateway.post(path, "application/json", data.to_string()).await;
    missing.expect_problem(422, "schema_missing");
    let id = register(&gateway, "orders.v1", "AVRO", ORDER_PLACED).await;

    let mut socket = gateway.socket().await;
    socket.ask(1, r#"{"id":1,"op":"subscribe","topics":["orders.v1"],"from":"latest","filter":{"pointer":"/data/amount","gt":50}}"#).await;
    let wrong = data.to_string().replace("59.8", "\"much\"");
    let refused = gateway.post(path, "application/json", wrong).await.expect_problem(422, "schema_violation");
    assert_eq!(refused["errors"][0]["pointer"], "/data/amount", "{refused}");
    let receipt = post(&gateway, "orders.v1", &data.to_string()).await;
    assert_eq!((&receipt["eventId"], &receipt["status"]), (&json!("evt-1"), &json!("accepted")), "{receipt}");
    let again = gateway.post(path, "application/json", data.to_string()).await.expect(200);
    assert_eq!(again["status"], "duplicate", "{again}");

    let event = socket.next_event().await;
    assert_eq!((&event["key"], &event["data"]), (&json!("c-42"), &data), "{event}");
    assert_eq!(
        (&event["meta"]["eventId"], &event["meta"]["eventType"]),
        (&json!("evt-1"), &json!("orders.v1"))
    );
    for group in ["inventory-sync", "notification-dispatch"] {
        let mut worker = gateway.socket().await;
        worker.ask(1, &json!({"id":1,"op":"subscribe","group":group,"credit":4}).to_string()).await;
        assert_eq!(worker.next_event().await["data"], data);
        worker.close().await;
    }
    let lines = gateway.request("GET", &format!("{path}?from=earliest&wait=0s"));
    assert_eq!(gateway.send(lines).await.expect(200)["events"][0]["data"], data);

    let place = (receipt["partition"].as_u64().unwrap(), receipt["offset"].as_u64().unwrap());
    gateway.rewrite(&STORY.replace("schema: {format: avro}", "schema: {format: json}"));
    gateway.post("/v1/admin/reload", "application/json", "").await.expect(200);
    let stored = gateway.get(&format!("{path}/{}/{}", place.0, place.1)).await.expect(200);
    let frame = [
        &[0][..],
        &i32::try_from(id).unwrap().to_be_bytes(),
        &text("evt-1"),
        &text("ord_1"),
        &text("c-42"),
        &59.8_f64.to_le_bytes(),
        b"\xd8\x04",
    ];
    assert_eq!(stored["eventBase64"], base64(&frame.concat()), "{stored}");
    socket.close().await;
    gateway.stop().await;
}
