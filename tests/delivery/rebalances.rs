//! What happens to the log's member, told by a log that the test plays.

use std::sync::atomic::Ordering;

use serde_json::json;
use weirgate::delivery::{GapReason, How, Push, Refused, Settlement, State, Withdrawal};
use weirgate::event::{GroupName, Offset};

use super::engine::PATIENCE;
use super::harness::{World, group, offsets, patch, topic};
use super::scripted::{Deed, first};
use super::waiting::{eventually_within, in_time};

fn gap(from: u64, to: u64) -> Push {
    let (topic, partition) = first();
    let (from, to) = (Offset::new(from), Offset::new(to));
    Push::Gap { topic, partition, from, to, reason: GapReason::Retention }
}

#[tokio::test]
async fn a_revoked_partition_is_given_back_after_what_was_settled_in_time_is_committed() {
    let (world, mut log) = World::scripted(1, r#"{"rebalanceGraceMs":20000}"#).await;
    let mut worker = world.join("c-1", 8).await;
    assert_eq!(log.deed().await, Deed::Join);
    log.assign(0, 0);
    log.records(0..3);
    let tag = worker.pulled_alone().await;
    log.revoke();
    // The two that were not pulled are taken back in silence; the group answers in turn, so it has heard by then.
    worker.until_recalled(&world).await;
    assert_eq!(log.deeds(), []);
    assert_eq!(worker.settle(Settlement::Ack(vec![tag])).await, []);
    assert_eq!(log.deed().await, Deed::Commit(1));
    assert_eq!(log.deed().await, Deed::GiveBack(vec![first()]));
    assert_eq!(worker.settle(Settlement::Ack(vec![tag])).await, [Refused { tag, state: State::Stale }]);

    log.assign(1, 1);
    log.records(1..3);
    let again = worker.deliveries(2).await;
    assert_eq!(offsets(&again), [1, 2]);
    assert_eq!((again[0].attempt(), again[1].attempt()), (1, 1), "nobody failed");
}

#[tokio::test]
async fn a_revoked_partition_does_not_wait_for_ever() {
    let (world, mut log) = World::scripted(1, r#"{"rebalanceGraceMs":50}"#).await;
    let mut worker = world.join("c-1", 8).await;
    assert_eq!(log.deed().await, Deed::Join);
    log.assign(0, 0);
    log.records(0..1);
    let got = worker.delivery().await;
    log.revoke();
    assert_eq!(worker.withdrawn().await, (vec![got.tag], Withdrawal::Rebalance));
    assert_eq!(log.deed().await, Deed::GiveBack(vec![first()]));
}

#[tokio::test]
async fn a_lost_partition_goes_at_once_and_commits_nothing() {
    let (world, mut log) = World::scripted(1, r#"{"commitIntervalMs":60000}"#).await;
    let mut worker = world.join("c-1", 8).await;
    assert_eq!(log.deed().await, Deed::Join);
    log.assign(0, 0);
    log.records(0..2);
    let got = worker.deliveries(2).await;
    worker.ack(&got[0]).await;
    log.lose();
    assert_eq!(worker.withdrawn().await, (vec![got[1].tag], Withdrawal::Rebalance));
    let late = worker.settle(Settlement::Ack(vec![got[1].tag])).await;
    assert_eq!(late, [Refused { tag: got[1].tag, state: State::Stale }]);
    log.assign(0, 0);
    log.records(0..2);
    let again = worker.deliveries(2).await;
    assert_eq!(offsets(&again), [0, 1], "what was settled and not committed comes again");
    assert_eq!(again[1].attempt(), 1);
    assert_eq!(log.deeds(), []);
}

#[tokio::test]
async fn a_letter_that_cannot_be_written_is_left_to_the_next_owner_of_its_partition() {
    let (world, mut log) = World::scripted(1, "{}").await;
    let mut worker = world.join("c-1", 8).await;
    assert_eq!(log.deed().await, Deed::Join);
    world.fault.is_on.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        log.assign(0, 0);
        log.records(0..1);
        let got = worker.delivery().await;
        let before = world.fault.refused.load(Ordering::SeqCst);
        assert_eq!(worker.settle(Settlement::Reject { tag: got.tag, reason: None }).await, []);
        let is_refused = async || (world.fault.refused.load(Ordering::SeqCst) > before).then_some(());
        eventually_within(PATIENCE, "its letter is refused", is_refused).await;
        log.lose();
    }
    log.assign(0, 0);
    log.records(0..1);
    let got = worker.delivery().await;
    world.fault.is_on.store(false, Ordering::SeqCst);
    assert_eq!(worker.settle(Settlement::Reject { tag: got.tag, reason: None }).await, []);
    assert_eq!(log.next_but(&Deed::Commit(0)).await, Deed::Commit(1));
    let letters = topic("dlq.orders.v1.inventory-sync");
    let end = world.log.bounds(&letters, first().1).await.unwrap().end;
    assert_eq!(end, Offset::new(1), "nothing is written for assignments that are over");
}

#[tokio::test]
async fn a_gap_is_kept_in_the_groups_view_by_every_gateway_and_beyond_their_end() {
    let (mut world, mut log) = World::scripted(1, "{}").await;
    let _worker = world.join("c-1", 8).await;
    assert_eq!(log.deed().await, Deed::Join);
    log.assign(0, 0);
    assert_eq!(world.view().await["partitions"][0].get("lastGap"), None);
    log.gap(0, 3);
    assert_eq!(log.deed().await, Deed::Commit(3));
    log.gap(3, 9);
    assert_eq!(log.deed().await, Deed::Commit(9));
    let gap = world.view().await["partitions"][0]["lastGap"].clone();
    assert_eq!((&gap["from"], &gap["to"]), (&json!(3), &json!(9)), "the last one: {gap}");
    assert!(gap["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{gap}");

    let neighbour = world.neighbour().await;
    let is_told = async || (neighbour.view().await["partitions"][0]["lastGap"] == gap).then_some(());
    eventually_within(PATIENCE, "the other gateway shows it", is_told).await;
    drop(neighbour);
    world.restart().await;
    let is_told = async || (world.view().await["partitions"][0]["lastGap"] == gap).then_some(());
    eventually_within(PATIENCE, "it is read again", is_told).await;

    log.have_no_members();
    world.delivery.delete_group(&group()).await.unwrap();
    world.delivery.put_policy(&group(), patch(r#"{"topics":["orders.v1"]}"#)).await.unwrap();
    assert_eq!(world.view().await["partitions"][0].get("lastGap"), None, "another group of the name");
}

#[tokio::test]
async fn a_gap_told_shortly_before_the_end_is_kept() {
    let (mut world, mut log) = World::scripted(1, "{}").await;
    let worker = world.join("c-1", 8).await;
    assert_eq!(log.deed().await, Deed::Join);
    log.assign(0, 7);
    assert_eq!(log.deed().await, Deed::Commit(7));
    drop(worker);
    world.restart().await;
    let is_told = async || (world.view().await["partitions"][0]["lastGap"]["to"] == 7).then_some(());
    eventually_within(PATIENCE, "it is read again", is_told).await;
}

#[tokio::test]
async fn a_membership_that_ended_is_left_and_begun_anew() {
    let (world, mut log) = World::scripted(1, "{}").await;
    let mut worker = world.join("c-1", 8).await;
    assert_eq!(log.deed().await, Deed::Join);
    log.assign(0, 0);
    log.records(0..1);
    let got = worker.delivery().await;
    log.end_membership();
    assert_eq!(log.deed().await, Deed::Leave);
    assert_eq!(log.deed().await, Deed::Join);
    assert_eq!(worker.withdrawn().await, (vec![got.tag], Withdrawal::Rebalance));
    log.assign(0, 0);
    log.records(0..1);
    let again = worker.delivery().await;
    assert_ne!(again.tag, got.tag);
    worker.ack(&again).await;
    assert_eq!(log.deed().await, Deed::Commit(1));
}

#[tokio::test]
async fn a_gap_is_told_counted_and_passed_over() {
    let (world, mut log) = World::scripted(1, "{}").await;
    let mut worker = world.join("c-1", 8).await;
    assert_eq!(log.deed().await, Deed::Join);
    log.assign(0, 3);
    assert_eq!(worker.told_but_assignments().await, gap(0, 3), "gone before it was assigned");
    assert_eq!(log.deed().await, Deed::Commit(3));
    log.gap(3, 9);
    assert_eq!(worker.told_but_assignments().await, gap(3, 9));
    assert_eq!(log.deed().await, Deed::Commit(9));
    let metric = r#"weirgate_group_gaps_total{group="inventory-sync",topic="orders.v1"} 2"#;
    assert!(world.registry.render().contains(metric));
}

#[tokio::test]
async fn a_gap_nobody_was_here_for_is_told_to_who_comes_next() {
    let (world, mut log) = World::scripted(1, "{}").await;
    world.join("c-1", 8).await.leave(How::Clean).await;
    assert_eq!(log.deed().await, Deed::Join);
    log.assign(0, 0);
    log.gap(0, 9);
    assert_eq!(log.deed().await, Deed::Commit(9));
    let mut worker = world.join("c-2", 8).await;
    assert_eq!(worker.told_but_assignments().await, gap(0, 9));
}

#[tokio::test]
async fn a_group_that_stands_still_with_a_full_channel_holds_up_no_other() {
    /// More than wait for a group's task.
    const ORDERS: usize = 2_000;
    let (world, mut log) = World::scripted(1, "{}").await;
    log.never_take_back();
    let worker = world.join("c-1", 8).await;
    assert_eq!(log.deed().await, Deed::Join);
    log.assign(0, 0);
    log.revoke();
    assert_eq!(log.deed().await, Deed::GiveBack(vec![first()]));
    let mut orders = tokio::task::JoinSet::new();
    for credit in 0..ORDERS {
        let control = worker.member.control();
        orders.spawn(async move { control.set_credit(u32::try_from(credit).unwrap()).await });
    }
    // The one thread that runs all of this has begun with every order by then.
    tokio::task::yield_now().await;
    for name in ["first", "second"] {
        let policy = patch(r#"{"topics":["orders.v1"]}"#);
        let other = GroupName::parse(name).unwrap();
        let put = world.delivery.put_policy(&other, policy);
        in_time(PATIENCE, "a change of another group", put).await.unwrap();
    }
}
