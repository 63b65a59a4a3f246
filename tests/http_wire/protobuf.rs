//! Protobuf in the registry, and events judged by it.

use serde_json::{Value, json};
use weirgate::event::{EventType, Format, Storage, Topic, TopicRule};
use weirgate::schema::Store;

use crate::gateway::{Gateway, SHOP, envelope};
use crate::registry::ask;

const ORDER: &str = "syntax = \"proto3\";\npackage shop;\n// What a shop is asked for.\nmessage Order {\n  string order_id = 1;\n  string customer_id = 2;\n}\n";

/// All that the events of these tests have.
const WHOLE: &str = "syntax = \"proto3\";
package shop;
import \"google/protobuf/timestamp.proto\";
message Order {
  string order_id = 1;
  string customer_id = 2;
  string currency = 3;
  int32 total_amount = 4;
  google.protobuf.Timestamp placed_at = 5;
  repeated Item items = 6;
  message Item { string sku = 1; uint32 quantity = 2; int64 unit_price = 3; }
}";

fn register(gateway: &Gateway, subject: &str, text: &str, references: &Value) -> (u16, Value) {
    let body = json!({"schemaType": "PROTOBUF", "schema": text, "references": references}).to_string();
    let answer = ask(gateway, "POST", &format!("/subjects/{subject}/versions"), &[SHOP], &body);
    (answer.status, answer.json())
}

#[test]
fn a_text_and_its_descriptor_are_one_schema_and_either_is_read() {
    let gateway = Gateway::start();
    let read = |path: &str| ask(&gateway, "GET", path, &[SHOP], "").json();
    assert_eq!(register(&gateway, "a-value", ORDER, &json!([])), (200, json!({"id": 1})));
    let spaced = ORDER.replace('\n', "  \n").replace("What", "All that");
    assert_eq!(register(&gateway, "a-value", &spaced, &json!([])), (200, json!({"id": 1})));
    let kept = read("/schemas/ids/1");
    assert_eq!((&kept["schemaType"], &kept["schema"]), (&json!("PROTOBUF"), &json!(ORDER)));
    let serialized = read("/schemas/ids/1?format=serialized&subject=a-value")["schema"].clone();
    assert_eq!(
        register(&gateway, "b-value", serialized.as_str().unwrap(), &json!([])),
        (200, json!({"id": 1}))
    );
    for path in ["/subjects/a-value/versions/1", "/subjects/a-value/versions/latest"] {
        assert_eq!(read(&format!("{path}?format=serialized"))["schema"], serialized);
        assert_eq!(read(path)["schema"], ORDER);
    }
    let other = ORDER.replace("package shop", "package bakery");
    let spoken = |text: &str| text.lines().filter(|line| !line.is_empty() && !line.starts_with("//")).count();
    assert_eq!(register(&gateway, "d-value", &other, &json!([])), (200, json!({"id": 2})));
    let descriptor = read("/schemas/ids/2?format=serialized")["schema"].as_str().unwrap().to_owned();
    let fresh = Gateway::start();
    assert_eq!(register(&fresh, "d-value", &descriptor, &json!([])).0, 200);
    let printed =
        ask(&fresh, "GET", "/schemas/ids/1", &[SHOP], "").json()["schema"].as_str().unwrap().to_owned();
    assert!(printed.contains("package bakery;") && spoken(&printed) == spoken(&other), "{printed}");
    let body = json!({"schemaType": "PROTOBUF", "schema": serialized}).to_string();
    let whole = [SHOP, ("confluent-accept-unknown-properties", "true")];
    for path in ["/subjects/a-value/versions", "/subjects/a-value"] {
        let told = ask(&gateway, "POST", path, &whole, &body).json();
        assert_eq!((&told["id"], &told["schema"]), (&json!(1), &serialized), "in the form that was sent");
    }
    let guid = kept["guid"].as_str().unwrap();
    assert_eq!(read(&format!("/schemas/guids/{guid}?format=serialized"))["schema"], serialized);
    assert!(read("/schemas/types").as_array().unwrap().contains(&json!("PROTOBUF")));
}

