//! Redrives of many letters: they end, they outlive the gateway that runs them, and no letter is left out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use weirgate::delivery::{
    DeadLetterFilter, DeadLetterQuery, Delivery, Error, JobId, PolicyPatch, Redrive, RedriveOf, RedriveOrder,
    RedriveState,
};
use weirgate::event::{Headers, Offset, Partition};
use weirgate::log::{Append, NewRecord, Purpose};

use super::engine::PATIENCE;
use super::harness::{Neighbour, World, group, patch, topic};
use super::redrives::{reject, reject_all, until_loaded};
use super::waiting::{eventually_within, in_time};

const LETTERS: &str = "dlq.orders.v1.inventory-sync";
const REDRIVES: &str = "_weirgate.redrive.inventory-sync";

fn letter(partition: u32, number: u64) -> NewRecord {
    let (name, number) = (format!("{number:032x}"), number.to_string());
    let partition = partition.to_string();
    let headers = [
        ("__dlq.errors.topic", "orders.v1"),
        ("__dlq.errors.partition", &partition),
        ("__dlq.errors.offset", &number),
        ("weirgate-dlq-id", &name),
        ("weirgate-dlq-reason", "rejected"),
        ("weirgate-dlq-redrives", "0"),
    ];
    let headers = headers.map(|(name, value)| (Arc::from(name), Some(Bytes::from(value.to_owned()))));
    NewRecord {
        key: Some(Bytes::from_static(b"42")),
        value: Some(Bytes::from_static(b"{}")),
        headers: Headers::new(headers.into()),
        timestamp: None,
    }
}

/// Letters of these numbers, in both partitions in turn, as gateways write them.
pub(crate) async fn bury(world: &World, numbers: std::ops::Range<u64>) {
    if world.log.topic(&topic(LETTERS)).is_none() {
        world.create(LETTERS, 2).await;
    }
    for partition in 0..2 {
        let own = numbers.clone().filter(|number| number % 2 == u64::from(partition));
        let records = own.map(|number| letter(partition, number)).collect();
        let append = Append { topic: topic(LETTERS), partition: Partition::new(partition), records };
        world.log.append(append).await.unwrap();
    }
}

/// Two gateways that know the group, the states of letters and so many letters.
async fn two(letters: u64) -> (World, Neighbour) {
    let world = World::start(2, "{}").await;
    let other = world.neighbour().await;
    for delivery in [&world.delivery, &other.delivery] {
        let knows =
            async || (delivery.has_dead_letter_states() && delivery.policy(&group()).is_some()).then_some(());
        eventually_within(PATIENCE, "the gateway knows the group and its letters", knows).await;
    }
    bury(&world, 0..letters).await;
    let sees =
        async || other.delivery.dead_letter_sources(&group()).is_ok_and(|all| !all.is_empty()).then_some(());
    eventually_within(PATIENCE, "the other gateway knows the letters' topic", sees).await;
    (world, other)
}

pub(crate) async fn begin(delivery: &Delivery, rate_per_second: Option<u32>) -> Result<Redrive, Error> {
    delivery.begin_redrive(&group(), order(rate_per_second)).await
}

/// For all letters.
fn order(rate_per_second: Option<u32>) -> RedriveOrder {
    let of = RedriveOf::Filter(DeadLetterFilter::default());
    RedriveOrder { of, sources: vec![topic("orders.v1")], rate_per_second, by: "anna".to_owned() }
}

/// Waits until a gateway sees that a redrive is as it should be.
pub(crate) async fn until(
    delivery: &Delivery,
    id: &JobId,
    what: &str,
    is_so: impl Fn(&Redrive) -> bool,
) -> Redrive {
    // It may still have to hear of it.
    let seen = async || delivery.redrive(id).ok().filter(&is_so);
    eventually_within(PATIENCE, what, seen).await
}

pub(crate) async fn until_ended(delivery: &Delivery, id: &JobId) -> Redrive {
    until(delivery, id, "the redrive has ended", |told| told.state != RedriveState::Running).await
}

