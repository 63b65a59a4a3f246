//! Avro in the registry, and events judged by it.

use serde_json::{Value, json};
use weirgate::event::{EventType, Format, Storage, Topic, TopicRule, Wire};
use weirgate::schema::Store;

use crate::gateway::{Gateway, SHOP, envelope};
use crate::registry::ask;

fn register(gateway: &Gateway, subject: &str, schema: &Value, references: &Value) -> (u16, Value) {
    // What names no language is Avro.
    let body = json!({"schema": schema.to_string(), "references": references}).to_string();
    let answer = ask(gateway, "POST", &format!("/subjects/{subject}/versions"), &[SHOP], &body);
    (answer.status, answer.json())
}

fn order(fields: &[Value]) -> Value {
    let item = json!({"type": "record", "name": "Item", "fields": [
        {"name": "sku", "type": "string"}, {"name": "quantity", "type": "int"}, {"name": "unitPrice", "type": "long"}]});
    let mut all = vec![
        json!({"name": "orderId", "type": "string", "doc": "The shop's number."}),
        json!({"name": "customerId", "type": "string"}),
        json!({"name": "currency", "type": "string"}),
        json!({"name": "totalAmount", "type": "long"}),
        json!({"name": "placedAt", "type": {"type": "long", "logicalType": "timestamp-millis"}}),
        json!({"name": "items", "type": {"type": "array", "items": item}}),
    ];
    all.extend_from_slice(fields);
    json!({"type": "record", "name": "OrderPlaced", "namespace": "shop", "fields": all})
}

#[test]
fn texts_equal_but_for_white_space_are_one_schema_and_what_is_none_is_refused() {
    let gateway = Gateway::start();
    let (first, spaced) = (r#"{"type":"string","doc":"a"}"#, "{ \"doc\": \"a\",\n \"type\": \"string\" }");
    for (text, id) in [(first, 1), (spaced, 1), (r#"{"type":"string","doc":"b"}"#, 2)] {
        let body = json!({"schemaType": "AVRO", "schema": text}).to_string();
        let answer = ask(&gateway, "POST", "/subjects/a-value/versions", &[SHOP], &body);
        assert_eq!(answer.json(), json!({"id": id}), "{text}");
    }
    let read = ask(&gateway, "GET", "/schemas/ids/1", &[SHOP], "").json();
    assert_eq!((&read["schema"], read.get("schemaType")), (&json!(first), None));
    let types = ask(&gateway, "GET", "/schemas/types", &[SHOP], "").json();
    assert!(types.as_array().unwrap().contains(&json!("AVRO")), "{types}");
    let broken = json!({"type": "record", "name": "R", "fields": [{"name": "f", "type": "Unknown"}]});
    let (status, refused) = register(&gateway, "b-value", &broken, &json!([]));
    assert_eq!((status, &refused["error_code"]), (422, &json!(42201)));
    assert!(refused["message"].as_str().unwrap().contains("Unknown"), "{refused}");
}

#[test]
fn names_of_other_subjects_are_references() {
    let gateway = Gateway::start();
    let customer =
        json!({"type": "record", "name": "shop.Customer", "fields": [{"name": "id", "type": "string"}]});
    assert_eq!(register(&gateway, "customer", &customer, &json!([])).0, 200);
    let order =
        json!({"type": "record", "name": "shop.Order", "fields": [{"name": "by", "type": "Customer"}]});
    assert_eq!(register(&gateway, "order-value", &order, &json!([])).0, 422);
    let references = json!([{"name": "shop.Customer", "subject": "customer", "version": 1}]);
    assert_eq!(register(&gateway, "order-value", &order, &references), (200, json!({"id": 2})));
    let read = ask(&gateway, "GET", "/schemas/ids/2", &[SHOP], "").json();
    assert_eq!(read["references"], references);
}

#[test]
fn a_version_that_breaks_readers_is_refused_with_rule_place_and_way_out() {
    let gateway = Gateway::start();
    let added = |default: Value| {
        let mut field = json!({"name": "note", "type": ["null", "string"]});
        field.as_object_mut().unwrap().extend(default.as_object().unwrap().clone());
        order(&[field])
    };
    assert_eq!(register(&gateway, "a-value", &order(&[]), &json!([])).0, 200);
    let body = json!({"schema": added(json!({})).to_string()}).to_string();
    let path = "/compatibility/subjects/a-value/versions/latest?verbose=true";
    let told = ask(&gateway, "POST", path, &[SHOP], &body).json();
    assert_eq!(told["is_compatible"], false);
    let words = told["messages"][0].as_str().unwrap();
    for part in ["READER_FIELD_MISSING_DEFAULT_VALUE", "#/fields/6", "(/note)", "give the field a default"] {
        assert!(words.contains(part), "{words}");
    }
    assert!(told["messages"][1].as_str().unwrap().starts_with("{counterExample: '{\"currency\""), "{told}");
    let (status, refused) = register(&gateway, "a-value", &added(json!({})), &json!([]));
    assert_eq!((status, &refused["error_code"]), (409, &json!(40901)));
    assert_eq!(register(&gateway, "a-value", &added(json!({"default": null})), &json!([])).0, 200);
}

#[test]
fn an_event_is_judged_by_the_record_and_its_contract_is_told() {
    let types = vec![EventType::parse("orders.placed.v1").unwrap()];
    let rule = TopicRule {
        format: Format::Avro,
        wire: Wire::Prefix,
        storage: Storage::Headers,
        ..TopicRule::plain(Topic::parse("orders.v1").unwrap(), types)
    };
    let gateway = Gateway::with(|setup| {
        setup.store = Store::Embedded;
        setup.topics = Some(vec![rule]);
    });
    let subject = "orders.placed.v1-value";
    assert_eq!(register(&gateway, subject, &order(&[]), &json!([])).0, 200);
    let accepted = gateway.post("?dryRun=true", &[], &envelope(""));
    assert_eq!(accepted.json()["schemaId"], 1, "{}", accepted.text());
    let document = gateway.send("GET", "/asyncapi.json", &[SHOP], "").json().to_string();
    assert!(document.contains("The shop's number."), "{document}");
    let level = r#"{"compatibility":"NONE"}"#;
    assert_eq!(ask(&gateway, "PUT", "/config", &[SHOP], level).status, 200);
    let text = order(&[json!({"name": "more", "type": "int"})]).to_string().replace("orderId", "number");
    let narrow = serde_json::from_str(&text).unwrap();
    assert_eq!(register(&gateway, subject, &narrow, &json!([])).0, 200);
    let refused = gateway.post("?dryRun=true", &[], &envelope(""));
    assert_eq!(refused.code(), "schema_violation");
    let told: Vec<Value> = refused.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| json!([error["pointer"], error["keyword"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["/data/more", "required"]),
            json!(["/data/number", "required"]),
            json!(["/data/orderId", "additionalProperties"]),
        ]
    );
}
