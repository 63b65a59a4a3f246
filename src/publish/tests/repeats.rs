//! Repeated events: told apart by id, answered from the first one's outcome.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;

use super::fake_log::Answer;
use super::gateway::{
    Gateway, ID, ID2, accepted, config, duplicate, json_of, order, order_with_id, shop, statuses,
};
use crate::event::{Partition, Topic};
use crate::log::{self, Append, EventLog, NewRecord};
use crate::publish::{Config, Error, Form, IdSeed, Options, Validation};

#[tokio::test]
async fn the_same_bytes_again_are_answered_with_the_first_receipt_and_stored_once() {
    let gateway = Gateway::start().await;
    let first = accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    gateway.advance_clock(60_000);
    assert_eq!(duplicate(gateway.publish(&order_with_id(ID, "c1")).await), first);
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
    assert_eq!(gateway.metric("weirgate_publish_duplicates_total"), "1");
    assert_eq!(gateway.metric("weirgate_dedupe_entries"), "1");
}

#[tokio::test]
async fn space_around_the_body_and_trace_headers_do_not_make_another_event() {
    let gateway = Gateway::start().await;
    let first = accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    let headers = vec![("attempt".into(), Bytes::from_static(b"2"))];
    let options = Options { headers, ..Options::default() };
    let spaced = format!(" {}\n", order_with_id(ID, "c1"));
    assert_eq!(duplicate(gateway.publish_with(&spaced, &options).await), first);
}

#[tokio::test]
async fn other_bytes_or_another_key_under_the_same_id_are_a_conflict() {
    let gateway = Gateway::start().await;
    accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    let conflict = gateway.publish(&order_with_id(ID, "c2")).await;
    assert!(matches!(conflict, Err(Error::Conflict { event_id }) if event_id.as_str() == ID));
    let options = Options { key: Some(Bytes::from_static(b"k")), ..Options::default() };
    assert!(matches!(
        gateway.publish_with(&order_with_id(ID, "c1"), &options).await,
        Err(Error::Conflict { .. })
    ));
    let dry = Options { dry_run: true, ..Options::default() };
    assert!(matches!(
        gateway.publish_with(&order_with_id(ID, "c2"), &dry).await,
        Err(Error::Conflict { .. })
    ));
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
    assert_eq!(gateway.metric("weirgate_dedupe_conflicts_total"), "3");
}

#[tokio::test]
async fn another_principal_or_topic_has_ids_of_its_own() {
    let gateway = Gateway::start().await;
    accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    let body = Bytes::from(order_with_id(ID, "c1"));
    let options = Options::default();
    accepted(gateway.publisher.publish(&gateway.billing, body, Form::Native, &options).await);
    let body = format!(r#"{{"eventId":"{ID}","eventType":"payments.taken.v1","data":1}}"#);
    accepted(gateway.publish(&body).await);
}

#[tokio::test]
async fn a_topic_may_take_every_event_as_new() {
    let mut rules = shop();
    rules[0].is_deduped = false;
    let gateway = Gateway::with(config(), rules).await;
    accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    assert_eq!(gateway.metric("weirgate_dedupe_entries"), "0");
}

#[tokio::test]
async fn events_without_an_id_of_the_client_are_not_remembered() {
    let gateway = Gateway::start().await;
    accepted(gateway.publish(&order("c1")).await);
    accepted(gateway.publish(&order("c1")).await);
    assert_eq!(gateway.metric("weirgate_dedupe_entries"), "0");
}

#[tokio::test]
async fn ids_that_follow_from_an_idempotency_key_are_recognised() {
    let gateway = Gateway::start().await;
    let options = Options {
        id_seed: Some(IdSeed::new("service:orders", "POST /v1/events", "k")),
        ..Options::default()
    };
    gateway.log.script([Answer::StoreSilently]);
    let unknown = gateway.publish_with(&order("c1"), &options).await.unwrap_err();
    let Error::OutcomeUnknown { event_id: Some(event_id) } = unknown else { panic!("{unknown:?}") };
    assert_eq!(duplicate(gateway.publish_with(&order("c1"), &options).await).event_id, event_id);
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
}

#[tokio::test]
async fn a_repeat_while_the_first_is_on_its_way_waits_for_its_answer() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::StoreLater]);
    let mut first = gateway.submit(&order_with_id(ID, "c1")).unwrap();
    let mut second = gateway.submit(&order_with_id(ID, "c1")).unwrap();
    assert_eq!((first.is_deferred(), second.is_deferred()), (false, true));
    assert!(futures_util::poll!(&mut second).is_pending());
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(matches!(gateway.submit(&order_with_id(ID, "c2")), Err(Error::Conflict { .. })));
    gateway.log.answer_waiting();
    let receipt = accepted(first.await);
    assert_eq!(duplicate(second.await), receipt);
    assert_eq!(gateway.log.appends().len(), 1);
}

