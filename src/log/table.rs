//! A compacted topic held in memory: read to its end at start, kept current by a tail.
//!
//! ```text
//! write ── log.append ── durable ── tail reader ── entries ── visible ── write returns
//!
//! update ── read to the end ── decide ── log.append_at(the end) ── durable and visible ── update returns
//!             └───────────── another was first ──┘
//! ```
//! A write does not look at what is there: the last one wins. An update does, and of gateways that update at once each
//! decides by what the one before it wrote.

mod entries;
mod packed;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::event::{Offset, Partition, Record, Topic, partition_of};

use self::entries::Entries;
use super::{Append, Cleanup, Error, EventLog, NewRecord, Purpose, Reader, TopicSpec};

pub use self::entries::{ENTRY_BYTES, Shape, Size};
pub use self::packed::{PACKED_LONG_BYTES, PACKED_SHORT_BYTES, PackedValue, Packing, Words};

const READ_BYTES: usize = 1 << 20;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long an update may be overtaken again and again, or wait for what it has to read.
const UPDATE_MAX: Duration = Duration::from_secs(15);
const AGAIN_FIRST: Duration = Duration::from_millis(10);
const AGAIN_MAX: Duration = Duration::from_millis(500);
/// Updates take tables of one partition, which has one end.
const ONLY: Partition = Partition::new(0);

/// A table: the latest value of each key of a compacted topic. Cheap to clone; it has as many entries as the topic
/// has live keys, so whoever writes bounds it.
#[derive(Debug, Clone)]
pub struct Table {
    log: Arc<dyn EventLog>,
    topic: Topic,
    partitions: u32,
    state: Arc<State>,
    /// Ends the tails with the last clone.
    _tails: Arc<Tails>,
}

/// A log that ends before what was read of it: its topic was deleted and made again, or it lost records.
#[derive(Debug, thiserror::Error)]
#[error("topic '{topic}' ends at {end} now and had been read up to {place}; it was made anew")]
struct MadeAnew {
    topic: Topic,
    end: Offset,
    place: Offset,
}

#[derive(Debug)]
struct State {
    /// Held for single look-ups and for copying all entries, never across a wait.
    entries: RwLock<Entries>,
    /// How many changes of entries can be seen.
    changes: watch::Sender<u64>,
    /// Held while this gateway updates; its own updates need not overtake one another.
    updating: Mutex<()>,
    /// For each partition how far the entries follow it, or why they no longer do.
    places: Vec<watch::Sender<Result<Offset, Error>>>,
}

#[derive(Debug)]
struct Tails(Vec<AbortHandle>);

impl Drop for Tails {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Table {
    /// Opens the table, creating its topic on first need, and reads it to its end. A background task keeps it
    /// current for as long as a clone of the table lives. A topic that has more partitions keeps them.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn open(log: Arc<dyn EventLog>, topic: Topic, partitions: u32) -> Result<Self, Error> {
        Self::open_shaped(log, topic, partitions, Shape::default()).await
    }

