//! Work shared by a group.

use std::sync::atomic::Ordering;

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use weirgate::event::{GroupName, Offset, Partition, Topic};
use weirgate::log::{Commit, Committed};

use super::setup::OWNER;
use super::support::{TestClient, TestGateway};

async fn join(client: &mut TestClient) -> Value {
    client.ok(json!({"op": "subscribe", "group": "workers"})).await
}

async fn delivery(client: &mut TestClient) -> Value {
    client.hear_where(|message| message.get("delivery").is_some()).await
}

#[tokio::test]
async fn a_worker_gets_the_policy_and_settles_what_it_is_given() {
    let gateway = TestGateway::start().await;
    gateway.append_all("orders.v1", "c-1", 0..3).await;
    let mut client = gateway.connect(OWNER).await;
    let ok = join(&mut client).await;
    assert_eq!(ok["policy"]["topics"], json!(["orders.v1"]));
    assert_eq!((&ok["policy"]["ackTimeoutMs"], &ok["credit"]), (&json!(30_000), &json!(32)));
    assert_eq!(ok.get("adopted"), None);
    let assignment = client.hear().await;
    assert_eq!(
        (&assignment["assignment"], &assignment["lag"]["events"]),
        (&json!({"orders.v1": [0]}), &json!(3))
    );
    let first = delivery(&mut client).await;
    assert_eq!((&first["sub"], &first["attempt"], &first["offset"]), (&ok["sub"], &json!(1), &json!(0)));
    let settled = client.ok(json!({"op": "ack", "sub": ok["sub"], "deliveries": [first["delivery"]]})).await;
    assert_eq!(settled, json!({}));
    let second = delivery(&mut client).await;
    client.ok(json!({"op": "nack", "sub": ok["sub"], "delivery": second["delivery"], "delayMs": 1})).await;
    let again = client.hear_where(|message| message["attempt"] == 2).await;
    assert_eq!(again["offset"], 1);
    assert_ne!(again["delivery"], second["delivery"]);
    client.ok(json!({"op": "ack", "sub": ok["sub"], "upTo": again["delivery"]})).await;
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_worker_hears_that_its_group_is_paused_and_that_it_goes_on() {
    let gateway = TestGateway::start().await;
    gateway.append_all("orders.v1", "c-1", 0..20).await;
    let mut client = gateway.connect(OWNER).await;
    let sub = join(&mut client).await["sub"].clone();
    assert_eq!(client.hear_where(|message| message.get("assignment").is_some()).await["breaker"], "closed");
    let mut tags = Vec::new();
    for _ in 0..20 {
        tags.push(delivery(&mut client).await["delivery"].clone());
    }
    // The last first, so that none of them is withdrawn for another's sake.
    for tag in tags.iter().rev() {
        client.ok(json!({"op": "nack", "sub": sub, "delivery": tag})).await;
    }
    let paused = client.hear_where(|message| message["breaker"] == "open").await;
    assert_eq!(paused["assignment"], json!({"orders.v1": [0]}));
    let probe = client.hear_where(|message| message["offset"] == 0).await;
    assert_eq!(probe["attempt"], 1, "its failure does not count");
    client.ok(json!({"op": "ack", "sub": sub, "delivery": probe["delivery"]})).await;
    client.hear_where(|message| message["breaker"] == "closed").await;
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn settlements_that_do_not_count_are_told() {
    let gateway = TestGateway::start().await;
    gateway.append("orders.v1", "c-1", 0).await;
    let mut client = gateway.connect(OWNER).await;
    let sub = join(&mut client).await["sub"].clone();
    let tag = delivery(&mut client).await["delivery"].clone();
    client.ok(json!({"op": "ack", "sub": sub, "delivery": tag})).await;
    client.say(&json!({"op": "nack", "sub": sub, "delivery": tag})).await;
    let push = client.hear_where(|message| message.get("settled").is_some()).await;
    assert_eq!(push, json!({"sub": sub, "settled": [{"delivery": tag, "state": "stale"}]}));
    assert_eq!(client.refused(json!({"op": "ack", "sub": sub, "delivery": "?"})).await, "conflict");
    let push = client.hear_where(|message| message.get("settled").is_some()).await;
    assert_eq!(push["settled"], json!([{"delivery": "?", "state": "unknown"}]));
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn groups_refuse_what_they_cannot_be_asked() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(OWNER).await;
    assert_eq!(client.refused(json!({"op": "subscribe", "group": "nobody"})).await, "group_not_found");
    let other = json!({"op": "subscribe", "group": "workers", "topics": ["payments.v1"]});
    assert_eq!(client.refused(other).await, "conflict");
    let much = json!({"op": "subscribe", "group": "workers", "credit": 257});
    assert_eq!(client.refused(much).await, "invalid_parameter");
    join(&mut client).await;
    assert_eq!(client.refused(json!({"op": "subscribe", "group": "workers"})).await, "already_subscribed");
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_new_connection_adopts_what_a_broken_one_held() {
    let gateway = TestGateway::start().await;
    gateway.append("orders.v1", "c-1", 0).await;
    let mut client = gateway.connect(OWNER).await;
    let connection = client.ok(json!({"op": "hello"})).await["connection"].clone();
    join(&mut client).await;
    let tag = delivery(&mut client).await["delivery"].clone();
    client.vanish().await;
    let mut client = gateway.connect(OWNER).await;
    let ok = client.ok(json!({"op": "subscribe", "group": "workers", "adopt": connection})).await;
    assert_eq!(ok["adopted"], true);
    assert_eq!(client.ok(json!({"op": "ack", "sub": ok["sub"], "delivery": tag})).await, json!({}));
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn who_adopts_nobody_is_told_so_and_gets_the_work_as_a_new_member() {
    let gateway = TestGateway::start().await;
    gateway.append("orders.v1", "c-1", 0).await;
    let mut client = gateway.connect(OWNER).await;
    let ok = client.ok(json!({"op": "subscribe", "group": "workers", "adopt": "c-0123456789abcdef"})).await;
    assert_eq!(ok["adopted"], false);
    assert_eq!(delivery(&mut client).await["attempt"], 1);
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_worker_is_told_of_records_that_will_never_come() {
    let gateway = TestGateway::start().await;
    gateway.append_all("orders.v1", "c-1", 0..3).await;
    let (group, topic) = (GroupName::parse("workers").unwrap(), Topic::parse("orders.v1").unwrap());
    let committed = Committed { offset: Offset::ZERO, metadata: String::new() };
    let commit = Commit { topic: topic.clone(), partition: Partition::new(0), committed };
    gateway.groups.set_committed(&group, vec![commit]).await.unwrap();
    gateway.log.delete_records(&topic, Partition::new(0), Offset::new(2)).await.unwrap();
    let mut client = gateway.connect(OWNER).await;
    let sub = join(&mut client).await["sub"].clone();
    let gap = client.hear_where(|message| message.get("gap").is_some()).await;
    assert_eq!(gap, json!({"sub": sub, "gap": {"orders.v1": {"0": [0, 2]}}, "reason": "retention"}));
    assert_eq!(delivery(&mut client).await["offset"], 2);
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_settled_before_a_clean_close_counts_and_the_rest_goes_on_at_once() {
    let gateway = TestGateway::start().await;
    gateway.append_all("orders.v1", "c-1", 0..2).await;
    let mut client = gateway.connect(OWNER).await;
    let sub = join(&mut client).await["sub"].clone();
    let first = delivery(&mut client).await;
    delivery(&mut client).await;
    client.say(&json!({"op": "ack", "sub": sub, "delivery": first["delivery"]})).await;
    client.close().await;
    let mut client = gateway.connect(OWNER).await;
    join(&mut client).await;
    let next = delivery(&mut client).await;
    assert_eq!((&next["offset"], &next["attempt"]), (&json!(1), &json!(1)));
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_settled_before_a_connection_broke_counts() {
    let gateway = TestGateway::start().await;
    gateway.append_all("orders.v1", "c-1", 0..3).await;
    let mut client = gateway.connect(OWNER).await;
    let connection = client.ok(json!({"op": "hello"})).await["connection"].clone();
    let sub = join(&mut client).await["sub"].clone();
    let mut tags = Vec::new();
    for _ in 0..3 {
        tags.push(delivery(&mut client).await["delivery"].clone());
    }
    for tag in &tags[..2] {
        client.say(&json!({"op": "ack", "sub": sub, "delivery": tag})).await;
    }
    client.vanish().await;
    let mut client = gateway.connect(OWNER).await;
    let ok = client.ok(json!({"op": "subscribe", "group": "workers", "adopt": connection})).await;
    assert_eq!(ok["adopted"], true);
    for tag in &tags[..2] {
        let again = json!({"op": "nack", "sub": ok["sub"], "delivery": tag});
        assert_eq!(client.refused(again).await, "conflict", "it was settled");
    }
    client.ok(json!({"op": "ack", "sub": ok["sub"], "delivery": tags[2]})).await;
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_settled_is_read_though_nothing_can_be_written_any_more() {
    let gateway = TestGateway::start().await;
    gateway.append("orders.v1", "c-1", 0).await;
    let (mut client, is_deaf) = gateway.connect_deafening(OWNER).await;
    let connection = client.ok(json!({"op": "hello"})).await["connection"].clone();
    let sub = join(&mut client).await["sub"].clone();
    let tag = delivery(&mut client).await["delivery"].clone();
    is_deaf.store(true, Ordering::Relaxed);
    // Answers fall due before the settlement has been read.
    for _ in 0..100 {
        client.stream.feed(Message::text(json!({"op": "ping"}).to_string())).await.unwrap();
    }
    client.say(&json!({"op": "ack", "sub": sub, "delivery": tag})).await;
    client.vanish().await;
    let mut client = gateway.connect(OWNER).await;
    let ok = client.ok(json!({"op": "subscribe", "group": "workers", "adopt": connection})).await;
    let again = json!({"op": "ack", "sub": ok["sub"], "delivery": tag, "id": 1});
    assert_eq!(client.refused(again).await, "conflict", "it was settled");
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_worker_with_automatic_settlement_has_nothing_to_settle() {
    let gateway = TestGateway::start().await;
    gateway.append_all("orders.v1", "c-1", 0..3).await;
    let mut client = gateway.connect(OWNER).await;
    let ok = client.ok(json!({"op": "subscribe", "group": "workers", "ack": "auto", "credit": 1})).await;
    for offset in 0..3 {
        assert_eq!(delivery(&mut client).await["offset"], offset);
    }
    client.ok(json!({"op": "unsubscribe", "sub": ok["sub"]})).await;
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn one_connection_may_follow_and_work_at_once() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(OWNER).await;
    let audience = client.ok(json!({"op": "subscribe", "topics": ["orders.v1"]})).await;
    let worker = join(&mut client).await;
    assert_ne!(audience["sub"], worker["sub"]);
    gateway.append("orders.v1", "c-1", 0).await;
    let delivery = delivery(&mut client).await;
    let event = client.hear_where(|message| message.get("offset").is_some()).await;
    assert_eq!((&event["sub"], &delivery["sub"]), (&audience["sub"], &worker["sub"]));
    client.close().await;
    gateway.stop().await;
}