/// The numbers of the letters that lie in the redrive topic, each partition in the order in which they came first.
pub(crate) async fn sent_back(world: &World) -> Vec<u64> {
    let mut all = Vec::new();
    for partition in (0..2).map(Partition::new) {
        let end = world.log.bounds(&topic(REDRIVES), partition).await.unwrap().end;
        let mut reader =
            world.log.reader(&topic(REDRIVES), partition, Offset::ZERO, Purpose::CatchUp).await.unwrap();
        let mut seen = BTreeSet::new();
        while reader.position() < end {
            let read = in_time(PATIENCE, "what was sent back", reader.next(1 << 20)).await.unwrap();
            for record in read.records {
                let number = record.headers.last_text("__dlq.errors.offset").unwrap().parse().unwrap();
                if seen.insert(number) {
                    all.push(number);
                }
            }
        }
    }
    all
}

/// The even ones, then the odd ones.
fn numbers(letters: u64) -> Vec<u64> {
    (0..letters).step_by(2).chain((1..letters).step_by(2)).collect()
}

#[tokio::test]
async fn a_redrive_whose_gateway_dies_is_finished_by_another() {
    let (world, other) = two(120).await;
    let begun = begin(&other.delivery, Some(20)).await.unwrap();
    assert!(matches!(begin(&world.delivery, None).await, Err(Error::RedriveRunning(id)) if id == begun.id));
    let has_begun = |told: &Redrive| told.counts.moved > 0;
    until(&world.delivery, &begun.id, "some letters have gone", has_begun).await;
    drop(other);
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_eq!((ended.state, ended.counts.examined), (RedriveState::Done, 120), "{ended:?}");
    assert_eq!(sent_back(&world).await, numbers(120), "none is left out, and all are in order");
    let counts = ended.counts;
    assert_eq!((counts.failed, counts.matched), (0, counts.moved + counts.skipped));
    assert!(begin(&world.delivery, None).await.is_ok(), "the next one may come");
}

#[tokio::test]
async fn a_gateway_that_drains_hands_its_redrive_over() {
    let (world, other) = two(60).await;
    let begun = begin(&other.delivery, Some(10)).await.unwrap();
    until(&world.delivery, &begun.id, "some letters have gone", |told| told.counts.moved > 0).await;
    other.delivery.drain().await;
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_eq!((ended.state, ended.counts.examined), (RedriveState::Done, 60), "{ended:?}");
    assert_eq!(sent_back(&world).await, numbers(60));
}

#[tokio::test]
async fn what_dies_after_the_beginning_is_left_for_the_next_redrive() {
    let (world, _other) = two(6).await;
    let begun = begin(&world.delivery, Some(2)).await.unwrap();
    assert_eq!(begun.letters, 6);
    bury(&world, 6..20).await;
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_eq!((ended.counts.examined, ended.counts.moved), (6, 6), "{ended:?}");
    let next = begin(&world.delivery, None).await.unwrap();
    let ended = until_ended(&world.delivery, &next.id).await;
    assert_eq!((ended.counts.examined, ended.counts.moved), (20, 14), "{ended:?}");
    assert_eq!(sent_back(&world).await.len(), 20);
    world
        .until_metric("weirgate_redrive_messages_total{group=\"inventory-sync\",outcome=\"moved\"} 20")
        .await;
    world.until_metric("weirgate_redrives_running 0").await;
}

#[tokio::test]
async fn a_redrive_is_cancelled_through_another_gateway() {
    let (world, other) = two(100).await;
    let begun = begin(&other.delivery, Some(1)).await.unwrap();
    let knows = async || world.delivery.redrive(&begun.id).ok();
    eventually_within(PATIENCE, "the other gateway knows of it", knows).await;
    let cancelled = world.delivery.cancel_redrive(&begun.id, "berta").await.unwrap();
    assert_eq!(
        (cancelled.state, cancelled.cancelled_by.as_deref()),
        (RedriveState::Cancelled, Some("berta"))
    );
    // Whoever ran it lets the next one go on, and nothing more of this one is counted.
    let next = begin(&other.delivery, None).await.unwrap();
    let ended = until_ended(&other.delivery, &next.id).await;
    assert_eq!(ended.state, RedriveState::Done);
    assert_eq!(world.delivery.redrive(&begun.id).unwrap().counts, cancelled.counts);
    assert_eq!(sent_back(&world).await.len(), 100);
}

