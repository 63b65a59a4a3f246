//! The real binary is killed and started again on the same directory.

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::harness::waiting::eventually_within;
use crate::harness::{DEADLINE, Process, READY_MAX, client, eventually, order};

async fn publish(gateway: &Process, body: String) -> Value {
    let answer = client()
        .post(gateway.url("/v1/events"))
        .bearer_auth(&gateway.token)
        .header("content-type", "application/json")
        .timeout(DEADLINE)
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn after_kill_9_nothing_is_lost_the_cursor_resumes_and_the_group_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::start().await;
    let keys: Vec<String> = engine.flags().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let gateway = Process::start_with(directory.path(), "127.0.0.1:0", &keys).await;
    let mut subscriber = gateway.socket().await;
    let ok = subscriber.ask(1, r#"{"id":1,"op":"subscribe","topics":["orders.v1"],"from":"latest"}"#).await;
    let mut worker = gateway.socket().await;
    let sub = worker.ask(1, r#"{"id":1,"op":"subscribe","group":"inventory-sync","credit":8}"#).await["sub"]
        .clone();
    for index in 0..5 {
        publish(&gateway, order(&format!("ord_before{index}"), "c-1")).await;
        assert_eq!(subscriber.next_event().await["event"]["data"]["orderId"], format!("ord_before{index}"));
    }
    let mut last = Value::Null;
    for _ in 0..3 {
        last = worker.next_event().await;
        worker
            .ask(7, &json!({"id":7,"op":"ack","sub":sub,"deliveries":[last["delivery"]]}).to_string())
            .await;
    }
    let client = client();
    eventually("the third is committed", || async {
        let url = gateway.url("/v1/groups/inventory-sync");
        let answer = client.get(url).bearer_auth(&gateway.token).send().await.ok()?.text().await.ok()?;
        let group: Value = serde_json::from_str(&answer).ok()?;
        let partitions = group["partitions"].as_array()?;
        let partition = partitions.iter().find(|partition| partition["partition"] == last["partition"])?;
        (partition["committedOffset"] == 3).then_some(())
    })
    .await;
    publish(&gateway, order("ord_unseen", "c-1")).await;
    let cursor = ok["cursor"].clone();
    gateway.kill();

    let gateway = Process::start_with(directory.path(), "127.0.0.1:0", &keys).await;
    let mut subscriber = gateway.socket().await;
    let resume = json!({"id":1,"op":"subscribe","topics":["orders.v1"],"from":{"cursor":cursor}}).to_string();
    assert_eq!(subscriber.ask(1, &resume).await["resumed"], true);
    for name in ["ord_before0", "ord_before1", "ord_before2", "ord_before3", "ord_before4", "ord_unseen"] {
        assert_eq!(subscriber.next_event().await["event"]["data"]["orderId"], name);
    }
    let mut worker = gateway.socket().await;
    worker.ask(1, r#"{"id":1,"op":"subscribe","group":"inventory-sync","credit":8}"#).await;
    for name in ["ord_before3", "ord_before4", "ord_unseen"] {
        assert_eq!(worker.next_event().await["event"]["data"]["orderId"], name);
    }
    assert_eq!(gateway.terminate().await, Some(0));
}

/// Status and body of the answer to a request, and whether it was given before.
async fn post(gateway: &Process, headers: &[(&str, &str)], body: &str) -> (u16, Value, bool) {
    let request = client()
        .post(gateway.url("/v1/events"))
        .bearer_auth(&gateway.token)
        .header("content-type", "application/json")
        .timeout(DEADLINE)
        .body(body.to_owned());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = request.send().await.unwrap();
    let is_replay = answer.headers().contains_key("idempotency-replayed");
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap(), is_replay)
}

async fn until_ready(gateway: &Process) {
    let client = client();
    eventually_within(READY_MAX, "the gateway is ready", async || {
        let answer = client.get(gateway.url("/readyz")).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

/// An order with an id of its own.
fn order_with_id(last: u8, order_id: &str) -> String {
    let id = format!(r#"{{"eventId":"550e8400-e29b-41d4-a716-4466554400{last:02}","#);
    order(order_id, "c-1").replacen('{', &id, 1)
}

#[tokio::test]
async fn repeats_of_ids_and_keys_are_recognised_after_kill_9_and_after_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::start().await;
    let mut keys: Vec<String> = engine.flags().iter().map(|(key, value)| format!("{key}={value}")).collect();
    keys.push(
        "auth.grants=[{principal: dev, allow: [subscribe], topics: [_weirgate.idempotency]}]".to_owned(),
    );
    let gateway = Process::start_with(directory.path(), "127.0.0.1:0", &keys).await;
    until_ready(&gateway).await;
    let (status, stored, _) = post(&gateway, &[], &order_with_id(1, "ord_1")).await;
    assert_eq!(status, 201, "{stored}");
    let under_key = [("idempotency-key", "k-1")];
    let (status, answered, _) = post(&gateway, &under_key, &order("ord_2", "c-1")).await;
    assert_eq!(status, 201, "{answered}");
    let client = client();
    eventually_within(READY_MAX, "all is in the table", async || {
        let url = gateway.url("/v1/topics/_weirgate.idempotency/events?from=earliest&limit=1000");
        let answer = client.get(url).bearer_auth(&gateway.token).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let page: Value = serde_json::from_str(&text).unwrap();
        let events = page["events"].as_array().unwrap_or_else(|| panic!("{page}"));
        // Two ids may have been told together or not; a kill must meet neither.
        let has = |prefix: &str| {
            events.iter().any(|event| event["key"].as_str().is_some_and(|key| key.starts_with(prefix)))
        };
        (has("ids/") && has("answer/")).then_some(())
    })
    .await;
    gateway.kill();

    let gateway = Process::start_with(directory.path(), "127.0.0.1:0", &keys).await;
    until_ready(&gateway).await;
    let (status, again, _) = post(&gateway, &[], &order_with_id(1, "ord_1")).await;
    assert_eq!((status, &again["status"]), (200, &json!("duplicate")), "{again}");
    for member in ["partition", "offset", "timestamp"] {
        assert_eq!(again[member], stored[member], "{again}");
    }
    assert_eq!(post(&gateway, &under_key, &order("ord_2", "c-1")).await, (201, answered, true));
    let (status, problem, _) = post(&gateway, &under_key, &order("ord_3", "c-1")).await;
    assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_reused")));
    let (status, problem, _) = post(&gateway, &[], &order_with_id(1, "ord_3")).await;
    assert_eq!((status, &problem["code"]), (409, &json!("event_id_conflict")));

    // Who is told to end loses nothing, however soon.
    let (status, stored, _) = post(&gateway, &[], &order_with_id(2, "ord_4")).await;
    assert_eq!(status, 201, "{stored}");
    assert_eq!(gateway.terminate().await, Some(0));
    let gateway = Process::start_with(directory.path(), "127.0.0.1:0", &keys).await;
    until_ready(&gateway).await;
    let (status, again, _) = post(&gateway, &[], &order_with_id(2, "ord_4")).await;
    assert_eq!((status, &again["offset"]), (200, &stored["offset"]), "{again}");
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn a_signal_reloads_the_configuration_and_the_audit_trail_tells_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::start().await;
    let keys: Vec<String> = engine.flags().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let gateway = Process::start_with(directory.path(), "127.0.0.1:0", &keys).await;
    until_ready(&gateway).await;
    gateway.hang_up();
    let client = client();
    let told = eventually_within(READY_MAX, "the reload is told", async || {
        let url = gateway.url("/v1/topics/_weirgate.audit/events");
        let answer = client.get(url).bearer_auth(&gateway.token).send().await.unwrap();
        let page: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        page["events"].get(0).cloned()
    })
    .await;
    let expected = json!({
        "serviceName": "weirgate",
        "methodName": "config.reload",
        "resourceName": "config",
        "authenticationInfo": {"principal": "operator:signal"},
        "authorizationInfo": {"granted": true, "operation": "admin"},
        "request": {"signal": "SIGHUP"},
    });
    assert_eq!(told["data"], expected);
    assert_eq!(gateway.terminate().await, Some(0));
}
