//! Views of groups and lists of letters.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use weirgate::delivery::{DeadLetterQuery, Error, How, Settlement};
use weirgate::log::Table;

use super::engine::PATIENCE;
use super::harness::{Neighbour, Worker, World, group, topic};
use super::waiting::eventually_within;

/// A group with a member and a blocked lane, as another gateway sees it.
async fn seen_elsewhere() -> (World, Worker, Neighbour, Value) {
    let world = World::start(2, "{}").await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 2).await;
    let got = worker.deliveries(2).await;
    let delay = Some(Duration::from_secs(600));
    worker.settle(Settlement::Nack { tag: got[0].tag, delay, reason: None }).await;
    let neighbour = world.neighbour().await;
    let is_seen = async || {
        let view = neighbour.view().await;
        (view["partitions"][0]["lanesBlocked"][0]["offset"] == 0).then_some(view)
    };
    let view = eventually_within(PATIENCE, "the other gateway shows the lane", is_seen).await;
    (world, worker, neighbour, view)
}

async fn until_seen_no_more(neighbour: &Neighbour) {
    let is_gone = async || {
        let view = neighbour.view().await;
        let is_free = |one: &Value| one.get("node").is_none() && one["lanesBlocked"] == json!([]);
        let is_gone = view["members"] == json!([])
            && view["gateways"] == json!([])
            && view["partitions"].as_array().unwrap().iter().all(is_free);
        is_gone.then_some(())
    };
    eventually_within(PATIENCE, "nothing of the gateway is shown", is_gone).await;
}

#[tokio::test]
async fn another_gateway_shows_a_groups_members_partitions_and_blocked_lanes_until_theirs_dies() {
    let (mut world, worker, neighbour, view) = seen_elsewhere().await;
    assert_eq!(
        view["members"],
        json!([{"node": "g1", "kind": "socket", "connection": "c-1", "inFlight": 0}])
    );
    let partitions = view["partitions"].as_array().unwrap();
    assert!(partitions.iter().all(|one| one["node"] == "g1"), "{view}");
    let blocked = &partitions[0]["lanesBlocked"][0];
    assert_eq!((&blocked["reason"], &blocked["attempts"]), (&json!("retrying"), &json!(1)));
    let gateway = &view["gateways"][0];
    assert_eq!(
        (&gateway["node"], &gateway["members"], &gateway["partitions"]),
        (&json!("g1"), &json!(1), &json!(2))
    );
    assert!(gateway["ageMs"].is_u64() && gateway["updatedAt"].is_string(), "{view}");
    let own = world.view().await;
    assert_eq!((&own["gateways"][0]["node"], &own["gateways"][0]["ageMs"]), (&json!("g1"), &json!(0)));
    assert_eq!(own["gateways"].as_array().unwrap().len(), 1, "it does not count itself twice: {own}");

    world.crash().await;
    drop(worker);
    until_seen_no_more(&neighbour).await;
}

#[tokio::test]
async fn a_gateway_that_stops_takes_what_it_told_of_groups_back() {
    let (mut world, _worker, neighbour, _) = seen_elsewhere().await;
    world.restart().await;
    let table = Table::open(Arc::clone(&world.log), topic("_weirgate.group_states"), 1).await.unwrap();
    assert_eq!(table.entries(), []);
    until_seen_no_more(&neighbour).await;
}

#[tokio::test]
async fn a_group_without_members_shows_its_lag() {
    let world = World::start(2, "{}").await;
    world.publish(0, "a", 3).await;
    let view = serde_json::to_value(world.delivery.group(&group()).await.unwrap()).unwrap();
    assert_eq!(view["group"], "inventory-sync");
    assert_eq!(view["policy"]["topics"][0], "orders.v1");
    assert_eq!(view["members"], json!([]));
    assert_eq!(view["breaker"], "closed");
    assert!(view["updatedAt"].as_str().unwrap().ends_with('Z'));
    let partition = &view["partitions"][0];
    assert_eq!(partition["topic"], "orders.v1");
    assert_eq!(partition["committedOffset"], Value::Null);
    assert_eq!((&partition["endOffset"], &partition["lag"]), (&3.into(), &3.into()));
    assert!(partition["lagSeconds"].is_number());
    assert_eq!(view["partitions"][1]["lag"], 0);
    assert_eq!(view["partitions"][1]["lagSeconds"], 0.0);
}

#[tokio::test]
async fn members_and_blocked_lanes_are_shown() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 2).await;
    let got = worker.deliveries(2).await;
    let view = serde_json::to_value(world.delivery.group(&group()).await.unwrap()).unwrap();
    let members = json!([{"node": "g1", "kind": "socket", "connection": "c-1", "inFlight": 2}]);
    assert_eq!(view["members"], members);
    let delay = Some(Duration::from_secs(60));
    worker.settle(Settlement::Nack { tag: got[0].tag, delay, reason: None }).await;
    let (groups, has_more) = world.delivery.groups(|_| true, None, 10).await.unwrap();
    assert!(!has_more);
    let view = serde_json::to_value(groups).unwrap();
    let blocked = &view[0]["partitions"][0]["lanesBlocked"][0];
    assert_eq!((&blocked["offset"], &blocked["attempts"]), (&0.into(), &1.into()));
    assert_eq!(blocked["reason"], "retrying");
    worker.leave(How::Clean).await;
}

#[tokio::test]
async fn a_group_in_which_nothing_happens_is_told_of_once() {
    let (world, _worker, _neighbour, _) = seen_elsewhere().await;
    let table = Table::open(Arc::clone(&world.log), topic("_weirgate.group_states"), 1).await.unwrap();
    let before = *table.changes().borrow();
    let is_quiet = async || {
        let keys = table.changed_since(before).unwrap();
        let last = keys.last_chunk::<3>()?;
        last.iter().all(|key| key.starts_with(b"gateway/")).then_some(())
    };
    eventually_within(PATIENCE, "three beats follow one another", is_quiet).await;
}

#[tokio::test]
async fn letters_are_listed_page_by_page() {
    let world = World::start(2, r#"{"ordering":"none"}"#).await;
    let mut worker = world.join("c-1", 16).await;
    world.publish(0, "a", 4).await;
    world.publish(1, "b", 3).await;
    for got in worker.deliveries(7).await {
        assert_eq!(worker.settle(Settlement::Reject { tag: got.tag, reason: None }).await, []);
    }
    world.until_committed(0, 4).await;
    world.until_committed(1, 3).await;
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let query = DeadLetterQuery { limit: 3, cursor, ..Default::default() };
        let page = world.delivery.dead_letters(&group(), query).await.unwrap();
        assert!(page.dead_letters.len() <= 3);
        seen.extend(page.dead_letters.iter().map(|one| (one.partition.number(), one.offset.number())));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2)]);
    let bad = DeadLetterQuery { limit: 3, cursor: Some("nonsense".to_owned()), ..Default::default() };
    assert!(matches!(world.delivery.dead_letters(&group(), bad).await, Err(Error::InvalidCursor)));
}

#[tokio::test]
async fn consumed_events_are_counted_under_the_users_names() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 1).await;
    let got = worker.delivery().await;
    worker.ack(&got).await;
    for line in [
        r#"events_consumed_total{consumer_group="inventory-sync",event_type="orders.placed.v1",topic="orders.v1"} 1"#,
        r#"event_processing_duration_seconds_count{event_type="orders.placed.v1"} 1"#,
        r#"weirgate_deliveries_total{group="inventory-sync",outcome="ack",topic="orders.v1"} 1"#,
        "weirgate_delivery_attempts_count 1",
    ] {
        world.until_metric(line).await;
    }
}
