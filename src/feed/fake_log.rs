//! A log in memory for this room's tests, which see what is read, and hold, fail, cut and replace it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::event::{Headers, Offset, Partition, Record, Timestamp, Topic};
use crate::log::{
    Append, Appended, Appending, Bounds, Cleanup, Error, EventLog, Fetched, Health, Incarnation, Purpose,
    Reader, TopicInfo, TopicSpec,
};

/// A log whose tests see what is read, and may hold, fail, cut and replace it.
#[derive(Debug, Default)]
pub(super) struct FakeLog {
    topics: Mutex<HashMap<Topic, FakeTopic>>,
    incarnations: AtomicU64,
    topic_changes: watch::Sender<u64>,
    moves: watch::Sender<u64>,
    /// No tail reads while this is set.
    pub(super) is_tail_held: AtomicBool,
    /// No catch-up reader reads while this is set.
    pub(super) is_catch_up_held: AtomicBool,
    pub(super) is_failing: AtomicBool,
    pub(super) catch_up_reads: AtomicUsize,
    pub(super) catch_up_reading: AtomicUsize,
    pub(super) tails: AtomicUsize,
}

#[derive(Debug)]
struct FakeTopic {
    incarnation: u64,
    partitions: Vec<FakePartition>,
}

#[derive(Debug, Default)]
struct FakePartition {
    start: u64,
    end: u64,
    records: Vec<Record>,
}

#[derive(Debug)]
struct FakeReader {
    log: Arc<FakeLog>,
    topic: Topic,
    partition: Partition,
    at: Offset,
    purpose: Purpose,
}

pub(super) fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

impl FakeLog {
    pub(super) fn create(&self, name: &str, partitions: u32) {
        let incarnation = self.incarnations.fetch_add(1, Ordering::SeqCst) + 1;
        let partitions = (0..partitions).map(|_| FakePartition::default()).collect();
        self.topics().insert(topic(name), FakeTopic { incarnation, partitions });
        self.topic_changes.send_modify(|version| *version += 1);
        self.moved();
    }

    pub(super) fn grow(&self, name: &str, partitions: usize) {
        self.topics().get_mut(name).unwrap().partitions.resize_with(partitions, FakePartition::default);
        self.topic_changes.send_modify(|version| *version += 1);
    }

    pub(super) fn delete(&self, name: &str) {
        self.topics().remove(name);
        self.topic_changes.send_modify(|version| *version += 1);
        self.moved();
    }

    pub(super) fn put(&self, name: &str, partition: usize, value: &str) -> u64 {
        self.put_record(name, partition, None, value)
    }

    pub(super) fn put_record(&self, name: &str, partition: usize, key: Option<&str>, value: &str) -> u64 {
        let mut topics = self.topics();
        let partition = &mut topics.get_mut(name).unwrap().partitions[partition];
        let offset = partition.end;
        partition.end += 1;
        partition.records.push(Record {
            offset: Offset::new(offset),
            timestamp: Timestamp::from_millis(i64::try_from(offset).unwrap() * 1_000),
            key: key.map(|key| Bytes::from(key.to_owned())),
            value: Some(Bytes::from(value.to_owned())),
            headers: Headers::default(),
            decoded: None,
        });
        drop(topics);
        self.moved();
        offset
    }

    /// The log forgets what lies before `start`.
    pub(super) fn retain_from(&self, name: &str, partition: usize, start: u64) {
        let mut topics = self.topics();
        let partition = &mut topics.get_mut(name).unwrap().partitions[partition];
        partition.start = partition.start.max(start.min(partition.end));
        let start = partition.start;
        partition.records.retain(|record| record.offset.number() >= start);
    }

    /// The log loses what lies from `end` on.
    pub(super) fn truncate(&self, name: &str, partition: usize, end: u64) {
        let mut topics = self.topics();
        let partition = &mut topics.get_mut(name).unwrap().partitions[partition];
        partition.end = end;
        partition.records.retain(|record| record.offset.number() < end);
        drop(topics);
        self.moved();
    }

    /// Compaction takes one record out, leaving a hole.
    pub(super) fn compact(&self, name: &str, partition: usize, offset: u64) {
        let mut topics = self.topics();
        let partition = &mut topics.get_mut(name).unwrap().partitions[partition];
        partition.records.retain(|record| record.offset.number() != offset);
    }

    pub(super) fn end(&self, name: &str, partition: usize) -> u64 {
        self.topics()[name].partitions[partition].end
    }

    pub(super) fn hold(&self, flag: impl Fn(&Self) -> &AtomicBool, is_held: bool) {
        flag(self).store(is_held, Ordering::SeqCst);
        self.moved();
    }

