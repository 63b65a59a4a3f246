//! Offsets that are moved on purpose, with members and without.

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use weirgate::delivery::{Error, Refused, Reset, Settlement, State, Withdrawal};

use super::engine::PATIENCE;
use super::harness::{Worker, World, group, offsets};
use super::scripted::{Deed, Script};
use super::waiting::eventually_within;

fn to(body: &Value) -> Reset {
    serde_json::from_value(body.clone()).unwrap()
}

/// Moves the group, which may take as long as this machine takes.
pub(crate) async fn reset(world: &World, body: Value) -> Value {
    let try_it = async || match world.delivery.reset(&group(), &to(&body)).await {
        Ok(view) => Some(serde_json::to_value(view).unwrap()),
        Err(Error::NotOurs { .. }) => None,
        Err(error) => panic!("{error}"),
    };
    let view = eventually_within(PATIENCE, "the group's partitions are answered for", try_it).await;
    assert_ne!(view["state"], "planned");
    until_over(world).await;
    view
}

/// A group whose only partition cannot be moved, its worker, and who waits for that.
async fn stuck() -> (World, Script, Worker, JoinHandle<()>) {
    let (world, mut log) = World::scripted(1, "{}").await;
    world.publish(0, "a", 3).await;
    log.refuse_seeks(true);
    let worker = world.join("c-1", 8).await;
    assert_eq!(log.deed().await, Deed::Join);
    log.assign(0, 0);
    let (delivery, body) = (world.delivery.clone(), json!({"to": {"offsets": {"orders.v1": {"0": 2}}}}));
    let asking = tokio::spawn(async move { drop(delivery.reset(&group(), &to(&body)).await) });
    let is_moving = async || {
        let view = world.view().await;
        (view["reset"]["partitionsLeft"] == 1 && view["reset"]["since"].is_string()).then_some(())
    };
    eventually_within(PATIENCE, "the partition is being moved", is_moving).await;
    (world, log, worker, asking)
}

async fn until_over(world: &World) {
    let is_over = async || world.view().await.get("reset").is_none().then_some(());
    eventually_within(PATIENCE, "the reset is done", is_over).await;
}

async fn refused(world: &World, body: Value) -> Error {
    world.delivery.reset(&group(), &to(&body)).await.unwrap_err()
}

#[tokio::test]
async fn a_group_that_is_moved_back_gets_its_events_again_and_what_was_in_flight_is_withdrawn() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 32).await;
    world.publish(0, "a", 6).await;
    let first = worker.deliveries(6).await;
    worker.nack(&first[0]).await;
    let mut old = worker.withdrawn().await.0;
    let again = worker.deliveries(6).await;
    assert_eq!((again[0].attempt(), old.len()), (2, 5));
    for got in &again[..4] {
        worker.ack(got).await;
    }
    world.until_committed(0, 4).await;

    let view = reset(&world, json!({"to": {"offsets": {"orders.v1": {"0": 0}}}})).await;
    let expected =
        json!([{"topic": "orders.v1", "partition": 0, "from": 4, "to": 0, "skipped": 0, "again": 4}]);
    assert_eq!((&view["group"], &view["partitions"]), (&json!("inventory-sync"), &expected));
    let (tags, reason) = worker.withdrawn().await;
    assert_eq!((tags.len(), reason), (2, Withdrawal::Reset));
    old.extend(tags);
    for tag in old {
        let late = worker.settle(Settlement::Ack(vec![tag])).await;
        assert_eq!(late, [Refused { tag, state: State::Stale }]);
    }
    let anew = worker.deliveries(6).await;
    assert_eq!(offsets(&anew), [0, 1, 2, 3, 4, 5]);
    assert!(anew.iter().all(|got| got.attempt() == 1), "attempts start again: {anew:?}");
    for got in &anew {
        worker.ack(got).await;
    }
    world.until_committed(0, 6).await;
    assert_eq!(world.view().await.get("reset"), None);
}

