//! Reading behind the rings, for subscriptions that catch up.
//!
//! A few pooled readers serve all of them. What one reads is a *block*, kept for a short while: whoever stands
//! within it is served from it, so a thousand clients that resume at one place cost one read. Reads run in tasks of
//! their own, since a subscription whose socket is stalled must hold no reader.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::event::{self, Offset, Storage, Topic};
use crate::log::{self, Bounds, EventLog, Fetched, Incarnation, Purpose, Reader};

use super::entry::Entry;
use super::meter::Meter;
use super::metrics::Metrics;

/// Bytes asked of the log at once.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;
/// How many records a block may hold: small ones weigh more in memory than in the log.
const BLOCK_RECORDS_MAX: usize = 1_000;
/// How many blocks are kept for each reader of the pool, those being read included.
const BLOCKS_PER_READER: usize = 8;
/// Bytes all blocks may hold for each reader of the pool, frames included; the newest is kept whatever it holds.
pub(super) const BYTES_PER_READER: usize = 2 * 1024 * 1024;
/// Blocks and idle readers go when unused for so long.
const IDLE: Duration = Duration::from_secs(10);
/// A read that takes longer has failed: what is read here is in the log already.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// What to read.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) topic: Topic,
    pub(super) partition: event::Partition,
    /// Which topic of that name.
    pub(super) incarnation: Incarnation,
    /// The partition's id in the feed: a recreated topic has another.
    pub(super) id: u64,
    pub(super) storage: Storage,
}

/// What an idle reader reads, for whoever needs one of the same: a topic's name alone may come to mean another.
type Place = (Topic, event::Partition, Incarnation);

impl Source {
    fn place(&self) -> Place {
        (self.topic.clone(), self.partition, self.incarnation)
    }
}

/// Records of one partition that follow one another: all the log has from `from` up to `next`.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) from: Offset,
    pub(super) entries: Vec<Arc<Entry>>,
    pub(super) next: Offset,
}

/// How a read ended. The block itself is asked for again, so that nobody holds one who does not read it now.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Read,
    /// The place is the log's end; the tail's ring will hold what comes.
    AtEnd,
    /// The place is before the log's start or after its end.
    Outside(Bounds),
    Failed(log::Error),
}

/// A read under way.
pub(super) type Reading = watch::Receiver<Option<Outcome>>;

/// The pool of readers and the blocks they read.
#[derive(Debug)]
pub(super) struct Backlog {
    log: Arc<dyn EventLog>,
    metrics: Arc<Metrics>,
    meter: Arc<Meter>,
    readers_max: usize,
    permits: Semaphore,
    /// Guards the idle readers, oldest first; no more than fit the pool beside those at work.
    idle: Mutex<VecDeque<Idle>>,
    /// Guards the blocks read and being read, least recently used first.
    slots: Mutex<VecDeque<Slot>>,
}

#[derive(Debug)]
struct Idle {
    place: Place,
    reader: Box<dyn Reader>,
    since: Instant,
}

#[derive(Debug)]
struct Slot {
    id: u64,
    from: Offset,
    block: Option<Arc<Block>>,
    reading: Reading,
    used: Instant,
}

impl Slot {
    fn covers(&self, id: u64, at: Offset) -> bool {
        self.id == id
            && match &self.block {
                Some(block) => block.from <= at && at < block.next,
                None => self.from == at,
            }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.entries.iter().for_each(|entry| entry.release());
    }
}

impl Backlog {
    pub(super) fn new(log: Arc<dyn EventLog>, metrics: Arc<Metrics>, readers_max: usize) -> Self {
        let readers_max = readers_max.max(1);
        Self {
            log,
            metrics,
            meter: Arc::new(Meter::sharing(&Arc::new(AtomicUsize::new(0)))),
            readers_max,
            permits: Semaphore::new(readers_max),
            idle: Mutex::default(),
            slots: Mutex::default(),
        }
    }

    /// The block this place lies in, if it is at hand.
    pub(super) fn block(&self, id: u64, at: Offset) -> Option<Arc<Block>> {
        let mut slots = self.slots();
        let index = slots.iter().position(|slot| slot.block.is_some() && slot.covers(id, at))?;
        let mut slot = slots.remove(index)?;
        slot.used = Instant::now();
        let block = slot.block.clone();
        slots.push_back(slot);
        block
    }

    /// The read of this place: the one under way, or a new one that `spawn` runs.
    pub(super) fn read(
        self: &Arc<Self>,
        source: Source,
        at: Offset,
        spawn: impl FnOnce(std::pin::Pin<Box<dyn Future<Output = ()> + Send>>),
    ) -> Reading {
        let mut slots = self.slots();
        if let Some(slot) = slots.iter().find(|slot| slot.covers(source.id, at)) {
            return slot.reading.clone();
        }
        let (outcome, reading) = watch::channel(None);
        if slots.len() >= self.readers_max * BLOCKS_PER_READER {
            slots.pop_front();
        }
        let used = Instant::now();
        slots.push_back(Slot { id: source.id, from: at, block: None, reading: reading.clone(), used });
        drop(slots);
        let backlog = Arc::clone(self);
        spawn(Box::pin(async move { backlog.load(source, at, outcome).await }));
        reading
    }

    /// Reads one place past the blocks, for a single event.
    pub(super) async fn read_alone(&self, source: &Source, at: Offset) -> Result<Fetched, log::Error> {
        let _permit = self.permits.acquire().await.map_err(|_| log::Error::Closed)?;
        self.fetch(source, at, 1).await
    }