#[test]
fn imports_are_references_by_name() {
    let gateway = Gateway::start();
    let customer = "syntax = \"proto3\"; package shop; message Customer { string id = 1; }";
    assert_eq!(register(&gateway, "customer", customer, &json!([])).0, 200);
    let order =
        "syntax = \"proto3\"; import \"shop/customer.proto\"; import \"google/protobuf/timestamp.proto\";
                 message Order { shop.Customer customer = 1; google.protobuf.Timestamp at = 2; }";
    let (status, refused) = register(&gateway, "order-value", order, &json!([]));
    assert_eq!((status, &refused["error_code"]), (422, &json!(42201)), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("shop/customer.proto"), "{refused}");
    let references = json!([{"name": "shop/customer.proto", "subject": "customer", "version": 1}]);
    assert_eq!(register(&gateway, "order-value", order, &references), (200, json!({"id": 2})));
    let read = ask(&gateway, "GET", "/schemas/ids/2?format=serialized", &[SHOP], "").json();
    assert_eq!(read["references"], references);
}

#[test]
fn a_version_that_breaks_readers_is_refused_by_the_numbers_of_its_fields() {
    let gateway = Gateway::start();
    assert_eq!(register(&gateway, "a-value", ORDER, &json!([])).0, 200);
    let check = |text: &str| {
        let body = json!({"schemaType": "PROTOBUF", "schema": text}).to_string();
        let path = "/compatibility/subjects/a-value/versions/latest?verbose=true";
        ask(&gateway, "POST", path, &[SHOP], &body).json()
    };
    let (broken, renamed) =
        (ORDER.replace("string order_id", "int32 order_id"), ORDER.replace("order_id", "id"));
    let told = check(&broken);
    assert_eq!(told["is_compatible"], false);
    let words = told["messages"][0].as_str().unwrap();
    assert!(words.contains("FIELD_SCALAR_KIND_CHANGED") && words.contains("#/shop.Order/1"), "{words}");
    assert_eq!(told["messages"][1], "{counterExample: '{\"orderId\":\"text\"}'}");
    let (status, refused) = register(&gateway, "a-value", &broken, &json!([]));
    assert_eq!((status, &refused["error_code"]), (409, &json!(40901)), "{refused}");
    assert_eq!(check(&renamed)["is_compatible"], true);
    let strict = r#"{"compatibilityPolicy":"STRICT"}"#;
    assert_eq!(ask(&gateway, "PUT", "/config/a-value", &[SHOP], strict).status, 200);
    assert_eq!(check(&renamed)["is_compatible"], false, "readers of JSON know names");
}

#[test]
fn an_event_is_judged_by_the_first_message_and_its_contract_is_told() {
    let gateway = Gateway::with(|setup| {
        let event_type = EventType::parse("orders.placed.v1").unwrap();
        let plain = TopicRule::plain(Topic::parse("orders.v1").unwrap(), vec![event_type]);
        setup.topics = Some(vec![TopicRule { storage: Storage::Headers, format: Format::Protobuf, ..plain }]);
        setup.store = Store::Embedded;
    });
    let subject = "orders.placed.v1-value";
    assert_eq!(register(&gateway, subject, WHOLE, &json!([])).0, 200);
    let accepted = gateway.post("?dryRun=true", &[], &envelope(""));
    assert_eq!(accepted.json()["schemaId"], 1, "{}", accepted.text());
    let level = r#"{"compatibility":"NONE"}"#;
    assert_eq!(ask(&gateway, "PUT", "/config", &[SHOP], level).status, 200);
    let narrow = WHOLE.replace("string customer_id", "fixed64 customer_id").replace("order_id", "number");
    assert_eq!(register(&gateway, subject, &narrow, &json!([])).0, 200);
    let refused = gateway.post("?dryRun=true", &[], &envelope(""));
    assert_eq!(refused.code(), "schema_violation");
    let errors = refused.json()["errors"].clone();
    let told: Vec<_> =
        errors.as_array().unwrap().iter().map(|error| (&error["pointer"], &error["keyword"])).collect();
    assert!(told.contains(&(&json!("/data/orderId"), &json!("additionalProperties"))), "{errors}");
    let document = gateway.send("GET", "/asyncapi.json", &[SHOP], "").json().to_string();
    assert!(document.contains("customerId") && document.contains("shop.Order"), "{document}");
}
