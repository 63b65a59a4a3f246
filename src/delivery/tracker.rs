//! The offset tracker: which records of a partition are taken, which are resolved, and so what may be committed.
//!
//! Everything taken and not resolved is in one ordered map; every other offset below `next` is settled, be it
//! acknowledged, dead-lettered, compacted away or a transaction's marker. The commit is the first unresolved
//! offset, or `next` when there is none.
//!
//! ```text
//! settled … | position: first unresolved … settled and unresolved mixed … | next | what was restored
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use crate::event::Timestamp;

use super::metadata::{Attempts, Progress};

/// Uncounted returns of one record in a row, within one assignment of its partition, that count as one attempt. With the
/// partition their count goes: what comes back unharmed costs nothing that would have to outlive a gateway.
pub(super) const RETURNS_MAX: u32 = 10;

/// What became of a record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is to be delivered.
    New,
    /// It was settled before, or is being delivered already.
    Known,
}

/// A record that is taken and not resolved, with what the owner keeps beside it.
#[derive(Debug, Clone)]
pub(super) struct Unresolved<T> {
    /// What the owner keeps.
    pub(super) kept: T,
    attempts: Option<Attempts>,
    last_failed: Option<Timestamp>,
    returns: u32,
}

/// The offsets of one assigned partition.
#[derive(Debug, Clone)]
pub(super) struct Tracker<T> {
    next: u64,
    unresolved: BTreeMap<u64, Unresolved<T>>,
    restored: Progress,
}

impl<T> Unresolved<T> {
    /// Counted failures so far.
    #[must_use]
    pub(super) fn attempts(&self) -> u32 {
        self.attempts.map_or(0, |attempts| attempts.count)
    }

    /// When it failed first.
    #[must_use]
    pub(super) fn first_failed(&self) -> Option<Timestamp> {
        self.attempts.map(|attempts| attempts.first_failed)
    }

    /// When it failed last, as far as this assignment knows.
    #[must_use]
    pub(super) fn last_failed(&self) -> Option<Timestamp> {
        self.last_failed.or_else(|| self.first_failed())
    }

    /// Counts a failure; answers how many there are now.
    pub(super) fn fail(&mut self, now: Timestamp) -> u32 {
        let attempts = self.attempts.get_or_insert(Attempts { count: 0, first_failed: now });
        attempts.count = attempts.count.saturating_add(1);
        self.last_failed = Some(now);
        self.returns = 0;
        attempts.count
    }

    /// It has all its attempts before it again.
    pub(super) fn forget_attempts(&mut self) {
        (self.attempts, self.last_failed, self.returns) = (None, None, 0);
    }

    /// Whether it came back through nobody's fault since it failed.
    #[must_use]
    pub(super) const fn has_come_back(&self) -> bool {
        self.returns > 0
    }

    /// Notes that it came back through nobody's fault; whether that was once too often and counts as a failure.
    pub(super) fn come_back(&mut self) -> bool {
        self.returns += 1;
        self.returns >= RETURNS_MAX
    }
}

impl<T> Tracker<T> {
    /// Begins at `position` with what the metadata said above it.
    #[must_use]
    pub(super) fn new(position: u64, restored: Progress) -> Self {
        let mut tracker = Self { next: position, unresolved: BTreeMap::new(), restored };
        tracker.forget_passed();
        tracker
    }

    /// Takes the record at `offset`; offsets between it and the one before never existed.
    pub(super) fn take(&mut self, offset: u64, kept: T) -> Taken {
        if offset < self.next {
            return Taken::Known;
        }
        let is_settled = self.restored.settled.iter().any(|run| run.contains(&offset));
        let attempts = self.restored.attempts.get(&offset).copied();
        self.next = offset + 1;
        self.forget_passed();
        if is_settled {
            return Taken::Known;
        }
        let unresolved = Unresolved { kept, attempts, last_failed: None, returns: 0 };
        self.unresolved.insert(offset, unresolved);
        Taken::New
    }

    /// Passes over offsets that are gone.
    pub(super) fn skip_to(&mut self, offset: u64) {
        self.next = self.next.max(offset);
        self.forget_passed();
    }

    /// Resolves a record; `None` when it was resolved before.
    pub(super) fn resolve(&mut self, offset: u64) -> Option<Unresolved<T>> {
        self.unresolved.remove(&offset)
    }

    /// An unresolved record, to be changed.
    pub(super) fn get_mut(&mut self, offset: u64) -> Option<&mut Unresolved<T>> {
        self.unresolved.get_mut(&offset)
    }

