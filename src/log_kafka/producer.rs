//! The gateway's one producer: idempotent, served by a thread of its own, and made anew after a fatal error.
//!
//! ```text
//! append ── lane of the partition ── librdkafka's queue ── brokers ── delivery report (thread) ── batch ── answer
//! ```

mod reports;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, Producer as _, PurgeConfig};
use tokio::time::Instant;

use crate::event::{Clock, Timestamp, Topic};
use crate::log::{Append, Appending, Error, NewRecord};

use super::batch::{Batch, Budget};
use super::connection::{Connection, Watch};
use super::failure::{OpenError, refusal};
use super::locked;
use super::metrics::Metrics;
use super::record::{bytes_of, native_record};
use super::settings::Settings;

use self::reports::Context;
pub(super) use self::reports::publishing;

type Client = BaseProducer<Context>;

/// How long one look for delivery reports lasts; it ends the thread's pauses, not a report's wait.
const POLL: Duration = Duration::from_millis(100);
/// How long the end waits for what is in flight.
const FLUSH_MAX: Duration = Duration::from_secs(3);
const LANES: usize = 64;

/// The producer.
#[derive(Debug)]
pub(super) struct Producer {
    worker: Arc<Worker>,
    budget: Arc<Budget>,
    connection: Arc<Connection>,
    clock: Clock,
    record_bytes_max: usize,
    /// Guards the order of a partition's records while an append is handed over.
    lanes: Vec<Mutex<()>>,
    hasher: RandomState,
    /// The serving thread, until it was waited for.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the serving thread works on.
struct Worker {
    /// The client in use; `None` after the end. Held while a few records are handed over, and to replace it.
    client: RwLock<Option<Arc<Client>>>,
    config: ClientConfig,
    connection: Arc<Connection>,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    is_closing: AtomicBool,
}

/// The largest record of each topic whose brokers take less than the gateway does.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Guards the limits.
    by_topic: Mutex<HashMap<Topic, usize>>,
}

impl Limits {
    /// A topic's limit, where the gateway itself takes so many bytes.
    pub(super) fn of(&self, topic: &Topic, own: usize) -> usize {
        locked(&self.by_topic).get(topic).map_or(own, |bytes_max| own.min(*bytes_max))
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Worker")
    }
}

impl Producer {
    pub(super) fn start(
        settings: &Settings,
        connection: &Arc<Connection>,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let (config, limits) = (settings.producer(), Arc::<Limits>::default());
        let worker = Arc::new(Worker {
            client: RwLock::new(Some(Arc::new(client(&config, connection, &limits)?))),
            config,
            connection: Arc::clone(connection),
            limits,
            metrics: Arc::clone(metrics),
            is_closing: AtomicBool::new(false),
        });
        let working = Arc::clone(&worker);
        let thread =
            std::thread::Builder::new().name("kafka-producer".to_owned()).spawn(move || working.run());
        Ok(Self {
            worker,
            budget: Arc::new(Budget::new(settings.config().queue_bytes_max, Arc::clone(metrics))),
            connection: Arc::clone(connection),
            clock,
            record_bytes_max: settings.record_bytes_max(),
            lanes: (0..LANES).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
            thread: Mutex::new(Some(thread.map_err(OpenError::Thread)?)),
        })
    }

    /// Hands an append over whose place exists.
    pub(super) fn append(&self, append: Append) -> Appending {
        if let Err(error) = self.check(&append) {
            return Appending::refused(error);
        }
        let Append { topic, partition, records } = append;
        let bytes = records.iter().map(bytes_of).sum();
        let (answer, appending) = Appending::channel();
        let now = self.clock.now();
        let lane = self.hasher.hash_one((&topic, partition));
        let size = (records.len(), bytes);
        let begun = Batch::begin((topic, partition), size, self.record_bytes_max, now, &self.budget, answer);
        match begun {
            Ok(batch) => {
                let lane = usize::try_from(lane % LANES as u64).ok().and_then(|lane| self.lanes.get(lane));
                let _turn = lane.map(locked);
                self.worker.send(&batch, &records, now);
            }
            Err(answer) => drop(answer.send(Err(Error::Overloaded))),
        }
        appending
    }

    /// What topics take.
    pub(super) fn limits(&self) -> &Arc<Limits> {
        &self.worker.limits
    }

    /// The bytes that may be in flight at once, in transactions and without.
    pub(super) const fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The time of an append.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether an append can be handed over now.
    pub(super) fn check(&self, append: &Append) -> Result<(), Error> {
        if self.worker.is_closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if !self.connection.is_up() {
            return Err(Error::Unavailable(Arc::new(Away)));
        }
        let bytes_max = self.record_bytes_max;
        match append.records.iter().map(bytes_of).find(|bytes| *bytes > bytes_max) {
            Some(bytes) => Err(Error::RecordTooLarge { bytes, bytes_max }),
            None => Ok(()),
        }
    }

    /// Takes over the largest record of each topic.
    pub(super) fn learn_limits(&self, limits: HashMap<Topic, usize>) {
        *locked(&self.worker.limits.by_topic) = limits;
    }

    /// Asks the cluster what it has; blocks. Its answer is what says that the cluster is there.
    pub(super) fn metadata(&self, patience: Duration) -> KafkaResult<Metadata> {
        let Some(client) = self.worker.client() else { return Err(KafkaError::Canceled) };
        client.client().fetch_metadata(None, patience)
    }

    /// Gives up what waits to be sent: its outcome is unknown, since it may have been sent before.
    pub(super) fn purge(&self) {
        if let Some(client) = self.worker.client() {
            client.purge(PurgeConfig::default().queue());
        }
    }