    fn moved(&self) {
        self.moves.send_modify(|moves| *moves += 1);
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Topic, FakeTopic>> {
        self.topics.lock().unwrap()
    }

    fn with<T>(
        &self,
        topic: &Topic,
        partition: Partition,
        look: impl FnOnce(&FakePartition) -> T,
    ) -> Result<T, Error> {
        if self.is_failing.load(Ordering::SeqCst) {
            return Err(Error::Unavailable(Arc::new(std::io::Error::other("failing"))));
        }
        let topics = self.topics();
        let found = topics.get(topic).ok_or_else(|| Error::UnknownTopic(topic.clone()))?;
        Ok(look(&found.partitions[partition.index()]))
    }
}

impl FakeReader {
    fn try_next(&self, bytes_max: usize) -> Result<Option<Fetched>, Error> {
        let held = match self.purpose {
            Purpose::Tail => &self.log.is_tail_held,
            Purpose::CatchUp => &self.log.is_catch_up_held,
        };
        let is_held = held.load(Ordering::SeqCst);
        self.log.with(&self.topic, self.partition, |partition| {
            let (start, end) = (Offset::new(partition.start), Offset::new(partition.end));
            if self.at < start || self.at > end {
                return Err(Error::OffsetOutOfRange { offset: self.at, start, end });
            }
            if is_held || self.at == end {
                return Ok(None);
            }
            let mut records: Vec<Record> = Vec::new();
            let mut bytes = 0;
            for record in partition.records.iter().filter(|record| record.offset >= self.at) {
                bytes += record.bytes();
                if bytes > bytes_max && !records.is_empty() {
                    let next = record.offset;
                    return Ok(Some(Fetched { records, next, end }));
                }
                records.push(record.clone());
            }
            Ok(Some(Fetched { records, next: end, end }))
        })?
    }
}

#[async_trait]
impl Reader for FakeReader {
    async fn next(&mut self, bytes_max: usize) -> Result<Fetched, Error> {
        let mut moves = self.log.moves.subscribe();
        loop {
            moves.borrow_and_update();
            if let Some(fetched) = self.try_next(bytes_max)? {
                self.at = fetched.next;
                if self.purpose == Purpose::CatchUp {
                    self.log.catch_up_reads.fetch_add(1, Ordering::SeqCst);
                }
                return Ok(fetched);
            }
            moves.changed().await.unwrap();
        }
    }

    fn seek(&mut self, offset: Offset) {
        self.at = offset;
    }

    fn position(&self) -> Offset {
        self.at
    }
}

impl Drop for FakeReader {
    fn drop(&mut self) {
        match self.purpose {
            Purpose::Tail => &self.log.tails,
            Purpose::CatchUp => &self.log.catch_up_reading,
        }
        .fetch_sub(1, Ordering::SeqCst);
    }
}

/// The log as the feed holds it: readers need the shared pointer.
#[derive(Debug)]
pub(super) struct Port(pub(super) Arc<FakeLog>);

#[async_trait]
impl EventLog for Port {
    fn topics(&self) -> Vec<TopicInfo> {
        self.0.topics().iter().map(|(name, found)| found.info(name)).collect()
    }

    fn topic(&self, topic: &Topic) -> Option<Arc<TopicInfo>> {
        self.0.topics().get(topic).map(|found| Arc::new(found.info(topic)))
    }

    fn topic_changes(&self) -> watch::Receiver<u64> {
        self.0.topic_changes.subscribe()
    }

    async fn ensure_topic(&self, _: &TopicSpec) -> Result<TopicInfo, Error> {
        Err(Error::NotSupported("this"))
    }

    async fn delete_topic(&self, _: &Topic) -> Result<(), Error> {
        Err(Error::NotSupported("this"))
    }

    fn append(&self, _: Append) -> Appending {
        Appending::refused(Error::NotSupported("this"))
    }

    async fn append_atomic(&self, _: Vec<Append>) -> Result<Vec<Appended>, Error> {
        Err(Error::NotSupported("this"))
    }

    async fn append_at(&self, _: Append, _: Offset) -> Result<Appended, Error> {
        Err(Error::NotSupported("this"))
    }

    async fn reader(
        &self,
        topic: &Topic,
        partition: Partition,
        from: Offset,
        purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error> {
        self.bounds(topic, partition).await?;
        match purpose {
            Purpose::Tail => &self.0.tails,
            Purpose::CatchUp => &self.0.catch_up_reading,
        }
        .fetch_add(1, Ordering::SeqCst);
        let log = Arc::clone(&self.0);
        Ok(Box::new(FakeReader { log, topic: topic.clone(), partition, at: from, purpose }))
    }

    async fn bounds(&self, topic: &Topic, partition: Partition) -> Result<Bounds, Error> {
        self.0.with(topic, partition, |partition| Bounds {
            start: Offset::new(partition.start),
            end: Offset::new(partition.end),
        })
    }

    async fn offset_at(&self, topic: &Topic, partition: Partition, time: Timestamp) -> Result<Offset, Error> {
        self.0.with(topic, partition, |partition| {
            let found = partition.records.iter().find(|record| record.timestamp >= time);
            found.map_or_else(|| Offset::new(partition.end), |record| record.offset)
        })
    }

    async fn delete_records(&self, _: &Topic, _: Partition, _: Offset) -> Result<Bounds, Error> {
        Err(Error::NotSupported("this"))
    }

    fn health(&self) -> Health {
        Health::Ready
    }
}

impl FakeTopic {
    fn info(&self, name: &Topic) -> TopicInfo {
        let spec = TopicSpec {
            name: name.clone(),
            partitions: u32::try_from(self.partitions.len()).unwrap(),
            cleanup: Cleanup::Delete,
            retention: None,
            retention_bytes: None,
        };
        TopicInfo { spec, incarnation: Incarnation(self.incarnation) }
    }
}
