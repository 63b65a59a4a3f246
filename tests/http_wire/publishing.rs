//! Every form, option and refusal of the publish routes.

use serde_json::{Value, json};

use crate::client::{Answer, request};
use crate::gateway::{Gateway, JSON, ORDER, READER, SHOP, SLOW, STRANGER, envelope, until};
use crate::log::Mood;

const ID: &str = "0193b5a0-1111-7222-8333-444455556666";

#[test]
fn one_event_is_stored_and_answered_with_its_place() {
    let gateway = Gateway::start();
    let body = envelope(&format!(r#""eventId":"{ID}","#));
    let answer = gateway.post("", &[("x-correlation-id", "c-1")], &body);
    assert_eq!((answer.status, answer.header("x-correlation-id")), (201, Some("c-1")));
    let receipt = answer.json();
    assert_eq!((&receipt["status"], &receipt["eventId"]), (&json!("accepted"), &json!(ID)));
    assert_eq!((&receipt["topic"], &receipt["offset"]), (&json!("orders.v1"), &json!(0)));
    let records = gateway.log.records("orders.v1");
    let stored: Value = serde_json::from_slice(records[0].value.as_ref().unwrap()).unwrap();
    assert_eq!(stored["correlationId"], "c-1");
    assert_eq!(stored["source"], "shop");
    assert_eq!(records[0].key.as_deref(), Some(&b"c-42"[..]));
}

#[test]
fn the_same_event_again_is_a_duplicate_and_another_under_its_id_a_conflict() {
    let gateway = Gateway::start();
    let body = envelope(&format!(r#""eventId":"{ID}","timestamp":"2026-11-21T10:00:00Z","#));
    let first = gateway.post("", &[], &body);
    let second = gateway.post("", &[], &body);
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!((&second.json()["status"], &second.json()["offset"]), (&json!("duplicate"), &json!(0)));
    let other = body.replace("1999", "2999");
    assert_eq!(gateway.post("", &[], &other).code(), "event_id_conflict");
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
}

#[test]
fn refusals_name_what_is_wrong_and_store_nothing() {
    let gateway = Gateway::start();
    let deep = format!(r#"{{"eventType":"things.noted.v1","data":{}{}}}"#, "[".repeat(70), "]".repeat(70));
    let large = format!(r#"{{"eventType":"things.noted.v1","data":"{}"}}"#, "a".repeat(70_000));
    for (body, status, code) in [
        ("{", 400, "malformed_json"),
        ("", 400, "malformed_json"),
        ("{}x", 400, "malformed_json"),
        (r#"{"eventType":"a.b.v1","eventType":"a.b.v1","data":{}}"#, 400, "duplicate_member"),
        (deep.as_str(), 400, "too_deep"),
        (r#"{"data":{}}"#, 400, "invalid_envelope"),
        ("[]", 400, "invalid_envelope"),
        (r#"{"eventType":"no.such.v1","data":{}}"#, 404, "topic_not_found"),
        (&envelope(r#""source":"elsewhere","#), 422, "source_not_allowed"),
        (&envelope("").replace("1999,\"items", "-7,\"items"), 422, "schema_violation"),
        (r#"{"eventType":"orders.lost.v1","data":{}}"#, 422, "schema_missing"),
        (&envelope(r#""eventVersion":"2.0.0","#), 422, "version_mismatch"),
        (large.as_str(), 413, "event_too_large"),
    ] {
        let answer = gateway.post("", &[], body);
        let shown = &body[..body.len().min(80)];
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{shown}: {}", answer.text());
    }
    let violation = gateway.post("", &[], &envelope("").replace("1999,\"items", "-7,\"items")).json();
    assert_eq!(violation["errors"][0]["pointer"], "/data/totalAmount");
    // The request's id may hold any digits.
    let told = format!("{}{}", violation["detail"], violation["errors"]);
    assert!(!told.contains("-7"), "{violation}");
    assert!(gateway.log.records("orders.v1").is_empty() && gateway.log.records("loose.v1").is_empty());
}

#[test]
fn callers_without_a_right_are_refused_alike() {
    let gateway = Gateway::start();
    let body = envelope("");
    for (headers, status, code) in [
        (&[JSON][..], 401, "unauthenticated"),
        (&[JSON, ("x-api-key", "wg_shop_wrong")], 401, "unauthenticated"),
        (&[JSON, ("authorization", "Bearer no.jwt.here")], 401, "token_invalid"),
        (&[JSON, ("authorization", "Basic dTpw")], 401, "unauthenticated"),
        (&[JSON, SHOP, READER], 400, "bad_request"),
        (&[JSON, STRANGER], 403, "forbidden"),
        (&[JSON, READER], 403, "forbidden"),
    ] {
        let answer = gateway.send("POST", "/v1/events", headers, &body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{headers:?}");
        assert_eq!(answer.headers("www-authenticate"), if status == 401 { 2 } else { 0 });
    }
    let absent = gateway.send("POST", "/v1/topics/absent.v1/events", &[JSON, STRANGER], "{}");
    let present = gateway.send("POST", "/v1/topics/orders.v1/events", &[JSON, STRANGER], ORDER);
    assert_eq!((absent.code(), present.code()), ("forbidden".to_owned(), "forbidden".to_owned()));
    assert_eq!(absent.json()["detail"], present.json()["detail"]);
    assert!(gateway.log.records("orders.v1").is_empty());
}

#[test]
fn a_used_up_quota_says_when_to_come_back() {
    let gateway = Gateway::start();
    let body = envelope("");
    let send = || gateway.send("POST", "/v1/events", &[JSON, SLOW], &body);
    assert_eq!(send().status, 201);
    let limited = send();
    assert_eq!(limited.code(), "rate_limited");
    assert!(limited.header("retry-after").is_some_and(|text| text.parse::<u64>().unwrap() >= 1));
    assert!(limited.header("ratelimit").is_some_and(|text| text.starts_with("\"events\";r=0")));
    assert!(limited.header("ratelimit-policy").is_some_and(|text| text.starts_with("\"events\";q=1;w=1")));
}

#[test]
fn batches_are_judged_whole_or_item_by_item() {
    let gateway = Gateway::start();
    let good = envelope("");
    let bad = r#"{"eventType":"no.such.v1","data":{}}"#;
    let batch = format!("[{good},{bad},{good}]");
    let refused = gateway.post("", &[], &batch);
    assert_eq!(refused.code(), "batch_refused");
    assert_eq!(refused.json()["items"][1]["problem"]["code"], "topic_not_found");
    assert!(gateway.log.records("orders.v1").is_empty());
    let judged = gateway.post("?validation=each", &[], &batch);
    assert_eq!(judged.status, 207);
    let items = judged.json()["items"].clone();
    assert_eq!((&items[0]["status"], &items[0]["index"]), (&json!("accepted"), &json!(0)));
    assert_eq!(
        (&items[1]["status"], &items[1]["problem"]["code"]),
        (&json!("failed"), &json!("topic_not_found"))
    );
    assert_eq!(items[2]["status"], "accepted");
    assert_eq!(gateway.log.records("orders.v1").len(), 2);
    let all = gateway.post("", &[], &format!("[{good}]"));
    assert_eq!((all.status, &all.json()["items"][0]["status"]), (207, &json!("accepted")));
    let many = format!("[{}]", ["1"; 11].join(","));
    assert_eq!(gateway.post("", &[], &many).code(), "body_too_large");
    let keyed = gateway.post("", &[("weirgate-key", "k")], &format!("[{good}]"));
    assert_eq!(keyed.code(), "invalid_parameter");
}

#[test]
fn an_atomic_batch_is_stored_whole_or_not_at_all() {
    let gateway = Gateway::start();
    let send = |headers: &[(&str, &str)], batch: &str| gateway.post("?atomic=true", headers, batch);
    let (good, bad) = (envelope(""), r#"{"eventType":"no.such.v1","data":{}}"#);
    let noted =
        r#"{"eventId":"550e8400-e29b-41d4-a716-446655440007","eventType":"things.noted.v1","data":1}"#;

    let refused = send(&[], &format!("[{good},{bad}]"));
    assert_eq!(refused.code(), "batch_refused");
    let items = &refused.json()["items"];
    assert_eq!((&items[0]["status"], &items[1]["status"]), (&json!("aborted"), &json!("failed")));
    assert_eq!(items[1]["problem"]["code"], "topic_not_found");

    let batch = format!("[{good},{noted},{noted}]");
    for (mood, status, code) in [
        (Mood::Unavailable, 503, "log_unavailable"),
        (Mood::Overloaded, 503, "overloaded"),
        (Mood::Simple, 501, "not_supported"),
    ] {
        gateway.log.set_mood(mood);
        let answer = send(&[], &batch);
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert!(answer.json().get("items").is_none(), "one answer stands for all");
    }
    assert!(gateway.log.records("orders.v1").is_empty() && gateway.log.records("loose.v1").is_empty());

    gateway.log.set_mood(Mood::Good);
    let key = [("idempotency-key", "atomic-1")];
    let stored = send(&key, &batch);
    assert_eq!(stored.status, 207);
    let statuses = |answer: &Answer| {
        let items = answer.json()["items"].as_array().unwrap().clone();
        items.iter().map(|item| item["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&stored), ["accepted", "accepted", "duplicate"]);
    let items = stored.json()["items"].clone();
    assert_eq!((&items[1]["offset"], &items[2]["offset"]), (&json!(0), &json!(0)));
    let replayed = send(&key, &batch);
    assert_eq!((replayed.header("idempotency-replayed"), replayed.json()), (Some("true"), stored.json()));
    let mixed = send(&[], &format!("[{noted},{good}]"));
    assert_eq!(statuses(&mixed), ["duplicate", "accepted"]);
    assert_eq!(gateway.log.records("orders.v1").len(), 2);
    assert_eq!(gateway.log.records("loose.v1").len(), 1);

    gateway.log.set_mood(Mood::Silent);
    let unknown = send(&[], &format!("[{good}]"));
    assert_eq!((unknown.status, unknown.code().as_str()), (504, "outcome_unknown"));
}

#[test]
fn one_event_is_atomic_by_itself_and_a_stream_cannot_be() {
    let gateway = Gateway::start();
    assert_eq!(gateway.post("?atomic=true", &[], &envelope("")).status, 201);
    let lines = [SHOP, ("content-type", "application/x-ndjson")];
    let stream = gateway.send("POST", "/v1/events?atomic=true", &lines, &envelope(""));
    assert_eq!((stream.status, stream.code().as_str()), (400, "invalid_parameter"));
    assert!(stream.json()["detail"].as_str().unwrap().contains("batch"), "it says what to do");
}

#[test]
fn options_do_what_they_say() {
    let gateway = Gateway::start();
    let body = envelope("");
    let dry = gateway.post("?dryRun=true", &[], &body);
    assert_eq!((dry.status, &dry.json()["status"]), (200, &json!("checked")));
    assert_eq!((&dry.json()["topic"], &dry.json()["key"]), (&json!("orders.v1"), &json!("c-42")));
    assert!(gateway.log.records("orders.v1").is_empty());
    let queued = gateway.post("?ack=none", &[], &body);
    assert_eq!((queued.status, &queued.json()["status"]), (202, &json!("queued")));
    let placed = gateway.post("", &[("weirgate-key", ""), ("weirgate-partition", "1")], &body);
    assert_eq!((placed.status, &placed.json()["partition"]), (201, &json!(1)));
    assert_eq!(gateway.post("", &[("weirgate-partition", "2")], &body).code(), "invalid_parameter");
    let queries = ["?dryrun=true", "?ack=all", "?validation=some", "?ack=none&atomic=true", "?x"];
    for query in queries.into_iter().chain(["?validation=each&atomic=true"]) {
        assert_eq!(gateway.post(query, &[], &body).code(), "invalid_parameter", "{query}");
    }
    assert_eq!(gateway.post("?token=abc", &[], &body).code(), "bad_request");
    assert_eq!(gateway.post("", &[("x-correlation-id", "")], &body).code(), "invalid_parameter");
    let keyless = r#"{"eventType":"orders.placed.v1","data":{"customerId":["c"]}}"#;
    let refused = gateway.post("", &[], keyless).code();
    assert!(["invalid_key", "schema_violation"].contains(&refused.as_str()), "{refused}");
}

#[test]
fn headers_reach_the_record() {
    let gateway = Gateway::start();
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [("traceparent", traceparent), ("Weirgate-Header-Region", "eu")];
    assert_eq!(gateway.post("", &headers, &envelope("")).status, 201);
    let record = gateway.log.records("orders.v1").remove(0);
    assert_eq!(record.headers.last_text("traceparent"), Some(traceparent));
    assert_eq!(record.headers.last_text("region"), Some("eu"));
}

#[test]
fn a_repeated_request_gets_its_first_answer() {
    let gateway = Gateway::start();
    let body = envelope("");
    let key = [("idempotency-key", "\"k-1\"")];
    let first = gateway.post("", &key, &body);
    let second = gateway.post("", &[("idempotency-key", "k-1")], &body);
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.body, second.body);
    assert_eq!(gateway.post("", &key, &envelope(r#""source":"shop","#)).code(), "idempotency_key_reused");
    assert_eq!(gateway.post("?ack=none", &key, &body).code(), "invalid_parameter");
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
    let refused = gateway.post("", &[("idempotency-key", "k-2")], "{");
    let again = gateway.post("", &[("idempotency-key", "k-2")], "{");
    assert_eq!((refused.status, again.header("idempotency-replayed")), (400, Some("true")));
    assert_eq!(refused.body, again.body);
}

#[test]
fn a_request_whose_first_still_runs_is_told_to_wait() {
    let gateway = Gateway::start();
    gateway.log.set_mood(Mood::Slow);
    let headers = [SHOP, JSON, ("idempotency-key", "k-1")];
    let body = envelope("");
    let mut first = gateway.client();
    first.write(request("POST", "/v1/events", &headers, body.as_bytes()));
    until("the append to be held", || gateway.log.held() == 1);
    let second = gateway.send("POST", "/v1/events", &headers, &body);
    assert_eq!(second.code(), "idempotency_in_progress");
    assert!(second.header("retry-after").is_some());
    gateway.log.set_mood(Mood::Good);
    assert_eq!(first.answer().status, 201);
}

#[test]
fn failures_of_the_log_say_whether_the_event_is_stored() {
    let gateway = Gateway::start();
    for (mood, status, code) in [
        (Mood::Overloaded, 503, "overloaded"),
        (Mood::Unavailable, 503, "log_unavailable"),
        (Mood::Silent, 504, "outcome_unknown"),
    ] {
        gateway.log.set_mood(mood);
        let answer = gateway.post("", &[], &envelope(""));
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert_eq!(answer.json()["retryable"], true);
        assert!(answer.header("retry-after").is_some());
    }
}

#[test]
fn cloud_events_come_in_three_forms() {
    let gateway = Gateway::start();
    let event = |id: &str| {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"shop","type":"orders.placed.v1","data":{ORDER}}}"#
        )
    };
    let structured = [SHOP, ("content-type", "application/cloudevents+json")];
    assert_eq!(gateway.send("POST", "/v1/events", &structured, &event("a-1")).status, 201);
    let batch = [SHOP, ("content-type", "application/cloudevents-batch+json")];
    let both = format!("[{},{}]", event("a-2"), event("a-3"));
    assert_eq!(gateway.send("POST", "/v1/events", &batch, &both).status, 207);
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-id", "a%204"),
        ("ce-source", "shop"),
        ("ce-type", "orders.placed.v1"),
    ];
    let binary = [&[SHOP, ("content-type", "application/vnd.shop+json")], &attributes[..]].concat();
    let answer = gateway.send("POST", "/v1/events", &binary, ORDER);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let last = gateway.log.records("orders.v1").pop().unwrap();
    assert_eq!(last.headers.last_text("ce_id"), Some("a 4"));
    let no_version = gateway.send("POST", "/v1/events", &[SHOP, JSON, ("ce-id", "a-5")], ORDER);
    assert_eq!(no_version.code(), "invalid_cloudevent");
    let text = [&[SHOP, ("content-type", "text/plain")], &attributes[..]].concat();
    assert_eq!(gateway.send("POST", "/v1/events", &text, "hello").code(), "unsupported_media_type");
    let unknown = gateway.send("POST", "/v1/events", &structured, r#"{"specversion":"0.3"}"#);
    assert_eq!(unknown.code(), "invalid_cloudevent");
}

#[test]
fn raw_data_is_posted_to_its_topic() {
    let gateway = Gateway::start();
    let path = "/v1/topics/orders.v1/events";
    let members =
        [("weirgate-event-type", "orders.placed.v1"), ("weirgate-event-id", ID), ("weirgate-source", "shop")];
    let answer = gateway.send("POST", path, &[&[SHOP, JSON], &members[..]].concat(), ORDER);
    assert_eq!((answer.status, &answer.json()["eventId"]), (201, &json!(ID)), "{}", answer.text());
    let untyped = gateway.send("POST", path, &[SHOP, JSON], ORDER);
    assert_eq!(untyped.code(), "schema_missing", "the topic has two types: {}", untyped.text());
    assert!(untyped.json()["detail"].as_str().unwrap().contains("Weirgate-Event-Type"), "{}", untyped.text());
    let array = gateway.send("POST", "/v1/topics/loose.v1/events", &[SHOP, JSON], "[1,2]");
    assert_eq!(array.status, 201, "{}", array.text());
    let stored: Value =
        serde_json::from_slice(gateway.log.records("loose.v1")[0].value.as_ref().unwrap()).unwrap();
    assert_eq!(stored["data"], json!([1, 2]));
    let attribute = gateway.send("POST", path, &[SHOP, JSON, ("ce-id", "1")], ORDER);
    assert_eq!(attribute.code(), "invalid_parameter");
    assert_eq!(
        gateway.send("POST", "/v1/topics/absent.v1/events", &[SHOP, JSON], "{}").code(),
        "topic_not_found"
    );
    assert_eq!(
        gateway.send("POST", "/v1/topics/a%20b/events", &[SHOP, JSON], "{}").code(),
        "topic_not_found"
    );
    let member = gateway.post("", &members, &envelope(""));
    assert_eq!(member.code(), "invalid_parameter");
}

#[test]
fn a_stream_of_lines_is_answered_line_by_line() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let headers = [SHOP, ("content-type", "application/x-ndjson"), ("transfer-encoding", "chunked")];
    client.write(request("POST", "/v1/events", &headers, b""));
    let mut line = |text: &str| {
        let text = format!("{text}\n");
        client.write(format!("{:x}\r\n{text}\r\n", text.len()));
        if text.len() == 1 {
            return Value::Null;
        }
        if text.contains("first") {
            assert!(client.head().starts_with("HTTP/1.1 200 "));
        }
        serde_json::from_slice(&client.chunk().unwrap()).unwrap()
    };
    let first: Value = line(&envelope(r#""correlationId":"first","#));
    assert_eq!(
        (&first["index"], &first["status"], &first["offset"]),
        (&json!(0), &json!("accepted"), &json!(0))
    );
    assert_eq!(line(""), Value::Null);
    let second = line("{");
    assert_eq!((&second["index"], &second["status"]), (&json!(1), &json!("failed")));
    assert_eq!(second["problem"]["code"], "malformed_json");
    let third = line(&envelope(""));
    assert_eq!((&third["index"], &third["status"]), (&json!(2), &json!("accepted")));
    client.write("0\r\n\r\n");
    assert_eq!(client.chunk(), None);
    assert_eq!(client.send("GET", "/livez", &[], b"").status, 200);
}

/// The items of a stream's lines.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_refused_line_aborts_the_later_lines_of_its_key() {
    let gateway = Gateway::start();
    let (good, other) = (envelope(""), envelope("").replace("c-42", "c-43"));
    let refused = envelope(r#""source":"elsewhere","#);
    let body = [&good, &refused, &other, &good, r#"{"eventType":"things.noted.v1","data":{}}"#].join("\n");
    let answer = gateway.send("POST", "/v1/events", &[SHOP, ("content-type", "application/x-ndjson")], &body);
    let items = lines(answer.text());
    let statuses: Vec<&str> = items.iter().map(|item| item["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["accepted", "failed", "accepted", "aborted", "accepted"]);
    assert_eq!(items[3].get("problem"), None);
    assert_eq!(gateway.log.records("orders.v1").len(), 2);
    let again = gateway.send("POST", "/v1/events", &[SHOP, ("content-type", "application/x-ndjson")], &good);
    assert_eq!(lines(again.text())[0]["status"], "accepted", "another stream begins anew");
}

#[test]
fn a_stream_with_too_many_keys_refused_ends_and_says_so() {
    const KEYS: usize = 10_000;
    const AT_ONCE: usize = 500;
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let headers = [SHOP, ("content-type", "application/x-ndjson"), ("transfer-encoding", "chunked")];
    client.write(request("POST", "/v1/events", &headers, b""));
    let refused = |number: usize| {
        format!(
            r#"{{"eventType":"orders.placed.v1","source":"x","data":{{"customerId":"c-{number}"}}}}{}"#,
            "\n"
        )
    };
    let mut text = String::new();
    for first in (0..KEYS).step_by(AT_ONCE) {
        let part: String = (first..first + AT_ONCE).map(refused).collect();
        client.write(format!("{:x}\r\n{part}\r\n", part.len()));
        if first == 0 {
            assert!(client.head().starts_with("HTTP/1.1 200 "));
        }
        text = client.chunks_until(|text| text.matches('\n').count() >= AT_ONCE);
    }
    while let Some(chunk) = client.chunk() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let last = lines(&text).pop().unwrap();
    assert_eq!(
        (&last["problem"]["code"], &last["problem"]["retryable"]),
        (&json!("overloaded"), &json!(true))
    );
    assert!(last["problem"]["detail"].as_str().unwrap().contains("begin a new stream"), "{last}");
}

#[test]
fn streams_take_no_options_of_single_events() {
    let gateway = Gateway::start();
    for header in
        [("idempotency-key", "k"), ("weirgate-key", "k"), ("weirgate-partition", "0"), ("ce-id", "1")]
    {
        let headers = [SHOP, ("content-type", "application/x-ndjson"), header];
        assert_eq!(
            gateway.send("POST", "/v1/events", &headers, "{}\n").code(),
            "invalid_parameter",
            "{header:?}"
        );
    }
}
