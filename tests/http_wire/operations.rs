//! Probes, metrics, who calls, pages.

use serde_json::json;

use crate::client::Client;
use crate::gateway::{Gateway, READER, SHOP, envelope, until};
use crate::log::Mood;

#[test]
fn probes_tell_life_from_readiness() {
    let gateway = Gateway::start();
    assert_eq!(gateway.send("GET", "/livez", &[], "").json(), json!({"alive": true}));
    let ready = || gateway.send("GET", "/readyz", &[], "");
    // The policies of groups are loaded after the start.
    until("the gateway is ready", || ready().status == 200);
    assert_eq!(ready().json(), json!({"ready": true, "reasons": []}));
    gateway.log.set_mood(Mood::Unavailable);
    let unready = ready();
    assert_eq!((unready.status, &unready.json()["reasons"][0]["part"]), (503, &json!("log")));
    assert!(unready.text().contains("the cluster cannot be reached") && !unready.text().contains("10.0.0.7"));
    assert_eq!(gateway.send("GET", "/livez", &[], "").status, 200);
    gateway.log.set_mood(Mood::Good);
    assert_eq!(ready().status, 200);
}

#[test]
fn metrics_have_a_listener_of_their_own() {
    let gateway = Gateway::start();
    assert_eq!(gateway.post("", &[], &envelope("")).status, 201);
    assert_eq!(gateway.send("GET", "/v1/nothing", &[SHOP], "").code(), "not_found");
    let metrics = Client::connect(gateway.metrics_address).send("GET", "/metrics", &[], b"");
    let text = metrics.text();
    for line in [
        "weirgate_http_requests_total{route=\"/v1/events\",status=\"201\"} 1",
        "weirgate_http_requests_total{route=\"none\",status=\"404\"} 1",
        "weirgate_http_connections ",
        "weirgate_http_request_duration_seconds_count{route=\"/v1/events\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(Client::connect(gateway.metrics_address).send("GET", "/", &[], b"").status, 404);
    assert_eq!(gateway.send("GET", "/metrics", &[SHOP], "").code(), "not_found");
}

#[test]
fn callers_learn_who_they_are() {
    let gateway = Gateway::start();
    let who = gateway.send("GET", "/v1/whoami", &[READER], "").json();
    assert_eq!(
        (&who["principal"], &who["grants"][0]["allow"]),
        (&json!("service:reader"), &json!(["subscribe"]))
    );
    assert_eq!(gateway.send("GET", "/v1/whoami", &[], "").code(), "unauthenticated");
}

#[test]
fn administration_needs_its_right() {
    let gateway = Gateway::start();
    assert_eq!(gateway.send("GET", "/v1/admin/config", &[SHOP], "").json(), json!({"node": "g1"}));
    assert_eq!(gateway.send("GET", "/v1/admin/config", &[READER], "").code(), "forbidden");
    assert_eq!(gateway.send("POST", "/v1/admin/reload", &[READER], "").code(), "forbidden");
    assert_eq!(gateway.send("POST", "/v1/admin/reload", &[SHOP], "").code(), "conflict");
}

#[test]
fn every_problem_has_a_page_for_everybody() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for code in weirgate::problem::Code::ALL {
        let page = client.send("GET", &format!("/problems/{}", code.as_str()), &[], b"");
        assert_eq!(page.status, 200);
        assert!(page.text().contains(code.title()));
    }
    assert_eq!(client.send("GET", "/problems/none", &[], b"").code(), "not_found");
}

#[test]
fn the_front_page_is_there_in_dev_mode_only() {
    let gateway = Gateway::start();
    assert_eq!(gateway.send("GET", "/", &[], "").code(), "unauthenticated");
    assert_eq!(gateway.send("GET", "/", &[SHOP], "").code(), "not_found");
    let dev = Gateway::with(|setup| setup.front_page = Some("<h1>hello</h1>"));
    assert_eq!(dev.send("GET", "/", &[], "").code(), "bad_request", "a foreign host name");
    let page = dev.client().write("GET / HTTP/1.1\r\nhost: localhost:8080\r\n\r\n").answer();
    assert_eq!((page.status, page.text()), (200, "<h1>hello</h1>"));
}

#[test]
fn unknown_routes_and_methods_are_told_apart() {
    let gateway = Gateway::start();
    assert_eq!(gateway.send("GET", "/v2/events", &[SHOP], "").code(), "not_found");
    assert_eq!(gateway.send("GET", "/v1/events/", &[SHOP], "").code(), "not_found");
    let wrong = gateway.send("GET", "/v1/events", &[SHOP], "");
    assert_eq!((wrong.code().as_str(), wrong.header("allow")), ("method_not_allowed", Some("POST")));
    assert_eq!(gateway.send("GET", "/v2/events", &[], "").code(), "unauthenticated");
}

