//! Transactions, and tables that two gateways write at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use weirgate::delivery::{self, Delivery, PolicyPatch, Service};
use weirgate::event::{
    Catalogue, Clock, EventType, GroupName, LiveCatalogue, Offset, Partition, Topic, TopicRule,
};
use weirgate::log::conformance::Subject;
use weirgate::log::{Append, Cleanup, Error, NewRecord, Purpose, Table, TopicSpec};
use weirgate::telemetry::Registry;

use crate::broker;
use crate::conformance::{known, read, subject};
use crate::harness::waiting::{eventually_within, in_time};
use crate::race::{race, registry};

const FIRST: Partition = Partition::new(0);
const PATIENCE: Duration = Duration::from_secs(60);

fn name(kind: &str) -> String {
    format!("{kind}.{}", uuid::Uuid::new_v4().simple())
}

async fn topic(subject: &Subject, cleanup: Cleanup) -> Topic {
    let name = Topic::parse(&name("tables")).unwrap();
    let spec = TopicSpec { name, partitions: 1, cleanup, retention: None, retention_bytes: None };
    subject.log.ensure_topic(&spec).await.unwrap();
    spec.name
}

fn append(topic: &Topic, text: &str) -> Append {
    let value = Some(Bytes::copy_from_slice(text.as_bytes()));
    let record = NewRecord { key: Some(Bytes::from_static(b"key")), value, ..NewRecord::default() };
    Append { topic: topic.clone(), partition: FIRST, records: vec![record] }
}

/// All values of the first partition.
async fn values(subject: &Subject, topic: &Topic, key: Option<&str>) -> Vec<Bytes> {
    let end = subject.log.bounds(topic, FIRST).await.unwrap().end;
    let mut reader = subject.log.reader(topic, FIRST, Offset::ZERO, Purpose::CatchUp).await.unwrap();
    let mut values = Vec::new();
    while reader.position() < end {
        let records = read(&mut *reader, 1 << 20).await.records;
        let is_wanted =
            |found: &Option<Bytes>| key.is_none_or(|key| found.as_deref() == Some(key.as_bytes()));
        values.extend(
            records.into_iter().filter(|record| is_wanted(&record.key)).filter_map(|record| record.value),
        );
    }
    values
}

/// The gateway's own limit lets the record pass; only the broker knows this topic's.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn what_the_broker_refuses_in_part_is_stored_nowhere() {
    let (subject, ()) = subject().await;
    let wide = topic(&subject, Cleanup::Delete).await;
    let narrow = Topic::parse(&name("tables")).unwrap();
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", tokio::task::spawn_blocking(broker::shared).await.unwrap().join(","))
        .create()
        .unwrap();
    let new = NewTopic::new(narrow.as_str(), 1, TopicReplication::Fixed(1)).set("max.message.bytes", "2000");
    admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
    known(&*subject.log, &narrow).await;

    let large: String = uuid_text(8_000);
    let refused = subject.log.append_atomic(vec![append(&wide, "lost"), append(&narrow, &large)]).await;
    assert!(matches!(refused, Err(Error::RecordTooLarge { .. })), "{refused:?}");
    let both = || vec![append(&wide, "kept"), append(&narrow, "kept")];
    subject.log.append_atomic(both()).await.unwrap();
    subject.log.append(append(&wide, "plain")).await.unwrap();
    assert_eq!(values(&subject, &wide, None).await, ["kept", "plain"]);
    assert_eq!(values(&subject, &narrow, None).await, ["kept"]);
}

/// A text that does not become smaller by compression.
fn uuid_text(bytes: usize) -> String {
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str(&uuid::Uuid::new_v4().simple().to_string());
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn of_two_gateways_at_one_place_one_gets_through() {
    let ((one, ()), (other, ())) = tokio::join!(subject(), subject());
    let topic = topic(&one, Cleanup::Delete).await;
    known(&*other.log, &topic).await;
    let mut expected = Vec::new();
    let mut round = 0;
    while expected.len() < 8 {
        round += 1;
        assert!(round < 40, "nobody gets on");
        let end = one.log.bounds(&topic, FIRST).await.unwrap().end;
        let texts = ["one", "other"].map(|gateway| format!("{gateway} {round}"));
        let appended = tokio::join!(
            one.log.append_at(append(&topic, &texts[0]), end),
            other.log.append_at(append(&topic, &texts[1]), end),
        );
        match appended {
            (Ok(appended), Err(Error::Overtaken)) => {
                assert_eq!(appended.base, end);
                expected.push(texts[0].clone());
            }
            (Err(Error::Overtaken), Ok(appended)) => {
                assert_eq!(appended.base, end);
                expected.push(texts[1].clone());
            }
            // The mark of an earlier loser's end came between.
            (Err(Error::Overtaken), Err(Error::Overtaken)) => {}
            both => panic!("one gets through: {both:?}"),
        }
    }
    assert_eq!(values(&other, &topic, None).await, expected);
}

/// As a registry gives out ids: none twice, none left out.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn two_gateways_give_out_ids_without_a_clash() {
    const EACH: u32 = 12;
    let ((one, ()), (other, ())) = tokio::join!(subject(), subject());
    let topic = topic(&one, Cleanup::Compact).await;
    known(&*other.log, &topic).await;
    let gateways = [one, other].map(|subject| {
        let topic = topic.clone();
        tokio::spawn(async move {
            let table = Table::open(subject.log, topic, 1).await.unwrap();
            let mut ids = Vec::new();
            for _ in 0..EACH {
                let give_out = table.update(|draft| {
                    let last = draft.read(b"last").map_or(0, |text| number(&text));
                    draft.write("last".into(), Some((last + 1).to_string().into()));
                    Ok::<_, Error>(last + 1)
                });
                ids.push(give_out.await.unwrap());
            }
            ids
        })
    });
    let mut given = BTreeSet::new();
    for gateway in gateways {
        let ids = in_time(PATIENCE, "a gateway's ids", gateway).await.unwrap();
        assert!(ids.is_sorted());
        given.extend(ids);
    }
    assert_eq!(given.into_iter().collect::<Vec<_>>(), (1..=2 * EACH).collect::<Vec<_>>());
}

