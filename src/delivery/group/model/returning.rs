//! Dead letters of the model that are sent back, each as often as somebody likes, and what is known of them.

use crate::delivery::key_hash::KeyHash;
use crate::delivery::redrive::{Rank, Ranked, Redriven};
use crate::event::{Partition, Record};

use super::super::{Burial, REDRIVES, Slot};
use super::{KEYS, World};

/// The number of the partition that they come back through.
pub(super) const BACK: u32 = super::PARTITIONS;
pub(super) const BACK_SLOT: Slot = Slot { topic: REDRIVES, partition: BACK };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Away,
    Settled,
}

/// A letter; its number is its offset in the source.
#[derive(Debug, Clone, Copy)]
struct Letter {
    key: Option<usize>,
    state: State,
    /// Whether it died again and was not acknowledged since.
    has_died: bool,
}

#[derive(Debug, Default)]
pub(super) struct Letters {
    /// What the table says.
    table: Vec<Letter>,
    /// What it will say with the next commit.
    unwritten: Vec<(usize, Letter)>,
    /// All letters, in the order of their newest records.
    order: Vec<usize>,
    /// What lies in the partition, by offset.
    back: Vec<usize>,
}

impl Letters {
    fn now(&self, letter: usize) -> Letter {
        let newest = self.unwritten.iter().rev().find(|(one, _)| *one == letter);
        newest.map_or(self.table[letter], |(_, now)| *now)
    }

    fn note(&mut self, offset: u64, state: State, has_died: bool) {
        let letter = self.back[offset as usize];
        let now = Letter { state, has_died, ..self.now(letter) };
        self.unwritten.push((letter, now));
    }

    /// What came back is acknowledged.
    pub(super) fn resolved(&mut self, offset: u64) {
        self.note(offset, State::Settled, false);
    }

    /// It is a letter again, behind all others.
    pub(super) fn died(&mut self, offset: u64) {
        let letter = self.back[offset as usize];
        self.order.retain(|one| *one != letter);
        self.order.push(letter);
        self.note(offset, State::Open, true);
    }

    /// The table is written, as it is before a commit; or never will be.
    pub(super) fn write(&mut self, is_written: bool) {
        for (letter, now) in std::mem::take(&mut self.unwritten) {
            if is_written {
                self.table[letter] = now;
            }
        }
    }

    /// Whether it is settled, and did not die once more without that being written.
    fn is_out_of_the_way(&self, letter: usize) -> bool {
        let is_written = self.unwritten.iter().all(|(one, now)| *one != letter || !now.has_died);
        self.table[letter].state == State::Settled && is_written
    }

    fn rank(&self, letter: usize) -> Option<Rank> {
        let key = self.table[letter].key?;
        let key = KeyHash::of(&[b"orders.v1/".as_slice(), &[u8::try_from(key).unwrap()]].concat());
        Some(Rank { key, offset: letter as u64 })
    }
}