    /// The same, held in memory as its shape says.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_shaped(
        log: Arc<dyn EventLog>,
        topic: Topic,
        partitions: u32,
        shape: Shape,
    ) -> Result<Self, Error> {
        let known = log.topic(&topic).map_or(0, |info| info.spec.partitions);
        let spec = TopicSpec {
            name: topic.clone(),
            partitions: partitions.max(known),
            cleanup: Cleanup::Compact,
            retention: None,
            retention_bytes: None,
        };
        let partitions = log.ensure_topic(&spec).await?.spec.partitions;
        let state = Arc::new(State::new(partitions, shape));
        let mut readers = Vec::new();
        for number in (0..partitions).map(Partition::new) {
            let bounds = log.bounds(&topic, number).await?;
            let mut reader = log.reader(&topic, number, bounds.start, Purpose::Tail).await?;
            while reader.position() < bounds.end {
                step(&mut *reader, number, &state).await?;
            }
            readers.push((number, reader));
        }
        let tails = readers.into_iter().map(|(number, reader)| {
            let tail = follow(reader, topic.clone(), number, Arc::clone(&state));
            tokio::spawn(tail).abort_handle()
        });
        let tails = Arc::new(Tails(tails.collect()));
        Ok(Self { log, topic, partitions, state, _tails: tails })
    }

    /// The value of a key.
    #[must_use]
    pub fn read(&self, key: &[u8]) -> Option<Bytes> {
        self.state.read(key)
    }

    /// All entries by key.
    #[must_use]
    pub fn entries(&self) -> Vec<(Bytes, Bytes)> {
        self.below(b"")
    }

    /// How much it holds now.
    #[must_use]
    pub fn size(&self) -> Size {
        self.state.size()
    }

    /// The entries whose keys begin with `prefix`, by key.
    #[must_use]
    pub fn below(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        self.state.below(prefix)
    }

    /// The entries whose keys begin with `prefix` and come after `after`, by key, at most so many: the way through a
    /// large table without holding all of it once more.
    #[must_use]
    pub fn page(&self, prefix: &[u8], after: Option<&[u8]>, entries_max: usize) -> Vec<(Bytes, Bytes)> {
        self.state.entries.read().unwrap_or_else(PoisonError::into_inner).page(prefix, after, entries_max)
    }

    /// Writes a value, or removes the key with `None`; returns when it is durable and visible in this table.
    ///
    /// # Errors
    /// What the engine says. After an error other than a refusal the write may still become visible.
    pub async fn write(&self, key: Bytes, value: Option<Bytes>) -> Result<Offset, Error> {
        let partition = partition_of(&key, self.partitions);
        let record = NewRecord { key: Some(key), value, ..NewRecord::default() };
        let append = Append { topic: self.topic.clone(), partition, records: vec![record] };
        let offset = self.log.append(append).await?.base;
        self.state.seen(partition, offset).await?;
        Ok(offset)
    }

    /// Changes the table as `decide` does to what it is given: the table read to its end. All of it is stored together,
    /// and nobody writes between what `decide` saw and what it did; where somebody was first it is asked again, so it
    /// must do nothing else. Returns what it answered, when the change is durable and visible in this table. Only for
    /// tables of one partition.
    ///
    /// # Errors
    /// What `decide` says, with nothing stored, or the engine: all but [`Error::OutcomeUnknown`] mean the same.
    pub async fn update<T, E: From<Error>>(
        &self,
        mut decide: impl FnMut(&mut Draft<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.partitions != 1 {
            return Err(Error::NotSupported("updates of a table of several partitions").into());
        }
        let _turn = self.state.updating.lock().await;
        let deadline = Instant::now() + UPDATE_MAX;
        let mut wait = AGAIN_FIRST;
        loop {
            let end = self.catch_up(deadline).await?;
            let mut draft = Draft { state: &self.state, changes: Vec::new(), latest: HashMap::new() };
            let decided = decide(&mut draft)?;
            let record = |(key, value)| NewRecord { key: Some(key), value, ..NewRecord::default() };
            let records: Vec<NewRecord> = draft.changes.into_iter().map(record).collect();
            let Some(last) = records.len().checked_sub(1) else { return Ok(decided) };
            let append = Append { topic: self.topic.clone(), partition: ONLY, records };
            match self.log.append_at(append, end).await {
                Ok(appended) => {
                    // Stored by now, whatever becomes of the tail that would show it.
                    let seen = timeout_at(deadline, self.state.seen(ONLY, appended.offset(last))).await;
                    return match seen {
                        Ok(Ok(())) => Ok(decided),
                        Ok(Err(_)) | Err(_) => Err(Error::OutcomeUnknown.into()),
                    };
                }
                Err(Error::Overtaken) if Instant::now() < deadline => sleep(jittered(wait)).await,
                Err(error) => return Err(error.into()),
            }
            wait = (wait * 2).min(AGAIN_MAX);
        }
    }

    /// Reads the only partition to its end, and answers where that is.
    async fn catch_up(&self, deadline: Instant) -> Result<Offset, Error> {
        let reading = async {
            // Asked for first: the tail may go on while the bounds are.
            let place = self.state.place(ONLY)?;
            let bounds = self.log.bounds(&self.topic, ONLY).await?;
            if bounds.end < place {
                let anew = MadeAnew { topic: self.topic.clone(), end: bounds.end, place };
                return Err(Error::Unavailable(Arc::new(anew)));
            }
            let from = place.max(bounds.start);
            // The table's own tail need not come that far: the last offsets may hold no records.
            if from < bounds.end {
                let mut reader = self.log.reader(&self.topic, ONLY, from, Purpose::CatchUp).await?;
                while reader.position() < bounds.end {
                    step(&mut *reader, ONLY, &self.state).await?;
                }
            }
            Ok(bounds.end)
        };
        timeout_at(deadline, reading).await.unwrap_or_else(|late| Err(Error::Unavailable(Arc::new(late))))
    }

    /// How often an entry changed since the table was opened; changes whenever one does.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.state.changes.subscribe()
    }

    /// The keys that changed since [`Table::changes`] stood at `since`, once for each change; `None` where that were more
    /// than are remembered.
    #[must_use]
    pub fn changed_since(&self, since: u64) -> Option<Vec<Bytes>> {
        self.state.entries.read().unwrap_or_else(PoisonError::into_inner).changed_since(since)
    }
}

/// What an update makes of a table: what is there, and what is to change.
#[derive(Debug)]
pub struct Draft<'t> {
    state: &'t State,
    /// In their order. All are stored, those of one key too: the log is the table's history until it is compacted.
    changes: Vec<(Bytes, Option<Bytes>)>,
    /// The last change of each key.
    latest: HashMap<Bytes, Option<Bytes>>,
}

