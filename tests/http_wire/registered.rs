//! Events judged by the registry.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use weirgate::schema::Store;

use crate::gateway::{Gateway, JSON, SHOP, envelope};
use crate::registry::ask;

const SUBJECT: &str = "/subjects/orders.placed.v1-value";

fn gateway() -> Gateway {
    Gateway::with(|setup| setup.store = Store::Embedded)
}

/// Registers a schema; answers its id.
fn register(gateway: &Gateway, schema: &Value) -> u64 {
    let body = json!({"schemaType": "JSON", "schema": schema.to_string()}).to_string();
    let registered = ask(gateway, "POST", &format!("{SUBJECT}/versions"), &[SHOP], &body);
    assert_eq!(registered.status, 200, "{}", registered.text());
    registered.json()["id"].as_u64().unwrap()
}

fn take_any(gateway: &Gateway) {
    let level = r#"{"compatibility":"NONE","compatibilityPolicy":"STRICT"}"#;
    assert_eq!(ask(gateway, "PUT", "/config", &[SHOP], level).status, 200);
}

#[test]
fn an_event_is_judged_by_the_latest_version_of_its_types_subject() {
    let gateway = gateway();
    take_any(&gateway);
    let dry = |more: &str| gateway.post("?dryRun=true", &[], &envelope(more));
    assert_eq!(dry("").code(), "schema_missing");
    let first = register(&gateway, &json!({"type": "object", "required": ["orderId"]}));
    assert_eq!(dry("").json()["schemaId"], first);
    let second =
        register(&gateway, &json!({"type": "object", "properties": {"orderId": {"type": "integer"}}}));
    let refused = dry("");
    assert_eq!(refused.code(), "schema_violation");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/data/orderId");
    assert_ne!(first, second);
    assert_eq!(ask(&gateway, "DELETE", &format!("{SUBJECT}/versions/2"), &[SHOP], "").status, 200);
    assert_eq!(dry("").json()["schemaId"], first);
    assert_eq!(ask(&gateway, "DELETE", SUBJECT, &[SHOP], "").status, 200);
    assert_eq!(dry("").code(), "schema_missing");
}

#[test]
fn the_page_of_a_type_says_that_the_latest_version_judges_its_events() {
    let gateway = gateway();
    take_any(&gateway);
    let id = register(&gateway, &json!({"type": "object", "required": ["orderId"]}));
    let page = gateway.send("GET", "/docs/types/orders.placed.v1", &[SHOP], "");
    for part in
        [&*format!("<code>orders.placed.v1-value</code>, id {id}, "), "The latest of them judges events."]
    {
        assert!(page.text().contains(part), "{part} in {}", page.text());
    }
    assert!(!page.text().contains("file of this gateway"), "{}", page.text());
}

#[test]
fn a_schema_with_references_judges_also_after_what_it_refers_to_was_let_go() {
    let gateway = gateway();
    take_any(&gateway);
    let customer = json!({"schemaType": "JSON", "schema": r#"{"type":"string","minLength":9}"#}).to_string();
    assert_eq!(ask(&gateway, "POST", "/subjects/customer/versions", &[SHOP], &customer).status, 200);
    let order = json!({
        "schemaType": "JSON",
        "schema": r#"{"properties":{"customerId":{"$ref":"customer.json"}}}"#,
        "references": [{"name": "customer.json", "subject": "customer", "version": 1}],
    });
    let path = format!("{SUBJECT}/versions");
    assert_eq!(ask(&gateway, "POST", &path, &[SHOP], &order.to_string()).status, 200);
    let refused = gateway.post("", &[], &envelope(""));
    assert_eq!(refused.code(), "schema_violation");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/data/customerId");
}

#[test]
fn a_lenient_subject_takes_no_members_that_its_schema_does_not_name() {
    let gateway = gateway();
    let id = register(&gateway, &json!({"type": "object", "properties": {"orderId": {"type": "string"}}}));
    let data = |data: &str| {
        gateway.post("?dryRun=true", &[], &format!(r#"{{"eventType":"orders.placed.v1","data":{data}}}"#))
    };
    assert_eq!(data(r#"{"customerId":"c","orderId":"o"}"#).code(), "schema_violation");
    let path = "/config/orders.placed.v1-value";
    let strict = r#"{"compatibilityPolicy":"STRICT"}"#;
    assert_eq!(ask(&gateway, "PUT", path, &[SHOP], strict).status, 200);
    assert_eq!(data(r#"{"customerId":"c","orderId":"o"}"#).json()["schemaId"], id);
    assert_eq!(ask(&gateway, "DELETE", path, &[SHOP], "").status, 200);
    assert_eq!(data(r#"{"customerId":"c","orderId":"o"}"#).code(), "schema_violation");
}

/// Version after version, each of which takes what the others refuse: every event that was taken fits the version
/// whose id the answer names.
#[test]
fn while_versions_change_no_event_is_judged_by_none() {
    let gateway = gateway();
    take_any(&gateway);
    let versions: Vec<Value> =
        ["even", "odd"].map(|parity| json!({"type": "object", "required": ["parity"], "properties": {"parity": {"const": parity}}})).to_vec();
    let ids: Vec<u64> = versions.iter().map(|version| register(&gateway, version)).collect();
    let is_over = AtomicBool::new(false);
    let (taken, refused) = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let (mut taken, mut refused, mut client) = (0, 0, gateway.client());
            while !is_over.load(Ordering::Relaxed) || taken == 0 || refused == 0 {
                for (parity, id) in ["even", "odd"].iter().zip(&ids) {
                    let body = json!({"eventType": "orders.placed.v1", "data": {"customerId": "c", "parity": parity}}).to_string();
                    let answer = client.send("POST", "/v1/events?dryRun=true", &[SHOP, JSON], body.as_bytes());
                    match answer.status {
                        200 => {
                            assert_eq!(answer.json()["schemaId"], *id, "{parity}");
                            taken += 1;
                        }
                        422 => {
                            assert_eq!(answer.code(), "schema_violation");
                            refused += 1;
                        }
                        other => panic!("{other}: {}", answer.text()),
                    }
                }
            }
            (taken, refused)
        });
        // A version that is removed lets the one before it judge again, and is registered anew.
        for round in 0..20 {
            let path = format!("{SUBJECT}/versions/latest");
            assert_eq!(ask(&gateway, "DELETE", &path, &[SHOP], "").status, 200);
            register(&gateway, &versions[(round + 1) % 2]);
            register(&gateway, &versions[round % 2]);
        }
        is_over.store(true, Ordering::Relaxed);
        publishing.join().unwrap()
    });
    assert!(taken > 0 && refused > 0, "{taken} {refused}");
}
