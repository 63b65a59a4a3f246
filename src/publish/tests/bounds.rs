//! The queue's bound and the quotas, seen from outside.

use std::time::Duration;

use super::fake_log::Answer;
use super::gateway::{Gateway, ID, accepted, config, order, order_with_id, shop};
use crate::event::Pattern;
use crate::log;
use crate::publish::{Config, Error, Quota, Retry, Validation};

#[tokio::test]
async fn bytes_in_flight_are_bounded_and_what_is_refused_is_not_stored() {
    let gateway = Gateway::with(Config { queue_bytes_max: 500, ..config() }, shop()).await;
    gateway.log.script([Answer::StoreLater, Answer::StoreLater]);
    let body = order(&"c".repeat(120));
    let first = gateway.submit(&body).unwrap();
    let second = gateway.submit(&body);
    assert!(matches!(second, Err(Error::Overloaded)));
    assert!(matches!(gateway.batch(Validation::Each, &format!("[{body}]")).await, Err(Error::Overloaded)));
    assert!(matches!(gateway.submit(&order_with_id(ID, &"c".repeat(120))), Err(Error::Overloaded)));
    assert_eq!(gateway.metric("weirgate_publish_queue_refusals_total"), "3");
    gateway.log.answer_waiting();
    accepted(first.await);
    assert_eq!(gateway.metric("weirgate_publish_queue_bytes"), "0");
    gateway.log.script([Answer::Store]);
    let again = gateway.submit(&order_with_id(ID, &"c".repeat(120))).unwrap();
    gateway.log.answer_waiting();
    accepted(again.await);
}

#[tokio::test(start_paused = true)]
async fn a_quota_refuses_before_anything_is_handed_over_and_tells_when_to_come_back() {
    let quota =
        Quota { principal: Pattern::new("service:*"), events_per_second: Some(2), bytes_per_second: None };
    let gateway = Gateway::with(Config { quotas: vec![quota], ..config() }, shop()).await;
    let batch = format!("[{},{}]", order("a"), order("b"));
    gateway.batch(Validation::All, &batch).await.unwrap();
    let refused = gateway.publish(&order("c")).await.unwrap_err();
    let Error::RateLimited { retry_after, used } = &refused else { panic!("{refused:?}") };
    assert_eq!((retry_after, used.quota, used.remaining), (&Duration::from_millis(500), 2, 0));
    assert_eq!(refused.retry(), Retry::After(Duration::from_millis(500)));
    assert_eq!(refused.fault(), log::Fault::Caller);
    assert!(matches!(gateway.publish("{}").await, Err(Error::Envelope(_))), "the quota is asked last");
    assert_eq!(gateway.log.records("orders.v1").len(), 2);
    gateway.advance(Duration::from_millis(500)).await;
    accepted(gateway.publish(&order("c")).await);
    assert_eq!(gateway.metric(r#"weirgate_publish_quota_rejections_total{quota="events"}"#), "1");
}