#[test]
fn a_group_is_told_to_go_on_by_who_may() {
    let gateway = Gateway::start();
    let json = ("content-type", "application/json");
    let policy = r#"{"topics":["orders.v1"],"onExhausted":"halt","breaker":false}"#;
    let made = gateway.send("PUT", "/v1/groups/inventory-sync", &[SHOP, json], policy).json();
    assert_eq!((&made["policy"]["onExhausted"], &made["policy"]["breaker"]), (&json!("halt"), &json!(false)));
    let resume = "/v1/groups/inventory-sync:resume";
    for _ in 0..2 {
        let resumed = gateway.send("POST", resume, &[SHOP], "");
        assert_eq!((resumed.status, &resumed.json()["group"]), (200, &json!("inventory-sync")));
        assert_eq!(resumed.json()["breaker"], "closed");
    }
    let halted = r#"{"deadLetter":[{"topic":"orders.v1","partition":0,"offset":17}]}"#;
    assert_eq!(gateway.send("POST", resume, &[SHOP, json], halted).status, 200);
    let foreign = gateway.send("POST", resume, &[SHOP, json], &halted.replace("orders", "bills"));
    assert_eq!(foreign.json()["errors"][0]["pointer"], "/deadLetter/0/topic");
    for (body, code) in [
        (r#"{"deadLetter":[{"topic":"orders.v1"}]}"#, "invalid_parameter"),
        (r#"{"discard":[]}"#, "invalid_parameter"),
        (r#"{"deadLetter":"#, "malformed_json"),
    ] {
        assert_eq!(gateway.send("POST", resume, &[SHOP, json], body).code(), code, "{body}");
    }
    assert_eq!(gateway.send("POST", resume, &[SHOP], halted).code(), "unsupported_media_type");
    assert_eq!(gateway.send("POST", resume, &[READER], "").code(), "forbidden");
    assert_eq!(gateway.send("POST", "/v1/groups/absent:resume", &[READER], "").code(), "forbidden");
    assert_eq!(gateway.send("POST", "/v1/groups/absent:resume", &[SHOP], "").code(), "group_not_found");
    assert_eq!(gateway.send("POST", &format!("{resume}?all=true"), &[SHOP], "").code(), "invalid_parameter");
    for (method, path, allowed) in [
        ("GET", resume, "POST"),
        ("PUT", resume, "POST"),
        ("DELETE", resume, "POST"),
        ("POST", "/v1/groups/inventory-sync", "GET, PUT, DELETE"),
        ("POST", "/v1/groups/inventory-sync:stop", "GET, PUT, DELETE"),
    ] {
        let refused = gateway.send(method, path, &[SHOP], "");
        assert_eq!((refused.status, refused.header("allow")), (405, Some(allowed)), "{method} {path}");
    }
}

#[test]
fn a_groups_offsets_are_moved_by_who_may() {
    let gateway = Gateway::start();
    let json = ("content-type", "application/json");
    until("the gateway is ready", || gateway.send("GET", "/readyz", &[], "").status == 200);
    let policy = r#"{"topics":["orders.v1"]}"#;
    assert_eq!(gateway.send("PUT", "/v1/groups/inventory-sync", &[SHOP, json], policy).status, 201);
    assert_eq!(gateway.post("", &[], &envelope("")).status, 201);
    let path = "/v1/groups/inventory-sync:reset";
    let reset = |caller, body: &str| gateway.send("POST", path, &[caller, json], body);
    let planned = reset(SHOP, r#"{"to":"latest","dryRun":true}"#);
    assert_eq!((planned.status, &planned.json()["state"]), (200, &json!("planned")));
    let moves = planned.json()["partitions"].as_array().unwrap().clone();
    assert_eq!(moves.iter().map(|one| one["skipped"].as_u64().unwrap()).sum::<u64>(), 1, "{moves:?}");
    let done = reset(SHOP, r#"{"to":"latest","topics":["orders.v1"]}"#);
    assert_eq!((done.status, &done.json()["state"]), (200, &json!("done")), "{}", done.text());
    assert_eq!(done.json()["partitions"], json!(moves));
    let outside = reset(SHOP, r#"{"to":{"offsets":{"orders.v1":{"0":99}}}}"#);
    assert_eq!(outside.code(), "invalid_parameter");
    assert_eq!(outside.json()["errors"][0]["pointer"], "/to/offsets/orders.v1/0");
    for (body, code) in [
        (r#"{"to":"somewhere"}"#, "invalid_parameter"),
        (r#"{"to":"latest","dry":true}"#, "invalid_parameter"),
        (r#"{"to":"latest","topics":["bills.v1"]}"#, "invalid_parameter"),
        (r#"{"to":"#, "malformed_json"),
    ] {
        assert_eq!(reset(SHOP, body).code(), code, "{body}");
    }
    assert_eq!(reset(READER, r#"{"to":"latest"}"#).code(), "forbidden");
    assert_eq!(gateway.send("POST", path, &[SHOP], "").code(), "unsupported_media_type");
    let absent = gateway.send("POST", "/v1/groups/absent:reset", &[SHOP, json], r#"{"to":"latest"}"#);
    assert_eq!(absent.code(), "group_not_found");
    let refused = gateway.send("GET", path, &[SHOP], "");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")));
}

#[test]
fn a_group_is_deleted_by_who_may() {
    let gateway = Gateway::start();
    until("the gateway is ready", || gateway.send("GET", "/readyz", &[], "").status == 200);
    let path = "/v1/groups/inventory-sync";
    let json = ("content-type", "application/json");
    assert_eq!(gateway.send("PUT", path, &[SHOP, json], r#"{"topics":["orders.v1"]}"#).status, 201);
    assert_eq!(gateway.send("DELETE", path, &[READER], "").code(), "forbidden");
    let odd = gateway.send("DELETE", &format!("{path}?force=true"), &[SHOP], "");
    assert_eq!(odd.code(), "invalid_parameter");
    // The states of dead letters may still be loading.
    until("the group is deleted", || gateway.send("DELETE", path, &[SHOP], "").status == 204);
    assert_eq!(gateway.send("GET", path, &[SHOP], "").code(), "group_not_found");
    assert_eq!(gateway.send("DELETE", path, &[SHOP], "").code(), "group_not_found");
    assert_eq!(gateway.send("PUT", path, &[SHOP, json], r#"{"topics":["orders.v1"]}"#).status, 201);
}

#[test]
fn groups_are_listed_by_name_page_by_page() {
    let gateway = Gateway::start();
    for name in ["c", "a", "b"] {
        let path = format!("/v1/groups/{name}");
        assert_eq!(
            gateway
                .send(
                    "PUT",
                    &path,
                    &[SHOP, ("content-type", "application/json")],
                    r#"{"topics":["orders.v1"]}"#
                )
                .status,
            201
        );
    }
    let page = |query: &str| {
        let page = gateway.send("GET", &format!("/v1/groups{query}"), &[SHOP], "").json();
        let names = page["groups"].as_array().unwrap().iter().map(|group| group["group"].clone());
        (names.collect::<Vec<_>>(), page["cursor"].clone())
    };
    assert_eq!(page("?limit=2"), (vec![json!("a"), json!("b")], json!("b")));
    assert_eq!(page("?limit=2&cursor=b"), (vec![json!("c")], json!(null)));
    assert_eq!(page("?cursor=c"), (vec![], json!(null)));
    for query in ["?limit=0", "?limit=1001", "?cursor=a.b", "?after=a"] {
        let refused = gateway.send("GET", &format!("/v1/groups{query}"), &[SHOP], "");
        assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_parameter"), "{query}");
    }
}

#[test]
fn groups_are_made_seen_and_guarded() {
    let gateway = Gateway::start();
    let json = ("content-type", "application/json");
    let put = |body: &str| gateway.send("PUT", "/v1/groups/inventory-sync", &[SHOP, json], body);
    assert_eq!(put(r#"{"topics":["orders.v1"],"maxRetries":5}"#).status, 201);
    let changed = put(r#"{"maxRetries":7}"#);
    assert_eq!((changed.status, &changed.json()["policy"]["maxRetries"]), (200, &json!(7)));
    let one = gateway.send("GET", "/v1/groups/inventory-sync", &[SHOP], "").json();
    assert_eq!((&one["group"], &one["policy"]["topics"]), (&json!("inventory-sync"), &json!(["orders.v1"])));
    let list = gateway.send("GET", "/v1/groups", &[SHOP], "").json();
    assert_eq!(list["groups"][0]["group"], "inventory-sync");
    assert!(list.get("cursor").is_none());
    let letters = gateway.send("GET", "/v1/groups/inventory-sync/dead-letters?limit=5", &[SHOP], "").json();
    assert_eq!(letters["deadLetters"], json!([]));
    assert_eq!(put(r#"{"onExhausted":"park_key"}"#).json()["policy"]["onExhausted"], "park_key");
    let contradiction = put(r#"{"ordering":"none"}"#);
    assert_eq!((contradiction.status, contradiction.code().as_str()), (400, "invalid_parameter"));
    let partitions = gateway.send("GET", "/v1/groups/inventory-sync", &[SHOP], "").json();
    assert_eq!(partitions["partitions"][0]["keysParked"], 0);
    assert_eq!(put(r#"{"colour":"red"}"#).code(), "invalid_parameter");
    assert_eq!(put(r#"{"topics":["absent.v1"]}"#).code(), "topic_not_found");
    assert_eq!(gateway.send("GET", "/v1/groups/absent", &[SHOP], "").code(), "group_not_found");
    for (method, path) in [
        ("GET", "/v1/groups"),
        ("GET", "/v1/groups/inventory-sync"),
        ("GET", "/v1/groups/absent"),
        ("GET", "/v1/groups/inventory-sync/dead-letters"),
    ] {
        assert_eq!(gateway.send(method, path, &[READER], "").code(), "forbidden", "{path}");
    }
    let refused = gateway.send("PUT", "/v1/groups/other", &[READER, json], r#"{"topics":["orders.v1"]}"#);
    assert_eq!(refused.code(), "forbidden");
}
