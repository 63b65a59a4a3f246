//! Letters of events that are read again and die once more, after it was settled what becomes of them.

use serde_json::json;
use weirgate::delivery::{DeadLetter, DeadLetterId, DeadLetterState, Settlement};

use super::engine::PATIENCE;
use super::harness::{Worker, World, group, topic};
use super::parking::{PARKING, discard, discard_all, letters, parked, until_keys_parked};
use super::redrives::{redrive, reject_all, until_loaded, until_state};
use super::resets::reset;
use super::waiting::eventually_within;

async fn reject_next(worker: &mut Worker) {
    let got = worker.delivery().await;
    assert_eq!((got.offset(), got.attempt(), &got.frame["redrives"]), (0, 1, &serde_json::Value::Null));
    let reject = Settlement::Reject { tag: got.tag, reason: Some("still no such sku".to_owned()) };
    assert_eq!(worker.settle(reject).await, []);
}

/// The only letter, once it has another record than this one.
async fn until_reborn(world: &World, before: &DeadLetterId) -> DeadLetter {
    let letter = async || {
        let mut letters = world.letters().await.dead_letters;
        assert_eq!(letters.len(), 1, "a letter shows once");
        Some(letters.remove(0)).filter(|letter| letter.id != *before)
    };
    eventually_within(PATIENCE, "the letter has another record", letter).await
}

/// Waits until the letters are those of these events and all are open.
async fn until_open(world: &World, offsets: &[u64]) {
    let are_open = async || {
        let letters = letters(&world.delivery).await;
        let are_open = letters.iter().all(|letter| letter.state == DeadLetterState::Open);
        let its: Vec<u64> = letters.iter().map(|letter| letter.offset.number()).collect();
        (are_open && its == offsets).then_some(())
    };
    eventually_within(PATIENCE, format_args!("the letters of {offsets:?} are open"), are_open).await;
}

async fn begin_again(world: &World) {
    reset(world, json!({"to": "earliest"})).await;
}

#[tokio::test]
async fn a_settled_letter_whose_event_dies_again_after_a_reset_is_open_again() {
    for settled in [DeadLetterState::Discarded, DeadLetterState::Resolved, DeadLetterState::Redriven] {
        let world = World::start(1, "{}").await;
        until_loaded(&world.delivery).await;
        world.publish(0, "42", 1).await;
        let mut worker = world.join("c-1", 8).await;
        let first = reject_all(&world, &mut worker, 1).await.remove(0);
        let sources = [topic("orders.v1")];
        let noted = world.delivery.annotate_dead_letter(&group(), &sources, &first.id, "anna", "known").await;
        assert_eq!(noted.unwrap().notes.len(), 1);
        if settled == DeadLetterState::Discarded {
            discard(&world.delivery, &first.id).await;
        } else {
            redrive(&world, &first.id).await.unwrap();
            let back = worker.delivery().await;
            if settled == DeadLetterState::Resolved {
                worker.ack(&back).await;
            }
        }
        until_state(&world, &first.id, settled).await;
        begin_again(&world).await;
        reject_next(&mut worker).await;
        let again = until_reborn(&world, &first.id).await;
        assert_eq!((again.state, again.settled), (DeadLetterState::Open, None), "{settled:?}");
        assert_eq!((again.redrives, again.error.as_deref()), (0, Some("still no such sku")));
        assert_eq!(again.notes.len(), 1, "what people wrote stays");
        let standing = redrive(&world, &again.id).await.unwrap();
        assert_eq!(standing.state, DeadLetterState::Redriven);
        assert_eq!(worker.delivery().await.frame["redrives"], 1);
    }
}

#[tokio::test]
async fn a_key_whose_settled_event_dies_again_after_a_reset_stays_parked() {
    let (world, mut worker) = parked(PARKING).await;
    discard_all(&world.delivery).await;
    until_keys_parked(&world, 0).await;
    begin_again(&world).await;
    reject_next(&mut worker).await;
    until_open(&world, &[0, 1]).await;
    until_keys_parked(&world, 1).await;
    world.publish(0, "a", 1).await;
    until_open(&world, &[0, 1, 2]).await;
    world.until_committed(0, 3).await;
}
