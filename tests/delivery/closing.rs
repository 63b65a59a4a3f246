//! Parked keys whose producers go on all the while: a redrive gives them free, each event in its order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use weirgate::delivery::{DeadLetterState, Push, Redrive, RedriveState, Settlement};
use weirgate::event::Partition;
use weirgate::log::Append;

use super::engine::PATIENCE;
use super::harness::{Got, Worker, World, record, topic};
use super::jobs::{begin, until_ended};
use super::parking::{PARKING, letters, parked, until_keys_parked};
use super::waiting::{eventually_within, in_time};

/// A key has an event as often: settling one that was sent back takes much longer.
const EVERY: Duration = Duration::from_millis(40);

/// Publishes to a key until it is stopped.
pub(crate) struct Producer {
    stop: CancellationToken,
    task: JoinHandle<u64>,
}

/// What a consumer saw, by partition: of each event the first time, which is in order.
#[derive(Debug, Default)]
pub(crate) struct Sights {
    next: BTreeMap<u64, u64>,
    /// How many events came as they were published.
    live: BTreeMap<u64, u64>,
}

impl Producer {
    pub(crate) fn start(world: &World, partition: u32, key: &'static str) -> Self {
        let (log, stop) = (Arc::clone(&world.log), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut times = interval(EVERY);
            let mut count = 0;
            while stopped.run_until_cancelled(times.tick()).await.is_some() {
                let records = vec![record(key)];
                let partition = Partition::new(partition);
                log.append(Append { topic: topic("orders.v1"), partition, records }).await.unwrap();
                count += 1;
            }
            count
        });
        Self { stop, task }
    }

    /// How many events it published.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.cancel();
        in_time(PATIENCE, "the producer's end", self.task).await.unwrap()
    }
}

impl Sights {
    pub(crate) fn note(&mut self, got: &Got) {
        let (partition, offset) = (got.frame["partition"].as_u64().unwrap(), got.offset());
        let next = self.next.entry(partition).or_default();
        assert!(offset <= *next, "{offset} of partition {partition} passes {next}: {}", got.frame);
        *next = (*next).max(offset + 1);
        *self.live.entry(partition).or_default() += u64::from(got.frame["redrives"].is_null());
    }

    pub(crate) fn live(&self, partition: u64) -> u64 {
        self.live.get(&partition).copied().unwrap_or(0)
    }

    pub(crate) fn next(&self, partition: u64) -> u64 {
        self.next.get(&partition).copied().unwrap_or(0)
    }

    /// Acknowledges what comes until it is enough.
    async fn take(&mut self, worker: &mut Worker, is_enough: impl Fn(&Self) -> bool) {
        while !is_enough(self) {
            if let Some(got) = next_delivery(worker).await {
                self.note(&got);
                worker.ack(&got).await;
            }
        }
    }
}

/// The next delivery, or nothing where something else was told.
pub(crate) async fn next_delivery(worker: &mut Worker) -> Option<Got> {
    match worker.told_but_assignments().await {
        Push::Delivery { tag, frame } => Some(Got { tag, frame: serde_json::from_slice(&frame).unwrap() }),
        _ => None,
    }
}

/// Waits until events of a parked key wait for its last letters.
async fn until_closing(world: &World) {
    let is_closing = async || {
        let view = world.view().await;
        let mut partitions = view["partitions"].as_array().unwrap().iter();
        partitions.any(|one| one["lanesBlocked"][0]["reason"] == "key_closing").then_some(())
    };
    eventually_within(PATIENCE, "events of the key wait", is_closing).await;
}

/// Until the key is free and all that was published is acknowledged.
async fn until_free(world: &World, worker: &mut Worker, producer: Producer, mut sights: Sights) {
    sights.take(worker, |sights| sights.live(0) >= 20).await;
    // Two were there before.
    let count = 2 + producer.stop().await;
    sights.take(worker, |sights| sights.next(0) == count).await;
    until_keys_parked(world, 0).await;
    world.until_committed(0, count).await;
    let letters = letters(&world.delivery).await;
    assert!(letters.len() > 2, "there were new letters while the first went back");
    assert!(letters.iter().all(|letter| letter.state == DeadLetterState::Resolved), "{letters:?}");
}

fn assert_whole(ended: &Redrive) {
    assert_eq!((ended.state, &ended.reason), (RedriveState::Done, &None), "{ended:?}");
    assert!(ended.letters > 2 && ended.counts.examined == ended.letters, "{ended:?}");
}

