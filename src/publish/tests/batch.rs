//! Batches: refused as a whole or in part, aborted by key, in input order.

use bytes::Bytes;
use serde_json::json;

use super::fake_log::Answer;
use super::gateway::{Gateway, ID, ID2, config, duplicate, order, order_with_id, shop, statuses};
use crate::log;
use crate::publish::{Ack, BatchForm, Config, Error, IdSeed, ItemResult, Options, TopicTemplate, Validation};

fn list(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

fn payment(account: Option<&str>) -> String {
    json!({ "eventType": "payments.taken.v1", "data": { "account": account } }).to_string()
}

/// An order whose amount breaks the schema.
fn bad_order(customer: &str) -> String {
    let data = json!({ "customerId": customer, "amount": "x" });
    json!({ "eventType": "orders.placed.v1", "data": data }).to_string()
}

#[tokio::test]
async fn all_events_are_stored_with_one_append_for_each_partition() {
    let gateway = Gateway::start().await;
    let items: Vec<String> = (0..100).map(|number| order(&format!("c{}", number % 7))).collect();
    let batch = gateway.batch(Validation::All, &list(&items)).await.unwrap();
    assert!(statuses(&batch).iter().all(|status| *status == "accepted"));
    let partitions: std::collections::BTreeSet<_> =
        gateway.log.appends().iter().map(|append| append.partition).collect();
    assert_eq!(gateway.log.appends().len(), partitions.len());
    for (item, number) in batch.items.iter().zip(0..) {
        let ItemResult::Accepted(receipt) = &item.result else { panic!() };
        let records = gateway.log.records("orders.v1");
        let key = format!("c{}", number % 7);
        let stored = records
            .iter()
            .any(|record| record.offset == receipt.offset && record.key.as_deref() == Some(key.as_bytes()));
        assert!(stored, "{number}");
    }
}

#[tokio::test]
async fn one_refused_event_refuses_the_batch_and_nothing_is_stored() {
    let gateway = Gateway::start().await;
    let body = list(&[order("a"), bad_order("b"), order("b"), payment(None)]);
    let Err(Error::BatchRefused(batch)) = gateway.batch(Validation::All, &body).await else { panic!() };
    assert_eq!(statuses(&batch), ["aborted", "failed", "aborted", "aborted"]);
    assert!(gateway.log.appends().is_empty());
    assert_eq!(gateway.metric("weirgate_dedupe_entries"), "0");
}

/// The same batch may be sent again, so its answer must not read as a refusal of what is in it.
#[tokio::test]
async fn what_cannot_be_judged_now_is_the_answer_for_all() {
    let gateway = Gateway::start().await;
    gateway.log.blind(true);
    let new = json!({ "eventType": "news.made.v1", "data": 1 }).to_string();
    let body = list(&[order("a"), "7".to_owned(), new]);
    for validation in [Validation::All, Validation::Atomic] {
        let refused = gateway.batch(validation, &body).await;
        assert!(matches!(refused, Err(Error::Log(log::Error::Unavailable(_)))), "{refused:?}");
    }
    let batch = gateway.batch(Validation::Each, &body).await.unwrap();
    assert_eq!(statuses(&batch), ["accepted", "failed", "failed"]);
    assert_eq!(gateway.log.appends().len(), 1);
}

#[tokio::test]
async fn with_each_the_good_ones_are_stored_and_the_refused_ones_key_is_aborted_from_there() {
    let gateway = Gateway::start().await;
    let body = list(&[
        order("b"),
        bad_order("b"),
        order("b"),
        order("a"),
        json!({ "eventType": "orders.cancelled.v1", "data": { "customerId": "b" } }).to_string(),
        payment(Some("b")),
    ]);
    let batch = gateway.batch(Validation::Each, &body).await.unwrap();
    assert_eq!(statuses(&batch), ["accepted", "failed", "aborted", "accepted", "aborted", "accepted"]);
    assert!(matches!(&batch.items[1].result, ItemResult::Failed(Error::Schema(_))));
    assert_eq!(gateway.log.records("orders.v1").len(), 2);
}

#[tokio::test]
async fn null_keys_never_abort_and_empty_ones_do() {
    let gateway = Gateway::start().await;
    let bad = |account: Option<&str>| {
        json!({ "eventType": "payments.taken.v1", "source": "x", "data": { "account": account } }).to_string()
    };
    let body = list(&[bad(None), payment(None), bad(Some("")), payment(Some("")), payment(None)]);
    let batch = gateway.batch(Validation::Each, &body).await.unwrap();
    assert_eq!(statuses(&batch), ["failed", "accepted", "failed", "aborted", "accepted"]);
}

#[tokio::test]
async fn null_keys_of_a_batch_stay_in_one_partition() {
    let gateway = Gateway::start().await;
    let items: Vec<String> = (0..30).map(|_| payment(None)).collect();
    gateway.batch(Validation::All, &list(&items)).await.unwrap();
    assert_eq!(gateway.log.appends().len(), 1);
}

#[tokio::test]
async fn an_event_whose_envelope_is_wrong_still_holds_the_lane_that_can_be_read() {
    let gateway = Gateway::start().await;
    let bad = json!({ "eventId": ID, "eventType": "orders.placed.v1", "timestamp": "noon", "data": { "customerId": "a" } });
    let body = list(&[bad.to_string(), order("a"), order("b"), "7".to_owned()]);
    let batch = gateway.batch(Validation::Each, &body).await.unwrap();
    assert_eq!(statuses(&batch), ["failed", "aborted", "accepted", "failed"]);
    assert_eq!(batch.items[0].event_id.as_ref().unwrap().as_str(), ID);
}

#[tokio::test]
async fn grant_source_topic_key_and_size_are_judged_event_by_event() {
    let gateway = Gateway::with(Config { event_bytes_max: 2_000, ..config() }, shop()).await;
    let body = list(&[
        json!({ "eventType": "no.topic.v1", "data": 1 }).to_string(),
        json!({ "eventType": "payments.taken.v1", "source": "x", "data": 1 }).to_string(),
        json!({ "eventType": "orders.placed.v1", "data": {} }).to_string(),
        payment(Some(&"k".repeat(1_025))),
        json!({ "eventType": "payments.taken.v1", "data": "x".repeat(2_000) }).to_string(),
        payment(None),
    ]);
    let batch = gateway.batch(Validation::Each, &body).await.unwrap();
    assert_eq!(statuses(&batch), ["failed", "failed", "failed", "failed", "failed", "accepted"]);
    let errors: Vec<&Error> = batch
        .items
        .iter()
        .filter_map(|item| match &item.result {
            ItemResult::Failed(error) => Some(error),
            _ => None,
        })
        .collect();
    assert!(matches!(errors[0], Error::TopicNotFound { .. }));
    assert!(matches!(errors[1], Error::Auth(_)));
    assert!(matches!(errors[2], Error::InvalidKey { .. }));
    assert!(matches!((errors[3], errors[4]), (Error::TooLarge { .. }, Error::TooLarge { .. })));

    let body = Bytes::from(list(&[order("a"), payment(None)]));
    let (stranger, options) = (&gateway.stranger, Options::default());
    let batch =
        gateway.publisher.publish_batch(stranger, body, BatchForm::Native, Validation::Each, &options);
    assert_eq!(statuses(&batch.await.unwrap()), ["failed", "accepted"]);
}

#[tokio::test]
async fn only_what_is_no_batch_is_refused_as_a_request() {
    let gateway = Gateway::with(Config { batch_items_max: 2, ..config() }, shop()).await;
    let batch = async |body: &str| gateway.batch(Validation::Each, body).await;
    assert!(matches!(batch("{}").await, Err(Error::NotABatch)));
    assert!(matches!(batch("[]").await, Err(Error::EmptyBatch)));
    assert!(matches!(batch("[1,").await, Err(Error::Json(_))));
    assert!(matches!(batch(r#"[{"a":1,"a":1}]"#).await, Err(Error::Json(_))));
    assert!(matches!(batch("[1,2,3]").await, Err(Error::TooManyItems { items: 3, items_max: 2 })));
    assert_eq!(statuses(&batch("[1,2]").await.unwrap()), ["failed", "failed"]);
    for options in [
        Options { key: Some(Bytes::new()), ..Options::default() },
        Options { partition: Some(crate::event::Partition::new(0)), ..Options::default() },
    ] {
        let refused = gateway.batch_with(Validation::Each, "[1]", &options).await;
        assert!(matches!(refused, Err(Error::SingleOnly(_))));
    }
}

#[tokio::test]
async fn an_event_of_a_batch_may_nest_as_deep_as_one_alone() {
    let gateway = Gateway::start().await;
    let nested = |depth: usize| {
        format!(r#"[{{"eventType":"payments.taken.v1","data":{}{}}}]"#, "[".repeat(depth), "]".repeat(depth))
    };
    assert_eq!(statuses(&gateway.batch(Validation::Each, &nested(63)).await.unwrap()), ["accepted"]);
    assert!(matches!(gateway.batch(Validation::Each, &nested(64)).await, Err(Error::Json(_))));
}

#[tokio::test]
async fn repeats_inside_a_batch_and_of_earlier_ones_are_recognised() {
    let gateway = Gateway::start().await;
    let body = list(&[order_with_id(ID, "a"), order_with_id(ID, "a"), order("b")]);
    let batch = gateway.batch(Validation::All, &body).await.unwrap();
    assert_eq!(statuses(&batch), ["accepted", "duplicate", "accepted"]);
    let batch =
        gateway.batch(Validation::All, &list(&[order_with_id(ID, "a"), order_with_id(ID2, "a")])).await;
    assert_eq!(statuses(&batch.unwrap()), ["duplicate", "accepted"]);
    duplicate(gateway.publish(&order_with_id(ID2, "a")).await);
    assert_eq!(gateway.log.records("orders.v1").len(), 3);
}

#[tokio::test]
async fn a_conflicting_id_is_a_refusal_within_and_across_batches() {
    let gateway = Gateway::start().await;
    let other =
        json!({ "eventId": ID, "eventType": "orders.placed.v1", "data": { "customerId": "a", "amount": 1 } });
    let body = list(&[order_with_id(ID, "a"), other.to_string(), order("a"), order("b")]);
    let Err(Error::BatchRefused(refused)) = gateway.batch(Validation::All, &body).await else { panic!() };
    assert_eq!(statuses(&refused), ["aborted", "failed", "aborted", "aborted"]);
    let batch = gateway.batch(Validation::Each, &body).await.unwrap();
    assert_eq!(statuses(&batch), ["accepted", "failed", "aborted", "accepted"]);
    let again = gateway.batch(Validation::Each, &list(&[other.to_string(), order("a")])).await.unwrap();
    assert_eq!(statuses(&again), ["failed", "aborted"]);
    assert!(matches!(&again.items[0].result, ItemResult::Failed(Error::Conflict { .. })));
}

#[tokio::test]
async fn a_retry_with_the_same_idempotency_key_finds_what_was_stored() {
    let gateway = Gateway::start().await;
    let seed = IdSeed::new("service:orders", "POST /v1/events", "k");
    let options = Options { id_seed: Some(seed), ..Options::default() };
    gateway.log.script([Answer::StoreSilently]);
    let body = list(&[order("a"), order("a"), order("a")]);
    let first = gateway.batch_with(Validation::All, &body, &options).await.unwrap();
    assert_eq!(statuses(&first), ["unknown"; 3]);
    let second = gateway.batch_with(Validation::All, &body, &options).await.unwrap();
    assert_eq!(statuses(&second), ["duplicate"; 3]);
    let ids = |batch: &crate::publish::Batch| -> Vec<_> {
        batch.items.iter().map(|item| item.event_id.clone().unwrap()).collect()
    };
    assert_eq!(ids(&first), ids(&second));
    assert_eq!(gateway.log.records("orders.v1").len(), 3);
}

#[tokio::test]
async fn an_append_that_fails_fails_its_events_only() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::RefuseLater(log::Error::Overloaded), Answer::StoreLater]);
    let body = list(&[order("a"), payment(None), order("a")]);
    let batch = gateway.batch(Validation::All, &body);
    tokio::pin!(batch);
    assert!(futures_util::poll!(&mut batch).is_pending());
    gateway.log.answer_waiting();
    assert_eq!(statuses(&batch.await.unwrap()), ["failed", "accepted", "failed"]);
}

#[tokio::test]
async fn what_the_log_refuses_at_once_aborts_what_its_lanes_have_not_handed_over() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::Refuse(log::Error::Overloaded)]);
    let large = |customer: &str| {
        let data = json!({ "customerId": customer, "text": "x".repeat(700_000) });
        json!({ "eventType": "orders.placed.v1", "data": data }).to_string()
    };
    let body = list(&[large("a"), order("a"), large("a"), order("a"), payment(Some("a"))]);
    let batch = gateway.batch(Validation::All, &body).await.unwrap();
    assert_eq!(statuses(&batch), ["failed", "failed", "aborted", "aborted", "accepted"]);
    assert_eq!(gateway.log.appends().len(), 2);
    assert_eq!(gateway.metric("weirgate_publish_queue_bytes"), "0");
}

