//! The engine's handle: the port's traits on top of the commit thread, the rings and the readers.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::event::{Clock, GroupName, Offset, Partition, Timestamp, Topic};
use crate::log::{
    Append, Appended, Appending, Bounds, Commit, Committed, Error, EventLog, GroupSubscription, Groups,
    Health, Membership, Purpose, Reader, TopicInfo, TopicSpec,
};
use crate::telemetry::Registry;

use super::Config;

/// Why the engine refuses to start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("'{path}' is in use by another process{holder}; each gateway needs a directory of its own")]
    InUse {
        /// The directory.
        path: String,
        /// What the lock file says of the holder.
        holder: String,
    },
}

/// The embedded log: [`EventLog`] and [`Groups`] in one directory.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// Opens the directory, making it when absent. Blocks on the disk: call it off the async threads.
    ///
    /// # Errors
    /// When another process has the directory, or what lies there is damaged or cannot be read.
    pub fn open(_config: &Config, _clock: Clock, _registry: &Registry) -> Result<Arc<Self>, OpenError> {
        unimplemented!()
    }

    /// Commits what was handed over, then closes the database. Later calls answer [`Error::Closed`].
    #[expect(clippy::unused_async, reason = "the door comes before the room")]
    pub async fn close(&self) {
        unimplemented!()
    }
}

#[async_trait]
impl EventLog for Engine {
    fn topics(&self) -> Vec<TopicInfo> {
        unimplemented!()
    }

    fn topic(&self, _topic: &Topic) -> Option<Arc<TopicInfo>> {
        unimplemented!()
    }

    fn topic_changes(&self) -> watch::Receiver<u64> {
        unimplemented!()
    }

    async fn ensure_topic(&self, _spec: &TopicSpec) -> Result<TopicInfo, Error> {
        unimplemented!()
    }

    async fn delete_topic(&self, _topic: &Topic) -> Result<(), Error> {
        unimplemented!()
    }

    fn append(&self, _append: Append) -> Appending {
        unimplemented!()
    }

    async fn append_atomic(&self, _appends: Vec<Append>) -> Result<Vec<Appended>, Error> {
        unimplemented!()
    }

    async fn reader(
        &self,
        _topic: &Topic,
        _partition: Partition,
        _from: Offset,
        _purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error> {
        unimplemented!()
    }

    async fn bounds(&self, _topic: &Topic, _partition: Partition) -> Result<Bounds, Error> {
        unimplemented!()
    }

    async fn offset_at(
        &self,
        _topic: &Topic,
        _partition: Partition,
        _time: Timestamp,
    ) -> Result<Offset, Error> {
        unimplemented!()
    }

    async fn delete_records(&self, _: &Topic, _: Partition, _before: Offset) -> Result<Bounds, Error> {
        unimplemented!()
    }

    fn health(&self) -> Health {
        unimplemented!()
    }
}

#[async_trait]
impl Groups for Engine {
    async fn join(&self, _group: &GroupName, _subscription: GroupSubscription) -> Result<Membership, Error> {
        unimplemented!()
    }

    async fn committed(&self, _: &GroupName, _: &Topic) -> Result<BTreeMap<Partition, Committed>, Error> {
        unimplemented!()
    }

    async fn set_committed(&self, _group: &GroupName, _commits: Vec<Commit>) -> Result<(), Error> {
        unimplemented!()
    }

    async fn forget(&self, _group: &GroupName) -> Result<(), Error> {
        unimplemented!()
    }

    async fn groups(&self) -> Result<Vec<GroupName>, Error> {
        unimplemented!()
    }
}
