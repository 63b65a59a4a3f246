//! The schema registry as its clients use it.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::gateway::{Gateway, READER, SHOP, STRANGER};
use crate::log::Mood;

/// What clients of the registry send.
pub(crate) const V1: &str = "application/vnd.schemaregistry.v1+json";

/// An order without an id cannot be.
const ORDER: &str = r#"{"type":"object","required":["orderId"],"properties":{"orderId":{"type":"string"}}}"#;

/// A schema as it is sent.
fn schema(text: &str) -> Value {
    json!({"schemaType": "JSON", "schema": text})
}

/// Asks the registry.
pub(crate) fn ask(
    gateway: &Gateway,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let whole = format!("/registry{path}");
    let mut all = headers.to_vec();
    if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
        all.push(("content-type", V1));
    }
    let answer = gateway.send(method, &whole, &all, body);
    assert_eq!(answer.header("content-type"), Some(V1), "{method} {whole}");
    answer
}

/// The number of a fault, and its status, which must agree.
#[track_caller]
fn fault(answer: &Answer) -> (u16, u64) {
    let told = answer.json();
    assert!(!told["message"].as_str().unwrap().is_empty(), "{told}");
    (answer.status, told["error_code"].as_u64().unwrap_or_else(|| panic!("{told}")))
}

