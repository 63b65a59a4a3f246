//! The engine's handle: the port's traits on top of the producer, the reading clients, the members and the keeper.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::event::{Clock, GroupName, Offset, Partition as Number, Timestamp, Topic};
use crate::log::{
    Append, Appended, Appending, Bounds, Cleanup, Commit, Committed, Error, EventLog, GroupSubscription,
    Groups, Health, Membership, Purpose, Reader, TopicInfo, TopicSpec,
};
use crate::telemetry::Registry;

use super::admin::Admin;
use super::blocking::Blocking;
use super::connection::Connection;
use super::failure::unavailable;
use super::fetcher::Fetchers;
use super::keeper::{Keeper, Order};
use super::members::{self, Members};
use super::metrics::Metrics;
use super::offsets::{self, Offsets};
use super::producer::{Away, Producer};
use super::queries::Queries;
use super::reader::PartitionReader;
use super::settings::Settings;
use super::shared::{Shared, Wanted};
use super::topic_settings::AllTopicSettings;
use super::topics::Topics;
use super::writer::{self, Writer};
use super::writers::{self, Writers};
use super::{Config, OpenError, locked};

/// Requests to change topics that wait for the keeper.
const ORDERS_MAX: usize = 256;

/// Kafka as the gateway's log: [`EventLog`] and [`Groups`].
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Makes the engine; the cluster need not be there yet. Must be called within a Tokio runtime, which the engine's
    /// background work stays on.
    ///
    /// # Errors
    /// When a setting cannot be, by its name.
    pub fn open(config: Config, clock: Clock, registry: &Registry) -> Result<Arc<Self>, OpenError> {
        let metrics = Arc::new(Metrics::register(registry));
        let wanted = Wanted { topics: Vec::new(), topic_settings: config.topic_settings.clone() };
        let settings = Settings::new(config)?;
        let connection = Arc::new(Connection::new(&settings.config().brokers, Arc::clone(&metrics)));
        let (orders, ordered) = mpsc::channel(ORDERS_MAX);
        let (placed, placed_jobs) = writer::queue();
        let (batches, batch_jobs) = writers::queue();
        let shared = Arc::new(Shared {
            topics: Topics::default(),
            producer: Producer::start(&settings, &connection, &metrics, clock)
                .map_err(|error| settings.blamed(error))?,
            admin: Admin::new(&settings).map_err(|error| settings.blamed(error))?,
            queries: Queries::new(&settings, &connection).map_err(|error| settings.blamed(error))?,
            fetchers: Fetchers::new(&settings, &connection, &metrics),
            blocking: Blocking::new(Handle::current()),
            members: Members::default(),
            offsets: Offsets::default(),
            orders,
            placed,
            batches,
            closed: CancellationToken::new(),
            look: tokio::sync::Notify::new(),
            suspects: std::sync::Mutex::default(),
            wanted: std::sync::Mutex::new(wanted),
            protocol: tokio::sync::OnceCell::new(),
            is_classic: AtomicBool::new(false),
            settings,
            connection,
            metrics,
        });
        tokio::spawn(Keeper::new(Arc::clone(&shared), ordered).run());
        let id = shared.settings.transactional_id();
        tokio::spawn(Writers::new(Arc::clone(&shared), batch_jobs, id.clone()).run());
        tokio::spawn(Writer::new(Arc::clone(&shared), id).run(placed_jobs));
        Ok(Arc::new(Self { shared }))
    }

    /// Sends what was handed over, then lets go of the cluster. Later calls answer [`Error::Closed`].
    pub async fn close(&self) {
        let shared = Arc::clone(&self.shared);
        let flushed = self.shared.blocking.call(move || {
            shared.producer.close();
            drop(shared.offsets.take());
        });
        drop(flushed.await);
        self.shared.closed.cancel();
    }

    /// Says that all is there that the gateway needs: from now on the log is ready while the cluster answers.
    pub fn admit(&self) {
        self.shared.connection.admit();
    }

    #[cfg(test)]
    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Takes over what the configuration wants of topics. They are compared with the cluster's from now on.
    pub fn want(&self, topics: Vec<TopicSpec>, topic_settings: AllTopicSettings) {
        *locked(&self.shared.wanted) = Wanted { topics, topic_settings };
        self.shared.metrics.topic_drift.reset();
    }

    /// Makes a topic, or brings an existing one as near to this specification as it can come without losing anything.
    /// What stays different is told in the log and as a metric.
    ///
    /// # Errors
    /// What the cluster says; a temporary error while it has too few brokers.
    pub async fn keep_topic(&self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        self.order(|reply| Order::Keep(spec.clone(), reply)).await
    }

    /// Has the keeper do something.
    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Order,
    ) -> Result<T, Error> {
        self.shared.check()?;
        let (reply, answer) = oneshot::channel();
        self.shared.orders.send(order(reply)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Whether an append can be at all.
    fn check(&self, append: &Append) -> Result<(), Error> {
        self.shared.check()?;
        let topic = self.shared.topics.require(&append.topic)?;
        topic.partition(append.partition)?;
        if append.records.is_empty() {
            return Err(Error::NotSupported("an append without records"));
        }
        let is_compacted = topic.info.spec.cleanup == Cleanup::Compact;
        if is_compacted && append.records.iter().any(|record| record.key.is_none()) {
            return Err(Error::NotSupported("a record without a key in a compacted topic"));
        }
        Ok(())
    }
}

impl Drop for Engine {
    /// Ends the background work; what was handed over and not answered is unknown.
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

#[async_trait]
impl EventLog for Engine {
    fn topics(&self) -> Vec<TopicInfo> {
        self.shared.topics.all().iter().map(|topic| TopicInfo::clone(&topic.info)).collect()
    }

    fn topic(&self, topic: &Topic) -> Option<Arc<TopicInfo>> {
        self.shared.topics.get(topic).map(|topic| Arc::clone(&topic.info))
    }

    fn topics_known(&self) -> Result<(), Error> {
        if self.shared.connection.has_topics() { Ok(()) } else { Err(unavailable(Away)) }
    }

    fn topic_changes(&self) -> watch::Receiver<u64> {
        self.shared.topics.changes()
    }

    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        let known = self.shared.topics.get(&spec.name).filter(|topic| topic.info.spec == *spec);
        match known {
            Some(topic) => Ok(TopicInfo::clone(&topic.info)),
            None => self.order(|reply| Order::Ensure(spec.clone(), reply)).await,
        }
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<(), Error> {
        self.order(|reply| Order::Delete(topic.clone(), reply)).await
    }

    fn append(&self, append: Append) -> Appending {
        match self.check(&append) {
            Ok(()) => self.shared.producer.append(append),
            Err(error) => Appending::refused(error),
        }
    }

    async fn append_atomic(&self, appends: Vec<Append>) -> Result<Vec<Appended>, Error> {
        appends.iter().try_for_each(|append| self.check(append))?;
        if appends.is_empty() {
            return Ok(Vec::new());
        }
        writer::write(&self.shared, &self.shared.batches, appends, None).await
    }

    async fn append_at(&self, append: Append, end: Offset) -> Result<Appended, Error> {
        self.check(&append)?;
        let appended = writer::write(&self.shared, &self.shared.placed, vec![append], Some(end)).await?;
        appended.into_iter().next().ok_or(Error::OutcomeUnknown)
    }

    async fn reader(
        &self,
        topic: &Topic,
        partition: Number,
        from: Offset,
        purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error> {
        self.shared.check()?;
        let state = self.shared.topics.require(topic)?;
        state.partition(partition)?;
        let Bounds { start, end } = self.shared.bounds(topic, partition).await?;
        if from < start || from > end {
            return Err(Error::OffsetOutOfRange { offset: from, start, end });
        }
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(PartitionReader::new(shared, state, partition, (from, end), purpose)?))
    }

    async fn bounds(&self, topic: &Topic, partition: Number) -> Result<Bounds, Error> {
        self.shared.check()?;
        self.shared.topics.require(topic)?.partition(partition)?;
        self.shared.bounds(topic, partition).await
    }

    async fn offset_at(&self, topic: &Topic, partition: Number, time: Timestamp) -> Result<Offset, Error> {
        self.shared.check()?;
        self.shared.topics.require(topic)?.partition(partition)?;
        match self.shared.offset_at(topic, partition, time).await? {
            Some(offset) => Ok(offset),
            None => Ok(self.shared.bounds(topic, partition).await?.end),
        }
    }

    async fn delete_records(
        &self,
        topic: &Topic,
        partition: Number,
        before: Offset,
    ) -> Result<Bounds, Error> {
        let Bounds { start, end } = self.bounds(topic, partition).await?;
        if before > end {
            return Err(Error::OffsetOutOfRange { offset: before, start, end });
        }
        if before > start {
            self.shared.admin.delete_records(topic, partition, before).await?;
            self.shared.topics.require(topic)?.partition(partition)?.starts_at(before);
        }
        self.bounds(topic, partition).await
    }

    fn health(&self) -> Health {
        if self.shared.closed.is_cancelled() {
            let summary = "the log is closed";
            return Health::Unready { summary, detail: "the Kafka log is closed".to_owned() };
        }
        self.shared.connection.health()
    }
}

#[async_trait]
impl Groups for Engine {
    async fn join(&self, group: &GroupName, subscription: GroupSubscription) -> Result<Membership, Error> {
        members::join(&self.shared, group, &subscription).await
    }

    async fn committed(
        &self,
        group: &GroupName,
        topic: &Topic,
    ) -> Result<BTreeMap<Number, Committed>, Error> {
        offsets::committed(&self.shared, group, topic).await
    }

    async fn set_committed(&self, group: &GroupName, commits: Vec<Commit>) -> Result<(), Error> {
        offsets::set_committed(&self.shared, group, commits).await
    }

    async fn forget(&self, group: &GroupName) -> Result<(), Error> {
        offsets::forget(&self.shared, group).await
    }

    async fn groups(&self) -> Result<Vec<GroupName>, Error> {
        self.shared.check()?;
        let queries = self.shared.queries.clone();
        self.shared.blocking.look_up(move || queries.groups()).await?
    }
}