#[tokio::test]
async fn ack_none_answers_each_event_as_queued() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::StoreLater, Answer::Refuse(log::Error::Overloaded)]);
    let options = Options { ack: Ack::None, ..Options::default() };
    let body = list(&[order("a"), payment(Some("x")), order("a")]);
    let batch = gateway.batch_with(Validation::All, &body, &options).await.unwrap();
    assert_eq!(statuses(&batch), ["queued", "failed", "queued"]);
    gateway.log.answer_waiting();
    gateway.publisher.drain().await;
    assert_eq!(gateway.log.records("orders.v1").len(), 2);
}

#[tokio::test]
async fn a_batch_whose_client_has_gone_is_still_settled() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::StoreLater]);
    {
        let body = list(&[order_with_id(ID, "a")]);
        let batch = gateway.batch(Validation::All, &body);
        tokio::pin!(batch);
        assert!(futures_util::poll!(&mut batch).is_pending());
    }
    gateway.log.answer_waiting();
    gateway.publisher.drain().await;
    duplicate(gateway.publish(&order_with_id(ID, "a")).await);
}

#[tokio::test]
async fn a_dry_run_judges_a_batch_and_stores_nothing() {
    let gateway = Gateway::start().await;
    let options = Options { dry_run: true, ..Options::default() };
    let body = list(&[order("a"), bad_order("b"), order("b")]);
    let each = gateway.batch_with(Validation::Each, &body, &options).await.unwrap();
    assert_eq!(statuses(&each), ["checked", "failed", "aborted"]);
    let all = gateway.batch_with(Validation::All, &body, &options).await;
    assert!(matches!(all, Err(Error::BatchRefused(_))));
    assert!(gateway.log.appends().is_empty());
}

