//! What the way in works with, shared by all its handles, and the two ends of an append: hand-over and answer.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::auth::Authenticator;
use crate::event::{
    Clock, EventId, EventType, HeaderName, LiveCatalogue, Offset, Partition, Partitioner, Timestamp, Topic,
    Wire, partition_of,
};
use crate::log::{self, EventLog, NewRecord, TopicInfo};
use crate::schema::{Schemas, Violation};

use super::dedupe::{Dedupe, Ending, Reservation, Seen};
use super::identity::Place;
use super::judge::{Judged, Labels};
use super::metrics::Metrics;
use super::queue::Queue;
use super::quota::Quotas;
use super::resolve::{Content, Lookup, Resolved};
use super::sightings::{Expected, Sightings};
use super::spread::Spread;
use super::violators::Violators;
use super::{Checked, Config, Error, Memory, Outcome, Published, Queued, Receipt};

/// What the way in works with.
#[derive(Debug)]
pub(super) struct Parts {
    /// A reload replaces it; windows and queues keep what they began with.
    pub(super) config: ArcSwap<Config>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) catalogue: LiveCatalogue,
    pub(super) schemas: Schemas,
    pub(super) authenticator: Authenticator,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) dedupe: Dedupe,
    /// How far it knows what others told; all there is to know until it is shared.
    pub(super) memory: watch::Sender<Memory>,
    pub(super) queue: Queue,
    pub(super) quotas: Quotas,
    pub(super) violators: Violators,
    pub(super) sightings: Sightings,
    pub(super) spread: Spread,
    pub(super) names: Names,
    /// How many searches for events of unknown outcome run at once.
    pub(super) searches: Semaphore,
    /// Waits for the log's answers that outlive whoever asked.
    pub(super) tasks: TaskTracker,
    /// Where they run: callers' runtimes end before the drain counts what was lost.
    pub(super) runtime: Handle,
}

/// Header names written for every event that has them, made once.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) traceparent: HeaderName,
    pub(super) tracestate: HeaderName,
    pub(super) value_schema_id: HeaderName,
    pub(super) schema_id: HeaderName,
}

impl Names {
    /// The name of the header that names the schema, where a topic's records name it in one.
    pub(super) fn of_schema(&self, wire: Wire) -> HeaderName {
        Arc::clone(match wire {
            Wire::None => &self.schema_id,
            Wire::Prefix | Wire::Header => &self.value_schema_id,
        })
    }
}

/// What remains of an event once its record is the log's, until the log answers.
#[derive(Debug)]
pub(super) struct Handed {
    event_id: EventId,
    event_type: EventType,
    topic: Topic,
    partition: Partition,
    labels: Labels,
    correlation_id: Option<Arc<str>>,
    warnings: Vec<Violation>,
    /// To be remembered of its type once it is stored.
    expected: Option<Expected>,
    started: Instant,
    at: Timestamp,
    /// The entry to be settled, and the record to look for if the answer never comes.
    entry: Option<(Reservation, NewRecord)>,
}

/// Whether anybody was told that an event was queued before the log had answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    Queued,
}

impl Handed {
    /// Splits an event into the record to append and what remains.
    pub(super) fn new(
        judged: Judged,
        partition: Partition,
        reservation: Option<Reservation>,
        (started, at): (Instant, Timestamp),
    ) -> (NewRecord, Self) {
        let entry = reservation.map(|reservation| (reservation, judged.record.clone()));
        let handed = Self {
            event_id: judged.event_id,
            event_type: judged.event_type,
            topic: judged.rule.topic.clone(),
            partition,
            labels: judged.labels,
            correlation_id: judged.correlation_id,
            warnings: judged.warnings,
            expected: judged.expected,
            started,
            at,
            entry,
        };
        (judged.record, handed)
    }

    pub(super) const fn event_id(&self) -> &EventId {
        &self.event_id
    }

    /// Marks that the log has the record in its hands.
    pub(super) const fn hand_over(mut self) -> Self {
        if let Some((reservation, _)) = &mut self.entry {
            reservation.hand_over();
        }
        self
    }

