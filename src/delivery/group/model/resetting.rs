//! Somebody moves a partition of the model.

use super::{PARTITIONS, World, slot};

impl World {
    pub(super) fn reset(&mut self) -> &'static str {
        let number = self.below(PARTITIONS as usize) as u32;
        let sequence = self.resets + 1;
        if !self.group.unmoved(sequence).any(|one| one == slot(number)) {
            return "not here";
        }
        self.resets = sequence;
        let end = self.partitions[&number].keys.len();
        // Mostly near: what lies far behind would be all there is to do from then on.
        let floor = self.partitions[&number].floor as usize;
        let to = (floor.saturating_sub(20) + self.below(40)).min(end) as u64;
        self.group.reset(slot(number), to, sequence, self.now);
        let partition = self.partitions.get_mut(&number).unwrap();
        let is_back = to < partition.floor;
        (partition.floor, partition.reading, partition.moved) = (to, Some(to), Some(sequence));
        partition.settled.clear();
        partition.attempts.clear();
        self.burials.retain(|one| one.slot.partition != number);
        if self.parks() {
            let is_removed = self.below(2) == 0;
            self.parking.gone(number, is_removed);
            self.parking.unread.insert(number);
        }
        self.halted.retain(|(partition, _)| *partition != number);
        self.coming.retain(|(partition, _), _| *partition != number);
        if is_back { "moved back" } else { "moved on" }
    }

    /// What is durably moved goes back no more.
    pub(super) fn forget_moves(&mut self) {
        for (number, partition) in &mut self.partitions {
            let is_durable = |sequence| self.group.moved(sequence).any(|one| one == slot(*number));
            partition.moved.take_if(|sequence| is_durable(*sequence));
        }
    }
}
