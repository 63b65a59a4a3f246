//! The topics as everybody sees them, and how they are written down in the store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use crate::event::{Partition as Number, Topic};
use crate::log::{Cleanup, Error, Incarnation, TopicInfo, TopicSpec};

use super::locked;
use super::partition::Partition;
use super::storage::{Entry, LogId};

/// What a topic's entry in the store begins with.
pub(super) const TOPIC_PREFIX: &[u8] = b"t";

/// A topic and its partitions.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) info: Arc<TopicInfo>,
    pub(super) partitions: Vec<Arc<Partition>>,
    pub(super) followers: Arc<Followers>,
}

/// Members that read the topic as a whole.
#[derive(Debug, Default)]
pub(super) struct Followers(Mutex<Vec<Weak<Notify>>>);

/// All topics. The commit thread changes them, everybody reads them.
#[derive(Debug)]
pub(super) struct Topics {
    by_name: ArcSwap<HashMap<Topic, Arc<TopicState>>>,
    changes: watch::Sender<u64>,
    /// Bytes of the latest batches each partition may hold in memory, and the sum all may.
    pub(super) ring_bytes: AtomicUsize,
    ring_bytes_max: usize,
    rings_bytes_max: usize,
}

impl TopicState {
    pub(super) fn partition(&self, number: Number) -> Result<&Arc<Partition>, Error> {
        self.partitions.get(number.index()).ok_or_else(|| Error::UnknownPartition {
            topic: self.info.spec.name.clone(),
            partition: number,
            partitions: self.info.spec.partitions,
        })
    }

    /// Wakes everybody who waits for anything of this topic.
    pub(super) fn wake(&self) {
        self.partitions.iter().for_each(|partition| partition.wake());
    }
}

impl Followers {
    /// Wakes `follower` from now on, for as long as somebody else holds it.
    pub(super) fn add(&self, follower: &Arc<Notify>) {
        let mut followers = locked(&self.0);
        followers
            .retain(|known| known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), Arc::as_ptr(follower)));
        followers.push(Arc::downgrade(follower));
    }

    pub(super) fn wake(&self) {
        locked(&self.0).iter().filter_map(Weak::upgrade).for_each(|follower| follower.notify_one());
    }
}

impl Topics {
    pub(super) fn new(topics: Vec<TopicState>, ring_bytes_max: usize, rings_bytes_max: usize) -> Self {
        let by_name =
            topics.into_iter().map(|topic| (topic.info.spec.name.clone(), Arc::new(topic))).collect();
        let (changes, _) = watch::channel(0);
        let by_name = ArcSwap::from_pointee(by_name);
        let topics =
            Self { by_name, changes, ring_bytes: AtomicUsize::new(0), ring_bytes_max, rings_bytes_max };
        topics.share_memory();
        topics
    }

    pub(super) fn get(&self, topic: &Topic) -> Option<Arc<TopicState>> {
        self.by_name.load().get(topic).map(Arc::clone)
    }

    /// The topic, or the error that says there is none.
    pub(super) fn require(&self, topic: &Topic) -> Result<Arc<TopicState>, Error> {
        self.get(topic).ok_or_else(|| Error::UnknownTopic(topic.clone()))
    }

    /// All topics by name.
    pub(super) fn all(&self) -> Vec<Arc<TopicState>> {
        let mut topics: Vec<_> = self.by_name.load().values().map(Arc::clone).collect();
        topics.sort_by(|one, other| one.info.spec.name.cmp(&other.info.spec.name));
        topics
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Puts a new or changed topic in place. Only the commit thread calls this.
    pub(super) fn put(&self, topic: TopicState) {
        let mut by_name = HashMap::clone(&self.by_name.load());
        by_name.insert(topic.info.spec.name.clone(), Arc::new(topic));
        self.replace(by_name);
    }

    /// Takes a topic out. Only the commit thread calls this.
    pub(super) fn remove(&self, topic: &Topic) {
        let mut by_name = HashMap::clone(&self.by_name.load());
        by_name.remove(topic);
        self.replace(by_name);
    }

    fn replace(&self, by_name: HashMap<Topic, Arc<TopicState>>) {
        self.by_name.store(Arc::new(by_name));
        self.share_memory();
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Divides the memory for latest batches among the partitions there are.
    fn share_memory(&self) {
        let partitions: usize = self.by_name.load().values().map(|topic| topic.partitions.len()).sum();
        let share = self.rings_bytes_max / partitions.max(1);
        self.ring_bytes.store(share.min(self.ring_bytes_max), Ordering::Relaxed);
    }
}

/// A topic as it is written down: JSON, so that it can be read with any SQLite tool.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    incarnation: u64,
    logs: Vec<u64>,
    is_compacted: bool,
    retention_ms: Option<u64>,
    retention_bytes: Option<u64>,
}

/// The entry of a topic whose partitions lie in `logs`.
pub(super) fn entry_of(info: &TopicInfo, logs: &[LogId]) -> Result<Entry, serde_json::Error> {
    let spec = &info.spec;
    let stored = Stored {
        incarnation: info.incarnation.0,
        logs: logs.iter().map(|log| log.number()).collect(),
        is_compacted: spec.cleanup == Cleanup::Compact,
        retention_ms: spec.retention.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        retention_bytes: spec.retention_bytes,
    };
    Ok((key_of(&spec.name), serde_json::to_vec(&stored)?))
}

/// The key of a topic's entry.
pub(super) fn key_of(topic: &Topic) -> Vec<u8> {
    [TOPIC_PREFIX, topic.as_str().as_bytes()].concat()
}

/// The topic an entry describes; `None` when it is no such entry.
pub(super) fn parse_entry(key: &[u8], value: &[u8]) -> Option<(TopicInfo, Vec<LogId>)> {
    let name = std::str::from_utf8(key.strip_prefix(TOPIC_PREFIX)?).ok()?;
    let stored: Stored = serde_json::from_slice(value).ok()?;
    let spec = TopicSpec {
        name: Topic::parse(name).ok()?,
        partitions: u32::try_from(stored.logs.len()).ok()?,
        cleanup: if stored.is_compacted { Cleanup::Compact } else { Cleanup::Delete },
        retention: stored.retention_ms.map(Duration::from_millis),
        retention_bytes: stored.retention_bytes,
    };
    let logs = stored.logs.into_iter().map(LogId::new).collect();
    Some((TopicInfo { spec, incarnation: Incarnation(stored.incarnation) }, logs))
}
