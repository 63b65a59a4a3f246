//! Refused events and the topic that keeps them.

use serde_json::{Value, json};

use super::fake_log::Answer;
use super::gateway::{Gateway, ID, ID2, config, json_of, rule, shop, statuses};
use crate::event::{Enforcement, Offset, Topic};
use crate::log;
use crate::publish::{
    Config, Error, ItemResult, KeptState, Options, Quarantine, Quota, Submitted, Validation,
};

const BROKEN: &str = r#"{"eventType":"orders.placed.v1","data":{"customerId":"c","amount":"one"}}"#;

async fn start(config: Config) -> Gateway {
    let mut rules = shop();
    rules[0].quarantine = Some(Topic::parse("refused").unwrap());
    rules.push(rule("refused", &[]));
    Gateway::with(config, rules).await
}

fn kept(error: &Error) -> KeptState {
    match error {
        Error::Quarantined { kept: Quarantine { topic, state }, .. } => {
            assert_eq!(topic.as_str(), "refused");
            *state
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refused_event_is_kept_with_what_is_wrong() {
    let gateway = start(config()).await;
    let headers = vec![("tenant".into(), bytes::Bytes::from_static(b"blue"))];
    let options = Options { headers, ..Options::default() };
    let error = gateway.publish_with(BROKEN, &options).await.unwrap_err();
    assert!(matches!(kept(&error), KeptState::At(_, offset) if offset == Offset::ZERO));
    assert_eq!(error.to_string(), "the data breaks the schema orders.placed.v1-value; places told: 1");
    let record = gateway.log.records("refused").remove(0);
    assert_eq!(record.key.as_deref(), Some(&b"c"[..]));
    let envelope = json_of(record.value.as_ref());
    assert_eq!(envelope["data"], json!({"customerId": "c", "amount": "one"}));
    assert!(
        envelope["eventId"].is_string()
            && envelope["timestamp"].is_string()
            && envelope["source"].is_string()
    );
    for (name, text) in [
        ("tenant", "blue"),
        ("weirgate-quarantine-topic", "orders.v1"),
        ("weirgate-quarantine-principal", "service:orders"),
        ("weirgate-quarantine-reason", "schema_violation"),
        ("weirgate-quarantine-subject", "orders.placed.v1-value"),
    ] {
        assert_eq!(record.headers.last_text(name), Some(text), "{name}");
    }
    let errors = record.headers.last_text("weirgate-quarantine-errors").unwrap();
    let errors: Value = serde_json::from_str(errors).unwrap();
    assert_eq!((&errors[0]["pointer"], &errors[0]["keyword"]), (&json!("/data/amount"), &json!("type")));
    assert!(gateway.log.records("orders.v1").is_empty());
    let line = r#"weirgate_quarantine_events_total{state="kept",topic="orders.v1"}"#;
    assert_eq!(gateway.metric(line), "1");
    let line = r#"weirgate_schema_violations_by_producer_total{producer="service:orders",subject="orders.placed.v1-value"}"#;
    assert_eq!(gateway.metric(line), "1");
}

#[tokio::test]
async fn nothing_else_is_kept() {
    let gateway = start(config()).await;
    let dry = Options { dry_run: true, ..Options::default() };
    assert!(matches!(gateway.publish_with(BROKEN, &dry).await, Err(Error::Schema(_))));
    let strange = BROKEN.replace("\"data\"", "\"source\":\"elsewhere\",\"data\"");
    assert!(matches!(gateway.publish(&strange).await, Err(Error::Auth(_))));
    assert!(matches!(gateway.publish("{}").await, Err(Error::Envelope(_))));
    assert!(gateway.log.records("refused").is_empty());

    let mut rules = shop();
    rules[0].quarantine = Some(Topic::parse("refused").unwrap());
    rules[0].enforcement = Enforcement::Warn;
    rules.push(rule("refused", &[]));
    let gateway = Gateway::with(config(), rules).await;
    assert_eq!(gateway.publish(BROKEN).await.unwrap().warnings.len(), 1);
    assert!(gateway.log.records("refused").is_empty());
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_all_the_same() {
    let quota = Quota {
        principal: crate::event::Pattern::new("service:orders"),
        events_per_second: Some(1),
        bytes_per_second: None,
    };
    let gateway = start(Config { quotas: vec![quota], ..config() }).await;
    assert!(matches!(kept(&gateway.publish(BROKEN).await.unwrap_err()), KeptState::At(..)));
    assert_eq!(kept(&gateway.publish(BROKEN).await.unwrap_err()), KeptState::Failed);

    let gateway = start(config()).await;
    gateway.log.script([Answer::Refuse(log::Error::Overloaded), Answer::Refuse(log::Error::OutcomeUnknown)]);
    assert_eq!(kept(&gateway.publish(BROKEN).await.unwrap_err()), KeptState::Failed);
    assert_eq!(kept(&gateway.publish(BROKEN).await.unwrap_err()), KeptState::Unknown);

    let gateway = start(Config { event_bytes_max: 100, ..config() }).await;
    assert_eq!(kept(&gateway.publish(BROKEN).await.unwrap_err()), KeptState::Failed);
    assert!(gateway.log.records("refused").is_empty());
    let line = r#"weirgate_quarantine_events_total{state="failed",topic="orders.v1"}"#;
    assert_eq!(gateway.metric(line), "1");

    let mut rules = shop();
    rules[0].quarantine = Some(Topic::parse("gone").unwrap());
    let gateway = Gateway::with(config(), rules).await;
    let error = gateway.publish(BROKEN).await.unwrap_err();
    assert!(matches!(error, Error::Quarantined { kept: Quarantine { state: KeptState::Failed, .. }, .. }));
}

#[tokio::test]
async fn refused_events_of_batches_and_series_are_kept() {
    let gateway = start(config()).await;
    let good = |id: &str| {
        format!(r#"{{"eventId":"{id}","eventType":"orders.placed.v1","data":{{"customerId":"other"}}}}"#)
    };
    let body = format!("[{BROKEN},{},{BROKEN}]", good(ID));
    let batch = gateway.batch(Validation::Each, &body).await.unwrap();
    assert_eq!(statuses(&batch), ["failed", "accepted", "failed"]);
    for index in [0, 2] {
        let ItemResult::Failed(error) = &batch.items[index].result else { panic!("{batch:?}") };
        assert!(matches!(kept(error), KeptState::At(..)));
    }
    let Err(Error::BatchRefused(batch)) = gateway.batch(Validation::All, &body).await else {
        panic!("not refused")
    };
    assert_eq!(statuses(&batch), ["failed", "aborted", "failed"]);
    assert_eq!(gateway.log.records("refused").len(), 4);

    let mut series = gateway.publisher.series(std::sync::Arc::clone(&gateway.orders), Options::default(), 10);
    let Submitted::Open(mut underway) = series.submit(BROKEN.into()).await else {
        panic!("it is kept first")
    };
    assert!(underway.is_deferred(), "the next line waits");
    let answer = (&mut underway).await;
    let item = series.end(underway, answer);
    let ItemResult::Failed(error) = &item.result else { panic!("{item:?}") };
    assert!(matches!(kept(error), KeptState::At(partition, _) if partition.number() < 3));
    let behind = BROKEN.replace("\"one\"", "1");
    let Submitted::Done(item) = series.submit(behind.into()).await else { panic!("its lane is held") };
    assert!(matches!(item.result, ItemResult::Aborted));
    let Submitted::Open(_underway) = series.submit(good(ID2).into()).await else { panic!("another lane") };
    assert_eq!(gateway.log.records("refused").len(), 5);
}

#[tokio::test]
async fn an_event_is_kept_though_nobody_waits() {
    let gateway = start(config()).await;
    drop(gateway.submit(BROKEN));
    gateway.publisher.drain().await;
    assert_eq!(gateway.log.records("refused").len(), 1);
}
