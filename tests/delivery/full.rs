//! What holds when what is known of dead letters takes all its room: nothing fails for good, and keys are still parked.

use weirgate::delivery::{DeadLetterId, Error, How, Redrive, RedriveState, Standing};
use weirgate::event::{Offset, Partition};

use super::engine::PATIENCE;
use super::harness::{World, group, topic};
use super::jobs::{begin, bury, sent_back, until, until_ended};
use super::parking::{PARKING, reject, until_keys_parked};
use super::waiting::eventually_within;

const LETTERS: &str = "dlq.orders.v1.inventory-sync";

/// The letter of this number.
fn id(number: u64) -> DeadLetterId {
    let partition = Partition::new(u32::try_from(number % 2).unwrap());
    DeadLetterId::new(&format!("{number:032x}"), partition, Offset::new(number / 2)).unwrap()
}

async fn annotate(world: &World, number: u64, text: &str) -> Result<Standing, Error> {
    world.delivery.annotate_dead_letter(&group(), &[topic("orders.v1")], &id(number), "anna", text).await
}

async fn discard(world: &World, number: u64) -> Result<Standing, Error> {
    world.delivery.discard_dead_letter(&group(), &[topic("orders.v1")], &id(number), "anna").await
}

/// Writes notes to letters of the first partition and discards some, until not one more fits.
async fn fill(world: &World) {
    let mut numbers = (0..).step_by(2);
    for note in [4_000, 400, 1].map(|bytes| "x".repeat(bytes)) {
        for number in &mut numbers {
            if let Err(error) = annotate(world, number, &note).await {
                assert!(matches!(error, Error::DeadLettersFull(_)), "{error:?}");
                break;
            }
        }
    }
    for number in numbers {
        if let Err(error) = discard(world, number).await {
            assert!(matches!(error, Error::DeadLettersFull(_)), "{error:?}");
            return;
        }
    }
}

#[tokio::test]
async fn a_redrive_waits_for_room_and_keys_are_parked_all_the_same() {
    let mut world = World::start(2, PARKING).await;
    let is_loaded = async || world.delivery.has_dead_letter_states().then_some(());
    eventually_within(PATIENCE, "the states are loaded", is_loaded).await;
    bury(&world, 0..100).await;
    fill(&world).await;
    world.until_metric("weirgate_dlq_states_bytes_max 65536").await;

    let begun = begin(&world.delivery, None).await.unwrap();
    let waits =
        |told: &Redrive| told.reason.as_ref().is_some_and(|reason| reason.contains("states_bytes_max"));
    let told = until(&world.delivery, &begun.id, "the redrive waits for room", waits).await;
    assert_eq!((told.state, told.counts.moved), (RedriveState::Running, 0), "{told:?}");

    let mut worker = world.join("c-1", 8).await;
    world.publish(1, "poison", 1).await;
    let got = worker.delivery().await;
    reject(&worker, &got).await;
    until_keys_parked(&world, 1).await;
    worker.leave(How::Clean).await;

    // The letters with notes go, as with retention; a gateway looks for such when it starts, and then every ten minutes.
    world.log.delete_records(&topic(LETTERS), Partition::new(0), Offset::new(50)).await.unwrap();
    world.restart().await;
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_eq!((ended.state, ended.counts.moved), (RedriveState::Done, 50), "{ended:?}");
}

#[tokio::test]
async fn as_many_letters_go_back_as_there_is_room_for() {
    let world = World::start(2, "{}").await;
    let is_loaded = async || world.delivery.has_dead_letter_states().then_some(());
    eventually_within(PATIENCE, "the states are loaded", is_loaded).await;
    bury(&world, 0..4_000).await;
    let begun = begin(&world.delivery, None).await.unwrap();
    let waits = |told: &Redrive| {
        told.counts.moved > 0
            && told.reason.as_ref().is_some_and(|reason| reason.contains("states_bytes_max"))
    };
    let told = until(&world.delivery, &begun.id, "the redrive waits for room", waits).await;
    assert_eq!(told.state, RedriveState::Running, "{told:?}");
    let sent = sent_back(&world).await;
    assert_eq!(sent, (0..).step_by(2).take(sent.len()).collect::<Vec<u64>>(), "{told:?}");
    world.delivery.cancel_redrive(&begun.id, "anna").await.unwrap();
}
