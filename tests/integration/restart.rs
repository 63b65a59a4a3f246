//! The real binary is killed and started again on the same directory.

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::harness::{DEADLINE, Process, client, eventually, order};

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
