//! Requests that two parsers may read differently, and clients that are slow, large or many.

use std::time::Duration;

use crate::client::{Client, request};
use crate::gateway::{Gateway, JSON, SHOP, envelope, until};

/// A refused framing is answered once and the connection closed: what follows is never served.
fn is_refused(gateway: &Gateway, bytes: &[u8]) {
    let marked = b"GET /livez HTTP/1.1\r\nhost: smuggled\r\n\r\n";
    let mut client = gateway.client();
    client.write([bytes, marked].concat());
    let rest = String::from_utf8_lossy(&client.rest()).into_owned();
    let text = String::from_utf8_lossy(bytes);
    assert!(rest.starts_with("HTTP/1.1 400 "), "{text:?} gave {rest:?}");
    assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "{text:?} gave {rest:?}");
    assert!(!rest.contains("alive"), "{text:?} gave {rest:?}");
}

#[test]
fn smuggling_vectors_are_refused_and_what_follows_is_not_served() {
    let gateway = Gateway::start();
    let post = "POST /v1/events HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n";
    for head in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n\r\n12345",
        "content-length: 5, 5\r\n\r\n12345",
        "content-length: +5\r\n\r\n12345",
        "content-length: -1\r\n\r\n",
        "content-length: 18446744073709551616\r\n\r\n",
        "content-length: 0x5\r\n\r\n12345",
        "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "x: a\r\n folded\r\n\r\n",
        "x: a\nhost: b\r\n\r\n",
        "x: a\0b\r\n\r\n",
        "host: other\r\n\r\n",
    ] {
        is_refused(&gateway, format!("{post}{head}").as_bytes());
    }
    for head in [
        "GET /livez HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.1\nhost: gateway\n\n",
        "GET http://one/livez HTTP/1.1\r\nhost: two\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: a/b\r\n\r\n",
        "GET /livez HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        is_refused(&gateway, head.as_bytes());
    }
}

#[test]
fn malformed_chunks_are_refused() {
    let gateway = Gateway::start();
    for chunks in
        ["+5\r\n12345\r\n0\r\n\r\n", "ffffffffffffffffff\r\n", "5\r\n12345X\r\n0\r\n\r\n", "\r\n\r\n"]
    {
        let mut client = gateway.client();
        let head = [SHOP, JSON, ("transfer-encoding", "chunked")];
        client.write(request("POST", "/v1/events", &head, b"")).write(chunks);
        assert_eq!(client.answer().code(), "bad_request", "{chunks:?}");
        assert!(client.is_ended(), "{chunks:?}");
    }
}

#[test]
fn a_faulty_request_behind_a_good_one_is_refused_alone() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.write(request("POST", "/v1/events", &[SHOP, JSON], envelope("").as_bytes()));
    client.write("POST /v1/events HTTP/1.1\r\nhost: g\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(client.answer().status, 201);
    assert_eq!(client.answer().code(), "bad_request");
    assert!(client.is_ended());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let get = request("GET", "/livez", &[], b"");
    let post = request("POST", "/v1/events", &[SHOP, JSON], envelope("").as_bytes());
    client.write([&get[..], &post, &get].concat());
    assert_eq!([client.answer().status, client.answer().status, client.answer().status], [200, 201, 200]);
}

#[test]
fn oversized_heads_are_problems_and_the_connection_goes_on_where_it_can() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let long = format!("/livez?{}", "a".repeat(9_000));
    assert_eq!(client.send("GET", &long, &[], b"").code(), "uri_too_long");
    assert_eq!(client.send("GET", "/livez", &[], b"").status, 200);
    let large = "a".repeat(33_000);
    assert_eq!(client.send("GET", "/livez", &[("x", &large)], b"").code(), "headers_too_large");
    assert!(client.is_ended());
    let many = vec![("x", "1"); 95];
    assert_eq!(gateway.client().send("GET", "/livez", &many, b"").code(), "headers_too_large");
    // Beyond the hard limits the parser itself answers.
    let many = vec![("x", "1"); 150];
    assert_eq!(gateway.client().send("GET", "/livez", &many, b"").status, 431);
    let huge = "a".repeat(70_000);
    let mut client = gateway.client();
    client.try_write(&request("GET", "/livez", &[("x", &huge)], b""));
    assert_eq!(client.answer().status, 431);
}

#[test]
fn oversized_bodies_are_refused_by_length_and_by_count() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let huge = vec![b' '; 300 << 10];
    client.try_write(&request("POST", "/v1/events", &[SHOP, JSON], &huge));
    assert_eq!(client.answer().code(), "body_too_large");
    let mut client = gateway.client();
    client.write(request("POST", "/v1/events", &[SHOP, JSON, ("transfer-encoding", "chunked")], b""));
    let chunk = [format!("{:x}\r\n", 64 << 10).as_bytes(), &vec![b' '; 64 << 10], b"\r\n"].concat();
    for _ in 0..5 {
        client.try_write(&chunk);
    }
    assert_eq!(client.answer().code(), "body_too_large");
}

