//! Keys that are parked behind a dead event until their letters are settled.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use weirgate::delivery::{
    DeadLetter, DeadLetterId, DeadLetterQuery, DeadLetterState, Delivery, How, Settlement,
};
use weirgate::event::{Clock, Offset, Partition};
use weirgate::log::Table;

use super::engine::PATIENCE;
use super::harness::{Got, Worker, World, group, patch, topic};
use super::redrives::redrive;
use super::waiting::eventually_within;

pub(crate) const PARKING: &str =
    r#"{"onExhausted":"park_key","ordering":"key","maxRetries":0,"breaker":false}"#;

pub(crate) async fn reject(worker: &Worker, got: &Got) {
    let reject = Settlement::Reject { tag: got.tag, reason: None };
    assert_eq!(worker.settle(reject).await, []);
}

pub(crate) async fn letters(delivery: &Delivery) -> Vec<DeadLetter> {
    let mut query = DeadLetterQuery { limit: 1_000, ..DeadLetterQuery::default() };
    let mut letters = Vec::new();
    loop {
        let page = delivery.dead_letters(&group(), query.clone()).await.unwrap();
        letters.extend(page.dead_letters);
        query.cursor = page.cursor;
        if query.cursor.is_none() {
            return letters;
        }
    }
}

/// Offsets and reasons of a number of letters, once they are there.
async fn until_letters(world: &World, count: usize) -> Vec<(u64, String)> {
    let are_there = async || {
        let letters = letters(&world.delivery).await;
        (letters.len() >= count).then_some(letters)
    };
    let letters = eventually_within(PATIENCE, format_args!("{count} letters are there"), are_there).await;
    letters.into_iter().map(|letter| (letter.offset.number(), letter.reason)).collect()
}

pub(crate) async fn until_keys_parked(world: &World, count: u64) {
    let are_parked = async || {
        let view = world.view().await;
        let partitions = view["partitions"].as_array().unwrap();
        let parked: u64 = partitions.iter().map(|one| one["keysParked"].as_u64().unwrap()).sum();
        (parked == count).then_some(())
    };
    eventually_within(PATIENCE, format_args!("{count} keys are parked"), are_parked).await;
}

pub(crate) async fn discard(delivery: &Delivery, id: &DeadLetterId) {
    delivery.discard_dead_letter(&group(), &[topic("orders.v1")], id, "anna").await.unwrap();
}

pub(crate) async fn discard_all(delivery: &Delivery) {
    for letter in letters(delivery).await {
        discard(delivery, &letter.id).await;
    }
}

/// Waits until a letter or its parking was refused.
async fn until_refused(world: &World) {
    let is_refused = async || {
        let metrics = world.registry.render();
        let count = metrics.lines().find_map(|line| line.strip_prefix("weirgate_dlq_write_failures_total "));
        count.is_some_and(|count| count != "0").then_some(())
    };
    eventually_within(PATIENCE, "something was refused", is_refused).await;
}

/// A poison event of key `a`, its letter, and the next event of the key, a letter too.
pub(crate) async fn parked(policy: &str) -> (World, Worker) {
    let world = World::start(1, policy).await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 1).await;
    let got = worker.delivery().await;
    worker.nack(&got).await;
    until_keys_parked(&world, 1).await;
    world.publish(0, "a", 1).await;
    let reason = |reason: &str| reason.to_owned();
    let expected = [(0, reason("retries_exhausted")), (1, reason("key_parked"))];
    assert_eq!(until_letters(&world, 2).await, expected);
    (world, worker)
}

