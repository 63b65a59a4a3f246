//! Keys that are parked (`on_exhausted: park_key`): once a record is dead, the later ones of its key become dead letters
//! without a try, until all letters of the key are settled and it is released.
//!
//! What is earlier than the first dead record may still be tried: it comes before it in the key's order. A parked record
//! is in no lane, so that others of its partition need not wait for its letter. Once its last letters are on their way back
//! the key is closing: its records wait in their lane for what becomes of those, and so they do while a release is being
//! written. They are sent when that is durable, and become letters where the key stays parked.
//!
//! ```text
//! dead ── Bury, parks ── buried ── parked ── Bury, Bury … ── begin_release ── leaving ── end_release ── tried again
//!                                  │    ▲                         │
//!                     begin_closing┴ closing ─────────────────────┘
//! ```

use std::collections::HashMap;

use super::super::key_hash::KeyHash;
use super::super::{Exhausted, Policy};
use super::source::{Phase, Source};
use super::{Group, LaneId, Moment, Reason, Slot};

/// What is to be taken of a key that is parked.
#[derive(Debug, Clone, Copy)]
struct Park {
    /// The first record that is dead.
    from: u64,
    stay: Stay,
}

/// How long a key stays parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// Nobody knows.
    Open,
    /// Until letters that are on their way back are settled.
    Closing,
    /// Until its release is written.
    Leaving,
}

/// The parked keys of a partition; their number is bounded by who makes them durable.
#[derive(Debug, Default)]
pub(super) struct Parking {
    /// Whether the log was not asked yet which keys are parked, or barred: nothing is taken before.
    is_unknown: bool,
    keys: HashMap<KeyHash, Park>,
    /// Letters being written, by key.
    dying: HashMap<KeyHash, u32>,
}

/// What becomes of a record that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is tried.
    Lane,
    /// It waits for what becomes of its key.
    Waiting,
    /// It is dead as it is.
    Grave,
}

impl Group {
    /// Which keys of a partition are parked, and since which record: it may go on now.
    pub(in crate::delivery) fn parked(
        &mut self,
        slot: Slot,
        epoch: u64,
        keys: impl IntoIterator<Item = (KeyHash, u64)>,
        now: Moment,
    ) {
        let Some(source) = self.source_of(slot, epoch) else { return };
        source.parking.be_known();
        for (key, from) in keys {
            self.park(slot, key, from, now);
        }
        self.admit(slot, now);
    }

