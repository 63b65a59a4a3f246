//! A transactional producer, and one transaction after the other on it. Everything here blocks.
//!
//! ```text
//! begin ── records ── delivery reports ── their places are judged ── commit
//! ```
//! Until the commit is asked for, surely nothing is stored, whatever goes wrong: a transaction that nobody commits is
//! aborted, by the next client of the same id or when its time is over. From then on only the answer tells.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use tokio::time::Instant;

use crate::event::{Offset, Partition, Timestamp, Topic};
use crate::log::{Append, Appended, Error, NewRecord};

use super::batch::appended;
use super::connection::{Connection, Watch};
use super::failure::{delivery, refusal, unavailable};
use super::producer::Limits;
use super::record::{broker_time, bytes_of, native_bytes, native_record, offset};
use super::settings::Settings;
use super::{locked, native};

/// How long one look for delivery reports lasts. librdkafka's own wait before a commit looks for 100 ms at a time, and so
/// would every transaction last.
const POLL: Duration = Duration::from_millis(1);
/// How long an abort may take before the client is given up instead.
const ABORT_MAX: Duration = Duration::from_secs(2);

/// A client that writes in transactions, alone under its id.
pub(super) struct Transactor {
    client: BaseProducer<Context>,
    limits: Arc<Limits>,
    record_bytes_max: usize,
}

/// Why a transaction came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// Surely nothing was stored. The client is of no more use: after a record was refused librdkafka purges later ones,
    /// also where the transaction was aborted. Its transaction may be open.
    Broken(Error),
    /// Another one appended meanwhile. Surely nothing was stored, and the client goes on.
    Overtaken,
    /// Whether it was stored is not known; the client is of no more use, and its transaction may be open.
    Unknown,
}

impl Transactor {
    /// Connects, and ends whatever a client of the same id left open.
    pub(super) fn open(
        settings: &Settings,
        id: &str,
        connection: &Arc<Connection>,
        limits: &Arc<Limits>,
        deadline: Instant,
    ) -> KafkaResult<Self> {
        let watch = Watch::of(Arc::clone(connection), "transactions");
        let context = Context { watch, reports: Mutex::default() };
        let client: BaseProducer<Context> = settings.transactional(id).create_with_context(context)?;
        client.init_transactions(left(deadline))?;
        Ok(Self { client, limits: Arc::clone(limits), record_bytes_max: settings.record_bytes_max() })
    }

    /// Where a partition ends, whether or not readers may see that far yet.
    pub(super) fn end(&self, topic: &Topic, partition: Partition, deadline: Instant) -> KafkaResult<Offset> {
        let (_, end) =
            self.client.client().fetch_watermarks(topic.as_str(), native(partition), left(deadline))?;
        Ok(offset(end))
    }