    /// Sends what was handed over, then ends; blocks for some seconds at most.
    pub(super) fn close(&self) {
        self.worker.is_closing.store(true, Ordering::Release);
        if let Some(thread) = locked(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the Kafka producer panicked");
        }
    }
}

impl Drop for Producer {
    /// Tells the thread to end, without waiting for it.
    fn drop(&mut self) {
        self.worker.is_closing.store(true, Ordering::Release);
    }
}

/// The cluster was seen to be away before the append was handed over.
#[derive(Debug, thiserror::Error)]
#[error("Kafka cannot be reached")]
pub(super) struct Away;

impl Worker {
    fn client(&self) -> Option<Arc<Client>> {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn send(&self, batch: &Arc<Batch>, records: &[NewRecord], now: Timestamp) {
        // Held, not cloned: the last handle must never be dropped here, since that blocks.
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner);
        let Some(client) = client.as_deref() else { return batch.failed(Error::Closed, records.len()) };
        for (sent, record) in records.iter().enumerate() {
            let native = native_record((&batch.topic, batch.partition), record, now, Arc::clone(batch));
            if let Err((error, _)) = client.send(native) {
                let size = (bytes_of(record), batch.record_bytes_max);
                let error = refusal(error, &batch.topic, batch.partition, size);
                return batch.failed(error, records.len() - sent);
            }
        }
    }

    /// Serves delivery reports until the end.
    fn run(&self) {
        while !self.is_closing.load(Ordering::Acquire) {
            let Some(client) = self.client() else { return };
            client.poll(POLL);
            if let Some((code, reason)) = client.client().fatal_error() {
                tracing::error!(?code, reason, "the Kafka producer failed for good; a new one takes over");
                drop(client);
                self.renew();
            }
        }
        if let Some(client) = self.replace(None) {
            flush(&client);
        }
    }

    /// Puts a new client in place; all that the old one holds counts as unknown.
    fn renew(&self) {
        match client(&self.config, &self.connection, &self.limits) {
            Ok(client) => {
                self.metrics.producer_recreations.inc();
                // Dropping it reports what it holds as purged.
                drop(self.replace(Some(Arc::new(client))));
            }
            Err(error) => tracing::error!(%error, "no new Kafka producer can be made; it is tried again"),
        }
    }

    fn replace(&self, client: Option<Arc<Client>>) -> Option<Arc<Client>> {
        std::mem::replace(&mut *self.client.write().unwrap_or_else(PoisonError::into_inner), client)
    }
}

fn client(
    config: &ClientConfig,
    connection: &Arc<Connection>,
    limits: &Arc<Limits>,
) -> Result<Client, KafkaError> {
    let watch = Watch::leading(Arc::clone(connection), "producer").measured();
    config.create_with_context(Context {
        watch,
        connection: Arc::clone(connection),
        limits: Arc::clone(limits),
    })
}

fn flush(client: &Client) {
    let deadline = Instant::now() + FLUSH_MAX;
    while client.in_flight_count() > 0 && Instant::now() < deadline {
        client.poll(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::{Append, Connection, Error, Metrics, NewRecord, Producer, Settings};
    use crate::event::{Clock, Offset, Partition, Topic};
    use crate::log_kafka::Config;
    use crate::telemetry::Registry;

    fn append() -> Append {
        let record = NewRecord { value: Some("value".into()), ..NewRecord::default() };
        Append { topic: Topic::parse("t").unwrap(), partition: Partition::new(0), records: vec![record] }
    }

    #[tokio::test]
    async fn after_a_fatal_error_a_new_producer_takes_over() {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("t", 1, 1).unwrap();
        let refusal = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED];
        mock.request_errors(RDKafkaApiKey::InitProducerId, &refusal);
        let metrics = Arc::new(Metrics::register(&Registry::new()));
        let settings = Settings::new(Config::of(vec![mock.bootstrap_servers()])).unwrap();
        let connection = Arc::new(Connection::new(&[], Arc::clone(&metrics)));
        connection.saw_up();
        let producer = Producer::start(&settings, &connection, &metrics, Clock::system()).unwrap();

        let failed = producer.append(append()).await;
        assert!(matches!(failed, Err(Error::OutcomeUnknown | Error::Unavailable(_))), "{failed:?}");
        let goes_on = async {
            let mut interval = tokio::time::interval(Duration::from_millis(10));
            loop {
                interval.tick().await;
                if let Ok(appended) = producer.append(append()).await {
                    return appended.base;
                }
            }
        };
        let base = tokio::time::timeout(Duration::from_secs(20), goes_on).await.expect("it goes on");
        assert_eq!(base, Offset::ZERO, "what failed before was not stored");
        assert_eq!(metrics.producer_recreations.get(), 1);
    }

    #[tokio::test]
    async fn while_the_cluster_is_away_nothing_is_taken() {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("t", 1, 1).unwrap();
        let metrics = Arc::new(Metrics::register(&Registry::new()));
        let settings = Settings::new(Config::of(vec![mock.bootstrap_servers()])).unwrap();
        let connection = Arc::new(Connection::new(&[], Arc::clone(&metrics)));
        let producer = Producer::start(&settings, &connection, &metrics, Clock::system()).unwrap();
        assert!(matches!(producer.append(append()).await, Err(Error::Unavailable(_))));
        connection.saw_up();
        assert!(producer.append(append()).await.is_ok());
        producer.close();
        assert!(matches!(producer.append(append()).await, Err(Error::Closed)));
    }
}
