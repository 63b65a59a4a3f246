//! Topics that hold Protobuf: JSON is posted and read, and the bytes are those of any Protobuf client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::TestGateway;

const TOPICS: &str = "
schemas: {store: embedded}
topic_defaults: {envelope: headers, partitions: 1}
topics: [{name: orders.v1, event_types: [orders.v1], key: /data/customerId, schema: {format: protobuf}}]
groups: {}
";

/// The same topic, read as what lies in it.
const RAW: &str = "
schemas: {store: embedded}
topic_defaults: {envelope: headers, partitions: 1}
topics: [{name: orders.v1, event_types: [orders.v1]}]
groups: {}
";

const ORDER: &str =
    "syntax = \"proto3\"; message Order { string customer_id = 1; int32 amount = 2; repeated Item items = 3;
    message Item { string sku = 1; int64 price = 2; } }";

async fn register(gateway: &TestGateway, schema: &str) -> i64 {
    let body = json!({"schemaType": "PROTOBUF", "schema": schema}).to_string();
    let path = "/registry/subjects/orders.v1-value/versions";
    let registered = gateway.post(path, "application/vnd.schemaregistry.v1+json", body).await;
    registered.expect(200)["id"].as_i64().unwrap()
}

async fn events(gateway: &TestGateway) -> Vec<Value> {
    let page = gateway.get("/v1/topics/orders.v1/events?from=earliest").await.expect(200);
    page["events"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_an_id_are_found_under_either_name_of_their_members() {
    for (key, event_id) in [("customerId", "eventId"), ("customer_id", "event_id")] {
        let rules = format!("key: /data/{key}, event_id: /data/{event_id}");
        let gateway = TestGateway::with(&TOPICS.replace("key: /data/customerId", &rules)).start().await;
        gateway.until_ready().await;
        let schema = ORDER.replace("repeated", "string event_id = 4; repeated");
        register(&gateway, &schema).await;
        let post = async |data: &str, status| {
            let path = "/v1/topics/orders.v1/events";
            gateway.post(path, "application/json", data.to_owned()).await.expect(status)["status"].clone()
        };
        assert_eq!(post(r#"{"customerId":"c-1","eventId":"evt-1"}"#, 201).await, "accepted");
        assert_eq!(post(r#"{"customer_id":"c-2","event_id":"evt-2"}"#, 201).await, "accepted");
        assert_eq!(post(r#"{"customer_id":"c-2","event_id":"evt-2"}"#, 200).await, "duplicate");
        let read = events(&gateway).await;
        let of = |event: &Value| (event["key"].clone(), event["meta"]["eventId"].clone());
        assert_eq!(
            read.iter().map(of).collect::<Vec<_>>(),
            [(json!("c-1"), json!("evt-1")), (json!("c-2"), json!("evt-2"))]
        );
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_stored_as_protobuf_and_read_as_json_by_the_version_that_wrote_it() {
    let gateway = TestGateway::with(TOPICS).start().await;
    gateway.until_ready().await;
    let id = register(&gateway, ORDER).await;
    let post = async |data: Value| {
        gateway.post("/v1/topics/orders.v1/events", "application/json", data.to_string()).await
    };
    let items = json!([{"sku": "m", "price": 1990}]);
    post(json!({"customerId": "c-1", "amount": 7, "items": items})).await.expect(201);
    let refused = post(json!({"customerId": "c-1", "amount": "seven", "more": 1})).await;
    let refused = refused.expect_problem(422, "schema_violation");
    assert_eq!(refused["errors"][0]["pointer"], "/data/amount", "{refused}");
    assert_eq!(refused["errors"][1]["pointer"], "/data/more", "{refused}");
    let renamed = ORDER.replace("amount", "total");
    assert_ne!(register(&gateway, &renamed).await, id);
    post(json!({"customerId": "c-2", "total": 0})).await.expect(201);

    let read = events(&gateway).await;
    assert_eq!(
        read[0]["data"],
        json!({"customerId": "c-1", "amount": 7, "items": [{"sku": "m", "price": "1990"}]})
    );
    assert_eq!(read[0]["key"], "c-1");
    assert_eq!(read[1]["data"], json!({"customerId": "c-2", "total": 0, "items": []}), "by its own version");

    gateway.rewrite(RAW);
    gateway.post("/v1/admin/reload", "application/json", "").await.expect(200);
    let record = gateway.get("/v1/topics/orders.v1/events/0/0").await.expect(200);
    let bytes = &b"\x00\x0a\x03c-1\x10\x07\x1a\x06\x0a\x01m\x10\xc6\x0f"[..];
    let frame = [&[0], &i32::try_from(id).unwrap().to_be_bytes()[..], bytes].concat();
    let encoded = STANDARD.encode(frame);
    assert_eq!(record["eventBase64"], encoded, "{record}");
    gateway.stop().await;
}
