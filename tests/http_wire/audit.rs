//! The audit trail: what is told, to whom, and that nothing is done which cannot be told.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use weirgate::event::Headers;
use weirgate::log::NewRecord;

use crate::gateway::{CLERK, Gateway, JSON, READER, SHOP, STRANGER, envelope, until};

const TRAIL: &str = "/v1/topics/_weirgate.audit/events";
const GROUP: &str = "/v1/groups/inventory-sync";
const POLICY: &str = r#"{"topics":["orders.v1"],"maxRetries":7}"#;

/// A gateway with a group and one letter of it.
fn start() -> Gateway {
    let gateway = Gateway::start();
    until("the gateway is ready", || gateway.send("GET", "/readyz", &[], "").status == 200);
    assert_eq!(gateway.send("PUT", GROUP, &[SHOP, JSON], r#"{"topics":["orders.v1"]}"#).status, 201);
    let headers = [
        ("__dlq.errors.topic", "orders.v1"),
        ("__dlq.errors.partition", "1"),
        ("__dlq.errors.offset", "0"),
        ("weirgate-dlq-id", "00000000000000000000000000000000"),
        ("weirgate-dlq-reason", "rejected"),
    ];
    let headers = headers.map(|(name, value)| (Arc::from(name), Some(Bytes::from_static(value.as_bytes()))));
    let headers = Headers::new(headers.into());
    let value = Some(Bytes::from(envelope(r#""eventId":"e-1","#)));
    let letter = NewRecord { key: None, value, headers, timestamp: None };
    gateway.log.put_records("dlq.orders.v1.inventory-sync", vec![letter]);
    gateway
}

fn letter(verb: &str) -> String {
    format!("{GROUP}/dead-letters/{}-0-0{verb}", "0".repeat(32))
}

/// What is told, and nothing else, of all acts so far.
fn told(gateway: &Gateway) -> Vec<Value> {
    let trail = gateway.send("GET", TRAIL, &[SHOP], "");
    assert_eq!(trail.status, 200, "{}", trail.text());
    for secret in ["c-42", "the SKU is gone", "maxRetries"] {
        assert!(!trail.text().contains(secret), "{secret} is told");
    }
    trail.json()["events"].as_array().unwrap().clone()
}

#[test]
fn acts_are_told_with_who_did_them_and_without_what_was_seen_or_written() {
    let gateway = start();
    let correlation = ("x-correlation-id", "look-1");
    assert_eq!(
        gateway.send("GET", &letter(""), &[SHOP, correlation], "").json()["event"]["data"]["customerId"],
        "c-42"
    );
    let note = r#"{"note":"the SKU is gone"}"#;
    assert_eq!(gateway.send("POST", &letter(":annotate"), &[SHOP, JSON], note).status, 200);
    assert_eq!(gateway.send("POST", &letter(":discard"), &[SHOP], "").status, 200);
    assert_eq!(gateway.send("PUT", GROUP, &[SHOP, JSON], POLICY).status, 200);
    assert_eq!(gateway.send("POST", &format!("{GROUP}:resume"), &[SHOP], "").status, 200);
    assert_eq!(gateway.send("DELETE", "/v1/groups/absent", &[SHOP], "").status, 404);
    // What then fails is told all the same.
    assert_eq!(gateway.send("POST", "/v1/admin/reload", &[SHOP], "").status, 409);
    // Who sees no payload, and who may not at all, does nothing that is told.
    assert_eq!(gateway.send("GET", &letter(""), &[CLERK], "").status, 200);
    assert_eq!(gateway.send("POST", &letter(":discard"), &[CLERK], "").status, 403);

    let told = told(&gateway);
    let methods: Vec<&str> = told.iter().map(|event| event["data"]["methodName"].as_str().unwrap()).collect();
    let expected = [
        "group.put",
        "dead_letter.payload",
        "dead_letter.annotate",
        "dead_letter.discard",
        "group.put",
        "group.resume",
        "group.delete",
        "config.reload",
    ];
    assert_eq!(methods, expected);
    let look = &told[1];
    let resource = &letter("")["/v1/".len()..];
    assert_eq!(look["meta"]["eventType"], "weirgate.audit.dead_letter.payload");
    assert_eq!(look["data"]["resourceName"], *resource);
    assert_eq!(look["data"]["authenticationInfo"], json!({"principal": "service:shop"}));
    assert_eq!(
        look["data"]["authorizationInfo"],
        json!({"granted": true, "operation": "deadletter.payload"})
    );
    assert_eq!(look["data"]["request"]["correlationId"], "look-1");
    assert!(look["data"]["request"]["requestId"].is_string());
}

#[test]
fn changes_of_schemas_are_told_and_what_changes_nothing_is_not() {
    let gateway = Gateway::start();
    until("the gateway is ready", || gateway.send("GET", "/readyz", &[], "").status == 200);
    let done = |(method, path, body): (&str, &str, &str)| {
        let answer = gateway.send(method, &format!("/registry{path}"), &[SHOP, JSON], body);
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    };
    let schema = r#"{"schemaType":"JSON","schema":"{\"title\":\"maxRetries\"}"}"#;
    [
        ("POST", "/subjects/a/versions", schema),
        // What a producer does at every start.
        ("POST", "/subjects/a/versions", schema),
        ("POST", "/compatibility/subjects/a/versions", schema),
        ("POST", "/subjects/a", schema),
        ("PUT", "/config/a", r#"{"compatibility":"NONE"}"#),
        ("DELETE", "/config/a", ""),
        ("PUT", "/config", r#"{"compatibility":"FULL"}"#),
        ("DELETE", "/config", ""),
        ("PUT", "/mode/a", r#"{"mode":"READWRITE"}"#),
        ("DELETE", "/mode/a", ""),
        ("PUT", "/mode", r#"{"mode":"READWRITE"}"#),
        ("DELETE", "/subjects/a/versions/latest", ""),
        ("DELETE", "/subjects/a/versions/1?permanent=true", ""),
        ("POST", "/subjects/a/versions", schema),
        ("DELETE", "/subjects/a", ""),
        ("DELETE", "/subjects/a?permanent=true", ""),
    ]
    .into_iter()
    .for_each(done);
    // No schema, and no right.
    let wrong = gateway.send("POST", "/registry/subjects/a/versions", &[SHOP, JSON], r#"{"schema":"{"}"#);
    assert_eq!(wrong.status, 422);
    assert_eq!(gateway.send("DELETE", "/registry/subjects/a", &[READER], "").status, 403);

    let told = told(&gateway);
    let text = |event: &Value, member: &str| event["data"][member].as_str().unwrap().to_owned();
    let acts: Vec<(String, String)> =
        told.iter().map(|event| (text(event, "methodName"), text(event, "resourceName"))).collect();
    let expected = [
        ("schema.register", "registry/subjects/a"),
        ("schema_config.put", "registry/config/a"),
        ("schema_config.delete", "registry/config/a"),
        ("schema_config.put", "registry/config"),
        ("schema_config.delete", "registry/config"),
        ("schema_mode.put", "registry/mode/a"),
        ("schema_mode.delete", "registry/mode/a"),
        ("schema_mode.put", "registry/mode"),
        ("schema.delete", "registry/subjects/a/versions/latest"),
        ("schema.remove", "registry/subjects/a/versions/1"),
        ("schema.register", "registry/subjects/a"),
        ("subject.delete", "registry/subjects/a"),
        ("subject.remove", "registry/subjects/a"),
    ];
    assert_eq!(acts, expected.map(|(act, resource)| (act.to_owned(), resource.to_owned())));
    let authorization = json!({"granted": true, "operation": "schema.write"});
    assert!(told.iter().all(|event| event["data"]["authorizationInfo"] == authorization));
}

#[test]
fn no_schema_is_changed_where_that_cannot_be_told() {
    let gateway = Gateway::start();
    until("the gateway is ready", || gateway.send("GET", "/readyz", &[], "").status == 200);
    let schema = r#"{"schemaType":"JSON","schema":"true"}"#;
    let register = |subject: &str| {
        gateway.send("POST", &format!("/registry/subjects/{subject}/versions"), &[SHOP, JSON], schema)
    };
    assert_eq!(register("a").json(), json!({"id": 1}));
    gateway.log.refuse("_weirgate.audit");
    for (method, path, body) in [
        ("POST", "/subjects/b/versions", schema),
        ("DELETE", "/subjects/a", ""),
        ("DELETE", "/subjects/a?permanent=true", ""),
        ("DELETE", "/subjects/a/versions/1", ""),
        ("DELETE", "/subjects/a/versions/1?permanent=true", ""),
        ("PUT", "/config/a", r#"{"compatibility":"NONE"}"#),
        ("DELETE", "/config/a", ""),
        ("PUT", "/mode", r#"{"mode":"READONLY"}"#),
        ("DELETE", "/mode", ""),
    ] {
        let refused = gateway.send(method, &format!("/registry{path}"), &[SHOP, JSON], body);
        assert_eq!(
            (refused.status, refused.json()["error_code"].as_u64()),
            (503, Some(503)),
            "{method} {path}"
        );
    }
    assert_eq!(register("a").json(), json!({"id": 1}), "who registers what is there goes on");
    let get = |path: &str| gateway.send("GET", &format!("/registry{path}"), &[SHOP], "").json();
    assert_eq!(get("/subjects"), json!(["a"]));
    assert_eq!(get("/mode"), json!({"mode": "READWRITE"}));
}

#[test]
fn what_cannot_be_told_is_not_done() {
    let gateway = start();
    gateway.log.refuse("_weirgate.audit");
    for (method, path, body) in [
        ("GET", letter(""), ""),
        ("POST", letter(":annotate"), r#"{"note":"a"}"#),
        ("POST", letter(":discard"), ""),
        ("POST", letter(":redrive"), ""),
        ("POST", format!("{GROUP}/redrives"), r#"{"filter":{}}"#),
        ("POST", format!("{GROUP}/replays"), r#"{"from":"earliest"}"#),
        ("POST", format!("{GROUP}:reset"), r#"{"to":"earliest"}"#),
        ("PUT", GROUP.to_owned(), POLICY),
        ("POST", format!("{GROUP}:resume"), ""),
        ("DELETE", GROUP.to_owned(), ""),
        ("POST", "/v1/admin/reload".to_owned(), ""),
    ] {
        let headers: &[(&str, &str)] = if body.is_empty() { &[SHOP] } else { &[SHOP, JSON] };
        let refused = gateway.send(method, &path, headers, body);
        assert_eq!((refused.status, refused.code().as_str()), (503, "log_unavailable"), "{method} {path}");
        assert!(!refused.text().contains("c-42"), "{}", refused.text());
    }
    let seen = gateway.send("GET", &letter(""), &[CLERK], "").json();
    assert_eq!((&seen["state"], &seen["notes"]), (&json!("open"), &json!([])), "{seen}");
    assert_eq!(gateway.send("GET", GROUP, &[SHOP], "").json()["policy"]["maxRetries"], 3);
}

#[test]
fn the_trail_is_read_by_its_own_right_and_written_by_nobody() {
    let gateway = start();
    for path in [TRAIL.to_owned(), format!("{TRAIL}/0/0"), "/v1/topics/_weirgate.audit/cursor".to_owned()] {
        assert_eq!(gateway.send("GET", &path, &[SHOP], "").status, 200, "{path}");
        for caller in [READER, CLERK, STRANGER] {
            assert_eq!(gateway.send("GET", &path, &[caller], "").code(), "forbidden", "{path}");
        }
    }
    let forged = gateway.send("POST", TRAIL, &[SHOP, JSON], r#"{"methodName":"config.reload"}"#);
    assert_eq!(forged.code(), "forbidden", "{}", forged.text());
    assert_eq!(told(&gateway).len(), 1);
}