impl World {
    /// One thing happens to letters: there is a new one, some are sent back, one is discarded.
    pub(super) fn letter_step(&mut self) -> &'static str {
        match self.below(8) {
            0..=2 => self.new_letter(),
            3..=6 => self.send_back(),
            _ => self.discard(),
        }
    }

    fn new_letter(&mut self) -> &'static str {
        let key = self.below(KEYS + 1);
        let key = (key < KEYS).then_some(key % 3);
        self.letters.order.push(self.letters.table.len());
        self.letters.table.push(Letter { key, state: State::Open, has_died: false });
        "new letter"
    }

    /// Those that are open, or some of them, in the order in which they lie.
    fn send_back(&mut self) -> &'static str {
        let is_whole = self.below(2) == 0;
        let open = |one: &&usize| self.letters.table[**one].state == State::Open;
        let open: Vec<usize> = self.letters.order.iter().filter(open).copied().collect();
        for letter in open.into_iter().take(20) {
            if self.letters.unwritten.iter().any(|(one, _)| *one == letter)
                || !(is_whole || self.below(3) > 0)
            {
                continue;
            }
            self.letters.table[letter].state = State::Away;
            self.letters.back.push(letter);
            let key = self.letters.table[letter].key;
            self.partitions.get_mut(&BACK).unwrap().keys.push(key);
        }
        "send back"
    }

    fn discard(&mut self) -> &'static str {
        let open = |one: &usize| self.letters.table[*one].state == State::Open;
        let open: Vec<usize> = (0..self.letters.table.len()).filter(open).collect();
        let Some(letter) = self.pick(&open) else { return "nothing to discard" };
        if self.letters.unwritten.iter().all(|(one, _)| *one != letter) {
            self.letters.table[letter].state = State::Settled;
        }
        "discard"
    }

    /// What came back is read; the task forgets what bars its way no more, and passes over what is settled.
    pub(super) fn read_back(&mut self) -> &'static str {
        let partition = self.partitions.get_mut(&BACK).unwrap();
        let Some(from) = partition.reading.filter(|_| !partition.is_held) else { return "held" };
        let to = (from + 8).min(partition.keys.len() as u64);
        partition.reading = Some(to);
        let mut records: Vec<Record> = Vec::new();
        for offset in from..to {
            let letter = self.letters.back[offset as usize];
            if self.letters.table[letter].state == State::Settled {
                self.partitions.get_mut(&BACK).unwrap().settle(offset);
                continue;
            }
            if let Some(rank) = self.letters.rank(letter) {
                while let Some((first, name)) = self.group.first_bar(BACK_SLOT, rank.key)
                    && first.offset < rank.offset
                    && self.letters.is_out_of_the_way(usize::from_str_radix(name, 16).unwrap())
                {
                    self.group.unbar(BACK_SLOT, first);
                }
            }
            let key = self.letters.table[letter].key.map(|key| u8::try_from(key).unwrap());
            records.push(Redriven::sample(Partition::new(BACK), offset, key, letter as u64));
        }
        let last = records.last().map(|record| record.offset.number());
        self.group.records(BACK_SLOT, records, self.now);
        if to > from && last.is_none_or(|last| last + 1 < to) {
            self.group.gap(BACK_SLOT, to, self.now);
        }
        "read back"
    }

    /// What the table says of letters that died again.
    pub(super) fn read_bars(&mut self) -> &'static str {
        let Some(epoch) = self.group.epoch(BACK_SLOT) else { return "gone already" };
        let its = self.letters.table.iter().enumerate();
        let its = its.filter(|(_, one)| one.has_died && one.state != State::Settled);
        let bars = its.filter_map(|(number, _)| {
            let letter = format!("{number:032x}").into();
            Some(Ranked { rank: self.letters.rank(number)?, letter })
        });
        let bars = bars.collect();
        self.group.barred(BACK_SLOT, epoch, bars, self.now);
        "bars read"
    }

    /// Only what comes after one of its key that died again dies untried.
    pub(super) fn check_barred(&mut self, burial: &Burial) {
        assert!(!burial.parks, "its key is parked already");
        let letter = self.letters.back[burial.record.offset.number() as usize];
        let key = self.letters.table[letter].key;
        let mut earlier = (0..letter).filter(|one| key.is_some() && self.letters.table[*one].key == key);
        let is_behind = earlier.any(|one| self.letters.now(one).has_died || self.is_dying(one));
        assert!(is_behind, "{letter} died untried behind nothing");
        *self.steps.entry("barred").or_default() += 1;
    }

    /// Nothing is sent behind a letter of its key that died again, or whose new record is being written, and is not settled.
    pub(super) fn check_not_barred(&self, offset: u64) {
        assert!(!self.parking.unread.contains(&BACK), "nobody knows yet what died again");
        let letter = self.letters.back[offset as usize];
        let key = self.letters.table[letter].key;
        for earlier in (0..letter).filter(|one| key.is_some() && self.letters.table[*one].key == key) {
            let (now, stored) = (self.letters.now(earlier), self.letters.table[earlier]);
            // What somebody discards is out of the way, even if it fails at this moment.
            let is_settled = now.state == State::Settled || stored.state == State::Settled;
            assert!(
                is_settled || !(now.has_died || self.is_dying(earlier)),
                "{letter} passes {earlier} that died again: {now:?} {stored:?}"
            );
        }
    }

    /// Whether the task of now has given it up once more, and that is not durable yet.
    fn is_dying(&self, letter: usize) -> bool {
        let epoch = self.group.epoch(BACK_SLOT);
        let mut burials = self.burials.iter().filter(|one| one.slot == BACK_SLOT && Some(one.epoch) == epoch);
        burials.any(|one| self.letters.back[one.offset as usize] == letter)
    }
}
