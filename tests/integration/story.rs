//! The shop's story: publish, follow, share the work, retry, dead-letter, refuse.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{TestGateway, eventually, order};

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_event_is_answered_201_and_reaches_a_subscriber() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.socket().await;
    let ok = socket.ask(1, r#"{"id":1,"op":"subscribe","topics":["orders.v1"],"from":"latest"}"#).await;
    assert!(ok["sub"].is_u64() && ok["cursor"].is_string() && ok["resumed"] == false, "{ok}");

    let receipt = gateway.publish(order("ord_1", "c-42")).await.expect(201);
    assert_eq!(receipt["status"], "accepted");
    assert_eq!(receipt["topic"], "orders.v1");
    assert_eq!(receipt["offset"], 0);

    let event = socket.next_event().await;
    assert_eq!(event["sub"], ok["sub"]);
    assert_eq!(event["key"], "c-42");
    assert_eq!(event["partition"], receipt["partition"]);
    assert_eq!(event["event"]["eventId"], receipt["eventId"]);
    assert_eq!(event["event"]["data"]["orderId"], "ord_1");
    socket.close().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_sent_right_behind_hello_wait_for_it() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.anonymous_socket().await;
    let hello = json!({"id":1,"op":"hello","token":gateway.token()}).to_string();
    socket.send(&hello).await;
    let ok = socket.ask(2, r#"{"id":2,"op":"subscribe","topics":["orders.v1"]}"#).await;
    assert!(ok["sub"].is_u64(), "{ok}");
    socket.close().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nacked_delivery_comes_again_and_a_rejected_one_is_dead_lettered_with_its_reason() {
    let gateway = TestGateway::start().await;
    gateway.until_ready().await;
    let mut worker = gateway.socket().await;
    let ok = worker.ask(1, r#"{"id":1,"op":"subscribe","group":"inventory-sync","credit":4}"#).await;
    assert_eq!(ok["policy"]["ordering"], "partition");

    gateway.publish(order("ord_1", "c-42")).await.expect(201);
    let first = worker.next_event().await;
    assert_eq!(first["attempt"], 1);
    let tag = first["delivery"].as_str().unwrap();
    worker
        .send(&json!({"op":"nack","sub":ok["sub"],"delivery":tag,"reason":"stock service down"}).to_string())
        .await;

    let second = worker.next_event().await;
    assert_eq!((&second["attempt"], &second["offset"]), (&json!(2), &first["offset"]));
    let tag = second["delivery"].as_str().unwrap();
    worker
        .send(&json!({"op":"reject","sub":ok["sub"],"delivery":tag,"reason":"no such sku"}).to_string())
        .await;

    let letter = eventually("the dead letter is listed", || async {
        let list = gateway.get("/v1/groups/inventory-sync/dead-letters").await.expect(200);
        list["deadLetters"].as_array().and_then(|letters| letters.first().cloned())
    })
    .await;
    assert_eq!(letter["reason"], "rejected");
    assert_eq!(letter["error"], "no such sku");
    assert_eq!(letter["attempts"], 2);

    let page = gateway.get("/v1/topics/dlq.orders.v1.inventory-sync/events?from=earliest").await.expect(200);
    let headers = &page["events"][0]["headers"];
    assert_eq!(headers["__dlq.errors.topic"], "orders.v1");
    assert_eq!(headers["__dlq.errors.group"], "inventory-sync");
    assert_eq!(headers["weirgate-dlq-reason"], "rejected");
    worker.close().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_a_group_and_each_event_is_settled_once() {
    let gateway = TestGateway::start().await;
    let mut workers = Vec::new();
    for _ in 0..2 {
        let mut worker = gateway.socket().await;
        let ok = worker.ask(1, r#"{"id":1,"op":"subscribe","group":"inventory-sync","credit":8}"#).await;
        workers.push((worker, ok["sub"].clone()));
    }
    for index in 0..40 {
        gateway.publish(order(&format!("ord_{index}"), &format!("c-{index}"))).await.expect(201);
    }
    let (given, done) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let work = workers.into_iter().map(|(mut worker, sub)| {
        let (given, done) = (Arc::clone(&given), done.clone());
        tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                let event = tokio::select! {
                    event = worker.next_event() => event,
                    () = done.cancelled() => break,
                };
                seen.push(event["event"]["data"]["orderId"].as_str().unwrap().to_owned());
                worker
                    .send(&json!({"op":"ack","sub":sub,"deliveries":[event["delivery"]]}).to_string())
                    .await;
                if given.fetch_add(1, Ordering::Relaxed) + 1 == 40 {
                    done.cancel();
                }
            }
            worker.close().await;
            seen
        })
    });
    let mut all = Vec::new();
    for seen in work.collect::<Vec<_>>() {
        let seen = seen.await.unwrap();
        assert!(!seen.is_empty(), "both workers have a share");
        all.extend(seen);
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 40);
    eventually("everything is committed", || async {
        let group = gateway.get("/v1/groups/inventory-sync").await.expect(200);
        let lags: Vec<&Value> =
            group["partitions"].as_array()?.iter().map(|partition| &partition["lag"]).collect();
        lags.iter().all(|lag| **lag == 0).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_event_is_refused_with_the_place_and_nothing_is_stored() {
    let gateway = TestGateway::start().await;
    let body = order("ord_1", "c-42").replace("5980", "\"much\"");
    let problem = gateway.publish(body).await.expect_problem(422, "schema_violation");
    assert_eq!(problem["errors"][0]["pointer"], "/data/totalAmount");
    assert!(!problem.to_string().contains("much"), "the value is not told");
    let page = gateway.get("/v1/topics/orders.v1/events?from=earliest").await.expect(200);
    assert_eq!(page["events"], json!([]));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_metrics_count_what_went_through() {
    let gateway = TestGateway::start().await;
    let mut worker = gateway.socket().await;
    let ok = worker.ask(1, r#"{"id":1,"op":"subscribe","group":"inventory-sync","credit":4}"#).await;
    gateway.publish(order("ord_1", "c-42")).await.expect(201);
    let delivery = worker.next_event().await;
    worker
        .ask(2, &json!({"id":2,"op":"ack","sub":ok["sub"],"deliveries":[delivery["delivery"]]}).to_string())
        .await;
    // The member is answered before what it did is counted.
    eventually("all is counted", || async {
        let metrics = gateway.metrics().await;
        let lines = [
            r#"events_published_total{event_type="orders.placed.v1",topic="orders.v1"} 1"#,
            r#"events_consumed_total{consumer_group="inventory-sync",event_type="orders.placed.v1",topic="orders.v1"} 1"#,
            r#"event_processing_duration_seconds_count{event_type="orders.placed.v1"} 1"#,
        ];
        lines.iter().all(|line| metrics.contains(line)).then_some(())
    })
    .await;
    worker.close().await;
    gateway.stop().await;
}
