//! Which keys of a partition of the table are live, and which of them have to go.
//!
//! Every gateway keeps one by what it reads. It removes its own keys once they are old, or once younger ones hold all that
//! the bound allows; those of others, who may be gone, somewhat later. A key stays here until its removal is read, so that one that came to
//! nothing is tried again, by the next life if need be: that begins to read at the oldest key there is.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::event::{Offset, Timestamp};

/// Another gateway's keys may be so much older than one's own.
const OTHERS_GRACE: Duration = Duration::from_secs(10 * 60);
/// And all keys together so many parts in a hundred heavier, before they are removed.
const OTHERS_PERCENT: u64 = 125;
/// A removal that was not read by then is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// So many go at once.
const DUE_MAX: usize = 1_000;

/// How old and how heavy live keys may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) window: Duration,
    pub(super) weight_max: u64,
}

/// Who wrote a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Own,
    Other,
}

/// The live keys, by age.
#[derive(Debug)]
pub(super) struct Ledger {
    bounds: Bounds,
    lines: HashMap<Bytes, Line>,
    /// By offset; one that is no longer its line's is stale. The first is not.
    order: VecDeque<(Offset, Bytes)>,
    /// Of all lines that need not go.
    weight: u64,
}

#[derive(Debug)]
struct Line {
    offset: Offset,
    at: Timestamp,
    weight: u64,
    owner: Owner,
    /// Since when it has to go.
    leaving: Option<Timestamp>,
}

impl Ledger {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, lines: HashMap::new(), order: VecDeque::new(), weight: 0 }
    }

    /// A value of a key was read.
    pub(super) fn note(&mut self, key: &Bytes, (offset, at): (Offset, Timestamp), weight: u64, owner: Owner) {
        self.gone(key);
        // Copied, since a slice would keep the whole batch it was read in.
        let key = Bytes::copy_from_slice(key);
        self.lines.insert(key.clone(), Line { offset, at, weight, owner, leaving: None });
        self.order.push_back((offset, key));
        self.weight += weight;
    }

    /// The removal of a key was read.
    pub(super) fn gone(&mut self, key: &[u8]) {
        if let Some(line) = self.lines.remove(key)
            && line.leaving.is_none()
        {
            self.weight -= line.weight;
        }
        let lines = &self.lines;
        let is_live =
            |(offset, key): &(Offset, Bytes)| lines.get(key).is_some_and(|line| line.offset == *offset);
        // Whoever writes asks for the oldest, which is therefore kept in front.
        while self.order.front().is_some_and(|place| !is_live(place)) {
            self.order.pop_front();
        }
        if self.order.len() > 2 * lines.len() + 64 {
            self.order.retain(is_live);
        }
    }

    /// The keys that have to go now, the oldest first: some of them, if they are many.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<Bytes> {
        let mut due = Vec::new();
        for (offset, key) in &self.order {
            let Some(line) = self.lines.get_mut(key).filter(|line| line.offset == *offset) else { continue };
            let is_due = match line.leaving {
                Some(since) if !is_older(since, now, AGAIN) => continue,
                Some(_) => true,
                None => is_over(self.bounds, line, self.weight, now),
            };
            if !is_due || due.len() == DUE_MAX {
                break;
            }
            if line.leaving.replace(now).is_none() {
                self.weight -= line.weight;
            }
            due.push(key.clone());
        }
        due
    }

    /// When the oldest key was written; who reads from there on misses none.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let (_, key) = self.order.front()?;
        self.lines.get(key).map(|line| line.at)
    }
}

fn is_over(bounds: Bounds, line: &Line, weight: u64, now: Timestamp) -> bool {
    let (window, weight_max) = match line.owner {
        Owner::Own => (bounds.window, bounds.weight_max),
        Owner::Other => {
            let weight_max = bounds.weight_max.saturating_mul(OTHERS_PERCENT) / 100;
            (bounds.window.saturating_add(OTHERS_GRACE), weight_max)
        }
    };
    weight - line.weight >= weight_max || is_older(line.at, now, window)
}

