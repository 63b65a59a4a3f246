//! Metrics of groups: what is told of those that nobody works for, and what is no longer told.

use weirgate::delivery::PolicyPatch;
use weirgate::event::{Clock, GroupName, Partition};
use weirgate::log::{Append, NewRecord};

use super::engine::PATIENCE;
use super::harness::{World, group, patch, topic};
use super::jobs::{begin, bury};
use super::waiting::eventually_within;

const PLACE: &str = r#"consumergroup="inventory-sync",partition="0",topic="orders.v1""#;

/// An event that was stored an hour ago.
async fn publish_old(world: &World) {
    let timestamp = Some(Clock::system().now().plus_millis(-3_600_000));
    let record = NewRecord { value: Some("{}".into()), timestamp, ..NewRecord::default() };
    let append = Append { topic: topic("orders.v1"), partition: Partition::new(0), records: vec![record] };
    world.log.append(append).await.unwrap();
}

async fn lag_seconds(world: &World) -> f64 {
    world.view().await["partitions"][0]["lagSeconds"].as_f64().unwrap()
}

#[tokio::test]
async fn lag_is_told_of_a_group_without_members_too() {
    let world = World::start(2, "{}").await;
    publish_old(&world).await;
    world.publish(0, "a", 2).await;
    world.until_metric(&format!("kafka_consumergroup_lag{{{PLACE}}} 3")).await;
    world.until_metric(&format!("kafka_consumergroup_current_offset{{{PLACE}}} 0")).await;
    let start = format!("kafka_consumergroup_lag_seconds{{{PLACE}}} ");
    let text = world.registry.render();
    let age: f64 = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse().unwrap();
    assert!((3_600.0..5_000.0).contains(&age), "{age}");
    let other = PLACE.replace(r#"partition="0""#, r#"partition="1""#);
    world.until_metric(&format!("kafka_consumergroup_lag{{{other}}} 0")).await;
    world.until_metric(&format!("kafka_consumergroup_lag_seconds{{{other}}} 0")).await;
}

#[tokio::test]
async fn lag_in_seconds_is_the_age_of_the_first_event_that_is_not_settled() {
    let world = World::start(1, "{}").await;
    publish_old(&world).await;
    world.publish(0, "a", 1).await;
    assert!((3_600.0..5_000.0).contains(&lag_seconds(&world).await));
    let mut worker = world.join("c-1", 1).await;
    let old = worker.delivery().await;
    assert!(
        (3_600.0..5_000.0).contains(&lag_seconds(&world).await),
        "a member has it and has not settled it"
    );
    worker.ack(&old).await;
    world.until_committed(0, 1).await;
    let young = worker.delivery().await;
    assert!(lag_seconds(&world).await < 3_600.0);
    worker.ack(&young).await;
    world.until_committed(0, 2).await;
    assert!(lag_seconds(&world).await.abs() < f64::EPSILON);
    world.until_metric(&format!("kafka_consumergroup_lag{{{PLACE}}} 0")).await;
    world.until_metric(&format!("kafka_consumergroup_lag_seconds{{{PLACE}}} 0")).await;
    world.until_metric(&format!("kafka_consumergroup_current_offset{{{PLACE}}} 2")).await;
}

#[tokio::test]
async fn a_topic_that_a_group_reads_no_more_is_no_longer_told_of() {
    let world = World::start(1, "{}").await;
    world.publish(0, "a", 1).await;
    world.until_metric(&format!("kafka_consumergroup_lag{{{PLACE}}} 1")).await;
    world.create("other.v1", 1).await;
    let other = PolicyPatch { topics: Some(vec![topic("other.v1")]), ..patch("{}") };
    world.delivery.put_policy(&group(), other).await.unwrap();
    for name in ["lag", "lag_seconds", "current_offset"] {
        world.until_no_metric(&format!("kafka_consumergroup_{name}{{{PLACE}}}")).await;
    }
    world.until_metric(&format!("kafka_consumergroup_lag{{{}}} 0", PLACE.replace("orders", "other"))).await;
}

#[tokio::test]
async fn a_group_that_ended_here_has_no_numbers_of_its_own() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 1).await;
    world.publish(0, "a", 1).await;
    let got = worker.delivery().await;
    world.until_metric(r#"weirgate_inflight{group="inventory-sync"} 1"#).await;
    world.until_metric(r#"weirgate_partitions_paused{group="inventory-sync",reason="span"} 0"#).await;
    worker.ack(&got).await;
    world.delivery.drain().await;
    for name in ["inflight", "breaker_state", "partitions_paused", "offset_span", "partition_halted"] {
        world.until_no_metric(&format!(r#"weirgate_{name}{{group="inventory-sync""#)).await;
    }
    let kept = r#"weirgate_deliveries_total{group="inventory-sync",outcome="ack",topic="orders.v1"} 1"#;
    world.until_metric(kept).await;
}

/// How many letters of the group are open, as the metric says.
fn open(world: &World) -> Option<u64> {
    let series = "weirgate_dlq_open{group=\"inventory-sync\",topic=\"orders.v1\"} ";
    let text = world.registry.render();
    text.lines().find_map(|line| line.strip_prefix(series)?.parse().ok())
}

#[tokio::test]
async fn while_letters_of_a_group_are_sent_back_those_of_others_are_not_read_again() {
    let world = World::start(2, "{}").await;
    let (other, letters) = (GroupName::parse("other").unwrap(), topic("dlq.orders.v1.other"));
    world.delivery.put_policy(&other, patch(r#"{"topics":["orders.v1"]}"#)).await.unwrap();
    world.create(letters.as_str(), 2).await;
    let record = NewRecord { value: Some("{}".into()), ..NewRecord::default() };
    let append = Append { topic: letters.clone(), partition: Partition::new(0), records: vec![record] };
    world.log.append(append).await.unwrap();
    bury(&world, 0..1_000).await;
    let until_open = async |what: &str, is_so: &dyn Fn(u64) -> bool| {
        let shown = async || open(&world).filter(|open| is_so(*open));
        eventually_within(PATIENCE, what, shown).await
    };
    until_open("all are open", &|open| open == 1_000).await;
    world.until_metric("weirgate_dlq_open{group=\"other\",topic=\"orders.v1\"} 0").await;
    begin(&world.delivery, Some(5)).await.unwrap();
    let first = until_open("some have gone", &|open| open < 1_000).await;
    let read = || world.fault.letters_read.lock().unwrap().get(&letters).copied();
    let before = read();
    until_open("more have gone", &|open| open < first).await;
    assert_eq!(read(), before, "nothing is new there");
}