#[tokio::test]
async fn a_redrive_of_a_topic_that_was_deleted_fails_with_its_reason() {
    let (world, other) = two(100).await;
    let begun = begin(&other.delivery, Some(1)).await.unwrap();
    world.log.delete_topic(&topic(LETTERS)).await.unwrap();
    let ended = until_ended(&other.delivery, &begun.id).await;
    assert_eq!(ended.state, RedriveState::Failed, "{ended:?}");
    assert!(ended.reason.as_ref().is_some_and(|reason| reason.contains(LETTERS)), "{ended:?}");
}

#[tokio::test]
async fn a_redrive_of_a_topic_that_was_made_anew_fails_with_its_reason_and_sends_nothing_of_the_new_one() {
    let (world, other) = two(100).await;
    let begun = begin(&other.delivery, Some(1)).await.unwrap();
    world.log.delete_topic(&topic(LETTERS)).await.unwrap();
    let is_gone = async || world.log.topic(&topic(LETTERS)).is_none().then_some(());
    eventually_within(PATIENCE, "the topic is gone", is_gone).await;
    bury(&world, 1_000..1_100).await;
    let ended = until_ended(&other.delivery, &begun.id).await;
    assert_eq!(ended.state, RedriveState::Failed, "{ended:?}");
    let reason = format!("topic '{LETTERS}' was deleted and made anew");
    assert_eq!(ended.reason.as_ref(), Some(&reason), "{ended:?}");
    if world.log.topic(&topic(REDRIVES)).is_some() {
        let sent = sent_back(&world).await;
        assert!(sent.iter().all(|number| *number < 100), "{sent:?}");
    }
    assert!(begin(&other.delivery, None).await.is_ok(), "the next one may come");
}

#[tokio::test]
async fn letters_whose_read_stalls_are_not_left_out() {
    let (world, _other) = two(60).await;
    world.fault.letters_stall_at.send_replace(Some(Offset::ZERO));
    let begun = begin(&world.delivery, None).await.unwrap();
    let query = DeadLetterQuery { limit: 100, ..DeadLetterQuery::default() };
    let group = group();
    let listed = world.delivery.dead_letters(&group, query);
    let wanted = order(None);
    let planned = world.delivery.plan_redrive(&group, &wanted);
    let (listed, planned) = tokio::join!(listed, planned);
    assert!(matches!(listed, Err(Error::Log(_))), "a list does not claim to be whole: {listed:?}");
    assert!(matches!(planned, Err(Error::Log(_))), "nor does a plan: {planned:?}");
    let waits = |told: &Redrive| told.reason.is_some();
    let told = until(&world.delivery, &begun.id, "the redrive says why it waits", waits).await;
    assert_eq!(told.state, RedriveState::Running, "{told:?}");
    world.fault.letters_stall_at.send_replace(None);
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_eq!((ended.state, ended.counts.examined), (RedriveState::Done, 60), "{ended:?}");
    assert_eq!(ended.reason, None);
    let sent: BTreeSet<u64> = sent_back(&world).await.into_iter().collect();
    assert_eq!(sent, (0..60).collect());
}

#[tokio::test]
async fn letters_before_one_that_cannot_be_read_go_meanwhile() {
    let (world, _other) = two(60).await;
    world.fault.letters_stall_at.send_replace(Some(Offset::new(10)));
    let begun = begin(&world.delivery, None).await.unwrap();
    let have_gone = |told: &Redrive| told.counts.moved == 10 + 30;
    let told = until(&world.delivery, &begun.id, "what can be read has gone", have_gone).await;
    assert_eq!(told.state, RedriveState::Running, "{told:?}");
    world.fault.letters_stall_at.send_replace(None);
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_eq!((ended.state, ended.counts.moved), (RedriveState::Done, 60), "{ended:?}");
    assert_eq!(sent_back(&world).await, numbers(60));
}