fn is_older(at: Timestamp, now: Timestamp, age: Duration) -> bool {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    now.millis().saturating_sub(at.millis()) >= age
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::{AGAIN, Bounds, DUE_MAX, Ledger, OTHERS_GRACE, Owner};
    use crate::event::{Offset, Timestamp};

    const WINDOW: Duration = Duration::from_secs(3_600);

    fn at(after: Duration) -> Timestamp {
        Timestamp::from_millis(i64::try_from(after.as_millis()).unwrap())
    }

    fn ledger(weight_max: u64) -> Ledger {
        Ledger::new(Bounds { window: WINDOW, weight_max })
    }

    fn note(ledger: &mut Ledger, key: &'static str, offset: u64, second: u64, owner: Owner) {
        let place = (Offset::new(offset), at(Duration::from_secs(second)));
        ledger.note(&Bytes::from_static(key.as_bytes()), place, 10, owner);
    }

    #[test]
    fn a_key_goes_when_its_window_is_over_and_anothers_a_little_later() {
        let mut ledger = ledger(1_000);
        note(&mut ledger, "own", 0, 0, Owner::Own);
        note(&mut ledger, "other", 1, 0, Owner::Other);
        assert!(ledger.due(at(WINDOW - Duration::from_millis(1))).is_empty());
        assert_eq!(ledger.due(at(WINDOW)), ["own"]);
        ledger.gone(b"own");
        assert!(ledger.due(at(WINDOW + OTHERS_GRACE - Duration::from_millis(1))).is_empty());
        assert_eq!(ledger.due(at(WINDOW + OTHERS_GRACE)), ["other"]);
    }

    #[test]
    fn keys_go_when_younger_ones_hold_all_that_the_bound_allows() {
        let mut ledger = ledger(15);
        for (offset, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
            note(&mut ledger, key, offset as u64, 0, Owner::Own);
        }
        assert_eq!(ledger.due(at(Duration::ZERO)), ["a", "b"]);
        assert!(ledger.due(at(Duration::ZERO)).is_empty(), "what is left is what the bound asks for");
    }

    #[test]
    fn a_key_written_again_counts_once_and_is_as_old_as_its_last_value() {
        let mut ledger = ledger(1_000);
        for offset in 0..1_000 {
            note(&mut ledger, "again", offset, offset, Owner::Own);
        }
        assert_eq!((ledger.weight, ledger.lines.len()), (10, 1));
        assert!(ledger.order.len() <= 66, "{} places", ledger.order.len());
        assert_eq!(ledger.oldest(), Some(at(Duration::from_secs(999))));
        assert!(ledger.due(at(WINDOW + Duration::from_secs(998))).is_empty());
        assert_eq!(ledger.due(at(WINDOW + Duration::from_secs(999))), ["again"]);
    }

    #[test]
    fn a_removal_that_was_not_read_is_tried_again_and_holds_the_oldest_place() {
        let mut ledger = ledger(1_000);
        note(&mut ledger, "lost", 0, 0, Owner::Own);
        note(&mut ledger, "young", 1, 3_000, Owner::Own);
        assert_eq!(ledger.due(at(WINDOW)), ["lost"]);
        assert_eq!(ledger.oldest(), Some(at(Duration::ZERO)));
        assert!(ledger.due(at(WINDOW + AGAIN - Duration::from_millis(1))).is_empty());
        assert_eq!(ledger.due(at(WINDOW + AGAIN)), ["lost"]);
        ledger.gone(b"lost");
        assert_eq!(ledger.oldest(), Some(at(Duration::from_secs(3_000))));
        assert!(ledger.due(at(WINDOW + 3 * AGAIN)).is_empty());
    }

    #[test]
    fn the_oldest_place_is_in_front_whatever_went_before_it() {
        let mut ledger = ledger(1_000);
        for (offset, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
            note(&mut ledger, key, offset as u64, offset as u64, Owner::Own);
        }
        ledger.gone(b"b");
        assert_eq!((ledger.oldest(), ledger.order.len()), (Some(at(Duration::ZERO)), 4));
        ledger.gone(b"a");
        assert_eq!((ledger.oldest(), ledger.order.len()), (Some(at(Duration::from_secs(2))), 2));
        note(&mut ledger, "c", 4, 4, Owner::Own);
        assert_eq!((ledger.oldest(), ledger.order.len()), (Some(at(Duration::from_secs(3))), 2));
    }

    #[test]
    fn many_go_in_portions() {
        let mut ledger = ledger(u64::MAX);
        for offset in 0..=DUE_MAX as u64 {
            let key = Bytes::from(offset.to_string());
            ledger.note(&key, (Offset::new(offset), at(Duration::ZERO)), 1, Owner::Own);
        }
        let (first, second) = (ledger.due(at(WINDOW)), ledger.due(at(WINDOW)));
        assert_eq!((first.len(), second.len(), ledger.weight), (DUE_MAX, 1, 0));
    }
}
