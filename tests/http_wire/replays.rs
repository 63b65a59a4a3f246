//! Replays over the wire: what is asked for and refused, plans, jobs that wait for a member and are cancelled, and who may
//! what.

use serde_json::{Value, json};
use weirgate::log::NewRecord;

use crate::client::Answer;
use crate::dead_letters::start;
use crate::gateway::{CLERK, Gateway, JSON, READER, SHOP, STRANGER, envelope};

const BASE: &str = "/v1/groups/inventory-sync/replays";

/// A gateway whose group reads two topics, `orders.v1` with so many events.
fn with_events(count: usize) -> Gateway {
    let gateway = start();
    let record = NewRecord { value: Some(envelope("").into()), ..NewRecord::default() };
    gateway.log.put_records("orders.v1", vec![record; count]);
    let both = r#"{"topics":["orders.v1","loose.v1"]}"#;
    assert_eq!(gateway.send("PUT", "/v1/groups/inventory-sync", &[SHOP, JSON], both).status, 200);
    gateway
}

fn ask(gateway: &Gateway, caller: (&str, &str), body: &str) -> Answer {
    gateway.send("POST", BASE, &[caller, JSON], body)
}

/// Begins a replay, and answers where it is told of.
fn begin(gateway: &Gateway, caller: (&str, &str), body: &str) -> (String, Value) {
    let answer = ask(gateway, caller, body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(location, format!("/v1/replays/{}", answer.json()["id"].as_str().unwrap()));
    (location, answer.json())
}

fn get(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.send("GET", path, &[SHOP], "");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[test]
fn a_plan_tells_what_would_be_read_and_begins_nothing() {
    let gateway = with_events(12);
    let plan = ask(&gateway, SHOP, r#"{"from":"earliest","dryRun":true}"#);
    assert_eq!(plan.status, 200, "{}", plan.text());
    let range = |from: u64, to: u64| json!({"topic": "orders.v1", "partition": 0, "from": from, "to": to, "events": to - from});
    assert_eq!(plan.json(), json!({"group": "inventory-sync", "events": 12, "partitions": [range(0, 12)]}));
    for (body, from, to) in [
        (r#"{"from":{"offsets":{"orders.v1":{"0":3}}},"to":{"offsets":{"orders.v1":{"0":7}}}}"#, 3, 7),
        (r#"{"from":{"offsets":{"orders.v1":{"0":3}}},"to":"latest"}"#, 3, 12),
        (r#"{"from":{"timestamp":"1970-01-01T00:00:00Z"},"topics":["orders.v1"]}"#, 0, 12),
    ] {
        let plan = ask(&gateway, SHOP, &body.replacen('{', r#"{"dryRun":true,"#, 1)).json();
        assert_eq!(plan["partitions"], json!([range(from, to)]), "{body}");
    }
    let none = ask(&gateway, SHOP, r#"{"from":"earliest","topics":["loose.v1"],"dryRun":true}"#).json();
    assert_eq!((&none["events"], &none["partitions"]), (&json!(0), &json!([])));
    assert_eq!(get(&gateway, BASE), json!({"replays": []}));
}

#[test]
fn a_group_has_one_replay_at_a_time_and_it_can_be_cancelled() {
    let gateway = with_events(5);
    let body = r#"{"from":"earliest","filter":{"key":true,"exists":false},"ratePerSecond":7}"#;
    let (location, begun) = begin(&gateway, SHOP, body);
    let id = location.trim_start_matches("/v1/replays/");
    for (member, value) in [
        ("group", json!("inventory-sync")),
        ("state", json!("waiting")),
        ("events", json!(5)),
        ("examined", json!(0)),
        ("matched", json!(0)),
        ("delivered", json!(0)),
        ("failed", json!(0)),
        ("skipped", json!(0)),
        ("topics", json!(["loose.v1", "orders.v1"])),
        ("from", json!("earliest")),
        ("filter", json!({"key": true, "exists": false})),
        ("ratePerSecond", json!(7)),
        ("by", json!("service:shop")),
    ] {
        assert_eq!(begun[member], value, "{member}");
    }
    assert!(begun["createdAt"].is_string() && begun.get("endedAt").is_none() && begun.get("to").is_none());
    assert_eq!(get(&gateway, &location), begun);
    let refused = ask(&gateway, SHOP, r#"{"from":"earliest"}"#);
    assert_eq!(refused.code(), "conflict");
    assert!(refused.text().contains(id), "{}", refused.text());
    let cancel = |path: &str| gateway.send("POST", &format!("{path}:cancel"), &[SHOP], "");
    let told = cancel(&location).json();
    assert_eq!((&told["state"], &told["cancelledBy"]), (&json!("cancelled"), &json!("service:shop")));
    assert!(told["endedAt"].is_string());
    assert_eq!(cancel(&location).json(), told, "once more changes nothing");
    // A range without events ends as it begins.
    let (done, begun) = begin(&gateway, SHOP, r#"{"from":"latest"}"#);
    assert_eq!((&begun["state"], &begun["events"]), (&json!("done"), &json!(0)));
    assert_eq!(cancel(&done).code(), "conflict");
    let listed = get(&gateway, &format!("{BASE}?limit=1"));
    assert_eq!(listed["replays"], json!([begun]));
    let rest = get(&gateway, &format!("{BASE}?limit=1&cursor={}", listed["cursor"].as_str().unwrap()));
    assert_eq!(rest, json!({"replays": [told]}));
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place_and_begins_nothing() {
    let gateway = with_events(5);
    for (body, pointer) in [
        (r#"{"from":{"offsets":{"orders.v1":{"0":3}}},"to":{"offsets":{"orders.v1":{"0":2}}}}"#, "/to"),
        (r#"{"from":"latest","to":"earliest"}"#, "/to"),
        (r#"{"from":{"timestamp":"2026-11-21T10:00:01Z"},"to":{"timestamp":"2026-11-21T10:00:00Z"}}"#, "/to"),
        (r#"{"from":{"timestamp":"2026-11-21T10:00:00Z"},"to":{"timestamp":"2026-11-21T10:00:00Z"}}"#, "/to"),
        (r#"{"from":{"offsets":{"orders.v1":{"0":6}}}}"#, "/from/offsets/orders.v1/0"),
        (r#"{"from":{"offsets":{"orders.v1":{"99":0}}}}"#, "/from/offsets/orders.v1/99"),
        (r#"{"from":"earliest","to":{"offsets":{"orders.v1":{"0":6}}}}"#, "/to/offsets/orders.v1/0"),
        (r#"{"from":{"offsets":{"absent.v1":{"0":0}}}}"#, "/from/offsets"),
        (r#"{"from":"earliest","topics":["absent.v1"]}"#, "/topics"),
        (r#"{"from":"earliest","filter":{"colour":"red"}}"#, "/filter"),
        (r#"{"from":"earliest","ratePerSecond":0}"#, "/ratePerSecond"),
        (r#"{"from":"earliest","ratePerSecond":100001}"#, "/ratePerSecond"),
    ] {
        for body in [body.to_owned(), body.replacen('{', r#"{"dryRun":true,"#, 1)] {
            let refused = ask(&gateway, SHOP, &body);
            assert_eq!(refused.code(), "invalid_parameter", "{body}: {}", refused.text());
            let place = refused.json()["errors"][0]["pointer"].as_str().unwrap().to_owned();
            assert!(place.starts_with(pointer), "{body}: {place}");
        }
    }
    for body in [
        "{}",
        "[]",
        r#"{"to":"latest"}"#,
        r#"{"from":"yesterday"}"#,
        r#"{"from":{"timestamp":"yesterday"}}"#,
        r#"{"from":{"offsets":{"orders.v1":{"0":-1}}}}"#,
        r#"{"from":"earliest","topics":["/"]}"#,
        r#"{"from":"earliest","topics":[]}"#,
        r#"{"from":"earliest","ratePerSecond":1.5}"#,
        r#"{"from":"earliest","speed":1}"#,
        r#"{"from":"earliest","dryRun":"yes"}"#,
    ] {
        assert_eq!(ask(&gateway, SHOP, body).code(), "invalid_parameter", "{body}");
    }
    assert_eq!(ask(&gateway, SHOP, "{").code(), "malformed_json");
    let absent = gateway.send("POST", "/v1/groups/absent/replays", &[SHOP, JSON], r#"{"from":"earliest"}"#);
    assert_eq!(absent.code(), "group_not_found");
    assert_eq!(gateway.send("GET", "/v1/groups/absent/replays", &[SHOP], "").code(), "group_not_found");
    let plain = gateway.send("POST", BASE, &[SHOP], r#"{"from":"earliest"}"#);
    assert_eq!(plain.code(), "unsupported_media_type");
    for query in ["limit=0", "limit=101", "cursor=", "cursor=other.7", "colour=red"] {
        let refused = gateway.send("GET", &format!("{BASE}?{query}"), &[SHOP], "");
        assert_eq!(refused.code(), "invalid_parameter", "{query}");
    }
    assert_eq!(get(&gateway, BASE)["replays"], json!([]));
    for unknown in ["inventory-sync.7", "inventory-sync", "1", "absent.1", "a%2Fb", "%00", &"x".repeat(2_000)]
    {
        let path = format!("/v1/replays/{unknown}");
        assert_eq!(gateway.send("GET", &path, &[SHOP], "").code(), "replay_not_found", "{unknown}");
        let cancel = gateway.send("POST", &format!("{path}:cancel"), &[SHOP], "");
        assert_eq!(cancel.code(), "replay_not_found", "{unknown}");
    }
}

#[test]
fn callers_replay_and_see_the_topics_of_their_grant_alone() {
    let gateway = with_events(5);
    let (both, _) = begin(&gateway, SHOP, r#"{"from":"latest"}"#);
    assert_eq!(gateway.send("GET", &both, &[CLERK], "").code(), "replay_not_found");
    assert_eq!(gateway.send("POST", &format!("{both}:cancel"), &[CLERK], "").code(), "replay_not_found");
    let foreign = ask(&gateway, CLERK, r#"{"from":"earliest","topics":["loose.v1"]}"#);
    assert_eq!(foreign.code(), "forbidden");
    let (own, begun) = begin(&gateway, CLERK, r#"{"from":"earliest"}"#);
    assert_eq!((&begun["topics"], &begun["by"]), (&json!(["orders.v1"]), &json!("service:clerk")));
    let seen = gateway.send("GET", BASE, &[CLERK], "").json();
    assert_eq!(seen["replays"], json!([begun]));
    assert_eq!(gateway.send("GET", &own, &[SHOP], "").json(), begun);
    for caller in [READER, STRANGER] {
        for body in [
            r#"{"from":"earliest"}"#,
            r#"{"from":"earliest","dryRun":true}"#,
            r#"{"from":"earliest","topics":["orders.v1"]}"#,
            r#"{"from":"earliest","topics":[]}"#,
        ] {
            assert_eq!(ask(&gateway, caller, body).code(), "forbidden");
        }
        for path in [BASE, &own, "/v1/replays/nothing"] {
            assert_eq!(gateway.send("GET", path, &[caller], "").code(), "forbidden", "{path}");
        }
        assert_eq!(gateway.send("POST", &format!("{own}:cancel"), &[caller], "").code(), "forbidden");
    }
    assert_eq!(gateway.send("POST", &format!("{own}:cancel"), &[CLERK], "").status, 200);
}

#[test]
fn verbs_and_methods_are_told_apart() {
    let gateway = start();
    for (method, path, allow) in [
        ("GET", "/v1/replays/inventory-sync.1:cancel", "POST"),
        ("POST", "/v1/replays/inventory-sync.1", "GET"),
        ("POST", "/v1/replays/inventory-sync.1:burn", "GET"),
    ] {
        let answer = gateway.send(method, path, &[SHOP], "");
        let told = (answer.code(), answer.header("allow").map(str::to_owned));
        assert_eq!(told, ("method_not_allowed".to_owned(), Some(allow.to_owned())), "{path}");
    }
}
