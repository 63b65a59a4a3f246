//! The dead letters of the model and the table of parked keys, which both outlive a crash.

use std::collections::{BTreeMap, BTreeSet};

use crate::delivery::key_hash::KeyHash;
use crate::delivery::{Exhausted, Tag};

use super::super::{Burial, Slot};
use super::{BACK, Partition, World, slot};

/// A letter that is to be written.
#[derive(Debug)]
pub(super) struct Buried {
    pub(super) slot: Slot,
    pub(super) epoch: u64,
    pub(super) offset: u64,
    parks: bool,
    is_untried: bool,
    is_written: bool,
}

#[derive(Debug)]
struct Letter {
    offset: u64,
    /// Whether it is durable that its key is parked.
    is_bound: bool,
    is_resolved: bool,
}

type Key = (u32, usize);

/// A release that is being written.
#[derive(Debug)]
struct Release {
    key: Key,
    epoch: u64,
    /// What the entry was when the letters were read.
    entry: (u64, u32),
}

#[derive(Debug, Default)]
pub(super) struct Log {
    letters: BTreeMap<Key, Vec<Letter>>,
    /// Since which record a key is parked, and how often that was written.
    table: BTreeMap<Key, (u64, u32)>,
    releases: Vec<Release>,
    /// Keys whose records wait for their last letters.
    closing: BTreeSet<Key>,
    /// Partitions that came, and their parked keys were not read yet.
    pub(super) unread: BTreeSet<u32>,
    /// The last record of each key that died untried since its partition came.
    last: BTreeMap<Key, u64>,
}

fn hash(key: usize) -> KeyHash {
    KeyHash::of(&[u8::try_from(key).unwrap()])
}

impl Buried {
    pub(super) fn of(burial: &Burial) -> Self {
        Self {
            slot: burial.slot,
            epoch: burial.epoch,
            offset: burial.record.offset.number(),
            parks: burial.parks,
            is_untried: burial.key.is_some() && !burial.parks,
            is_written: false,
        }
    }
}

impl Log {
    /// Goes on with a burial: first its letter is written, then, where it parks its key, that.
    pub(super) fn is_durable(
        &mut self,
        burials: &mut [Buried],
        at: usize,
        partitions: &BTreeMap<u32, Partition>,
    ) -> bool {
        let Buried { slot, offset, parks, is_written, .. } = burials[at];
        if slot.is_redriven() {
            return true;
        }
        let Some(key) = partitions[&slot.partition].keys[offset as usize] else { return true };
        let key = (slot.partition, key);
        if !is_written {
            self.letters.entry(key).or_default().push(Letter {
                offset,
                is_bound: !parks,
                is_resolved: false,
            });
            burials[at].is_written = true;
            return !parks;
        }
        // It died after all: its key is parked anew.
        self.closing.remove(&key);
        let (from, times) = self.table.get(&key).copied().unwrap_or((u64::MAX, 0));
        self.table.insert(key, (from.min(offset), times + 1));
        for letter in self.letters.entry(key).or_default().iter_mut().filter(|one| one.offset == offset) {
            letter.is_bound = true;
        }
        true
    }

    /// A partition is another's: what was being written of releases is by now, or never will be.
    pub(super) fn gone(&mut self, number: u32, is_removed: bool) {
        for Release { key, entry, .. } in self.releases.extract_if(.., |one| one.key.0 == number) {
            if is_removed && self.table.get(&key) == Some(&entry) {
                self.table.remove(&key);
            }
        }
        self.unread.remove(&number);
        self.closing.retain(|(partition, _)| *partition != number);
        self.last.retain(|(partition, _), _| *partition != number);
    }
}

impl World {
    pub(super) fn parks(&self) -> bool {
        self.policy.on_exhausted == Exhausted::ParkKey
    }

