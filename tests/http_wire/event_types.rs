//! `/v1/event-types`: what programs are told of event types, and data that is judged and not stored.

use serde_json::{Value, json};
use weirgate::event::{Enforcement, EventType, Topic, TopicRule};

use crate::client::Answer;
use crate::gateway::{Gateway, JSON, ORDER, READER, SHOP, SLOW, STRANGER, envelope, until};

const ORDERS: &str = "/v1/event-types/orders.placed.v1";

fn get(gateway: &Gateway, path: &str, caller: (&str, &str)) -> Answer {
    gateway.send("GET", path, &[caller], "")
}

fn validate(gateway: &Gateway, event_type: &str, caller: (&str, &str), data: &str) -> Answer {
    gateway.send("POST", &format!("/v1/event-types/{event_type}:validate"), &[caller, JSON], data)
}

fn names(list: &Value) -> Vec<&str> {
    list["eventTypes"].as_array().unwrap().iter().map(|one| one["eventType"].as_str().unwrap()).collect()
}

#[test]
fn a_caller_is_told_the_types_it_has_a_grant_on() {
    let gateway = Gateway::start();
    let all = get(&gateway, "/v1/event-types", SHOP).json();
    let expected = ["keys.made.v1", "orders.lost.v1", "orders.placed.v1", "things.noted.v1"];
    assert_eq!((names(&all), &all["cursor"]), (expected.to_vec(), &Value::Null));
    let orders = &all["eventTypes"][2];
    assert_eq!(orders["topic"], "orders.v1");
    assert_eq!(orders["may"], json!({"publish": true, "read": true}));
    assert_eq!(orders["subject"], "orders.placed.v1-value");
    assert_eq!(orders["links"]["validate"], "/v1/event-types/orders.placed.v1:validate");
    assert_eq!(all["eventTypes"][3].get("subject"), None, "a type without a schema");
    let reader = get(&gateway, "/v1/event-types", READER).json();
    assert_eq!(reader["eventTypes"][2]["may"], json!({"publish": false, "read": true}));
    assert_eq!(reader["eventTypes"][2]["links"].get("validate"), None);
    assert_eq!(names(&get(&gateway, "/v1/event-types", STRANGER).json()), Vec::<&str>::new());
    assert_eq!(gateway.send("GET", "/v1/event-types", &[], "").code(), "unauthenticated");
}

#[test]
fn a_list_is_read_page_by_page() {
    let gateway = Gateway::start();
    let first = get(&gateway, "/v1/event-types?limit=3", SHOP).json();
    assert_eq!(names(&first), ["keys.made.v1", "orders.lost.v1", "orders.placed.v1"]);
    let cursor = first["cursor"].as_str().unwrap();
    let rest = get(&gateway, &format!("/v1/event-types?limit=3&cursor={cursor}"), SHOP).json();
    assert_eq!((names(&rest), rest.get("cursor")), (vec!["things.noted.v1"], None));
    for refused in ["limit=0", "limit=1001", "page=2", "cursor=%07"] {
        assert_eq!(get(&gateway, &format!("/v1/event-types?{refused}"), SHOP).code(), "invalid_parameter");
    }
}

#[test]
fn a_type_is_told_whole_and_counted() {
    let gateway = Gateway::start();
    assert_eq!(gateway.post("", &[], &envelope("")).status, 201);
    for _ in 0..2 {
        let broken = envelope("").replace("\"sku\":\"S-1\"", "\"sku\":7");
        assert_eq!(gateway.post("", &[], &broken).code(), "schema_violation");
    }
    let told = get(&gateway, ORDERS, SHOP).json();
    let key = json!({"pointer": "/data/customerId", "optional": false});
    assert_eq!((&told["rules"]["key"], &told["rules"]["enforcement"]), (&key, &json!("enforce")));
    assert_eq!(told["partitions"], 2);
    let counters = &told["counters"];
    assert_eq!((&counters["stored"], &counters["broken"]), (&json!(1), &json!(2)));
    assert!(counters["lastStoredAt"].is_string());
    let rejection = &counters["rejections"][0];
    assert_eq!(rejection["pointer"], "/data/items/*/sku");
    assert_eq!((&rejection["keyword"], &rejection["count"]), (&json!("type"), &json!(2)));
    assert_eq!(told["producers"][0]["principal"], "service:shop");
    let taken = gateway.post("?dryRun=true", &[], &told["example"].to_string());
    assert_eq!(taken.status, 200, "{}", taken.text());
}