    /// Takes an event back before its hand-over. Answers its id.
    pub(super) fn abort(self, parts: &Parts) -> EventId {
        parts.count(&self.labels, "aborted");
        self.event_id
    }
}

impl Parts {
    /// Runs a wait for the log's answer that must not end with its caller.
    pub(super) fn attend<F>(&self, attendance: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn_on(attendance, &self.runtime)
    }

    /// Gives an event its answer: counts it, settles its entry, says what became of it.
    pub(super) fn settle(
        &self,
        handed: Handed,
        answer: Result<(Offset, Timestamp), log::Error>,
        told: Told,
    ) -> Result<Published, Error> {
        self.metrics.duration.observe(handed.started.elapsed().as_secs_f64());
        match answer {
            Ok((offset, timestamp)) => Ok(self.settle_stored(handed, offset, timestamp, told)),
            Err(error) => {
                if told == Told::Queued {
                    self.metrics.unconfirmed_lost.inc();
                }
                Err(self.settle_failed(handed, error))
            }
        }
    }

    fn settle_stored(&self, handed: Handed, offset: Offset, timestamp: Timestamp, told: Told) -> Published {
        let Handed { event_id, event_type, topic, partition, labels, warnings, .. } = handed;
        if let Some((reservation, _)) = handed.entry {
            reservation.end(&Ending::Stored(Place { partition, offset, timestamp }));
        }
        self.metrics.events_published.with_label_values(&[labels.event_type(), labels.topic()]).inc();
        if let Some(expected) = handed.expected {
            expected.stored(self.clock.now());
        }
        tracing::debug!(
            eventId = %event_id,
            eventType = %event_type,
            topic = %topic,
            correlationId = handed.correlation_id.as_deref(),
            "Event published"
        );
        let is_durable = self.config.load().answers_are_durable;
        if told == Told::Nothing {
            self.count(&labels, if is_durable { "accepted" } else { "queued" });
        }
        let outcome = if is_durable {
            Outcome::Accepted(Receipt { event_id, topic, partition, offset, timestamp })
        } else {
            Outcome::Queued(Queued { event_id, topic, partition, offset: Some(offset) })
        };
        Published { outcome, warnings }
    }

    fn settle_failed(&self, handed: Handed, error: log::Error) -> Error {
        let is_unknown = matches!(error, log::Error::OutcomeUnknown);
        self.count(&handed.labels, if is_unknown { "unknown" } else { "failed" });
        if let Some((reservation, record)) = handed.entry {
            if is_unknown {
                self.metrics.dedupe_unknown.inc();
                let content = Content::new(record.key.as_ref(), record.value.as_ref(), &record.headers);
                let value_bytes = record.value.as_ref().map_or(0, bytes::Bytes::len);
                let lookup = Lookup::new(handed.topic, handed.partition, handed.at, content, value_bytes);
                reservation.end(&Ending::Unknown(Arc::new(lookup)));
            } else {
                reservation.end(&Ending::NotStored(error.clone()));
            }
        }
        if is_unknown { Error::OutcomeUnknown { event_id: Some(handed.event_id) } } else { error.into() }
    }

    /// The answer for one who does not wait for the log's.
    pub(super) fn queued(&self, handed: &mut Handed) -> Published {
        self.count(&handed.labels, "queued");
        let queued = Queued {
            event_id: handed.event_id.clone(),
            topic: handed.topic.clone(),
            partition: handed.partition,
            offset: None,
        };
        Published { outcome: Outcome::Queued(queued), warnings: std::mem::take(&mut handed.warnings) }
    }

    /// The answer for an event that was stored before.
    pub(super) fn duplicate(&self, judged: &Judged, place: Place) -> Published {
        self.metrics.duplicates.inc();
        self.count(&judged.labels, "duplicate");
        let Place { partition, offset, timestamp } = place;
        let (event_id, topic) = (judged.event_id.clone(), judged.rule.topic.clone());
        let receipt = Receipt { event_id, topic, partition, offset, timestamp };
        Published { outcome: Outcome::Duplicate(receipt), warnings: judged.warnings.clone() }
    }

