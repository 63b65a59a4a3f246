//! Members that share, break, come back and go.

use weirgate::delivery::{AckMode, ConnectionId, Error, How, Join, Push};

use super::harness::{World, join, offsets, topic};

#[tokio::test]
async fn two_members_share_the_partitions_at_once() {
    let world = World::start(4, "{}").await;
    let mut one = world.join("c-1", 8).await;
    world.publish(0, "a", 1).await;
    let first = one.delivery().await;
    one.ack(&first).await;
    let mut two = world.join("c-2", 8).await;
    let assigned = loop {
        if let Push::Assignment { partitions, .. } = two.told().await {
            break partitions;
        }
    };
    assert_eq!(assigned[&topic("orders.v1")].len(), 2);
    for partition in 0..4 {
        world.publish(partition, "a", 1).await;
    }
    assert_eq!((one.deliveries(2).await.len(), two.deliveries(2).await.len()), (2, 2));
}

#[tokio::test]
async fn a_member_hears_of_its_partitions_and_their_lag_before_anything_from_them() {
    let world = World::start(2, "{}").await;
    world.publish(0, "a", 3).await;
    world.publish(1, "b", 2).await;
    let mut worker = world.join("c-1", 8).await;
    let Push::Assignment { partitions, lag, .. } = worker.told().await else {
        panic!("something else first")
    };
    assert_eq!((partitions[&topic("orders.v1")].len(), lag.unwrap().events), (2, 5));
    let got = worker.deliveries(5).await;
    worker.ack(&got[0]).await;
}

#[tokio::test]
async fn a_member_that_comes_later_hears_of_its_partitions_first_too() {
    let world = World::start(1, r#"{"ordering":"key"}"#).await;
    let mut one = world.join("c-1", 1).await;
    world.publish(0, "a", 1).await;
    world.publish(0, "b", 1).await;
    one.delivery().await;
    let mut two = world.join("c-2", 1).await;
    let first = two.told().await;
    assert!(matches!(first, Push::Assignment { .. }), "{first:?}");
    assert_eq!(two.delivery().await.offset(), 1);
}

#[tokio::test]
async fn a_successor_hears_of_its_partitions_before_what_waited_for_its_predecessor() {
    let world = World::start(1, "{}").await;
    let mut one = world.join("c-1", 8).await;
    world.publish(0, "a", 2).await;
    one.pulled_alone().await;
    let adopting = Join { adopt: Some(ConnectionId::new("c-1")), ..join("c-2", 8) };
    let mut two = world.join_as(adopting).await;
    let first = two.told().await;
    assert!(matches!(first, Push::Assignment { .. }), "{first:?}");
    assert_eq!(two.delivery().await.offset(), 1);
}

#[tokio::test]
async fn credit_is_a_window() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 2).await;
    world.publish(0, "a", 5).await;
    let got = worker.deliveries(2).await;
    assert!(worker.is_idle().await);
    worker.ack(&got[0]).await;
    assert_eq!(worker.delivery().await.offset(), 2);
    worker.member.control().set_credit(4).await.unwrap();
    assert_eq!(offsets(&worker.deliveries(2).await), [3, 4]);
}

#[tokio::test]
async fn a_paused_member_gets_nothing_until_it_resumes() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 8).await;
    worker.member.control().pause().await.unwrap();
    world.publish(0, "a", 1).await;
    assert!(worker.is_idle().await);
    worker.member.control().resume().await.unwrap();
    assert_eq!(worker.delivery().await.attempt(), 1);
}

#[tokio::test]
async fn a_clean_leave_gives_deliveries_back_at_once_and_uncounted() {
    let world = World::start(1, r#"{"reconnectGraceMs":60000}"#).await;
    let mut one = world.join("c-1", 8).await;
    world.publish(0, "a", 2).await;
    one.deliveries(2).await;
    one.leave(How::Clean).await;
    let mut two = world.join("c-2", 8).await;
    let again = two.deliveries(2).await;
    assert_eq!((again[0].attempt(), again[1].attempt()), (1, 1));
}

#[tokio::test]
async fn a_broken_connection_counts_only_for_the_head() {
    let world = World::start(1, "{}").await;
    let mut one = world.join("c-1", 8).await;
    let mut two = world.join("c-2", 8).await;
    world.publish(0, "a", 2).await;
    one.deliveries(2).await;
    drop(one);
    let again = two.deliveries(2).await;
    assert_eq!(offsets(&again), [0, 1]);
    assert_eq!((again[0].attempt(), again[1].attempt()), (2, 1));
}

#[tokio::test]
async fn a_successor_adopts_what_its_connection_had() {
    let world = World::start(1, r#"{"reconnectGraceMs":60000}"#).await;
    let mut one = world.join("c-1", 8).await;
    world.publish(0, "a", 2).await;
    let got = one.deliveries(2).await;
    one.leave(How::Broken).await;
    let adopting = Join { adopt: Some(ConnectionId::new("c-1")), ..join("c-2", 8) };
    let stranger = Join { principal: "service:other".into(), ..adopting.clone() };
    let stranger = world.join_as(stranger).await;
    assert!(!stranger.member.adopted());
    stranger.leave(How::Clean).await;
    let mut two = world.join_as(adopting).await;
    assert!(two.member.adopted());
    assert!(two.is_idle().await, "nothing is sent again");
    two.ack(&got[0]).await;
    two.ack(&got[1]).await;
    world.until_committed(0, 2).await;
}

#[tokio::test]
async fn adopting_a_connection_that_seems_alive_ends_it() {
    let world = World::start(1, "{}").await;
    let mut one = world.join("c-1", 1).await;
    world.publish(0, "a", 1).await;
    let got = one.delivery().await;
    let two = world.join_as(Join { adopt: Some(ConnectionId::new("c-1")), ..join("c-2", 8) }).await;
    while let Ok(pushes) = one.member.next(1_024).await {
        assert!(pushes.iter().all(|push| matches!(push, Push::Assignment { .. })));
    }
    two.ack(&got).await;
}

#[tokio::test]
async fn automatic_acknowledgement_settles_when_handed_out() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join_as(Join { ack: AckMode::Auto, ..join("c-1", 2) }).await;
    world.publish(0, "a", 7).await;
    assert_eq!(offsets(&worker.deliveries(7).await), [0, 1, 2, 3, 4, 5, 6]);
    world.until_committed(0, 7).await;
}

#[tokio::test]
async fn who_cannot_join_is_told_why() {
    let world = World::start(1, "{}").await;
    let other = Join { topics: Some(vec![topic("user.created")]), ..join("c-1", 8) };
    assert!(matches!(world.delivery.join(other).await, Err(Error::TopicsDiffer { .. })));
    let unknown = Join { group: weirgate::event::GroupName::parse("nobody").unwrap(), ..join("c-1", 8) };
    assert!(matches!(world.delivery.join(unknown).await, Err(Error::UnknownGroup(_))));
    let same = Join { topics: Some(vec![topic("orders.v1")]), ..join("c-1", 8) };
    assert!(world.delivery.join(same).await.is_ok());
}
