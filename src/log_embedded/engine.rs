//! The engine's handle: the port's traits on top of the commit thread, the rings and the pool.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::event::{Clock, GroupName, Offset, Partition as Number, Record, Timestamp, Topic};
use crate::log::{
    Append, Appended, Appending, Bounds, Cleanup, Commit, Committed, Error, EventLog, GroupSubscription,
    Groups, Health, Membership, NewRecord, Purpose, Reader, TopicInfo, TopicSpec,
};
use crate::telemetry::Registry;

use super::batch::{Batch, Names};
use super::members::{Author, OffsetChange};
use super::partition::Partition;
use super::queue::{Control, Records, Work};
use super::reader::{PartitionReader, check, corrupt, failed};
use super::shared::Shared;
use super::storage::{Failure, FailureKind, Source};
use super::{Config, OpenError, group, locked, members, offsets, open};

/// The embedded log: [`EventLog`] and [`Groups`] in one directory.
///
/// A group has one member: joining it again ends the earlier membership with [`Error::NotMember`].
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    finishing: watch::Receiver<bool>,
    /// The commit thread, until it was waited for.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Opens the directory, making it when absent. Blocks on the disk: call it off the async threads.
    ///
    /// # Errors
    /// When another process has the directory, or what lies there is damaged or cannot be read.
    pub fn open(config: &Config, clock: Clock, registry: &Registry) -> Result<Arc<Self>, OpenError> {
        open::open(config, clock, registry).map(Arc::new)
    }

    pub(super) fn new(shared: Arc<Shared>, finishing: watch::Receiver<bool>, thread: JoinHandle<()>) -> Self {
        Self { shared, finishing, thread: Mutex::new(Some(thread)) }
    }

    /// Commits what was handed over, then closes the database and frees the directory. Later calls answer
    /// [`Error::Closed`].
    pub async fn close(&self) {
        self.shared.queue.close();
        // An error means that the thread is gone, which is as good.
        drop(self.finishing.clone().wait_for(|is_finished| *is_finished).await);
    }

    /// Closes, but waits no longer than until `deadline`; whether it has closed by then. If not, the disk does not answer:
    /// what it does with the last commit is left to it, as after a kill, and nobody waits for it any more.
    pub async fn close_by(&self, deadline: Instant) -> bool {
        let is_closed = timeout_at(deadline, self.close()).await.is_ok();
        if !is_closed {
            drop(locked(&self.thread).take());
        }
        is_closed
    }

    /// Looks for old records now rather than at the next interval; returns when none is left.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn maintain(&self) -> Result<(), Error> {
        self.shared.control(Control::Maintain).await
    }

    #[cfg(test)]
    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn partition(&self, topic: &Topic, number: Number) -> Result<Arc<Partition>, Error> {
        if self.shared.is_closed() {
            return Err(Error::Closed);
        }
        self.shared.topics.require(topic)?.partition(number).map(Arc::clone)
    }

    /// What `append` becomes in the queue, if it can be at all.
    fn records(&self, append: Append) -> Result<Records, Error> {
        let topic = self.shared.topics.require(&append.topic)?;
        let partition = Arc::clone(topic.partition(append.partition)?);
        if append.records.is_empty() {
            return Err(Error::NotSupported("an append without records"));
        }
        for record in &append.records {
            self.check(&topic.info, record)?;
        }
        let bytes = group::bytes_of(&append.records);
        Ok(Records { partition, records: append.records, bytes })
    }

    fn check(&self, topic: &TopicInfo, record: &NewRecord) -> Result<(), Error> {
        let (bytes, bytes_max) = (group::record_bytes(record), self.shared.record_bytes_max);
        if bytes > bytes_max {
            return Err(Error::RecordTooLarge { bytes, bytes_max });
        }
        if topic.spec.cleanup == Cleanup::Compact && record.key.is_none() {
            return Err(Error::NotSupported("a record without a key in a compacted topic"));
        }
        Ok(())
    }
}

impl Drop for Engine {
    /// Waits for the commit thread, so that the directory is free afterwards.
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(thread) = locked(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the commit thread of the log panicked");
        }
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

    fn topic_changes(&self) -> watch::Receiver<u64> {
        self.shared.topics.changes()
    }

    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        let known = self.shared.topics.get(&spec.name).filter(|topic| topic.info.spec == *spec);
        match known {
            Some(topic) => Ok(TopicInfo::clone(&topic.info)),
            None => self.shared.control(|answer| Control::EnsureTopic(spec.clone(), answer)).await,
        }
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<(), Error> {
        self.shared.control(|answer| Control::DeleteTopic(topic.clone(), answer)).await
    }

    fn append(&self, append: Append) -> Appending {
        match self.records(append) {
            Ok(records) => {
                let (answer, appending) = Appending::channel();
                self.shared.submit(Work::Append(records, answer));
                appending
            }
            Err(error) => Appending::refused(error),
        }
    }

