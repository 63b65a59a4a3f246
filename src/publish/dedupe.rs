//! Event ids of clients, remembered for a window, so that a repeated event is answered and not stored again.
//!
//! An entry is made when its event is handed over to the log and is *pending* until the log answers; who comes
//! with the same id meanwhile waits for that answer. An append that surely failed leaves no entry. One whose
//! outcome is unknown stays until somebody has looked into the log (`resolve`).
//!
//! ```text
//! reserve ── new ─► pending ── stored ──► done ─► duplicate
//!                          │                └─► outbox (`sharing`)
//!                          ├── refused ─► gone
//!                          └── unknown ─► looked up ─► done, or gone once nothing can arrive any more
//! learn ── told by another gateway, or by this one's last life ─► done
//! ```

mod entries;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::log;

use super::identity::{EventKey, Fingerprint, Place, Stored};
use super::metrics::Metrics;
use super::resolve::Lookup;
use super::sharing::Outbox;
use entries::{Entries, State};

/// Shards keep critical sections and the pauses of a growing table short.
const SHARDS: usize = 16;
/// Below this bound one shard is enough, and the bound is exact.
const ENTRIES_TO_SHARD: usize = 4_096;

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
    outbox: Outbox,
    /// Each guards its part of the entries; never two at once.
    shards: Box<[Mutex<Entries>]>,
}

impl Dedupe {
    /// A memory of at most `entries_max` ids, each for at most `window`.
    pub(super) fn new(window: Duration, entries_max: usize, metrics: Arc<Metrics>) -> Self {
        let shards = if entries_max < ENTRIES_TO_SHARD { 1 } else { SHARDS };
        metrics.dedupe_window.set(seconds(window));
        Self(Arc::new(Memory {
            window,
            entries_max: entries_max / shards,
            outbox: Outbox::new(Arc::clone(&metrics)),
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
        if let Some(entry) = shard.get_mut(key) {
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
        let until = now + memory.window;
        let turn = memory.enter(&mut shard, now, until, key, fingerprint, State::Pending(Vec::new()));
        Reserved::New(Reservation { dedupe: self.clone(), key, turn, stage: Stage::Reserved })
    }

    /// Remembers what somebody else stored, `age` ago; an id that is known stays as it is, but for one whose outcome is
    /// not.
    pub(super) fn learn(&self, stored: &Stored, age: Duration) {
        let memory = &self.0;
        let Some(left) = memory.window.checked_sub(age).filter(|left| !left.is_zero()) else { return };
        let now = Instant::now();
        let mut shard = self.shard(stored.key);
        memory.forget(&mut shard, now);
        if let Some(entry) = shard.get_mut(stored.key) {
            if matches!(entry.state, State::Unknown(_)) && entry.fingerprint == stored.fingerprint {
                entry.state = State::Done(stored.place);
            }
            return;
        }
        let Stored { key, fingerprint, place } = *stored;
        memory.enter(&mut shard, now, now + left, key, fingerprint, State::Done(place));
        memory.metrics.dedupe_learned.inc();
    }

    /// What is stored and others are to be told of.
    pub(super) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    /// What `reserve` would find, entering nothing.
    pub(super) fn look(&self, key: EventKey, fingerprint: Fingerprint) -> Seen {
        let now = Instant::now();
        let mut shard = self.shard(key);
        self.0.forget(&mut shard, now);
        match shard.get_mut(key) {
            None => Seen::Never,
            Some(entry) if entry.fingerprint == fingerprint => Seen::Same,
            Some(_) => Seen::Other,
        }
    }

    /// Where the event of an unknown outcome turned out to lie; `None` is nowhere.
    pub(super) fn settle_unknown(&self, key: EventKey, lookup: &Arc<Lookup>, found: Option<Place>) {
        let mut shard = self.shard(key);
        let Some(entry) = shard.get_mut(key) else { return };
        if !matches!(&entry.state, State::Unknown(have) if Arc::ptr_eq(have, lookup)) {
            return;
        }
        match found {
            Some(place) => {
                entry.state = State::Done(place);
                let stored = Stored { key, fingerprint: entry.fingerprint, place };
                drop(shard);
                self.0.outbox.put(stored);
            }
            None => self.0.remove(&mut shard, key),
        }
    }

    fn end(&self, key: EventKey, turn: u64, ending: &Ending) {
        let mut shard = self.shard(key);
        let Some(entry) = shard.by_turn(turn) else { return };
        let state = match ending {
            Ending::Stored(place) => State::Done(*place),
            Ending::NotStored(_) => State::Pending(Vec::new()),
            Ending::Unknown(lookup) => State::Unknown(Arc::clone(lookup)),
        };
        let fingerprint = entry.fingerprint;
        let State::Pending(waiters) = std::mem::replace(&mut entry.state, state) else { return };
        if matches!(ending, Ending::NotStored(_)) {
            self.0.remove(&mut shard, key);
        }
        drop(shard);
        if let Ending::Stored(place) = ending {
            self.0.outbox.put(Stored { key, fingerprint, place: *place });
        }
        for waiter in waiters {
            // One that no longer waits has gone with its client.
            drop(waiter.send(ending.clone()));
        }
    }

    fn abandon(&self, key: EventKey, turn: u64) {
        let mut shard = self.shard(key);
        if shard.by_turn(turn).is_some() {
            self.0.remove(&mut shard, key);
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the remainder is below the number of shards, which is not zero"
    )]
    fn shard(&self, key: EventKey) -> MutexGuard<'_, Entries> {
        let shards = &self.0.shards;
        shards[key.0 as usize % shards.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn forget(&self, shard: &mut Entries, now: Instant) {
        while shard.oldest().is_some_and(|until| now >= until) {
            if self.drop_oldest(shard) {
                self.metrics.dedupe_window.set(seconds(self.window));
            }
        }
    }

    /// Makes an entry, where any may be. Answers its turn.
    fn enter(
        &self,
        shard: &mut Entries,
        now: Instant,
        until: Instant,
        key: EventKey,
        fingerprint: Fingerprint,
        state: State,
    ) -> u64 {
        if self.entries_max == 0 {
            return shard.next_turn();
        }
        self.make_room(shard, now);
        self.metrics.dedupe_entries.inc();
        shard.push(key, fingerprint, until, state)
    }

    fn make_room(&self, shard: &mut Entries, now: Instant) {
        while shard.len() >= self.entries_max {
            let Some(until) = shard.oldest() else { return };
            if self.drop_oldest(shard) {
                self.metrics.dedupe_evictions.inc();
                let age = self.window.saturating_sub(until.duration_since(now));
                self.metrics.dedupe_window.set(seconds(age));
            }
        }
    }

    /// Drops the oldest; whether an entry went with it.
    fn drop_oldest(&self, shard: &mut Entries) -> bool {
        let is_live = shard.drop_oldest();
        if is_live {
            self.metrics.dedupe_entries.dec();
        }
        is_live
    }

    fn remove(&self, shard: &mut Entries, key: EventKey) {
        if shard.remove(key) {
            self.metrics.dedupe_entries.dec();
        }
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
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
