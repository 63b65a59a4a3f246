//! A log with a fault that tests switch on: dead letters are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use tokio::sync::watch;
use weirgate::event::{Offset, Partition, Timestamp, Topic};
use weirgate::log::{
    Append, Appended, Appending, Bounds, Error, EventLog, Health, Purpose, Reader, TopicInfo, TopicSpec,
};

/// Whether dead letters are refused, and how many were.
#[derive(Debug, Default)]
pub(crate) struct Fault {
    pub(crate) is_on: AtomicBool,
    pub(crate) refused: AtomicU32,
    /// Letters with a value of more bytes than this are too large; 0 is no limit.
    pub(crate) value_bytes_max: AtomicU32,
}

/// The log behind the fault.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) fault: Arc<Fault>,
}

#[async_trait]
impl EventLog for Faulty {
    fn topics(&self) -> Vec<TopicInfo> {
        self.log.topics()
    }

    fn topic(&self, topic: &Topic) -> Option<Arc<TopicInfo>> {
        self.log.topic(topic)
    }

    fn topic_changes(&self) -> watch::Receiver<u64> {
        self.log.topic_changes()
    }

    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        self.log.ensure_topic(spec).await
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<(), Error> {
        self.log.delete_topic(topic).await
    }

    fn append(&self, append: Append) -> Appending {
        if append.topic.is_dead_letters() {
            if self.fault.is_on.load(Ordering::SeqCst) {
                self.fault.refused.fetch_add(1, Ordering::SeqCst);
                return Appending::refused(Error::Overloaded);
            }
            let bytes = append
                .records
                .iter()
                .filter_map(|record| record.value.as_ref())
                .map(|value| value.len())
                .sum();
            let bytes_max = self.fault.value_bytes_max.load(Ordering::SeqCst) as usize;
            if bytes_max > 0 && bytes > bytes_max {
                return Appending::refused(Error::RecordTooLarge { bytes, bytes_max });
            }
        }
        self.log.append(append)
    }

    async fn append_atomic(&self, appends: Vec<Append>) -> Result<Vec<Appended>, Error> {
        self.log.append_atomic(appends).await
    }

    async fn append_at(&self, append: Append, end: Offset) -> Result<Appended, Error> {
        self.log.append_at(append, end).await
    }

    async fn reader(
        &self,
        topic: &Topic,
        partition: Partition,
        from: Offset,
        purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error> {
        self.log.reader(topic, partition, from, purpose).await
    }

    async fn bounds(&self, topic: &Topic, partition: Partition) -> Result<Bounds, Error> {
        self.log.bounds(topic, partition).await
    }

    async fn offset_at(&self, topic: &Topic, partition: Partition, time: Timestamp) -> Result<Offset, Error> {
        self.log.offset_at(topic, partition, time).await
    }

    async fn delete_records(
        &self,
        topic: &Topic,
        partition: Partition,
        before: Offset,
    ) -> Result<Bounds, Error> {
        self.log.delete_records(topic, partition, before).await
    }

    fn health(&self) -> Health {
        self.log.health()
    }
}
