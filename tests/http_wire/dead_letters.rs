//! Dead letters over the wire: lists, single letters, counts, notes, discards and redrives, and who may what.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use weirgate::event::Headers;
use weirgate::log::NewRecord;

use crate::client::Answer;
use crate::gateway::{CLERK, Gateway, JSON, READER, SHOP, STRANGER, envelope, until};

const BASE: &str = "/v1/groups/inventory-sync/dead-letters";

/// A gateway with the group `inventory-sync`, ready to tell of its letters.
pub(crate) fn start() -> Gateway {
    let gateway = Gateway::start();
    until("the gateway is ready", || gateway.send("GET", "/readyz", &[], "").status == 200);
    let group = r#"{"topics":["orders.v1"]}"#;
    assert_eq!(gateway.send("PUT", "/v1/groups/inventory-sync", &[SHOP, JSON], group).status, 201);
    gateway
}

pub(crate) fn letter(
    number: u64,
    source: &str,
    key: Option<&'static [u8]>,
    value: Option<String>,
) -> NewRecord {
    let (id, offset) = (format!("{number:032x}"), number.to_string());
    let headers = [
        ("ce_id", "7"),
        ("__dlq.errors.topic", source),
        ("__dlq.errors.partition", "0"),
        ("__dlq.errors.offset", &offset),
        ("weirgate-dlq-id", &id),
        ("weirgate-dlq-reason", "rejected"),
        ("weirgate-dlq-error", "no such sku"),
        ("weirgate-dlq-attempts", "2"),
        ("weirgate-dlq-first-failed-at", "2026-11-21T10:00:00.000Z"),
        ("weirgate-dlq-last-failed-at", "2026-11-21T10:00:01.000Z"),
        ("weirgate-dlq-redrives", "0"),
    ];
    let headers = headers.map(|(name, value)| (Arc::from(name), Some(Bytes::from(value.to_owned()))));
    NewRecord {
        key: key.map(Bytes::from_static),
        value: value.map(Bytes::from),
        headers: Headers::new(headers.into()),
        timestamp: None,
    }
}

