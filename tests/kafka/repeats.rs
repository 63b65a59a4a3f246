//! Repeats that reach another gateway than the first request did.

use serde_json::json;
use tokio::task::spawn_blocking;

use crate::broker::Cluster;
use crate::engine;
use crate::gateway::Gateway;
use crate::harness::waiting::eventually_within;
use crate::harness::{READY_MAX, order};

/// An order with an id of its own.
fn order_with_id(last: u8, order_id: &str) -> String {
    let id = format!(r#"{{"eventId":"550e8400-e29b-41d4-a716-4466554400{last:02}","#);
    order(order_id, "c-1").replacen('{', &id, 1)
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn repeats_of_ids_and_keys_are_recognised_by_another_gateway() {
    let cluster = spawn_blocking(|| Cluster::start(1)).await.unwrap();
    let (one, other) =
        tokio::join!(Gateway::start(engine::flags(&cluster)), Gateway::start(engine::flags(&cluster)));
    tokio::join!(one.until_ready(), other.until_ready());

    let (status, stored) = one.post(&[], order_with_id(1, "ord_1")).await;
    assert_eq!(status, 201, "{stored}");
    // A repeat that comes before the id was told is stored again; a dry run shows when it was, and stores nothing.
    eventually_within(READY_MAX, "the other gateway knows the id", async || {
        let (status, _) = other.post_to("/v1/events?dryRun=true", &[], order_with_id(1, "ord_x")).await;
        (status == 409).then_some(())
    })
    .await;
    let (status, again) = other.post(&[], order_with_id(1, "ord_1")).await;
    assert_eq!((status, &again["status"]), (200, &json!("duplicate")), "{again}");
    assert_eq!((&again["partition"], &again["offset"]), (&stored["partition"], &stored["offset"]));

    // Of requests with one key exactly one is stored, wherever they go.
    let key = [("idempotency-key", "k-1")];
    let requests = (0..8).map(|number| {
        let gateway = if number % 2 == 0 { &one } else { &other };
        gateway.post(&key, order("ord_2", "c-1"))
    });
    let answers = futures_util::future::join_all(requests).await;
    let mut receipts: Vec<_> =
        answers.iter().filter(|(status, _)| *status == 201).map(|(_, body)| body).collect();
    assert!(!receipts.is_empty(), "{answers:?}");
    for (status, body) in &answers {
        assert!(*status == 201 || body["code"] == "idempotency_in_progress", "{status}: {body}");
    }
    receipts.dedup();
    assert_eq!(receipts.len(), 1, "{answers:?}");
    let receipt = receipts.remove(0);
    for gateway in [&one, &other] {
        eventually_within(READY_MAX, "the answer is told", async || {
            let (status, body) = gateway.post(&key, order("ord_2", "c-1")).await;
            assert!(status == 201 || body["code"] == "idempotency_in_progress", "{status}: {body}");
            (status == 201).then(|| assert_eq!(&body, receipt))
        })
        .await;
    }
    assert_eq!(one.orders(&stored["partition"]).await, ["ord_1", "ord_2"]);
    tokio::join!(one.stop(), other.stop());
}
