//! Raw data to a topic.

use serde_json::{Value, json};

use super::gateway::{Gateway, ID, accepted, config, duplicate, rule, shop};
use crate::event::json::Pointer;
use crate::event::{DataMembers, TopicRule};
use crate::publish::{Error, Options};

fn rules() -> Vec<TopicRule> {
    let ids = Some(Pointer::parse("/data/id").unwrap());
    let mut rules = shop();
    rules.push(rule("raw", &[]));
    rules.push(TopicRule { event_id: ids, ..rule("own-ids", &[]) });
    rules
}

async fn publish(gateway: &Gateway, topic: &str, body: &str) -> Result<crate::publish::Published, Error> {
    gateway.publish_data(topic, DataMembers::default(), body, &Options::default()).await
}

#[tokio::test]
async fn data_gets_an_envelope_whose_type_is_the_topics_name() {
    let gateway = Gateway::with(config(), rules()).await;
    accepted(publish(&gateway, "raw", "[1, 2]").await);
    let stored: Value = serde_json::from_slice(gateway.log.record("raw").value.as_ref().unwrap()).unwrap();
    assert_eq!((&stored["eventType"], &stored["data"]), (&json!("raw"), &json!([1, 2])));
    assert_eq!(stored["source"], "order-service");
    assert!(stored.get("correlationId").is_none());
}

#[tokio::test]
async fn members_beside_the_data_become_the_envelopes() {
    let gateway = Gateway::with(config(), rules()).await;
    let members = DataMembers {
        event_id: Some(ID.to_owned()),
        event_type: Some("orders.cancelled.v1".to_owned()),
        source: Some("shop-x".to_owned()),
        correlation_id: Some("c".to_owned()),
        timestamp: Some("2026-01-01T00:00:00Z".to_owned()),
    };
    let body = r#"{"customerId":"c1"}"#;
    let options = Options::default();
    let publish = |members| gateway.publish_data("orders.v1", members, body, &options);
    let first = accepted(publish(members.clone()).await);
    let record = gateway.log.record("orders.v1");
    let stored: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
    assert_eq!((&stored["eventId"], &stored["source"]), (&json!(ID), &json!("shop-x")));
    assert_eq!(record.key.as_deref(), Some(&b"c1"[..]));
    assert_eq!(duplicate(publish(members.clone()).await), first);
    let other = DataMembers { correlation_id: None, ..members };
    assert!(matches!(publish(other).await, Err(Error::Conflict { .. })));
}

#[tokio::test]
async fn the_catalogue_takes_the_id_from_the_data() {
    let gateway = Gateway::with(config(), rules()).await;
    let first = accepted(publish(&gateway, "own-ids", r#"{"id":"A-1","n":1}"#).await);
    assert_eq!(first.event_id.as_str(), "A-1");
    assert_eq!(duplicate(publish(&gateway, "own-ids", r#"{"id":"A-1","n":1}"#).await), first);
    let conflict = publish(&gateway, "own-ids", r#"{"id":"A-1","n":2}"#).await;
    assert!(matches!(conflict, Err(Error::Conflict { event_id }) if event_id.as_str() == "A-1"));
    assert_eq!(accepted(publish(&gateway, "own-ids", r#"{"id":7}"#).await).event_id.as_str(), "7");
}

#[tokio::test]
async fn an_id_in_the_data_that_is_none_refuses_the_event_and_an_absent_one_is_made() {
    let gateway = Gateway::with(config(), rules()).await;
    for body in
        [r#"{"id":null}"#, r#"{"id":{}}"#, r#"{"id":""}"#, &format!(r#"{{"id":"{}"}}"#, "x".repeat(129))]
    {
        assert!(matches!(publish(&gateway, "own-ids", body).await, Err(Error::Envelope(_))), "{body}");
    }
    accepted(publish(&gateway, "own-ids", "{}").await);
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_not_found() {
    let gateway = Gateway::with(config(), rules()).await;
    assert!(matches!(
        publish(&gateway, "nothing", "1").await,
        Err(Error::TopicNotFound { .. }) | Err(Error::Envelope(_))
    ));
}
