//! What librdkafka says of itself, as the gateway's metrics show it.

use std::time::Duration;

use bytes::Bytes;
use weirgate::event::{Clock, Offset, Partition, Topic};
use weirgate::log::{Append, Cleanup, EventLog as _, NewRecord, Purpose, TopicSpec};
use weirgate::log_kafka::{Config, Engine, Secret};
use weirgate::telemetry::Registry;

use crate::broker;

const FIRST: Partition = Partition::new(0);
const PATIENCE: Duration = Duration::from_secs(30);

/// The value of a series; `None` while there is none.
fn value(registry: &Registry, series: &str) -> Option<f64> {
    let text = registry.render();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
    line.map(|number| number.parse().unwrap())
}

async fn wait(registry: &Registry, series: &str, is_right: impl Fn(f64) -> bool) {
    let mut interval = tokio::time::interval(Duration::from_millis(20));
    let right = async {
        while !value(registry, series).is_some_and(&is_right) {
            interval.tick().await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, right).await;
    in_time.unwrap_or_else(|_| panic!("{series} is {:?}", value(registry, series)));
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn the_metrics_follow_what_clients_do() {
    let brokers = tokio::task::spawn_blocking(broker::shared).await.unwrap();
    let mut config = Config::of(brokers);
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
    let mut read = reader.next(1).await.unwrap().records.len();
    let (ahead, lag) = (
        r#"weirgate_kafka_fetch_queue_records{client="tail"}"#,
        r#"weirgate_kafka_read_lag_records{client="tail"}"#,
    );
    wait(&registry, ahead, |records| records >= 49.0).await;
    wait(&registry, lag, |records| records >= 49.0).await;
    while read < 50 {
        read += reader.next(1 << 20).await.unwrap().records.len();
    }
    wait(&registry, ahead, |records| records == 0.0).await;
    wait(&registry, lag, |records| records == 0.0).await;

    drop(reader);
    engine.close().await;
    let connections = r#"weirgate_kafka_broker_connections{broker="1",client="producer"}"#;
    wait(&registry, connections, |up| up == 0.0).await;
}
