//! Publishing over the socket follows the rules of `POST /v1/events`.

use serde_json::json;

use super::setup::OWNER;
use super::support::TestGateway;

#[tokio::test]
async fn an_event_is_stored_and_answered_with_its_receipt() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(OWNER).await;
    client.ok(json!({"op": "subscribe", "topics": ["orders.v1"]})).await;
    let event = json!({"eventId": "550e8400-e29b-41d4-a716-446655440000", "eventType": "orders.placed.v1", "source": "s", "data": {"n": 1}});
    let receipt = client.ok(json!({"op": "publish", "event": event, "key": "k"})).await;
    assert_eq!(receipt["status"], "accepted");
    assert_eq!(
        (&receipt["topic"], &receipt["partition"], &receipt["offset"]),
        (&json!("orders.v1"), &json!(0), &json!(0))
    );
    let pushed = client.event().await;
    assert_eq!((&pushed["key"], &pushed["event"]["eventId"]), (&json!("k"), &event["eventId"]));
    let again = client.ok(json!({"op": "publish", "event": event, "key": "k"})).await;
    assert_eq!((&again["status"], &again["offset"]), (&json!("duplicate"), &json!(0)));
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_refused_event_is_answered_with_its_problem_and_nothing_is_stored() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(OWNER).await;
    client.ok(json!({"op": "subscribe", "topics": ["**"], "from": "earliest"})).await;
    assert_eq!(client.refused(json!({"op": "publish", "event": {"data": {}}})).await, "invalid_envelope");
    assert_eq!(client.refused(json!({"op": "publish", "event": []})).await, "invalid_envelope");
    client
        .stream_text(
            r#"{"id":1,"op":"publish","event":{"eventType":"orders.placed.v1","data":{"a":1,"a":2}}}"#,
        )
        .await;
    assert_eq!(client.hear().await["error"]["code"], "duplicate_member");
    let answer = client
        .ask(json!({"op": "publish", "event": {"eventType": "no.such.v1", "source": "s", "data": {}}}))
        .await;
    assert_eq!(answer["error"]["code"], "topic_not_found");
    assert_eq!(answer["error"]["temporary"], false);
    let good =
        json!({"op": "publish", "event": {"eventType": "orders.placed.v1", "source": "s", "data": {"n": 5}}});
    client.ok(good).await;
    assert_eq!(client.numbers(1).await, [5]);
    client.close().await;
    gateway.stop().await;
}

#[tokio::test]
async fn events_are_stored_in_the_order_of_their_messages() {
    let gateway = TestGateway::start().await;
    let mut client = gateway.connect(OWNER).await;
    client.ok(json!({"op": "subscribe", "topics": ["orders.v1"]})).await;
    for number in 0..600 {
        client.say(&json!({"id": number, "op": "publish", "event": {"eventType": "orders.placed.v1", "source": "s", "data": {"n": number}}})).await;
    }
    assert_eq!(client.numbers(600).await, (0..600).collect::<Vec<_>>());
    for number in 0..600 {
        let answer = client.hear_where(|message| message["id"] == json!(number)).await;
        assert_eq!(answer["ok"]["offset"], number);
    }
    client.close().await;
    gateway.stop().await;
}
