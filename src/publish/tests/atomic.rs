//! Atomic batches: all events in one transaction or none, repeats among them told apart, and no two waiting for each other.

use std::pin::pin;
use std::time::Duration;

use futures_util::poll;
use serde_json::json;

use super::fake_log::Answer;
use super::gateway::{Gateway, ID, ID2, accepted, config, duplicate, order, order_with_id, shop, statuses};
use crate::log;
use crate::publish::{Batch, Config, Error, IdSeed, ItemResult, Options, Receipt, TopicTemplate, Validation};

fn list(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

fn payment(account: &str) -> String {
    json!({ "eventType": "payments.taken.v1", "data": { "account": account } }).to_string()
}

async fn atomic(gateway: &Gateway, items: &[String]) -> Result<Batch, Error> {
    gateway.batch(Validation::Atomic, &list(items)).await
}

fn receipt(batch: &Batch, index: usize) -> &Receipt {
    match &batch.items[index].result {
        ItemResult::Accepted(receipt) | ItemResult::Duplicate(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

/// How many events had this outcome.
fn outcomes(gateway: &Gateway, outcome: &str) -> String {
    gateway.metric(&format!(r#"weirgate_publish_requests_total{{outcome="{outcome}",topic="orders.v1"}}"#))
}

#[tokio::test]
async fn events_of_several_topics_are_one_transaction_and_each_is_told_its_place() {
    let gateway = Gateway::start().await;
    let items: Vec<String> = (0..40)
        .map(|number| if number % 2 == 0 { order(&format!("c{number}")) } else { payment("a") })
        .collect();
    let batch = atomic(&gateway, &items).await.unwrap();
    assert!(statuses(&batch).iter().all(|status| *status == "accepted"));
    assert_eq!(gateway.log.transactions(), 1);
    let payments = gateway.log.records("payments");
    for (count, index) in (1..40).step_by(2).enumerate() {
        let receipt = receipt(&batch, index);
        assert_eq!((receipt.topic.as_str(), receipt.offset), ("payments", payments[count].offset));
    }
    for index in (0..40).step_by(2) {
        let (receipt, key) = (receipt(&batch, index), format!("c{index}"));
        let is_there = |record: &crate::event::Record| {
            record.offset == receipt.offset && record.key.as_deref() == Some(key.as_bytes())
        };
        assert!(gateway.log.records("orders.v1").iter().any(is_there), "{index}");
    }
    assert_eq!(outcomes(&gateway, "accepted"), "20");
    assert_eq!(gateway.metric("weirgate_publish_queue_bytes"), "0");
}

#[tokio::test]
async fn one_refused_event_refuses_all() {
    let gateway = Gateway::start().await;
    let refused = atomic(&gateway, &[order("a"), "7".to_owned(), order_with_id(ID, "b")]).await;
    let Err(Error::BatchRefused(batch)) = refused else { panic!("{refused:?}") };
    assert_eq!(statuses(&batch), ["aborted", "failed", "aborted"]);
    assert_eq!((gateway.log.transactions(), gateway.metric("weirgate_dedupe_entries")), (0, "0".to_owned()));
}

#[tokio::test]
async fn what_is_stored_already_is_answered_with_its_place_and_the_rest_is_stored() {
    let gateway = Gateway::start().await;
    let first = accepted(gateway.publish(&order_with_id(ID, "a")).await);
    let again = order_with_id(ID2, "b");
    let items = [order_with_id(ID, "a"), again.clone(), order("c"), again.clone()];
    let batch = atomic(&gateway, &items).await.unwrap();
    assert_eq!(statuses(&batch), ["duplicate", "accepted", "accepted", "duplicate"]);
    assert_eq!(receipt(&batch, 0), &first);
    assert_eq!(receipt(&batch, 3), receipt(&batch, 1));
    assert_eq!(gateway.log.records("orders.v1").len(), 3);
    assert_eq!(&duplicate(gateway.publish(&again).await), receipt(&batch, 1));
    // Nothing is new: there is no transaction.
    let batch = atomic(&gateway, &[again.clone(), order_with_id(ID, "a"), again]).await.unwrap();
    assert_eq!(statuses(&batch), ["duplicate"; 3]);
    assert_eq!(gateway.log.transactions(), 1);
    let other = atomic(&gateway, &[order("d"), order_with_id(ID, "x")]).await;
    assert!(matches!(other, Err(Error::BatchRefused(batch)) if statuses(&batch) == ["aborted", "failed"]));
}

#[tokio::test]
async fn a_log_that_refuses_stores_nothing_and_leaves_no_id_behind() {
    let gateway = Gateway::start().await;
    gateway
        .log
        .script([Answer::Refuse(log::Error::Overloaded), Answer::Refuse(log::Error::NotSupported("x"))]);
    let items = [order_with_id(ID, "a"), order("b"), order_with_id(ID, "a")];
    assert!(matches!(atomic(&gateway, &items).await, Err(Error::Overloaded)));
    assert_eq!(
        (outcomes(&gateway, "failed"), gateway.metric("weirgate_dedupe_entries")),
        ("3".into(), "0".into())
    );
    assert!(matches!(atomic(&gateway, &items).await, Err(Error::Log(log::Error::NotSupported(_)))));
    let batch = atomic(&gateway, &items).await.unwrap();
    assert_eq!(statuses(&batch), ["accepted", "accepted", "duplicate"]);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_for_all_and_the_repeat_finds_what_was_stored() {
    let gateway = Gateway::start().await;
    let seed = IdSeed::new("service:orders", "POST /v1/events", "k");
    let options = Options { id_seed: Some(seed), ..Options::default() };
    let body = list(&[order("a"), payment("b"), order("c")]);
    let send = || gateway.batch_with(Validation::Atomic, &body, &options);
    gateway.log.script([Answer::StoreSilently]);
    assert!(matches!(send().await, Err(Error::OutcomeUnknown { event_id: None })));
    assert_eq!(outcomes(&gateway, "unknown"), "2");
    let batch = send().await.unwrap();
    assert_eq!(statuses(&batch), ["duplicate"; 3]);
    assert_eq!(gateway.log.records("orders.v1").len(), 2);
    assert_eq!(gateway.log.transactions(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_batch_that_was_not_stored_is_stored_once_nothing_of_it_can_arrive() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::Lose]);
    let items = [order_with_id(ID, "a"), order_with_id(ID2, "b")];
    assert!(matches!(atomic(&gateway, &items).await, Err(Error::OutcomeUnknown { .. })));
    assert!(matches!(atomic(&gateway, &items).await, Err(Error::OutcomeUnknown { .. })), "it may still come");
    gateway.advance(Duration::from_secs(31)).await;
    assert_eq!(statuses(&atomic(&gateway, &items).await.unwrap()), ["accepted", "accepted"]);
    assert_eq!(gateway.log.records("orders.v1").len(), 2);
}

#[tokio::test]
async fn an_id_on_its_way_elsewhere_is_waited_for_and_then_a_duplicate() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::StoreLater]);
    let first = gateway.submit(&order_with_id(ID, "a")).unwrap();
    let items = [order("b"), order_with_id(ID, "a")];
    let mut batch = pin!(atomic(&gateway, &items));
    assert!(poll!(&mut batch).is_pending());
    tokio::task::yield_now().await;
    assert_eq!(gateway.log.transactions(), 0, "nothing is handed over before it is known what is new");
    gateway.log.answer_waiting();
    let (first, batch) = (accepted(first.await), batch.await.unwrap());
    assert_eq!(statuses(&batch), ["accepted", "duplicate"]);
    assert_eq!(receipt(&batch, 1), &first);
}

#[tokio::test]
async fn batches_that_name_each_others_ids_do_not_wait_for_each_other_for_ever() {
    let gateway = Gateway::start().await;
    for _ in 0..20 {
        let ids: Vec<String> = (0..6).map(|_| uuid::Uuid::new_v4().to_string()).collect();
        let forth: Vec<String> = ids.iter().map(|id| order_with_id(id, "a")).collect();
        let back: Vec<String> = forth.iter().rev().cloned().collect();
        gateway.log.script([Answer::StoreLater]);
        let both = async { tokio::join!(atomic(&gateway, &forth), atomic(&gateway, &back)) };
        let mut both = pin!(both);
        let (one, other) = loop {
            match poll!(&mut both) {
                std::task::Poll::Ready(both) => break both,
                std::task::Poll::Pending => {
                    gateway.log.answer_waiting();
                    tokio::task::yield_now().await;
                }
            }
        };
        let mut both = [statuses(&one.unwrap())[0], statuses(&other.unwrap())[0]];
        both.sort_unstable();
        assert_eq!(both, ["accepted", "duplicate"]);
    }
    assert_eq!(gateway.log.records("orders.v1").len(), 120);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_batch_to_be_stored() {
    let gateway = Gateway::start().await;
    gateway.log.script([Answer::StoreLater]);
    {
        let items = [order_with_id(ID, "a"), order("b")];
        let mut batch = pin!(atomic(&gateway, &items));
        while gateway.log.transactions() == 0 {
            assert!(poll!(&mut batch).is_pending());
            tokio::task::yield_now().await;
        }
    }
    assert_ne!(gateway.metric("weirgate_publish_queue_bytes"), "0");
    gateway.log.answer_waiting();
    gateway.publisher.drain().await;
    assert_eq!(outcomes(&gateway, "accepted"), "2");
    duplicate(gateway.publish(&order_with_id(ID, "a")).await);
}

#[tokio::test]
async fn a_dry_run_judges_and_stores_nothing() {
    let gateway = Gateway::start().await;
    let options = Options { dry_run: true, ..Options::default() };
    let batch = gateway.batch_with(Validation::Atomic, &list(&[order("a")]), &options).await.unwrap();
    assert_eq!(statuses(&batch), ["checked"]);
    assert_eq!(gateway.log.transactions(), 0);
}

#[tokio::test]
async fn topics_are_made_for_their_first_events() {
    let template = TopicTemplate { partitions: 2, retention: None };
    let gateway = Gateway::with(Config { topics_auto_create: Some(template), ..config() }, shop()).await;
    let new = json!({ "eventType": "news.made.v1", "data": 1 }).to_string();
    let batch = atomic(&gateway, &[new.clone(), order("a"), new]).await.unwrap();
    assert_eq!(statuses(&batch), ["accepted"; 3]);
    assert_eq!(receipt(&batch, 0).topic.as_str(), "news.made.v1");
    assert_eq!(gateway.log.transactions(), 1);
}
