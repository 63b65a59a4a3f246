//! Topics that others change, too: what the gateway brings back, what it leaves, and what it tells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use tokio::task::spawn_blocking;
use weirgate::event::{Clock, Topic};
use weirgate::log::{Cleanup, Error, EventLog, TopicSpec};
use weirgate::log_kafka::{AllTopicSettings, Compression, Config, Engine, TopicSettings};
use weirgate::telemetry::Registry;

use crate::broker;
use crate::harness::eventually;

async fn engine(registry: &Registry) -> Arc<Engine> {
    let brokers = spawn_blocking(broker::shared).await.unwrap();
    Engine::open(Config::of(brokers), Clock::system(), registry).unwrap()
}

fn spec() -> TopicSpec {
    let name = Topic::parse(&format!("topics.{}", uuid::Uuid::new_v4().simple())).unwrap();
    let retention = Some(Duration::from_secs(3_600));
    TopicSpec { name, partitions: 2, cleanup: Cleanup::Delete, retention, retention_bytes: None }
}

fn all(spec: &TopicSpec, settings: TopicSettings) -> AllTopicSettings {
    let by_topic = BTreeMap::from([(spec.name.clone(), settings)]);
    AllTopicSettings { by_topic, ..AllTopicSettings::default() }
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", broker::shared().join(",")).create().unwrap()
}

/// What the broker says of a topic's setting.
async fn setting(spec: &TopicSpec, name: &str) -> String {
    let specifier = ResourceSpecifier::Topic(spec.name.as_str());
    let answers = admin().describe_configs([&specifier], &AdminOptions::new()).await.unwrap();
    answers[0].as_ref().unwrap().get(name).unwrap().value.clone().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_topic_is_made_as_configured_and_what_others_did_to_it_is_told_or_brought_back() {
    let registry = Registry::new();
    let engine = engine(&registry).await;
    let spec = spec();
    let settings =
        TopicSettings { replication: Some(1), min_insync: Some(1), compression: Some(Compression::Zstd) };
    engine.want(vec![spec.clone()], all(&spec, settings));
    assert_eq!(engine.keep_topic(&spec).await.unwrap().spec, spec);
    assert_eq!(setting(&spec, "compression.type").await, "zstd");
    let drift = |count: u32| format!("weirgate_topic_drift{{topic=\"{}\"}} {count}\n", spec.name);
    assert!(registry.render().contains(&drift(0)), "{}", registry.render());

    let grown = NewPartitions::new(spec.name.as_str(), 3);
    let grown = admin().create_partitions([&grown], &AdminOptions::new()).await.unwrap();
    assert!(grown.iter().all(Result::is_ok), "{grown:?}");
    let changed = AlterConfig::new(ResourceSpecifier::Topic(spec.name.as_str()))
        .set("max.message.bytes", "77777")
        .set("retention.ms", "1000")
        .set("compression.type", "gzip");
    let changed = admin().alter_configs([&changed], &AdminOptions::new()).await.unwrap();
    assert!(changed.iter().all(Result::is_ok), "{changed:?}");

    // As after a restart or a reload, which look at everything anew.
    let (registry, settings) =
        (Registry::new(), TopicSettings { compression: Some(Compression::Zstd), ..TopicSettings::default() });
    let engine = self::engine(&registry).await;
    engine.want(vec![spec.clone()], all(&spec, settings));
    let kept = engine.keep_topic(&spec).await.unwrap().spec;
    assert_eq!(kept, TopicSpec { partitions: 3, ..spec.clone() }, "partitions never go");
    assert_eq!(setting(&spec, "retention.ms").await, "3600000");
    assert_eq!(setting(&spec, "compression.type").await, "zstd");
    assert_eq!(setting(&spec, "max.message.bytes").await, "77777", "what is not configured stays");
    assert!(registry.render().contains(&drift(1)), "{}", registry.render());
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_compacted_topic_stays_one_whatever_is_configured() {
    let registry = Registry::new();
    let engine = engine(&registry).await;
    let compacted = TopicSpec { cleanup: Cleanup::Compact, retention: None, ..spec() };
    engine.ensure_topic(&compacted).await.unwrap();
    let wanted =
        TopicSpec { cleanup: Cleanup::Delete, retention: Some(Duration::from_secs(1)), ..compacted.clone() };
    engine.want(vec![wanted.clone()], AllTopicSettings::default());
    assert_eq!(engine.keep_topic(&wanted).await.unwrap().spec, compacted);
    let drift = format!("weirgate_topic_drift{{topic=\"{}\"}} 1\n", wanted.name);
    assert!(registry.render().contains(&drift), "{}", registry.render());
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn more_replicas_than_brokers_are_waited_for_in_plain_words() {
    let engine = engine(&Registry::new()).await;
    let spec = spec();
    engine.want(
        vec![spec.clone()],
        all(&spec, TopicSettings { replication: Some(3), ..TopicSettings::default() }),
    );
    eventually("the topics are known", || async { engine.topics_known().ok() }).await;
    match engine.keep_topic(&spec).await {
        Err(Error::Unavailable(cause)) => {
            let cause = cause.to_string();
            assert!(cause.contains("3 replicas") && cause.contains("1 broker"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
    assert!(engine.topic(&spec.name).is_none());
}