#[test]
fn a_dry_run_that_breaks_the_schema_is_told_so_and_counted_nowhere() {
    for enforcement in [Enforcement::Observe, Enforcement::Warn, Enforcement::Enforce] {
        let gateway = Gateway::with(|setup| {
            let types = vec![EventType::parse("orders.placed.v1").unwrap()];
            let rule = TopicRule::plain(Topic::parse("orders.v1").unwrap(), types);
            setup.topics = Some(vec![TopicRule { enforcement, ..rule }]);
        });
        let broken = envelope("").replace("\"sku\":\"S-1\"", "\"sku\":7");
        let refused = gateway.post("?dryRun=true", &[], &broken);
        assert_eq!(refused.status == 422, enforcement == Enforcement::Enforce, "{}", refused.text());
        gateway.post("?dryRun=true&validation=each", &[], &format!("[{broken}]"));
        let line = [SHOP, ("content-type", "application/x-ndjson")];
        assert_eq!(gateway.send("POST", "/v1/events?dryRun=true", &line, &format!("{broken}\n")).status, 200);
        let counters = get(&gateway, ORDERS, SHOP).json()["counters"].clone();
        assert_eq!(counters, json!({"stored": 0, "broken": 0, "rejections": [], "otherRejections": 0}));
        gateway.post("", &[], &broken);
        assert_eq!(get(&gateway, ORDERS, SHOP).json()["counters"]["broken"], 1);
    }
}

#[test]
fn who_published_is_told_to_who_manages_the_topic_only() {
    let gateway = Gateway::start();
    assert_eq!(gateway.post("", &[], &envelope("")).status, 201);
    for caller in [READER, SLOW] {
        let told = get(&gateway, ORDERS, caller).json();
        assert_eq!((&told["counters"]["stored"], told.get("producers")), (&json!(1), None));
        let page = gateway.send("GET", "/docs/types/orders.placed.v1", &[caller], "");
        assert!(!page.text().contains("service:shop"), "{}", page.text());
    }
}

#[test]
fn groups_on_the_topic_are_told_to_who_may_see_them() {
    let gateway = Gateway::start();
    let group = "/v1/groups/inventory-sync";
    until("the group to be made", || {
        let body = r#"{"topics":["orders.v1"]}"#;
        matches!(gateway.send("PUT", group, &[SHOP, JSON], body).status, 200 | 201)
    });
    assert_eq!(get(&gateway, ORDERS, SHOP).json()["consumers"], json!(["inventory-sync"]));
    assert_eq!(get(&gateway, "/v1/event-types/keys.made.v1", SHOP).json()["consumers"], json!([]));
    assert_eq!(get(&gateway, ORDERS, READER).json()["consumers"], json!([]));
    let page = |caller| gateway.send("GET", "/docs/types/orders.placed.v1", &[caller], "").text().to_owned();
    assert!(page(SHOP).contains("<code>inventory-sync</code>") && !page(READER).contains("inventory-sync"));
}

#[test]
fn a_type_that_is_not_there_and_one_that_may_not_be_known_look_the_same() {
    let gateway = Gateway::start();
    let problem = |method: &str, path: &str, caller, body: &str| {
        let answer = gateway.send(method, path, &[caller, JSON], body);
        let mut told = answer.json();
        told.as_object_mut().unwrap().remove("instance");
        (answer.status, told.to_string())
    };
    for rest in ["", "/diff"] {
        let hidden = problem("GET", &format!("{ORDERS}{rest}"), STRANGER, "");
        assert_eq!(hidden, problem("GET", &format!("/v1/event-types/absent.v1{rest}"), STRANGER, ""));
        assert_eq!(hidden, problem("GET", &format!("/v1/event-types/absent.v1{rest}"), SHOP, ""));
        assert_eq!(hidden.0, 404);
    }
    let hidden = problem("POST", &format!("{ORDERS}:validate"), STRANGER, ORDER);
    assert_eq!(hidden, problem("POST", "/v1/event-types/absent.v1:validate", SHOP, ORDER));
    assert_eq!(hidden.0, 404);
}

