//! Events to an audience.

use serde_json::json;

use super::setup::{CUSTOMER, OWNER, grants};
use super::support::TestGateway;

#[tokio::test]
async fn what_is_published_after_the_answer_is_delivered() {
    let gateway = TestGateway::start().await;
    gateway.append("orders.v1", "c-1", 0).await;
    let mut client = gateway.connect(OWNER).await;
    let ok = client.ok(json!({"op": "subscribe", "topics": ["orders.v1"]})).await;
    assert_eq!(ok["positions"], json!({"orders.v1": {"0": 1}}));
    assert_eq!(ok["resumed"], false);
    gateway.append_all("orders.v1", "c-1", 1..4).await;
    let event = client.event().await;
    assert_eq!(
        (&event["sub"], &event["offset"], &event["topic"]),
        (&ok["sub"], &json!(1), &json!("orders.v1"))
    );
    assert_eq!(event["event"]["data"], json!({"customerId": "c-1", "n": 1}));
    assert_eq!(client.numbers(2).await, [2, 3]);
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_resumes_where_its_cursor_and_later_positions_stand() {
    let gateway = TestGateway::start().await;
    gateway.append_all("orders.v1", "c-1", 0..5).await;
    let mut client = gateway.connect(OWNER).await;
    let first = client.ok(json!({"op": "subscribe", "topics": ["orders.v1"], "from": "earliest"})).await;
    assert_eq!(client.numbers(3).await, [0, 1, 2]);
    client.vanish().await;
    let mut client = gateway.connect(OWNER).await;
    let from = json!({"cursor": first["cursor"], "positions": {"orders.v1": {"0": 3}}});
    let ok = client.ok(json!({"op": "subscribe", "topics": ["orders.v1"], "from": from})).await;
    assert_eq!(ok["resumed"], true);
    assert_eq!(client.numbers(2).await, [3, 4]);
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn equal_subscriptions_share_their_number_and_are_not_held_twice() {
    let gateway = TestGateway::start().await;
    let subscribe = || json!({"op": "subscribe", "topics": ["orders.v1"]});
    let (mut one, mut two) = (gateway.connect(OWNER).await, gateway.connect(OWNER).await);
    let sub = one.ok(subscribe()).await["sub"].clone();
    assert_eq!(two.ok(subscribe()).await["sub"], sub);
    assert_eq!(one.refused(subscribe()).await, "already_subscribed");
    assert_eq!(one.ok(json!({"op": "unsubscribe", "sub": sub})).await, json!({}));
    assert_eq!(one.refused(json!({"op": "unsubscribe", "sub": sub})).await, "not_found");
    assert!(one.ask(subscribe()).await.get("ok").is_some());
    assert_eq!(gateway.metric("weirgate_ws_subscriptions{kind=\"broadcast\"}"), 2);
    one.close().await;
    two.close().await;
    assert_eq!(gateway.metric("weirgate_ws_subscriptions{kind=\"broadcast\"}"), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_customer_sees_its_own_rows_of_its_own_topic() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(CUSTOMER).await;
    assert_eq!(client.refused(json!({"op": "subscribe", "topics": ["payments.v1"]})).await, "forbidden");
    assert_eq!(client.refused(json!({"op": "subscribe", "topics": ["nowhere.v1"]})).await, "forbidden");
    assert_eq!(client.refused(json!({"op": "subscribe", "group": "workers"})).await, "forbidden");
    assert_eq!(client.refused(json!({"op": "subscribe", "group": "nobody"})).await, "forbidden");
    assert_eq!(client.refused(json!({"op": "publish", "event": event(1)})).await, "forbidden");
    client.ok(json!({"op": "subscribe", "topics": ["**"]})).await;
    for (number, customer) in ["c-2", "c-1", "c-2", "c-1"].iter().enumerate() {
        gateway.append("payments.v1", customer, 10).await;
        gateway.append("orders.v1", customer, number as u64).await;
    }
    assert_eq!(client.numbers(2).await, [1, 3]);
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_filter_is_kept_and_a_wrong_one_refused() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(OWNER).await;
    let subscribe = |filter| json!({"op": "subscribe", "topics": ["orders.v1"], "filter": filter});
    let answer = client.ask(subscribe(json!({"pointer": "data"}))).await;
    assert_eq!(answer["error"]["code"], "invalid_parameter");
    assert!(answer["error"]["errors"][0]["pointer"].as_str().unwrap().starts_with("/filter"), "{answer}");
    client.ok(subscribe(json!({"pointer": "/data/customerId", "eq": "c-2"}))).await;
    for (number, customer) in ["c-1", "c-2"].iter().enumerate() {
        gateway.append("orders.v1", customer, number as u64).await;
    }
    assert_eq!(client.numbers(1).await, [1]);
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_lost_grant_ends_the_subscription_and_a_lost_key_the_connection() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(CUSTOMER).await;
    let mut owner = gateway.connect(OWNER).await;
    let sub = client.ok(json!({"op": "subscribe", "topics": ["orders.v1"]})).await["sub"].clone();
    owner.ok(json!({"op": "subscribe", "topics": ["orders.v1"]})).await;
    gateway.authenticator.replace(&grants(false)).unwrap();
    let push = client.hear().await;
    assert_eq!((&push["sub"], &push["unsubscribed"]["code"]), (&sub, &json!("forbidden")));
    assert_eq!(client.ok(json!({"op": "ping"})).await, json!({}));
    gateway.append("orders.v1", "c-1", 7).await;
    assert_eq!(owner.numbers(1).await, [7]);
    let nobody = serde_json::from_value::<weirgate::auth::RawConfig>(json!({})).unwrap().check().unwrap();
    gateway.authenticator.replace(&nobody).unwrap();
    assert_eq!(client.ended().await["code"], 4010);
    let bye = owner.ended().await;
    assert_eq!((&bye["code"], &bye["reconnect"]), (&json!(4010), &json!(false)));
    client.vanish().await;
    owner.vanish().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_paused_subscription_waits_and_loses_nothing() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(OWNER).await;
    let sub = client.ok(json!({"op": "subscribe", "topics": ["orders.v1"]})).await["sub"].clone();
    client.ok(json!({"op": "pause", "sub": sub})).await;
    gateway.append_all("orders.v1", "c-1", 0..3).await;
    assert_eq!(client.ok(json!({"op": "ping"})).await, json!({}));
    client.ok(json!({"op": "resume", "sub": sub})).await;
    assert_eq!(client.numbers(3).await, [0, 1, 2]);
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_long_history_comes_whole_and_in_order_through_a_narrow_pipe() {
    let gateway = TestGateway::start().await;
    for start in (0..3_000).step_by(500) {
        gateway.append_all("orders.v1", "c-1", start..start + 500).await;
    }
    let principal = gateway.authenticator.authenticate(weirgate::auth::Credential::ApiKey(OWNER)).await;
    let mut client = gateway.connect_with(Some(principal), 700).await;
    client.ok(json!({"op": "subscribe", "topics": ["orders.v1"], "from": "earliest"})).await;
    assert_eq!(client.numbers(3_000).await, (0..3_000).collect::<Vec<_>>());
    client.close().await;
    gateway.stop().await;
}

fn event(number: u64) -> serde_json::Value {
    json!({"eventType": "orders.placed.v1", "source": "test", "data": {"n": number}})
}
