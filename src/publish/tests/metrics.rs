//! What is counted, under which labels.

use std::sync::Arc;

use super::gateway::{Gateway, accepted, order};

#[tokio::test]
async fn labels_come_from_the_catalogue_and_everything_else_is_other() {
    let gateway = Gateway::start().await;
    gateway.log.create("user.created.v1", 1);
    accepted(gateway.publish(&order("c")).await);
    accepted(gateway.publish(r#"{"eventType":"user.created.v1","data":1}"#).await);
    let members = crate::event::DataMembers { event_type: Some("a.b.v1".to_owned()), ..Default::default() };
    let options = crate::publish::Options::default();
    accepted(gateway.publish_data("payments", members, "1", &options).await);
    assert!(gateway.publish("{}").await.is_err());
    assert!(gateway.publish(r#"{"eventType":"orders.placed.v1","data":{}}"#).await.is_err());
    for (line, count) in [
        (r#"events_published_total{event_type="orders.placed.v1",topic="orders.v1"}"#, "1"),
        (r#"events_published_total{event_type="other",topic="other"}"#, "1"),
        (r#"events_published_total{event_type="other",topic="payments"}"#, "1"),
        (r#"weirgate_publish_requests_total{outcome="accepted",topic="orders.v1"}"#, "1"),
        (r#"weirgate_publish_requests_total{outcome="refused",topic="other"}"#, "1"),
        (r#"weirgate_publish_requests_total{outcome="refused",topic="orders.v1"}"#, "1"),
        ("weirgate_publish_duration_seconds_count", "3"),
    ] {
        assert_eq!(gateway.metric(line), count, "{line}");
    }
}

#[tokio::test]
async fn violations_are_counted_by_producer_and_subject() {
    let gateway = Gateway::start().await;
    let body = r#"{"eventType":"orders.placed.v1","data":{"customerId":"c","amount":"one"}}"#;
    for principal in [&gateway.orders, &gateway.billing, &gateway.orders] {
        let form = crate::publish::Form::Native;
        let options = crate::publish::Options::default();
        assert!(
            gateway.publisher.publish(&Arc::clone(principal), body.into(), form, &options).await.is_err()
        );
    }
    for (producer, count) in [("service:orders", "2"), ("service:billing", "1")] {
        let line = format!(
            r#"weirgate_schema_violations_by_producer_total{{producer="{producer}",subject="orders.placed.v1-value"}}"#
        );
        assert_eq!(gateway.metric(&line), count, "{line}");
    }
}