    /// Appends in one transaction, as of `now`. With `at` only where the first record gets exactly this place.
    pub(super) fn append(
        &self,
        appends: &[Append],
        at: Option<Offset>,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Vec<Appended>, Failure> {
        self.client.begin_transaction().map_err(|error| Failure::Broken(unavailable(error)))?;
        let appended = self.hand_over(appends, now, deadline).map_err(Failure::Broken)?;
        let base = appended.first().map(|appended| appended.base);
        if at.is_some() && at != base {
            let aborted = self.client.abort_transaction(ABORT_MAX);
            return Err(
                aborted.map_or_else(|error| Failure::Broken(unavailable(error)), |()| Failure::Overtaken)
            );
        }
        self.commit(deadline)?;
        Ok(appended)
    }

    /// Sends records and waits until the brokers have them, though nobody sees them yet.
    fn hand_over(
        &self,
        appends: &[Append],
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Vec<Appended>, Error> {
        locked(&self.client.context().reports).clear();
        for (index, append) in appends.iter().enumerate() {
            for record in &append.records {
                self.send(index, append, record, now)?;
            }
        }
        while self.client.in_flight_count() > 0 {
            if Instant::now() >= deadline {
                return Err(unavailable(Slow));
            }
            self.client.poll(POLL);
        }
        let reports = std::mem::take(&mut *locked(&self.client.context().reports));
        let told = |(index, append)| self.told(index, append, &reports, now);
        appends.iter().enumerate().map(told).collect()
    }

    fn send(&self, index: usize, append: &Append, record: &NewRecord, now: Timestamp) -> Result<(), Error> {
        let native = native_record((&append.topic, append.partition), record, now, index);
        self.client.send(native).map_err(|(error, _)| {
            refusal(error, &append.topic, append.partition, (bytes_of(record), self.record_bytes_max))
        })
    }

    /// What was reported of one append's records.
    fn told(
        &self,
        index: usize,
        append: &Append,
        reports: &[Report],
        now: Timestamp,
    ) -> Result<Appended, Error> {
        let (mut offsets, mut time) = (Vec::with_capacity(append.records.len()), None);
        for report in reports.iter().filter(|report| report.index == index) {
            match &report.stored {
                Ok(stored) => {
                    offsets.push(stored.offset);
                    time = time.or(stored.time);
                }
                Err((error, bytes)) => {
                    let size = (*bytes, self.limits.of(&append.topic, self.record_bytes_max));
                    return Err(match delivery(error.clone(), &append.topic, append.partition, size) {
                        // Of a transaction that is not committed nothing is stored.
                        Error::OutcomeUnknown => unavailable(error.clone()),
                        error => error,
                    });
                }
            }
        }
        let is_whole = offsets.len() == append.records.len();
        let appended = appended(&offsets, time.unwrap_or(now)).filter(|_| is_whole);
        appended.ok_or_else(|| unavailable(Placeless))
    }

    fn commit(&self, deadline: Instant) -> Result<(), Failure> {
        loop {
            match self.client.commit_transaction(left(deadline)) {
                Ok(()) => return Ok(()),
                Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                    return Err(Failure::Broken(unavailable(KafkaError::Transaction(error))));
                }
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {
                    self.client.poll(POLL);
                }
                Err(error) => {
                    tracing::debug!(%error, "the end of a transaction is not known");
                    return Err(Failure::Unknown);
                }
            }
        }
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// The cluster did not take the records of a transaction in time.
#[derive(Debug, thiserror::Error)]
#[error("Kafka did not take a transaction in time")]
struct Slow;

/// The cluster has a record, but does not say where.
#[derive(Debug, thiserror::Error)]
#[error("Kafka did not tell where a record lies")]
struct Placeless;

/// What the client calls back.
struct Context {
    watch: Watch,
    /// Guards what was reported of the transaction's records, in their order.
    reports: Mutex<Vec<Report>>,
}

/// What became of one record.
struct Report {
    /// The append it belongs to.
    index: usize,
    /// With the error its bytes.
    stored: Result<Stored, (KafkaError, usize)>,
}

struct Stored {
    offset: i64,
    /// The broker's time, where it sets one.
    time: Option<Timestamp>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.watch.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        let stored = match result {
            Ok(message) => Ok(Stored { offset: message.offset(), time: broker_time(message) }),
            Err((error, message)) => Err((error.clone(), native_bytes(message))),
        };
        locked(&self.reports).push(Report { index, stored });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Code};
    use tokio::time::Instant;

    use super::{Append, Connection, Error, Failure, NewRecord, Offset, Settings, Timestamp, Transactor};
    use crate::event::{Partition, Topic};
    use crate::log_kafka::Config;
    use crate::log_kafka::metrics::Metrics;
    use crate::telemetry::Registry;

    type Mock = MockCluster<'static, rdkafka::producer::DefaultProducerContext>;

    fn mock() -> (Mock, Transactor) {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("t", 1, 1).unwrap();
        let client = open(&mock, "id");
        (mock, client)
    }

    fn open(mock: &Mock, id: &str) -> Transactor {
        let settings = Settings::new(Config::of(vec![mock.bootstrap_servers()])).unwrap();
        let metrics = Arc::new(Metrics::register(&Registry::new()));
        let connection = Arc::new(Connection::new(&[], metrics));
        Transactor::open(&settings, id, &connection, &Arc::default(), soon(20_000)).unwrap()
    }

    fn soon(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    fn append(client: &Transactor, at: Option<u64>, millis: u64) -> Result<Offset, Failure> {
        let record = NewRecord { value: Some("value".into()), ..NewRecord::default() };
        let (topic, partition) = (Topic::parse("t").unwrap(), Partition::new(0));
        let appends = [Append { topic, partition, records: vec![record] }];
        let now = Timestamp::from_millis(1);
        let appended = client.append(&appends, at.map(Offset::new), now, soon(millis));
        appended.map(|appended| appended[0].base)
    }

    #[test]
    fn a_refused_record_ends_its_transaction() {
        let (mock, client) = mock();
        mock.request_errors(Api::Produce, &[Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
        let refused = append(&client, None, 10_000);
        // It is small: only what was sent with it can have been too much.
        assert!(matches!(refused, Err(Failure::Broken(Error::Unavailable(_)))), "{refused:?}");
        drop(client);
        assert!(append(&open(&mock, "id"), None, 10_000).is_ok(), "its successor goes on");
    }

    #[test]
    fn what_comes_to_lie_elsewhere_is_not_committed() {
        let (_mock, client) = mock();
        assert!(matches!(append(&client, Some(3), 10_000), Err(Failure::Overtaken)));
        let place = append(&client, None, 10_000).unwrap();
        let overtaken = append(&client, Some(place.number()), 10_000);
        assert!(matches!(overtaken, Err(Failure::Overtaken)), "{overtaken:?}");
    }

    #[test]
    fn a_commit_that_is_not_answered_in_time_is_unknown() {
        let (mock, client) = mock();
        mock.request_errors(Api::EndTxn, &[Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS; 1_000]);
        let begun = Instant::now();
        let unknown = append(&client, None, 1_500);
        assert!(matches!(unknown, Err(Failure::Unknown)), "{unknown:?}");
        assert!(begun.elapsed() < Duration::from_secs(6));
    }

    #[test]
    fn a_commit_of_a_client_that_was_replaced_is_unknown() {
        let (mock, client) = mock();
        mock.request_errors(Api::EndTxn, &[Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
        let fenced = append(&client, None, 10_000);
        assert!(matches!(fenced, Err(Failure::Unknown)), "{fenced:?}");
        drop(client);
        assert!(append(&open(&mock, "id"), None, 10_000).is_ok(), "its successor goes on");
    }

    #[test]
    fn what_the_brokers_do_not_take_in_time_is_surely_not_stored() {
        let (mock, client) = mock();
        mock.broker_down(1).unwrap();
        let begun = Instant::now();
        let broken = append(&client, None, 500);
        assert!(matches!(broken, Err(Failure::Broken(Error::Unavailable(_)))), "{broken:?}");
        assert!(begun.elapsed() < Duration::from_secs(6));
    }
}
