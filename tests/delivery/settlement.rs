//! Settlement, retries and dead letters as a member sees them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use weirgate::delivery::{Refused, Settlement, State, Tag, Withdrawal};

use super::engine::PATIENCE;
use super::harness::{World, offsets};
use super::waiting::eventually_within;

#[tokio::test]
async fn a_delivery_has_the_members_of_the_protocol() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "42", 1).await;
    let got = worker.delivery().await;
    assert_eq!(got.frame["sub"], worker.member.id().number());
    assert_eq!(got.frame["delivery"], got.tag.to_string());
    assert_eq!(got.frame["attempt"], 1);
    assert_eq!(got.frame["deadlineMs"], 30_000);
    assert_eq!(got.frame["topic"], "orders.v1");
    assert_eq!(got.frame["partition"], 0);
    assert_eq!(got.frame["offset"], 0);
    assert_eq!(got.frame["key"], "42");
    assert_eq!(got.frame["event"]["eventType"], "orders.placed.v1");
    assert_eq!(Tag::parse(got.frame["delivery"].as_str().unwrap()), Ok(got.tag));
    worker.ack(&got).await;
    world.until_committed(0, 1).await;
}

#[tokio::test]
async fn a_nack_rewinds_the_partition_and_settled_ones_stay_settled() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "42", 4).await;
    let got = worker.deliveries(4).await;
    worker.ack(&got[0]).await;
    worker.ack(&got[2]).await;
    worker.nack(&got[1]).await;
    assert_eq!(worker.withdrawn().await, (vec![got[3].tag], Withdrawal::Rewind));
    let again = worker.deliveries(2).await;
    assert_eq!(offsets(&again), [1, 3]);
    assert_eq!((again[0].attempt(), again[1].attempt()), (2, 1));
    let stale = worker.settle(Settlement::Ack(vec![got[3].tag])).await;
    assert_eq!(stale, [Refused { tag: got[3].tag, state: State::Stale }]);
    assert_eq!(worker.settle(Settlement::AckUpTo(again[1].tag)).await, []);
    world.until_committed(0, 4).await;
}

#[tokio::test]
async fn the_fourth_failure_is_the_last_and_the_letter_says_so() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 1).await;
    world.publish(0, "42", 2).await;
    for attempt in 1..=4 {
        let got = worker.delivery().await;
        assert_eq!((got.offset(), got.attempt()), (0, attempt));
        worker.nack(&got).await;
    }
    let next = worker.delivery().await;
    assert_eq!((next.offset(), next.attempt()), (1, 1));
    let letters = world.letters().await.dead_letters;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, "retries_exhausted");
    assert_eq!(letters[0].error.as_deref(), Some("stock service down"));
    let letter = &letters[0];
    assert_eq!((letter.attempts, letter.offset.number(), letter.state.as_str()), (4, 0, "open"));
    assert!(letters[0].first_failed_at < letters[0].last_failed_at);
    worker.ack(&next).await;
    world.until_committed(0, 2).await;
}

#[tokio::test]
async fn a_rejected_event_goes_straight_to_the_dead_letters() {
    let world = World::start(2, "{}").await;
    let mut worker = world.join("c-1", 4).await;
    world.publish(1, "42", 1).await;
    let got = worker.delivery().await;
    let reject = Settlement::Reject { tag: got.tag, reason: Some("no such sku".to_owned()) };
    assert_eq!(worker.settle(reject).await, []);
    world.until_committed(1, 1).await;
    let letters = serde_json::to_value(world.letters().await).unwrap();
    let letter = &letters["deadLetters"][0];
    assert_eq!(letter["reason"], "rejected");
    assert_eq!(letter["error"], "no such sku");
    assert_eq!(
        (&letter["partition"], &letter["offset"], &letter["key"]),
        (&1.into(), &0.into(), &"42".into())
    );
    assert!(letters.get("cursor").is_none());
    let metrics = world.registry.render();
    let counted =
        "weirgate_dlq_messages_total{group=\"inventory-sync\",reason=\"rejected\",topic=\"orders.v1\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn an_unsettled_delivery_expires_and_comes_again() {
    let world = World::start(1, r#"{"ackTimeoutMs":2000}"#).await;
    let mut worker = world.join("c-1", 2).await;
    world.publish(0, "42", 2).await;
    let got = worker.deliveries(2).await;
    let (expired, reason) = worker.withdrawn().await;
    assert_eq!((expired, reason), (vec![got[0].tag], Withdrawal::Expired));
    assert_eq!(worker.withdrawn().await, (vec![got[1].tag], Withdrawal::Rewind));
    let again = worker.delivery().await;
    assert_eq!((again.offset(), again.attempt()), (0, 2));
    assert_eq!(worker.settle(Settlement::Ack(vec![got[0].tag])).await[0].state, State::Stale);
}

#[tokio::test]
async fn an_extended_delivery_does_not_expire() {
    let policy = r#"{"ackTimeoutMs":100,"maxRetries":1000,"breaker":false}"#;
    let world = World::start(1, policy).await;
    let mut worker = world.join("c-1", 2).await;
    world.publish(0, "42", 1).await;
    // One that comes too late extends nothing, and there is another attempt.
    let got = loop {
        let got = worker.delivery().await;
        let extend = Settlement::Extend { tag: got.tag, by: Duration::from_secs(600) };
        let refused = worker.settle(extend).await;
        if refused.is_empty() {
            break got;
        }
        assert_eq!(refused, [Refused { tag: got.tag, state: State::Stale }]);
        assert_eq!(worker.withdrawn().await, (vec![got.tag], Withdrawal::Expired));
    };
    assert!(worker.is_idle().await);
    worker.ack(&got).await;
}

#[tokio::test]
async fn tags_of_others_and_of_nobody_do_not_count() {
    let world = World::start(2, "{}").await;
    let mut one = world.join("c-1", 4).await;
    let other = world.join("c-2", 4).await;
    world.publish(0, "42", 1).await;
    world.publish(1, "42", 1).await;
    let got = one.delivery().await;
    let foreign = other.settle(Settlement::Ack(vec![got.tag])).await;
    assert_eq!(foreign, [Refused { tag: got.tag, state: State::Foreign }]);
    let unknown = Tag::parse("gICAgICAgICAAQAAAAE").unwrap();
    assert_eq!(one.settle(Settlement::Ack(vec![unknown])).await[0].state, State::Unknown);
    one.ack(&got).await;
    assert_eq!(one.settle(Settlement::Ack(vec![got.tag])).await[0].state, State::Stale);
}

#[tokio::test]
async fn a_nacks_own_delay_overrides_the_schedule() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 1).await;
    world.publish(0, "42", 1).await;
    let got = worker.delivery().await;
    let delay = Duration::from_millis(400);
    let before = tokio::time::Instant::now();
    worker.settle(Settlement::Nack { tag: got.tag, delay: Some(delay), reason: None }).await;
    assert_eq!(worker.delivery().await.attempt(), 2);
    assert!(before.elapsed() >= delay);
}