#[tokio::test]
async fn no_letter_passes_one_whose_source_record_cannot_be_read_now() {
    let world = World::start(2, "{}").await;
    until_loaded(&world.delivery).await;
    world.publish(0, "42", 3).await;
    let mut worker = world.join("c-1", 32).await;
    world.fault.value_bytes_max.store(64, Ordering::SeqCst);
    let pointer = reject_all(&world, &mut worker, 1).await.remove(0);
    assert_eq!(pointer.reason, "too_large");
    world.fault.value_bytes_max.store(0, Ordering::SeqCst);
    for got in worker.deliveries(2).await {
        reject(&worker, &got).await;
    }
    let have_died = async || (world.letters().await.dead_letters.len() == 3).then_some(());
    eventually_within(PATIENCE, "all are letters", have_died).await;
    world.fault.unreadable_below.store(1, Ordering::SeqCst);
    let begun = begin(&world.delivery, None).await.unwrap();
    let waits = |told: &Redrive| told.reason.is_some();
    let told = until(&world.delivery, &begun.id, "it says that it waits", waits).await;
    assert_eq!((told.state, told.counts.moved), (RedriveState::Running, 0), "{told:?}");
    world.fault.unreadable_below.store(0, Ordering::SeqCst);
    assert_eq!(until_ended(&world.delivery, &begun.id).await.counts.moved, 3);
    assert_eq!(sent_back(&world).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_redrive_of_a_group_that_is_deleted_fails_with_its_reason() {
    let (world, other) = two(100).await;
    let begun = begin(&other.delivery, Some(1)).await.unwrap();
    let knows = async || world.delivery.redrive(&begun.id).ok();
    eventually_within(PATIENCE, "the other gateway knows of it", knows).await;
    in_time(PATIENCE, "the deletion", world.delivery.delete_group(&group())).await.unwrap();
    let ended = until_ended(&other.delivery, &begun.id).await;
    assert_eq!(ended.state, RedriveState::Failed, "{ended:?}");
    assert_eq!(ended.reason.as_deref(), Some("group 'inventory-sync' was deleted"));
    world.until_metric("weirgate_redrives_running 0").await;
}

#[tokio::test]
async fn nothing_of_a_redrive_comes_to_a_group_made_anew_after_its_own_was_deleted() {
    let (world, other) = two(20).await;
    let begun = begin(&other.delivery, Some(5)).await.unwrap();
    until(&world.delivery, &begun.id, "some letters went", |told| told.counts.moved > 1).await;
    in_time(PATIENCE, "the deletion", world.delivery.delete_group(&group())).await.unwrap();
    until_ended(&other.delivery, &begun.id).await;
    let reads = PolicyPatch { topics: Some(vec![topic("orders.v1")]), ..patch("{}") };
    world.delivery.put_policy(&group(), reads).await.unwrap();
    let mut worker = world.join("c-1", 32).await;
    let is_passed = async || {
        let mut passed = 0;
        for partition in 0..2 {
            let end =
                world.log.bounds(&topic(REDRIVES), Partition::new(partition)).await.unwrap().end.number();
            let committed = world.committed_in(REDRIVES, partition).await.unwrap_or(0);
            passed += usize::from(committed == end);
        }
        (passed == 2).then_some(())
    };
    eventually_within(PATIENCE, "what lies there is passed over", is_passed).await;
    assert!(worker.is_idle().await);
}

#[tokio::test]
async fn of_each_group_the_last_redrives_are_kept() {
    let (world, _other) = two(2).await;
    let mut all = Vec::new();
    for _ in 0..25 {
        let begun = begin(&world.delivery, None).await.unwrap();
        until_ended(&world.delivery, &begun.id).await;
        all.push(begun.id);
    }
    let kept = world.delivery.redrives(&group(), |_| true, 100, None).unwrap().redrives;
    let kept: Vec<JobId> = kept.into_iter().map(|told| told.id).collect();
    let expected: Vec<JobId> = all.into_iter().rev().take(20).collect();
    assert_eq!(kept, expected);
}
