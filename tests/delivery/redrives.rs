//! The way back of dead letters: to the group that failed and to no other, in order, at least once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use weirgate::delivery::{
    AckMode, DeadLetter, DeadLetterId, DeadLetterState, Delivery, Error, How, Join, Push, Settlement,
    Standing,
};
use weirgate::event::{Clock, GroupName, Offset, Partition, Record, Timestamp};
use weirgate::log::{Append, NewRecord, Purpose, Table};

use super::engine::PATIENCE;
use super::harness::{Got, Worker, World, group, join, offsets, patch, topic};
use super::waiting::{eventually_within, in_time};

pub(crate) const REDRIVES: &str = "_weirgate.redrive.inventory-sync";

pub(crate) async fn until_loaded(delivery: &Delivery) {
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

pub(crate) async fn reject(worker: &Worker, got: &Got) {
    let reject = Settlement::Reject { tag: got.tag, reason: Some("no such sku".to_owned()) };
    assert_eq!(worker.settle(reject).await, []);
}

/// Takes so many deliveries and rejects them all; their letters, when all are there.
pub(crate) async fn reject_all(world: &World, worker: &mut Worker, count: usize) -> Vec<DeadLetter> {
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

pub(crate) async fn redrive(world: &World, id: &DeadLetterId) -> Result<Standing, Error> {
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

pub(crate) async fn until_state(world: &World, id: &DeadLetterId, wanted: DeadLetterState) {
    let is_so = async || (state(world, id).await == wanted).then_some(());
    eventually_within(PATIENCE, format_args!("letter {id} is {}", wanted.as_str()), is_so).await;
}

/// The only letter, once it was redriven this often.
async fn until_redrives(world: &World, redrives: u32) -> DeadLetter {
    let letter = async || {
        let mut letters = world.letters().await.dead_letters;
        assert_eq!(letters.len(), 1, "a letter shows once");
        Some(letters.remove(0)).filter(|letter| letter.redrives == redrives)
    };
    eventually_within(PATIENCE, format_args!("the letter of {redrives} redrives is there"), letter).await
}

/// Another group of the same topic, and its member.
async fn other_group(world: &World) -> Worker {
    let other = GroupName::parse("audit").unwrap();
    world.delivery.put_policy(&other, patch(r#"{"topics":["orders.v1"]}"#)).await.unwrap();
    world.join_as(Join { group: other, ..join("c-other", 32) }).await
}

#[tokio::test]
async fn only_the_group_that_failed_gets_it_as_it_was_and_an_ack_resolves_it() {
    let (world, mut worker) = begin(r#"{"maxRetries":1}"#, &["42"]).await;
    let mut other = other_group(&world).await;
    let seen = other.delivery().await;
    other.ack(&seen).await;
    let letter = reject_all(&world, &mut worker, 1).await.remove(0);
    redrive(&world, &letter.id).await.unwrap();
    let first = worker.delivery().await;
    for member in ["topic", "partition", "offset", "timestamp", "key", "headers", "event"] {
        assert_eq!(first.frame[member], seen.frame[member], "{member}");
    }
    assert_eq!((first.attempt(), &first.frame["redrives"]), (1, &1.into()));
    assert_eq!(seen.frame.get("redrives"), None);
    // It has its attempts anew, and so is nothing but a delivery.
    worker.nack(&first).await;
    let second = worker.delivery().await;
    assert_eq!((second.attempt(), &second.frame["redrives"]), (2, &1.into()));
    assert_eq!(state(&world, &letter.id).await, DeadLetterState::Redriven);
    worker.ack(&second).await;
    until_state(&world, &letter.id, DeadLetterState::Resolved).await;
    let refused = redrive(&world, &letter.id).await;
    assert!(matches!(refused, Err(Error::DeadLetterSettled { .. })), "{refused:?}");
    world.publish(0, "42", 1).await;
    assert_eq!(other.delivery().await.offset(), 1, "nothing came to the other group meanwhile");
}

/// The letter's record.
async fn record_of(world: &World, id: &DeadLetterId) -> Record {
    let offset = id.to_string().rsplit('-').next().unwrap().parse().unwrap();
    let name = topic("dlq.orders.v1.inventory-sync");
    let reader = world.log.reader(&name, Partition::new(0), Offset::new(offset), Purpose::CatchUp).await;
    let fetched = in_time(PATIENCE, "the letter's record", reader.unwrap().next(1)).await.unwrap();
    fetched.records.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_letter_is_kept_from_when_it_was_written_and_its_record_has_its_time_again() {
    let (world, mut worker) = begin(r#"{"maxRetries":0}"#, &[]).await;
    let (begun, old) = (Clock::system().now(), Timestamp::from_millis(1_000_000_000_123));
    let record = NewRecord {
        key: Some(Bytes::from_static(b"42")),
        value: Some(Bytes::from_static(b"{}")),
        timestamp: Some(old),
        ..NewRecord::default()
    };
    let append = Append { topic: topic("orders.v1"), partition: Partition::new(0), records: vec![record] };
    world.log.append(append).await.unwrap();
    let mut letter = reject_all(&world, &mut worker, 1).await.remove(0);
    for redrives in 1..3 {
        let record = record_of(&world, &letter.id).await;
        assert!(record.timestamp >= begun, "retention counts from its writing: {:?}", record.timestamp);
        assert_eq!(record.headers.last_text("weirgate-dlq-timestamp"), Some("1000000000123"));
        redrive(&world, &letter.id).await.unwrap();
        let got = worker.delivery().await;
        assert_eq!(got.frame["timestamp"], "2001-09-09T01:46:40.123Z");
        worker.nack(&got).await;
        letter = until_redrives(&world, redrives).await;
    }
}

#[tokio::test]
async fn redriven_letters_come_in_the_order_of_their_source() {
    for ordering in ["partition", "key"] {
        let policy = format!(r#"{{"ordering":"{ordering}"}}"#);
        let (world, mut worker) = begin(&policy, &["a", "b", "a", "b", "a"]).await;
        let letters = reject_all(&world, &mut worker, 5).await;
        for letter in &letters {
            redrive(&world, &letter.id).await.unwrap();
        }
        let mut came = Vec::new();
        for _ in 0..5 {
            let got = worker.delivery().await;
            worker.ack(&got).await;
            came.push(got);
        }
        for key in ["a", "b"] {
            let of_key: Vec<Got> = came.iter().filter(|got| got.frame["key"] == key).cloned().collect();
            assert!(offsets(&of_key).is_sorted(), "{ordering}: {:?}", offsets(&of_key));
        }
        for letter in &letters {
            until_state(&world, &letter.id, DeadLetterState::Resolved).await;
        }
    }
}

/// The letters, once there are so many; in the order in which they lie.
async fn letters_in_place(world: &World, redrives: u32, count: usize) -> Vec<DeadLetter> {
    let letters = async || {
        let mut letters = world.letters().await.dead_letters;
        letters.retain(|letter| letter.redrives == redrives);
        (letters.len() == count).then_some(letters)
    };
    eventually_within(PATIENCE, format_args!("{count} letters of {redrives} redrives are there"), letters)
        .await
}

/// The first letter cannot be written for a while, and the others come to die meanwhile and afterwards.
async fn reject_with_delay(world: &World, worker: &Worker, all: &[Got]) {
    let before = world.fault.refused.load(Ordering::SeqCst);
    world.fault.is_on.store(true, Ordering::SeqCst);
    reject(worker, &all[0]).await;
    let is_refused = async || (world.fault.refused.load(Ordering::SeqCst) > before).then_some(());
    eventually_within(PATIENCE, "the letter is refused", is_refused).await;
    world.fault.is_on.store(false, Ordering::SeqCst);
    for got in &all[1..] {
        reject(worker, got).await;
    }
}

#[tokio::test]
async fn letters_lie_in_the_order_in_which_their_events_died_each_time() {
    let (world, mut worker) = begin("{}", &["42"; 5]).await;
    let got = worker.deliveries(5).await;
    reject_with_delay(&world, &worker, &got).await;
    for redrives in 1..=2 {
        let letters = letters_in_place(&world, redrives - 1, 5).await;
        let places: Vec<u64> = letters.iter().map(|letter| letter.offset.number()).collect();
        assert_eq!(places, [0, 1, 2, 3, 4], "after {} redrives", redrives - 1);
        for letter in &letters {
            redrive(&world, &letter.id).await.unwrap();
        }
        let back = worker.deliveries(5).await;
        assert_eq!(offsets(&back), [0, 1, 2, 3, 4]);
        reject_with_delay(&world, &worker, &back).await;
    }
}

#[tokio::test]
async fn one_that_fails_again_is_the_same_letter_and_held_in_the_end() {
    for ending in ["skip", "halt"] {
        let policy = r#"{"maxRedrives":2,"maxRetries":0}"#;
        let (world, mut worker) = begin(policy, &["42"]).await;
        let first = reject_all(&world, &mut worker, 1).await.remove(0);
        let change = patch(&format!(r#"{{"onExhausted":"{ending}"}}"#));
        world.delivery.put_policy(&group(), change).await.unwrap();
        for (redrives, expected) in [(1, DeadLetterState::Open), (2, DeadLetterState::Held)] {
            redrive(&world, &first.id).await.unwrap();
            let got = worker.delivery().await;
            assert_eq!((got.offset(), &got.frame["redrives"]), (0, &redrives.into()));
            worker.nack(&got).await;
            let letter = until_redrives(&world, redrives).await;
            until_state(&world, &letter.id, expected).await;
            assert_eq!(letter.id.to_string()[..32], first.id.to_string()[..32]);
            assert_eq!((letter.offset, letter.reason.as_str()), (Offset::ZERO, "retries_exhausted"));
            assert_eq!(letter.first_failed_at, first.first_failed_at);
            assert!(letter.last_failed_at >= first.last_failed_at);
            assert_eq!(letter.error.as_deref(), Some("stock service down"));
        }
        // A person may.
        redrive(&world, &first.id).await.unwrap();
        let got = worker.delivery().await;
        assert_eq!(got.frame["redrives"], 3);
        worker.ack(&got).await;
        until_state(&world, &first.id, DeadLetterState::Resolved).await;
        assert_eq!(world.letters().await.dead_letters.len(), 1);
        // Nothing halted, and the group goes on.
        world.publish(0, "42", 1).await;
        assert_eq!(worker.delivery().await.offset(), 1);
    }
}

#[tokio::test]
async fn what_a_gateway_left_on_its_way_goes_again() {
    let (mut world, mut worker) = begin("{}", &["42"]).await;
    let letter = reject_all(&world, &mut worker, 1).await.remove(0);
    world.until_committed(0, 1).await;
    worker.leave(How::Clean).await;
    redrive(&world, &letter.id).await.unwrap();
    // As if the gateway had died after the append.
    let states = topic("_weirgate.dead_letters");
    let table = Table::open(Arc::clone(&world.log), states, 1).await.unwrap();
    let (key, value) = table.entries().remove(0);
    let value = String::from_utf8(value.to_vec()).unwrap().replace("redriven", "redriving");
    table.write(key, Some(value.into())).await.unwrap();
    world.crash().await;
    until_loaded(&world.delivery).await;
    assert_eq!(state(&world, &letter.id).await, DeadLetterState::Redriving);
    redrive(&world, &letter.id).await.unwrap();
    assert_eq!(redriven(&world).await.len(), 2, "once more is harmless");
    let mut worker = world.join("c-2", 32).await;
    let got = worker.delivery().await;
    assert_eq!(got.frame["redrives"], 1);
    worker.ack(&got).await;
    until_state(&world, &letter.id, DeadLetterState::Resolved).await;
}

#[tokio::test]
async fn what_comes_back_is_committed_when_it_is_written_what_became_of_it() {
    let (mut world, mut worker) = begin("{}", &["42"]).await;
    let letter = reject_all(&world, &mut worker, 1).await.remove(0);
    redrive(&world, &letter.id).await.unwrap();
    let got = worker.delivery().await;
    world.fault.has_fixed_tables.store(true, Ordering::SeqCst);
    worker.ack(&got).await;
    // The policy's topics do not wait for that.
    world.publish(0, "43", 1).await;
    let next = worker.delivery().await;
    worker.ack(&next).await;
    world.until_committed(0, 2).await;
    assert_eq!(world.committed_in(REDRIVES, 0).await.unwrap_or(0), 0);
    assert_eq!(state(&world, &letter.id).await, DeadLetterState::Redriven);
    // What was not written by then comes again, and is acknowledged again.
    world.crash().await;
    world.fault.has_fixed_tables.store(false, Ordering::SeqCst);
    until_loaded(&world.delivery).await;
    let mut worker = world.join_as(Join { ack: AckMode::Auto, ..join("c-2", 32) }).await;
    assert_eq!(worker.delivery().await.frame["redrives"], 1);
    until_state(&world, &letter.id, DeadLetterState::Resolved).await;
    let is_committed = async || (world.committed_in(REDRIVES, 0).await == Some(1)).then_some(());
    eventually_within(PATIENCE, "what came back is committed", is_committed).await;
}

#[tokio::test]
async fn a_letter_redriven_through_another_gateway_comes_to_the_member() {
    let (world, mut worker) = begin("{}", &["42"]).await;
    let letter = reject_all(&world, &mut worker, 1).await.remove(0);
    let other = world.neighbour().await;
    until_loaded(&other.delivery).await;
    let knows = async || other.delivery.policy(&group()).map(drop);
    eventually_within(PATIENCE, "the other gateway knows the group", knows).await;
    let sources = [topic("orders.v1")];
    other.delivery.redrive_dead_letter(&group(), &sources, &letter.id, "anna").await.unwrap();
    let got = worker.delivery().await;
    assert_eq!(got.frame["redrives"], 1);
    worker.ack(&got).await;
    until_state(&world, &letter.id, DeadLetterState::Resolved).await;
}

#[tokio::test]
async fn what_cannot_be_appended_leaves_the_letter_as_it_was() {
    let (world, mut worker) = begin("{}", &["42"]).await;
    let letter = reject_all(&world, &mut worker, 1).await.remove(0);
    world.fault.has_no_way_back.store(true, Ordering::SeqCst);
    let refused = redrive(&world, &letter.id).await;
    assert!(matches!(refused, Err(Error::Log(_))), "{refused:?}");
    let found = world.delivery.dead_letter(&group(), &[topic("orders.v1")], &letter.id).await.unwrap().letter;
    assert_eq!((found.state, found.settled), (DeadLetterState::Open, None));
    world.fault.has_no_way_back.store(false, Ordering::SeqCst);
    redrive(&world, &letter.id).await.unwrap();
    assert_eq!(worker.delivery().await.frame["redrives"], 1);
}

#[tokio::test]
async fn a_pointer_is_followed_where_the_log_still_has_its_record() {
    let (world, mut worker) = begin("{}", &["42", "43"]).await;
    world.fault.value_bytes_max.store(64, Ordering::SeqCst);
    let letters = reject_all(&world, &mut worker, 2).await;
    assert!(letters.iter().all(|letter| letter.reason == "too_large"), "{letters:?}");
    redrive(&world, &letters[1].id).await.unwrap();
    let got = worker.delivery().await;
    assert_eq!((got.offset(), &got.frame["key"]), (1, &"43".into()));
    assert_eq!(got.frame["event"]["data"]["n"], 1, "the whole event");
    let (source, partition) = (topic("orders.v1"), Partition::new(0));
    world.log.delete_records(&source, partition, Offset::new(1)).await.unwrap();
    let refused = redrive(&world, &letters[0].id).await.unwrap_err();
    assert!(matches!(refused, Error::NotRedrivable(_)), "{refused:?}");
    assert_eq!(state(&world, &letters[0].id).await, DeadLetterState::Open);
}

#[tokio::test]
async fn members_never_see_the_topic_that_letters_come_through() {
    let (world, mut worker) = begin("{}", &["42", "43"]).await;
    let letters = reject_all(&world, &mut worker, 2).await;
    redrive(&world, &letters[0].id).await.unwrap();
    let got = worker.delivery().await;
    worker.ack(&got).await;
    // What no gateway wrote is passed over.
    let record = NewRecord { value: Some(Bytes::from("forged")), ..NewRecord::default() };
    let append = Append { topic: topic(REDRIVES), partition: Partition::new(0), records: vec![record] };
    world.log.append(append).await.unwrap();
    let is_passed = async || (world.committed_in(REDRIVES, 0).await == Some(2)).then_some(());
    eventually_within(PATIENCE, "what came back is committed", is_passed).await;
    let view = world.view().await;
    assert_eq!(view["policy"]["topics"], serde_json::json!(["orders.v1"]));
    let of_redrives = |one: &&serde_json::Value| one["topic"] == REDRIVES;
    let rows: Vec<_> = view["partitions"].as_array().unwrap().iter().filter(of_redrives).collect();
    assert_eq!((rows.len(), &rows[0]["lag"]), (2, &0.into()));
    let mut joined = world.join("c-2", 32).await;
    let Push::Assignment { partitions, .. } = joined.told().await else { panic!("no assignment") };
    assert!(partitions.keys().all(|name| name.as_str() == "orders.v1"), "{partitions:?}");
}
