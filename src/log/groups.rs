//! Group membership and committed offsets: the second trait every engine implements.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::event::{GroupName, Offset, Partition, Record, Topic};

use super::Error;

/// Where a group without a committed offset begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record kept.
    Earliest,
    /// At the end, as of the first assignment.
    Latest,
}

impl Start {
    /// Where a group begins in this topic: what came back to it before it read the topic is never passed over.
    #[must_use]
    pub fn in_topic(self, topic: &Topic) -> Self {
        if topic.is_redrives() { Self::Earliest } else { self }
    }
}

/// What a member reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSubscription {
    /// The topics.
    pub topics: Vec<Topic>,
    /// Where to begin without a committed offset; see [`Start::in_topic`].
    pub start: Start,
}

/// A committed place in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: Offset,
    /// Text kept beside it, at most 4,096 bytes; empty where none was given.
    pub metadata: String,
}

/// A commit of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: Partition,
    /// The next offset to read, and the text beside it.
    pub committed: Committed,
}

/// A partition that became this member's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: Partition,
    /// What the group had committed; `None` when nothing.
    pub committed: Option<Committed>,
    /// Where records will begin: the committed offset, the start policy's, or the earliest when the committed
    /// one is gone (then it is greater than the committed one: a gap).
    pub position: Offset,
}

/// What happens to a member.
#[derive(Debug)]
pub enum MemberEvent {
    /// Partitions came.
    Assigned(Vec<Assigned>),
    /// Partitions must go: settle, commit, then call [`MemberEvents::give_back`].
    Revoked(Vec<(Topic, Partition)>),
    /// Partitions are gone already; commits for them fail.
    Lost(Vec<(Topic, Partition)>),
    /// Records of an assigned partition, in order.
    Records {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
        /// The records.
        records: Vec<Record>,
        /// The partition's end as known at this read.
        end: Offset,
    },
    /// Records between these offsets are gone (retention, truncation) and will never come.
    Gap {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
        /// The first one missed.
        from: Offset,
        /// Where reading goes on.
        to: Offset,
    },
}

/// The receiving half of a membership. One task owns it.
#[async_trait]
pub trait MemberEvents: Send + fmt::Debug {
    /// What happens next; waits. Cancel safe.
    ///
    /// # Errors
    /// [`Error::NotMember`] after the membership ended; others are worth another call.
    async fn next(&mut self) -> Result<MemberEvent, Error>;

    /// Delivers no records of this partition until [`MemberEvents::release`]. Takes effect at the next call of
    /// `next`; nothing is skipped.
    fn hold(&mut self, topic: &Topic, partition: Partition);

    /// Delivers records of this partition again.
    fn release(&mut self, topic: &Topic, partition: Partition);

    /// Continues an assigned partition at another offset (reset, replay).
    ///
    /// # Errors
    /// [`Error::NotMember`] when it is not assigned.
    async fn seek(&mut self, topic: &Topic, partition: Partition, offset: Offset) -> Result<(), Error>;

    /// Gives revoked partitions back, after the last commit for them.
    async fn give_back(&mut self, partitions: &[(Topic, Partition)]);

    /// Leaves the group.
    async fn leave(self: Box<Self>);
}

/// The committing half of a membership, usable beside a pending `next`.
#[async_trait]
pub trait Commits: Send + Sync + fmt::Debug {
    /// Commits offsets with their metadata, durably.
    ///
    /// # Errors
    /// [`Error::NotMember`] when a partition is no longer this member's; [`Error::OutcomeUnknown`] on a time-out.
    async fn commit(&self, commits: Vec<Commit>) -> Result<(), Error>;
}

/// A member of a group, in two halves.
#[derive(Debug)]
pub struct Membership {
    /// What happens to it.
    pub events: Box<dyn MemberEvents>,
    /// Its commits.
    pub commits: Arc<dyn Commits>,
}

/// Groups of a log.
#[async_trait]
pub trait Groups: Send + Sync + fmt::Debug {
    /// Becomes this process's member of a group; the first event is the assignment.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], or what the engine says.
    async fn join(&self, group: &GroupName, subscription: GroupSubscription) -> Result<Membership, Error>;

    /// What a group has committed in a topic; partitions without a commit are absent.
    ///
    /// # Errors
    /// What the engine says.
    async fn committed(
        &self,
        group: &GroupName,
        topic: &Topic,
    ) -> Result<BTreeMap<Partition, Committed>, Error>;

    /// Sets committed offsets of a group without a live member.
    ///
    /// # Errors
    /// [`Error::NotSupported`] while it has one.
    async fn set_committed(&self, group: &GroupName, commits: Vec<Commit>) -> Result<(), Error>;

    /// Forgets all committed offsets of a group without a live member.
    ///
    /// # Errors
    /// [`Error::NotSupported`] while it has one.
    async fn forget(&self, group: &GroupName) -> Result<(), Error>;

    /// All groups with a committed offset, by name.
    ///
    /// # Errors
    /// What the engine says.
    async fn groups(&self) -> Result<Vec<GroupName>, Error>;
}