#[tokio::test]
async fn key_order_blocks_one_key_and_no_other() {
    let world = World::start(1, r#"{"ordering":"key"}"#).await;
    let mut worker = world.join("c-1", 10).await;
    world.publish(0, "a", 2).await;
    world.publish(0, "b", 1).await;
    let got = worker.deliveries(2).await;
    assert_eq!(offsets(&got), [0, 2], "one at a time of a key");
    worker.nack(&got[0]).await;
    worker.ack(&got[1]).await;
    let again = worker.delivery().await;
    assert_eq!((again.offset(), again.attempt()), (0, 2));
    worker.ack(&again).await;
    let last = worker.delivery().await;
    assert_eq!(last.offset(), 1);
    worker.ack(&last).await;
    world.until_committed(0, 3).await;
}

#[tokio::test]
async fn without_order_everything_goes_at_once() {
    let world = World::start(1, r#"{"ordering":"none"}"#).await;
    let mut worker = world.join("c-1", 10).await;
    world.publish(0, "a", 5).await;
    let got = worker.deliveries(5).await;
    worker.nack(&got[0]).await;
    for one in &got[1..] {
        worker.ack(one).await;
    }
    assert_eq!(worker.delivery().await.offset(), 0);
}

#[tokio::test]
async fn a_lane_waits_until_its_dead_letter_is_written() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 1).await;
    world.fault.is_on.store(true, Ordering::SeqCst);
    world.publish(0, "42", 2).await;
    let got = worker.delivery().await;
    assert_eq!(worker.settle(Settlement::Reject { tag: got.tag, reason: None }).await, []);
    let is_refused = async || (world.fault.refused.load(Ordering::SeqCst) > 0).then_some(());
    eventually_within(PATIENCE, "the letter is refused", is_refused).await;
    assert!(worker.is_idle().await, "the next one waits");
    assert_eq!(world.committed(0).await, Some(0));
    let view = serde_json::to_value(world.delivery.group(&super::harness::group()).await.unwrap()).unwrap();
    assert_eq!(view["partitions"][0]["lanesBlocked"][0]["reason"], "dead_letter");
    world.fault.is_on.store(false, Ordering::SeqCst);
    assert_eq!(worker.delivery().await.offset(), 1);
    assert_eq!(world.letters().await.dead_letters.len(), 1);
    assert!(world.registry.render().lines().any(|line| {
        line.strip_prefix("weirgate_dlq_write_failures_total ").is_some_and(|count| count != "0")
    }));
}

#[tokio::test]
async fn a_letter_that_does_not_fit_points_to_its_record() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 1).await;
    world.fault.value_bytes_max.store(100, Ordering::SeqCst);
    world.publish(0, "42", 1).await;
    let got = worker.delivery().await;
    assert_eq!(worker.settle(Settlement::Reject { tag: got.tag, reason: Some("bad".to_owned()) }).await, []);
    world.until_committed(0, 1).await;
    let letters = world.letters().await.dead_letters;
    assert_eq!((letters[0].reason.as_str(), letters[0].error.as_deref()), ("too_large", Some("bad")));
    assert_eq!((letters[0].key.as_deref(), letters[0].offset.number()), (Some("42"), 0));
}
