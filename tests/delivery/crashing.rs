//! Workers whose connections break, of one event or of whatever they get.

use std::future::pending;

use serde_json::Value;
use tokio::select;
use weirgate::delivery::{BreakerReason, DeadLetterQuery, Push, Settlement, Tag};

use super::engine::PATIENCE;
use super::harness::{Worker, World, group};
use super::waiting::eventually_within;

/// The deliveries that a worker has got together, by offset.
async fn batch(worker: &mut Worker) -> Vec<(u64, Tag)> {
    let pushes = worker.member.next(1 << 20).await.unwrap();
    let got = pushes.iter().filter_map(|push| match push {
        Push::Delivery { tag, frame } => {
            let frame: Value = serde_json::from_slice(frame).unwrap();
            Some((frame["offset"].as_u64().unwrap(), *tag))
        }
        _ => None,
    });
    got.collect()
}

/// One worker after the other: each settles what it gets together, and dies where this is among it.
async fn work(world: &World, poison: Option<u64>) {
    for number in 0.. {
        let mut worker = world.join(&format!("c-{number}"), 64).await;
        loop {
            let got = batch(&mut worker).await;
            if got.iter().any(|(offset, _)| Some(*offset) == poison) {
                break;
            }
            let tags = got.into_iter().map(|(_, tag)| tag).collect();
            assert_eq!(worker.settle(Settlement::Ack(tags)).await, []);
        }
    }
    pending().await
}

/// One worker after the other dies of whatever it gets.
async fn crash(world: &World) {
    for number in 0.. {
        let mut worker = world.join(&format!("c-{number}"), 64).await;
        while batch(&mut worker).await.is_empty() {}
    }
    pending().await
}

async fn letters(world: &World) -> Vec<(u64, u32)> {
    let query = DeadLetterQuery { limit: 100, ..DeadLetterQuery::default() };
    let page = world.delivery.dead_letters(&group(), query).await.unwrap();
    page.dead_letters.iter().map(|letter| (letter.offset.number(), letter.attempts)).collect()
}

#[tokio::test]
async fn an_event_that_kills_its_worker_becomes_a_letter_and_no_other_one_does() {
    let world = World::start(1, r#"{"ordering":"none","maxRetries":1}"#).await;
    world.publish(0, "a", 30).await;
    select! {
        () = work(&world, Some(20)) => {}
        () = world.until_committed(0, 30) => {}
    }
    assert_eq!(letters(&world).await, [(20, 2)]);
}

#[tokio::test]
async fn a_worker_that_always_dies_opens_the_breaker_and_nothing_becomes_a_letter() {
    let world = World::start(1, r#"{"ordering":"none","maxRetries":5}"#).await;
    world.publish(0, "a", 30).await;
    let until_open = async {
        let is_open = async || (world.view().await["breaker"] == "open").then_some(());
        eventually_within(PATIENCE, "the breaker is open", is_open).await;
    };
    select! {
        () = crash(&world) => {}
        () = until_open => {}
    }
    let view = world.view().await;
    assert_eq!(view["breakerReason"], "connections_lost");
    assert_eq!(view["gateways"][0]["breakerReason"], "connections_lost");
    let opened = r#"weirgate_breaker_opened_total{group="inventory-sync",reason="connections_lost"} 1"#;
    world.until_metric(opened).await;
    let mut worker = world.join("c-told", 0).await;
    let Push::Assignment { breaker_reason, .. } = worker.told().await else { panic!("something else first") };
    assert_eq!(breaker_reason, Some(BreakerReason::ConnectionsLost));
    select! {
        () = work(&world, None) => {}
        () = world.until_committed(0, 30) => {}
    }
    assert_eq!(letters(&world).await, []);
    let is_closed = async || (world.view().await["breaker"] == "closed").then_some(());
    eventually_within(PATIENCE, "the breaker is closed", is_closed).await;
    assert!(world.view().await.get("breakerReason").is_none());
}