#[test]
fn a_body_is_asked_for_only_when_it_is_wanted() {
    let gateway = Gateway::start();
    let body = envelope("");
    let length = body.len().to_string();
    let expecting = [("expect", "100-continue"), ("content-length", length.as_str()), JSON];
    let mut client = gateway.client();
    client.write(request("POST", "/v1/events", &expecting, b""));
    assert_eq!(client.answer().code(), "unauthenticated");
    let mut client = gateway.client();
    client.write(request("POST", "/v1/events", &[&expecting[..], &[SHOP]].concat(), b""));
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.write(body);
    assert_eq!(client.answer().status, 201);
}

#[test]
fn slow_clients_are_cut_off_and_disturb_nobody() {
    let gateway = Gateway::with(|setup| {
        setup.limits.header_timeout = Duration::from_millis(300);
        setup.limits.body_idle_timeout = Duration::from_millis(300);
        setup.limits.keep_alive = Duration::from_millis(600);
    });
    let mut silent = gateway.client();
    let mut half = gateway.client();
    half.write("GET /livez HTTP/1.1\r\nhost: g");
    let mut stalled = gateway.client();
    stalled.write(request("POST", "/v1/events", &[SHOP, JSON, ("content-length", "100")], b"")).write("{");
    let mut idle = gateway.client();
    assert_eq!(idle.send("GET", "/livez", &[], b"").status, 200);
    assert_eq!(gateway.post("", &[], &envelope("")).status, 201);
    assert!(silent.is_ended());
    assert!(half.is_ended());
    assert_eq!(stalled.answer().code(), "request_timeout");
    assert!(stalled.is_ended());
    assert!(idle.is_ended());
}

#[test]
fn connections_are_bounded_per_address_and_per_second() {
    let gateway = Gateway::with(|setup| setup.limits.connections_per_address_max = 3);
    let mut held: Vec<_> = (0..3).map(|_| gateway.client()).collect();
    for client in &mut held {
        assert_eq!(client.send("GET", "/livez", &[], b"").status, 200);
    }
    let refused = gateway.client().answer();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.json()["code"], "overloaded");
    held.pop().unwrap().finish();
    let mut later = gateway.client();
    while later.send("GET", "/livez", &[], b"").status == 503 {
        later = gateway.client();
    }
    let gateway = Gateway::with(|setup| setup.limits.connections_new_per_second_max = 2);
    let statuses: Vec<u16> = (0..4).map(|_| gateway.send("GET", "/livez", &[], "").status).collect();
    assert!(statuses.starts_with(&[200, 200]) && statuses.contains(&503), "{statuses:?}");
}

#[test]
fn refusals_leave_the_connection_usable() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let body = "x".repeat(20_000);
    let body = body.as_bytes();
    for (method, path, headers, code) in [
        ("POST", "/v1/events", &[JSON][..], "unauthenticated"),
        ("POST", "/v1/nothing", &[SHOP, JSON], "not_found"),
        ("DELETE", "/v1/events", &[SHOP, JSON], "method_not_allowed"),
        ("POST", "/v1/events", &[SHOP, ("content-type", "text/plain")], "unsupported_media_type"),
        ("POST", "/v1/events", &[SHOP, JSON, ("content-encoding", "gzip")], "unsupported_encoding"),
        ("POST", "/v1/events", &[SHOP, ("content-type", "application/json; charset=utf-16")], "bad_request"),
        ("POST", "/v1/events", &[SHOP, JSON], "malformed_json"),
    ] {
        assert_eq!(client.send(method, path, headers, body).code(), code);
    }
    assert_eq!(client.send("POST", "/v1/events", &[SHOP, JSON], envelope("").as_bytes()).status, 201);
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
}

#[test]
fn all_bodies_together_are_bounded() {
    let gateway = Gateway::with(|setup| setup.limits.bodies_bytes_max = 300_000);
    let metric = |bytes: &str| {
        let text = Client::connect(gateway.metrics_address).send("GET", "/metrics", &[], b"");
        text.text().contains(&format!("\nweirgate_http_bodies_bytes {bytes}\n"))
    };
    let batch = |length: usize| {
        let event = envelope("");
        format!("[{event}{}]", " ".repeat(length - event.len() - 2)).into_bytes()
    };
    let (first, second) = (batch(200_000), batch(100_001));
    let length = first.len().to_string();
    let mut slow = gateway.client();
    slow.write(request("POST", "/v1/events", &[SHOP, JSON, ("content-length", &length)], b""));
    slow.write(&first[..199_999]);
    until("the bytes sent so far to be counted", || metric("199999"));
    for headers in [&[SHOP, JSON][..], &[SHOP, JSON, ("transfer-encoding", "chunked")]] {
        let mut client = gateway.client();
        if headers.len() == 2 {
            client.try_write(&request("POST", "/v1/events", headers, &batch(100_002)));
        } else {
            client.write(request("POST", "/v1/events", headers, b""));
            let chunk = batch(100_002);
            client
                .try_write(&[format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n0\r\n\r\n"].concat());
        }
        let refused = client.answer();
        assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"));
        assert!(refused.header("retry-after").is_some());
        assert_eq!(refused.header("connection"), Some("close"));
        assert!(client.is_ended());
    }
    assert!(gateway.log.records("orders.v1").is_empty());
    assert_eq!(gateway.client().send("POST", "/v1/events", &[SHOP, JSON], &second).status, 207);
    slow.write(&first[199_999..]);
    assert_eq!(slow.answer().status, 207);
    until("all room to be given back", || metric("0"));
    assert_eq!(gateway.log.records("orders.v1").len(), 2);
}
