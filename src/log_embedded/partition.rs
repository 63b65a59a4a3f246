//! One partition as all threads see it: its ends, its latest batches, and who waits for more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::event::{Offset, Partition as Number, Topic};
use crate::log::{Bounds, Cleanup, TopicSpec};

use super::batch::Batch;
use super::locked;
use super::storage::LogId;
use super::topics::Followers;

/// A partition. The commit thread changes it, everybody reads it.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) topic: Topic,
    pub(super) number: Number,
    pub(super) log: LogId,
    /// Whether compaction may leave gaps between batches.
    pub(super) is_compacted: bool,
    /// Whether its compaction is under way.
    pub(super) is_compacting: AtomicBool,
    /// Bytes appended since the last compaction, which left `kept_bytes`.
    pub(super) appended_bytes: AtomicU64,
    pub(super) kept_bytes: AtomicU64,
    start: AtomicU64,
    end: AtomicU64,
    is_deleted: AtomicBool,
    /// The latest batches, without holes up to the end.
    ring: Mutex<Ring>,
    advanced: Notify,
    /// Members that read the whole topic.
    followers: Arc<Followers>,
}

#[derive(Debug, Default)]
struct Ring {
    batches: VecDeque<Batch>,
    bytes: usize,
}

impl Partition {
    /// The partition `number` of `topic`, which lies in `log`.
    pub(super) fn new(
        topic: &TopicSpec,
        number: Number,
        log: LogId,
        bounds: Bounds,
        followers: &Arc<Followers>,
    ) -> Self {
        Self {
            topic: topic.name.clone(),
            number,
            log,
            is_compacted: topic.cleanup == Cleanup::Compact,
            is_compacting: AtomicBool::new(false),
            // What was appended before the start is not known: the first look compacts.
            appended_bytes: AtomicU64::new(u64::MAX >> 1),
            kept_bytes: AtomicU64::new(0),
            start: AtomicU64::new(bounds.start.number()),
            end: AtomicU64::new(bounds.end.number()),
            is_deleted: AtomicBool::new(false),
            ring: Mutex::default(),
            advanced: Notify::new(),
            followers: Arc::clone(followers),
        }
    }

    pub(super) fn start(&self) -> Offset {
        Offset::new(self.start.load(Ordering::Acquire))
    }

    pub(super) fn end(&self) -> Offset {
        Offset::new(self.end.load(Ordering::Acquire))
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { start: self.start(), end: self.end() }
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// Shows committed batches to readers.
    pub(super) fn publish(&self, batches: Vec<Batch>, ring_bytes: &AtomicUsize) {
        let Some(end) = batches.last().map(|batch| batch.last.next()) else { return };
        {
            let mut ring = locked(&self.ring);
            let ring_bytes_max = ring_bytes.load(Ordering::Relaxed);
            for batch in batches {
                self.appended_bytes.fetch_add(batch.bytes.len() as u64, Ordering::Relaxed);
                ring.bytes += batch.bytes.len();
                ring.batches.push_back(batch);
            }
            while ring.bytes > ring_bytes_max
                && let Some(batch) = ring.batches.pop_front()
            {
                ring.bytes -= batch.bytes.len();
            }
            // Before anybody sees the batches: who has read them finds an end that is not before them.
            self.end.store(end.number(), Ordering::Release);
        }
        self.wake();
    }

    /// Takes the end from the store, after a commit whose outcome had to be looked up.
    pub(super) fn set_end(&self, end: Offset) {
        if end != self.end() {
            *locked(&self.ring) = Ring::default();
            self.end.store(end.number(), Ordering::Release);
            self.wake();
        }
    }

    /// Gives up everything before `start`; called before the store drops it, so that no reader takes what is being
    /// trimmed for damage.
    pub(super) fn set_start(&self, start: Offset) {
        self.start.fetch_max(start.number(), Ordering::AcqRel);
    }

    /// Ends the partition for everybody who still holds it.
    pub(super) fn delete(&self) {
        self.is_deleted.store(true, Ordering::Release);
        *locked(&self.ring) = Ring::default();
        self.wake();
    }

    /// Wakes everybody who waits for more.
    pub(super) fn wake(&self) {
        self.advanced.notify_waiters();
        self.followers.wake();
    }

    /// What [`Partition::wake`] wakes.
    pub(super) const fn advanced(&self) -> &Notify {
        &self.advanced
    }

    /// The batches from the one that holds `from`, until they hold `bytes_max` bytes; `None` when memory does not
    /// reach back so far.
    pub(super) fn recent(&self, from: Offset, bytes_max: usize) -> Option<Vec<Batch>> {
        let ring = locked(&self.ring);
        if ring.batches.front().is_none_or(|first| first.base > from) {
            return None;
        }
        let index = ring.batches.partition_point(|batch| batch.last < from);
        let mut bytes = 0;
        let recent = ring.batches.range(index..).take_while(|batch| {
            let is_wanted = bytes < bytes_max;
            bytes += batch.bytes.len();
            is_wanted
        });
        let recent: Vec<Batch> = recent.cloned().collect();
        (!recent.is_empty()).then_some(recent)
    }
}
