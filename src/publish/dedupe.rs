//! Event ids of clients, remembered for a window, so that a repeated event is answered and not stored again.
//!
//! An entry is made when its event is handed over to the log and is *pending* until the log answers; who comes
//! with the same id meanwhile waits for that answer. An append that surely failed leaves no entry. One whose
//! outcome is unknown stays until somebody has looked into the log (`resolve`).
//!
//! ```text
//! reserve ── new ─► pending ── stored ──► done ─► duplicate
//!                          ├── refused ─► gone
//!                          └── unknown ─► looked up ─► done, or gone once nothing can arrive any more
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::event::{EventId, Offset, Partition, Timestamp, Topic};
use crate::log;

use super::metrics::Metrics;
use super::resolve::Lookup;

/// Shards keep critical sections and the pauses of a growing table short.
const SHARDS: usize = 16;
/// Below this bound one shard is enough, and the bound is exact.
const ENTRIES_TO_SHARD: usize = 4_096;

/// Whose event it is: topic, principal and event id, hashed so that entries are small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct EventKey(u128);

impl EventKey {
    pub(super) fn new(topic: &Topic, principal: &str, event_id: &EventId) -> Self {
        Self(digest(&[topic.as_str().as_bytes(), principal.as_bytes(), event_id.as_str().as_bytes()]))
    }

    /// The key within this life of the topic: what was stored in an earlier topic of the same name is gone with it.
    pub(super) const fn within(self, incarnation: log::Incarnation) -> Self {
        const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        Self(self.0 ^ (incarnation.0 as u128).wrapping_mul(ODD))
    }
}

/// What was received under an event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u128);

impl Fingerprint {
    /// The fingerprint of an event's parts as received, and of a key given beside it.
    pub(super) fn new(parts: &[&[u8]], key: Option<&[u8]>) -> Self {
        let key: &[&[u8]] = if let Some(key) = &key { &[key] } else { &[] };
        Self(digest(&[parts, key].concat()))
    }
}

/// SHA-256 cut to 128 bits, over parts with their lengths, so that no two lists of parts are one text.
fn digest(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let (first, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    u128::from_le_bytes(*first)
}

/// Where an event was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    pub(super) timestamp: Timestamp,
}

/// How an append ended.
#[derive(Debug, Clone)]
pub(super) enum Ending {
    Stored(Place),
    NotStored(log::Error),
    Unknown(Arc<Lookup>),
}

/// What an event id was found to be.
#[derive(Debug)]
pub(super) enum Reserved {
    /// Not seen: append, and tell the reservation how it ended.
    New(Reservation),
    /// Stored before.
    Duplicate(Place),
    /// Handed over and not yet answered.
    Pending(oneshot::Receiver<Ending>),
    /// Perhaps stored before.
    Unknown(Arc<Lookup>),
    /// Used for other bytes.
    Conflict,
}

/// What an event id would be found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Never,
    Same,
    Other,
}

/// The event ids remembered. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Dedupe(Arc<Memory>);

#[derive(Debug)]
struct Memory {
    window: Duration,
    entries_max: usize,
    metrics: Arc<Metrics>,
    /// Each guards its part of the entries; never two at once.
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<EventKey, Entry>,
    /// Entries in the order they were made; a turn that is no longer its entry's is stale.
    ages: VecDeque<(Instant, EventKey, u64)>,
    turn: u64,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    turn: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Pending(Vec<oneshot::Sender<Ending>>),
    Done(Place),
    Unknown(Arc<Lookup>),
}

impl Dedupe {
    /// A memory of at most `entries_max` ids, each for at most `window`.
    pub(super) fn new(window: Duration, entries_max: usize, metrics: Arc<Metrics>) -> Self {
        let shards = if entries_max < ENTRIES_TO_SHARD { 1 } else { SHARDS };
        Self(Arc::new(Memory {
            window,
            entries_max: entries_max / shards,
            metrics,
            shards: (0..shards).map(|_| Mutex::default()).collect(),
        }))
    }

    /// Enters an id that is about to be appended, or says what is known of it.
    pub(super) fn reserve(&self, key: EventKey, fingerprint: Fingerprint) -> Reserved {
        let memory = &self.0;
        let now = Instant::now();
        let mut shard = self.shard(key);
        memory.forget(&mut shard, now);
        if let Some(entry) = shard.entries.get_mut(&key) {
            if entry.fingerprint != fingerprint {
                return Reserved::Conflict;
            }
            return match &mut entry.state {
                State::Pending(waiters) => {
                    let (sender, receiver) = oneshot::channel();
                    waiters.push(sender);
                    Reserved::Pending(receiver)
                }
                State::Done(place) => Reserved::Duplicate(*place),
                State::Unknown(lookup) => Reserved::Unknown(Arc::clone(lookup)),
            };
        }
        shard.turn += 1;
        let turn = shard.turn;
        if memory.entries_max > 0 {
            memory.make_room(&mut shard);
            shard.entries.insert(key, Entry { fingerprint, turn, state: State::Pending(Vec::new()) });
            shard.ages.push_back((now, key, turn));
            memory.metrics.dedupe_entries.inc();
        }
        Reserved::New(Reservation { dedupe: self.clone(), key, turn, stage: Stage::Reserved })
    }

