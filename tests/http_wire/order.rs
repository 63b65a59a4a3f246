//! The order of checks, as the API's description states it: a request with many mistakes is told the first.

use crate::gateway::{Gateway, JSON, ORDER, READER, SHOP, SLOW, STRANGER, envelope};

/// What no request may say; judged with the other parameters.
const BAD_CORRELATION: (&str, &str) = ("x-correlation-id", "");

const TEXT: (&str, &str) = ("content-type", "text/plain");

#[test]
fn of_many_mistakes_the_first_in_the_order_is_told() {
    let gateway = Gateway::start();
    let huge = "a".repeat(33_000);
    let long = format!("/v1/nothing?{}", "a".repeat(9_000));
    let large = "{".repeat(300 << 10);
    let (events, absent) = ("/v1/events", "/v1/topics/absent.v1/events");
    let of_nothing = r#"{"eventType":"no.such.v1","source":"elsewhere","eventVersion":"7","data":1}"#;
    let of_another =
        envelope(r#""source":"elsewhere","eventVersion":"7.0.0","#).replace("1999,\"items", "-7,\"items");
    let of_a_version = envelope(r#""eventVersion":"7.0.0","#).replace("1999,\"items", "-7,\"items");
    let encoded = r#"{"specversion":"1.0","id":"1","source":"x","type":"no.such.v1","data_base64":"AA=="}"#;
    let cloud_event = ("content-type", "application/cloudevents+json");
    for (method, path, headers, body, code) in [
        ("PATCH", long.as_str(), &[("x", huge.as_str()), SHOP, READER][..], "{", "uri_too_long"),
        ("PATCH", "/v1/nothing", &[("x", &huge), SHOP, READER], "{", "headers_too_large"),
        ("PATCH", "/v1/nothing", &[SHOP, READER, TEXT, BAD_CORRELATION], "{", "bad_request"),
        ("PATCH", "/v1/nothing", &[TEXT, BAD_CORRELATION], "{", "unauthenticated"),
        ("PATCH", "/v1/nothing", &[STRANGER, TEXT, BAD_CORRELATION], "{", "not_found"),
        ("PATCH", events, &[STRANGER, TEXT, BAD_CORRELATION], "{", "method_not_allowed"),
        ("POST", events, &[STRANGER, TEXT, BAD_CORRELATION], "{", "unsupported_media_type"),
        ("POST", events, &[STRANGER, JSON, BAD_CORRELATION], &large, "body_too_large"),
        ("POST", "/v1/events?x=1", &[STRANGER, JSON], of_nothing, "invalid_parameter"),
        ("POST", events, &[STRANGER, JSON, BAD_CORRELATION], of_nothing, "invalid_parameter"),
        ("POST", events, &[STRANGER, cloud_event], encoded, "unsupported_media_type"),
        ("POST", events, &[STRANGER, JSON], "{", "malformed_json"),
        ("POST", events, &[STRANGER, JSON], of_nothing, "forbidden"),
        ("POST", events, &[STRANGER, JSON], &of_another, "forbidden"),
        ("POST", absent, &[STRANGER, JSON], "1", "forbidden"),
        ("POST", events, &[SHOP, JSON], of_nothing, "topic_not_found"),
        ("POST", absent, &[SHOP, JSON, ("weirgate-source", "elsewhere")], "1", "topic_not_found"),
        ("POST", events, &[SHOP, JSON], &of_another, "source_not_allowed"),
        ("POST", events, &[SHOP, JSON], &of_a_version, "version_mismatch"),
        ("POST", events, &[SHOP, JSON], &of_a_version.replace("7.0.0", "1"), "schema_violation"),
    ] {
        let mut client = gateway.client();
        client.try_write(&crate::client::request(method, path, headers, body.as_bytes()));
        assert_eq!(client.answer().code(), code, "{method} {:.40} {:.80}", path, body);
    }
}

#[test]
fn the_quota_comes_last() {
    let gateway = Gateway::start();
    let send = |body: &str| gateway.send("POST", "/v1/events", &[SLOW, JSON], body);
    let wrong = envelope("").replace("1999,\"items", "-7,\"items");
    assert_eq!(send(&envelope("")).status, 201);
    assert_eq!(send(&wrong).code(), "schema_violation");
    assert_eq!(send(&envelope("")).code(), "rate_limited");
}

#[test]
fn public_routes_and_preflights_ask_nothing_of_other_headers() {
    let gateway = Gateway::start();
    let headers = [BAD_CORRELATION, SHOP, READER];
    for path in ["/livez", "/readyz", "/problems/forbidden"] {
        assert_eq!(gateway.send("GET", path, &headers, "").status, 200, "{path}");
    }
    assert_eq!(gateway.send("OPTIONS", "/v1/events", &headers, "").status, 204);
    let page = gateway.send("GET", "/v1/topics/orders.v1/events?limit=x", &[STRANGER, BAD_CORRELATION], "");
    assert_eq!(page.code(), "invalid_parameter");
    let read = gateway.send("GET", "/v1/topics/orders.v1/events", &[SHOP, BAD_CORRELATION], "");
    assert_eq!(read.code(), "invalid_parameter");
}

#[test]
fn a_version_that_disagrees_is_told_for_each_item_of_a_batch() {
    let gateway = Gateway::start();
    let good = envelope("");
    let wrong = good.replacen('{', r#"{"eventVersion":"2.0.0","#, 1);
    let answer = gateway.post("?validation=each", &[], &format!("[{wrong},{good}]"));
    let items = answer.json()["items"].clone();
    assert_eq!(items[0]["problem"]["code"], "version_mismatch");
    // The order's key is the same, so the good event must not overtake the refused one.
    assert_eq!(items[1]["status"], "aborted");
    assert_eq!(
        gateway.post("", &[], &format!(r#"{{"eventType":"orders.placed.v1","data":{ORDER}}}"#)).status,
        201
    );
}
