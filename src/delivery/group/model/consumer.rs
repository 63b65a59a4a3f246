//! The consumer of the model goes down and comes back, and somebody says that the group may go on.

use crate::delivery::resumes::Resumed;

use super::World;

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
        let sequence = self.resumed.map_or(1, |before| before.sequence + 1);
        let resumed = Resumed { sequence, at: self.now.wall };
        self.resumed = Some(resumed);
        self.group.resume(resumed, self.now);
        for (partition, offset) in std::mem::take(&mut self.halted) {
            self.partitions.get_mut(&partition).unwrap().attempts.remove(&offset);
        }
        self.forget_resumed();
        "resume"
    }

    /// What comes without attempts and failed before the group was resumed has them all again.
    pub(super) fn forget_resumed(&mut self) {
        let Some(resumed) = self.resumed else { return };
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
