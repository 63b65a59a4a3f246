//! The way back of dead letters: to the group that failed and to no other, in order, at least once.

use weirgate::delivery::{DeadLetter, DeadLetterId, DeadLetterState, Delivery, Error, Settlement, Standing};
use weirgate::event::{Offset, Partition};
use weirgate::log::Purpose;

use super::engine::PATIENCE;
use super::harness::{Got, Worker, World, group, topic};
use super::waiting::{eventually_within, in_time};

const REDRIVES: &str = "_weirgate.redrive.inventory-sync";

async fn until_loaded(delivery: &Delivery) {
    let is_loaded = async || delivery.has_dead_letter_states().then_some(());
    eventually_within(PATIENCE, "the states of letters are loaded", is_loaded).await;
}

/// A group and its member, with so many events of these keys, in turn, in partition 0.
async fn begin(policy: &str, keys: &[&str]) -> (World, Worker) {
    let world = World::start(2, policy).await;
    until_loaded(&world.delivery).await;
    for key in keys {
        world.publish(0, key, 1).await;
    }
    let worker = world.join("c-1", 32).await;
    (world, worker)
}

async fn reject(worker: &Worker, got: &Got) {
    let reject = Settlement::Reject { tag: got.tag, reason: Some("no such sku".to_owned()) };
    assert_eq!(worker.settle(reject).await, []);
}

/// Takes so many deliveries and rejects them all; their letters, when all are there.
async fn reject_all(world: &World, worker: &mut Worker, count: usize) -> Vec<DeadLetter> {
    for _ in 0..count {
        let got = worker.delivery().await;
        reject(worker, &got).await;
    }
    let letters = async || {
        let letters = world.letters().await.dead_letters;
        (letters.len() == count).then_some(letters)
    };
    eventually_within(PATIENCE, format_args!("{count} letters are there"), letters).await
}

async fn redrive(world: &World, id: &DeadLetterId) -> Result<Standing, Error> {
    world.delivery.redrive_dead_letter(&group(), &[topic("orders.v1")], id, "anna").await
}

async fn state(world: &World, id: &DeadLetterId) -> DeadLetterState {
    world.delivery.dead_letter(&group(), &[topic("orders.v1")], id).await.unwrap().letter.state
}

/// What lies in partition 0 of the redrive topic: which source offsets, and how often each was redriven.
async fn redriven(world: &World) -> Vec<(String, String)> {
    let (name, partition) = (topic(REDRIVES), Partition::new(0));
    let end = world.log.bounds(&name, partition).await.unwrap().end;
    let mut reader = world.log.reader(&name, partition, Offset::ZERO, Purpose::CatchUp).await.unwrap();
    let mut all = Vec::new();
    while reader.position() < end {
        let fetched = in_time(PATIENCE, "what was redriven", reader.next(1 << 20)).await.unwrap();
        all.extend(fetched.records.into_iter().map(|record| {
            let text = |name: &str| record.headers.last_text(name).unwrap().to_owned();
            (text("__dlq.errors.offset"), text("weirgate-dlq-redrives"))
        }));
    }
    all
}

#[tokio::test]
async fn a_letter_goes_to_its_groups_own_topic_and_its_state_says_so() {
    let (world, mut worker) = begin("{}", &["42"]).await;
    let letter = reject_all(&world, &mut worker, 1).await.remove(0);
    let standing = redrive(&world, &letter.id).await.unwrap();
    let settled = standing.settled.unwrap();
    assert_eq!((standing.state, settled.by.as_str()), (DeadLetterState::Redriven, "anna"));
    assert_eq!(redriven(&world).await, [("0".to_owned(), "1".to_owned())]);
    assert_eq!(world.log.topic(&topic(REDRIVES)).unwrap().spec.partitions, 2);
    let bounds = world.log.bounds(&topic("orders.v1"), Partition::new(0)).await.unwrap();
    assert_eq!(bounds.end, Offset::new(1), "nothing went to the source topic");
}

#[tokio::test]
async fn a_letter_that_is_on_its_way_or_discarded_or_unknown_does_not_go() {
    let (world, mut worker) = begin("{}", &["42", "43"]).await;
    let letters = reject_all(&world, &mut worker, 2).await;
    redrive(&world, &letters[0].id).await.unwrap();
    let twice = redrive(&world, &letters[0].id).await.unwrap_err();
    assert_eq!(twice.to_string(), "the dead letter is redriven and cannot be redriven");
    let sources = [topic("orders.v1")];
    let discarded = world.delivery.discard_dead_letter(&group(), &sources, &letters[1].id, "anna").await;
    assert_eq!(discarded.unwrap().state, DeadLetterState::Discarded);
    let refused = redrive(&world, &letters[1].id).await;
    assert!(matches!(refused, Err(Error::DeadLetterSettled { .. })), "{refused:?}");
    assert_eq!(state(&world, &letters[1].id).await, DeadLetterState::Discarded);
    let unknown = DeadLetterId::parse(&format!("{:032x}-0-0", 7)).unwrap();
    let refused = redrive(&world, &unknown).await;
    assert!(matches!(refused, Err(Error::UnknownDeadLetter)), "{refused:?}");
    let elsewhere = [topic("other.v1")];
    let refused = world.delivery.redrive_dead_letter(&group(), &elsewhere, &letters[1].id, "anna").await;
    assert!(matches!(refused, Err(Error::UnknownDeadLetter)), "{refused:?}");
    assert_eq!(redriven(&world).await.len(), 1);
}
