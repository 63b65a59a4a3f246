//! What the caller is told, and when.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::fake_log::Answer;
use super::gateway::{Gateway, accepted, config, json_of, order, shop};
use crate::event::{Offset, partition_of};
use crate::log;
use crate::publish::{Ack, Checked, Config, Error, Options, Outcome, Queued, Retry, Validation};

#[tokio::test]
async fn a_dry_run_does_everything_but_the_append() {
    let gateway = Gateway::start().await;
    let options = Options { dry_run: true, ..Options::default() };
    let published = gateway.publish_with(&order("c1"), &options).await.unwrap();
    let Outcome::Checked(checked) = published.outcome else { panic!() };
    assert!(checked.schema_id.is_some());
    let expected = Checked {
        event_id: None,
        topic: checked.topic.clone(),
        partition: Some(partition_of(b"c1", 12)),
        key: Some(Bytes::from_static(b"c1")),
        schema_id: checked.schema_id,
    };
    assert_eq!(checked, expected);
    let unplaced =
        gateway.publish_with(r#"{"eventType":"payments.taken.v1","data":1}"#, &options).await.unwrap();
    assert!(matches!(
        unplaced.outcome,
        Outcome::Checked(Checked { partition: None, key: None, schema_id: None, .. })
    ));
    assert!(gateway.publish_with(&order(""), &options).await.is_ok());
    assert!(gateway.publish_with("{}", &options).await.is_err());
    assert!(gateway.log.appends().is_empty());
}

#[tokio::test]
async fn ack_none_answers_at_once_and_drain_waits_for_the_log() {
    let gateway = Gateway::start().await;
    let options = Options { ack: Ack::None, ..Options::default() };
    gateway.log.script([Answer::StoreLater]);
    let published = gateway.publish_with(&order("c1"), &options).await.unwrap();
    let Outcome::Queued(Queued { partition, offset: None, .. }) = published.outcome else { panic!() };
    assert_eq!(partition, partition_of(b"c1", 12));
    let drain = gateway.publisher.drain();
    tokio::pin!(drain);
    assert!(futures_util::poll!(&mut drain).is_pending());
    gateway.log.answer_waiting();
    drain.await;
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
    assert_eq!(gateway.metric("weirgate_publish_queue_bytes"), "0");
    assert_eq!(gateway.metric("weirgate_publish_unconfirmed_lost_total"), "0");
}

#[tokio::test]
async fn events_answered_202_and_then_lost_are_counted_and_a_refusal_at_once_is_told() {
    let gateway = Gateway::start().await;
    let options = Options { ack: Ack::None, ..Options::default() };
    gateway.log.script([Answer::RefuseLater(log::Error::Overloaded), Answer::Refuse(log::Error::Overloaded)]);
    assert!(gateway.publish_with(&order("c1"), &options).await.is_ok());
    gateway.log.answer_waiting();
    gateway.publisher.drain().await;
    assert_eq!(gateway.metric("weirgate_publish_unconfirmed_lost_total"), "1");
    assert!(matches!(gateway.publish_with(&order("c1"), &options).await, Err(Error::Overloaded)));
    assert_eq!(gateway.metric("weirgate_publish_unconfirmed_lost_total"), "1");
}

#[tokio::test]
async fn what_is_lost_after_its_callers_runtime_has_ended_is_counted_too() {
    let gateway = Gateway::start().await;
    let lost = || Answer::RefuseLater(log::Error::Overloaded);
    gateway.log.script([lost(), lost()]);
    let publish = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let options = Options { ack: Ack::None, ..Options::default() };
            gateway.publish_with(&order("c1"), &options).await.unwrap();
            let batch = format!("[{}]", order("c2"));
            gateway.batch_with(Validation::All, &batch, &options).await.unwrap();
        });
    };
    std::thread::scope(|scope| scope.spawn(publish).join()).unwrap();
    gateway.log.answer_waiting();
    gateway.publisher.drain().await;
    assert_eq!(gateway.metric("weirgate_publish_unconfirmed_lost_total"), "2");
}

#[tokio::test]
async fn a_log_that_does_not_sync_is_answered_as_queued() {
    let gateway = Gateway::with(Config { answers_are_durable: false, ..config() }, shop()).await;
    let published = gateway.publish(&order("c1")).await.unwrap();
    assert!(matches!(published.outcome, Outcome::Queued(Queued { offset: Some(Offset::ZERO), .. })));
}

#[tokio::test]
async fn the_logs_failures_say_whether_the_event_was_stored() {
    let gateway = Gateway::start().await;
    let away = || log::Error::Unavailable(Arc::new(std::io::Error::other("away")));
    gateway.log.script([
        Answer::Refuse(log::Error::Overloaded),
        Answer::Refuse(away()),
        Answer::Refuse(log::Error::Closed),
        Answer::Lose,
    ]);
    let mut errors = Vec::new();
    for _ in 0..4 {
        errors.push(gateway.publish(&order("c")).await.unwrap_err());
    }
    assert!(matches!(errors[0], Error::Overloaded));
    assert!(matches!(errors[1], Error::Log(log::Error::Unavailable(_))));
    assert!(matches!(errors[2], Error::Draining));
    assert!(matches!(errors[3], Error::OutcomeUnknown { event_id: Some(_) }));
    assert!(errors.iter().all(|error| matches!(error.retry(), Retry::After(_))));
    assert!(errors.iter().all(|error| error.fault() != log::Fault::Caller));
}

#[tokio::test]
async fn calls_are_in_the_log_in_their_order_before_any_answer_is_awaited() {
    let gateway = Gateway::start().await;
    let pending: Vec<_> = (0..20)
        .map(|number| {
            let body =
                json!({ "eventType": "orders.placed.v1", "data": { "customerId": "c", "amount": number } });
            gateway.submit(&body.to_string()).unwrap()
        })
        .collect();
    let amounts: Vec<i64> = gateway
        .log
        .records("orders.v1")
        .iter()
        .map(|record| json_of(record.value.as_ref())["data"]["amount"].as_i64().unwrap())
        .collect();
    assert_eq!(amounts, (0..20).collect::<Vec<_>>());
    for (pending, offset) in pending.into_iter().zip(0..) {
        assert_eq!(accepted(pending.await).offset, Offset::new(offset));
    }
}