    /// One thing happens to parked keys: they are read, a letter is settled, a key is released.
    pub(super) fn park_step(&mut self) -> &'static str {
        if self.below(2) == 0
            && let Some(number) = self.parking.unread.pop_first()
        {
            return self.read_parked(number);
        }
        match self.below(5) {
            0 => self.settle_letters(),
            1 => self.begin_release(),
            2 => self.end_release(),
            3 => self.begin_closing(),
            _ => self.end_closing(),
        }
    }

    /// A redrive has sent the last letters of some key: from now on its records wait.
    fn begin_closing(&mut self) -> &'static str {
        let known = |(number, _): &&Key| !self.parking.unread.contains(number);
        let keys: Vec<Key> = self.parking.table.keys().filter(known).copied().collect();
        let Some(key) = self.pick(&keys) else { return "nothing parked" };
        let Some(epoch) = self.group.epoch(slot(key.0)) else { return "gone already" };
        if !self.group.begin_closing(slot(key.0), epoch, hash(key.1)) {
            return "not to close";
        }
        if self.parking.releases.iter().all(|one| one.key != key) {
            self.parking.closing.insert(key);
        }
        "closing"
    }

    /// One of those letters died again, or it takes too long.
    fn end_closing(&mut self) -> &'static str {
        let keys: Vec<Key> = self.parking.closing.iter().copied().collect();
        // Mostly there is time for it to be released.
        let is_late = self.below(4) == 0;
        let Some(key) = self.pick(&keys).filter(|_| is_late) else { return "nothing closing" };
        let Some(epoch) = self.group.epoch(slot(key.0)) else { return "gone already" };
        self.parking.closing.remove(&key);
        self.group.end_closing(slot(key.0), epoch, hash(key.1), self.now);
        "not closed"
    }

    fn read_parked(&mut self, number: u32) -> &'static str {
        if number == BACK {
            return self.read_bars();
        }
        let Some(epoch) = self.group.epoch(slot(number)) else { return "gone already" };
        let entries = self.parking.table.iter().filter(|((partition, _), _)| *partition == number);
        let keys: Vec<_> = entries.map(|((_, key), (from, _))| (hash(*key), *from)).collect();
        self.group.parked(slot(number), epoch, keys, self.now);
        "parked keys read"
    }

    /// Of some key all letters that there are, or the first.
    fn settle_letters(&mut self) -> &'static str {
        let mut keys: Vec<Key> = self.parking.table.keys().copied().collect();
        if !self.parking.closing.is_empty() {
            keys.retain(|key| self.parking.closing.contains(key));
        }
        let Some(key) = self.pick(&keys) else { return "nothing parked" };
        let count = if self.below(3) == 0 { 1 } else { usize::MAX };
        let letters = self.parking.letters.get_mut(&key).unwrap();
        letters.iter_mut().filter(|one| !one.is_resolved).take(count).for_each(|one| one.is_resolved = true);
        "settle letters"
    }

    fn begin_release(&mut self) -> &'static str {
        let all = self.parking.table.iter().filter(|(key, (from, _))| {
            !self.parking.unread.contains(&key.0)
                && self.parking.letters[*key].iter().all(|one| one.is_resolved || one.offset < *from)
        });
        let all: Vec<(Key, (u64, u32))> = all.map(|(key, entry)| (*key, *entry)).collect();
        let Some((key, entry)) = self.pick(&all) else { return "nothing to release" };
        let Some(epoch) = self.group.epoch(slot(key.0)) else { return "gone already" };
        if !self.group.begin_release(slot(key.0), epoch, hash(key.1)) {
            return "not yet to release";
        }
        self.parking.releases.push(Release { key, epoch, entry });
        "begin release"
    }

    fn end_release(&mut self) -> &'static str {
        if self.parking.releases.is_empty() {
            return "nothing released";
        }
        let Release { key, epoch, entry } = self.parking.releases.remove(0);
        let is_same = self.parking.table.get(&key) == Some(&entry);
        let is_released = is_same && self.below(3) > 0;
        if is_released {
            self.parking.table.remove(&key);
            self.parking.last.remove(&key);
        }
        self.group.end_release(slot(key.0), epoch, hash(key.1), is_released, self.now);
        if self.parking.closing.remove(&key) && is_released {
            *self.steps.entry("let go").or_default() += 1;
        }
        match (is_same, is_released) {
            (false, _) => "died again",
            (true, false) => "not released",
            (true, true) => "released",
        }
    }

    /// Only what comes after a durable dead record of its key dies untried, once and in order.
    pub(super) fn check_parked(&mut self, burial: &Burial) {
        let (number, offset) = (burial.slot.partition, burial.record.offset.number());
        let key = (number, self.partitions[&number].keys[offset as usize].unwrap());
        assert!(!burial.parks, "its key is parked already");
        assert!(!self.parking.closing.contains(&key), "{offset} is to wait for the last letters of its key");
        let entry = self.parking.table.get(&key);
        assert!(entry.is_some_and(|(from, _)| *from <= offset), "{offset} of a key that is not parked");
        let last = self.parking.last.insert(key, offset);
        assert!(last.is_none_or(|last| last < offset), "letters of a key are in order");
        *self.steps.entry("parked").or_default() += 1;
    }

    /// Between its dead letter and its release nothing of a key is sent but what came before that.
    pub(super) fn check_not_parked(&self, tag: Tag) {
        if !self.parks() {
            return;
        }
        if tag.partition == BACK {
            self.check_not_barred(tag.offset);
            return;
        }
        assert!(!self.parking.unread.contains(&tag.partition), "nobody knows yet which keys are parked");
        let Some(key) = self.partitions[&tag.partition].keys[tag.offset as usize] else { return };
        let key = (tag.partition, key);
        let entry = self.parking.table.get(&key);
        assert!(entry.is_none_or(|(from, _)| *from > tag.offset), "{} of a parked key is sent", tag.offset);
        let letters = self.parking.letters.get(&key).into_iter().flatten();
        let open = letters.filter(|one| one.is_bound && !one.is_resolved && one.offset <= tag.offset).count();
        assert_eq!(open, 0, "sent behind an open letter of its key");
    }

    pub(super) fn is_dying_untried(&self, partition: u32, offset: u64) -> bool {
        let its = |one: &&Buried| one.slot.partition == partition && one.offset == offset;
        self.burials.iter().find(its).is_some_and(|one| one.is_untried)
    }
}
