//! A partition is moved to another offset on purpose: what was known of its records is forgotten, and it begins anew there.

use super::source::{Phase, Source};
use super::{Action, Beginning, Group, Moment, Slot, Withdrawal};
use crate::delivery::metadata::Progress;

impl Group {
    /// The partitions that are served and were not moved by this reset since they came.
    pub(in crate::delivery) fn unmoved(&self, sequence: u64) -> impl Iterator<Item = Slot> {
        let is_due = move |source: &Source| source.phase == Phase::Active && source.reset != Some(sequence);
        let is_meant = move |(slot, source): &(&Slot, &Source)| !slot.is_replayed() && is_due(source);
        self.sources.iter().filter(is_meant).map(|(slot, _)| *slot)
    }

    /// Begins a partition anew at an offset that its reader stands at by now: what is in flight is withdrawn, what was
    /// settled or tried above the offset is forgotten, and the offset is committed at once.
    pub(in crate::delivery) fn reset(&mut self, slot: Slot, position: u64, sequence: u64, now: Moment) {
        let Some(source) = self.sources.get(&slot).filter(|source| source.phase == Phase::Active) else {
            return;
        };
        let was_held = source.is_held;
        self.withdraw_source(slot, Withdrawal::Reset, now);
        self.remove_source(slot);
        self.begin(Beginning { slot, position, committed: None, progress: Progress::default() }, now);
        if let Some(source) = self.sources.get_mut(&slot) {
            source.reset = Some(sequence);
        }
        if was_held {
            self.actions.push(Action::Release(slot));
        }
        self.house_lanes();
    }

    /// The partitions that were moved by this reset, durably.
    pub(in crate::delivery) fn moved(&self, sequence: u64) -> impl Iterator<Item = Slot> {
        let is_moved = move |source: &Source| source.reset == Some(sequence) && !source.is_moving();
        self.sources.iter().filter(move |(_, source)| is_moved(source)).map(|(slot, _)| *slot)
    }
}

impl Source {
    /// Whether it was moved and the log does not have that yet.
    pub(super) const fn is_moving(&self) -> bool {
        self.reset.is_some() && self.committed_revision == 0
    }
}
