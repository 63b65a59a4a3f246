//! What another reading of the configuration changes, what it leaves for a restart, and how it is refused.

use serde_json::{Value, json};

use crate::harness::{TestGateway, order};

async fn reload(gateway: &TestGateway) -> Value {
    gateway.post("/v1/admin/reload", "application/json", "").await.expect(200)
}

async fn policy(gateway: &TestGateway, group: &str) -> Value {
    gateway.get(&format!("/v1/groups/{group}")).await.expect(200)["policy"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_creates_and_updates_groups_and_never_deletes_one() {
    let gateway = TestGateway::with("groups: {stock: {topics: [orders.v1]}}").start().await;
    let put = gateway.request("PUT", "/v1/groups/stock").header("content-type", "application/json");
    gateway.send(put.body(r#"{"maxRetries":9}"#)).await.expect(200);

    gateway.rewrite("groups: {stock: {topics: [orders.v1]}, mail: {topics: [user.created], max_retries: 1}}");
    assert_eq!(reload(&gateway).await, json!({"reloaded": true, "kept": []}));
    assert_eq!(policy(&gateway, "mail").await["maxRetries"], 1);
    assert_eq!(policy(&gateway, "stock").await["maxRetries"], 9, "its entry in the file is what it was");

    gateway.rewrite("groups: {stock: {topics: [orders.v1], max_retries: 2}}");
    reload(&gateway).await;
    assert_eq!(policy(&gateway, "stock").await["maxRetries"], 2, "its entry in the file is another");
    assert_eq!(policy(&gateway, "mail").await["maxRetries"], 1);

    gateway.rewrite("group_defaults: {max_retries: 7}\ngroups: {stock: {topics: [orders.v1]}}");
    reload(&gateway).await;
    assert_eq!(policy(&gateway, "stock").await["maxRetries"], 7);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_quotas_hold_from_the_next_request_on() {
    let gateway = TestGateway::start().await;
    let event = order("ord_1", "c-1");
    gateway.publish(event.clone()).await.expect(201);

    gateway.rewrite("http: {limits: {body_bytes_max: 100B}}");
    reload(&gateway).await;
    assert_eq!(gateway.publish(event.clone()).await.expect(413)["code"], "body_too_large");

    gateway.rewrite("http: {limits: {event_bytes_max: 100B}}");
    reload(&gateway).await;
    assert_eq!(gateway.publish(event.clone()).await.expect(413)["code"], "event_too_large");

    gateway.rewrite("publish: {quotas: [{principal: '**', events_per_second: 1}]}");
    reload(&gateway).await;
    gateway.publish(event.clone()).await.expect(201);
    assert_eq!(gateway.publish(event.clone()).await.expect(429)["code"], "rate_limited");

    gateway.rewrite("");
    reload(&gateway).await;
    gateway.publish(event.clone()).await.expect(201);
    gateway.publish(event).await.expect(201);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_live_is_named_and_left() {
    let gateway = TestGateway::start().await;
    let before = gateway.get("/v1/admin/config").await.expect(200);
    gateway.rewrite(
        "http: {allowed_origins: [https://a.example.com], limits: {headers_max: 50}}\nsocket: {ping: 9s}\n\
         publish: {queue_bytes_max: 1MiB}",
    );
    let reloaded = reload(&gateway).await;
    assert_eq!(reloaded["kept"], json!(["http.allowed_origins", "publish.queue_bytes_max", "socket.ping"]));
    let after = gateway.get("/v1/admin/config").await.expect(200);
    assert_eq!(after["http"]["limits"]["headers_max"], 50);
    assert_eq!(after["http"]["allowed_origins"], before["http"]["allowed_origins"]);
    assert_eq!((&after["socket"], &after["publish"]), (&before["socket"], &before["publish"]));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_fails_names_the_mistakes_and_no_file_and_changes_nothing() {
    let gateway = TestGateway::start().await;
    let hidden = "/nowhere/to/be/seen";
    let issuer = "issuer: 'https://id.example.com', audience: a, algorithms: [HS256]";
    for (yaml, place) in [
        (format!("auth: {{ticket_key: {{file: {hidden}}}}}"), "line 1: auth.ticket_key: the file it names"),
        (
            format!("auth:\n  issuers: [{{{issuer}, jwks_file: {hidden}}}]"),
            "line 2: auth.issuers[0].jwks_file: the file it names",
        ),
        (format!("http: [{hidden}"), "line 1, column 7: http: a bracket is opened here"),
        ("groups: {new: {topics: [orders.v1]}, idle: {}}".to_owned(), "groups.idle.topics: a group reads"),
    ] {
        gateway.rewrite(&yaml);
        let refused = gateway.post("/v1/admin/reload", "application/json", "").await.expect(409);
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.starts_with("nothing was changed: ") && detail.contains(place), "{yaml}: {detail}");
        assert!(!detail.contains("nowhere"), "{detail}");
    }
    gateway.get("/v1/groups/new").await.expect(404);
    gateway.publish(order("ord_1", "c-1")).await.expect(201);
    gateway.stop().await;
}
