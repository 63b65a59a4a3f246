//! Keys and partitions.

use bytes::Bytes;
use serde_json::{Value, json};

use super::gateway::{Gateway, ID, accepted, config, duplicate, key, order, shop};
use crate::event::{Partition, Partitioner, partition_of};
use crate::publish::{Error, Form, Options};

#[tokio::test]
async fn keys_are_strings_as_they_are_and_integers_and_booleans_as_their_json_text() {
    let gateway = Gateway::start().await;
    let body =
        |key: Value| json!({ "eventType": "payments.taken.v1", "data": { "account": key } }).to_string();
    for (given, stored) in [
        (json!("a b"), Some("a b")),
        (json!(""), Some("")),
        (json!(-42), Some("-42")),
        (json!(18_446_744_073_709_551_615_u64), Some("18446744073709551615")),
        (json!(true), Some("true")),
        (json!(1.5), None),
        (json!(null), None),
        (json!([1]), None),
        (json!({}), None),
        (json!("a\0b"), None),
    ] {
        accepted(gateway.publish(&body(given.clone())).await);
        let key = gateway.log.appends().pop().unwrap().records[0].key.clone();
        assert_eq!(key.as_deref(), stored.map(str::as_bytes), "{given}");
    }
}

#[tokio::test]
async fn a_required_key_that_is_missing_or_no_key_refuses_the_event() {
    let gateway = Gateway::start().await;
    for data in [json!({}), json!({ "customerId": 1.5 }), json!({ "customerId": null }), json!([])] {
        let body = json!({ "eventType": "orders.cancelled.v1", "data": data }).to_string();
        let refused = gateway.publish(&body).await;
        assert!(
            matches!(&refused, Err(Error::InvalidKey { pointer, .. }) if pointer == "/data/customerId"),
            "{body}"
        );
    }
    assert!(gateway.log.appends().is_empty());
}

#[tokio::test]
async fn a_key_rule_sees_members_that_are_filled_in() {
    let mut rules = shop();
    rules[1].key = key("/eventId", false);
    let gateway = Gateway::with(config(), rules).await;
    let receipt = accepted(gateway.publish(r#"{"eventType":"payments.taken.v1","data":1}"#).await);
    assert_eq!(gateway.log.record("payments").key.as_deref(), Some(receipt.event_id.as_str().as_bytes()));
}

#[tokio::test]
async fn a_key_given_with_the_request_goes_before_the_rule_and_may_be_empty() {
    let gateway = Gateway::start().await;
    for given in ["", "k"] {
        let options = Options { key: Some(Bytes::from(given)), ..Options::default() };
        let body = r#"{"eventType":"orders.cancelled.v1","data":{}}"#;
        let receipt = accepted(gateway.publish_with(body, &options).await);
        assert_eq!(receipt.partition, partition_of(given.as_bytes(), 12));
    }
}

#[tokio::test]
async fn a_cloud_events_partition_key_is_the_key_and_its_extensions_are_headers() {
    let gateway = Gateway::start().await;
    let body = json!({ "specversion": "1.0", "id": ID, "source": "order-service", "type": "payments.taken.v1",
        "partitionkey": "p1", "tenant": "t", "data": { "account": "a" } });
    let publish = async |form, body: Bytes| {
        gateway.publisher.publish(&gateway.orders, body, form, &Options::default()).await
    };
    let receipt = accepted(publish(Form::CloudEvent, Bytes::from(body.to_string())).await);
    assert_eq!(receipt.event_id.as_str(), ID);
    let record = gateway.log.record("payments");
    assert_eq!(record.key.as_deref(), Some(&b"p1"[..]));
    assert_eq!(record.headers.last_text("ce_tenant"), Some("t"));

    let attributes = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<Vec<_>>()
    };
    let given = [
        ("specversion", "1.0"),
        ("id", "not-a-uuid"),
        ("source", "order-service"),
        ("type", "payments.taken.v1"),
    ];
    let form = || Form::CloudEventBinary { attributes: attributes(&given), content_type: None };
    let first = accepted(publish(form(), Bytes::from_static(b"{\"account\":1}")).await);
    let mut turned = given;
    turned.reverse();
    let again = Form::CloudEventBinary { attributes: attributes(&turned), content_type: None };
    let repeated = duplicate(publish(again, Bytes::from_static(b"{\"account\":1}")).await);
    assert_eq!(repeated, first, "the order of attributes is not the event's");
}

#[tokio::test]
async fn an_explicit_partition_goes_before_the_partitioner_and_must_exist() {
    let gateway = Gateway::start().await;
    let options = |number| Options { partition: Some(Partition::new(number)), ..Options::default() };
    assert_eq!(accepted(gateway.publish_with(&order("c1"), &options(11)).await).partition.number(), 11);
    let refused = gateway.publish_with(&order("c1"), &options(12)).await;
    assert!(matches!(refused, Err(Error::InvalidPartition { partitions: 12, .. })));
}

#[tokio::test]
async fn round_robin_takes_turns_whatever_the_key() {
    let mut rules = shop();
    rules[0].partitioner = Partitioner::RoundRobin;
    let gateway = Gateway::with(config(), rules).await;
    let mut turns = Vec::new();
    for _ in 0..3 {
        turns.push(accepted(gateway.publish(&order("c")).await).partition.number());
    }
    assert_eq!(turns, [0, 1, 2]);
}