#[tokio::test]
async fn a_refused_first_leaves_no_entry_and_its_repeats_get_the_same_answer() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::RefuseLater(log::Error::Overloaded)]);
    let first = gateway.submit(&order_with_id(ID, "c1")).unwrap();
    let second = gateway.submit(&order_with_id(ID, "c1")).unwrap();
    gateway.log.answer_waiting();
    assert!(matches!(first.await, Err(Error::Overloaded)));
    assert!(matches!(second.await, Err(Error::Overloaded)));
    accepted(gateway.publish(&order_with_id(ID, "c2")).await);
}

#[tokio::test]
async fn a_first_whose_client_has_gone_is_still_settled() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::StoreLater]);
    drop(gateway.submit(&order_with_id(ID, "c1")).unwrap());
    gateway.log.answer_waiting();
    gateway.publisher.drain().await;
    duplicate(gateway.publish(&order_with_id(ID, "c1")).await);
    let published = r#"events_published_total{event_type="orders.placed.v1",topic="orders.v1"}"#;
    assert_eq!(gateway.metric(published), "1");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_that_was_stored_is_found_in_the_log() {
    let gateway = Gateway::start().await;
    accepted(gateway.publish(&order("c1")).await);
    gateway.log.script([Answer::StoreSilently]);
    let unknown = gateway.publish(&order_with_id(ID, "c1")).await;
    assert!(matches!(unknown, Err(Error::OutcomeUnknown { .. })));
    accepted(gateway.publish(&order_with_id(ID2, "c1")).await);
    let found = duplicate(gateway.publish(&order_with_id(ID, "c1")).await);
    assert_eq!(found.offset.number(), 1);
    assert_eq!(duplicate(gateway.publish(&order_with_id(ID, "c1")).await), found);
    assert_eq!(gateway.metric(r#"weirgate_dedupe_resolved_total{result="stored"}"#), "1");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_that_is_not_in_the_log_stays_unknown_until_nothing_can_arrive_any_more() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::Lose]);
    for _ in 0..3 {
        let unknown = gateway.publish(&order_with_id(ID, "c1")).await;
        assert!(matches!(unknown, Err(Error::OutcomeUnknown { .. })));
    }
    assert!(matches!(gateway.publish(&order_with_id(ID, "c2")).await, Err(Error::Conflict { .. })));
    gateway.advance(Duration::from_secs(30)).await;
    accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_waits_for_an_unknown_outcome_looks_it_up() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::RefuseLater(log::Error::OutcomeUnknown)]);
    let first = gateway.submit(&order_with_id(ID, "c1")).unwrap();
    let second = gateway.submit(&order_with_id(ID, "c1")).unwrap();
    gateway.log.answer_waiting();
    assert!(matches!(first.await, Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(second.await, Err(Error::OutcomeUnknown { .. })));
    assert_eq!(gateway.metric(r#"weirgate_dedupe_resolved_total{result="unknown"}"#), "1");
}

#[tokio::test(start_paused = true)]
async fn an_id_is_forgotten_after_its_window() {
    let gateway = Gateway::start().await;
    accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    gateway.advance(Duration::from_secs(86_399)).await;
    duplicate(gateway.publish(&order_with_id(ID, "c1")).await);
    gateway.advance(Duration::from_secs(1)).await;
    accepted(gateway.publish(&order_with_id(ID, "c2")).await);
    assert_eq!(gateway.metric("weirgate_dedupe_evictions_total"), "0");
}

#[tokio::test]
async fn at_the_bound_the_oldest_id_is_forgotten_and_counted() {
    let gateway = Gateway::with(Config { dedupe_entries_max: 2, ..config() }, shop()).await;
    let id = |number: u32| format!("550e8400-e29b-41d4-a716-44665544000{number}");
    for number in 0..3 {
        accepted(gateway.publish(&order_with_id(&id(number), "c1")).await);
    }
    assert_eq!(gateway.metric("weirgate_dedupe_entries"), "2");
    assert_eq!(gateway.metric("weirgate_dedupe_evictions_total"), "1");
    duplicate(gateway.publish(&order_with_id(&id(2), "c1")).await);
    accepted(gateway.publish(&order_with_id(&id(0), "c1")).await);
}

#[tokio::test]
async fn ids_of_failed_appends_leave_nothing_behind() {
    let gateway = Gateway::with(Config { dedupe_entries_max: 2, ..config() }, shop()).await;
    accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    gateway.log.script((0..500).map(|_| Answer::Refuse(log::Error::Overloaded)));
    for number in 0..500 {
        let id = format!("550e8400-e29b-41d4-a716-{number:012}");
        assert!(gateway.publish(&order_with_id(&id, "c1")).await.is_err());
    }
    assert_eq!(gateway.metric("weirgate_dedupe_entries"), "1");
    assert_eq!(gateway.metric("weirgate_dedupe_evictions_total"), "0");
    duplicate(gateway.publish(&order_with_id(ID, "c1")).await);
}

/// A batch of an event whose first outcome is open, one of its key, and one of another.
fn behind_a_repeat() -> String {
    format!("[{},{},{}]", order_with_id(ID, "a"), order("a"), order("b"))
}

/// The ids of a topic's records of this key, in order.
fn stored(gateway: &Gateway, key: &str) -> Vec<String> {
    let records = gateway.log.records("orders.v1").into_iter();
    let its = records.filter(|record| record.key.as_deref() == Some(key.as_bytes()));
    its.map(|record| json_of(record.value.as_ref())["eventId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_batch_waits_with_a_key_for_the_first_of_a_repeat() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::StoreLater]);
    let first = gateway.submit(&order_with_id(ID, "a")).unwrap();
    let body = behind_a_repeat();
    let mut batch = pin!(gateway.batch(Validation::All, &body));
    assert!(futures_util::poll!(&mut batch).is_pending());
    assert_eq!(gateway.log.appends().len(), 2, "the first, and what is of another key");
    gateway.log.answer_waiting();
    accepted(first.await);
    assert_eq!(statuses(&batch.await.unwrap()), ["duplicate", "accepted", "accepted"]);
    assert_eq!((stored(&gateway, "a")[0].as_str(), stored(&gateway, "a").len()), (ID, 2));
    assert_eq!(gateway.metric("weirgate_publish_queue_bytes"), "0");
}

#[tokio::test]
async fn a_batch_aborts_what_comes_behind_a_repeat_whose_first_failed() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::RefuseLater(log::Error::Overloaded)]);
    let first = gateway.submit(&order_with_id(ID, "a")).unwrap();
    let body = behind_a_repeat();
    let mut batch = pin!(gateway.batch(Validation::All, &body));
    assert!(futures_util::poll!(&mut batch).is_pending());
    gateway.log.answer_waiting();
    drop(first);
    assert_eq!(statuses(&batch.await.unwrap()), ["failed", "aborted", "accepted"]);
    assert_eq!(stored(&gateway, "a"), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_was_not_stored_is_stored_before_what_comes_behind_it() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::Lose]);
    assert!(matches!(gateway.publish(&order_with_id(ID, "a")).await, Err(Error::OutcomeUnknown { .. })));
    let unknown = gateway.batch(Validation::All, &behind_a_repeat()).await.unwrap();
    assert_eq!(statuses(&unknown), ["unknown", "aborted", "accepted"], "its first may still arrive");
    gateway.advance(Duration::from_secs(30)).await;
    let batch = gateway.batch(Validation::All, &behind_a_repeat()).await.unwrap();
    assert_eq!(statuses(&batch), ["accepted", "accepted", "accepted"]);
    assert_eq!((stored(&gateway, "a")[0].as_str(), stored(&gateway, "a").len()), (ID, 2));
}

#[tokio::test]
async fn repeats_behind_a_repeat_are_found_in_their_turn() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::StoreLater]);
    let body = format!("[{},{},{}]", order_with_id(ID, "a"), order_with_id(ID2, "a"), order("a"));
    let mut first = pin!(gateway.batch(Validation::All, &body));
    assert!(futures_util::poll!(&mut first).is_pending());
    let mut second = pin!(gateway.batch(Validation::All, &body));
    assert!(futures_util::poll!(&mut second).is_pending());
    gateway.log.answer_waiting();
    assert_eq!(statuses(&first.await.unwrap()), ["accepted"; 3]);
    assert_eq!(statuses(&second.await.unwrap()), ["duplicate", "duplicate", "accepted"]);
}

