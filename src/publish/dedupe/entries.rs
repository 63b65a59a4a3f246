//! The entries of one shard: in the order they were made, and found by key.
//!
//! They lie in a ring; the table of keys holds places in it. An entry whose append ends was among the last that were made,
//! so its end finds it where memory is still in the cache, and a table of places is a tenth of one of entries: with a
//! million ids remembered, what an id costs is the memory that is touched for it.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::identity::{EventKey, Fingerprint, Place};
use super::super::resolve::Lookup;
use super::Ending;

/// So many gaps are always borne.
const GAPS_MAX: usize = 64;

/// What is remembered of an id.
#[derive(Debug)]
pub(super) struct Entry {
    key: EventKey,
    pub(super) fingerprint: Fingerprint,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    Pending(Vec<oneshot::Sender<Ending>>),
    Done(Place),
    Unknown(Arc<Lookup>),
}

/// A place in the ring. One whose entry was removed goes when it is the oldest, or with the other gaps.
#[derive(Debug)]
struct Slot {
    turn: u64,
    until: Instant,
    entry: Option<Entry>,
}

#[derive(Debug, Default)]
pub(super) struct Entries {
    /// By turn.
    ring: VecDeque<Slot>,
    /// Where in the ring the entry of each key is, counted from a place that has long gone.
    places: HashTable<u32>,
    /// What the oldest one's place is counted as; it wraps.
    first: u32,
    /// The turn that was given last.
    turn: u64,
    hasher: DefaultHashBuilder,
}

impl Entries {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// A turn for an entry that is not to be kept.
    pub(super) const fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    pub(super) fn get_mut(&mut self, key: EventKey) -> Option<&mut Entry> {
        let is_of = |&place: &u32| key_at(&self.ring, self.first, place) == Some(key);
        let place = *self.places.find(self.hasher.hash_one(key), is_of)?;
        self.ring.get_mut(index(place, self.first))?.entry.as_mut()
    }

    /// The entry of this turn, where it is still there.
    pub(super) fn by_turn(&mut self, turn: u64) -> Option<&mut Entry> {
        // It is as far from the end as there were turns since, unless gaps were closed between.
        let since = usize::try_from(self.turn.checked_sub(turn)?).ok()?;
        let near = self.ring.len().checked_sub(since + 1);
        let near = near.filter(|&near| self.ring.get(near).is_some_and(|slot| slot.turn == turn));
        let index = match near {
            Some(near) => near,
            None => self.ring.binary_search_by_key(&turn, |slot| slot.turn).ok()?,
        };
        self.ring.get_mut(index)?.entry.as_mut()
    }

    /// Enters an id that is not there. Answers its turn.
    pub(super) fn push(
        &mut self,
        key: EventKey,
        fingerprint: Fingerprint,
        until: Instant,
        state: State,
    ) -> u64 {
        let turn = self.next_turn();
        #[expect(clippy::cast_possible_truncation, reason = "places wrap; a ring is shorter than that")]
        let place = self.first.wrapping_add(self.ring.len() as u32);
        self.ring.push_back(Slot { turn, until, entry: Some(Entry { key, fingerprint, state }) });
        let (ring, first, hasher) = (&self.ring, self.first, &self.hasher);
        self.places.insert_unique(hasher.hash_one(key), place, |&place| hash_at(hasher, ring, first, place));
        turn
    }

    /// Removes an entry before its time.
    pub(super) fn remove(&mut self, key: EventKey) -> bool {
        let Some(place) = self.take_place(key) else { return false };
        if let Some(slot) = self.ring.get_mut(index(place, self.first)) {
            slot.entry = None;
        }
        if self.ring.len() > 2 * self.len() + GAPS_MAX {
            self.close_gaps();
        }
        true
    }

