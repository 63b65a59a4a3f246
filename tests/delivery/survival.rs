//! What survives: commits, restarts, policies, drain.

use weirgate::delivery::{Error, Ordering, Policy, Push, Put, Settlement};

use super::engine::PATIENCE;
use super::harness::{World, config, group, join, offsets, patch, topic};
use super::waiting::eventually_within;

#[tokio::test]
async fn a_crash_repeats_neither_finished_work_nor_attempts() {
    let mut world = World::start(1, r#"{"ordering":"none"}"#).await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 4).await;
    let got = worker.deliveries(4).await;
    worker.ack(&got[1]).await;
    worker.ack(&got[2]).await;
    worker.nack(&got[0]).await;
    let again = worker.delivery().await;
    assert_eq!((again.offset(), again.attempt()), (0, 2));
    worker.nack(&again).await;
    assert_eq!(worker.delivery().await.attempt(), 3);
    world.crash().await;
    let mut worker = world.join("c-2", 8).await;
    let after = worker.deliveries(2).await;
    assert_eq!(offsets(&after), [0, 3]);
    assert_eq!((after[0].attempt(), after[1].attempt()), (3, 1));
    assert!(after[0].tag > got[3].tag, "tags are never used twice");
    let stale = worker.settle(Settlement::Ack(vec![got[0].tag])).await;
    assert_eq!(stale[0].state, weirgate::delivery::State::Stale);
}

#[tokio::test]
async fn a_drain_takes_the_unsent_back_and_lets_the_rest_settle() {
    let world = World::start(1, r#"{"rebalanceGraceMs":20000}"#).await;
    let mut worker = world.join("c-1", 3).await;
    world.publish(0, "a", 5).await;
    let got = worker.pulled_alone().await;
    let delivery = world.delivery.clone();
    let draining = tokio::spawn(async move { delivery.drain().await });
    let is_draining =
        async || matches!(world.delivery.join(join("c-2", 1)).await, Err(Error::Draining)).then_some(());
    eventually_within(PATIENCE, "nobody is let in", is_draining).await;
    // The group answers in turn, so by now it knows of the drain.
    world.delivery.group(&group()).await.unwrap();
    assert_eq!(worker.told().await, Push::Draining, "the other two were never sent");
    assert!(!draining.is_finished());
    assert_eq!(worker.settle(Settlement::Ack(vec![got])).await, []);
    tokio::time::timeout(PATIENCE, draining).await.unwrap().unwrap();
    assert_eq!(world.committed(0).await, Some(1));
    assert!(matches!(worker.member.next(1_024).await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_drain_ends_though_nothing_is_settled() {
    let world = World::start(1, r#"{"rebalanceGraceMs":200,"ackTimeoutMs":600000}"#).await;
    let mut worker = world.join("c-1", 3).await;
    world.publish(0, "a", 1).await;
    worker.delivery().await;
    tokio::time::timeout(PATIENCE, world.delivery.drain()).await.unwrap();
    assert_eq!(world.committed(0).await, Some(0));
}

#[tokio::test]
async fn members_end_with_their_group_however_it_ends() {
    let mut world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 1).await;
    world.crash().await;
    let ended = async { while worker.member.next(1_024).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test]
async fn a_policy_is_kept_in_the_log() {
    let mut world = World::start(1, "{}").await;
    let change = patch(r#"{"maxRetries":5,"ordering":"key"}"#);
    let (put, view) = world.delivery.put_policy(&group(), change).await.unwrap();
    assert_eq!((put, view.policy.max_retries), (Put::Changed, 5));
    world.restart().await;
    let policy = world.delivery.policy(&group()).unwrap();
    assert_eq!((policy.max_retries, policy.ordering), (5, Ordering::Key));
    let nowhere = patch(r#"{"topics":["nowhere"]}"#);
    assert!(matches!(world.delivery.put_policy(&group(), nowhere).await, Err(Error::UnknownTopic(_))));
    let nothing = weirgate::event::GroupName::parse("new").unwrap();
    let refused = world.delivery.put_policy(&nothing, patch("{}")).await;
    assert!(matches!(refused, Err(Error::InvalidPolicy { .. })));
}

#[tokio::test]
async fn a_file_that_the_log_does_not_take_is_not_in_force() {
    let world = World::start(1, "{}").await;
    let name = |name: &str| weirgate::event::GroupName::parse(name).unwrap();
    let reads = || patch(r#"{"topics":["orders.v1"]}"#);
    let file = || {
        let defaults = patch(r#"{"maxRetries":9}"#).apply(&Policy::default()).unwrap();
        config(defaults, [(name("of-the-file"), reads())].into())
    };
    world.fault.has_fixed_tables.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(world.delivery.replace(file()).await.is_err());
    world.fault.has_fixed_tables.store(false, std::sync::atomic::Ordering::SeqCst);
    let (_, view) = world.delivery.put_policy(&name("before"), reads()).await.unwrap();
    assert_eq!(view.policy.max_retries, Policy::default().max_retries);

    world.delivery.replace(file()).await.unwrap();
    let (_, view) = world.delivery.put_policy(&name("after"), reads()).await.unwrap();
    assert_eq!(view.policy.max_retries, 9);
    assert_eq!(world.delivery.policy(&name("of-the-file")).unwrap().max_retries, 9);
}

#[tokio::test]
async fn a_live_group_follows_another_policy() {
    let world = World::start(1, "{}").await;
    world.create("user.created", 1).await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 2).await;
    let got = worker.deliveries(2).await;
    worker.ack(&got[0]).await;
    worker.ack(&got[1]).await;
    let change = patch(r#"{"topics":["orders.v1","user.created"],"ackTimeoutMs":9000}"#);
    world.delivery.put_policy(&group(), change).await.unwrap();
    let ended = async { while worker.member.next(1_024).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("nobody asked whether it may read both");
    let mut worker = world.join("c-1", 8).await;
    assert_eq!(worker.member.policy().topics, [topic("orders.v1"), topic("user.created")]);
    world.publish_to("user.created", 0, "a", 1).await;
    let new = worker.delivery().await;
    assert_eq!(new.frame["topic"], "user.created");
    assert_eq!(new.frame["deadlineMs"], 9_000);
    worker.ack(&new).await;
    world.publish(0, "a", 1).await;
    assert_eq!(worker.delivery().await.offset(), 2);
    assert_eq!(world.delivery.policy(&group()).unwrap().topics, [topic("orders.v1"), topic("user.created")]);
}

#[tokio::test]
async fn a_group_that_starts_at_the_latest_remembers_where() {
    let mut world = World::start(1, r#"{"start":"latest"}"#).await;
    world.publish(0, "a", 3).await;
    let worker = world.join("c-1", 8).await;
    world.until_committed(0, 3).await;
    drop(worker);
    world.crash().await;
    world.publish(0, "a", 1).await;
    let mut worker = world.join("c-2", 8).await;
    assert_eq!(worker.delivery().await.offset(), 3);
}

#[tokio::test]
async fn more_than_the_bounds_still_all_comes() {
    let world = World::start(1, r#"{"unsettledPerPartitionMax":4,"spanMax":6,"laneWindow":3}"#).await;
    let mut worker = world.join("c-1", 100).await;
    world.publish(0, "a", 50).await;
    for expected in 0..50 {
        let got = worker.delivery().await;
        assert_eq!(got.offset(), expected);
        worker.ack(&got).await;
    }
    world.until_committed(0, 50).await;
}
