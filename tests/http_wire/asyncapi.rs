//! `GET /asyncapi.json` and `.yaml`: documents that AsyncAPI's own schema takes, of what the caller may know and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use weirgate::event::{EventType, Format, Topic, TopicRule, Wire};
use weirgate::schema::Store;

use crate::gateway::{Gateway, READER, SHOP, STRANGER};

fn document(gateway: &Gateway, caller: (&str, &str)) -> Value {
    let answer = gateway.send("GET", "/asyncapi.json", &[caller], "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn keys<'d>(document: &'d Value, pointer: &str) -> BTreeSet<&'d str> {
    document.pointer(pointer).unwrap().as_object().unwrap().keys().map(String::as_str).collect()
}

/// Every pointer of the document, but what is data, leads to something in it.
fn assert_pointers_lead_somewhere(document: &Value) {
    let mut rest = vec![document];
    while let Some(value) = rest.pop() {
        if let Some(Value::String(target)) = value.get("$ref") {
            assert!(document.pointer(target.strip_prefix('#').unwrap()).is_some(), "{target} leads nowhere");
        }
        match value {
            Value::Object(members) => {
                rest.extend(members.iter().filter(|(name, _)| *name != "const").map(|(_, value)| value));
            }
            Value::Array(elements) => rest.extend(elements),
            _ => {}
        }
    }
}

fn assert_is_asyncapi(document: &Value) {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/suites/asyncapi/schemas/3.0.0.json");
    let schema: Value = serde_json::from_slice(&fs::read(suite).unwrap()).unwrap();
    let validator = jsonschema::draft7::new(&schema).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(document)
        .take(5)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert_eq!(errors, Vec::<String>::new());
    assert_pointers_lead_somewhere(document);
}

#[test]
fn the_base_is_the_same_as_yaml_and_as_json() {
    let yaml: Value = serde_saphyr::from_str(include_str!("../../asyncapi/asyncapi-base.yaml")).unwrap();
    let json: Value = serde_json::from_str(include_str!("../../asyncapi/asyncapi-base.json")).unwrap();
    if json != yaml {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("asyncapi-base.json");
        fs::write(&path, serde_json::to_string(&yaml).unwrap()).unwrap();
        panic!("asyncapi-base.json is not asyncapi-base.yaml; copy {} to asyncapi/", path.display());
    }
}

#[test]
fn the_document_tells_topics_types_and_schemas() {
    let gateway = Gateway::start();
    let document = document(&gateway, SHOP);
    assert_pointers_lead_somewhere(&document);
    let topics = ["events", "stream", "topic.keyed.v1", "topic.loose.v1", "topic.orders.v1"];
    assert_eq!(keys(&document, "/channels"), topics.into());
    let operations = ["command", "follow.keyed.v1", "follow.loose.v1", "follow.orders.v1", "publish", "push"];
    assert_eq!(keys(&document, "/operations"), operations.into());
    assert_eq!(document["servers"]["socket"]["protocol"], "ws");
    assert_eq!(document["servers"]["http"]["host"], "gateway", "as the request named it");
    let channel = &document["channels"]["topic.orders.v1"];
    assert_eq!(channel["address"], "/v1/topics/orders.v1/events");
    assert_eq!(channel["bindings"]["kafka"]["partitions"], 2);
    let message = &document["components"]["messages"]["event.orders.placed.v1"];
    assert_eq!(message["x-subject"], "orders.placed.v1-value");
    let amount = "/components/schemas/data.orders.placed.v1/$defs/shop-common/$defs/amount";
    assert!(document.pointer(amount).is_some(), "what a schema refers to comes with it");
    let example = &message["examples"][0]["payload"];
    let published = gateway.send("POST", "/v1/events", &[SHOP, crate::gateway::JSON], &example.to_string());
    assert_eq!(published.status, 201, "{}", published.text());
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn documents_of_no_one_and_a_thousand_types_are_asyncapi() {
    assert_is_asyncapi(&document(&Gateway::start(), SHOP));
    assert_is_asyncapi(&document(&Gateway::start(), STRANGER));
    for count in [0, 1, 1_000] {
        let folder = tempfile::tempdir().unwrap();
        let topics = (0..count).map(|number| topic(folder.path(), number)).collect();
        let gateway = Gateway::with(|setup| {
            setup.schemas = folder.path().to_owned();
            setup.topics = Some(topics);
        });
        let document = document(&gateway, SHOP);
        assert_is_asyncapi(&document);
        let topics = keys(&document, "/channels").iter().filter(|key| key.starts_with("topic.")).count();
        assert_eq!(topics, count);
    }
}

#[test]
#[cfg_attr(not(has_suites), ignore = "needs ../shared/suites")]
fn who_reads_the_log_is_told_where_records_name_their_schema() {
    let topic = |name: &str, format, wire| {
        let types = vec![EventType::parse(name).unwrap()];
        TopicRule { format, wire, ..TopicRule::plain(Topic::parse(name).unwrap(), types) }
    };
    let topics = vec![
        topic("plain.v1", Format::Json, Wire::None),
        topic("prefix.v1", Format::Avro, Wire::Prefix),
        topic("header.v1", Format::Protobuf, Wire::Header),
        topic("alone.v1", Format::Protobuf, Wire::None),
    ];
    let gateway = Gateway::with(|setup| setup.topics = Some(topics));
    let document = document(&gateway, SHOP);
    assert_is_asyncapi(&document);
    let registry = &document["servers"]["http"]["bindings"]["kafka"];
    assert_eq!(registry["schemaRegistryUrl"], "http://gateway/registry");
    let message = |name: &str| &document["components"]["messages"][format!("record.{name}")];
    let kafka = |name: &str| &message(name)["bindings"]["kafka"];
    assert_eq!(kafka("plain.v1").get("schemaIdLocation"), None);
    assert_eq!(kafka("prefix.v1")["schemaIdLocation"], "payload");
    assert_eq!(kafka("prefix.v1")["schemaIdPayloadEncoding"], "confluent");
    assert_eq!(kafka("header.v1")["schemaIdLocation"], "header");
    assert_eq!(kafka("alone.v1").get("schemaIdLocation"), None);
    let formats = ["plain.v1", "prefix.v1", "header.v1", "alone.v1"]
        .map(|name| message(name)["x-format"].as_str().unwrap());
    assert_eq!(formats, ["json", "avro", "protobuf", "protobuf"]);
    let about = message("alone.v1")["description"].as_str().unwrap();
    assert!(about.contains("stored as protobuf"), "{about}");
    assert_eq!(message("prefix.v1")["contentType"], "application/json", "as it is read here");
}

/// A topic with one type, whose name and schema are such as documents trip over.
fn topic(folder: &Path, number: usize) -> TopicRule {
    let types = folder.join(format!("Odd name {number}"));
    fs::create_dir_all(&types).unwrap();
    let schema = json!({
        "$id": format!("https://shop.example/{number}"), "description": "Odd.",
        "properties": {"a/b": {"$ref": "#/$defs/it~1s", "title": "beside"}, "next": {"$ref": "#"},
                       "list": {"prefixItems": [true], "unevaluatedItems": false}, "$ref": {"const": {"$ref": "#/none"}}},
        "$defs": {"it/s": {"type": ["string", "null"], "pattern": "^\\p{L}$"}},
    });
    fs::write(types.join("v1.json"), schema.to_string()).unwrap();
    let name = EventType::parse(&format!("Odd name {number}.v1")).unwrap();
    TopicRule::plain(Topic::parse(&format!("odd-{number}.v1")).unwrap(), vec![name])
}

#[test]
fn nobody_learns_of_what_he_may_not_use() {
    let gateway = Gateway::start();
    let stranger = document(&gateway, STRANGER);
    assert_eq!(keys(&stranger, "/channels"), ["stream"].into());
    let own = keys(&stranger, "/components/messages");
    assert_eq!(own.iter().find(|name| name.contains('.')), None, "messages of event types");
    let reader = document(&gateway, READER);
    assert!(keys(&reader, "/operations").contains("follow.orders.v1"));
    assert!(!keys(&reader, "/operations").contains("publish"));
    assert_eq!(gateway.send("GET", "/asyncapi.json", &[], "").status, 401);
}

#[test]
fn groups_are_told_with_their_policy_and_dead_letters() {
    let gateway = Gateway::start();
    let put = gateway.send(
        "PUT",
        "/v1/groups/inventory-sync",
        &[SHOP, crate::gateway::JSON],
        r#"{"topics":["orders.v1"],"maxRetries":7}"#,
    );
    assert_eq!(put.status, 201, "{}", put.text());
    let document = document(&gateway, SHOP);
    assert_pointers_lead_somewhere(&document);
    let settle = &document["operations"]["settle.inventory-sync"];
    assert_eq!(settle["action"], "receive");
    assert_eq!(settle["x-group"]["policy"]["maxRetries"], 7);
    assert!(settle["messages"].to_string().contains("#/channels/stream/messages/nackCommand"));
    assert!(document["operations"]["work.inventory-sync"].is_object());
    assert_eq!(
        document["channels"].get("topic.dlq.orders.v1.inventory-sync"),
        None,
        "** does not reach dead letters"
    );
}

#[test]
fn a_client_has_the_actions_the_other_way_round() {
    let gateway = Gateway::start();
    let view = |view: &str| gateway.send("GET", &format!("/asyncapi.json?view={view}"), &[SHOP], "");
    let (own, clients) = (view("gateway").json(), view("client").json());
    for (name, operation) in own["operations"].as_object().unwrap() {
        let actions =
            (operation["action"].as_str().unwrap(), clients["operations"][name]["action"].as_str().unwrap());
        assert!(matches!(actions, ("send", "receive") | ("receive", "send")), "{name}: {actions:?}");
    }
    assert_eq!(view("mine").status, 400);
}

#[test]
fn yaml_says_the_same_and_an_unchanged_document_is_not_sent_again() {
    let gateway = Gateway::start();
    let yaml = gateway.send("GET", "/asyncapi.yaml", &[SHOP], "");
    assert!(yaml.header("content-type").unwrap().starts_with("application/vnd.aai.asyncapi+yaml"));
    assert_eq!(serde_saphyr::from_str::<Value>(yaml.text()).unwrap(), document(&gateway, SHOP));
    let first = gateway.send("GET", "/asyncapi.json", &[SHOP], "");
    let tag = first.header("etag").unwrap();
    assert_ne!(Some(tag), yaml.header("etag"));
    let again = gateway.send("GET", "/asyncapi.json", &[SHOP, ("if-none-match", tag)], "");
    assert_eq!((again.status, again.text()), (304, ""));
    assert_eq!(again.header("etag"), Some(tag));
    let put = r#"{"topics":["orders.v1"]}"#;
    assert_eq!(gateway.send("PUT", "/v1/groups/new", &[SHOP, crate::gateway::JSON], put).status, 201);
    let changed = gateway.send("GET", "/asyncapi.json", &[SHOP, ("if-none-match", tag)], "");
    assert_eq!(changed.status, 200);
}

#[test]
fn a_schema_is_told_as_soon_as_it_is_registered() {
    let gateway = Gateway::with(|setup| setup.store = Store::Embedded);
    let data = "/components/schemas/data.orders.placed.v1";
    assert_eq!(document(&gateway, SHOP).pointer(data), Some(&json!({})));
    let body =
        json!({"schemaType": "JSON", "schema": r##"{"properties":{"next":{"$ref":"#"}}}"##}).to_string();
    let path = "/registry/subjects/orders.placed.v1-value/versions";
    let answer = gateway.send("POST", path, &[SHOP, crate::gateway::JSON], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told = json!({"properties": {"next": {"$ref": format!("#{data}")}}});
    assert_eq!(document(&gateway, SHOP).pointer(data), Some(&told));
}
