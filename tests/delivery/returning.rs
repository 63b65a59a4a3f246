//! The order of a parked key's letters on their way back: what comes after one that died again does not pass it.

use weirgate::delivery::{DeadLetter, DeadLetterState};

use super::engine::PATIENCE;
use super::harness::{Worker, World};
use super::parking::{PARKING, discard, letters, parked, until_keys_parked};
use super::redrives::{REDRIVES, redrive, until_loaded, until_state};
use super::waiting::eventually_within;

/// The letters, in the order of their newest records, once they are of these events and redriven this often.
async fn until_letters_of(world: &World, expected: &[(u64, u32)]) -> Vec<DeadLetter> {
    let are_there = async || {
        let letters = letters(&world.delivery).await;
        let told = |letter: &DeadLetter| (letter.offset.number(), letter.redrives);
        let are_open = letters.iter().all(|letter| letter.state == DeadLetterState::Open);
        (are_open && letters.iter().map(told).eq(expected.iter().copied())).then_some(letters)
    };
    eventually_within(PATIENCE, format_args!("the letters are {expected:?}"), are_there).await
}

/// Waits until the letter of an event has another record and is open.
async fn until_letter_again(world: &World, before: &DeadLetter) -> DeadLetter {
    let is_there = async || {
        let letters = letters(&world.delivery).await.into_iter();
        let mut again = letters.filter(|letter| letter.offset == before.offset && letter.id != before.id);
        again.next().filter(|letter| letter.state == DeadLetterState::Open)
    };
    eventually_within(PATIENCE, format_args!("{} is a letter again", before.offset), is_there).await
}

async fn take(worker: &mut Worker, offset: u64, redrives: u64) -> super::harness::Got {
    let got = worker.delivery().await;
    assert_eq!((got.offset(), got.attempt(), got.frame["redrives"].as_u64()), (offset, 1, Some(redrives)));
    got
}

/// The first letter of a parked key was sent back and died again.
async fn died_again() -> (World, Worker, Vec<DeadLetter>) {
    let (world, mut worker) = parked(PARKING).await;
    let before = until_letters_of(&world, &[(0, 0), (1, 0)]).await;
    redrive(&world, &before[0].id).await.unwrap();
    let got = take(&mut worker, 0, 1).await;
    worker.nack(&got).await;
    let letters = until_letters_of(&world, &[(1, 0), (0, 1)]).await;
    (world, worker, letters)
}

#[tokio::test]
async fn letters_behind_one_that_dies_again_are_letters_again_untried_and_in_order() {
    for ordering in ["key", "partition"] {
        let (world, mut worker) = parked(&PARKING.replace(r#""key""#, &format!("{ordering:?}"))).await;
        world.publish(0, "a", 1).await;
        let first = until_letters_of(&world, &[(0, 0), (1, 0), (2, 0)]).await;
        let got = {
            redrive(&world, &first[0].id).await.unwrap();
            take(&mut worker, 0, 1).await
        };
        for letter in &first[1..] {
            redrive(&world, &letter.id).await.unwrap();
        }
        worker.nack(&got).await;
        // What was in flight behind it is taken back; nothing is tried, and no redrive counts.
        let again = until_letters_of(&world, &[(0, 1), (1, 0), (2, 0)]).await;
        let reasons: Vec<&str> = again.iter().map(|letter| letter.reason.as_str()).collect();
        assert_eq!(reasons, ["retries_exhausted", "key_parked", "key_parked"]);
        world.publish(0, "b", 1).await;
        let other = loop {
            if let weirgate::delivery::Push::Delivery { tag, frame } = worker.told().await {
                let frame: serde_json::Value = serde_json::from_slice(&frame).unwrap();
                if frame["key"] == "b" {
                    break tag;
                }
                assert_eq!(ordering, "partition", "{frame}");
            }
        };
        assert_eq!(worker.settle(weirgate::delivery::Settlement::Ack(vec![other])).await, []);
        for letter in &again {
            redrive(&world, &letter.id).await.unwrap();
        }
        for (offset, redrives) in [(0, 2), (1, 1), (2, 1)] {
            let got = take(&mut worker, offset, redrives).await;
            worker.ack(&got).await;
        }
        until_keys_parked(&world, 0).await;
    }
}

#[tokio::test]
async fn a_letter_sent_later_does_not_pass_one_that_died_again_until_that_is_settled() {
    let (world, mut worker, letters) = died_again().await;
    redrive(&world, &letters[0].id).await.unwrap();
    let second = until_letter_again(&world, &letters[0]).await;
    assert_eq!((second.redrives, second.reason.as_str()), (0, "key_parked"));
    discard(&world.delivery, &letters[1].id).await;
    redrive(&world, &second.id).await.unwrap();
    let got = take(&mut worker, 1, 1).await;
    worker.ack(&got).await;
    until_state(&world, &second.id, DeadLetterState::Resolved).await;
    until_keys_parked(&world, 0).await;
}

#[tokio::test]
async fn what_died_again_bars_its_key_over_a_crash() {
    let (mut world, worker, letters) = died_again().await;
    let is_committed = async || (world.committed_in(REDRIVES, 0).await == Some(1)).then_some(());
    eventually_within(PATIENCE, "what came back is committed", is_committed).await;
    drop(worker);
    world.crash().await;
    until_loaded(&world.delivery).await;
    let mut worker = world.join("c-2", 8).await;
    redrive(&world, &letters[0].id).await.unwrap();
    let second = until_letter_again(&world, &letters[0]).await;
    for letter in [&letters[1], &second] {
        redrive(&world, &letter.id).await.unwrap();
    }
    for (offset, redrives) in [(0, 2), (1, 1)] {
        let got = take(&mut worker, offset, redrives).await;
        worker.ack(&got).await;
    }
    until_keys_parked(&world, 0).await;
}
