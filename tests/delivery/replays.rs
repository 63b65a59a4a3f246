//! Ranges that are delivered once more, beside what the group does.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use weirgate::delivery::{
    DeadLetterState, Delivery, Error, JobId, Replay, ReplayCounts, ReplayOrder, ReplayState, Settlement,
};
use weirgate::event::Partition;

use super::engine::PATIENCE;
use super::harness::{Got, Neighbour, Worker, World, group, join, offsets, patch, topic};
use super::waiting::eventually_within;

/// An order as a request has it.
fn order(body: &Value) -> ReplayOrder {
    let place = |name: &str| body.get(name).map(|place| serde_json::from_value(place.clone()).unwrap());
    ReplayOrder {
        from: place("from").unwrap(),
        to: place("to"),
        topics: vec![topic("orders.v1")],
        filter: body.get("filter").cloned(),
        rate_per_second: body.get("rate").map(|rate| u32::try_from(rate.as_u64().unwrap()).unwrap()),
        by: "anna".to_owned(),
    }
}

/// Begins a replay when the gateway knows what there is.
async fn begin(delivery: &Delivery, body: Value) -> Replay {
    let knows = async || delivery.has_dead_letter_states().then_some(());
    eventually_within(PATIENCE, "the gateway knows of jobs", knows).await;
    delivery.begin_replay(&group(), order(&body)).await.unwrap()
}

async fn until(delivery: &Delivery, id: &JobId, what: &str, is_so: impl Fn(&Replay) -> bool) -> Replay {
    // It may still have to hear of it.
    let seen = async || delivery.replay(id).ok().filter(&is_so);
    eventually_within(PATIENCE, what, seen).await
}

async fn until_ended(delivery: &Delivery, id: &JobId) -> Replay {
    until(delivery, id, "the replay has ended", |told| !told.state.is_open()).await
}

fn is_replay(got: &Got) -> bool {
    got.frame.get("replay") == Some(&Value::Bool(true))
}

/// A group that has done `count` events of one partition.
async fn done(count: usize, policy: &str) -> (World, Worker) {
    let world = World::start(1, policy).await;
    let mut worker = world.join("c-1", 8).await;
    world.publish(0, "a", count).await;
    for _ in 0..count {
        let got = worker.delivery().await;
        assert_eq!(got.frame.get("replay"), None);
        worker.ack(&got).await;
    }
    world.until_committed(0, count as u64).await;
    (world, worker)
}

/// A second gateway that knows the group.
async fn neighbour(world: &World) -> Neighbour {
    let other = world.neighbour().await;
    let knows = async || {
        (other.delivery.has_dead_letter_states() && other.delivery.policy(&group()).is_some()).then_some(())
    };
    eventually_within(PATIENCE, "the other gateway knows the group", knows).await;
    other
}

fn offset(number: u64) -> Value {
    json!({"offsets": {"orders.v1": {"0": number}}})
}

#[tokio::test]
async fn a_range_is_delivered_once_more_and_the_offsets_stay() {
    let (world, mut worker) = done(6, "{}").await;
    let body = json!({"from": offset(1), "to": offset(4)});
    let begun = begin(&world.delivery, body.clone()).await;
    assert_eq!(
        (begun.state, begun.events, begun.topics.as_slice()),
        (ReplayState::Waiting, 3, &[topic("orders.v1")][..])
    );
    let again = worker.deliveries(3).await;
    assert_eq!(offsets(&again), [1, 2, 3]);
    assert!(again.iter().all(|got| is_replay(got) && got.attempt() == 1));
    let refused = world.delivery.begin_replay(&group(), order(&body)).await;
    assert!(matches!(refused, Err(Error::ReplayRunning(id)) if id == begun.id));
    // What comes meanwhile is delivered beside it.
    world.publish(0, "a", 1).await;
    let live = worker.delivery().await;
    assert_eq!((live.offset(), is_replay(&live)), (6, false));
    worker.ack(&live).await;
    world.until_committed(0, 7).await;
    for got in &again {
        worker.ack(got).await;
    }
    let ended = until_ended(&world.delivery, &begun.id).await;
    let expected = ReplayCounts { examined: 3, matched: 3, delivered: 3, failed: 0, skipped: 0 };
    assert_eq!((ended.state, ended.counts), (ReplayState::Done, expected));
    assert!(ended.ended_at.is_some());
    assert_eq!(world.committed(0).await, Some(7));
    let listed = world.delivery.replays(&group(), |_| true, 10, None).unwrap();
    assert_eq!(listed.replays, [ended]);
}