#[tokio::test]
async fn a_poison_keys_later_events_become_letters_in_order_and_others_go_on() {
    for ordering in ["key", "partition"] {
        let (world, mut worker) = parked(&PARKING.replace(r#""key""#, &format!("{ordering:?}"))).await;
        for _ in 0..20 {
            world.publish(0, "a", 20).await;
            world.publish(0, "b", 1).await;
        }
        let mut others = Vec::new();
        while others.len() < 20 {
            let got = worker.delivery().await;
            worker.ack(&got).await;
            others.push(got);
        }
        assert!(others.iter().all(|got| got.frame["key"] == "b"), "{others:?}");
        let letters = until_letters(&world, 402).await;
        let of_key = (0..422).filter(|offset| *offset < 2 || (offset - 1) % 21 != 0);
        assert_eq!(letters.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), of_key.collect::<Vec<_>>());
        assert!(letters[1..].iter().all(|(_, reason)| reason == "key_parked"));
        world.until_committed(0, 422).await;
        assert!(worker.is_idle().await, "nothing of the key was tried");
        let line = r#"weirgate_dlq_messages_total{group="inventory-sync",reason="key_parked",topic="orders.v1"} 401"#;
        world.until_metric(line).await;
        world.until_metric(r#"weirgate_keys_parked{group="inventory-sync",topic="orders.v1"} 1"#).await;
    }
}

#[tokio::test]
async fn a_key_is_released_when_its_last_letter_is_discarded() {
    let (world, mut worker) = parked(PARKING).await;
    let ids: Vec<DeadLetterId> = letters(&world.delivery).await.into_iter().map(|letter| letter.id).collect();
    discard(&world.delivery, &ids[1]).await;
    world.publish(0, "a", 1).await;
    until_letters(&world, 3).await;
    let neighbour = world.neighbour().await;
    let knows = async || {
        let is_known = neighbour.delivery.policy(&group()).is_some();
        (is_known && neighbour.delivery.has_dead_letter_states()).then_some(())
    };
    eventually_within(PATIENCE, "the other gateway knows the group", knows).await;
    discard_all(&neighbour.delivery).await;
    until_keys_parked(&world, 0).await;
    world.publish(0, "a", 2).await;
    for offset in [3, 4] {
        let got = worker.delivery().await;
        assert_eq!((got.offset(), got.attempt()), (offset, 1));
        worker.ack(&got).await;
    }
    world.until_committed(0, 5).await;
    world.until_metric(r#"weirgate_keys_parked{group="inventory-sync",topic="orders.v1"} 0"#).await;
    assert_eq!(letters(&world.delivery).await.len(), 3);
}

#[tokio::test]
async fn a_key_is_released_when_its_last_letter_is_acknowledged_after_a_redrive() {
    let (world, mut worker) = parked(PARKING).await;
    for letter in letters(&world.delivery).await {
        redrive(&world, &letter.id).await.unwrap();
    }
    // What was redriven is not settled yet.
    world.publish(0, "a", 1).await;
    until_letters(&world, 3).await;
    take_redriven(&mut worker, 0).await;
    take_redriven(&mut worker, 1).await;
    let last = letters(&world.delivery).await.pop().unwrap();
    assert_eq!((last.offset, last.reason.as_str()), (Offset::new(2), "key_parked"));
    redrive(&world, &last.id).await.unwrap();
    take_redriven(&mut worker, 2).await;
    until_keys_parked(&world, 0).await;
    world.publish(0, "a", 1).await;
    let got = worker.delivery().await;
    assert_eq!((got.offset(), got.attempt(), &got.frame["redrives"]), (3, 1, &serde_json::Value::Null));
    worker.ack(&got).await;
    assert!(letters(&world.delivery).await.iter().all(|one| one.state == DeadLetterState::Resolved));
}

async fn take_redriven(worker: &mut Worker, offset: u64) {
    let got = worker.delivery().await;
    assert_eq!((got.offset(), got.frame["redrives"].as_u64()), (offset, Some(1)));
    worker.ack(&got).await;
}

#[tokio::test]
async fn a_key_stays_parked_over_a_crash_and_a_restart() {
    let (mut world, worker) = parked(PARKING).await;
    drop(worker);
    world.crash().await;
    let mut worker = world.join("c-2", 8).await;
    world.publish(0, "a", 1).await;
    world.publish(0, "b", 1).await;
    let got = worker.delivery().await;
    assert_eq!(got.offset(), 3, "of another key");
    worker.ack(&got).await;
    until_letters(&world, 3).await;
    worker.leave(How::Clean).await;
    world.restart().await;
    let mut worker = world.join("c-3", 8).await;
    world.publish(0, "a", 1).await;
    until_letters(&world, 4).await;
    discard_all(&world.delivery).await;
    until_keys_parked(&world, 0).await;
    world.publish(0, "a", 1).await;
    assert_eq!(worker.delivery().await.offset(), 5);
}

#[tokio::test]
async fn parked_keys_go_an_hour_after_their_group_ceased_to_read_the_topic() {
    let (mut world, worker) = parked(PARKING).await;
    drop(worker);
    let table = Table::open(Arc::clone(&world.log), topic("_weirgate.dead_letters"), 1).await.unwrap();
    let mark = Bytes::from("parking/inventory-sync/orders.v1/0");
    let keys = || table.below(b"parked/inventory-sync/").len();
    let begun = || table.read(&mark)?.starts_with(b"unread-").then_some(());

    world.create("other.v1", 1).await;
    world.delivery.put_policy(&group(), patch(r#"{"topics":["other.v1"]}"#)).await.unwrap();
    // A gateway looks at them when it starts, and then every ten minutes.
    world.restart().await;
    eventually_within(PATIENCE, "the hour has begun", async || begun()).await;
    assert_eq!(keys(), 1);

    // Back in time the key is as it was, for the group's worker and for the next hour.
    world.delivery.put_policy(&group(), patch(r#"{"topics":["orders.v1"]}"#)).await.unwrap();
    let worker = world.join("c-2", 8).await;
    world.publish(0, "a", 1).await;
    until_letters(&world, 3).await;
    assert!(begun().is_none() && keys() == 1);
    drop(worker);

    world.delivery.put_policy(&group(), patch(r#"{"topics":["other.v1"]}"#)).await.unwrap();
    world.restart().await;
    eventually_within(PATIENCE, "another hour has begun", async || begun()).await;
    let hour_ago = Clock::system().now().plus_millis(-3_600_000).millis();
    table.write(mark.clone(), Some(format!("unread-{hour_ago}").into())).await.unwrap();
    world.restart().await;
    let is_gone = async || (keys() == 0 && table.read(&mark).is_none()).then_some(());
    eventually_within(PATIENCE, "the key is gone", is_gone).await;
    assert_eq!(letters(&world.delivery).await.len(), 3, "letters stay");
}

#[tokio::test]
async fn a_rejected_event_parks_its_key_and_its_followers_are_taken_back() {
    let world = World::start(1, r#"{"onExhausted":"park_key"}"#).await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 1).await;
    world.publish(0, "b", 1).await;
    world.publish(0, "a", 1).await;
    let all = worker.deliveries(3).await;
    reject(&worker, &all[0]).await;
    let (tags, _) = worker.withdrawn().await;
    assert_eq!(tags, [all[1].tag, all[2].tag]);
    let again = worker.delivery().await;
    assert_eq!((again.offset(), again.attempt()), (1, 1));
    worker.ack(&again).await;
    let letters = until_letters(&world, 2).await;
    assert_eq!(letters, [(0, "rejected".to_owned()), (2, "key_parked".to_owned())]);
    world.until_committed(0, 3).await;
}

#[tokio::test]
async fn a_key_is_parked_when_the_table_takes_it_and_waits_until_then() {
    let world = World::start(1, PARKING).await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 2).await;
    let got = worker.delivery().await;
    world.fault.has_fixed_tables.store(true, SeqCst);
    worker.nack(&got).await;
    until_refused(&world).await;
    world.publish(0, "b", 1).await;
    let other = worker.delivery().await;
    assert_eq!(other.offset(), 2, "the key waits, and no other");
    worker.ack(&other).await;
    assert_eq!(until_letters(&world, 1).await.len(), 1);
    world.fault.has_fixed_tables.store(false, SeqCst);
    let letters = until_letters(&world, 2).await;
    assert_eq!(letters.last(), Some(&(1, "key_parked".to_owned())));
    world.until_committed(0, 3).await;
}

#[tokio::test]
async fn letters_that_are_refused_for_a_while_come_in_order_all_the_same() {
    let (world, _worker) = parked(PARKING).await;
    world.fault.is_on.store(true, SeqCst);
    world.publish(0, "a", 300).await;
    let is_refused = async || (world.fault.refused.load(SeqCst) > 1).then_some(());
    eventually_within(PATIENCE, "letters are refused", is_refused).await;
    world.fault.is_on.store(false, SeqCst);
    let letters = until_letters(&world, 302).await;
    assert_eq!(letters.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), (0..302).collect::<Vec<_>>());
    world.until_committed(0, 302).await;
}

#[tokio::test]
async fn another_policy_tries_what_comes_and_parking_goes_on_where_it_was() {
    let (world, mut worker) = parked(PARKING).await;
    let put = async |policy: &str| {
        world.delivery.put_policy(&group(), patch(policy)).await.unwrap();
    };
    put(r#"{"onExhausted":"skip"}"#).await;
    world.publish(0, "a", 2).await;
    for offset in [2, 3] {
        let got = worker.delivery().await;
        assert_eq!(got.offset(), offset);
        worker.ack(&got).await;
    }
    world.until_committed(0, 4).await;
    put(r#"{"onExhausted":"park_key"}"#).await;
    world.publish(0, "a", 1).await;
    let letters = until_letters(&world, 3).await;
    assert_eq!(letters.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 1, 4]);
    discard_all(&world.delivery).await;
    until_keys_parked(&world, 0).await;
}

#[tokio::test]
async fn letters_that_retention_removed_keep_no_key_parked() {
    let (mut world, worker) = parked(PARKING).await;
    world.until_committed(0, 2).await;
    worker.leave(How::Clean).await;
    let letters = topic("dlq.orders.v1.inventory-sync");
    world.log.delete_records(&letters, Partition::new(0), Offset::new(2)).await.unwrap();
    // A group looks for them when it gets a partition, and then every minute.
    world.restart().await;
    let mut worker = world.join("c-2", 8).await;
    until_keys_parked(&world, 0).await;
    world.publish(0, "a", 1).await;
    assert_eq!(worker.delivery().await.offset(), 2);
}

#[tokio::test]
async fn one_parked_key_too_many_waits_until_another_is_released() {
    let world = World::start(1, PARKING).await;
    let mut worker = world.join("c-1", 256).await;
    for key in 0..110 {
        world.publish(0, &key.to_string(), 1).await;
    }
    // Keys are parked together, and together they wait.
    for got in worker.deliveries(60).await {
        reject(&worker, &got).await;
    }
    until_keys_parked(&world, 60).await;
    for got in worker.deliveries(50).await {
        reject(&worker, &got).await;
    }
    until_letters(&world, 110).await;
    until_refused(&world).await;
    world.publish(0, "healthy", 1).await;
    let got = worker.delivery().await;
    worker.ack(&got).await;
    discard_all(&world.delivery).await;
    until_keys_parked(&world, 0).await;
    world.until_committed(0, 111).await;
}