#[test]
fn data_is_judged_as_publishing_would_judge_it_and_not_stored() {
    let gateway = Gateway::start();
    let valid = validate(&gateway, "orders.placed.v1", SHOP, ORDER);
    assert_eq!(valid.status, 200);
    let told = valid.json();
    assert_eq!((&told["valid"], &told["subject"]), (&json!(true), &json!("orders.placed.v1-value")));
    let broken = ORDER.replace("\"EUR\"", "7").replace("\"sku\":\"S-1\",", "");
    let refused = validate(&gateway, "orders.placed.v1", SHOP, &broken);
    let published = gateway.post("", &[], &envelope("").replace(ORDER, &broken));
    assert_eq!((refused.status, refused.code()), (422, "schema_violation".to_owned()));
    assert_eq!(refused.json()["errors"], published.json()["errors"]);
    for (event_type, data, code) in [
        ("orders.placed.v1", "{", "malformed_json"),
        ("orders.placed.v1", r#"{"a":1,"a":2}"#, "duplicate_member"),
        ("orders.lost.v1", "{}", "schema_missing"),
    ] {
        assert_eq!(validate(&gateway, event_type, SHOP, data).code(), code, "{event_type} {data}");
    }
    assert_eq!(
        validate(&gateway, "things.noted.v1", SHOP, "[7]").json(),
        json!({"valid": true, "eventType": "things.noted.v1"})
    );
    let counters = &get(&gateway, ORDERS, SHOP).json()["counters"];
    assert_eq!((&counters["stored"], &counters["broken"]), (&json!(0), &json!(1)), "only the published one");
}

#[test]
fn judging_takes_the_right_to_publish_and_a_share_of_the_quota() {
    let gateway = Gateway::start();
    assert_eq!(validate(&gateway, "orders.placed.v1", READER, ORDER).code(), "forbidden");
    assert_eq!(validate(&gateway, "orders.placed.v1", SLOW, ORDER).status, 200);
    let second = validate(&gateway, "orders.placed.v1", SLOW, ORDER);
    assert_eq!((second.code(), second.headers("ratelimit")), ("rate_limited".to_owned(), 1));
    let text = ("content-type", "text/plain");
    let path = format!("{ORDERS}:validate");
    assert_eq!(gateway.send("POST", &path, &[SHOP, text], ORDER).code(), "unsupported_media_type");
    let of_schema = ("content-type", "application/vnd.shop+json");
    assert_eq!(gateway.send("POST", &path, &[SHOP, of_schema], ORDER).status, 200);
}

#[test]
fn a_violation_is_told_where_the_topic_lets_it_pass() {
    let gateway = Gateway::with(|setup| {
        let types = vec![EventType::parse("orders.placed.v1").unwrap()];
        let rule = TopicRule::plain(Topic::parse("orders.v1").unwrap(), types);
        setup.topics = Some(vec![TopicRule { enforcement: Enforcement::Observe, ..rule }]);
    });
    let broken = ORDER.replace("\"EUR\"", "7");
    assert_eq!(gateway.post("", &[], &envelope("").replace(ORDER, &broken)).status, 201);
    assert_eq!(validate(&gateway, "orders.placed.v1", SHOP, &broken).code(), "schema_violation");
}

#[test]
fn names_take_any_letter_and_verbs_only_their_method() {
    let odd = "urn:shop:order/placed";
    let gateway = Gateway::with(|setup| {
        let types = vec![EventType::parse(odd).unwrap()];
        let rule = TopicRule::plain(Topic::parse("orders.v1").unwrap(), types);
        setup.topics = Some(vec![TopicRule { is_schema_required: false, ..rule }]);
    });
    let list = get(&gateway, "/v1/event-types", SHOP).json();
    let links = &list["eventTypes"][0]["links"];
    let own = links["self"].as_str().unwrap();
    assert_eq!(gateway.send("GET", own, &[SHOP], "").json()["eventType"], odd);
    let judged = gateway.send("POST", links["validate"].as_str().unwrap(), &[SHOP, JSON], "7");
    assert_eq!(judged.json(), json!({"valid": true, "eventType": odd}));
    for (method, path, allowed) in
        [("POST", "/v1/event-types/a.v1", "GET"), ("GET", "/v1/event-types/a.v1:validate", "POST")]
    {
        let answer = gateway.send(method, path, &[SHOP, JSON], if method == "POST" { "7" } else { "" });
        assert_eq!((answer.code().as_str(), answer.header("allow")), ("method_not_allowed", Some(allowed)));
    }
    assert_eq!(gateway.send("POST", "/v1/event-types/a.v1:nothing", &[SHOP, JSON], "7").status, 405);
}

/// The values of examples of the contract, by the way to them.
fn examples(pointer: &str) -> Vec<Value> {
    let contract: Value = serde_json::from_str(include_str!("../../openapi/openapi.json")).unwrap();
    let named = contract.pointer(pointer).unwrap_or_else(|| panic!("{pointer} leads nowhere"));
    named.as_object().unwrap().values().map(|example| example["value"].clone()).collect()
}

#[test]
fn the_contracts_examples_of_orders_are_taken_by_the_sample_schema() {
    let gateway = Gateway::start();
    let body = "/post/requestBody/content/application~1json/examples";
    for data in examples(&format!("/paths/~1v1~1event-types~1{{eventType}}:validate{body}")) {
        let judged = validate(&gateway, "orders.placed.v1", SHOP, &data.to_string());
        assert_eq!(judged.status, 200, "{}", judged.text());
    }
    let answers = "/get/responses/200/content/application~1json/examples";
    let told = examples(&format!("/paths/~1v1~1event-types~1{{eventType}}{answers}"));
    let told = told.iter().map(|told| told["example"].clone());
    for event in examples(&format!("/paths/~1v1~1events{body}")).into_iter().chain(told) {
        let judged = gateway.post("?dryRun=true", &[], &event.to_string());
        assert_eq!(judged.status, 200, "{}", judged.text());
    }
}

#[test]
fn the_contracts_example_of_a_difference_is_what_the_gateway_answers() {
    let gateway = Gateway::start();
    until("the registry is read", || gateway.send("GET", "/readyz", &[], "").status == 200);
    let answers = "/get/responses/200/content/application~1json/examples";
    let mut told = examples(&format!("/paths/~1v1~1event-types~1{{eventType}}~1diff{answers}"));
    let mut expected = told.pop().unwrap();
    let config = "/registry/config/orders.placed.v1-value";
    assert_eq!(gateway.send("PUT", config, &[SHOP, JSON], r#"{"compatibility":"NONE"}"#).status, 200);
    for side in ["from", "to"] {
        let body = json!({"schemaType": "JSON", "schema": expected[side]["schema"]}).to_string();
        let path = "/registry/subjects/orders.placed.v1-value/versions";
        let answer = gateway.send("POST", path, &[SHOP, JSON], &body);
        expected[side]["id"] = answer.json()["id"].clone();
    }
    assert_eq!(get(&gateway, &format!("{ORDERS}/diff?from=1&to=2"), SHOP).json(), expected);
}

#[test]
fn versions_are_compared_for_who_may_read_their_subject() {
    let gateway = Gateway::start();
    until("the registry is read", || gateway.send("GET", "/readyz", &[], "").status == 200);
    assert_eq!(get(&gateway, &format!("{ORDERS}/diff"), SHOP).status, 404, "there is no version yet");
    let register = |schema: Value| {
        let body = json!({"schemaType": "JSON", "schema": schema.to_string()}).to_string();
        let path = "/registry/subjects/orders.placed.v1-value/versions";
        let answer = gateway.send("POST", path, &[SHOP, JSON], &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let none = r#"{"compatibility":"NONE"}"#;
    let config = "/registry/config/orders.placed.v1-value";
    assert_eq!(gateway.send("PUT", config, &[SHOP, JSON], none).status, 200);
    register(json!({"type": "object", "properties": {"note": {"type": "string", "maxLength": 9}}}));
    register(json!({"type": "object", "properties": {"note": {"type": "string", "maxLength": 5}}}));
    let told = get(&gateway, ORDERS, SHOP).json();
    assert_eq!((&told["versions"], &told["compatibility"]["level"]), (&json!([1, 2]), &json!("NONE")));
    let narrowed = get(&gateway, told["links"]["diff"].as_str().unwrap(), SHOP).json();
    assert_eq!((&narrowed["changeLevel"], &narrowed["compatible"]), (&json!("major"), &json!(false)));
    let difference = &narrowed["breaks"][0]["differences"][0];
    assert!(difference["pointer"].as_str().unwrap().contains("note"), "{narrowed}");
    assert!(narrowed["breaks"][0]["counterExample"].is_object(), "{narrowed}");
    let widened = get(&gateway, &format!("{ORDERS}/diff?from=2&to=1"), SHOP).json();
    assert_eq!((&widened["from"]["version"], &widened["compatible"]), (&json!(2), &json!(true)));
    assert_eq!(get(&gateway, &format!("{ORDERS}/diff?from=3"), SHOP).code(), "invalid_parameter");
    assert_eq!(get(&gateway, &format!("{ORDERS}/diff"), READER).status, 200);
    // May publish, and read no subject.
    let slow = get(&gateway, ORDERS, SLOW).json();
    assert_eq!((slow.get("versions"), slow["links"].get("diff")), (None, None));
    assert_eq!(get(&gateway, &format!("{ORDERS}/diff"), SLOW).status, 404);
}
