//! A gateway that judges by a registry elsewhere: that of another gateway, over its Confluent-compatible API.

mod forwarder;

use serde_json::{Value, json};

use crate::harness::{TestGateway, eventually, order};
use crate::tls;

use forwarder::Forwarder;

const ORDER: &str = r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}"#;
const AVRO: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"customerId","type":"string"},{"name":"total","type":"Money"}]}"#;
const MONEY: &str =
    r#"{"type":"record","name":"Money","namespace":"shop","fields":[{"name":"cents","type":"long"}]}"#;
const PROTOBUF: &str = r#"syntax = "proto3"; message Order { string customerId = 1; int64 n = 2; }"#;

/// A gateway whose registry others ask, what stands before it, and a gateway that asks.
struct Pair {
    registry: TestGateway,
    between: Forwarder,
    gateway: TestGateway,
}

/// A gateway that keeps the registry.
async fn registry() -> TestGateway {
    let gateway = TestGateway::with("schemas: {store: embedded}").start().await;
    ready(&gateway).await;
    gateway
}

async fn ready(gateway: &TestGateway) {
    eventually("the gateway is ready", async || (gateway.get("/readyz").await.status == 200).then_some(()))
        .await;
}

/// Starts a gateway with these topics that asks the registry with this token.
async fn asking(between: &Forwarder, token: &str, topics: &str) -> TestGateway {
    let dead = "http://127.0.0.1:1/registry";
    let (url, auth) = (between.url("/registry"), format!("{{token: '{token}'}}"));
    let schemas =
        format!("schemas: {{store: confluent, confluent: {{urls: ['{dead}', '{url}'], auth: {auth}}}}}");
    TestGateway::with(&format!("{schemas}\n{topics}")).start().await
}

impl Pair {
    /// Over a registry that has these schemas by subject: language, text, references.
    async fn start(schemas: &[(&str, &str, &str, Value)], topics: &str) -> Self {
        let registry = registry().await;
        for (subject, kind, schema, references) in schemas {
            register(&registry, subject, kind, schema, references).await;
        }
        let between = Forwarder::start(registry.url("")).await;
        let gateway = asking(&between, registry.token(), topics).await;
        ready(&gateway).await;
        Self { registry, between, gateway }
    }

    async fn stop(self) {
        self.gateway.stop().await;
        self.registry.stop().await;
    }
}

async fn register(gateway: &TestGateway, subject: &str, kind: &str, schema: &str, references: &Value) -> i64 {
    let path = format!("/registry/subjects/{subject}/versions");
    let body = json!({"schemaType": kind, "schema": schema, "references": references}).to_string();
    let registered = gateway.post(&path, "application/vnd.schemaregistry.v1+json", body).await;
    registered.expect(200)["id"].as_i64().unwrap()
}

