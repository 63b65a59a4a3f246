//! One event: what is checked, in which order, and what lies in the log afterwards.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::gateway::{Gateway, ID, NOW, accepted, config, json_of, order, rule, shop};
use crate::auth;
use crate::event::{Catalogue, Enforcement, Offset, Partition, Storage, Timestamp, partition_of};
use crate::publish::{Config, Error, Form, Options, Part, TopicTemplate};
use crate::schema;
use crate::telemetry::TraceContext;

#[tokio::test]
async fn an_event_is_answered_with_its_place_and_stored_with_absent_members_filled_in() {
    let gateway = Gateway::start().await;
    let receipt = accepted(gateway.publish(&order("c1")).await);
    let record = gateway.log.record("orders.v1");
    let stored = json_of(record.value.as_ref());
    assert_eq!(receipt.partition, partition_of(b"c1", 12));
    assert_eq!((receipt.offset, receipt.timestamp), (Offset::ZERO, Timestamp::from_millis(NOW)));
    assert_eq!(stored["eventId"], receipt.event_id.as_str());
    assert_eq!(uuid::Uuid::parse_str(receipt.event_id.as_str()).unwrap().get_version_num(), 7);
    assert_eq!(stored["eventVersion"], "1.0.0");
    assert_eq!(stored["timestamp"], Timestamp::from_millis(NOW).to_string());
    assert_eq!(stored["source"], "order-service", "the first source of the grant without a wildcard");
    assert_eq!(stored["data"]["customerId"], "c1");
    assert_eq!(record.key.as_deref(), Some(&b"c1"[..]));
    assert!(record.headers.is_empty());
}

#[tokio::test]
async fn a_complete_envelope_is_stored_byte_for_byte() {
    let gateway = Gateway::start().await;
    let body = format!(
        r#"{{ "data" : {{"customerId":"c1", "n":1.50}}, "eventId":"{ID}","eventType":"orders.placed.v1",
        "eventVersion":"1.2","timestamp":"2026-01-01T00:00:00+01:00","source":"shop-x" }}"#
    );
    accepted(gateway.publish(&body).await);
    assert_eq!(gateway.log.record("orders.v1").value.as_deref(), Some(body.as_bytes()));
}