    /// Lets go what has not been used for a while.
    pub(super) fn tidy(&self) {
        let now = Instant::now();
        self.slots().retain(|slot| slot.block.is_none() || now.duration_since(slot.used) < IDLE);
        self.make_room(&mut self.slots());
        self.idle().retain(|idle| now.duration_since(idle.since) < IDLE);
    }

    async fn load(&self, source: Source, at: Offset, outcome: watch::Sender<Option<Outcome>>) {
        let Ok(permit) = self.permits.acquire().await else { return };
        if self.is_unwanted(&source, at, &outcome) {
            return;
        }
        let found = match self.fetch(&source, at, BLOCK_BYTES).await {
            Ok(fetched) if fetched.next > at => Ok(self.block_of(fetched, at, source.storage)),
            Ok(_) => Err(Outcome::AtEnd),
            Err(log::Error::OffsetOutOfRange { start, end, .. }) => {
                Err(Outcome::Outside(Bounds { start, end }))
            }
            Err(error) => Err(Outcome::Failed(error)),
        };
        drop(permit);
        let mut slots = self.slots();
        let index =
            slots.iter().position(|slot| slot.id == source.id && slot.from == at && slot.block.is_none());
        let slot = index.and_then(|index| slots.remove(index));
        let answer = match found {
            Ok(block) => {
                let reading = slot.map_or_else(|| outcome.subscribe(), |slot| slot.reading);
                let (id, from, used) = (source.id, at, Instant::now());
                self.make_room(&mut slots);
                slots.push_back(Slot { id, from, block: Some(block), reading, used });
                Outcome::Read
            }
            Err(answer) => answer,
        };
        drop(slots);
        outcome.send_replace(Some(answer));
    }

    fn block_of(&self, fetched: Fetched, from: Offset, storage: Storage) -> Arc<Block> {
        let Fetched { records, next, .. } = fetched;
        let next = records.get(BLOCK_RECORDS_MAX).map_or(next, |first_cut| first_cut.offset);
        let records = records.into_iter().take(BLOCK_RECORDS_MAX);
        let entries = records.map(|record| Arc::new(Entry::new(record, storage, &self.meter)));
        Arc::new(Block { from, entries: entries.collect(), next })
    }

    /// Lets blocks go, least recently used first, until all together are below their bound.
    fn make_room(&self, slots: &mut VecDeque<Slot>) {
        let mut blocks = slots.iter().filter_map(|slot| slot.block.clone()).collect::<VecDeque<_>>();
        while self.meter.own() > self.readers_max * BYTES_PER_READER
            && let Some(block) = blocks.pop_front()
        {
            block.entries.iter().for_each(|entry| entry.release());
            slots.retain(|slot| !slot.block.as_ref().is_some_and(|held| Arc::ptr_eq(held, &block)));
        }
        self.metrics.catch_up_bytes.set(i64::try_from(self.meter.own()).unwrap_or(i64::MAX));
    }

    /// Whether all who asked have left meanwhile; then it is no longer listed either.
    fn is_unwanted(&self, source: &Source, at: Offset, outcome: &watch::Sender<Option<Outcome>>) -> bool {
        let mut slots = self.slots();
        let is_this = |slot: &Slot| slot.id == source.id && slot.from == at && slot.block.is_none();
        let listed = slots.iter().position(is_this);
        let is_unwanted = outcome.receiver_count() <= usize::from(listed.is_some());
        if let Some(index) = listed.filter(|_| is_unwanted) {
            slots.remove(index);
        }
        is_unwanted
    }

    /// Reads from `at` up to about `bytes_max`; nothing at the log's end.
    async fn fetch(&self, source: &Source, at: Offset, bytes_max: usize) -> Result<Fetched, log::Error> {
        let working = Working::new(&self.metrics);
        let Source { topic, partition, .. } = source;
        let Bounds { start, end } = self.log.bounds(topic, *partition).await?;
        if at < start || at > end {
            return Err(log::Error::OffsetOutOfRange { offset: at, start, end });
        }
        if at == end {
            return Ok(Fetched { records: Vec::new(), next: at, end });
        }
        let mut reader = self.reader(source, at).await?;
        let late = |_| log::Error::Unavailable(Arc::new(Late));
        let fetched = timeout(READ_TIMEOUT, reader.next(bytes_max)).await.map_err(late)??;
        drop(working);
        self.idle().push_back(Idle { place: source.place(), reader, since: Instant::now() });
        Ok(fetched)
    }

    async fn reader(&self, source: &Source, at: Offset) -> Result<Box<dyn Reader>, log::Error> {
        if let Some(mut reader) = self.take_idle(&source.place(), at) {
            if reader.position() != at {
                reader.seek(at);
            }
            return Ok(reader);
        }
        self.log.reader(&source.topic, source.partition, at, Purpose::CatchUp).await
    }

    /// An idle reader of this partition, one that stands there already if possible; else makes room for a new one.
    fn take_idle(&self, place: &Place, at: Offset) -> Option<Box<dyn Reader>> {
        let mut idle = self.idle();
        let there = idle.iter().position(|idle| idle.place == *place && idle.reader.position() == at);
        let index = there.or_else(|| idle.iter().position(|idle| idle.place == *place));
        if let Some(index) = index {
            return idle.remove(index).map(|idle| idle.reader);
        }
        let working = self.readers_max.saturating_sub(self.permits.available_permits());
        while idle.len() + working > self.readers_max && idle.pop_front().is_some() {}
        None
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, VecDeque<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows a reader at work for as long as it lives.
struct Working<'a>(&'a Metrics);

impl<'a> Working<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.catch_up_readers.inc();
        metrics.catch_up_reads.inc();
        Self(metrics)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.catch_up_readers.dec();
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a read of stored records took too long")]
struct Late;