/// Letters of `orders.v1`.
pub(crate) fn bury(gateway: &Gateway, count: u64) {
    let value = envelope(r#""eventId":"e-1","correlationId":"corr-1","#);
    let letters = (0..count).map(|number| letter(number, "orders.v1", Some(b"42"), Some(value.clone())));
    gateway.log.put_records("dlq.orders.v1.inventory-sync", letters.collect());
}

pub(crate) fn id(number: u64) -> String {
    format!("{number:032x}-0-{number}")
}

fn get(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.send("GET", path, &[SHOP], "");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn discard(gateway: &Gateway, caller: (&str, &str), id: &str) -> Answer {
    gateway.send("POST", &format!("{BASE}/{id}:discard"), &[caller], "")
}

fn redrive(gateway: &Gateway, caller: (&str, &str), id: &str) -> Answer {
    gateway.send("POST", &format!("{BASE}/{id}:redrive"), &[caller], "")
}

fn annotate(gateway: &Gateway, caller: (&str, &str), id: &str, body: &str) -> Answer {
    gateway.send("POST", &format!("{BASE}/{id}:annotate"), &[caller, JSON], body)
}

#[test]
fn a_list_is_narrowed_by_filters_and_goes_on_by_its_cursor() {
    let gateway = start();
    bury(&gateway, 5);
    let first = get(&gateway, &format!("{BASE}?limit=3&reason=rejected&key=42&correlationId=corr-1"));
    let letters = first["deadLetters"].as_array().unwrap();
    assert_eq!(letters.len(), 3);
    let expected = json!({
        "id": id(0), "group": "inventory-sync", "topic": "orders.v1", "partition": 0, "offset": 0, "key": "42",
        "state": "open", "reason": "rejected", "error": "no such sku", "attempts": 2,
        "firstFailedAt": "2026-11-21T10:00:00.000Z", "lastFailedAt": "2026-11-21T10:00:01.000Z", "redrives": 0,
        "headers": {"ce_id": "7"}, "notes": [],
    });
    assert_eq!(letters[0], expected);
    let cursor = first["cursor"].as_str().unwrap();
    let rest =
        get(&gateway, &format!("{BASE}?limit=3&reason=rejected&key=42&correlationId=corr-1&cursor={cursor}"));
    assert_eq!((rest["deadLetters"].as_array().unwrap().len(), rest.get("cursor")), (2, None));
    for query in [
        "topic=absent.v1",
        "reason=expired",
        "key=",
        "correlationId=corr",
        "state=discarded",
        "from=2026-11-21T10:00:01.001Z",
        "to=2026-11-21T11:00:01.000%2B01:00",
    ] {
        assert_eq!(get(&gateway, &format!("{BASE}?{query}"))["deadLetters"], json!([]), "{query}");
    }
    let types = get(&gateway, "/v1/event-types?limit=1")["cursor"].as_str().unwrap().to_owned();
    for query in [
        "reason=whatever",
        "reason=undecodable",
        "state=gone",
        "from=yesterday",
        "to=2026-11-21",
        "from=2026-11-21T10:00:00Z&to=2026-11-21T10:00:00Z",
        "limit=0",
        "limit=1001",
        "topic=%2F",
        "colour=red",
        "key=1&key=2",
        "cursor=",
        "cursor=e30",
        &format!("cursor={cursor}"),
        &format!("cursor={types}"),
    ] {
        let refused = gateway.send("GET", &format!("{BASE}?{query}"), &[SHOP], "");
        assert_eq!(refused.code(), "invalid_parameter", "{query}: {}", refused.text());
    }
}

#[test]
fn a_letters_event_is_for_who_may_see_payloads() {
    let gateway = start();
    bury(&gateway, 1);
    gateway.log.put_records(
        "dlq.orders.v1.inventory-sync",
        vec![
            letter(1, "orders.v1", Some(b"\xff"), Some("no JSON".to_owned())),
            letter(2, "orders.v1", None, None),
            letter(3, "orders.v1", None, Some("[1]".to_owned())),
        ],
    );
    let path = format!("{BASE}/{}", id(0));
    let whole = gateway.send("GET", &path, &[SHOP], "");
    assert_eq!(whole.header("cache-control"), Some("no-store"));
    let whole = whole.json();
    assert_eq!(whole["event"]["data"]["customerId"], "c-42");
    assert_eq!((&whole["id"], &whole["state"]), (&json!(id(0)), &json!("open")));
    let bare = gateway.send("GET", &path, &[CLERK], "");
    assert_eq!(bare.status, 200);
    assert!(!bare.text().contains("c-42") && bare.json().get("event").is_none(), "{}", bare.text());
    let binary = get(&gateway, &format!("{BASE}/{}", id(1)));
    assert_eq!((&binary["key"], &binary["keyBase64"]), (&Value::Null, &json!("/w==")));
    assert!(binary["eventBase64"].is_string() && binary["undecodable"].is_string(), "{binary}");
    assert_eq!(get(&gateway, &format!("{BASE}/{}", id(2)))["tombstone"], true);
    assert_eq!(get(&gateway, &format!("{BASE}/{}", id(3)))["data"], json!([1]));
}

#[test]
fn letters_are_annotated_and_discarded_once() {
    let gateway = start();
    bury(&gateway, 2);
    let noted = annotate(&gateway, SHOP, &id(0), r#"{"note":"the SKU\u001b[2J is gone"}"#);
    assert_eq!(noted.status, 200, "{}", noted.text());
    let noted = noted.json();
    assert_eq!((&noted["id"], &noted["state"]), (&json!(id(0)), &json!("open")));
    assert_eq!(noted["notes"][0]["by"], "service:shop");
    assert_eq!(noted["notes"][0]["text"], "the SKU\u{1b}[2J is gone");
    let first = discard(&gateway, SHOP, &id(0));
    assert_eq!(first.status, 200, "{}", first.text());
    let first = first.json();
    assert_eq!((&first["state"], &first["settledBy"]), (&json!("discarded"), &json!("service:shop")));
    assert_eq!(first["notes"], noted["notes"]);
    assert_eq!(discard(&gateway, SHOP, &id(0)).json(), first, "once more changes nothing");
    let list = get(&gateway, &format!("{BASE}?state=discarded"));
    assert_eq!(list["deadLetters"][0]["settledAt"], first["settledAt"]);
    assert_eq!(get(&gateway, &format!("{BASE}?state=open"))["deadLetters"][0]["id"], id(1));
    for body in [
        "{}",
        r#"{"note":7}"#,
        r#"{"note":""}"#,
        r#"{"note":" "}"#,
        r#"{"note":"a","note":"b"}"#,
        r#"{"note":"a","by":"b"}"#,
        &format!(r#"{{"note":"{}"}}"#, "x".repeat(10 << 10)),
    ] {
        assert_eq!(annotate(&gateway, SHOP, &id(0), body).code(), "invalid_parameter", "{body}");
    }
    assert_eq!(annotate(&gateway, SHOP, &id(0), "{").code(), "malformed_json");
    for number in 1..20 {
        let body = format!(r#"{{"note":"note {number}"}}"#);
        assert_eq!(annotate(&gateway, SHOP, &id(0), &body).status, 200);
    }
    assert_eq!(annotate(&gateway, SHOP, &id(0), r#"{"note":"more"}"#).code(), "conflict");
    let plain = gateway.send("POST", &format!("{BASE}/{}:annotate", id(0)), &[SHOP], "hello");
    assert_eq!(plain.code(), "unsupported_media_type");
}

#[test]
fn a_letter_is_redriven_when_its_state_allows_it() {
    let gateway = start();
    bury(&gateway, 2);
    let sent = redrive(&gateway, SHOP, &id(0));
    assert_eq!(sent.status, 200, "{}", sent.text());
    let sent = sent.json();
    assert_eq!((&sent["id"], &sent["state"]), (&json!(id(0)), &json!("redriven")));
    assert_eq!((&sent["settledBy"], &sent["notes"]), (&json!("service:shop"), &json!([])));
    let twice = redrive(&gateway, SHOP, &id(0));
    assert_eq!((twice.status, twice.code().as_str()), (409, "conflict"));
    assert_eq!(discard(&gateway, SHOP, &id(0)).code(), "conflict");
    assert_eq!(get(&gateway, &format!("{BASE}?state=redriven"))["deadLetters"][0]["id"], id(0));
    assert_eq!(discard(&gateway, SHOP, &id(1)).status, 200);
    assert_eq!(redrive(&gateway, SHOP, &id(1)).code(), "conflict");
    let foreign =
        gateway.send("POST", &format!("/v1/groups/absent/dead-letters/{}:redrive", id(0)), &[SHOP], "");
    assert_eq!(foreign.code(), "group_not_found");
    let query = gateway.send("POST", &format!("{BASE}/{}:redrive?force=true", id(1)), &[SHOP], "");
    assert_eq!(query.code(), "invalid_parameter");
}

#[test]
fn ids_that_are_forged_are_not_found() {
    let gateway = start();
    bury(&gateway, 2);
    let name = "0".repeat(32);
    for forged in [
        name.clone(),
        format!("{name}-0-1"),
        format!("{name}-0-2"),
        format!("{name}-1-0"),
        format!("{name}-4294967296-0"),
        format!("{name}-0-18446744073709551616"),
        format!("{name}-0-00"),
        "%2e%2e".to_owned(),
        "a%2Fb".to_owned(),
        "%00".to_owned(),
        "%C3%A4".to_owned(),
        "x".repeat(2_000),
    ] {
        let answer = gateway.send("GET", &format!("{BASE}/{forged}"), &[SHOP], "");
        assert_eq!(answer.code(), "dead_letter_not_found", "{forged}");
        assert_eq!(discard(&gateway, SHOP, &forged).code(), "dead_letter_not_found", "{forged}");
        assert_eq!(redrive(&gateway, SHOP, &forged).code(), "dead_letter_not_found", "{forged}");
        let noted = annotate(&gateway, SHOP, &forged, r#"{"note":"a"}"#);
        assert_eq!(noted.code(), "dead_letter_not_found", "{forged}");
    }
    let not_utf8 = gateway.send("GET", &format!("{BASE}/%ff"), &[SHOP], "");
    assert_eq!(not_utf8.code(), "bad_request");
    // What is a verb, and what is none.
    for (method, path, allow) in [
        ("POST", format!("{BASE}/{}", id(0)), "GET"),
        ("POST", format!("{BASE}/{}:burn", id(0)), "GET"),
        ("GET", format!("{BASE}/{}:discard", id(0)), "POST"),
        ("GET", format!("{BASE}/{}:annotate", id(0)), "POST"),
        ("GET", format!("{BASE}/{}:redrive", id(0)), "POST"),
    ] {
        let answer = gateway.send(method, &path, &[SHOP], "");
        assert_eq!(
            (answer.code().as_str(), answer.header("allow")),
            ("method_not_allowed", Some(allow)),
            "{path}"
        );
    }
    let absent = gateway.send("GET", &format!("/v1/groups/absent/dead-letters/{}", id(0)), &[SHOP], "");
    assert_eq!(absent.code(), "group_not_found");
}

#[test]
fn what_a_caller_may_not_see_is_not_told_apart_from_what_is_not_there() {
    let gateway = start();
    bury(&gateway, 1);
    gateway.log.put_records("dlq.loose.v1.inventory-sync", vec![letter(7, "loose.v1", None, None)]);
    gateway.log.put_records("dlq.orders.v1.secret", vec![letter(8, "orders.v1", None, None)]);
    let elsewhere = format!("{:032x}-0-0", 7);
    assert_eq!(get(&gateway, &format!("{BASE}/{elsewhere}"))["topic"], "loose.v1");
    let hidden = gateway.send("GET", &format!("{BASE}/{elsewhere}"), &[CLERK], "");
    assert_eq!(hidden.code(), "dead_letter_not_found");
    let list = gateway.send("GET", &format!("{BASE}?topic=orders.v1"), &[CLERK], "").json();
    assert_eq!(list["deadLetters"].as_array().unwrap().len(), 1);
    let counts = gateway.send("GET", "/v1/dead-letters", &[CLERK], "").json();
    let expected = json!([{
        "group": "inventory-sync", "topic": "orders.v1", "letters": 1, "examined": 1,
        "reasons": {"rejected": 1}, "states": {"open": 1},
    }]);
    assert_eq!(counts["deadLetters"], expected);
    assert_eq!(get(&gateway, "/v1/dead-letters")["deadLetters"].as_array().unwrap().len(), 3);
    assert_eq!(discard(&gateway, CLERK, &id(0)).code(), "forbidden");
    assert_eq!(redrive(&gateway, CLERK, &id(0)).code(), "forbidden");
    assert_eq!(annotate(&gateway, CLERK, &id(0), r#"{"note":"a"}"#).code(), "forbidden");
    for caller in [READER, STRANGER] {
        for path in [
            "/v1/dead-letters".to_owned(),
            BASE.to_owned(),
            format!("{BASE}/{}", id(0)),
            format!("{BASE}/nothing"),
            "/v1/groups/absent/dead-letters/nothing".to_owned(),
        ] {
            assert_eq!(gateway.send("GET", &path, &[caller], "").code(), "forbidden", "{path}");
        }
        assert_eq!(discard(&gateway, caller, &id(0)).code(), "forbidden");
        assert_eq!(discard(&gateway, caller, "nothing").code(), "forbidden");
        assert_eq!(redrive(&gateway, caller, &id(0)).code(), "forbidden");
        assert_eq!(redrive(&gateway, caller, "nothing").code(), "forbidden");
    }
    assert_eq!(get(&gateway, &format!("{BASE}/{}", id(0)))["state"], "open");
    let none = gateway.send("GET", "/v1/dead-letters?cursor=e30", &[SHOP], "");
    assert_eq!(none.code(), "invalid_parameter");
}
