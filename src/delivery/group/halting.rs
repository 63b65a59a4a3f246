//! Partitions that stop at a record without attempts (`on_exhausted: halt`), and how they go on.
//!
//! That a record is exhausted lies in its attempts, which are committed: after a crash or on another gateway the
//! partition halts there again without trying it. Whatever ends a halt takes the record out of [`Source::halted`]:
//! [`Group::resume`] gives it new attempts, or hands it to the dead letters where it is named, and so does a policy that no
//! longer halts.

use std::collections::BTreeMap;

use crate::event::Timestamp;

use super::super::resumes::Resumed;
use super::super::tracker::Unresolved;
use super::super::{Exhausted, Policy};
use super::source::Source;
use super::{Action, Group, Halted, LaneId, Moment, Reason, Slot, Withdrawal};

impl Group {
    /// What the group was told before this gateway began to serve it.
    pub(in crate::delivery) fn set_resumed(&mut self, resumed: Option<Resumed>) {
        self.resumed = resumed;
    }

    /// Goes on by somebody's word: the breaker closes, and what is halted gets new attempts. Told twice it does nothing.
    pub(in crate::delivery) fn resume(&mut self, resumed: Resumed, now: Moment) {
        if self.resumed.as_ref().is_some_and(|before| before.sequence >= resumed.sequence) {
            return;
        }
        let last = resumed.at;
        self.resumed = Some(resumed);
        self.close_breaker();
        for slot in self.halted_slots() {
            for (offset, reason) in self.take_halted(slot) {
                // What the word names had halted by then, whatever the clocks of gateways say.
                let is_meant = self.gave_up(slot, offset).is_some_and(|at| {
                    at == last || self.first_failed(slot, offset).is_some_and(|failed| failed <= at)
                });
                if is_meant {
                    self.bury(slot, offset, reason, now);
                } else {
                    self.try_anew(slot, offset, now);
                }
            }
            self.touch_source(slot, now);
        }
    }

    /// A record has no attempts left: what follows is the policy's.
    pub(super) fn exhausted(&mut self, slot: Slot, offset: u64, reason: Reason, now: Moment) {
        match self.policy.on_exhausted {
            // What came after it went on before: a dead letter that fails again is one again, and what is delivered once
            // more becomes one. So does what somebody named while it was being retried.
            Exhausted::Halt if slot.is_own() && !self.is_given_up(slot, offset) => {
                self.halt(slot, offset, reason);
            }
            Exhausted::Skip | Exhausted::ParkKey | Exhausted::Halt => self.bury(slot, offset, reason, now),
        }
    }

    /// A record that was exhausted when its partition came.
    pub(super) fn came_exhausted(&mut self, slot: Slot, offset: u64, now: Moment) {
        let first_failed = self.first_failed(slot, offset);
        let is_halting = self.policy.on_exhausted == Exhausted::Halt && slot.is_own();
        let resumed = self.resumed.as_ref().zip(first_failed);
        let was_resumed = resumed.is_some_and(|(resumed, failed)| failed <= resumed.at);
        if is_halting && was_resumed && !self.is_given_up(slot, offset) {
            self.release(slot, offset, now);
        } else {
            self.exhausted(slot, offset, Reason::RetriesExhausted, now);
        }
    }

    fn first_failed(&self, slot: Slot, offset: u64) -> Option<Timestamp> {
        let one = self.sources.get(&slot).and_then(|source| source.tracker.get(offset));
        one.and_then(Unresolved::first_failed)
    }

    /// Whether who told the group to go on wanted this record to be a dead letter, which had failed by then.
    fn is_given_up(&self, slot: Slot, offset: u64) -> bool {
        let given_up = self.gave_up(slot, offset).zip(self.first_failed(slot, offset));
        given_up.is_some_and(|(at, failed)| failed <= at)
    }

    /// When who told the group to go on wanted this record to be a dead letter, where somebody did.
    fn gave_up(&self, slot: Slot, offset: u64) -> Option<Timestamp> {
        let topic = usize::try_from(slot.topic).ok().and_then(|topic| self.policy.topics.get(topic));
        let resumed = self.resumed.as_ref().zip(topic);
        resumed.and_then(|(resumed, topic)| resumed.gave_up(topic, slot.partition, offset))
    }

    /// Another policy may not halt: what waits then goes to the dead letters.
    pub(super) fn unhalt_for(&mut self, policy: &Policy, now: Moment) {
        match policy.on_exhausted {
            Exhausted::Halt => {}
            Exhausted::Skip | Exhausted::ParkKey => {
                for slot in self.halted_slots() {
                    for (offset, reason) in self.take_halted(slot) {
                        self.bury(slot, offset, reason, now);
                    }
                }
            }
        }
    }

    fn halt(&mut self, slot: Slot, offset: u64, reason: Reason) {
        let Some(source) = self.sources.get_mut(&slot) else { return };
        let Some(one) = source.tracker.get(offset) else { return };
        let (lane, attempts) = (one.kept.lane, one.attempts());
        source.halted.insert(offset, reason);
        self.actions.push(Action::Halted(Halted { slot, offset, attempts }));
        if let Some(seat) = lane.and_then(|id| self.lanes.get_mut(&id)) {
            let returned = seat.lane.halt(offset);
            self.withdraw(slot, &returned, Withdrawal::Rewind);
        }
    }

    fn release(&mut self, slot: Slot, offset: u64, now: Moment) {
        let lane = self.sources.get(&slot).and_then(|source| source.tracker.get(offset));
        if let Some(seat) = lane.and_then(|one| one.kept.lane).and_then(|lane| self.lanes.get_mut(&lane)) {
            seat.lane.halt(offset);
        }
        self.try_anew(slot, offset, now);
    }

    /// A halted record is tried once more from the first attempt, when it is durable that it has them.
    fn try_anew(&mut self, slot: Slot, offset: u64, now: Moment) {
        let Some(source) = self.sources.get_mut(&slot) else { return };
        let Some(one) = source.tracker.get_mut(offset) else { return };
        one.forget_attempts();
        let lane = one.kept.lane;
        source.revision += 1;
        source.unrecorded.push((source.revision, offset));
        if let Some(seat) = lane.and_then(|id| self.lanes.get_mut(&id)) {
            seat.lane.release(offset, now.elapsed);
        }
    }

    fn halted_slots(&self) -> Vec<Slot> {
        let halted = self.sources.iter().filter(|(_, source)| source.is_halted());
        halted.map(|(slot, _)| *slot).collect()
    }

    fn take_halted(&mut self, slot: Slot) -> BTreeMap<u64, Reason> {
        self.sources.get_mut(&slot).map(|source| std::mem::take(&mut source.halted)).unwrap_or_default()
    }

    /// Brings all lanes of a partition back into their queue.
    fn touch_source(&mut self, slot: Slot, now: Moment) {
        let Some(source) = self.sources.get(&slot) else { return };
        let mut lanes: Vec<LaneId> = source.lanes.values().copied().collect();
        // Those that began first come first.
        lanes.sort_unstable();
        for lane in lanes {
            self.touch(lane, now);
        }
    }
}

impl Source {
    /// Whether it stands still until somebody says that it may go on.
    pub(super) fn is_halted(&self) -> bool {
        !self.halted.is_empty()
    }
}