    /// Until when the oldest is remembered.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.ring.front().map(|slot| slot.until)
    }

    /// Drops the oldest; whether it was an entry still, and no gap.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let key = self.ring.front().and_then(|slot| slot.entry.as_ref()).map(|entry| entry.key);
        let is_live = key.and_then(|key| self.take_place(key)).is_some();
        if self.ring.pop_front().is_some() {
            self.first = self.first.wrapping_add(1);
        }
        is_live
    }

    fn take_place(&mut self, key: EventKey) -> Option<u32> {
        let (ring, first) = (&self.ring, self.first);
        let found = self
            .places
            .find_entry(self.hasher.hash_one(key), |&place| key_at(ring, first, place) == Some(key))
            .ok()?;
        Some(found.remove().0)
    }

    fn close_gaps(&mut self) {
        self.ring.retain(|slot| slot.entry.is_some());
        self.places.clear();
        let (ring, first, hasher) = (&self.ring, self.first, &self.hasher);
        for (place, _) in (0_u32..).map(|index| first.wrapping_add(index)).zip(ring) {
            let hash = hash_at(hasher, ring, first, place);
            self.places.insert_unique(hash, place, |&place| hash_at(hasher, ring, first, place));
        }
    }
}

const fn index(place: u32, first: u32) -> usize {
    place.wrapping_sub(first) as usize
}

fn key_at(ring: &VecDeque<Slot>, first: u32, place: u32) -> Option<EventKey> {
    ring.get(index(place, first))?.entry.as_ref().map(|entry| entry.key)
}

fn hash_at(hasher: &DefaultHashBuilder, ring: &VecDeque<Slot>, first: u32, place: u32) -> u64 {
    key_at(ring, first, place).map_or(0, |key| hasher.hash_one(key))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::{Strategy, prop_oneof, proptest};
    use tokio::time::Instant;

    use super::super::super::identity::{EventKey, Fingerprint};
    use super::{Entries, GAPS_MAX, State};

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Push(u8),
        Remove(u8),
        DropOldest,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..200_u8).prop_map(Step::Push),
            3 => (0..200_u8).prop_map(Step::Remove),
            1 => proptest::strategy::Just(Step::DropOldest),
        ]
    }

    fn key(number: u8) -> EventKey {
        EventKey::from_bytes([number; 16])
    }

    /// Each turn that was given, with the key and whether the entry is still there, oldest first.
    type Model = VecDeque<(u64, u8, bool)>;

    fn agree(entries: &mut Entries, model: &Model) {
        let live: Vec<_> = model.iter().filter(|(.., is_live)| *is_live).collect();
        assert_eq!(entries.len(), live.len());
        assert!(entries.ring.len() <= 2 * live.len() + GAPS_MAX + 1);
        for (turn, number, is_live) in model {
            let found = entries.by_turn(*turn).map(|entry| entry.key);
            assert_eq!(found, is_live.then(|| key(*number)));
        }
        for number in 0..200 {
            let is_live = live.iter().any(|(_, have, _)| *have == number);
            assert_eq!(entries.get_mut(key(number)).map(|entry| entry.key), is_live.then(|| key(number)));
        }
    }

    proptest! {
        #[test]
        fn an_entry_is_found_by_key_and_by_turn_until_it_goes(first in 0..2_u32, steps in vec(step(), 1..600)) {
            // Places wrap in the middle of half of the runs.
            let mut entries = Entries { first: first.wrapping_sub(40 * first), ..Entries::default() };
            let (mut model, now) = (Model::new(), Instant::now());
            for (step, number) in steps.into_iter().zip(1_u64..) {
                let until = now + Duration::from_secs(number);
                match step {
                    Step::Push(number) if entries.get_mut(key(number)).is_none() => {
                        let fingerprint = Fingerprint::from_bytes([number; 16]);
                        let turn = entries.push(key(number), fingerprint, until, State::Pending(Vec::new()));
                        model.push_back((turn, number, true));
                    }
                    Step::Push(_) => {}
                    Step::Remove(number) => {
                        let had = model.iter_mut().find(|(_, have, is_live)| *is_live && *have == number);
                        assert_eq!(entries.remove(key(number)), had.is_some());
                        if let Some((.., is_live)) = had {
                            *is_live = false;
                        }
                    }
                    Step::DropOldest => {
                        // The ring may have closed the gaps that the model still has before its oldest.
                        let oldest = entries.ring.front().map(|entry| entry.turn);
                        let had = model.iter_mut().find(|(turn, ..)| Some(*turn) == oldest);
                        let was_live = had.is_some_and(|(.., is_live)| std::mem::take(is_live));
                        assert_eq!(entries.drop_oldest(), was_live);
                    }
                }
                assert!(entries.oldest().is_none_or(|oldest| oldest > now));
            }
            agree(&mut entries, &model);
        }
    }
}