#[tokio::test]
async fn a_group_that_is_moved_on_passes_over_what_it_had_not_done() {
    let world = World::start(2, r#"{"ordering":"key"}"#).await;
    let mut worker = world.join("c-1", 1).await;
    world.publish(0, "a", 3).await;
    world.publish(1, "b", 3).await;
    let held = worker.delivery().await;
    reset(&world, json!({"to": "latest"})).await;
    assert_eq!(worker.withdrawn().await, (vec![held.tag], Withdrawal::Reset));
    assert_eq!((world.committed(0).await, world.committed(1).await), (Some(3), Some(3)));
    world.publish(0, "a", 1).await;
    let next = worker.delivery().await;
    assert_eq!(next.offset(), 3);
    worker.ack(&next).await;
    world.until_committed(0, 4).await;
}

#[tokio::test]
async fn a_reset_without_members_sets_what_is_committed() {
    let mut world = World::start(2, "{}").await;
    world.publish(0, "a", 5).await;
    let view = reset(&world, json!({"to": {"offsets": {"orders.v1": {"0": 3}}}})).await;
    assert_eq!(
        (&view["partitions"][0]["from"], &view["partitions"][0]["skipped"]),
        (&Value::Null, &json!(3))
    );
    assert_eq!((world.committed(0).await, world.committed(1).await), (Some(3), None));
    reset(&world, json!({"to": {"offsets": {"orders.v1": {"0": 3}}}})).await;
    assert_eq!(world.committed(0).await, Some(3), "twice is harmless");
    world.restart().await;
    let mut worker = world.join("c-1", 8).await;
    assert_eq!(offsets(&worker.deliveries(2).await), [3, 4]);
    assert!(worker.is_idle().await);
}

#[tokio::test]
async fn a_reset_to_a_time_goes_on_at_the_first_event_since() {
    let world = World::start(1, "{}").await;
    world.publish(0, "a", 3).await;
    let before = json!({"to": {"timestamp": "2020-01-01T00:00:00Z"}});
    let after = json!({"to": {"timestamp": "2100-01-01T00:00:00Z"}, "topics": ["orders.v1"]});
    assert_eq!(reset(&world, after).await["partitions"][0]["to"], 3);
    assert_eq!(world.committed(0).await, Some(3));
    assert_eq!(reset(&world, before).await["partitions"][0]["again"], 3);
    assert_eq!(world.committed(0).await, Some(0));
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_moved_and_moves_nothing() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 2).await;
    world.publish(0, "a", 4).await;
    let got = worker.deliveries(2).await;
    worker.ack(&got[0]).await;
    world.until_committed(0, 1).await;
    let body = json!({"to": "latest", "dryRun": true});
    let view = serde_json::to_value(world.delivery.reset(&group(), &to(&body)).await.unwrap()).unwrap();
    let expected =
        json!([{"topic": "orders.v1", "partition": 0, "from": 1, "to": 4, "skipped": 3, "again": 0}]);
    assert_eq!((&view["state"], &view["partitions"]), (&json!("planned"), &expected));
    worker.ack(&got[1]).await;
    let rest = worker.deliveries(2).await;
    assert_eq!(offsets(&rest), [2, 3], "nothing was withdrawn");
    world.until_committed(0, 2).await;
}

