//! Parked keys that a redrive is about to settle all letters of: near its end their new events wait instead of becoming
//! letters, so that there is a last one.
//!
//! They wait in their lanes, within the bounds of any that is blocked: where those are full, the partition's intake pauses.
//! That lasts for a while at most; then they become letters, and the key is left alone for as long, each time for longer.

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
/// And not again for so long, twice as long each time, and with half as many letters left.
const REST: Duration = Duration::from_secs(30);
/// No more often than this: it is more than an hour then.
const DOUBLINGS_MAX: u32 = 7;

/// The keys of a partition whose events wait.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Since when they do.
    since: HashMap<KeyHash, Instant>,
    /// Those that waited for too long.
    rests: HashMap<KeyHash, Rest>,
}

/// How often a key waited for too long, and when it may again.
#[derive(Debug, Clone, Copy)]
struct Rest {
    times: u32,
    until: Instant,
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
            if ward.closing.is_none() {
                // The next redrive begins anew.
                ward.waits.rests.clear();
            }
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
        self.rests.remove(&key);
    }

    /// Keys whose letters are about to be settled, the first unsettled ones from these places on to the end.
    fn follow(&mut self, closing: &[(KeyHash, Offset)], end: Offset, now: Instant) -> Orders {
        let mut orders = Orders::default();
        for (key, first) in closing {
            let left = end.number().saturating_sub(first.number());
            if self.may_begin(*key, left, now) || self.since.contains_key(key) {
                self.since.entry(*key).or_insert(now);
                orders.begin.push(*key);
            }
        }
        let meant: HashSet<KeyHash> = closing.iter().map(|(key, _)| *key).collect();
        orders.end.extend(self.since.extract_if(|key, _| !meant.contains(key)).map(|(key, _)| key));
        orders
    }

    fn may_begin(&self, key: KeyHash, left: u64, now: Instant) -> bool {
        match self.rests.get(&key) {
            Some(rest) => rest.until <= now && left <= LETTERS_MAX >> rest.times.min(DOUBLINGS_MAX),
            None => left <= LETTERS_MAX,
        }
    }

    /// Those that waited for too long.
    fn end_late(&mut self, now: Instant) -> Vec<KeyHash> {
        let late = self.since.extract_if(|_, since| now.duration_since(*since) >= WAIT_MAX);
        let late: Vec<KeyHash> = late.map(|(key, _)| key).collect();
        for key in &late {
            let rest = self.rests.entry(*key).or_insert(Rest { times: 0, until: now });
            rest.until = now + REST * 2_u32.pow(rest.times.min(DOUBLINGS_MAX));
            rest.times += 1;
        }
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
        let (mut waits, mut now) = (Waits::default(), Instant::now());
        let (key, moment) = (keys(b"a", 0), Duration::from_millis(1));
        let half = Offset::new(LETTERS_MAX / 2);
        assert_eq!(waits.follow(&key, Offset::new(LETTERS_MAX), now).begin, names(b"a"));
        assert_eq!(waits.end_late(now + WAIT_MAX - moment), []);
        now += WAIT_MAX;
        assert_eq!(waits.end_late(now), names(b"a"));
        assert_eq!(waits.follow(&key, half, now + REST - moment).begin, []);
        now += REST;
        assert_eq!(waits.follow(&key, half.next(), now).begin, [], "still too many");
        assert_eq!(waits.follow(&key, half, now).begin, names(b"a"));
        now += WAIT_MAX;
        assert_eq!(waits.end_late(now), names(b"a"));
        assert_eq!(waits.follow(&key, Offset::new(1), now + REST * 2 - moment).begin, []);
        assert_eq!(waits.follow(&key, Offset::new(1), now + REST * 2).begin, names(b"a"));
        waits.forget(KeyHash::of(b"a"));
        assert!(waits.since.is_empty() && waits.rests.is_empty());
    }
}
