//! A log over another one: what a [`Layer`] says nothing of passes as it is, so that no layer forgets a call.
//!
//! ```text
//! caller ── Layered: names go in, appends may be refused, reads held up ── log below
//!        ◄─ topics come out ─────────────────────────────┘
//! ```

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use weirgate::event::{Offset, Partition, Timestamp, Topic};
use weirgate::log::{
    Append, Appended, Appending, Bounds, Error, EventLog, Health, Purpose, Reader, TopicInfo, TopicSpec,
};

/// What is other than in the log below.
pub(crate) trait Layer: Debug + Send + Sync {
    /// The log below.
    fn below(&self) -> &dyn EventLog;

    /// What a topic is called below.
    fn inner(&self, topic: &Topic) -> Topic {
        topic.clone()
    }

    /// A topic of the log below as it is seen from above; `None` where it is not.
    fn outer(&self, info: &TopicInfo) -> Option<TopicInfo> {
        Some(info.clone())
    }

    /// Why an append is refused here; `None` where it passes.
    fn refusal(&self, _append: &Append) -> Option<Error> {
        None
    }

    /// What reads a partition of this topic, as it is called above.
    fn reader(&self, _topic: &Topic, _partition: Partition, below: Box<dyn Reader>) -> Box<dyn Reader> {
        below
    }
}

/// The log as its layer makes it.
#[derive(Debug)]
pub(crate) struct Layered<L>(pub(crate) L);

impl<L: Layer> Layered<L> {
    fn inner(&self, append: Append) -> Append {
        Append { topic: self.0.inner(&append.topic), ..append }
    }
}

#[async_trait]
impl<L: Layer> EventLog for Layered<L> {
    fn topics(&self) -> Vec<TopicInfo> {
        self.0.below().topics().iter().filter_map(|info| self.0.outer(info)).collect()
    }

    fn topic(&self, topic: &Topic) -> Option<Arc<TopicInfo>> {
        self.0.below().topic(&self.0.inner(topic)).and_then(|info| self.0.outer(&info)).map(Arc::new)
    }

    fn topics_known(&self) -> Result<(), Error> {
        self.0.below().topics_known()
    }

    fn topic_changes(&self) -> watch::Receiver<u64> {
        self.0.below().topic_changes()
    }

    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        let spec = TopicSpec { name: self.0.inner(&spec.name), ..spec.clone() };
        let info = self.0.below().ensure_topic(&spec).await?;
        Ok(self.0.outer(&info).expect("whoever makes a topic sees it"))
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<(), Error> {
        self.0.below().delete_topic(&self.0.inner(topic)).await
    }

    fn append(&self, append: Append) -> Appending {
        if let Some(refusal) = self.0.refusal(&append) {
            return Appending::refused(refusal);
        }
        self.0.below().append(self.inner(append))
    }

    async fn append_atomic(&self, appends: Vec<Append>) -> Result<Vec<Appended>, Error> {
        let appends = appends.into_iter().map(|append| self.inner(append)).collect();
        self.0.below().append_atomic(appends).await
    }

    async fn append_at(&self, append: Append, end: Offset) -> Result<Appended, Error> {
        if let Some(refusal) = self.0.refusal(&append) {
            return Err(refusal);
        }
        self.0.below().append_at(self.inner(append), end).await
    }

    async fn reader(
        &self,
        topic: &Topic,
        partition: Partition,
        from: Offset,
        purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error> {
        let below = self.0.below().reader(&self.0.inner(topic), partition, from, purpose).await?;
        Ok(self.0.reader(topic, partition, below))
    }

    async fn bounds(&self, topic: &Topic, partition: Partition) -> Result<Bounds, Error> {
        self.0.below().bounds(&self.0.inner(topic), partition).await
    }

    async fn offset_at(&self, topic: &Topic, partition: Partition, time: Timestamp) -> Result<Offset, Error> {
        self.0.below().offset_at(&self.0.inner(topic), partition, time).await
    }

    async fn delete_records(
        &self,
        topic: &Topic,
        partition: Partition,
        before: Offset,
    ) -> Result<Bounds, Error> {
        self.0.below().delete_records(&self.0.inner(topic), partition, before).await
    }

    fn health(&self) -> Health {
        self.0.below().health()
    }
}