    /// The answer to a dry run of one event.
    pub(super) fn check_only(&self, judged: Judged) -> Result<Published, Error> {
        match judged.identity {
            Some((key, fingerprint)) if self.dedupe.look(key, fingerprint) == Seen::Other => {
                Err(self.refused(&judged.labels, self.conflict(judged.event_id)))
            }
            Some(_) | None => Ok(self.checked(judged)),
        }
    }

    /// The answer to a dry run, its id being free.
    pub(super) fn checked(&self, judged: Judged) -> Published {
        self.count(&judged.labels, "checked");
        let Judged { rule, record, .. } = judged;
        let template = self.config.load().topics_auto_create.map(|template| template.partitions);
        let partitions = judged.info.map(|info| info.spec.partitions).or(template);
        let by_key = match (rule.partitioner, &record.key, partitions) {
            (Partitioner::Murmur2, Some(key), Some(partitions)) => Some(partition_of(key, partitions)),
            (Partitioner::Murmur2 | Partitioner::RoundRobin | Partitioner::Random, _, _) => None,
        };
        let checked = Checked {
            event_id: judged.is_id_stable.then_some(judged.event_id),
            topic: rule.topic.clone(),
            partition: judged.partition.or(by_key),
            key: record.key,
            schema_id: judged.schema_id,
        };
        Published { outcome: Outcome::Checked(checked), warnings: judged.warnings }
    }

    /// The error of an id that was used for other bytes.
    pub(super) fn conflict(&self, event_id: EventId) -> Error {
        self.metrics.conflicts.inc();
        Error::Conflict { event_id }
    }

    /// Counts an event that is refused, and hands the reason on.
    pub(super) fn refused(&self, labels: &Labels, error: Error) -> Error {
        self.count_refused(labels, &error);
        error
    }

    /// Counts an event that is refused.
    pub(super) fn count_refused(&self, labels: &Labels, error: &Error) {
        let is_callers = error.fault() == log::Fault::Caller;
        self.count(labels, if is_callers { "refused" } else { "failed" });
    }

    pub(super) fn count(&self, labels: &Labels, outcome: &str) {
        self.metrics.requests.with_label_values(&[labels.topic(), outcome]).inc();
    }

    /// Takes from the principal's quota.
    pub(super) fn take_quota(&self, principal: &str, events: usize, bytes: u64) -> Result<(), Error> {
        self.quotas.take(principal, events as u64, bytes).map_err(|exhausted| Error::RateLimited {
            retry_after: exhausted.retry_after,
            used: Box::new(exhausted.used),
        })
    }

    /// Looks an event of unknown outcome up in the log.
    pub(super) async fn search(&self, lookup: &Lookup) -> Resolved {
        let Ok(_permit) = self.searches.acquire().await else { return Resolved::StillUnknown };
        let resolved = lookup.search(&self.log).await;
        let result = match resolved {
            Resolved::Stored(_) => "stored",
            Resolved::NotStored => "not_stored",
            Resolved::StillUnknown => "unknown",
        };
        self.metrics.dedupe_resolved.with_label_values(&[result]).inc();
        resolved
    }

    /// Makes a topic for its first event.
    pub(super) async fn make_topic(&self, topic: &Topic) -> Result<Arc<TopicInfo>, Error> {
        if let Some(info) = self.log.topic(topic) {
            return Ok(info);
        }
        let Some(template) = self.config.load().topics_auto_create else {
            return Err(log::Error::UnknownTopic(topic.clone()).into());
        };
        let spec = log::TopicSpec {
            name: topic.clone(),
            partitions: template.partitions,
            cleanup: log::Cleanup::Delete,
            retention: template.retention,
            retention_bytes: None,
        };
        let info = self.log.ensure_topic(&spec).await?;
        self.metrics.topics_created.inc();
        tracing::info!(%topic, partitions = info.spec.partitions, "topic created by its first event");
        Ok(Arc::new(info))
    }
}
