//! The consumer of the model goes down and comes back, and somebody says that the group may go on.

use std::collections::BTreeSet;

use crate::delivery::resumes::Resumed;

use super::super::{Outcome, Settled};
use super::World;

/// What failed lately.
#[derive(Default)]
pub(super) struct Failing {
    /// Since the last success.
    pub(super) row: BTreeSet<(u32, u64)>,
    /// With what was settled last.
    pub(super) last: Option<(u32, u64)>,
}

impl World {
    /// For most of the time it works.
    pub(super) fn turn(&mut self) -> &'static str {
        let likelihood = if self.is_down { 4 } else { 10 };
        if self.below(likelihood) > 0 {
            return "as before";
        }
        self.is_down = !self.is_down;
        "turn"
    }

    pub(super) fn resume(&mut self) -> &'static str {
        let sequence = self.resumed.as_ref().map_or(1, |before| before.sequence + 1);
        let resumed = Resumed { sequence, at: self.now.wall, given_up: [].into() };
        self.resumed = Some(resumed.clone());
        self.group.resume(resumed, self.now);
        self.failing = Failing::default();
        for (partition, offset) in std::mem::take(&mut self.halted) {
            self.partitions.get_mut(&partition).unwrap().attempts.remove(&offset);
        }
        self.forget_resumed();
        "resume"
    }

    pub(super) fn note_settled(&mut self, settled: &Settled) {
        let place = (settled.slot.partition, settled.record.offset.number());
        self.failing.last = None;
        match settled.outcome {
            Outcome::Ack => self.failing.row.clear(),
            Outcome::Nack | Outcome::Timeout if !self.is_open => {
                self.failing.row.insert(place);
                self.failing.last = Some(place);
            }
            Outcome::Nack | Outcome::Timeout | Outcome::Reject | Outcome::Lost => {}
        }
    }

    /// What comes without attempts and failed before the group was resumed has them all again.
    pub(super) fn forget_resumed(&mut self) {
        let Some(resumed) = &self.resumed else { return };
        for ((partition, offset), _) in self.coming.extract_if(.., |_, failed| *failed <= resumed.at) {
            self.partitions.get_mut(&partition).unwrap().attempts.remove(&offset);
        }
    }

    /// Whether what was tried last is still unsettled.
    pub(super) fn is_trying(&self) -> bool {
        let its = |probe: super::Tag| self.partitions[&probe.partition].flights.get(&probe.offset).cloned();
        self.probe.is_some_and(|probe| its(probe).is_some_and(|flight| flight.tag == probe))
    }
}
