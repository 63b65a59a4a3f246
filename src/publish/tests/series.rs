//! Series: what fails aborts the later events of its key, until the series ends.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use serde_json::json;

use super::fake_log::Answer;
use super::gateway::{Gateway, ID, order, order_with_id};
use crate::log;
use crate::publish::{Item, ItemResult, Options, Series, Submitted, Underway};

fn series(gateway: &Gateway, lanes_max: usize) -> Series {
    gateway.publisher.series(Arc::clone(&gateway.orders), Options::default(), lanes_max)
}

fn submit(series: &mut Series, body: &str) -> Submitted {
    let submitted = series.submit(Bytes::copy_from_slice(body.as_bytes()));
    submitted.now_or_never().expect("nothing has to be fetched")
}

fn underway(submitted: Submitted) -> Underway {
    match submitted {
        Submitted::Open(underway) => underway,
        Submitted::Done(item) => panic!("answered already: {item:?}"),
    }
}

/// The next event's item, however it comes about.
async fn item(series: &mut Series, body: &str) -> Item {
    match submit(series, body) {
        Submitted::Open(mut underway) => {
            let answer = (&mut underway).await;
            series.end(underway, answer)
        }
        Submitted::Done(item) => item,
    }
}

fn payment(source: &str, account: Option<&str>) -> String {
    json!({ "eventType": "payments.taken.v1", "source": source, "data": { "account": account } }).to_string()
}

#[tokio::test]
async fn a_refused_event_aborts_the_later_ones_of_its_key_only() {
    let gateway = Gateway::start().await;
    let mut series = series(&gateway, 10);
    let no_envelope =
        json!({ "eventType": "orders.placed.v1", "timestamp": "noon", "data": { "customerId": "e" } });
    let mut found = Vec::new();
    for body in [
        payment("nobody", Some("a")),
        payment("order-service", Some("a")),
        payment("order-service", Some("b")),
        payment("nobody", None),
        payment("order-service", None),
        no_envelope.to_string(),
        order("e"),
        order("a"),
    ] {
        let item = item(&mut series, &body).await;
        assert_eq!(item.index, found.len());
        found.push(match item.result {
            ItemResult::Accepted(_) => "accepted",
            ItemResult::Failed(_) => "failed",
            ItemResult::Aborted => "aborted",
            other => panic!("{other:?}"),
        });
    }
    let expected = ["failed", "aborted", "accepted", "failed", "accepted", "failed", "aborted", "accepted"];
    assert_eq!(found, expected);
    assert_eq!(gateway.metric(r#"weirgate_publish_requests_total{outcome="aborted",topic="payments"}"#), "1");
}

#[tokio::test]
async fn what_the_log_refuses_later_aborts_what_is_not_handed_over_by_then() {
    let gateway = Gateway::start().await;
    let mut series = series(&gateway, 10);
    gateway.log.script([Answer::RefuseLater(log::Error::Overloaded), Answer::StoreLater, Answer::Lose]);
    let mut first = underway(submit(&mut series, &order("a")));
    let mut second = underway(submit(&mut series, &order("a")));
    let mut lost = underway(submit(&mut series, &order_with_id(ID, "b")));
    gateway.log.answer_waiting();
    let answer = (&mut first).await;
    assert!(matches!(series.end(first, answer).result, ItemResult::Failed(_)));
    assert!(matches!(item(&mut series, &order("a")).await.result, ItemResult::Aborted));
    let answer = (&mut second).await;
    assert!(matches!(series.end(second, answer).result, ItemResult::Accepted(_)));
    let answer = (&mut lost).await;
    let unknown = series.end(lost, answer);
    assert!(matches!(unknown.result, ItemResult::Unknown));
    assert_eq!(unknown.event_id.unwrap().as_str(), ID);
    assert!(
        matches!(item(&mut series, &order("b")).await.result, ItemResult::Aborted),
        "sent again it came later"
    );
}

#[tokio::test]
async fn at_its_bound_of_lanes_a_series_says_so() {
    let gateway = Gateway::start().await;
    let mut series = series(&gateway, 2);
    for (account, is_full) in [("a", false), ("a", false), ("b", true)] {
        item(&mut series, &payment("nobody", Some(account))).await;
        assert_eq!(series.is_full(), is_full, "{account}");
    }
}
