//! The consumer of the model goes down and comes back, and somebody says that the group may go on.

use std::collections::BTreeSet;

use crate::delivery::resumes::Resumed;

use super::super::{Burial, Outcome, Settled};
use super::World;

/// What failed lately.
#[derive(Default)]
pub(super) struct Failing {
    /// Since the last success.
    pub(super) row: BTreeSet<(u32, u64)>,
    /// With what was settled last.
    pub(super) last: Option<(u32, u64)>,
    /// What was lost with its connection last.
    pub(super) lost: Option<(u32, u64)>,
    /// Those that were given up for that though their connection had settled nothing, since a success.
    pub(super) blamed: usize,
}

impl World {
    /// For most of the time it works.
    pub(super) fn turn(&mut self) -> &'static str {
        let likelihood = if self.is_down || self.is_crashing { 4 } else { 10 };
        if self.below(likelihood) > 0 {
            return "as before";
        }
        let is_well = !self.is_down && !self.is_crashing;
        let crashes = self.below(4) == 0;
        (self.is_down, self.is_crashing) = (is_well && !crashes, is_well && crashes);
        "turn"
    }

    /// A connection that breaks costs no last attempt, but of what was alone on one that had settled something; or of one
    /// record at most, where there may be no other to compare with.
    pub(super) fn check_lost(&mut self, burial: &Burial) {
        let place = (burial.slot.partition, burial.record.offset.number());
        let probe = self.probe.filter(|(tag, _)| (tag.partition, tag.offset) == place);
        let (_, member) = probe.expect("given up for a connection that had more than this one");
        assert!(self.is_open, "given up though it was not tried alone");
        *self.steps.entry("lost and given up").or_default() += 1;
        if !self.worked.contains(&member) {
            self.failing.blamed += 1;
            assert_eq!(self.failing.blamed, 1, "one after the other given up for members that break");
        }
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
        (self.failing.last, self.failing.lost) = (None, None);
        match settled.outcome {
            Outcome::Ack => (self.failing.blamed, self.failing.row) = (0, BTreeSet::new()),
            Outcome::Nack | Outcome::Timeout if !self.is_open => {
                self.failing.row.insert(place);
                self.failing.last = Some(place);
            }
            Outcome::Lost => self.failing.lost = Some(place),
            Outcome::Nack | Outcome::Timeout | Outcome::Reject => {}
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
        self.probe.is_some_and(|(probe, _)| its(probe).is_some_and(|flight| flight.tag == probe))
    }
}