#[test]
fn a_schema_is_registered_found_and_read_in_every_way() {
    let gateway = Gateway::start();
    let ask = |method: &str, path: &str, body: &str| ask(&gateway, method, path, &[SHOP], body);
    let body = schema(ORDER).to_string();
    let registered = ask("POST", "/subjects/orders.v1-value/versions?normalize=False", &body);
    assert_eq!((registered.status, registered.json()), (200, json!({"id": 1})));
    let spaced = schema(&ORDER.replace(',', " , ")).to_string();
    assert_eq!(ask("POST", "/subjects/orders.v1-value/versions", &spaced).json(), json!({"id": 1}));
    assert_eq!(ask("POST", "/subjects/other/versions", &body).json(), json!({"id": 1}));

    let version = ask("GET", "/subjects/orders.v1-value/versions/latest", "").json();
    let guid = version["guid"].as_str().unwrap();
    let whole = json!({"subject": "orders.v1-value", "version": 1, "id": 1, "guid": guid, "schemaType": "JSON", "schema": ORDER});
    assert_eq!(version, whole);
    assert_eq!(ask("POST", "/subjects/orders.v1-value?deleted=False", &spaced).json(), whole);
    assert_eq!(ask("GET", "/subjects/orders.v1-value/versions/1/schema", "").text(), ORDER);
    let content = json!({"schema": ORDER, "schemaType": "JSON", "guid": guid});
    assert_eq!(ask("GET", "/schemas/ids/1?subject=orders.v1-value", "").json(), content);
    assert_eq!(ask("GET", "/schemas/ids/1?fetchMaxId=true", "").json()["maxId"], 1);
    assert_eq!(ask("GET", "/schemas/ids/1/schema", "").text(), ORDER);
    assert_eq!(ask("GET", &format!("/schemas/guids/{guid}"), "").json(), content);
    assert_eq!(
        ask("GET", &format!("/schemas/guids/{guid}/ids"), "").json(),
        json!([{"context": ".", "id": 1}])
    );
    assert_eq!(ask("GET", "/schemas/ids/1/subjects", "").json(), json!(["orders.v1-value", "other"]));
    let versions = json!([{"subject": "orders.v1-value", "version": 1}, {"subject": "other", "version": 1}]);
    assert_eq!(ask("GET", "/schemas/ids/1/versions", "").json(), versions);
    let subjects = ask("GET", "/subjects?deleted=false&deleted_only=false&offset=0&limit=-1", "").json();
    assert_eq!(subjects, json!(["orders.v1-value", "other"]));
    assert_eq!(ask("GET", "/schemas?subjectPrefix=:*:orders", "").json(), json!([whole]));
    assert_eq!(ask("GET", "/schemas/types", "").json(), json!(["AVRO", "JSON", "PROTOBUF"]));
    assert_eq!(ask("GET", "/contexts", "").json(), json!(["."]));
    let cluster = ask("GET", "/v1/metadata/id", "").json();
    assert_eq!((&cluster["id"], cluster["scope"]["path"].is_array()), (&json!(""), true), "{cluster}");
    assert_eq!(ask("GET", "/v1/metadata/version", "").json()["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_registration_is_told_whole_to_who_takes_it() {
    let gateway = Gateway::start();
    let headers = [SHOP, ("confluent-accept-unknown-properties", "true")];
    let told = ask(&gateway, "POST", "/subjects/a/versions", &headers, &schema("true").to_string()).json();
    let guid = told["guid"].clone();
    assert_eq!(told, json!({"id": 1, "version": 1, "guid": guid, "schemaType": "JSON", "schema": "true"}));
}

#[test]
fn a_registration_tells_how_much_it_changes_the_version_before() {
    let gateway = Gateway::start();
    let register = |text: &str| {
        let headers = [SHOP, ("confluent-accept-unknown-properties", "true")];
        let told = ask(&gateway, "POST", "/subjects/a/versions", &headers, &schema(text).to_string()).json();
        (told["version"].clone(), told["changeLevel"].clone())
    };
    assert_eq!(register(r#"{"type":"string"}"#), (json!(1), json!(null)));
    assert_eq!(register(r#"{"type":"string","title":"A name"}"#), (json!(2), json!("patch")));
    let wider = r#"{"type":["string","null"]}"#;
    assert_eq!(register(wider), (json!(3), json!("minor")));
    assert_eq!(register(wider), (json!(3), json!(null)), "it was there before");
}

#[test]
fn what_is_no_schema_is_refused_with_what_is_wrong_and_where() {
    let gateway = Gateway::start();
    let refused = |body: &str| {
        let answer = ask(&gateway, "POST", "/subjects/a/versions", &[SHOP], body);
        (fault(&answer), answer.json()["message"].as_str().unwrap().to_owned())
    };
    for body in ["nonsense", "[]", "{\"schema\":"] {
        let (fault, message) = refused(body);
        assert_eq!(fault, (400, 400), "{body}");
        assert!(
            message
                .ends_with("such as {\"schemaType\": \"JSON\", \"schema\": \"{…}\"}, the schema as a text"),
            "{message}"
        );
    }
    assert!(refused("{\n nonsense").1.contains("line 2, column 2"), "{}", refused("{\n nonsense").1);
    let import = |path: &str| format!("syntax = \"proto3\";\nimport \"{path}\";\nmessage A {{ }}");
    let group = "message A {\n optional group lower = 1 { }\n}".to_owned();
    let (large, wrong) = (
        r#"{"properties":{"a":{"pattern":"\\p{L}{1,2000}\\p{L}{1,2000}"}}}"#,
        r#"{"patternProperties":{"(":true}}"#,
    );
    let field = |kind: &str| {
        json!({"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}).to_string()
    };
    for (kind, text, parts) in [
        ("PROTOBUF", import("/x"), ["line 2:8: an import must be a path", "among the references"]),
        ("PROTOBUF", import("a/../b.proto"), ["line 2:8: an import must be a path", "among the references"]),
        ("PROTOBUF", import("x.proto"), ["line 2:1: import 'x.proto' not found", "among the references"]),
        ("PROTOBUF", group, ["line 2:", "invalid group name"]),
        (
            "JSON",
            large.to_owned(),
            ["the pattern at #/properties/a/pattern becomes larger than 1048576 bytes", "repeat less"],
        ),
        ("JSON", wrong.to_owned(), ["the pattern at #/patternProperties/(", "is no regular expression"]),
        ("JSON", "nonsense".to_owned(), ["cannot be read as JSON", "line 1 column"]),
        ("AVRO", "nonsense".to_owned(), ["cannot be read as JSON, which Avro schemas are", "schemaType"]),
        ("AVRO", field("/x"), ["there is no type '/x'", "at #/fields/0/type"]),
        ("AVRO", field("shop.Order"), ["names shop.Order at #/fields/0/type", "a reference of it"]),
    ] {
        let (fault, message) = refused(&json!({"schemaType": kind, "schema": text}).to_string());
        assert_eq!(fault, (422, 42_201), "{text}");
        for part in parts {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
}

#[test]
fn names_that_clients_take_out_of_addresses_are_no_subjects() {
    let gateway = Gateway::start();
    let body = schema("true").to_string();
    for name in [".", "..", "%2E", "%2e%2E", ":.:.", ":.:%2E."] {
        let refused = ask(&gateway, "POST", &format!("/subjects/{name}/versions"), &[SHOP], &body);
        assert_eq!(fault(&refused), (422, 42_208), "{name}");
    }
    let taken = ask(&gateway, "POST", "/subjects/.../versions", &[SHOP], &body);
    assert_eq!(taken.status, 200, "{}", taken.text());
    // What was registered before can be read and deleted.
    assert_eq!(fault(&ask(&gateway, "GET", "/subjects/%2E/versions", &[SHOP], "")), (404, 40_401));
    assert_eq!(fault(&ask(&gateway, "DELETE", "/subjects/%2E", &[SHOP], "")), (404, 40_401));
}

#[test]
fn a_version_that_breaks_readers_is_refused_with_every_difference_and_an_example() {
    let gateway = Gateway::start();
    let ask = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        ask(&gateway, method, path, &[SHOP], &body)
    };
    let order = |properties: Value, required: &[&str]| {
        schema(&json!({"type": "object", "properties": properties, "required": required}).to_string())
    };
    let text = || json!({"type": "string"});
    let first = order(json!({"id": text()}), &["id"]);
    assert_eq!(ask("POST", "/subjects/a/versions", &first).json(), json!({"id": 1}));
    let more = order(json!({"id": text(), "note": text()}), &["id"]);
    let breaking = order(json!({"id": {"type": "integer"}}), &["id"]);
    let check =
        |body: &Value| ask("POST", "/compatibility/subjects/a/versions/latest?verbose=True", body).json();
    assert_eq!(check(&more), json!({"is_compatible": true, "messages": []}));
    let told = check(&breaking);
    let messages = told["messages"].as_array().unwrap();
    assert_eq!(told["is_compatible"], false);
    for part in ["errorType", "/properties/id", "counterExample", "oldSchemaVersion: 1", "BACKWARD"] {
        assert!(messages.iter().any(|message| message.as_str().unwrap().contains(part)), "{part} in {told}");
    }
    let refused = ask("POST", "/subjects/a/versions", &breaking);
    assert_eq!(fault(&refused), (409, 40_901));
    assert!(refused.text().contains("counterExample"), "{}", refused.text());
    assert_eq!(ask("POST", "/subjects/a/versions", &more).json(), json!({"id": 2}));
    let less = order(json!({"id": text()}), &[]);
    assert_eq!(ask("PUT", "/config/a", &json!({"compatibility": "full_transitive"})).status, 200);
    assert_eq!(fault(&ask("POST", "/subjects/a/versions", &less)), (409, 40_901));
    let config = json!({"compatibilityLevel": "FULL_TRANSITIVE"});
    assert_eq!(ask("GET", "/config/a", &Value::Null).json(), config);
    let config = json!({"compatibilityLevel": "BACKWARD", "compatibilityPolicy": "LENIENT"});
    assert_eq!(ask("GET", "/config", &Value::Null).json(), config);
}

#[test]
fn references_are_followed_listed_and_hold_what_they_refer_to() {
    let gateway = Gateway::start();
    let ask = |method: &str, path: &str, body: &str| ask(&gateway, method, path, &[SHOP], body);
    assert_eq!(
        ask("POST", "/subjects/customer/versions", &schema(r#"{"type":"string"}"#).to_string()).status,
        200
    );
    let mut order = schema(r#"{"properties":{"customer":{"$ref":"customer.json"}}}"#);
    assert_eq!(fault(&ask("POST", "/subjects/order/versions", &order.to_string())), (422, 42_201));
    order["references"] = json!([{"name": "customer.json", "subject": "customer", "version": 1}]);
    assert_eq!(ask("POST", "/subjects/order/versions", &order.to_string()).json(), json!({"id": 2}));
    assert_eq!(ask("GET", "/subjects/customer/versions/1/referencedby", "").json(), json!([2]));
    assert_eq!(ask("GET", "/subjects/order/versions/1", "").json()["references"], order["references"]);
    assert_eq!(fault(&ask("DELETE", "/subjects/customer", "")), (422, 42_206));
    assert_eq!(ask("DELETE", "/subjects/order", "").json(), json!([1]));
    assert_eq!(ask("DELETE", "/subjects/customer", "").json(), json!([1]));
    // What is deleted may come back by itself, and must find what it refers to.
    assert_eq!(fault(&ask("DELETE", "/subjects/customer?permanent=true", "")), (422, 42_206));
    assert_eq!(ask("DELETE", "/subjects/order?permanent=true", "").json(), json!([1]));
    assert_eq!(ask("DELETE", "/subjects/customer?permanent=true", "").json(), json!([1]));
    assert_eq!(fault(&ask("GET", "/schemas/ids/1", "")), (404, 40_403));
}

#[test]
fn who_may_not_is_told_so_and_sees_nothing_of_it() {
    let gateway = Gateway::start();
    let ask = |caller, method: &str, path: &str, body: &str| ask(&gateway, method, path, &[caller], body);
    let body = schema("true").to_string();
    for subject in ["orders.v1-value", "secrets.v1-value"] {
        assert_eq!(ask(SHOP, "POST", &format!("/subjects/{subject}/versions"), &body).status, 200);
    }
    let other = schema("false").to_string();
    assert_eq!(ask(SHOP, "POST", "/subjects/secrets.v2-value/versions", &other).json(), json!({"id": 2}));
    assert_eq!(ask(READER, "GET", "/subjects", "").json(), json!(["orders.v1-value"]));
    assert_eq!(ask(READER, "GET", "/schemas", "").json().as_array().unwrap().len(), 1);
    assert_eq!(ask(READER, "GET", "/schemas/ids/1/subjects", "").json(), json!(["orders.v1-value"]));
    assert_eq!(fault(&ask(READER, "GET", "/schemas/ids/2", "")), (404, 40_403));
    for (method, path, body) in [
        ("GET", "/subjects/secrets.v1-value/versions", ""),
        ("GET", "/subjects/absent/versions/1", ""),
        ("POST", "/subjects/orders.v1-value/versions", body.as_str()),
        ("DELETE", "/subjects/orders.v1-value", ""),
        ("PUT", "/config", r#"{"compatibility":"NONE"}"#),
        ("PUT", "/mode/orders.v1-value", r#"{"mode":"READONLY"}"#),
        ("DELETE", "/config", ""),
    ] {
        assert_eq!(fault(&ask(READER, method, path, body)), (403, 40_301), "{method} {path}");
    }
    for path in [
        "/subjects",
        "/schemas",
        "/schemas/ids/1",
        "/schemas/types",
        "/contexts",
        "/config",
        "/mode",
        "/v1/metadata/id",
    ] {
        assert_eq!(fault(&ask(STRANGER, "GET", path, "")), (403, 40_301), "{path}");
    }
    assert_eq!(fault(&gateway.send("GET", "/registry/subjects", &[], "")), (401, 40_101));
}

#[test]
fn what_clients_ask_first_is_answered_404_to_whoever_asks() {
    let gateway = Gateway::start();
    let path = "/associations/resources/-/orders.v1?resourceType=topic&associationType=value";
    for caller in [SHOP, STRANGER] {
        assert_eq!(fault(&ask(&gateway, "GET", path, &[caller], "")), (404, 404));
    }
}

#[test]
fn what_befalls_any_request_is_told_in_the_registrys_words() {
    let gateway = Gateway::start();
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        fault(&ask(&gateway, method, path, &[&[SHOP], headers].concat(), body))
    };
    let versions = "/subjects/a/versions";
    assert_eq!(ask("POST", versions, &[("content-type", "text/html")], "{}"), (415, 415));
    assert_eq!(ask("POST", versions, &[], "{"), (400, 400));
    assert_eq!(ask("POST", versions, &[], "[]"), (400, 400));
    assert_eq!(ask("POST", versions, &[], "{}"), (422, 42_201));
    assert_eq!(ask("POST", "/subjects/%0Abad/versions", &[], &schema("true").to_string()), (422, 42_208));
    assert_eq!(ask("GET", "/subjects", &[("accept", "text/*")], ""), (406, 406));
    assert_eq!(ask("GET", "/subjects?limit=many", &[], ""), (400, 400));
    assert_eq!(ask("GET", "/subjects/a/versions/first", &[], ""), (422, 42_202));
    let large = schema(&format!("{{\"title\":\"{}\"}}", "a".repeat(300 << 10))).to_string();
    assert_eq!(ask("POST", versions, &[], &large), (422, 42_209));
    let elsewhere = gateway.send("GET", "/registry/nothing", &[SHOP], "");
    assert_eq!((fault(&elsewhere), elsewhere.header("content-type")), ((404, 404), Some(V1)));
    assert_eq!(fault(&gateway.send("PATCH", "/registry/subjects", &[SHOP], "")), (405, 405));
    let plain = gateway.send("GET", "/registry/subjects", &[SHOP, ("accept", "application/json")], "");
    assert_eq!((plain.text(), plain.header("content-type")), ("[]", Some("application/json")));
}

#[test]
fn a_log_that_fails_is_told_without_its_inner_text() {
    let gateway = Gateway::start();
    let body = schema("true").to_string();
    let register = || ask(&gateway, "POST", "/subjects/a/versions", &[SHOP], &body);
    gateway.log.set_mood_of("_weirgate.schemas", Mood::Unavailable);
    let failed = register();
    assert_eq!(fault(&failed), (500, 50_001));
    assert!(!failed.text().contains("10.0.0.7"));
    gateway.log.set_mood_of("_weirgate.schemas", Mood::Silent);
    assert_eq!(fault(&register()), (500, 50_002));
    gateway.log.set_mood_of("_weirgate.schemas", Mood::Good);
    assert_eq!(register().json(), json!({"id": 1}));
}

#[test]
fn schemas_that_are_bombs_or_look_outside_are_refused() {
    let gateway = Gateway::start();
    let nested = format!("{}true{}", r#"{"not":"#.repeat(5_000), "}".repeat(5_000));
    for text in [
        nested.as_str(),
        r#"{"$ref":"http://169.254.169.254/latest/meta-data"}"#,
        r#"{"$ref":"file:///etc/passwd"}"#,
        r#"{"pattern":"\\p{L}{1,2000}\\p{L}{1,2000}"}"#,
        r##"{"definitions":{"a":{"allOf":[{"$ref":"#/definitions/a"}]}},"allOf":[{"$ref":"#/definitions/a"}]}"##,
        r#"{"type":"record","name":"r","fields":[]}"#,
    ] {
        let refused = ask(&gateway, "POST", "/subjects/a/versions", &[SHOP], &schema(text).to_string());
        assert_eq!(fault(&refused), (422, 42_201), "{text}");
    }
    let endless = r#"{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}"#;
    let avro = json!({"schema": endless}).to_string();
    let refused = ask(&gateway, "POST", "/subjects/a/versions", &[SHOP], &avro);
    assert_eq!(fault(&refused), (422, 42_201));
    assert!(refused.text().contains("without end"), "{}", refused.text());
    assert_eq!(ask(&gateway, "GET", "/subjects", &[SHOP], "").json(), json!([]));
}

#[test]
fn the_registry_may_answer_below_no_path_at_all() {
    let gateway =
        Gateway::with(|setup| setup.registry_path = weirgate::http::RegistryPath::parse("/").unwrap());
    let send = |method: &str, path: &str, body: &str| {
        gateway.send(method, path, &[SHOP, ("content-type", V1)], body)
    };
    assert_eq!(send("POST", "/subjects/a/versions", &schema("true").to_string()).json(), json!({"id": 1}));
    assert_eq!(fault(&send("GET", "/subjects/b/versions", "")), (404, 40_401));
    // The contract tells of the usual place.
    let usual = gateway.client().send("GET", "/registry/subjects", &[SHOP], b"");
    assert_eq!(usual.code(), "not_found");
    assert_eq!(send("GET", "/v1/nothing", "").code(), "not_found");
}