#[tokio::test]
async fn a_parked_key_with_steady_traffic_is_free_after_a_redrive_and_in_order() {
    for ordering in ["key", "partition"] {
        let (world, mut worker) = parked(&PARKING.replace(r#""key""#, &format!("{ordering:?}"))).await;
        let producer = Producer::start(&world, 0, "a");
        let begun = begin(&world.delivery, None).await.unwrap();
        until_free(&world, &mut worker, producer, Sights::default()).await;
        let ended = until_ended(&world.delivery, &begun.id).await;
        assert_whole(&ended);
        assert_eq!(ended.counts.moved, u64::try_from(letters(&world.delivery).await.len()).unwrap());
        world.until_metric(r#"weirgate_keys_closing{group="inventory-sync"} 0"#).await;
    }
}

#[tokio::test]
async fn where_a_letter_dies_again_its_key_stays_parked_and_what_waited_dies_behind_it() {
    let (world, mut worker) = parked(PARKING).await;
    let producer = Producer::start(&world, 0, "a");
    let begun = begin(&world.delivery, None).await.unwrap();
    let first = next_delivery(&mut worker).await.unwrap();
    assert_eq!((first.offset(), first.frame["redrives"].as_u64()), (0, Some(1)));
    until_closing(&world).await;
    world.until_metric(r#"weirgate_keys_closing{group="inventory-sync"} 1"#).await;
    assert_eq!(worker.settle(Settlement::Reject { tag: first.tag, reason: None }).await, []);
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_whole(&ended);
    world.until_metric(r#"weirgate_keys_closing{group="inventory-sync"} 0"#).await;
    until_keys_parked(&world, 1).await;
    let count = 2 + producer.stop().await;
    world.until_committed(0, count).await;
    let are_open = async || {
        let letters = letters(&world.delivery).await;
        let are_open = letters.iter().all(|letter| letter.state == DeadLetterState::Open);
        (are_open && letters.len() as u64 == count).then_some(())
    };
    eventually_within(PATIENCE, "all are letters", are_open).await;

    // Where what waited became a letter ahead of what was on its way, it takes one more.
    let mut sights = Sights::default();
    while sights.next(0) < count {
        let begun = begin(&world.delivery, None).await.unwrap();
        let is_over = async || {
            let is_over = world.delivery.redrive(&begun.id).unwrap().state != RedriveState::Running;
            is_over.then_some(())
        };
        let over = eventually_within(PATIENCE, "the redrive has ended", is_over);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => break,
                got = next_delivery(&mut worker) => {
                    if let Some(got) = got {
                        sights.note(&got);
                        worker.ack(&got).await;
                    }
                }
            }
        }
    }
    until_keys_parked(&world, 0).await;
}

#[tokio::test]
async fn a_key_is_freed_though_the_gateway_that_redrives_dies_in_the_middle() {
    let (world, mut worker) = parked(PARKING).await;
    let other = world.neighbour().await;
    let knows = async || {
        let knows_letters = other.delivery.dead_letter_sources(&super::harness::group());
        (other.delivery.has_dead_letter_states() && knows_letters.is_ok_and(|all| !all.is_empty()))
            .then_some(())
    };
    eventually_within(PATIENCE, "the other gateway knows the letters", knows).await;
    let producer = Producer::start(&world, 0, "a");
    let begun = begin(&other.delivery, None).await.unwrap();
    let first = next_delivery(&mut worker).await.unwrap();
    until_closing(&world).await;
    drop(other);
    let mut sights = Sights::default();
    sights.note(&first);
    worker.ack(&first).await;
    until_free(&world, &mut worker, producer, sights).await;
    assert_whole(&until_ended(&world.delivery, &begun.id).await);
}

#[tokio::test]
async fn what_waits_for_a_keys_last_letters_waits_on_over_a_crash() {
    let (mut world, mut worker) = parked(PARKING).await;
    let producer = Producer::start(&world, 0, "a");
    let begun = begin(&world.delivery, None).await.unwrap();
    let first = next_delivery(&mut worker).await.unwrap();
    until_closing(&world).await;
    drop(worker);
    world.crash().await;
    let mut worker = world.join("c-2", 8).await;
    let mut sights = Sights::default();
    sights.note(&first);
    until_free(&world, &mut worker, producer, sights).await;
    assert_whole(&until_ended(&world.delivery, &begun.id).await);
}