#[tokio::test]
async fn storage_headers_puts_data_alone_into_the_value() {
    let mut rules = shop();
    rules[1].storage = Storage::Headers;
    let gateway = Gateway::with(config(), rules).await;
    let body = r#"{"eventType":"payments.taken.v1","correlationId":"x","data":{"amount": 1}}"#;
    accepted(gateway.publish(body).await);
    let record = gateway.log.record("payments");
    assert_eq!(record.value.as_deref(), Some(&br#"{"amount": 1}"#[..]));
    assert_eq!(record.headers.last_text("weirgate-event-type"), Some("payments.taken.v1"));
    assert_eq!(record.headers.last_text("weirgate-correlation-id"), Some("x"));
}

#[tokio::test]
async fn a_type_the_catalogue_does_not_bind_goes_to_the_topic_of_its_name() {
    let gateway = Gateway::start().await;
    gateway.log.create("user.created.v1", 1);
    let body = r#"{"eventType":"user.created.v1","data":1}"#;
    assert_eq!(accepted(gateway.publish(body).await).topic.as_str(), "user.created.v1");
    let missing = gateway.publish(r#"{"eventType":"user.deleted.v1","data":1}"#).await.unwrap_err();
    assert!(matches!(missing, Error::TopicNotFound { topic, .. } if topic.as_str() == "user.deleted.v1"));
}

#[tokio::test]
async fn topics_come_into_being_with_their_first_valid_event_where_that_is_switched_on() {
    let template = TopicTemplate { partitions: 5, retention: None };
    let gateway = Gateway::with(Config { topics_auto_create: Some(template), ..config() }, shop()).await;
    let body = r#"{"eventType":"user.created.v1","data":1}"#;
    assert!(matches!(gateway.publish(r#"{"eventType":"user.created.v1"}"#).await, Err(Error::Envelope(_))));
    let pending = gateway.submit(body).unwrap();
    assert!(pending.is_deferred());
    assert_eq!(accepted(pending.await).topic.as_str(), "user.created.v1");
    assert!(!gateway.submit(body).unwrap().is_deferred());
    let partition = Options { partition: Some(Partition::new(5)), ..Options::default() };
    let other = r#"{"eventType":"user.deleted.v1","data":1}"#;
    let refused = gateway.publish_with(other, &partition).await;
    assert!(matches!(refused, Err(Error::InvalidPartition { partitions: 5, .. })));
    assert_eq!(gateway.metric("weirgate_publish_topics_created_total"), "2");
}

#[tokio::test]
async fn internal_topics_do_not_come_into_being_by_events() {
    let template = TopicTemplate { partitions: 5, retention: None };
    let gateway = Gateway::with(Config { topics_auto_create: Some(template), ..config() }, shop()).await;
    let made = gateway.publish_data("_internal", Default::default(), "1", &Options::default()).await;
    assert!(matches!(made, Err(Error::TopicNotFound { .. })), "{made:?}");
}

#[tokio::test]
async fn the_grant_is_asked_before_the_topic_the_source_and_the_schema() {
    let gateway = Gateway::start().await;
    let publish = async |body: &str| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        gateway.publisher.publish(&gateway.stranger, body, Form::Native, &Options::default()).await
    };
    let denied = r#"{"eventType":"orders.placed.v1","source":"x","data":{"amount":"x"}}"#;
    assert!(matches!(publish(denied).await, Err(Error::Auth(auth::Error::Forbidden))));
    let unknown = r#"{"eventType":"user.created.v1","data":1}"#;
    assert!(matches!(publish(unknown).await, Err(Error::Auth(auth::Error::Forbidden))));
    let allowed = r#"{"eventType":"payments.taken.v1","data":1}"#;
    assert!(publish(allowed).await.is_ok());
    assert_eq!(json_of(gateway.log.record("payments").value.as_ref())["source"], "person:stranger");
}

#[tokio::test]
async fn a_source_must_be_the_callers() {
    let gateway = Gateway::start().await;
    let body =
        |source: &str| json!({ "eventType": "payments.taken.v1", "source": source, "data": 1 }).to_string();
    accepted(gateway.publish(&body("shop-berlin")).await);
    let refused = gateway.publish(&body("billing")).await;
    assert!(
        matches!(refused, Err(Error::Auth(auth::Error::SourceNotAllowed { given })) if given == "billing")
    );
    assert_eq!(gateway.log.records("payments").len(), 1);
}

#[tokio::test]
async fn a_schema_refuses_warns_or_counts() {
    let body = r#"{"eventType":"orders.placed.v1","data":{"customerId":"c","amount":"x"}}"#;
    for (enforcement, name) in
        [(Enforcement::Enforce, "enforce"), (Enforcement::Warn, "warn"), (Enforcement::Observe, "observe")]
    {
        let mut rules = shop();
        rules[0].enforcement = enforcement;
        let gateway = Gateway::with(config(), rules).await;
        let published = gateway.publish(body).await;
        let violations = format!(
            r#"weirgate_schema_violations_total{{enforcement="{name}",event_type="orders.placed.v1",topic="orders.v1"}}"#
        );
        assert_eq!(gateway.metric(&violations), "1");
        match enforcement {
            Enforcement::Enforce => {
                let Err(Error::Schema(schema::Error::Violation { errors, .. })) = published else { panic!() };
                assert_eq!(errors[0].pointer, "/data/amount");
                assert!(gateway.log.records("orders.v1").is_empty());
            }
            Enforcement::Warn => assert_eq!(published.unwrap().warnings[0].pointer, "/data/amount"),
            Enforcement::Observe => assert!(published.unwrap().warnings.is_empty()),
        }
    }
}

#[tokio::test]
async fn a_required_schema_must_exist() {
    let mut rules = shop();
    for rule in &mut rules {
        rule.is_schema_required = true;
    }
    let gateway = Gateway::with(config(), rules).await;
    accepted(gateway.publish(&order("c")).await);
    let missing = gateway.publish(r#"{"eventType":"payments.taken.v1","data":1}"#).await;
    assert!(matches!(missing, Err(Error::Schema(schema::Error::Missing { .. }))));
}

#[tokio::test]
async fn record_headers_and_trace_context_are_stored_in_order() {
    let gateway = Gateway::start().await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let options = Options {
        headers: vec![
            ("tenant".into(), Bytes::from_static(b"a")),
            ("tenant".into(), Bytes::from_static(b"b")),
        ],
        trace: TraceContext::parse(traceparent, Some("x=y")),
        correlation_id: Some("from-header".to_owned()),
        ..Options::default()
    };
    accepted(gateway.publish_with(&order("c"), &options).await);
    let record = gateway.log.record("orders.v1");
    let names: Vec<&str> = record.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["tenant", "tenant", "traceparent", "tracestate"]);
    assert_eq!(record.headers.last_text("traceparent"), Some(traceparent));
    assert_eq!(record.headers.last_text("tracestate"), Some("x=y"));
    assert_eq!(json_of(record.value.as_ref())["correlationId"], "from-header");
}

#[tokio::test]
async fn headers_of_the_gateway_itself_cannot_be_given() {
    let gateway = Gateway::start().await;
    for name in ["weirgate-source", "__dlq.errors.topic", "traceparent", "ce_id", ""] {
        let options =
            Options { headers: vec![(name.into(), Bytes::from_static(b"x"))], ..Options::default() };
        let refused = gateway.publish_with(&order("c"), &options).await;
        assert!(matches!(refused, Err(Error::InvalidHeader { .. })), "{name}");
    }
    let options = Options { headers: vec![("a".into(), Bytes::from_static(b"x\0"))], ..Options::default() };
    assert!(matches!(gateway.publish_with(&order("c"), &options).await, Err(Error::InvalidHeader { .. })));
}

#[tokio::test]
async fn sizes_are_held_at_their_limits() {
    let gateway = Gateway::with(Config { event_bytes_max: 10_000, ..config() }, shop()).await;
    let header = |count: usize, bytes: usize| Options {
        headers: (0..count).map(|_| (Arc::from("h"), Bytes::from(vec![b'x'; bytes - 1]))).collect(),
        ..Options::default()
    };
    let too_large = |published: Result<_, Error>, part: Part| matches!(published, Err(Error::TooLarge { part: found, .. }) if found == part);
    accepted(gateway.publish(&order(&"k".repeat(1_024))).await);
    assert!(too_large(gateway.publish(&order(&"k".repeat(1_025))).await, Part::Key));
    accepted(gateway.publish_with(&order("c"), &header(1, 4_096)).await);
    assert!(too_large(gateway.publish_with(&order("c"), &header(1, 4_097)).await, Part::Header));
    accepted(gateway.publish_with(&order("c"), &header(64, 2)).await);
    let many = gateway.publish_with(&order("c"), &header(65, 2)).await;
    assert!(matches!(many, Err(Error::TooManyHeaders { headers: 65, headers_max: 64 })));
    assert!(too_large(gateway.publish_with(&order("c"), &header(3, 4_000)).await, Part::Event));
    assert_eq!(gateway.log.appends().len(), 3);
}

#[tokio::test]
async fn key_headers_and_final_value_count_together_to_the_byte() {
    let complete = format!(
        r#"{{"eventId":"{ID}","eventType":"orders.placed.v1","eventVersion":"1","timestamp":"2026-01-01T00:00:00Z","source":"shop-x","data":{{"customerId":"c"}}}}"#
    );
    let options = Options { headers: vec![("a".into(), Bytes::from_static(b"b"))], ..Options::default() };
    let bytes = complete.len() + 1 + 2;
    let exact = Gateway::with(Config { event_bytes_max: bytes, ..config() }, shop()).await;
    accepted(exact.publish_with(&complete, &options).await);
    let short = Gateway::with(Config { event_bytes_max: bytes - 1, ..config() }, shop()).await;
    let refused = short.publish_with(&complete, &options).await;
    assert!(
        matches!(refused, Err(Error::TooLarge { part: Part::Event, bytes: found, .. }) if found == bytes)
    );
}

#[tokio::test]
async fn bad_json_and_bad_envelopes_are_told_apart_and_store_nothing() {
    let gateway = Gateway::start().await;
    for body in ["", "{", r#"{"eventType":"a.b.v1","eventType":"a.b.v1","data":1}"#] {
        assert!(matches!(gateway.publish(body).await, Err(Error::Json(_))), "{body}");
    }
    for body in
        ["1", "{}", r#"{"eventType":"Bad","data":1}"#, r#"{"eventType":"payments.taken.v1","data":1,"x":1}"#]
    {
        assert!(matches!(gateway.publish(body).await, Err(Error::Envelope(_))), "{body}");
    }
    assert!(matches!(gateway.publish("[]").await, Err(Error::NotSingle)));
    let deep = format!(r#"{{"eventType":"payments.taken.v1","data":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    assert!(matches!(gateway.publish(&deep).await, Err(Error::Json(_))));
    assert!(gateway.log.appends().is_empty());
}

#[tokio::test]
async fn a_type_of_any_form_is_taken_where_the_catalogue_binds_it() {
    let rules = vec![rule("legacy", &["ORDER_CREATED"])];
    let gateway = Gateway::with(config(), rules).await;
    accepted(gateway.publish(r#"{"eventType":"ORDER_CREATED","data":1}"#).await);
    assert_eq!(json_of(gateway.log.record("legacy").value.as_ref())["eventVersion"], "1.0.0");
}

#[tokio::test]
async fn a_new_catalogue_is_in_force_for_the_next_event() {
    let gateway = Gateway::start().await;
    accepted(gateway.publish(&order("c")).await);
    let moved = vec![rule("payments", &["orders.placed.v1"])];
    gateway.catalogue.replace(Catalogue::new(moved, rule("defaults", &[])));
    assert_eq!(accepted(gateway.publish(&order("c")).await).topic.as_str(), "payments");
}