#[tokio::test]
async fn a_repeat_within_a_batch_holds_nothing_up() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::StoreLater]);
    let body = format!("[{},{},{}]", order_with_id(ID, "a"), order_with_id(ID, "a"), order("a"));
    let mut batch = pin!(gateway.batch(Validation::All, &body));
    assert!(futures_util::poll!(&mut batch).is_pending());
    assert_eq!(gateway.log.appends()[0].records.len(), 2);
    gateway.log.answer_waiting();
    assert_eq!(statuses(&batch.await.unwrap()), ["accepted", "duplicate", "accepted"]);
}

#[tokio::test]
async fn what_lay_in_an_earlier_topic_of_the_same_name_is_no_repeat() {
    let gateway = Gateway::start().await;
    accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    gateway.log.create("orders.v1", 12);
    accepted(gateway.publish(&order_with_id(ID, "c1")).await);
    assert_eq!(gateway.log.records("orders.v1").len(), 1);
}

#[tokio::test]
async fn a_search_is_bounded_and_goes_on_where_it_stopped() {
    let gateway = Gateway::start().await;
    gateway.log.create("user.created.v1", 1);
    let topic = Topic::parse("user.created.v1").unwrap();
    let records =
        vec![NewRecord { value: Some(Bytes::from_static(b"native")), ..NewRecord::default() }; 100_050];
    gateway.log.append(Append { topic, partition: Partition::new(0), records }).await.unwrap();
    gateway.log.script([Answer::StoreSilently]);
    let body = format!(r#"{{"eventId":"{ID}","eventType":"user.created.v1","data":1}}"#);
    for _ in 0..2 {
        assert!(matches!(gateway.publish(&body).await, Err(Error::OutcomeUnknown { .. })));
    }
    assert_eq!(duplicate(gateway.publish(&body).await).offset.number(), 100_050);
}
