//! Redrives over the wire: what is asked for and refused, plans, jobs that run and are cancelled, and who may what.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use weirgate::log::NewRecord;

use crate::client::Answer;
use crate::dead_letters::{id, letter, start};
use crate::gateway::{CLERK, Gateway, JSON, READER, SHOP, STRANGER, envelope, until};

const BASE: &str = "/v1/groups/inventory-sync/redrives";

/// Letters of partition 0 of a topic, which is where they lie.
fn bury(gateway: &Gateway, source: &str, numbers: std::ops::Range<u64>) {
    let value = envelope("");
    let letters = numbers.map(|number| {
        let letter = letter(number, source, Some(b"42"), Some(value.clone()));
        let headers = letter.headers.iter().map(|(name, value)| {
            let is_partition = &**name == "__dlq.errors.partition";
            (Arc::clone(name), if is_partition { Some(Bytes::from_static(b"0")) } else { value.cloned() })
        });
        NewRecord { headers: headers.collect(), ..letter }
    });
    gateway.log.put_records(&format!("dlq.{source}.inventory-sync"), letters.collect());
}

fn ask(gateway: &Gateway, caller: (&str, &str), body: &str) -> Answer {
    gateway.send("POST", BASE, &[caller, JSON], body)
}

/// Begins a redrive, and answers where it is told of.
fn begin(gateway: &Gateway, body: &str) -> String {
    let answer = ask(gateway, SHOP, body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(location, format!("/v1/redrives/{}", answer.json()["id"].as_str().unwrap()));
    location
}

fn get(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.send("GET", path, &[SHOP], "");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn until_done(gateway: &Gateway, location: &str) -> Value {
    until("the redrive has ended", || get(gateway, location)["state"] != "running");
    let told = get(gateway, location);
    assert_eq!(told["state"], "done", "{told}");
    told
}

#[test]
fn a_plan_counts_what_would_be_sent_and_sends_nothing() {
    let gateway = start();
    bury(&gateway, "orders.v1", 0..12);
    let discard = format!("/v1/groups/inventory-sync/dead-letters/{}:discard", id(3));
    assert_eq!(gateway.send("POST", &discard, &[SHOP], "").status, 200);
    let plan = ask(&gateway, SHOP, r#"{"filter":{"reason":"rejected"},"dryRun":true}"#);
    assert_eq!(plan.status, 200, "{}", plan.text());
    let plan = plan.json();
    let counts = (&plan["letters"], &plan["examined"], &plan["matched"], &plan["isExact"]);
    assert_eq!(counts, (&json!(12), &json!(12), &json!(11), &json!(true)));
    let sample = plan["sample"].as_array().unwrap();
    assert_eq!((sample.len(), &sample[0]["id"], &sample[3]["id"]), (10, &json!(id(0)), &json!(id(4))));
    assert!(sample[0].get("event").is_none(), "without payloads");
    let none = ask(&gateway, SHOP, r#"{"filter":{"key":"43"},"dryRun":true}"#).json();
    assert_eq!((&none["matched"], &none["sample"]), (&json!(0), &json!([])));
    let named = format!(r#"{{"ids":["{}","{}","{}"],"dryRun":true}}"#, id(7), id(2), id(3));
    let named = ask(&gateway, SHOP, &named).json();
    assert_eq!((&named["letters"], &named["matched"]), (&json!(3), &json!(2)), "one is discarded");
    assert_eq!(get(&gateway, BASE)["redrives"], json!([]), "nothing began");
    assert_eq!(
        get(&gateway, "/v1/groups/inventory-sync/dead-letters?state=open")["deadLetters"]
            .as_array()
            .unwrap()
            .len(),
        11
    );
}

#[test]
fn a_redrive_runs_to_its_end_and_is_told_of_afterwards() {
    let gateway = start();
    bury(&gateway, "orders.v1", 0..7);
    let named = format!(r#"{{"ids":["{}","{}"]}}"#, id(5), id(1));
    let first = begin(&gateway, &named);
    let told = until_done(&gateway, &first);
    let counts = |told: &Value| {
        ["letters", "examined", "matched", "moved", "failed", "skipped"]
            .map(|name| told[name].as_u64().unwrap())
    };
    assert_eq!(counts(&told), [2, 2, 2, 2, 0, 0]);
    assert_eq!(
        (&told["group"], &told["by"], &told["filter"]),
        (&json!("inventory-sync"), &json!("service:shop"), &Value::Null)
    );
    assert!(told["endedAt"].is_string() && told["ratePerSecond"].is_null(), "{told}");
    let second = begin(&gateway, r#"{"filter":{"topic":"orders.v1"},"ratePerSecond":1000}"#);
    let told = until_done(&gateway, &second);
    assert_eq!(counts(&told), [7, 7, 5, 5, 0, 0], "the first two have gone");
    assert_eq!((&told["filter"], &told["topics"]), (&json!({"topic": "orders.v1"}), &json!(["orders.v1"])));
    let again = format!(r#"{{"ids":["{}"]}}"#, id(1));
    let third = begin(&gateway, &again);
    assert_eq!(counts(&until_done(&gateway, &third)), [1, 1, 1, 0, 0, 1], "it has gone before");
    // The newest first, page by page.
    let page = get(&gateway, &format!("{BASE}?limit=2"));
    let ids = |page: &Value| -> Vec<String> {
        let all = page["redrives"].as_array().unwrap();
        all.iter().map(|one| format!("/v1/redrives/{}", one["id"].as_str().unwrap())).collect()
    };
    assert_eq!(ids(&page), [third, second]);
    let rest = get(&gateway, &format!("{BASE}?limit=2&cursor={}", page["cursor"].as_str().unwrap()));
    assert_eq!((ids(&rest), rest.get("cursor")), (vec![first], None));
}

#[test]
fn a_group_has_one_redrive_at_a_time_and_it_can_be_cancelled() {
    let gateway = start();
    bury(&gateway, "orders.v1", 0..500);
    let slow = begin(&gateway, r#"{"filter":{},"ratePerSecond":1}"#);
    let refused = ask(&gateway, SHOP, r#"{"filter":{}}"#);
    assert_eq!(refused.code(), "conflict");
    let running = slow.trim_start_matches("/v1/redrives/");
    assert!(refused.text().contains(running), "{}", refused.text());
    let cancel = |caller| gateway.send("POST", &format!("{slow}:cancel"), &[caller], "");
    assert_eq!(cancel(CLERK).code(), "forbidden");
    let told = cancel(SHOP);
    assert_eq!(told.status, 200, "{}", told.text());
    let told = told.json();
    assert_eq!((&told["state"], &told["cancelledBy"]), (&json!("cancelled"), &json!("service:shop")));
    assert_eq!(cancel(SHOP).json(), told, "once more changes nothing");
    let next = begin(&gateway, &format!(r#"{{"ids":["{}"]}}"#, id(499)));
    until_done(&gateway, &next);
    let late = gateway.send("POST", &format!("{next}:cancel"), &[SHOP], "");
    assert_eq!(late.code(), "conflict");
    assert_eq!(get(&gateway, &slow)["state"], "cancelled");
}

#[test]
fn what_makes_no_sense_is_refused_and_begins_nothing() {
    let gateway = start();
    bury(&gateway, "orders.v1", 0..2);
    for body in [
        "{}",
        "[]",
        r#"{"filter":{},"ids":["a"]}"#,
        r#"{"ids":[]}"#,
        r#"{"filter":{"colour":"red"}}"#,
        r#"{"filter":{"reason":"whatever"}}"#,
        r#"{"filter":{"state":"gone"}}"#,
        r#"{"filter":{"state":"resolved"}}"#,
        r#"{"filter":{"from":"yesterday"}}"#,
        r#"{"filter":{"from":"2026-11-21T10:00:00Z","to":"2026-11-21T10:00:00Z"}}"#,
        r#"{"filter":{"topic":"/"}}"#,
        r#"{"filter":{},"ratePerSecond":0}"#,
        r#"{"filter":{},"ratePerSecond":100001}"#,
        r#"{"filter":{},"ratePerSecond":-1}"#,
        r#"{"filter":{},"ratePerSecond":1.5}"#,
        r#"{"filter":{},"speed":1}"#,
        r#"{"filter":{},"dryRun":"yes"}"#,
    ] {
        for body in [body.to_owned(), body.replacen("{", r#"{"dryRun":true,"#, 1).replace(",}", "}")] {
            let refused = ask(&gateway, SHOP, &body);
            assert_eq!(refused.code(), "invalid_parameter", "{body}: {}", refused.text());
        }
    }
    let many: Vec<String> = (0..101).map(|_| format!("\"{}\"", id(1))).collect();
    let many = format!(r#"{{"ids":[{}]}}"#, many.join(","));
    assert_eq!(ask(&gateway, SHOP, &many).code(), "invalid_parameter");
    assert_eq!(ask(&gateway, SHOP, "{").code(), "malformed_json");
    for unknown in [id(2), format!("{:032x}-0-0", 1), "nothing".to_owned(), "a\\u0000b".to_owned()] {
        let refused = ask(&gateway, SHOP, &format!(r#"{{"ids":["{}","{unknown}"]}}"#, id(0)));
        assert_eq!(refused.code(), "dead_letter_not_found", "{unknown}");
    }
    let absent = gateway.send("POST", "/v1/groups/absent/redrives", &[SHOP, JSON], r#"{"filter":{}}"#);
    assert_eq!(absent.code(), "group_not_found");
    let plain = gateway.send("POST", BASE, &[SHOP], r#"{"filter":{}}"#);
    assert_eq!(plain.code(), "unsupported_media_type");
    for query in ["limit=0", "limit=101", "cursor=", "cursor=other.7", "colour=red"] {
        let refused = gateway.send("GET", &format!("{BASE}?{query}"), &[SHOP], "");
        assert_eq!(refused.code(), "invalid_parameter", "{query}");
    }
    assert_eq!(get(&gateway, BASE)["redrives"], json!([]));
    for unknown in ["inventory-sync.7", "inventory-sync", "1", "absent.1", "a%2Fb", "%00", &"x".repeat(2_000)]
    {
        let path = format!("/v1/redrives/{unknown}");
        assert_eq!(gateway.send("GET", &path, &[SHOP], "").code(), "redrive_not_found", "{unknown}");
        let cancel = gateway.send("POST", &format!("{path}:cancel"), &[SHOP], "");
        assert_eq!(cancel.code(), "redrive_not_found", "{unknown}");
    }
}

#[test]
fn callers_touch_and_see_the_redrives_of_their_topics_alone() {
    let gateway = start();
    bury(&gateway, "orders.v1", 0..1);
    bury(&gateway, "loose.v1", 7..8);
    let both = begin(&gateway, r#"{"filter":{}}"#);
    assert_eq!(until_done(&gateway, &both)["topics"], json!(["loose.v1", "orders.v1"]));
    let own = begin(&gateway, r#"{"filter":{"topic":"orders.v1"}}"#);
    until_done(&gateway, &own);
    let seen = gateway.send("GET", BASE, &[CLERK], "").json();
    let seen: Vec<&str> =
        seen["redrives"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(seen, [own.trim_start_matches("/v1/redrives/")]);
    assert_eq!(gateway.send("GET", &own, &[CLERK], "").status, 200);
    assert_eq!(gateway.send("GET", &both, &[CLERK], "").code(), "redrive_not_found");
    assert_eq!(ask(&gateway, CLERK, r#"{"filter":{"topic":"orders.v1"}}"#).code(), "forbidden");
    for caller in [READER, STRANGER] {
        for body in
            [r#"{"filter":{}}"#, r#"{"filter":{},"dryRun":true}"#, r#"{"filter":{"topic":"orders.v1"}}"#]
        {
            assert_eq!(ask(&gateway, caller, body).code(), "forbidden");
        }
        for path in [BASE.to_owned(), own.clone(), "/v1/redrives/nothing".to_owned()] {
            assert_eq!(gateway.send("GET", &path, &[caller], "").code(), "forbidden", "{path}");
        }
        assert_eq!(gateway.send("POST", &format!("{own}:cancel"), &[caller], "").code(), "forbidden");
    }
}

#[test]
fn verbs_and_methods_are_told_apart() {
    let gateway = start();
    for (method, path, allow) in [
        ("GET", "/v1/redrives/inventory-sync.1:cancel", "POST"),
        ("POST", "/v1/redrives/inventory-sync.1", "GET"),
        ("POST", "/v1/redrives/inventory-sync.1:burn", "GET"),
    ] {
        let answer = gateway.send(method, path, &[SHOP], "");
        let told = (answer.code(), answer.header("allow").map(str::to_owned));
        assert_eq!(told, ("method_not_allowed".to_owned(), Some(allow.to_owned())), "{path}");
    }
}
