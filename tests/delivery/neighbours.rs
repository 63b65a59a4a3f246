//! Two gateways that share a group's partitions, each as the other shows it. The embedded log has one gateway.

use std::time::Duration;

use serde_json::{Value, json};
use weirgate::delivery::{DeadLetterState, Delivery, Member, Push, RedriveState, Settlement, Tag};

use super::closing::{Producer, Sights, next_delivery};
use super::engine::PATIENCE;
use super::harness::{Got, Worker, World, group, join};
use super::jobs::{begin, until_ended};
use super::parking::{PARKING, letters, until_keys_parked};
use super::waiting::{eventually_within, in_time};

const PARTITIONS: u32 = 4;

async fn view(delivery: &Delivery) -> Value {
    serde_json::to_value(delivery.group(&group()).await.unwrap()).unwrap()
}

/// The gateway of each partition of a view, where it is known of all and each has two.
fn shared(view: &Value) -> Option<Vec<String>> {
    let nodes =
        view["partitions"].as_array().unwrap().iter().map(|one| one["node"].as_str().map(str::to_owned));
    let nodes: Vec<String> = nodes.collect::<Option<_>>()?;
    (nodes.iter().filter(|node| *node == "g1").count() == 2).then_some(nodes)
}

/// Waits until all gateways tell the same of who has what.
async fn until_shared(all: [&Delivery; 2]) -> Vec<String> {
    let is_shared = async || {
        let (one, other) = (view(all[0]).await, view(all[1]).await);
        shared(&one).filter(|nodes| shared(&other).as_ref() == Some(nodes))
    };
    eventually_within(PATIENCE, "each gateway has its half, and both know", is_shared).await
}

/// The next delivery.
async fn delivery(member: &mut Member) -> Tag {
    loop {
        for push in in_time(PATIENCE, "a delivery", member.next(1 << 20)).await.unwrap() {
            if let Push::Delivery { tag, .. } = push {
                return tag;
            }
        }
    }
}

/// Fails an event for so long that it is seen.
async fn fail(member: &Member, tag: Tag) {
    let nack = Settlement::Nack { tag, delay: Some(Duration::from_secs(600)), reason: None };
    assert_eq!(member.control().settle(nack).await.unwrap(), []);
}

#[tokio::test]
async fn each_of_two_gateways_shows_what_both_have_and_what_a_killed_one_had_goes() {
    let world = World::start(PARTITIONS, "{}").await;
    let neighbour = world.neighbour().await;
    let mut first = world.delivery.join(join("c-1", 8)).await.unwrap();
    let mut second = neighbour.delivery.join(join("c-2", 8)).await.unwrap();
    let nodes = until_shared([&world.delivery, &neighbour.delivery]).await;
    for (number, node) in (0..PARTITIONS).zip(&nodes) {
        let is_firsts = nodes.iter().position(|one| one == node) == usize::try_from(number).ok();
        if is_firsts {
            world.publish(number, "a", 1).await;
        }
    }
    let tag = delivery(&mut first).await;
    fail(&first, tag).await;
    let tag = delivery(&mut second).await;
    fail(&second, tag).await;

    for asked in [&world.delivery, &neighbour.delivery] {
        let are_seen = async || {
            let view = view(asked).await;
            let partitions = view["partitions"].as_array().unwrap();
            let mut blocked: Vec<&Value> = partitions
                .iter()
                .filter(|one| one["lanesBlocked"][0]["reason"] == "retrying")
                .map(|one| &one["node"])
                .collect();
            blocked.sort_by_key(|node| node.to_string());
            (blocked == [&json!("g1"), &json!("g2")]).then_some(view.clone())
        };
        let view = eventually_within(PATIENCE, "both blocked lanes are shown", are_seen).await;
        let mut members: Vec<Value> = view["members"].as_array().unwrap().clone();
        members.sort_by_key(|one| one["node"].to_string());
        let member = |node: &str, connection: &str| json!({"node": node, "kind": "socket", "connection": connection, "inFlight": 0});
        assert_eq!(members, [member("g1", "c-1"), member("g2", "c-2")]);
        let gateways = view["gateways"].as_array().unwrap();
        assert!(gateways.len() == 2 && gateways.iter().all(|one| one["partitions"] == 2), "{view}");
    }

    drop((neighbour, second));
    let is_alone = async || {
        let view = view(&world.delivery).await;
        let nodes: Vec<&Value> =
            view["gateways"].as_array().unwrap().iter().map(|one| &one["node"]).collect();
        let is_alone = nodes == [&json!("g1")] && view["members"].as_array().unwrap().len() == 1;
        is_alone.then_some(())
    };
    eventually_within(PATIENCE, "only the gateway that lives is shown", is_alone).await;
    drop(first);
}

/// What comes next to either of two members.
async fn from_either(workers: &mut [Worker; 2]) -> (Option<Got>, usize) {
    let [first, second] = workers;
    tokio::select! {
        got = next_delivery(first) => (got, 0),
        got = next_delivery(second) => (got, 1),
    }
}

#[tokio::test]
async fn parked_keys_with_steady_traffic_on_two_gateways_are_free_after_a_redrive_and_in_order() {
    let world = World::start(PARTITIONS, PARKING).await;
    let neighbour = world.neighbour().await;
    let mut workers = [
        Worker::of(&world.delivery, join("c-1", 8)).await,
        Worker::of(&neighbour.delivery, join("c-2", 8)).await,
    ];
    until_shared([&world.delivery, &neighbour.delivery]).await;
    for partition in 0..PARTITIONS {
        world.publish(partition, "a", 1).await;
    }
    for _ in 0..PARTITIONS {
        let (got, whose) = from_either(&mut workers).await;
        workers[whose].nack(&got.unwrap()).await;
    }
    until_keys_parked(&world, u64::from(PARTITIONS)).await;
    let producers: Vec<Producer> =
        (0..PARTITIONS).map(|partition| Producer::start(&world, partition, "a")).collect();
    let begun = begin(&neighbour.delivery, None).await.unwrap();

    let mut sights = Sights::default();
    let mut take = async |sights: &mut Sights, is_enough: &dyn Fn(&Sights) -> bool| {
        while !is_enough(sights) {
            let (got, whose) = from_either(&mut workers).await;
            if let Some(got) = got {
                sights.note(&got);
                workers[whose].ack(&got).await;
            }
        }
    };
    let partitions = || 0..u64::from(PARTITIONS);
    take(&mut sights, &|sights| partitions().all(|partition| sights.live(partition) >= 20)).await;
    let mut counts = Vec::new();
    for producer in producers {
        counts.push(1 + producer.stop().await);
    }
    take(&mut sights, &|sights| partitions().zip(&counts).all(|(one, count)| sights.next(one) == *count))
        .await;
    until_keys_parked(&world, 0).await;
    let ended = until_ended(&world.delivery, &begun.id).await;
    assert_eq!((ended.state, ended.counts.examined), (RedriveState::Done, ended.letters), "{ended:?}");
    let letters = letters(&world.delivery).await;
    assert!(letters.iter().all(|letter| letter.state == DeadLetterState::Resolved), "{letters:?}");
}