#[tokio::test]
async fn a_reset_of_what_is_not_there_is_refused_and_moves_nothing() {
    let world = World::start(1, "{}").await;
    world.publish(0, "a", 4).await;
    for (body, named) in [
        (json!({"to": {"offsets": {"orders.v1": {"0": 5}}}}), "from 0 to 4, not from 5"),
        (json!({"to": {"offsets": {"orders.v1": {"1": 0}}}}), "partitions 0 to 0"),
        (json!({"to": {"offsets": {"bills.v1": {"0": 0}}}}), "does not read 'bills.v1'"),
        (json!({"to": "latest", "topics": ["bills.v1"]}), "does not read 'bills.v1'"),
        (json!({"to": "latest", "topics": []}), "no partition"),
    ] {
        let error = refused(&world, body).await;
        assert!(matches!(error, Error::InvalidReset { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
    }
    assert_eq!(world.committed(0).await, None);
}

#[tokio::test]
async fn another_gateway_is_asked_to_reset_and_the_owner_does() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", 3).await;
    for got in worker.deliveries(3).await {
        worker.ack(&got).await;
    }
    world.until_committed(0, 3).await;
    let neighbour = world.neighbour().await;
    let body = json!({"to": {"offsets": {"orders.v1": {"0": 1}}}});
    let ask = async || neighbour.delivery.reset(&group(), &to(&body)).await.ok();
    eventually_within(PATIENCE, "the owner answers for its partition", ask).await;
    assert_eq!(offsets(&worker.deliveries(2).await), [1, 2]);
}

#[tokio::test]
async fn a_halted_partition_goes_on_where_it_is_moved() {
    let world = World::start(1, r#"{"onExhausted":"halt","maxRetries":0}"#).await;
    let mut worker = world.join("c-1", 1).await;
    world.publish(0, "a", 3).await;
    let got = worker.delivery().await;
    worker.nack(&got).await;
    reset(&world, json!({"to": {"offsets": {"orders.v1": {"0": 1}}}})).await;
    let next = worker.delivery().await;
    assert_eq!((next.offset(), next.attempt()), (1, 1));
    reset(&world, json!({"to": "earliest"})).await;
    assert_eq!(worker.withdrawn().await.1, Withdrawal::Reset);
    let again = worker.delivery().await;
    assert_eq!((again.offset(), again.attempt()), (0, 1), "with its attempts anew");
}

#[tokio::test]
async fn a_full_partition_that_is_moved_is_read_on() {
    let world = World::start(1, r#"{"unsettledPerPartitionMax":4}"#).await;
    let mut worker = world.join("c-1", 32).await;
    world.publish(0, "a", 20).await;
    assert_eq!(offsets(&worker.deliveries(4).await), [0, 1, 2, 3]);
    reset(&world, json!({"to": {"offsets": {"orders.v1": {"0": 10}}}})).await;
    assert_eq!(worker.withdrawn().await.0.len(), 4);
    for _ in 0..10 {
        let got = worker.delivery().await;
        worker.ack(&got).await;
    }
    world.until_committed(0, 20).await;
}

#[tokio::test]
async fn a_reset_that_a_gateway_left_undone_is_done_by_who_gets_the_partition() {
    let (mut world, mut log, _worker, asking) = stuck().await;
    let error = refused(&world, json!({"to": "earliest"})).await;
    assert!(matches!(error, Error::ResetUnderWay), "{error:?}");
    world.crash().await;
    asking.abort();
    log.refuse_seeks(false);
    let mut worker = world.join("c-2", 8).await;
    assert_eq!(log.next_but(&Deed::Leave).await, Deed::Join);
    log.assign(0, 0);
    assert_eq!(log.deed().await, Deed::Seek(2));
    assert_eq!(log.deed().await, Deed::Commit(2));
    log.records(2..3);
    let got = worker.delivery().await;
    assert_eq!((got.offset(), got.attempt()), (2, 1));
    until_over(&world).await;
    worker.ack(&got).await;
    assert_eq!(log.deed().await, Deed::Commit(3));
    assert_eq!(log.deeds(), [], "it is moved once");
}

#[tokio::test]
async fn a_reset_that_nobody_is_left_to_do_is_set_by_any_gateway() {
    let (mut world, mut log, _worker, asking) = stuck().await;
    world.crash().await;
    asking.abort();
    log.have_no_members();
    assert_eq!(log.next_but(&Deed::Leave).await, Deed::Set(2));
    until_over(&world).await;
}

#[tokio::test]
async fn a_partition_that_no_gateway_has_keeps_all_where_they_are() {
    let (world, mut log) = World::scripted(2, "{}").await;
    world.publish(0, "a", 3).await;
    let mut worker = world.join("c-1", 8).await;
    assert_eq!(log.deed().await, Deed::Join);
    log.assign(0, 0);
    log.records(0..1);
    let got = worker.delivery().await;
    let error = refused(&world, json!({"to": "latest"})).await;
    assert!(matches!(error, Error::NotOurs { .. }) && error.to_string().contains("partition 1"), "{error:?}");
    worker.ack(&got).await;
    assert_eq!(log.deed().await, Deed::Commit(1), "nothing was moved");
    assert_eq!(world.view().await.get("reset"), None);
}
