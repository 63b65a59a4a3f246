//! Letters that come back to a group that parks keys: when one of them dies again, later ones of its key do not pass it.
//! They become letters again without a try, whenever they come, until every one before them that died again is settled;
//! where all of those come back ahead of them, they wait for what becomes of them.
//!
//! Order is that of their source, not of their coming: what died again comes behind what nobody sent back yet. What the
//! log says of those that died again is read before the partition starts, as for parked keys.
//!
//! ```text
//! comes ── tried ── ack ── bars nothing any more
//!   │        └ dies again ── buried ── bars its key ──┐
//!   └──────────── later one of the key ── Bury, untried ── buried
//! ```

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;

use crate::event::{Partition, Record};

use super::super::Exhausted;
use super::super::key_hash::KeyHash;
use super::super::redrive::{Rank, Ranked};
use super::source::Phase;
use super::{Group, Kept, Moment, Slot};

/// The letters that died again and are not settled, by key and source offset. There are no more than the table of dead
/// letters has entries, and most keys have one: a map for each would be three times the memory.
#[derive(Debug, Default)]
pub(super) struct Bars(BTreeMap<(KeyHash, u64), Box<str>>);

/// What comes before a letter that comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// None of its key that died again.
    Free,
    /// Those that died again come back before it: it waits for what becomes of them.
    Taken,
    /// One that died again and does not.
    Barred,
}

impl Group {
    /// Which letters died again and are not settled: the partition may go on now.
    pub(in crate::delivery) fn barred(&mut self, slot: Slot, epoch: u64, bars: Vec<Ranked>, now: Moment) {
        let Some(source) = self.sources.get_mut(&slot).filter(|source| source.epoch == epoch) else { return };
        bars.into_iter().for_each(|letter| source.bars.add(letter));
        source.parking.be_known();
        self.admit(slot, now);
    }

    /// The first letter of a key that died again and is not known to be settled.
    pub(in crate::delivery) fn first_bar(&self, slot: Slot, key: KeyHash) -> Option<(Rank, &str)> {
        let ((_, offset), letter) = self.sources.get(&slot)?.bars.0.range(Bars::of(key)).next()?;
        Some((Rank { key, offset: *offset }, letter))
    }

    /// That letter is settled, or has gone.
    pub(in crate::delivery) fn unbar(&mut self, slot: Slot, rank: Rank) {
        if let Some(source) = self.sources.get_mut(&slot) {
            source.bars.remove(rank);
        }
    }

    /// The letter that a record is, where the order of its key is kept.
    pub(super) fn ranked(&self, slot: Slot, record: &Record) -> Option<Ranked> {
        let is_ranked = slot.is_redriven() && self.policy.on_exhausted == Exhausted::ParkKey;
        is_ranked.then(|| Ranked::of(record, Partition::new(slot.partition))).flatten()
    }

    /// A letter that came back is durable once more: what waits behind it is not tried. A partition that must go leaves
    /// that to its next owner.
    pub(super) fn died_again(&mut self, slot: Slot, letter: Ranked, now: Moment) {
        let rank = letter.rank;
        let Some(source) = self.sources.get_mut(&slot) else { return };
        source.bars.add(letter);
        if source.phase != Phase::Active {
            return;
        }
        for offset in self.later(slot, rank) {
            self.bury_untried(slot, offset, now);
        }
    }

    /// What a record that is taken has before it.
    pub(super) fn way(&self, slot: Slot, offset: u64) -> Way {
        let Some(source) = self.sources.get(&slot).filter(|source| !source.bars.0.is_empty()) else {
            return Way::Free;
        };
        let rank_of = |kept: &Kept| kept.letter.as_ref().map(|letter| letter.rank);
        let Some(rank) = source.tracker.get(offset).and_then(|one| rank_of(&one.kept)) else {
            return Way::Free;
        };
        let bars = source.bars.0.range(Bars::of(rank.key)).map(|((_, bar), _)| *bar);
        let mut bars = bars.take_while(|bar| *bar < rank.offset).peekable();
        if bars.peek().is_none() {
            return Way::Free;
        }
        let ahead = source.tracker.iter().take_while(|(one, _)| *one < offset);
        let ahead = ahead.filter_map(|(_, one)| rank_of(&one.kept)).filter(|one| one.key == rank.key);
        let ahead: HashSet<u64> = ahead.map(|one| one.offset).collect();
        if bars.all(|bar| ahead.contains(&bar)) { Way::Taken } else { Way::Barred }
    }

    /// Later letters of its key that wait in a lane.
    fn later(&self, slot: Slot, rank: Rank) -> Vec<u64> {
        let Some(source) = self.sources.get(&slot) else { return Vec::new() };
        let its = source.tracker.iter().filter(|(_, one)| {
            let other = one.kept.letter.as_ref().map(|letter| letter.rank);
            other.is_some_and(|other| other.key == rank.key && other.offset > rank.offset)
        });
        its.filter(|(offset, one)| self.is_waiting(one.kept.lane, *offset))
            .map(|(offset, _)| offset)
            .collect()
    }
}

impl Bars {
    pub(super) fn remove(&mut self, rank: Rank) {
        self.0.remove(&(rank.key, rank.offset));
    }

    /// From when one dies: what comes while its new record is written does not pass it either.
    pub(super) fn add(&mut self, letter: Ranked) {
        let Ranked { rank, letter } = letter;
        self.0.insert((rank.key, rank.offset), letter);
    }

    /// Where those of a key are.
    const fn of(key: KeyHash) -> RangeInclusive<(KeyHash, u64)> {
        (key, 0)..=(key, u64::MAX)
    }
}
