//! The gateway's producer: idempotent, bounded, and in two lines.
//!
//! librdkafka counts what one client sends to each partition. Where a record times out it counts anew, for which it first
//! waits until nothing is in flight to any topic; what was may then be stored twice. So a topic that takes nothing stands in
//! the way of all others of its client. Dead letters have a client of their own, made when there is the first: neither does a
//! topic that takes no events hold letters up, nor does a dead-letter topic that takes none, which is tried again and again,
//! touch what is published.
//!
//! ```text
//! append ── budget ─┬─ line ── lane of the partition ── librdkafka's queue ── brokers ── delivery report ── batch ── answer
//!                   └─ line of dead letters ── …
//! ```

mod line;
mod reports;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{Producer as _, PurgeConfig};

use crate::event::{Clock, Timestamp, Topic};
use crate::log::{Append, Appending, Error};

use super::batch::{Batch, Budget};
use super::connection::{Connection, Watch};
use super::failure::OpenError;
use super::locked;
use super::metrics::Metrics;
use super::record::bytes_of;
use super::settings::Settings;

use self::line::{Line, Parts};
pub(super) use self::reports::publishing;

/// The producer.
#[derive(Debug)]
pub(super) struct Producer {
    /// For all but dead letters; its client says whether the cluster is there.
    published: Line,
    /// For dead letters; empty where its client could not be made, and the other serves them.
    letters: OnceLock<Option<Line>>,
    parts: Parts,
    budget: Arc<Budget>,
    clock: Clock,
    record_bytes_max: usize,
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

impl Producer {
    pub(super) fn start(
        settings: &Settings,
        connection: &Arc<Connection>,
        metrics: &Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let parts = Parts {
            config: settings.producer(),
            connection: Arc::clone(connection),
            limits: Arc::default(),
            metrics: Arc::clone(metrics),
            is_closing: Arc::default(),
        };
        Ok(Self {
            published: Line::start(parts.clone(), Watch::leading(Arc::clone(connection), "producer"))?,
            letters: OnceLock::new(),
            parts,
            budget: Arc::new(Budget::new(settings.config().queue_bytes_max, Arc::clone(metrics))),
            clock,
            record_bytes_max: settings.record_bytes_max(),
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
        let line = if topic.is_dead_letters() { self.letters() } else { &self.published };
        let size = (records.len(), bytes);
        match Batch::begin((topic, partition), size, self.record_bytes_max, now, &self.budget, answer) {
            Ok(batch) => line.send(&batch, &records, now),
            Err(answer) => drop(answer.send(Err(Error::Overloaded))),
        }
        appending
    }

    /// The line of dead letters. The first letter waits here until its client is made, some milliseconds.
    fn letters(&self) -> &Line {
        let start = || {
            let watch = Watch::of(Arc::clone(&self.parts.connection), "dead-letters");
            let started = Line::start(self.parts.clone(), watch);
            started
                .inspect_err(|error| tracing::error!(%error, "no producer can be made for dead letters"))
                .ok()
        };
        self.letters.get_or_init(start).as_ref().unwrap_or(&self.published)
    }

    /// The lines there are.
    fn lines(&self) -> impl Iterator<Item = &Line> {
        std::iter::once(&self.published).chain(self.letters.get().and_then(Option::as_ref))
    }

    /// What topics take.
    pub(super) const fn limits(&self) -> &Arc<Limits> {
        &self.parts.limits
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
        if self.parts.is_closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if !self.parts.connection.is_up() {
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
        *locked(&self.parts.limits.by_topic) = limits;
    }

    /// Asks the cluster what it has; blocks. Its answer is what says that the cluster is there.
    pub(super) fn metadata(&self, patience: Duration) -> KafkaResult<Metadata> {
        let Some(client) = self.published.client() else { return Err(KafkaError::Canceled) };
        client.client().fetch_metadata(None, patience)
    }

    /// Gives up what waits to be sent: its outcome is unknown, since it may have been sent before.
    pub(super) fn purge(&self) {
        for client in self.lines().filter_map(Line::client) {
            client.purge(PurgeConfig::default().queue());
        }
    }

    /// Sends what was handed over, then ends; blocks for some seconds at most.
    pub(super) fn close(&self) {
        self.parts.is_closing.store(true, Ordering::Release);
        self.lines().for_each(Line::wait);
    }
}

impl Drop for Producer {
    /// Tells the threads to end, without waiting for them.
    fn drop(&mut self) {
        self.parts.is_closing.store(true, Ordering::Release);
    }
}

/// The cluster was seen to be away before the append was handed over.
#[derive(Debug, thiserror::Error)]
#[error("Kafka cannot be reached")]
pub(super) struct Away;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::{Append, Connection, Error, Metrics, Producer, Settings};
    use crate::event::{Clock, Offset, Partition, Topic};
    use crate::log::NewRecord;
    use crate::log_kafka::Config;
    use crate::telemetry::Registry;

    const LETTERS: &str = "dlq.t.g";

    fn append() -> Append {
        append_to("t", 0)
    }

    fn append_to(topic: &str, partition: u32) -> Append {
        let record = NewRecord { value: Some("value".into()), ..NewRecord::default() };
        let (topic, partition) = (Topic::parse(topic).unwrap(), Partition::new(partition));
        Append { topic, partition, records: vec![record] }
    }

    /// Has one topic's client begin anew while a broker that stands still owes it an answer. What goes to the other topic
    /// does not wait for that.
    async fn passes_by(one: &str, other: &str) {
        let mock = MockCluster::new(2).unwrap();
        mock.create_topic(one, 2, 1).unwrap();
        mock.create_topic(other, 1, 1).unwrap();
        for (topic, partition, leader) in [(one, 0, 1), (one, 1, 2), (other, 0, 2)] {
            mock.partition_leader(topic, partition, Some(leader)).unwrap();
        }
        let metrics = Arc::new(Metrics::register(&Registry::new()));
        let (delivery_timeout, later) = (Duration::from_secs(6), Duration::from_secs(5));
        let config = Config { delivery_timeout, ..Config::of(vec![mock.bootstrap_servers()]) };
        let settings = Settings::new(config).unwrap();
        let connection = Arc::new(Connection::new(&[], Arc::clone(&metrics)));
        connection.saw_up();
        let producer = Producer::start(&settings, &connection, &metrics, Clock::system()).unwrap();
        for append in [append_to(one, 0), append_to(one, 1), append_to(other, 0)] {
            assert!(producer.append(append).await.is_ok());
        }

        let too_few = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
        mock.request_errors(RDKafkaApiKey::Produce, &[too_few; 200]);
        mock.broker_round_trip_time(1, Duration::from_secs(60)).unwrap();
        let mut refused = producer.append(append_to(one, 1));
        let early = tokio::time::timeout(later, &mut refused).await;
        assert!(early.is_err(), "it is tried for longer");
        // Given up `later` than the other.
        let _unanswered = producer.append(append_to(one, 0));
        assert!(matches!(refused.await, Err(Error::OutcomeUnknown)));
        mock.clear_request_errors(RDKafkaApiKey::Produce);
        let stored = tokio::time::timeout(Duration::from_secs(3), producer.append(append_to(other, 0))).await;
        assert!(stored.expect("it waits for no answer but its own").is_ok());
    }

    #[tokio::test]
    async fn a_topic_that_takes_nothing_does_not_hold_dead_letters_up() {
        passes_by("t", LETTERS).await;
    }

    #[tokio::test]
    async fn a_dead_letter_topic_that_takes_nothing_does_not_hold_publishing_up() {
        passes_by(LETTERS, "t").await;
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