#[tokio::test]
async fn a_replay_waits_for_a_member_and_live_events_need_none() {
    let world = World::start(1, "{}").await;
    world.publish(0, "a", 3).await;
    let begun = begin(&world.delivery, json!({"from": "earliest"})).await;
    assert_eq!((begun.state, begun.events), (ReplayState::Waiting, 3));
    world.publish(0, "a", 1).await;
    let mut worker = world.join("c-1", 16).await;
    // All four are new to the group, and the three of the range come as a replay, too.
    let all = worker.deliveries(7).await;
    let (replayed, live): (Vec<Got>, Vec<Got>) = all.into_iter().partition(is_replay);
    assert_eq!((offsets(&live), offsets(&replayed)), (vec![0, 1, 2, 3], vec![0, 1, 2]));
    for got in &replayed {
        worker.ack(got).await;
    }
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_eq!((ended.state, ended.counts.delivered), (ReplayState::Done, 3));
    assert_eq!(world.committed(0).await.unwrap_or(0), 0, "what came live is not settled");
}

#[tokio::test]
async fn a_replayed_event_that_fails_is_tried_again_and_is_a_letter_then() {
    let (world, mut worker) = done(2, r#"{"maxRetries":1}"#).await;
    let begun = begin(&world.delivery, json!({"from": "earliest"})).await;
    let first = worker.deliveries(2).await;
    worker.nack(&first[0]).await;
    worker.withdrawn().await;
    let again = worker.deliveries(2).await;
    assert_eq!((again[0].offset(), again[0].attempt(), is_replay(&again[0])), (0, 2, true));
    worker.nack(&again[0]).await;
    worker.ack(&again[1]).await;
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_eq!((ended.counts.matched, ended.counts.delivered, ended.counts.failed), (2, 1, 1));
    let letters = world.letters().await.dead_letters;
    assert_eq!(letters.len(), 1);
    // Discarded, and dead once more: it is open again.
    let (sources, id) = ([topic("orders.v1")], letters[0].id.clone());
    world.delivery.discard_dead_letter(&group(), &sources, &id, "anna").await.unwrap();
    let next = begin(&world.delivery, json!({"from": offset(0), "to": offset(1)})).await;
    let got = worker.delivery().await;
    let reject = Settlement::Reject { tag: got.tag, reason: Some("no such sku".to_owned()) };
    assert_eq!(worker.settle(reject).await, []);
    assert_eq!(until_ended(&world.delivery, &next.id).await.counts.failed, 1);
    world.until_metric("weirgate_replay_events_total{group=\"inventory-sync\",outcome=\"failed\"} 2").await;
    let is_open = async || {
        let letters = world.letters().await.dead_letters;
        letters.iter().any(|one| one.state == DeadLetterState::Open).then_some(())
    };
    eventually_within(PATIENCE, "the letter is open again", is_open).await;
}

#[tokio::test]
async fn an_exhausted_replayed_event_halts_and_parks_nothing() {
    for policy in [r#"{"maxRetries":0,"onExhausted":"halt"}"#, r#"{"maxRetries":0,"onExhausted":"park_key"}"#]
    {
        let (world, mut worker) = done(2, policy).await;
        let begun = begin(&world.delivery, json!({"from": "earliest"})).await;
        let first = worker.deliveries(2).await;
        worker.nack(&first[0]).await;
        worker.ack(&first[1]).await;
        let ended = until_ended(&world.delivery, &begun.id).await;
        assert_eq!((ended.counts.delivered, ended.counts.failed), (1, 1), "{policy}");
        world.publish(0, "a", 1).await;
        let live = worker.delivery().await;
        assert_eq!((live.offset(), is_replay(&live)), (2, false), "{policy}");
    }
}

#[tokio::test]
async fn only_what_a_filter_fits_is_replayed() {
    let world = World::start(1, "{}").await;
    let mut worker = world.join("c-1", 8).await;
    for key in ["a", "b", "a", "b", "b"] {
        world.publish(0, key, 1).await;
    }
    for _ in 0..5 {
        let got = worker.delivery().await;
        worker.ack(&got).await;
    }
    let filter = json!({"key": true, "eq": "a"});
    let begun = begin(&world.delivery, json!({"from": "earliest", "filter": filter, "rate": 50})).await;
    let again = worker.deliveries(2).await;
    assert_eq!(offsets(&again), [0, 2]);
    for got in &again {
        worker.ack(got).await;
    }
    let ended = until_ended(&world.delivery, &begun.id).await;
    let expected = ReplayCounts { examined: 5, matched: 2, delivered: 2, failed: 0, skipped: 3 };
    assert_eq!((ended.counts, ended.filter), (expected, Some(filter)));
    let none = begin(&world.delivery, json!({"from": "earliest", "filter": {"key": true, "eq": "c"}})).await;
    let ended = until_ended(&world.delivery, &none.id).await;
    assert_eq!((ended.state, ended.counts.matched, ended.counts.skipped), (ReplayState::Done, 0, 5));
    for outcome in ["outcome=\"skipped\"} 8", "outcome=\"delivered\"} 2"] {
        let line = format!("weirgate_replay_events_total{{group=\"inventory-sync\",{outcome}");
        world.until_metric(&line).await;
    }
    world.until_metric("weirgate_replays_running 0").await;
}

#[tokio::test]
async fn a_cancelled_replay_is_withdrawn_and_its_end_stays() {
    let (world, mut worker) = done(3, "{}").await;
    let begun = begin(&world.delivery, json!({"from": "earliest"})).await;
    let again = worker.deliveries(3).await;
    world.until_metric("weirgate_replays_running 1").await;
    let cancelled = world.delivery.cancel_replay(&begun.id, "berta").await.unwrap();
    assert_eq!((cancelled.state, cancelled.cancelled_by.as_deref()), (ReplayState::Cancelled, Some("berta")));
    assert_eq!(world.delivery.cancel_replay(&begun.id, "berta").await.unwrap(), cancelled);
    assert_eq!(worker.withdrawn().await.0.len(), again.len());
    let next = begin(&world.delivery, json!({"from": "earliest"})).await;
    let again = worker.deliveries(3).await;
    assert_eq!(offsets(&again), [0, 1, 2]);
    for got in &again {
        worker.ack(got).await;
    }
    until_ended(&world.delivery, &next.id).await;
    let refused = world.delivery.cancel_replay(&next.id, "berta").await;
    assert!(matches!(refused, Err(Error::ReplayEnded(ReplayState::Done))));
    assert_eq!(world.delivery.replay(&begun.id).unwrap(), cancelled);
}

#[tokio::test]
async fn a_range_without_events_is_done_at_once() {
    let (world, _worker) = done(2, "{}").await;
    for body in [json!({"from": "latest"}), json!({"from": offset(1), "to": offset(1)})] {
        let begun = begin(&world.delivery, body.clone()).await;
        assert_eq!((begun.state, begun.events), (ReplayState::Done, 0), "{body}");
    }
    let plan = world.delivery.plan_replay(&group(), &order(&json!({"from": "earliest"}))).await.unwrap();
    let range = &plan.partitions[0];
    assert_eq!((plan.events, range.from.number(), range.to.number(), range.events), (2, 0, 2, 2));
    for bad in [
        json!({"from": offset(3)}),
        json!({"from": offset(2), "to": offset(1)}),
        json!({"from": "latest", "to": "earliest"}),
    ] {
        let refused = world.delivery.plan_replay(&group(), &order(&bad)).await;
        assert!(matches!(refused, Err(Error::InvalidReplay { .. })), "{bad}: {refused:?}");
    }
}

#[tokio::test]
async fn a_replay_goes_on_where_it_was_after_a_crash() {
    let (mut world, mut worker) = done(4, "{}").await;
    let begun = begin(&world.delivery, json!({"from": "earliest"})).await;
    let first = worker.deliveries(2).await;
    worker.ack(&first[0]).await;
    worker.ack(&first[1]).await;
    until(&world.delivery, &begun.id, "it is written down how far it is", |told| told.counts.examined == 2)
        .await;
    world.crash().await;
    let mut worker = world.join("c-2", 8).await;
    let rest = worker.deliveries(2).await;
    assert_eq!(offsets(&rest), [2, 3]);
    assert!(rest.iter().all(is_replay));
    for got in &rest {
        worker.ack(got).await;
    }
    let ended = until_ended(&world.delivery, &begun.id).await;
    let expected = ReplayCounts { examined: 4, matched: 4, delivered: 4, failed: 0, skipped: 0 };
    assert_eq!((ended.state, ended.counts), (ReplayState::Done, expected));
}

#[tokio::test]
async fn a_replay_whose_gateway_dies_is_finished_by_another() {
    let world = World::start(2, "{}").await;
    for partition in 0..2 {
        world.publish(partition, "a", 20).await;
    }
    let other = neighbour(&world).await;
    let mut there = Worker::of(&other.delivery, join("c-2", 64)).await;
    let begun = begin(&other.delivery, json!({"from": "earliest"})).await;
    let mut seen = Vec::new();
    while seen.len() < 40 {
        let got = there.delivery().await;
        if is_replay(&got) {
            seen.push((got.frame["partition"].clone(), got.offset()));
            if got.offset() < 5 {
                there.ack(&got).await;
            }
        } else {
            there.ack(&got).await;
        }
    }
    let is_told = |told: &Replay| told.counts.examined == 10;
    until(&world.delivery, &begun.id, "it is written down how far it is", is_told).await;
    drop((there, other));
    let mut here = world.join("c-1", 64).await;
    let mut again = Vec::new();
    while again.len() < 30 {
        let got = here.delivery().await;
        here.ack(&got).await;
        if is_replay(&got) {
            again.push((got.frame["partition"].as_u64().unwrap(), got.offset()));
        }
    }
    for partition in 0..2 {
        let its: Vec<u64> =
            again.iter().filter(|(of, _)| *of == partition).map(|(_, offset)| *offset).collect();
        assert_eq!(its, (5..20).collect::<Vec<_>>(), "none is left out, and all are in order");
    }
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_eq!((ended.state, ended.counts.examined, ended.counts.delivered), (ReplayState::Done, 40, 40));
}

#[tokio::test]
async fn a_gateway_that_drains_hands_its_replay_over() {
    let (world, worker) = done(12, "{}").await;
    drop(worker);
    let other = neighbour(&world).await;
    let mut there = Worker::of(&other.delivery, join("c-2", 64)).await;
    let begun = begin(&other.delivery, json!({"from": "earliest"})).await;
    let first = there.deliveries(12).await;
    there.ack(&first[0]).await;
    other.delivery.drain().await;
    let left =
        until(&world.delivery, &begun.id, "it is left", |told| told.state == ReplayState::Waiting).await;
    assert_eq!((left.counts.examined, left.counts.delivered), (1, 1));
    let mut here = world.join("c-1", 64).await;
    let rest = here.deliveries(11).await;
    assert_eq!(offsets(&rest), (1..12).collect::<Vec<_>>());
    for got in &rest {
        here.ack(got).await;
    }
    assert_eq!(until_ended(&world.delivery, &begun.id).await.counts.delivered, 12);
}

#[tokio::test]
async fn a_replay_of_a_group_that_is_deleted_fails_with_its_reason() {
    let world = World::start(1, "{}").await;
    world.publish(0, "a", 3).await;
    let begun = begin(&world.delivery, json!({"from": "earliest"})).await;
    world.delivery.delete_group(&group()).await.unwrap();
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_eq!(ended.state, ReplayState::Failed, "{ended:?}");
    assert_eq!(ended.reason.as_deref(), Some("group 'inventory-sync' was deleted"));
}

#[tokio::test]
async fn a_replay_begun_while_its_group_is_deleted_does_not_stay() {
    let world = World::start(1, "{}").await;
    world.publish(0, "a", 3).await;
    let body = order(&json!({"from": "earliest"}));
    let first = begin(&world.delivery, json!({"from": "earliest"})).await;
    world.delivery.cancel_replay(&first.id, "anna").await.unwrap();
    for _ in 0..5 {
        let group = group();
        let begin_one = world.delivery.begin_replay(&group, body.clone());
        let (begun, deleted) = tokio::join!(begin_one, world.delivery.delete_group(&group));
        deleted.unwrap();
        match begun {
            Ok(begun) => {
                let ended = until_ended(&world.delivery, &begun.id).await;
                assert_eq!(ended.state, ReplayState::Failed, "{ended:?}");
            }
            Err(Error::UnknownGroup(_)) => {}
            Err(other) => panic!("{other}"),
        }
        world.delivery.put_policy(&group, patch(r#"{"topics":["orders.v1"]}"#)).await.unwrap();
        let next = begin(&world.delivery, json!({"from": "earliest"})).await;
        world.delivery.cancel_replay(&next.id, "anna").await.unwrap();
    }
}

#[tokio::test]
async fn of_each_group_the_last_replays_are_kept() {
    let (world, _worker) = done(1, "{}").await;
    let mut all = Vec::new();
    for _ in 0..23 {
        all.push(begin(&world.delivery, json!({"from": "latest"})).await.id);
    }
    let page = world.delivery.replays(&group(), |_| true, 15, None).unwrap();
    let rest = world.delivery.replays(&group(), |_| true, 15, page.cursor.as_deref()).unwrap();
    assert_eq!(rest.cursor, None);
    let kept: Vec<JobId> = page.replays.into_iter().chain(rest.replays).map(|told| told.id).collect();
    let expected: Vec<JobId> = all.into_iter().rev().take(20).collect();
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn partitions_that_cannot_be_read_do_not_hold_the_others_up() {
    const UNREADABLE: u32 = 16;
    let world = World::start(20, "{}").await;
    for partition in 0..20 {
        world.publish(partition, "a", 1).await;
    }
    world.fault.unreadable_below.store(UNREADABLE, Ordering::SeqCst);
    let begun = begin(&world.delivery, json!({"from": "earliest"})).await;
    let mut worker = world.join("c-1", 64).await;
    let (mut live, mut again) = (0, Vec::new());
    while live < 20 || again.len() < 4 {
        let got = worker.delivery().await;
        worker.ack(&got).await;
        if is_replay(&got) { again.push(got.frame["partition"].as_u64().unwrap()) } else { live += 1 }
    }
    again.sort_unstable();
    assert_eq!(again, [16, 17, 18, 19]);
    world.fault.unreadable_below.store(0, Ordering::SeqCst);
    for got in worker.deliveries(16).await {
        assert!(is_replay(&got));
        worker.ack(&got).await;
    }
    let ended = until_ended(&world.delivery, &begun.id).await;
    let expected = ReplayCounts { examined: 20, matched: 20, delivered: 20, failed: 0, skipped: 0 };
    assert_eq!((ended.state, ended.counts), (ReplayState::Done, expected));
}

#[tokio::test]
async fn a_replay_that_stands_still_is_rarely_written_and_stays_where_it_is() {
    let (world, mut worker) = done(3, "{}").await;
    let other = neighbour(&world).await;
    let begun = begin(&world.delivery, json!({"from": "earliest"})).await;
    let again = worker.deliveries(3).await;
    // The other one has a member, too, and would take it over.
    let _there = Worker::of(&other.delivery, join("c-2", 8)).await;
    until(&other.delivery, &begun.id, "all is read", |told| told.counts.matched == 3).await;
    let end = async || {
        let states = topic("_weirgate.dead_letters");
        world.log.bounds(&states, Partition::new(0)).await.unwrap().end
    };
    let (before, since) = (end().await, Instant::now());
    let more = async || (end().await.since(before) >= 4).then_some(());
    eventually_within(PATIENCE, "its gateway gives signs", more).await;
    assert!(since.elapsed() >= Duration::from_secs(5), "each sign is a writing of all of it");
    for got in &again {
        worker.ack(got).await;
    }
    let ended = until_ended(&other.delivery, &begun.id).await;
    assert_eq!((ended.state, ended.counts.delivered), (ReplayState::Done, 3));
}
