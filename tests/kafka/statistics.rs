//! What librdkafka says of itself, as the gateway's metrics show it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use weirgate::event::{Clock, Offset, Partition, Topic};
use weirgate::log::{Append, Cleanup, EventLog as _, NewRecord, Purpose, TopicSpec};
use weirgate::log_kafka::{Config, Engine, Secret};
use weirgate::telemetry::Registry;

use crate::harness::waiting::eventually_within;
use crate::{broker, conformance};

const FIRST: Partition = Partition::new(0);
const PATIENCE: Duration = Duration::from_secs(90);

/// The value of a series; `None` while there is none.
fn value(registry: &Registry, series: &str) -> Option<f64> {
    let text = registry.render();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.map(|number| number.parse().unwrap())
}

async fn wait(registry: &Registry, series: &str, is_right: impl Fn(f64) -> bool) {
    let right = async || value(registry, series).filter(|found| is_right(*found));
    let found = fmt::from_fn(|out| write!(out, "{series}, which is {:?}", value(registry, series)));
    eventually_within(PATIENCE, found, right).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn the_metrics_follow_what_clients_do() {
    let brokers = tokio::task::spawn_blocking(broker::shared).await.unwrap();
    let mut config = Config { delivery_timeout: Duration::from_secs(60), ..Config::of(brokers) };
    config.properties.insert("statistics.interval.ms".to_owned(), Secret::new("100"));
    let registry = Registry::new();
    let engine = Engine::open(config, Clock::system(), &registry).unwrap();
    let name = Topic::parse(&format!("statistics.{}", uuid::Uuid::new_v4().simple())).unwrap();
    let spec = TopicSpec {
        name: name.clone(),
        partitions: 1,
        cleanup: Cleanup::Delete,
        retention: None,
        retention_bytes: None,
    };
    engine.ensure_topic(&spec).await.unwrap();
    let record = NewRecord { value: Some(Bytes::from_static(b"value")), ..NewRecord::default() };
    let append = Append { topic: name.clone(), partition: FIRST, records: vec![record; 50] };
    engine.append(append.clone()).await.unwrap();
    wait(&registry, r#"weirgate_kafka_broker_connections{broker="1",client="producer"}"#, |up| up >= 1.0)
        .await;
    let rtt = r#"weirgate_kafka_broker_rtt_seconds{broker="1",client="producer",statistic="p95"}"#;
    wait(&registry, rtt, |seconds| seconds > 0.0 && seconds < 30.0).await;
    wait(&registry, "weirgate_kafka_queue_records", |records| records == 0.0).await;

    let mut reader = engine.reader(&name, FIRST, Offset::ZERO, Purpose::Tail).await.unwrap();
    let mut read = conformance::read(&mut *reader, 1).await.records.len();
    let (ahead, lag) = (
        r#"weirgate_kafka_fetch_queue_records{client="tail"}"#,
        r#"weirgate_kafka_read_lag_records{client="tail"}"#,
    );
    wait(&registry, ahead, |records| records >= 49.0).await;
    wait(&registry, lag, |records| records >= 49.0).await;
    while read < 50 {
        read += conformance::read(&mut *reader, 1 << 20).await.records.len();
    }
    // A reader that waits takes what is said of the end, too, which counts as much as a record.
    tokio::select! {
        () = wait(&registry, ahead, |records| records == 0.0) => {}
        more = reader.next(1 << 20) => panic!("there were 50: {more:?}"),
    }
    wait(&registry, lag, |records| records == 0.0).await;

    drop(reader);
    engine.close().await;
    let connections = r#"weirgate_kafka_broker_connections{broker="1",client="producer"}"#;
    wait(&registry, connections, |up| up == 0.0).await;
}