#[tokio::test]
async fn cloud_events_come_in_batches_too() {
    let gateway = Gateway::start().await;
    let event = |id: &str, time: &str| {
        json!({ "specversion": "1.0", "id": id, "source": "order-service", "type": "payments.taken.v1",
            "time": time, "partitionkey": "k", "data": 1 })
    };
    let good = "2026-01-01T00:00:00Z";
    let body = json!([event(ID, good), event(ID2, "noon"), event("third", good)]).to_string();
    let publish = async |validation| {
        let (orders, body) = (&gateway.orders, Bytes::from(body.clone()));
        gateway
            .publisher
            .publish_batch(orders, body, BatchForm::CloudEvents, validation, &Options::default())
            .await
    };
    assert!(matches!(publish(Validation::All).await, Err(Error::BatchRefused(_))));
    assert_eq!(statuses(&publish(Validation::Each).await.unwrap()), ["accepted", "failed", "aborted"]);
}

#[tokio::test]
async fn topics_of_a_batch_come_into_being_where_that_is_switched_on() {
    let template = TopicTemplate { partitions: 2, retention: None };
    let gateway = Gateway::with(Config { topics_auto_create: Some(template), ..config() }, shop()).await;
    let event = json!({ "eventType": "user.created.v1", "data": 1 }).to_string();
    let refused = gateway.batch(Validation::All, &list(&[event.clone(), "1".to_owned()])).await;
    assert!(refused.is_err());
    assert_eq!(gateway.metric("weirgate_publish_topics_created_total"), "0");
    let batch = gateway.batch(Validation::All, &list(&[event.clone(), event])).await.unwrap();
    assert_eq!(statuses(&batch), ["accepted", "accepted"]);
    assert_eq!(gateway.metric("weirgate_publish_topics_created_total"), "1");
}
