//! What goes wrong on the side of Kafka: what the caller is told, that nothing is answered as stored that is not, and
//! that it goes on by itself when the cause is gone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use tokio::task::spawn_blocking;
use weirgate::event::{Clock, Offset, Partition, Topic};
use weirgate::log::{Append, Appended, Cleanup, Error, EventLog, Health, NewRecord, TopicSpec};
use weirgate::log_kafka::{Config, Engine};
use weirgate::telemetry::Registry;

use crate::broker::{self, Cluster};
use crate::gateway::Gateway;
use crate::harness::eventually;
use crate::harness::waiting::eventually_within;

const FIRST: Partition = Partition::new(0);
const PATIENCE: Duration = Duration::from_secs(90);

/// An engine on the shared broker that waits for it for so long.
async fn engine(delivery_timeout: Duration) -> Arc<Engine> {
    let brokers = spawn_blocking(broker::shared).await.unwrap();
    let config = Config { delivery_timeout, ..Config::of(brokers) };
    Engine::open(config, Clock::system(), &Registry::new()).unwrap()
}

/// A topic of one partition that nobody else has.
async fn topic(engine: &Engine) -> TopicSpec {
    let name = Topic::parse(&format!("failures.{}", uuid::Uuid::new_v4().simple())).unwrap();
    let cleanup = Cleanup::Delete;
    let spec = TopicSpec { name, partitions: 1, cleanup, retention: None, retention_bytes: None };
    engine.ensure_topic(&spec).await.unwrap();
    spec
}

async fn append(engine: &Engine, topic: &TopicSpec, value: impl Into<Bytes>) -> Result<Appended, Error> {
    let record = NewRecord { value: Some(value.into()), ..NewRecord::default() };
    engine.append(Append { topic: topic.name.clone(), partition: FIRST, records: vec![record] }).await
}

fn native_admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", broker::shared().join(",")).create().unwrap()
}

/// Sets one thing of a topic, as an operator does with Kafka's own tools.
async fn set(topic: &TopicSpec, name: &str, value: &str) {
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic.name.as_str())).set(name, value);
    let changed = native_admin().alter_configs([&change], &AdminOptions::new()).await.unwrap();
    assert!(changed.iter().all(Result::is_ok), "{changed:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_record_that_the_topic_does_not_take_is_too_large_and_others_are_stored() {
    let engine = engine(Duration::from_secs(60)).await;
    let topic = topic(&engine).await;
    set(&topic, "max.message.bytes", "10000").await;
    // A change of the gateway's own makes it look at the topic's settings, and leaves this one as it is.
    let changed = TopicSpec { retention: Some(Duration::from_secs(3_600)), ..topic.clone() };
    engine.ensure_topic(&changed).await.unwrap();
    // A broker answers before it does as it was told.
    let refused = || async {
        match append(&engine, &topic, noise(32_000)).await {
            Ok(_) => None,
            Err(Error::RecordTooLarge { bytes: 32_000, bytes_max }) => Some(bytes_max),
            Err(error) => panic!("{error:?}"),
        }
    };
    assert!(eventually("the setting is in force", refused).await < 10_000);
    append(&engine, &topic, "small").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_topic_that_others_delete_is_unknown_soon_and_usable_when_it_is_back() {
    let engine = engine(Duration::from_secs(1)).await;
    let topic = topic(&engine).await;
    let stored = async || append(&engine, &topic, "before").await.ok();
    eventually_within(PATIENCE, "it is stored", stored).await;
    let deleted = native_admin().delete_topics(&[topic.name.as_str()], &AdminOptions::new()).await.unwrap();
    assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    let unknown = || async {
        match append(&engine, &topic, "after").await {
            Err(Error::UnknownTopic(_)) => Some(()),
            Ok(_) | Err(Error::OutcomeUnknown | Error::Unavailable(_)) => None,
            Err(error) => panic!("{error}"),
        }
    };
    eventually_within(PATIENCE, "it is noticed", unknown).await;
    engine.ensure_topic(&topic).await.unwrap();
    let mut tries = 0;
    let stored = async || {
        tries += 1;
        append(&engine, &topic, "anew").await.ok()
    };
    let appended = eventually_within(PATIENCE, "it is stored in the new one", stored).await;
    // One of unknown outcome may lie before it, and nothing of the old one does.
    assert!(appended.base < Offset::new(tries), "{appended:?} at the try {tries}");
}

/// Needs no broker: that is the point.
#[tokio::test(flavor = "multi_thread")]
async fn brokers_that_are_not_there_are_told_and_do_not_end_the_gateway() {
    let flag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let brokers = flag("log.kafka.brokers", "['nowhere.invalid:9092', '127.0.0.1:1']");
    let gateway = Gateway::start(vec![flag("log.engine", "kafka"), brokers]).await;
    for _ in 0..3 {
        let (status, problem) = gateway.publish("ord_nowhere").await;
        assert_eq!((status, problem["code"].as_str()), (503, Some("log_unavailable")), "{problem}");
        let (status, body) = gateway.ready().await;
        assert_eq!(status, 503, "{body}");
        assert_eq!(body["reasons"][0]["detail"], "Kafka cannot be reached");
    }
    gateway.stop().await;
}

/// A broker that cannot write gives its log up, and ends with its last one.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_full_disk_loses_nothing_that_was_answered_and_ends_when_there_is_room() {
    let start = || {
        let mut cluster = Cluster::prepare(1);
        cluster.start_node_on_small_disk(0, 12);
        cluster
    };
    let mut cluster = spawn_blocking(start).await.unwrap();
    let config = Config { delivery_timeout: Duration::from_secs(2), ..Config::of(cluster.addresses()) };
    let engine = Engine::open(config, Clock::system(), &Registry::new()).unwrap();
    engine.admit();
    let topic = topic(&engine).await;
    let is_ready = || engine.health() == Health::Ready;
    // A disk that is slow fails an append, too; one that is full ends the broker.
    let (mut stored, mut unknown) = (0, 0);
    while is_ready() || unknown == 0 {
        match append(&engine, &topic, noise(512 << 10)).await {
            Ok(appended) if (stored..=stored + unknown).contains(&appended.base.number()) => stored += 1,
            Ok(appended) => panic!("{stored} were stored, and now {appended:?}"),
            Err(Error::OutcomeUnknown | Error::Unavailable(_)) => unknown += 1,
            Err(failure) => panic!("{failure:?}"),
        }
        assert!(stored < 100, "the disk is never full");
    }
    assert!(stored > 5, "only {stored} found room, {unknown} perhaps");

    let restart = move || {
        cluster.kill_node(0);
        cluster.start_node(0);
        cluster
    };
    let _cluster = spawn_blocking(restart).await.unwrap();
    eventually("it is ready again", || async { is_ready().then_some(()) }).await;
    // Those of unknown outcome may be there.
    let end = engine.bounds(&topic.name, FIRST).await.unwrap().end;
    assert!(
        (stored..=stored + unknown).contains(&end.number()),
        "{stored} were stored, {unknown} perhaps, {end} are there"
    );
    eventually("it is stored again", || async { append(&engine, &topic, "room").await.ok() }).await;
}

/// Bytes that do not shrink.
fn noise(bytes: usize) -> Vec<u8> {
    std::iter::repeat_with(uuid::Uuid::new_v4).flat_map(uuid::Uuid::into_bytes).take(bytes).collect()
}
