//! What is counted, under which labels.

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