    /// An unresolved record.
    #[must_use]
    pub(super) fn get(&self, offset: u64) -> Option<&Unresolved<T>> {
        self.unresolved.get(&offset)
    }

    /// All unresolved records in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Unresolved<T>)> {
        self.unresolved.iter().map(|(offset, unresolved)| (*offset, unresolved))
    }

    /// What may be committed: everything before it is settled.
    #[must_use]
    pub(super) fn position(&self) -> u64 {
        self.unresolved.keys().next().copied().unwrap_or(self.next)
    }

    /// The next offset to be taken.
    #[must_use]
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// How many records are unresolved.
    #[must_use]
    pub(super) fn unsettled(&self) -> usize {
        self.unresolved.len()
    }

    /// What must be told beside the position: runs settled above it, and attempts.
    #[must_use]
    pub(super) fn progress(&self) -> Progress {
        let mut settled: Vec<Range<u64>> = Vec::new();
        let mut push = |run: Range<u64>| match settled.last_mut() {
            _ if run.is_empty() => {}
            Some(last) if last.end == run.start => last.end = run.end,
            _ => settled.push(run),
        };
        let mut at = self.position();
        for &offset in self.unresolved.keys() {
            push(at..offset);
            at = offset + 1;
        }
        if !self.unresolved.is_empty() {
            push(at..self.next);
        }
        for run in &self.restored.settled {
            push(run.start.max(self.next)..run.end);
        }
        let known = self.unresolved.iter().filter_map(|(offset, one)| Some((*offset, one.attempts?)));
        let attempts = known.chain(self.restored.attempts.iter().map(|(offset, one)| (*offset, *one)));
        Progress { settled, attempts: attempts.collect() }
    }

    fn forget_passed(&mut self) {
        let next = self.next;
        if self.restored.settled.first().is_some_and(|run| run.end <= next) {
            self.restored.settled.retain(|run| run.end > next);
        }
        if self.restored.attempts.keys().next().is_some_and(|offset| *offset < next) {
            self.restored.attempts = self.restored.attempts.split_off(&next);
        }
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "settled offsets are runs, often a single one")]
mod tests {
    use super::{Progress, Taken, Timestamp, Tracker};

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn tracker_with(offsets: &[u64]) -> Tracker<()> {
        let mut tracker = Tracker::new(0, Progress::default());
        for &offset in offsets {
            assert_eq!(tracker.take(offset, ()), Taken::New);
        }
        tracker
    }

    #[test]
    fn only_the_contiguous_prefix_is_committed() {
        let mut tracker = tracker_with(&[0, 1, 2, 3]);
        tracker.resolve(1);
        tracker.resolve(2);
        assert_eq!((tracker.position(), tracker.progress().settled), (0, vec![1..3]));
        tracker.resolve(0);
        assert_eq!((tracker.position(), tracker.progress().settled), (3, vec![]));
        tracker.resolve(3);
        assert_eq!((tracker.position(), tracker.progress()), (4, Progress::default()));
    }

    #[test]
    fn offsets_that_never_existed_are_settled() {
        let mut tracker = tracker_with(&[3, 7]);
        assert_eq!((tracker.position(), tracker.progress().settled), (3, vec![4..7]));
        tracker.resolve(3);
        assert_eq!(tracker.position(), 7);
        tracker.skip_to(20);
        tracker.resolve(7);
        assert_eq!(tracker.position(), 20);
    }

    #[test]
    fn what_was_settled_before_a_crash_is_not_taken_again() {
        let mut before = tracker_with(&[0, 1, 2, 3, 4, 5]);
        for offset in [1, 2, 4] {
            before.resolve(offset);
        }
        before.get_mut(0).unwrap().fail(NOW);
        before.get_mut(0).unwrap().fail(NOW);
        let mut after = Tracker::new(before.position(), before.progress());
        assert_eq!(after.progress(), before.progress(), "nothing read yet, nothing forgotten");
        let taken: Vec<u64> = (0..6).filter(|offset| after.take(*offset, ()) == Taken::New).collect();
        assert_eq!(taken, [0, 3, 5]);
        assert_eq!(after.get(0).unwrap().attempts(), 2);
        assert_eq!(after.progress(), before.progress());
    }

    #[test]
    fn ten_returns_in_a_row_are_once_too_often() {
        let mut tracker = tracker_with(&[0]);
        let one = tracker.get_mut(0).unwrap();
        assert!((0..9).all(|_| !one.come_back()));
        assert!(one.come_back());
        one.fail(NOW);
        assert!(!one.come_back());
    }
}