fn event(event_type: &str, data: &str) -> String {
    format!(r#"{{"eventType":"{event_type}","source":"shop","data":{data}}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_judged_by_what_the_registry_holds() {
    let topics = "topics: [{name: shop.v1, event_types: [shop.sold.v1, shop.plain.v1]}, {name: loose.made.v1}, {name: streamed.sold.v1}]";
    let pair = Pair::start(&[("shop.sold.v1-value", "JSON", ORDER, json!([]))], topics).await;
    let Pair { registry, between, gateway } = &pair;
    let receipt = gateway.publish(event("shop.sold.v1", r#"{"n":1}"#)).await.expect(201);
    assert_eq!(receipt["status"], "accepted", "{receipt}");
    gateway.publish(event("shop.sold.v1", r#"{"n":"x"}"#)).await.expect_problem(422, "schema_violation");
    gateway.publish(event("shop.plain.v1", "{}")).await.expect_problem(422, "schema_missing");
    let path = "/v1/topics/loose.made.v1/events";
    gateway.post(path, "application/json", "{}").await.expect_problem(422, "schema_missing");
    register(registry, "streamed.sold.v1-value", "JSON", ORDER, &json!([])).await;
    let line = event("streamed.sold.v1", r#"{"n":1}"#);
    let streamed = gateway.post("/v1/events", "application/x-ndjson", format!("{line}\n{line}\n")).await;
    assert_eq!(streamed.text.matches(r#""status":"accepted""#).count(), 2, "{}", streamed.text);
    register(registry, "other.v1-value", "JSON", ORDER, &json!([])).await;
    let asked = between.asked("/registry/subjects/shop.sold.v1-value/");
    for _ in 0..20 {
        gateway.publish(event("shop.sold.v1", r#"{"n":1}"#)).await.expect(201);
    }
    // A machine may be so slow that the version is due again meanwhile.
    let asked = between.asked("/registry/subjects/shop.sold.v1-value/") - asked;
    assert!(asked < 20, "nobody is asked for events: {asked}");

    let refused = gateway.get("/registry/subjects").await;
    assert_eq!((refused.status, &refused.json()["error_code"]), (422, &json!(42_205)), "{}", refused.text);
    assert!(refused.text.contains("schemas.confluent"), "{}", refused.text);
    let document = gateway.get("/asyncapi.json").await.expect(200).to_string();
    assert!(document.contains(r#""required":["n"]"#), "{document}");
    let page = gateway.get("/docs/types/shop.sold.v1").await;
    assert_eq!(page.status, 200);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn known_schemas_go_on_while_the_registry_is_away_and_others_are_answered_503() {
    let topics = "topics: [{name: shop.v1, event_types: [shop.sold.v1]}, {name: late.sold.v1}]";
    let schemas =
        ["shop.sold.v1-value", "late.sold.v1-value"].map(|subject| (subject, "JSON", ORDER, json!([])));
    let pair = Pair::start(&schemas, topics).await;
    let Pair { between, gateway, .. } = &pair;
    let late =
        async || gateway.post("/v1/topics/late.sold.v1/events", "application/json", r#"{"n":1}"#).await;
    between.go(true);
    let unknown = late().await;
    assert!(unknown.header("retry-after").is_some());
    unknown.expect_problem(503, "schemas_unavailable");
    let batch = format!("[{}]", event("late.sold.v1", r#"{"n":1}"#));
    let unknown = gateway.post("/v1/events?validation=each", "application/json", batch).await.expect(207);
    assert_eq!(unknown["items"][0]["problem"]["code"], "schemas_unavailable", "{unknown}");
    gateway.publish(event("shop.sold.v1", r#"{"n":1}"#)).await.expect(201);
    gateway.publish(event("shop.sold.v1", r#"{"n":"x"}"#)).await.expect_problem(422, "schema_violation");
    let told = eventually("the gateway says that it cannot ask", async || {
        let told = gateway.get("/readyz").await.expect(200);
        (told["reasons"] != json!([])).then_some(told)
    })
    .await;
    assert_eq!((&told["ready"], &told["reasons"][0]["part"]), (&json!(true), &json!("schemas")), "{told}");
    assert!(gateway.metrics().await.contains("weirgate_schema_registry_up 0"));

    between.go(false);
    eventually("the registry is asked again", async || (late().await.status == 201).then_some(())).await;
    assert_eq!(gateway.get("/readyz").await.expect(200)["reasons"], json!([]));
    assert!(gateway.metrics().await.contains("weirgate_schema_registry_up 1"));
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_other_languages_are_written_and_read_by_the_registrys_ids() {
    let topics = "
topic_defaults: {envelope: headers, partitions: 1}
topics:
- {name: avro.v1, event_types: [avro.v1], key: /data/customerId, schema: {format: avro}}
- {name: protobuf.v1, event_types: [protobuf.v1], schema: {format: protobuf, wire: header}}
- {name: alone.v1, event_types: [alone.v1], schema: {format: avro, wire: none}}
";
    let money = json!([{"name": "shop.Money", "subject": "money", "version": 1}]);
    let schemas = [
        ("money", "AVRO", MONEY, json!([])),
        ("avro.v1-value", "AVRO", AVRO, money.clone()),
        ("alone.v1-value", "AVRO", AVRO, money),
        ("protobuf.v1-value", "PROTOBUF", PROTOBUF, json!([])),
    ];
    let pair = Pair::start(&schemas, topics).await;
    let Pair { registry, between, gateway } = &pair;
    let post = async |topic: &str, data: &str| {
        gateway.post(&format!("/v1/topics/{topic}/events"), "application/json", data.to_owned()).await
    };
    let data = json!({"customerId": "c-1", "total": {"cents": 1999}});
    post("avro.v1", &data.to_string()).await.expect(201);
    post("avro.v1", r#"{"customerId":"c-1","total":{}}"#).await.expect_problem(422, "schema_violation");
    post("protobuf.v1", r#"{"customerId":"c-1","n":7}"#).await.expect(201);
    let read = async |topic: &str| {
        let page = gateway.get(&format!("/v1/topics/{topic}/events?from=earliest")).await.expect(200);
        page["events"][0].clone()
    };
    assert_eq!(read("avro.v1").await["data"], data);
    post("alone.v1", &data.to_string()).await.expect(201);
    let record = read("alone.v1").await;
    assert_eq!(record["data"], data);
    let latest = registry.get("/registry/subjects/alone.v1-value/versions/1").await.expect(200);
    assert_eq!(record["headers"]["weirgate-schema-id"], latest["id"].to_string(), "{record}");
    let record = read("protobuf.v1").await;
    assert_eq!(record["data"]["customerId"], "c-1", "{record}");
    let guid = registry.get("/registry/subjects/protobuf.v1-value/versions/1").await.expect(200);
    assert!(guid["guid"].is_string() && record["headers"]["__value_schema_id"].is_object(), "{record}");
    assert!(between.asked("/registry/subjects/money/versions/1?deleted=true") > 0);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_the_registry_does_not_know_is_not_ready_and_says_no_secret() {
    let registry = registry().await;
    let between = Forwarder::start(registry.url("")).await;
    let topics = "topics: [{name: shop.v1, event_types: [shop.sold.v1]}]";
    let gateway = asking(&between, "not-to-be-seen", topics).await;
    let told = eventually("the gateway says that it cannot ask", async || {
        let answer = gateway.get("/readyz").await;
        answer.text.contains("cannot be asked").then_some(answer)
    })
    .await;
    assert_eq!(told.status, 503, "{}", told.text);
    let refused = gateway.publish(event("shop.sold.v1", r#"{"n":1}"#)).await;
    refused.expect_problem(503, "schemas_unavailable");
    let shown = gateway.get("/v1/admin/config").await;
    assert!(shown.text.contains("(hidden)") && !shown.text.contains("not-to-be-seen"), "{}", shown.text);
    gateway.stop().await;
    registry.stop().await;
}

/// And one that is not trusted gets neither a question nor the credential.
#[tokio::test(flavor = "multi_thread")]
async fn a_registry_is_asked_over_tls_where_its_signer_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let registry = tls::gateway(directory).await;
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas");
    let register = ["schemas", "register", "orders.placed.v1", "--directory", samples, "--ca", "cert.pem"];
    let registered = tls::run(&registry, directory, "https", &register).await;
    assert!(registered.status.success(), "{registered:?}");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("other.pem"), other.cert.pem()).unwrap();
    let asking = async |ca: &str| {
        let (port, token, ca) = (registry.address.port(), &registry.token, directory.join(ca));
        let schemas = format!(
            "schemas: {{store: confluent, confluent: {{urls: ['https://localhost:{port}/registry'], auth: {{token: '{token}'}}, ca: '{}'}}}}",
            ca.display()
        );
        TestGateway::with(&schemas).start().await
    };
    let trusting = asking("cert.pem").await;
    ready(&trusting).await;
    trusting.publish(order("ord_1", "c-1")).await.expect(201);
    trusting.publish(event("orders.placed.v1", "{}")).await.expect_problem(422, "schema_violation");
    trusting.stop().await;

    let distrusting = asking("other.pem").await;
    let told = eventually("the gateway says that it cannot ask", async || {
        let told = distrusting.get("/readyz").await.text;
        told.contains("schemas").then_some(told)
    })
    .await;
    assert!(!told.contains(&registry.token), "{told}");
    distrusting.publish(order("ord_1", "c-1")).await.expect_problem(503, "schemas_unavailable");
    distrusting.stop().await;
    assert_eq!(registry.terminate().await, Some(0));
}
