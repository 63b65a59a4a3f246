//! Groups that stand still, since their consumer is down or a partition halted, and how they go on.

use weirgate::delivery::{Breaker, DeadLetterQuery, Error, GivenUp, Push, Resume};
use weirgate::event::{Offset, Partition};

use super::engine::PATIENCE;
use super::harness::{Got, Worker, World, group, topic};
use super::waiting::eventually_within;

const HALTING: &str = r#"{"onExhausted":"halt","maxRetries":0}"#;

/// A worker that fails thirty events, each of which has one attempt.
async fn broken_consumer() -> (World, Worker) {
    let world = World::start(1, r#"{"ordering":"none","maxRetries":0}"#).await;
    let mut worker = world.join("c-1", 64).await;
    world.publish(0, "a", 30).await;
    for got in worker.deliveries(30).await {
        worker.nack(&got).await;
    }
    (world, worker)
}

async fn letters(world: &World) -> usize {
    let query = DeadLetterQuery { limit: 100, ..DeadLetterQuery::default() };
    world.delivery.dead_letters(&group(), query).await.unwrap().dead_letters.len()
}

async fn ack_all(worker: &mut Worker, count: usize) -> Vec<Got> {
    let all = worker.deliveries(count).await;
    for got in &all {
        worker.ack(got).await;
    }
    all
}

/// A partition of two events that halts at the first.
async fn halted() -> (World, Worker) {
    let world = World::start(1, HALTING).await;
    let mut worker = world.join("c-1", 1).await;
    world.publish(0, "a", 2).await;
    let got = worker.delivery().await;
    worker.nack(&got).await;
    until_halted(&world).await;
    (world, worker)
}

async fn until_halted(world: &World) {
    let is_halted = async || {
        let view = world.view().await;
        let blocked = &view["partitions"][0]["lanesBlocked"][0];
        (blocked["reason"] == "halted" && blocked["offset"] == 0 && blocked["attempts"] == 1).then_some(())
    };
    eventually_within(PATIENCE, "the partition is halted", is_halted).await;
}

#[tokio::test]
async fn a_consumer_that_is_down_is_probed_and_loses_nothing_meanwhile() {
    let (world, mut worker) = broken_consumer().await;
    let view = world.view().await;
    assert_eq!(view["breaker"], "open");
    assert!(view["breakerOpenMs"].is_u64());
    world.until_metric(r#"weirgate_breaker_state{group="inventory-sync"} 1"#).await;
    let paused = loop {
        if let Push::Assignment { breaker: Breaker::Open, partitions, .. } = worker.told().await {
            break partitions;
        }
    };
    assert_eq!(paused.len(), 1, "it has its partition still");
    let probe = worker.delivery().await;
    assert_eq!(probe.attempt(), 1);
    worker.nack(&probe).await;
    let probe = worker.delivery().await;
    worker.ack(&probe).await;
    let rest = ack_all(&mut worker, 10).await;
    assert!(rest.iter().all(|got| got.attempt() == 1), "no failure counted: {rest:?}");
    world.until_committed(0, 30).await;
    assert_eq!(letters(&world).await, 19, "those before it was clear");
    assert_eq!(world.view().await["breaker"], "closed");
    world.until_metric(r#"weirgate_breaker_state{group="inventory-sync"} 0"#).await;
}

#[tokio::test]
async fn a_breaker_is_closed_by_hand_on_any_gateway() {
    let (world, mut worker) = broken_consumer().await;
    let neighbour = world.neighbour().await;
    let seen = neighbour.delivery.resume(&group(), Resume::default()).await.unwrap();
    assert_eq!(seen.breaker, Breaker::Closed, "it serves nobody");
    ack_all(&mut worker, 11).await;
    world.until_committed(0, 30).await;
    assert_eq!(world.view().await["breaker"], "closed");
}

#[tokio::test]
async fn a_group_without_a_breaker_gives_everything_up() {
    let world = World::start(1, r#"{"ordering":"none","maxRetries":0,"breaker":false}"#).await;
    let mut worker = world.join("c-1", 64).await;
    world.publish(0, "a", 30).await;
    for got in worker.deliveries(30).await {
        worker.nack(&got).await;
    }
    world.until_committed(0, 30).await;
    assert_eq!(letters(&world).await, 30);
}

#[tokio::test]
async fn a_halted_partition_waits_to_be_resumed() {
    let (world, mut worker) = halted().await;
    assert!(worker.is_idle().await);
    let halted = r#"weirgate_partition_halted{group="inventory-sync",partition="0",topic="orders.v1"} 1"#;
    world.until_metric(halted).await;
    let view = world.delivery.resume(&group(), Resume::default()).await.unwrap();
    let view = serde_json::to_value(view).unwrap();
    assert_ne!(view["partitions"][0]["lanesBlocked"][0]["reason"], "halted", "{view}");
    let again = worker.delivery().await;
    assert_eq!((again.offset(), again.attempt()), (0, 1));
    worker.ack(&again).await;
    let next = worker.delivery().await;
    assert_eq!(next.offset(), 1);
    worker.ack(&next).await;
    world.until_committed(0, 2).await;
    assert_eq!(letters(&world).await, 0);
}

#[tokio::test]
async fn another_gateway_is_asked_to_resume_and_the_owner_does() {
    let (world, mut worker) = halted().await;
    let neighbour = world.neighbour().await;
    neighbour.delivery.resume(&group(), Resume::default()).await.unwrap();
    let again = worker.delivery().await;
    assert_eq!((again.offset(), again.attempt()), (0, 1));
}

#[tokio::test]
async fn a_partition_is_halted_after_a_restart_and_a_group_resumed_without_members_goes_on_with_the_next() {
    let (mut world, worker) = halted().await;
    drop(worker);
    world.restart().await;
    let mut worker = world.join("c-2", 1).await;
    until_halted(&world).await;
    assert!(worker.is_idle().await);
    drop(worker);
    world.restart().await;
    world.delivery.resume(&group(), Resume::default()).await.unwrap();
    let mut worker = world.join("c-3", 1).await;
    let again = worker.delivery().await;
    assert_eq!((again.offset(), again.attempt()), (0, 1));
}

#[tokio::test]
async fn a_halted_record_is_given_up_by_somebodys_word() {
    let (world, mut worker) = halted().await;
    let neighbour = world.neighbour().await;
    let knows = async || neighbour.delivery.policy(&group());
    eventually_within(PATIENCE, "the other gateway knows the group", knows).await;
    let place = |name| GivenUp { topic: topic(name), partition: Partition::new(0), offset: Offset::new(0) };
    let foreign = Resume { dead_letter: vec![place("orders.v1"), place("bills.v1")] };
    let refused = neighbour.delivery.resume(&group(), foreign).await;
    assert!(
        matches!(&refused, Err(Error::InvalidResume { pointer, .. }) if pointer == "/deadLetter/1/topic"),
        "{refused:?}"
    );
    let word = Resume { dead_letter: vec![place("orders.v1")] };
    neighbour.delivery.resume(&group(), word).await.unwrap();
    let got = worker.delivery().await;
    assert_eq!((got.offset(), got.attempt()), (1, 1), "the one behind it");
    worker.ack(&got).await;
    world.until_committed(0, 2).await;
    let letters = world.letters().await.dead_letters;
    assert_eq!((letters.len(), letters[0].offset, letters[0].attempts), (1, Offset::new(0), 1));
    assert_eq!(letters[0].reason, "retries_exhausted");
}

#[tokio::test]
async fn a_second_word_to_a_group_that_nobody_serves_does_not_undo_the_first() {
    let mut world = World::start(2, HALTING).await;
    let mut worker = world.join("c-1", 1).await;
    for partition in 0..2 {
        world.publish(partition, "a", 2).await;
        let got = worker.delivery().await;
        assert_eq!(got.offset(), 0);
        worker.nack(&got).await;
    }
    let are_halted = async || {
        let view = world.view().await;
        let is_halted = |number: usize| view["partitions"][number]["lanesBlocked"][0]["reason"] == "halted";
        (is_halted(0) && is_halted(1)).then_some(())
    };
    eventually_within(PATIENCE, "both partitions are halted", are_halted).await;
    drop(worker);
    world.restart().await;
    for partition in 0..2 {
        let (topic, offset) = (topic("orders.v1"), Offset::new(0));
        let word =
            Resume { dead_letter: vec![GivenUp { topic, partition: Partition::new(partition), offset }] };
        world.delivery.resume(&group(), word).await.unwrap();
    }
    let mut worker = world.join("c-2", 8).await;
    let rest = ack_all(&mut worker, 2).await;
    assert!(rest.iter().all(|got| got.offset() == 1), "{rest:?}");
    world.until_committed(0, 2).await;
    world.until_committed(1, 2).await;
    assert_eq!(letters(&world).await, 2);
}