    async fn append_atomic(&self, appends: Vec<Append>) -> Result<Vec<Appended>, Error> {
        let appends = appends.into_iter().map(|append| self.records(append)).collect::<Result<_, _>>()?;
        let (answer, answered) = oneshot::channel();
        self.shared.submit(Work::Atomic(appends, answer));
        answered.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    async fn append_at(&self, append: Append, end: Offset) -> Result<Appended, Error> {
        let records = self.records(append)?;
        let (answer, answered) = oneshot::channel();
        self.shared.submit(Work::At(records, end, answer));
        answered.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    async fn reader(
        &self,
        topic: &Topic,
        partition: Number,
        from: Offset,
        purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error> {
        let partition = self.partition(topic, partition)?;
        check(&self.shared, &partition, from)?;
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(PartitionReader { shared, partition, position: from, purpose, names: Names::default() }))
    }

    async fn bounds(&self, topic: &Topic, partition: Number) -> Result<Bounds, Error> {
        self.partition(topic, partition).map(|partition| partition.bounds())
    }

    async fn offset_at(&self, topic: &Topic, partition: Number, time: Timestamp) -> Result<Offset, Error> {
        let partition = self.partition(topic, partition)?;
        let job = move |source: &mut dyn Source| offset_at(source, &partition, time);
        self.shared.pool.run(Purpose::CatchUp, job).await
    }

    async fn delete_records(
        &self,
        topic: &Topic,
        partition: Number,
        before: Offset,
    ) -> Result<Bounds, Error> {
        let partition = self.partition(topic, partition)?;
        self.shared.control(|answer| Control::DeleteRecords(partition, before, answer)).await
    }

    fn health(&self) -> Health {
        match self.shared.halted() {
            Some(failure) => {
                let cause = &failure.source;
                let detail = format!("the embedded log takes no more writes: {failure}: {cause}");
                Health::Unready { summary: "the log takes no more writes", detail }
            }
            None if self.shared.is_closed() => {
                let summary = "the log is closed";
                Health::Unready { summary, detail: "the embedded log is closed".to_owned() }
            }
            None => self.shared.stalled().map_or(Health::Ready, |failure| stalled(&failure)),
        }
    }
}

/// What a log says of itself that cannot write for now.
fn stalled(failure: &Failure) -> Health {
    let summary = match failure.kind {
        FailureKind::Full => "the disk of the log is full",
        FailureKind::Corrupt | FailureKind::Io | FailureKind::Other => "the log cannot write",
    };
    let detail = format!("the embedded log cannot write: {failure}: {}", failure.source);
    Health::Unready { summary, detail }
}

/// The first record at or after `time`: batches whose latest time is too early are passed over unread.
fn offset_at(source: &mut dyn Source, partition: &Partition, time: Timestamp) -> Result<Offset, Error> {
    let Bounds { start, end } = partition.bounds();
    let (mut from, mut names) = (start, Names::default());
    loop {
        let found =
            source.read_at(partition.log, from, time).map_err(|failure| failed(partition, from, failure))?;
        let Some(bytes) = found else { return Ok(end) };
        let damaged = |_| corrupt(partition, from);
        let batch = Batch::open(partition.log, bytes).map_err(damaged)?;
        let mut records = Vec::new();
        batch.records(start, usize::MAX, &mut names, &mut records).map_err(damaged)?;
        let is_late = |record: &&Record| record.timestamp >= time;
        if let Some(record) = records.iter().find(is_late) {
            return Ok(record.offset);
        }
        from = batch.last.next();
    }
}

#[async_trait]
impl Groups for Engine {
    async fn join(&self, group: &GroupName, subscription: GroupSubscription) -> Result<Membership, Error> {
        if self.shared.is_closed() {
            return Err(Error::Closed);
        }
        members::join(&self.shared, group, &subscription)
    }

    async fn committed(
        &self,
        group: &GroupName,
        topic: &Topic,
    ) -> Result<BTreeMap<Number, Committed>, Error> {
        members::committed(&self.shared, group, topic).await
    }

    async fn set_committed(&self, group: &GroupName, commits: Vec<Commit>) -> Result<(), Error> {
        let places = commits.iter().map(|commit| self.partition(&commit.topic, commit.partition));
        let change = OffsetChange {
            group: group.clone(),
            author: Author::Hand,
            partitions: places.collect::<Result<_, _>>()?,
            entries: members::entries(group, &commits)?,
        };
        self.shared.change_offsets(change).await
    }

    async fn forget(&self, group: &GroupName) -> Result<(), Error> {
        let entries = members::stored(&self.shared, offsets::group_prefix(group)).await?;
        let change = OffsetChange {
            group: group.clone(),
            author: Author::Hand,
            partitions: Vec::new(),
            entries: entries.into_iter().map(|(key, _)| (key, None)).collect(),
        };
        self.shared.change_offsets(change).await
    }

    async fn groups(&self) -> Result<Vec<GroupName>, Error> {
        let entries = members::stored(&self.shared, offsets::PREFIX.to_vec()).await?;
        let groups: BTreeSet<GroupName> = entries
            .iter()
            .filter_map(|(key, _)| offsets::parse_key(key))
            .map(|(group, _, _)| group)
            .collect();
        Ok(groups.into_iter().collect())
    }
}
