//! A compacted topic held in memory: read to its end at start, kept current by a tail.
//!
//! ```text
//! write ── log.append ── durable ── tail reader ── entries ── visible ── write returns
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::event::{Offset, Partition, Record, Topic, partition_of};

use super::{Append, Cleanup, Error, EventLog, NewRecord, Purpose, Reader, TopicSpec};

const READ_BYTES: usize = 1 << 20;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

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

#[derive(Debug)]
struct State {
    /// By key. Held for single look-ups and for copying all entries, never across a wait.
    entries: RwLock<BTreeMap<Bytes, Bytes>>,
    changes: watch::Sender<u64>,
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
        let known = log.topic(&topic).map_or(0, |info| info.spec.partitions);
        let spec = TopicSpec {
            name: topic.clone(),
            partitions: partitions.max(known),
            cleanup: Cleanup::Compact,
            retention: None,
            retention_bytes: None,
        };
        let partitions = log.ensure_topic(&spec).await?.spec.partitions;
        let state = Arc::new(State::new(partitions));
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
        self.state.entries.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// All entries by key.
    #[must_use]
    pub fn entries(&self) -> Vec<(Bytes, Bytes)> {
        let entries = self.state.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
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

    /// Changes whenever an entry changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.state.changes.subscribe()
    }
}

impl State {
    fn new(partitions: u32) -> Self {
        Self {
            entries: RwLock::default(),
            changes: watch::channel(0).0,
            places: (0..partitions).map(|_| watch::channel(Ok(Offset::ZERO)).0).collect(),
        }
    }

    /// Takes records over, in the order of their partition.
    fn apply(&self, partition: Partition, records: &[Record], next: Offset) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            let Some(key) = &record.key else { continue };
            match &record.value {
                // Copied, since a slice would keep the whole batch it was read in.
                Some(value) => {
                    entries.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                }
                None => {
                    entries.remove(key);
                }
            }
        }
        drop(entries);
        if !records.is_empty() {
            self.changes.send_modify(|changes| *changes += 1);
        }
        if let Some(place) = self.places.get(partition.index()) {
            place.send_modify(|place| *place = Ok(next));
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
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY_MAX);
            }
        }
    }
}