fn number(text: &[u8]) -> u32 {
    std::str::from_utf8(text).unwrap().parse().unwrap()
}

/// A gateway's delivery room over an engine of its own. The room ends with the guard.
async fn gateway() -> (Subject, Delivery, tokio_util::sync::DropGuard) {
    let (subject, ()) = subject().await;
    let types = vec![EventType::parse("orders.placed.v1").unwrap()];
    let rule = TopicRule::plain(Topic::parse("orders.v1").unwrap(), types);
    let config = delivery::Config {
        node: "g1".into(),
        defaults: delivery::Policy::default(),
        groups: [].into(),
        dead_letter_retention: Duration::from_secs(86_400),
        dead_letter_states_bytes_max: 1 << 20,
        parked_keys_max: 100,
        in_flight_max: 256,
    };
    let catalogue = LiveCatalogue::new(Catalogue::new(vec![rule.clone()], rule));
    let (log, groups) = (Arc::clone(&subject.log), Arc::clone(&subject.groups));
    let (service, delivery) = Service::new(config, log, groups, catalogue, Clock::system(), &Registry::new());
    let shutdown = CancellationToken::new();
    tokio::spawn(service.run(shutdown.clone()));
    (subject, delivery, shutdown.drop_guard())
}

/// One gateway changes one part of a policy, the other another part, many at a time: each change builds on the one
/// before it, both gateways come to the same end, and every change that was answered is in the table's history.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn policies_changed_through_two_gateways_at_once_are_all_kept() {
    const WRITERS: u64 = 5;
    const EACH: u64 = 5;
    let ((one, first, _one), (other, second, _other)) = tokio::join!(gateway(), gateway());
    let topic = topic(&one, Cleanup::Delete).await;
    known(&*other.log, &topic).await;
    let group = GroupName::parse(&format!("tables-{}", uuid::Uuid::new_v4().simple())).unwrap();
    let new = PolicyPatch { topics: Some(vec![topic]), ..PolicyPatch::default() };
    first.put_policy(&group, new).await.unwrap();

    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        for (part, delivery) in [first.clone(), second.clone()].into_iter().enumerate() {
            let group = group.clone();
            writers.push(tokio::spawn(async move {
                for round in 0..EACH {
                    let value = 1_000 + writer * EACH + round;
                    let patch = match part {
                        0 => PolicyPatch { ack_timeout_ms: Some(value), ..PolicyPatch::default() },
                        _ => PolicyPatch { commit_interval_ms: Some(value), ..PolicyPatch::default() },
                    };
                    delivery.put_policy(&group, patch).await.unwrap();
                }
            }));
        }
    }
    for writer in writers {
        in_time(PATIENCE, "a writer's end", writer).await.unwrap();
    }

    let table = Topic::parse("_weirgate.groups").unwrap();
    let history = values(&one, &table, Some(&format!("policy/{group}"))).await;
    let history: Vec<Value> = history.iter().map(|text| serde_json::from_slice(text).unwrap()).collect();
    let parts =
        |entry: &Value| ["ackTimeoutMs", "commitIntervalMs"].map(|part| entry["policy"][part].clone());
    for (before, after) in history.iter().zip(history.iter().skip(1)) {
        let (before, after) = (parts(before), parts(after));
        assert!(
            before[0] == after[0] || before[1] == after[1],
            "a change undid another: {before:?} {after:?}"
        );
    }
    let all: BTreeSet<u64> = (1_000..1_000 + WRITERS * EACH).collect();
    for part in 0..2 {
        let kept: Vec<u64> =
            history.iter().skip(1).map(|entry| parts(entry)[part].as_u64().unwrap()).collect();
        assert!(all.is_subset(&kept.into_iter().collect()), "a change that was answered is in the history");
    }
    assert_eq!(history.len() as u64, 1 + 2 * WRITERS * EACH, "every change is there once");

    let last = parts(history.last().unwrap());
    let shown = |delivery: &Delivery| {
        let policy = delivery.policy(&group).unwrap();
        [policy.ack_timeout, policy.commit_interval]
            .map(|time| Value::from(u64::try_from(time.as_millis()).unwrap()))
    };
    let converged = async || (shown(&first) == last && shown(&second) == last).then_some(());
    eventually_within(PATIENCE, "both gateways come to the same end", converged).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn schemas_registered_through_two_gateways_at_once_have_one_id_each() {
    let ((one, ()), (other, ())) = tokio::join!(subject(), subject());
    let gateways = async { tokio::join!(registry(one.log), registry(other.log)) };
    let (first, second) = in_time(PATIENCE, "both registries open", gateways).await;
    in_time(PATIENCE, "the end of the race", race(&name("race"), [first, second])).await;
}
