//! Topics, appends and reads: the trait every engine implements.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use crate::event::{Headers, Offset, Partition, Record, Timestamp, Topic};

use super::Error;

/// What distinguishes a topic from a later one of the same name, so that a cursor into the old one is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u64);

/// How old records leave a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// By age and size.
    Delete,
    /// All but the latest of each key; tombstones go too.
    Compact,
}

/// What a topic should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: Topic,
    /// How many partitions; may only grow.
    pub partitions: u32,
    /// How old records leave.
    pub cleanup: Cleanup,
    /// Records older than this go; `None` keeps them for ever. Only with [`Cleanup::Delete`].
    pub retention: Option<Duration>,
    /// A partition larger than this loses its oldest records; `None` has no such bound.
    pub retention_bytes: Option<u64>,
}

/// What a topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its specification as it stands.
    pub spec: TopicSpec,
    /// Which topic of that name this is.
    pub incarnation: Incarnation,
}

/// A record to be appended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// The key; `None` is Kafka's null key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
    /// The record's time; `None` takes the time of the append.
    pub timestamp: Option<Timestamp>,
}

/// Records for one partition, appended together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: Partition,
    /// The records in order; never empty.
    pub records: Vec<NewRecord>,
}

/// Where appended records went, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The offset of the first.
    pub base: Offset,
    /// The time of the append.
    pub timestamp: Timestamp,
    /// The offset of each, where they are not consecutive from `base`: others wrote in between.
    pub scattered: Option<Arc<[Offset]>>,
}

impl Appended {
    /// Consecutive offsets from `base`.
    #[must_use]
    pub const fn from(base: Offset, timestamp: Timestamp) -> Self {
        Self { base, timestamp, scattered: None }
    }

    /// The offset of the record that was given as number `index`, from 0.
    #[must_use]
    pub fn offset(&self, index: usize) -> Offset {
        let scattered = self.scattered.as_ref().and_then(|offsets| offsets.get(index));
        scattered.copied().unwrap_or_else(|| self.base.plus(index as u64))
    }
}

/// An append that was handed over. Resolves when the log has it durably, or says why not. Dropping it does not
/// take the append back.
#[derive(Debug)]
pub struct Appending(oneshot::Receiver<Result<Appended, Error>>);

impl Appending {
    /// An append in flight, and where the engine answers it. Dropping the sender answers
    /// [`Error::OutcomeUnknown`].
    #[must_use]
    pub fn channel() -> (oneshot::Sender<Result<Appended, Error>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }

    /// An append that was refused before it was handed over.
    #[must_use]
    pub fn refused(error: Error) -> Self {
        let (sender, appending) = Self::channel();
        drop(sender.send(Err(error)));
        appending
    }
}

impl Future for Appending {
    type Output = Result<Appended, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(Error::OutcomeUnknown)))
    }
}

/// The ends of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset kept.
    pub start: Offset,
    /// The offset the next record will get.
    pub end: Offset,
}

/// What a reader is for, so that an engine can keep followers apart from those that read old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Follows the end.
    Tail,
    /// Reads what lies behind; may be slow, must not hold back tails.
    CatchUp,
}

/// Records read, in order.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// The records; may be empty where offsets were compacted away.
    pub records: Vec<Record>,
    /// Where to read on.
    pub next: Offset,
    /// The partition's end as known at this read.
    pub end: Offset,
}

/// A place in one partition from which records are pulled.
#[async_trait]
pub trait Reader: Send + fmt::Debug {
    /// The next records, at most about `bytes_max` of them but at least one; waits at the end of the partition.
    /// Cancel safe.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] when the position fell behind retention (seek and go on), or what the engine
    /// says.
    async fn next(&mut self, bytes_max: usize) -> Result<Fetched, Error>;

    /// Goes on reading at `offset`.
    fn seek(&mut self, offset: Offset);

    /// The next offset to read.
    fn position(&self) -> Offset;
}

/// Whether the log can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Ready,
    /// It cannot.
    Unready {
        /// Why, in words that anyone may hear.
        summary: &'static str,
        /// Why, in words for an operator; may name brokers and paths.
        detail: String,
    },
}

/// A log of topics.
#[async_trait]
pub trait EventLog: Send + Sync + fmt::Debug {
    /// All topics, internal ones included, by name.
    fn topics(&self) -> Vec<TopicInfo>;

    /// One topic. Cheap: asked for every event.
    fn topic(&self, topic: &Topic) -> Option<Arc<TopicInfo>>;

    /// Whether a topic that is not known surely does not exist.
    ///
    /// # Errors
    /// [`Error::Unavailable`] until the engine has read which topics there are.
    fn topics_known(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Changes whenever a topic is created, changed or deleted.
    fn topic_changes(&self) -> watch::Receiver<u64>;

    /// Creates the topic, or brings an existing one to this specification. Same again is a success.
    ///
    /// # Errors
    /// [`Error::InvalidTopic`] when partitions would shrink or the cleanup would change.
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<TopicInfo, Error>;

    /// Deletes a topic with all its records and committed offsets.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`].
    async fn delete_topic(&self, topic: &Topic) -> Result<(), Error>;

    /// Hands an append over, in the order of the calls; the answer resolves when it is durable. Never waits: a
    /// full queue answers [`Error::Overloaded`].
    fn append(&self, append: Append) -> Appending;

    /// Appends to several partitions in one transaction: all or nothing, answers in the order given. Readers see it
    /// when this answers. What was handed over otherwise and is not answered yet, may come before it or behind it.
    ///
    /// # Errors
    /// What the engine says; all but [`Error::OutcomeUnknown`] mean that nothing of it was stored.
    async fn append_atomic(&self, appends: Vec<Append>) -> Result<Vec<Appended>, Error>;

    /// Appends at exactly `end`, if the partition ends there, as [`EventLog::bounds`] told. Whoever has read to there
    /// has seen everything that comes before these records, so that of writers who decide by what they read none
    /// undoes another's. Readers see it when this answers.
    ///
    /// # Errors
    /// [`Error::Overtaken`] where another one was first, with this or with any other append.
    async fn append_at(&self, append: Append, end: Offset) -> Result<Appended, Error>;

    /// Opens a reader at `from`, which may be the end but not beyond.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`], [`Error::UnknownTopic`], [`Error::UnknownPartition`].
    async fn reader(
        &self,
        topic: &Topic,
        partition: Partition,
        from: Offset,
        purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error>;

    /// The ends of a partition, as of now.
    ///
    /// # Errors
    /// What the engine says.
    async fn bounds(&self, topic: &Topic, partition: Partition) -> Result<Bounds, Error>;

    /// The offset of the first record whose time is at or after `time`; the end when there is none.
    ///
    /// # Errors
    /// What the engine says.
    async fn offset_at(&self, topic: &Topic, partition: Partition, time: Timestamp) -> Result<Offset, Error>;

    /// Gives up all records before `before`. Answers the new bounds.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] beyond the end.
    async fn delete_records(
        &self,
        topic: &Topic,
        partition: Partition,
        before: Offset,
    ) -> Result<Bounds, Error>;

    /// Whether the log can serve now.
    fn health(&self) -> Health;
}