    /// What `reserve` would find, entering nothing.
    pub(super) fn look(&self, key: EventKey, fingerprint: Fingerprint) -> Seen {
        let now = Instant::now();
        let mut shard = self.shard(key);
        self.0.forget(&mut shard, now);
        match shard.entries.get(&key) {
            None => Seen::Never,
            Some(entry) if entry.fingerprint == fingerprint => Seen::Same,
            Some(_) => Seen::Other,
        }
    }

    /// Where the event of an unknown outcome turned out to lie; `None` is nowhere.
    pub(super) fn settle_unknown(&self, key: EventKey, lookup: &Arc<Lookup>, found: Option<Place>) {
        let mut shard = self.shard(key);
        let Some(entry) = shard.entries.get_mut(&key) else { return };
        if !matches!(&entry.state, State::Unknown(have) if Arc::ptr_eq(have, lookup)) {
            return;
        }
        match found {
            Some(place) => entry.state = State::Done(place),
            None => self.0.remove(&mut shard, key),
        }
    }

    fn end(&self, key: EventKey, turn: u64, ending: &Ending) {
        let mut shard = self.shard(key);
        let Some(entry) = shard.entries.get_mut(&key).filter(|entry| entry.turn == turn) else { return };
        let state = match ending {
            Ending::Stored(place) => State::Done(*place),
            Ending::NotStored(_) => State::Pending(Vec::new()),
            Ending::Unknown(lookup) => State::Unknown(Arc::clone(lookup)),
        };
        let State::Pending(waiters) = std::mem::replace(&mut entry.state, state) else { return };
        if matches!(ending, Ending::NotStored(_)) {
            self.0.remove(&mut shard, key);
        }
        drop(shard);
        for waiter in waiters {
            // One that no longer waits has gone with its client.
            drop(waiter.send(ending.clone()));
        }
    }

    fn abandon(&self, key: EventKey, turn: u64) {
        let mut shard = self.shard(key);
        if shard.entries.get(&key).is_some_and(|entry| entry.turn == turn) {
            self.0.remove(&mut shard, key);
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the remainder is below the number of shards, which is not zero"
    )]
    fn shard(&self, key: EventKey) -> MutexGuard<'_, Shard> {
        let shards = &self.0.shards;
        shards[key.0 as usize % shards.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn forget(&self, shard: &mut Shard, now: Instant) {
        while shard.ages.front().is_some_and(|(at, ..)| now.duration_since(*at) >= self.window) {
            self.drop_oldest(shard);
        }
    }

    fn make_room(&self, shard: &mut Shard) {
        while shard.entries.len() >= self.entries_max {
            if self.drop_oldest(shard) {
                self.metrics.dedupe_evictions.inc();
            }
        }
    }

    /// Drops the oldest age, and answers whether an entry went with it.
    fn drop_oldest(&self, shard: &mut Shard) -> bool {
        let Some((_, key, turn)) = shard.ages.pop_front() else { return false };
        let is_live = shard.entries.get(&key).is_some_and(|entry| entry.turn == turn);
        if is_live {
            shard.entries.remove(&key);
            self.metrics.dedupe_entries.dec();
        }
        is_live
    }

    /// Removes an entry before its time; ages that became stale are swept when they outweigh the live ones.
    fn remove(&self, shard: &mut Shard, key: EventKey) {
        if shard.entries.remove(&key).is_some() {
            self.metrics.dedupe_entries.dec();
        }
        if shard.ages.len() > 2 * shard.entries.len() + 64 {
            let entries = &shard.entries;
            shard.ages.retain(|(_, key, turn)| entries.get(key).is_some_and(|entry| entry.turn == *turn));
        }
    }
}

/// An entry that waits for its append. Dropped before the hand-over, it says that nothing was stored; dropped after
/// it, the entry goes without a word, and who waits for it learns no more than that.
#[derive(Debug)]
pub(super) struct Reservation {
    dedupe: Dedupe,
    key: EventKey,
    turn: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reserved,
    HandedOver,
    Ended,
}

impl Reservation {
    /// Marks that the log has the record in its hands.
    pub(super) const fn hand_over(&mut self) {
        self.stage = Stage::HandedOver;
    }

    /// Ends the wait of the entry and of all who came for it meanwhile.
    pub(super) fn end(mut self, ending: &Ending) {
        self.stage = Stage::Ended;
        self.dedupe.end(self.key, self.turn, ending);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        match self.stage {
            Stage::Reserved => {
                self.dedupe.end(self.key, self.turn, &Ending::NotStored(log::Error::Overloaded));
            }
            Stage::HandedOver => self.dedupe.abandon(self.key, self.turn),
            Stage::Ended => {}
        }
    }
}
