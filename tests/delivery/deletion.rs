//! Groups that are deleted: only where nobody works for them, and with all that was told of them.

use weirgate::delivery::{DeadLetterState, Delivery, Error, How, Policy, PolicyPatch, Put, Settlement};

use super::engine::PATIENCE;
use super::harness::{World, config, group, join, patch, topic};
use super::redrives::{REDRIVES, redrive, reject_all, until_loaded, until_state};
use super::waiting::{eventually_within, in_time};

fn reads() -> PolicyPatch {
    PolicyPatch { topics: Some(vec![topic("orders.v1")]), ..patch("{}") }
}

async fn until_unknown(delivery: &Delivery) {
    let is_unknown = async || delivery.policy(&group()).is_none().then_some(());
    eventually_within(PATIENCE, "the group is unknown", is_unknown).await;
}

/// With what has to be forgotten of it.
async fn until_known(delivery: &Delivery) {
    let is_known = async || delivery.policy(&group()).is_some().then_some(());
    eventually_within(PATIENCE, "the group is known", is_known).await;
    until_loaded(delivery).await;
}

#[tokio::test]
async fn a_group_whose_last_member_just_left_is_deleted_with_its_offsets() {
    let world = World::start(1, "{}").await;
    let other = world.neighbour().await;
    until_known(&other.delivery).await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 2).await;
    for got in worker.deliveries(2).await {
        worker.ack(&got).await;
    }
    world.until_committed(0, 2).await;
    worker.leave(How::Clean).await;
    in_time(PATIENCE, "the deletion", world.delivery.delete_group(&group())).await.unwrap();
    assert!(matches!(world.delivery.group(&group()).await, Err(Error::UnknownGroup(_))));
    assert!(matches!(world.delivery.join(join("c-2", 8)).await, Err(Error::UnknownGroup(_))));
    assert!(matches!(world.delivery.delete_group(&group()).await, Err(Error::UnknownGroup(_))));
    assert_eq!(world.committed(0).await, None);
    until_unknown(&other.delivery).await;

    let (put, view) = world.delivery.put_policy(&group(), reads()).await.unwrap();
    assert_eq!((put, view.partitions[0].lag), (Put::Created, 2), "it is a new group");
    let mut worker = world.join("c-3", 8).await;
    assert_eq!(worker.deliveries(2).await.iter().map(|got| got.offset()).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn a_group_with_a_member_here_or_elsewhere_is_not_deleted() {
    let world = World::start(1, "{}").await;
    let other = world.neighbour().await;
    until_known(&other.delivery).await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 1).await;
    let got = worker.delivery().await;
    for delivery in [&world.delivery, &other.delivery] {
        let refused = in_time(PATIENCE, "the refusal", delivery.delete_group(&group())).await;
        assert!(matches!(refused, Err(Error::HasMembers(_))), "{refused:?}");
    }
    worker.ack(&got).await;
    world.until_committed(0, 1).await;
    assert_eq!(world.view().await["members"][0]["connection"], "c-1");
}

#[tokio::test]
async fn a_member_that_came_between_ends_with_its_group() {
    let (world, log) = World::scripted(1, "{}").await;
    let other = world.neighbour().await;
    until_known(&other.delivery).await;
    let mut worker = world.join("c-1", 8).await;
    // The log has forgotten the group, and did not know of the member.
    log.have_no_members();
    in_time(PATIENCE, "the deletion", other.delivery.delete_group(&group())).await.unwrap();
    let ended = async { while worker.member.next(1_024).await.is_ok() {} };
    in_time(PATIENCE, "the member's end", ended).await;
    assert!(matches!(world.delivery.join(join("c-2", 8)).await, Err(Error::UnknownGroup(_))));
}

#[tokio::test]
async fn a_new_group_of_the_same_name_has_no_parked_keys() {
    const PARKING: &str = r#"{"onExhausted":"park_key","ordering":"key","maxRetries":0,"breaker":false}"#;
    let world = World::start(1, PARKING).await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 1).await;
    let got = worker.delivery().await;
    assert_eq!(worker.settle(Settlement::Reject { tag: got.tag, reason: None }).await, []);
    let is_parked = async || (world.view().await["partitions"][0]["keysParked"] == 1).then_some(());
    eventually_within(PATIENCE, "the key is parked", is_parked).await;
    worker.leave(How::Clean).await;
    in_time(PATIENCE, "the deletion", world.delivery.delete_group(&group())).await.unwrap();
    let policy = PolicyPatch { topics: Some(vec![topic("orders.v1")]), ..patch(PARKING) };
    world.delivery.put_policy(&group(), policy).await.unwrap();
    assert_eq!(world.view().await["partitions"][0]["keysParked"], 0);
    assert_eq!(world.letters().await.dead_letters.len(), 1, "its letters are kept");
}

#[tokio::test]
async fn a_new_group_of_the_same_name_gets_nothing_that_was_sent_back_to_the_one_before_it() {
    let world = World::start(1, "{}").await;
    until_loaded(&world.delivery).await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 2).await;
    let letters = reject_all(&world, &mut worker, 2).await;
    worker.leave(How::Clean).await;
    for letter in &letters {
        redrive(&world, &letter.id).await.unwrap();
    }
    in_time(PATIENCE, "the deletion", world.delivery.delete_group(&group())).await.unwrap();
    let latest = PolicyPatch { topics: Some(vec![topic("orders.v1")]), ..patch(r#"{"start":"latest"}"#) };
    world.delivery.put_policy(&group(), latest).await.unwrap();
    for letter in &letters {
        until_state(&world, &letter.id, DeadLetterState::Open).await;
    }
    let mut worker = world.join("c-2", 8).await;
    let is_passed = async || (world.committed_in(REDRIVES, 0).await == Some(2)).then_some(());
    eventually_within(PATIENCE, "what lies there is passed over", is_passed).await;
    assert!(worker.is_idle().await);
    redrive(&world, &letters[1].id).await.unwrap();
    let got = worker.delivery().await;
    assert_eq!(got.offset(), letters[1].offset.number(), "what is sent back to it comes");
    worker.ack(&got).await;
    until_state(&world, &letters[1].id, DeadLetterState::Resolved).await;
    until_state(&world, &letters[0].id, DeadLetterState::Open).await;
}

#[tokio::test]
async fn a_group_of_the_file_comes_back_when_the_file_is_read_again() {
    let world = World::start(1, "{}").await;
    let file = || config(Policy::default(), [(group(), reads())].into());
    world.delivery.replace(file()).await.unwrap();
    until_known(&world.delivery).await;
    in_time(PATIENCE, "the deletion", world.delivery.delete_group(&group())).await.unwrap();
    until_unknown(&world.delivery).await;
    world.delivery.replace(file()).await.unwrap();
    assert!(world.delivery.policy(&group()).is_some());
}