impl Draft<'_> {
    /// The value of a key, as changed so far.
    #[must_use]
    pub fn read(&self, key: &[u8]) -> Option<Bytes> {
        self.latest.get(key).cloned().unwrap_or_else(|| self.state.read(key))
    }

    /// The entries whose keys begin with `prefix`, by key, as changed so far.
    #[must_use]
    pub fn below(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        let mut entries: BTreeMap<Bytes, Bytes> = self.state.below(prefix).into_iter().collect();
        for (key, value) in self.latest.iter().filter(|(key, _)| key.starts_with(prefix)) {
            match value {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
        entries.into_iter().collect()
    }

    /// How much the table holds, without the changes of this update.
    #[must_use]
    pub fn size(&self) -> Size {
        self.state.size()
    }

    /// What an entry would take in memory, about.
    #[must_use]
    pub fn weight(&self, key: &[u8], value: &[u8]) -> usize {
        self.state.entries.read().unwrap_or_else(PoisonError::into_inner).weight(key, value)
    }

    /// Changes a value, or removes the key with `None`.
    pub fn write(&mut self, key: Bytes, value: Option<Bytes>) {
        self.latest.insert(key.clone(), value.clone());
        self.changes.push((key, value));
    }
}

impl State {
    fn new(partitions: u32, shape: Shape) -> Self {
        Self {
            entries: RwLock::new(Entries::new(shape)),
            changes: watch::channel(0).0,
            updating: Mutex::new(()),
            places: (0..partitions).map(|_| watch::channel(Ok(Offset::ZERO)).0).collect(),
        }
    }

    fn read(&self, key: &[u8]) -> Option<Bytes> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).read(key)
    }

    fn size(&self) -> Size {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).size()
    }

    fn below(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).page(prefix, None, usize::MAX)
    }

    /// How far the entries follow a partition.
    fn place(&self, partition: Partition) -> Result<Offset, Error> {
        self.places.get(partition.index()).map_or(Ok(Offset::ZERO), |place| place.borrow().clone())
    }

    /// Takes records over, in the order of their partition. The tail and an update may both bring them: what was here
    /// already is passed over.
    fn apply(&self, partition: Partition, records: &[Record], next: Offset) {
        // Held to the end, so that the place always fits the entries.
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let place = self.place(partition).unwrap_or(next);
        let before = entries.changed();
        for record in records.iter().filter(|record| record.offset >= place) {
            let Some(key) = &record.key else { continue };
            entries.change(key, record.value.as_deref());
        }
        if let Some(place) = self.places.get(partition.index()) {
            place.send_modify(|place| *place = place.clone().map(|place| place.max(next)));
        }
        let changed = entries.changed();
        drop(entries);
        if changed > before {
            self.changes.send_modify(|seen| *seen = changed.max(*seen));
        }
    }

    /// Waits until the record at `offset` was taken over.
    async fn seen(&self, partition: Partition, offset: Offset) -> Result<(), Error> {
        let Some(place) = self.places.get(partition.index()) else { return Ok(()) };
        let mut place = place.subscribe();
        let seen = place.wait_for(|place| place.as_ref().map_or(true, |next| *next > offset)).await;
        seen.map_or(Err(Error::Closed), |place| place.as_ref().map(|_| ()).map_err(Error::clone))
    }
}

/// A part of a wait between a half and all, so that those who wait do not come at once again.
fn jittered(wait: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1_000;
    wait / 2 + wait / 2 * u32::try_from(random).unwrap_or(0) / 1_000
}

async fn step(reader: &mut dyn Reader, partition: Partition, state: &State) -> Result<(), Error> {
    let fetched = match reader.next(READ_BYTES).await {
        Err(Error::OffsetOutOfRange { start, .. }) if reader.position() < start => {
            reader.seek(start);
            return Ok(());
        }
        fetched => fetched?,
    };
    state.apply(partition, &fetched.records, fetched.next);
    Ok(())
}

/// Follows a partition until the table goes, or the log says that there will be no more.
async fn follow(mut reader: Box<dyn Reader>, topic: Topic, partition: Partition, state: Arc<State>) {
    let mut wait = RETRY_FIRST;
    loop {
        match step(&mut *reader, partition, &state).await {
            Ok(()) => wait = RETRY_FIRST,
            Err(error @ (Error::Closed | Error::UnknownTopic(_) | Error::UnknownPartition { .. })) => {
                if let Some(place) = state.places.get(partition.index()) {
                    place.send_modify(|place| *place = Err(error));
                }
                return;
            }
            Err(error) => {
                tracing::warn!(%topic, %partition, error = &error as &dyn std::error::Error, "a table cannot follow its topic; it tries again");
                sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests;
