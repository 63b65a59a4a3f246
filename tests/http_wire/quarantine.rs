//! Refused events that their topic keeps: the answer says so and stays a refusal.

use serde_json::{Value, json};
use weirgate::event::{EventType, Topic, TopicRule};

use crate::gateway::{Gateway, SHOP, STRANGER, envelope};
use crate::log::Mood;

/// `orders.v1` whose refused events `loose.v1` keeps.
fn start() -> Gateway {
    let rule = |topic: &str, types: &[&str]| {
        let types = types.iter().map(|name| EventType::parse(name).unwrap()).collect();
        TopicRule::plain(Topic::parse(topic).unwrap(), types)
    };
    let orders = TopicRule {
        quarantine: Some(Topic::parse("loose.v1").unwrap()),
        ..rule("orders.v1", &["orders.placed.v1"])
    };
    Gateway::with(|setup| setup.topics = Some(vec![orders, rule("loose.v1", &[])]))
}

fn broken() -> String {
    envelope("").replace("1999,\"items", "-7,\"items")
}

#[test]
fn a_refusal_says_where_the_event_is_kept() {
    let gateway = start();
    let answer = gateway.post("", &[], &broken());
    assert_eq!((answer.status, answer.code().as_str()), (422, "schema_violation"));
    let problem = answer.json();
    let place = json!({"state": "kept", "topic": "loose.v1", "partition": 0, "offset": 0});
    assert_eq!((&problem["quarantine"], &problem["retryable"]), (&place, &json!(false)));
    assert_eq!(problem["errors"][0]["pointer"], "/data/totalAmount");
    let told = problem["detail"].as_str().unwrap();
    assert!(told.ends_with("; the event is kept in 'loose.v1' at 0:0"), "{told}");
    assert!(gateway.log.records("orders.v1").is_empty());

    let dry = gateway.post("?dryRun=true", &[], &broken()).json();
    assert_eq!((&dry["code"], dry.get("quarantine")), (&json!("schema_violation"), None));
    assert_eq!(gateway.log.records("loose.v1").len(), 1);

    // To have an event kept takes no grant; to read it does.
    let page = gateway.send("GET", "/v1/topics/loose.v1/events?from=earliest", &[SHOP], "").json();
    assert_eq!(page["events"][0]["event"]["data"]["totalAmount"], -7);
    let hidden = gateway.send("GET", "/v1/topics/loose.v1/events?from=earliest", &[STRANGER], "");
    assert_eq!(hidden.status, 403, "{}", hidden.text());
}

#[test]
fn items_of_batches_and_lines_of_streams_say_it_too() {
    let gateway = start();
    let good = envelope("").replace("c-42", "c-43");
    let body = format!("[{},{good}]", broken());
    let batch = gateway.post("?validation=each", &[], &body);
    assert_eq!(batch.status, 207, "{}", batch.text());
    let items = batch.json()["items"].clone();
    assert_eq!((&items[0]["status"], &items[1]["status"]), (&json!("failed"), &json!("accepted")));
    assert_eq!(items[0]["problem"]["quarantine"]["state"], "kept");
    let refused = gateway.post("", &[], &body);
    assert_eq!((refused.status, refused.code().as_str()), (422, "batch_refused"));
    assert_eq!(refused.json()["items"][0]["problem"]["quarantine"]["offset"], 1);

    let lines = format!("{}\n{good}\n", broken());
    let headers = [SHOP, ("content-type", "application/x-ndjson")];
    let answer = gateway.send("POST", "/v1/events", &headers, &lines);
    let text = answer.text();
    let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&told[0]["problem"]["quarantine"]["offset"], &told[1]["status"]),
        (&json!(2), &json!("accepted"))
    );
}

#[test]
fn an_event_that_cannot_be_kept_is_refused_all_the_same() {
    let gateway = start();
    gateway.log.set_mood(Mood::Unavailable);
    let answer = gateway.post("", &[], &broken());
    assert_eq!((answer.status, answer.code().as_str()), (422, "schema_violation"));
    assert_eq!(answer.json()["quarantine"], json!({"state": "failed", "topic": "loose.v1"}));
}