    /// Lets a key go if no letter of it is being written: from now on its records wait for [`Group::end_release`].
    pub(in crate::delivery) fn begin_release(&mut self, slot: Slot, epoch: u64, key: KeyHash) -> bool {
        let Some(source) = self.source_of(slot, epoch).filter(|source| source.phase == Phase::Active) else {
            return false;
        };
        let is_dying = source.parking.dying.contains_key(&key);
        match source.parking.keys.get_mut(&key) {
            Some(park) if !is_dying && park.stay != Stay::Leaving => {
                park.stay = Stay::Leaving;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The last letters of a key are on their way back: from now on its records wait for what becomes of them. Answers
    /// whether they do; once more changes nothing.
    pub(in crate::delivery) fn begin_closing(&mut self, slot: Slot, epoch: u64, key: KeyHash) -> bool {
        let parks = self.policy.on_exhausted == Exhausted::ParkKey;
        let source = self.source_of(slot, epoch).filter(|source| parks && source.phase == Phase::Active);
        let park = source.and_then(|source| source.parking.keys.get_mut(&key));
        let Some(park) = park else { return false };
        if park.stay == Stay::Open {
            park.stay = Stay::Closing;
        }
        true
    }

    /// A key that was closing stays parked: what waits of it is dead.
    pub(in crate::delivery) fn end_closing(&mut self, slot: Slot, epoch: u64, key: KeyHash, now: Moment) {
        let Some(source) = self.source_of(slot, epoch) else { return };
        let park = source.parking.keys.get_mut(&key).filter(|park| park.stay == Stay::Closing);
        let Some(park) = park else { return };
        park.stay = Stay::Open;
        let from = park.from;
        self.bury_followers(slot, key, from, now);
    }

    /// Another policy may not look after parked keys: none of them is closing then.
    pub(super) fn end_closings_for(&mut self, policy: &Policy, now: Moment) {
        if policy.on_exhausted == Exhausted::ParkKey {
            return;
        }
        let closing = self.sources.iter().flat_map(|(slot, source)| {
            let keys = source.parking.keys.iter().filter(|(_, park)| park.stay == Stay::Closing);
            keys.map(|(key, _)| (*slot, source.epoch, *key))
        });
        for (slot, epoch, key) in closing.collect::<Vec<_>>() {
            self.end_closing(slot, epoch, key, now);
        }
    }

    /// How many keys of all partitions are closing.
    pub(in crate::delivery) fn keys_closing(&self) -> usize {
        self.sources.values().map(|source| source.parking.closing()).sum()
    }

    /// A release is durable, or did not take place. Where another record of the key died meanwhile, it stays parked.
    pub(in crate::delivery) fn end_release(
        &mut self,
        slot: Slot,
        epoch: u64,
        key: KeyHash,
        is_released: bool,
        now: Moment,
    ) {
        let Some(source) = self.source_of(slot, epoch) else { return };
        let Some(park) = source.parking.keys.get_mut(&key).filter(|park| park.stay == Stay::Leaving) else {
            return;
        };
        let from = park.from;
        park.stay = Stay::Open;
        if !is_released {
            self.bury_followers(slot, key, from, now);
            return;
        }
        source.parking.keys.remove(&key);
        for offset in self.followers(slot, key, from) {
            self.let_go(slot, offset, now);
        }
    }

    /// Whether keys of a partition are parked.
    pub(in crate::delivery) fn has_parked(&self, slot: Slot) -> bool {
        self.sources.get(&slot).is_some_and(|source| !source.parking.keys.is_empty())
    }

    /// Whether a key that the log says is parked is so here, or will be.
    pub(in crate::delivery) fn knows_parked(&self, slot: Slot, key: KeyHash) -> bool {
        let parking = self.sources.get(&slot).map(|source| &source.parking);
        parking.is_some_and(|known| known.keys.contains_key(&key) || known.dying.contains_key(&key))
    }

    /// A letter is durable: later records of its key follow it.
    pub(super) fn died(&mut self, slot: Slot, offset: u64, key: KeyHash, now: Moment) {
        let Some(source) = self.sources.get_mut(&slot) else { return };
        if let Some(dying) = source.parking.dying.get_mut(&key) {
            *dying -= 1;
            if *dying == 0 {
                source.parking.dying.remove(&key);
            }
        }
        self.park(slot, key, offset, now);
    }

    /// What stands for a record's key, where keys can be parked; an event that is delivered once more had its turn.
    pub(super) fn key_hash(&self, slot: Slot, key: Option<&bytes::Bytes>) -> Option<KeyHash> {
        match self.policy.on_exhausted {
            Exhausted::ParkKey if slot.is_replayed() => None,
            Exhausted::ParkKey => key.map(|key| KeyHash::of(key)),
            Exhausted::Skip | Exhausted::Halt => None,
        }
    }

    fn park(&mut self, slot: Slot, key: KeyHash, from: u64, now: Moment) {
        let Some(source) = self.sources.get_mut(&slot) else { return };
        let new = Park { from: u64::MAX, stay: Stay::Open };
        let park = source.parking.keys.entry(key).or_insert(new);
        if park.from <= from && park.stay != Stay::Leaving {
            return;
        }
        *park = Park { from: park.from.min(from), stay: Stay::Open };
        let from = park.from;
        self.bury_followers(slot, key, from, now);
    }

    /// Hands what waits of a key to the dead letters. A partition that must go leaves that to its next owner.
    fn bury_followers(&mut self, slot: Slot, key: KeyHash, from: u64, now: Moment) {
        if self.sources.get(&slot).is_none_or(|source| source.phase != Phase::Active) {
            return;
        }
        for offset in self.followers(slot, key, from) {
            self.bury_untried(slot, offset, now);
        }
    }

    /// A record of a parked key is dead without a try, or without another one.
    pub(super) fn bury_untried(&mut self, slot: Slot, offset: u64, now: Moment) {
        let attempts_max = self.policy.attempts_max();
        let one = self.sources.get_mut(&slot).and_then(|source| source.tracker.get_mut(offset));
        let Some(one) = one else { return };
        let lane = one.kept.lane.take();
        let is_exhausted = one.attempts() >= attempts_max;
        if let Some((id, seat)) = lane.and_then(|id| Some((id, self.lanes.get_mut(&id)?))) {
            seat.lane.settle(offset, now.elapsed);
            self.touch(id, now);
        }
        let reason = if is_exhausted { Reason::RetriesExhausted } else { Reason::KeyParked };
        self.bury(slot, offset, reason, now);
    }

    /// The records of a key that wait in a lane, from an offset on.
    fn followers(&self, slot: Slot, key: KeyHash, from: u64) -> Vec<u64> {
        let Some(source) = self.sources.get(&slot) else { return Vec::new() };
        let its = source.tracker.iter().filter(|(offset, one)| *offset >= from && one.kept.key == Some(key));
        its.filter(|(offset, one)| self.is_waiting(one.kept.lane, *offset))
            .map(|(offset, _)| offset)
            .collect()
    }

    /// Whether a record is neither in flight nor being buried.
    pub(super) fn is_waiting(&self, lane: Option<LaneId>, offset: u64) -> bool {
        let seat = lane.and_then(|id| self.lanes.get(&id));
        seat.is_some_and(|seat| seat.lane.flight(offset).is_none() && !seat.lane.is_burying(offset))
    }

    /// What waited for a release is tried.
    fn let_go(&mut self, slot: Slot, offset: u64, now: Moment) {
        let attempts_max = self.policy.attempts_max();
        let Some(one) = self.sources.get(&slot).and_then(|source| source.tracker.get(offset)) else { return };
        let (lane, is_dead) = (one.kept.lane, one.attempts() >= attempts_max);
        if is_dead {
            self.came_exhausted(slot, offset, now);
        } else if let Some(seat) = lane.and_then(|id| self.lanes.get_mut(&id)) {
            seat.lane.release(offset, now.elapsed);
            seat.lane.record(offset);
        }
        if let Some(id) = lane {
            self.touch(id, now);
        }
    }

    fn source_of(&mut self, slot: Slot, epoch: u64) -> Option<&mut Source> {
        self.sources.get_mut(&slot).filter(|source| source.epoch == epoch)
    }
}

impl Parking {
    /// Of a partition that just came.
    pub(super) fn new(slot: Slot, policy: &Policy) -> Self {
        let parks = policy.on_exhausted == Exhausted::ParkKey && !slot.is_replayed();
        Self { is_unknown: parks, ..Self::default() }
    }

    /// The log was asked.
    pub(super) const fn be_known(&mut self) {
        self.is_unknown = false;
    }

    pub(super) const fn is_unknown(&self) -> bool {
        self.is_unknown
    }

    pub(super) fn place(&self, key: Option<KeyHash>, offset: u64) -> Place {
        match key.and_then(|key| self.keys.get(&key)) {
            Some(park) if park.from <= offset => match park.stay {
                Stay::Open => Place::Grave,
                Stay::Closing | Stay::Leaving => Place::Waiting,
            },
            Some(_) | None => Place::Lane,
        }
    }

    /// Whether a key's records wait for its last letters.
    pub(super) fn is_closing(&self, key: Option<KeyHash>) -> bool {
        key.and_then(|key| self.keys.get(&key)).is_some_and(|park| park.stay == Stay::Closing)
    }

    fn closing(&self) -> usize {
        self.keys.values().filter(|park| park.stay == Stay::Closing).count()
    }

    pub(super) fn note_dying(&mut self, key: KeyHash) {
        *self.dying.entry(key).or_default() += 1;
    }
}
