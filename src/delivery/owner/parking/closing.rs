//! Parked keys that a redrive is about to settle all letters of: near its end their new events wait instead of becoming
//! letters, so that there is a last one.
//!
//! They wait in their lanes, within the bounds of any that is blocked: where those are full, the partition's intake pauses.
//! That lasts for a while at most; then they become letters, and for as long the key is left alone.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Offset;

use super::super::super::dead_letters::{Closing, closings};
use super::super::super::group::Slot;
use super::super::super::key_hash::KeyHash;
use super::super::Owner;

/// Events of a key wait when no more records of dead letters than these are left behind its first unsettled one.
const LETTERS_MAX: u64 = 2_000;
/// For so long at most.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// And not again for so long.
const REST: Duration = Duration::from_secs(30);

/// The keys of a partition whose events wait.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Since when they do.
    since: HashMap<KeyHash, Instant>,
    /// Those that waited for too long, and when they may again.
    resting: HashMap<KeyHash, Instant>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Orders {
    begin: Vec<KeyHash>,
    end: Vec<KeyHash>,
}

impl Owner {
    /// What a redrive does for parked keys may have changed; none of them waits for too long.
    pub(super) fn look_at_closing(&mut self) {
        let has_parked = self.parking.wards.keys().any(|slot| self.machine.has_parked(*slot));
        let closings = if has_parked { closings(&self.shared, &self.group) } else { Vec::new() };
        let of_slot = closings
            .into_iter()
            .filter_map(|(topic, partition, closing)| Some((self.slot(&topic, partition)?, closing)));
        let mut of_slot: HashMap<Slot, Closing> = of_slot.collect();
        let (at, now) = (Instant::now(), self.now());
        for (slot, ward) in &mut self.parking.wards {
            ward.closing = of_slot.remove(slot);
            for key in ward.waits.end_late(at) {
                tracing::warn!(group = %self.group, partition = slot.partition, "a key stays parked: the last of its letters were not settled in time");
                self.machine.end_closing(*slot, ward.epoch, key, now);
            }
            if ward.closing.is_some() || !ward.waits.since.is_empty() {
                self.parking.due.insert(*slot);
            }
        }
    }

    /// Lets events of keys wait whose letters are about to be settled, which ends there; those of others no longer.
    pub(super) fn follow_closing(
        &mut self,
        slot: Slot,
        epoch: u64,
        closing: &[(KeyHash, Offset)],
        end: Offset,
    ) {
        let now = self.now();
        let Some(ward) = self.parking.wards.get_mut(&slot) else { return };
        let Orders { begin, end } = ward.waits.follow(closing, end, Instant::now());
        for key in begin {
            self.machine.begin_closing(slot, epoch, key);
        }
        for key in end {
            self.machine.end_closing(slot, epoch, key, now);
        }
    }

    /// The policy no longer parks keys; the machine has ended what waited.
    pub(super) fn end_waits(&mut self) {
        for ward in self.parking.wards.values_mut() {
            (ward.closing, ward.waits) = (None, Waits::default());
        }
    }
}

impl Waits {
    pub(super) fn forget(&mut self, key: KeyHash) {
        self.since.remove(&key);
        self.resting.remove(&key);
    }

    /// Keys whose letters are about to be settled, the first unsettled ones from these places on to the end.
    fn follow(&mut self, closing: &[(KeyHash, Offset)], end: Offset, now: Instant) -> Orders {
        self.resting.retain(|_, until| *until > now);
        let is_near = |first: Offset| end.number().saturating_sub(first.number()) <= LETTERS_MAX;
        let mut orders = Orders::default();
        for (key, first) in closing {
            let may_begin = is_near(*first) && !self.resting.contains_key(key);
            if may_begin || self.since.contains_key(key) {
                self.since.entry(*key).or_insert(now);
                orders.begin.push(*key);
            }
        }
        let meant: HashSet<KeyHash> = closing.iter().map(|(key, _)| *key).collect();
        orders.end.extend(self.since.extract_if(|key, _| !meant.contains(key)).map(|(key, _)| key));
        orders
    }

    /// Those that waited for too long.
    fn end_late(&mut self, now: Instant) -> Vec<KeyHash> {
        let late = self.since.extract_if(|_, since| now.duration_since(*since) >= WAIT_MAX);
        let late: Vec<KeyHash> = late.map(|(key, _)| key).collect();
        self.resting.extend(late.iter().map(|key| (*key, now + REST)));
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(of: &[u8], first: u64) -> Vec<(KeyHash, Offset)> {
        of.iter().map(|key| (KeyHash::of(&[*key]), Offset::new(first))).collect()
    }

    fn names(of: &[u8]) -> Vec<KeyHash> {
        of.iter().map(|key| KeyHash::of(&[*key])).collect()
    }

    #[test]
    fn events_wait_near_the_end_until_their_key_is_not_closing_any_more() {
        let (mut waits, now) = (Waits::default(), Instant::now());
        let end = Offset::new(LETTERS_MAX + 10);
        assert_eq!(waits.follow(&keys(b"a", 9), end, now), Orders::default(), "too many letters are left");
        let near = waits.follow(&keys(b"a", 10), end, now);
        assert_eq!(near, Orders { begin: names(b"a"), end: vec![] });
        let grown = waits.follow(&keys(b"ab", 0), end, now);
        assert_eq!(grown, Orders { begin: names(b"a"), end: vec![] }, "what waits goes on waiting");
        assert_eq!(waits.follow(&keys(b"b", 0), end, now), Orders { begin: vec![], end: names(b"a") });
        assert!(waits.since.is_empty());
    }

    #[test]
    fn events_wait_for_a_bounded_time_and_then_not_for_a_while() {
        let (mut waits, begin) = (Waits::default(), Instant::now());
        let key = keys(b"a", 0);
        let follow = |waits: &mut Waits, at: Duration| waits.follow(&key, Offset::new(5), begin + at).begin;
        assert_eq!(follow(&mut waits, Duration::ZERO), names(b"a"));
        let almost = WAIT_MAX - Duration::from_millis(1);
        assert_eq!(waits.end_late(begin + almost), []);
        assert_eq!(waits.end_late(begin + WAIT_MAX), names(b"a"));
        assert_eq!(follow(&mut waits, WAIT_MAX + REST - Duration::from_millis(1)), []);
        assert_eq!(follow(&mut waits, WAIT_MAX + REST), names(b"a"));
        waits.forget(KeyHash::of(b"a"));
        assert!(waits.since.is_empty() && waits.resting.is_empty());
    }
}
