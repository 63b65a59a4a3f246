//! Pages, server-sent events, lines, cursors.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::client::{Client, request};
use crate::gateway::{Gateway, JSON, ORDER, READER, SHOP, STRANGER, envelope};

fn fill(gateway: &Gateway, count: usize) {
    for number in 0..count {
        let order = ORDER.replace("c-42", &format!("c-{}", 42 + number % 2));
        let body = envelope("").replace(ORDER, &order);
        let answer = gateway.post("", &[("weirgate-partition", "0")], &body);
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

fn page(gateway: &Gateway, query: &str) -> Value {
    let answer = gateway.send("GET", &format!("/v1/topics/orders.v1/events{query}"), &[SHOP], "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn offsets(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|event| event["offset"].as_u64().unwrap()).collect()
}

#[test]
fn pages_follow_one_another_by_cursor() {
    let gateway = Gateway::start();
    fill(&gateway, 5);
    let first = page(&gateway, "?limit=3");
    assert_eq!(offsets(&first), [0, 1, 2]);
    assert_eq!(first["atEnd"], false);
    let event = &first["events"][0];
    assert_eq!((&event["topic"], &event["key"]), (&json!("orders.v1"), &json!("c-42")));
    assert_eq!(event["event"]["data"]["customerId"], "c-42");
    assert_eq!(event.get("sub"), None);
    let second = page(&gateway, &format!("?limit=3&from={}", first["cursor"].as_str().unwrap()));
    assert_eq!(offsets(&second), [3, 4]);
    let third = page(&gateway, &format!("?from={}", second["cursor"].as_str().unwrap()));
    assert_eq!((offsets(&third), &third["atEnd"]), (vec![], &json!(true)));
}

#[test]
fn places_keys_and_filters_choose_events() {
    let gateway = Gateway::start();
    fill(&gateway, 4);
    assert_eq!(offsets(&page(&gateway, "?from=0:2,1:0")), [2, 3]);
    assert_eq!(offsets(&page(&gateway, "?from=latest")), [] as [u64; 0]);
    assert_eq!(offsets(&page(&gateway, "?from=2020-01-01T00:00:00Z")), [0, 1, 2, 3]);
    assert_eq!(offsets(&page(&gateway, "?key=c-43")), [1, 3]);
    let filter = "%7B%22pointer%22:%22/data/customerId%22,%22eq%22:%22c-42%22%7D";
    assert_eq!(offsets(&page(&gateway, &format!("?filter={filter}"))), [0, 2]);
    for query in [
        "?from=yesterday",
        "?from=0:x",
        "?limit=0",
        "?limit=1001",
        "?wait=61s",
        "?filter=%7B",
        "?form=latest",
    ] {
        let answer = gateway.send("GET", &format!("/v1/topics/orders.v1/events{query}"), &[SHOP], "");
        assert_eq!(answer.code(), "invalid_parameter", "{query}");
    }
}

#[test]
fn a_page_waits_for_its_first_event() {
    let gateway = Gateway::start();
    let cursor = page(&gateway, "?from=latest")["cursor"].as_str().unwrap().to_owned();
    let mut waiting = gateway.client();
    let path = format!("/v1/topics/orders.v1/events?wait=60s&from={cursor}");
    waiting.write(request("GET", &path, &[SHOP], b""));
    fill(&gateway, 1);
    let page = waiting.answer().json();
    assert_eq!(offsets(&page), [0]);
    let began = SystemTime::now();
    let path = format!("/v1/topics/orders.v1/events?wait=200ms&from={}", page["cursor"].as_str().unwrap());
    assert_eq!(waiting.send("GET", &path, &[SHOP], b"").json()["events"], json!([]));
    assert!(began.elapsed().unwrap() >= Duration::from_millis(200));
}

#[test]
fn rows_are_filtered_by_the_grant_everywhere() {
    let gateway = Gateway::start();
    fill(&gateway, 3);
    let path = "/v1/topics/orders.v1/events";
    assert_eq!(offsets(&gateway.send("GET", path, &[READER], "").json()), [0, 2]);
    assert_eq!(gateway.send("GET", &format!("{path}/0/0"), &[READER], "").status, 200);
    assert_eq!(gateway.send("GET", &format!("{path}/0/1"), &[READER], "").code(), "not_found");
    let mut stream = follow(&gateway, READER, "application/x-ndjson", "?from=earliest", &[]);
    let text = stream.chunks_until(|text| text.contains("\"offset\":2"));
    assert!(!text.contains("\"offset\":1"), "{text}");
}

#[test]
fn one_event_and_a_cursor_are_read() {
    let gateway = Gateway::start();
    fill(&gateway, 2);
    let one = gateway.send("GET", "/v1/topics/orders.v1/events/0/1", &[SHOP], "").json();
    assert_eq!((&one["offset"], &one["event"]["data"]["customerId"]), (&json!(1), &json!("c-43")));
    for (path, code) in [
        ("/v1/topics/orders.v1/events/0/9", "not_found"),
        ("/v1/topics/orders.v1/events/7/0", "not_found"),
        ("/v1/topics/orders.v1/events/0/x", "not_found"),
        ("/v1/topics/absent.v1/events/0/0", "topic_not_found"),
        ("/v1/topics/absent.v1/events", "topic_not_found"),
        ("/v1/topics/absent.v1/cursor", "topic_not_found"),
        ("/v1/topics/orders.v1/cursor?at=noon", "invalid_parameter"),
        ("/v1/topics/%ff/events", "bad_request"),
    ] {
        assert_eq!(gateway.send("GET", path, &[SHOP], "").code(), code, "{path}");
    }
    let cursor = gateway.send("GET", "/v1/topics/orders.v1/cursor", &[SHOP], "").json();
    fill(&gateway, 1);
    let after = page(&gateway, &format!("?from={}", cursor["cursor"].as_str().unwrap()));
    assert_eq!(offsets(&after), [2]);
    for path in ["/v1/topics/orders.v1/events", "/v1/topics/absent.v1/events", "/v1/topics/orders.v1/cursor"]
    {
        assert_eq!(gateway.send("GET", path, &[STRANGER], "").code(), "forbidden", "{path}");
    }
}

#[test]
fn one_event_is_read_byte_for_byte_and_a_page_in_one_line() {
    let gateway = Gateway::start();
    let order = ORDER.replace(',', " ,\r\n\t");
    let headers = [SHOP, JSON, ("weirgate-partition", "0"), ("weirgate-event-type", "orders.placed.v1")];
    let answer = gateway.send("POST", "/v1/topics/orders.v1/events", &headers, &order);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let stored = gateway.log.records("orders.v1")[0].value.clone().unwrap();
    let one = gateway.send("GET", "/v1/topics/orders.v1/events/0/0", &[SHOP], "");
    assert_eq!(one.header("content-type"), Some("application/json"));
    assert!(one.text().contains(&order));
    assert!(one.body.ends_with(&[b"\"event\":", &stored[..], b"}"].concat()));
    assert_eq!(one.json()["event"]["data"]["customerId"], "c-42");
    let page = gateway.send("GET", "/v1/topics/orders.v1/events", &[SHOP], "");
    assert!(!page.text().contains(['\r', '\n']));
}

fn follow(
    gateway: &Gateway,
    who: (&str, &str),
    accept: &str,
    query: &str,
    headers: &[(&str, &str)],
) -> Client {
    let mut client = gateway.client();
    let path = format!("/v1/topics/orders.v1/events{query}");
    client.write(request("GET", &path, &[&[who, ("accept", accept)], headers].concat(), b""));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains(accept) && head.contains("no-store"), "{head}");
    client
}

#[test]
fn server_sent_events_carry_cursors_and_resume() {
    let gateway = Gateway::start();
    let mut stream = follow(&gateway, SHOP, "text/event-stream", "", &[]);
    stream.chunks_until(|text| text.contains("\n\n"));
    fill(&gateway, 3);
    let text = stream.chunks_until(|text| text.matches("data: ").count() == 3);
    let events: Vec<&str> = text.split("\n\n").filter(|event| event.contains("data: ")).collect();
    let id = events[0].lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let data = events[0].lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(data).unwrap()["offset"], 0);
    drop(stream);
    let mut resumed = follow(&gateway, SHOP, "text/event-stream", "?from=latest", &[("last-event-id", id)]);
    let text = resumed.chunks_until(|text| text.matches("data: ").count() == 2);
    assert!(!text.contains("\"offset\":0") && text.contains("\"offset\":1"), "{text}");
}

#[test]
fn lines_carry_events_and_cursors() {
    let gateway = Gateway::start();
    fill(&gateway, 2);
    let mut stream = follow(&gateway, SHOP, "application/x-ndjson", "?from=earliest", &[]);
    let text = stream.chunks_until(|text| text.contains("\"offset\":1"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[0]["cursor"].is_string(), "{text}");
    assert_eq!(lines.iter().filter(|line| line["event"].is_object()).count(), 2);
}

#[test]
fn a_ticket_opens_a_stream_once() {
    let gateway = Gateway::start();
    let ticket = gateway.send("POST", "/v1/tickets", &[SHOP], "").json();
    let path = format!("/v1/topics/orders.v1/events?ticket={}", ticket["ticket"].as_str().unwrap());
    assert_eq!(gateway.send("GET", &path, &[SHOP], "").code(), "bad_request");
    assert_eq!(gateway.send("GET", &path, &[], "").status, 200);
    assert_eq!(gateway.send("GET", &path, &[], "").code(), "token_invalid");
    let elsewhere = gateway.send("GET", "/v1/whoami?ticket=x", &[SHOP], "");
    assert_eq!(elsewhere.code(), "invalid_parameter");
}

#[test]
fn readers_that_accept_nothing_we_have_are_told() {
    let gateway = Gateway::start();
    let headers = [SHOP, ("accept", "text/html")];
    let answer = gateway.send("GET", "/v1/topics/orders.v1/events", &headers, "");
    assert_eq!((answer.status, answer.code().as_str()), (406, "not_acceptable"));
}

#[test]
fn pages_of_allowed_origins_may_read() {
    let gateway = Gateway::start();
    let origin = ("origin", "https://app.example.com");
    let answer = gateway.send("GET", "/v1/topics/orders.v1/events", &[SHOP, origin], "");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("retry-after"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let refused = gateway.send("GET", "/v1/topics/orders.v1/events", &[origin], "");
    assert_eq!(
        (refused.status, refused.header("access-control-allow-origin")),
        (401, Some("https://app.example.com"))
    );
    let asked = [
        origin,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, weirgate-key"),
    ];
    let preflight = gateway.send("OPTIONS", "/v1/events", &asked, "");
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization, weirgate-key"));
    for foreign in ["https://example.com", "null", "https://app.example.com.evil.net"] {
        let headers = [SHOP, ("origin", foreign)];
        let answer = gateway.send("GET", "/v1/topics/orders.v1/events", &headers, "");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{foreign}");
    }
}
