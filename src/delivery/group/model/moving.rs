//! Partitions that come and go: rebalances, crashes, and what is known of them after.

use std::sync::Arc;

use super::super::super::Exhausted;
use super::super::super::metadata::{self, Progress};
use super::super::super::retry::Random;
use super::super::{Beginning, Group};
use super::returning::BACK;
use super::{World, consumer, slot};

impl World {
    pub(super) fn assign_all(&mut self) {
        let missing: Vec<u32> = self
            .partitions
            .iter()
            .filter(|(_, one)| one.reading.is_none())
            .map(|(number, _)| *number)
            .collect();
        for number in missing {
            let partition = self.partitions.get_mut(&number).unwrap();
            let (position, progress) = match &partition.committed {
                Some((offset, text)) => (*offset, metadata::decode(*offset, text)),
                None => (0, Progress::default()),
            };
            // What the last owner settled and did not commit is unresolved again.
            partition.floor = position;
            partition.settled.clear();
            for offset in progress.settled.iter().flat_map(Clone::clone) {
                partition.settle(offset);
            }
            partition.attempts = progress.attempts.iter().map(|(offset, one)| (*offset, one.count)).collect();
            let is_over =
                |count| self.policy.on_exhausted == Exhausted::Halt && count >= self.policy.attempts_max();
            let over = progress.attempts.iter().filter(|(_, one)| is_over(one.count));
            self.coming.extend(over.map(|(offset, one)| ((number, *offset), one.first_failed)));
            self.forget_resumed();
            let partition = self.partitions.get_mut(&number).unwrap();
            (partition.reading, partition.is_held) = (Some(position), false);
            let committed = partition.committed.as_ref().map(|(offset, _)| *offset);
            let beginning = Beginning { slot: slot(number), position, committed, progress };
            self.group.assign(vec![beginning], self.now);
            if self.parks() {
                self.parking.unread.insert(number);
            }
        }
    }

    pub(super) fn rebalance(&mut self) -> &'static str {
        let number = self.below(self.partitions.len()) as u32;
        if self.partitions[&number].reading.is_none() {
            return "gone already";
        }
        if self.below(3) == 0 {
            self.group.lose(&[slot(number)], self.now);
            self.pump();
            self.gone(number);
            self.assign_all();
            return "lose";
        }
        self.group.revoke(&[slot(number)], self.now);
        "revoke"
    }

    /// A commit under way is through by now, or never will be.
    pub(super) fn gone(&mut self, number: u32) {
        let is_through = self.below(2) == 0;
        let running = self.commit.iter_mut().flatten().find(|one| one.slot.partition == number);
        let landed = running.filter(|_| is_through).map(|one| (one.offset, one.metadata.clone()));
        if number == BACK {
            let is_written = landed.is_some() || self.below(2) == 0;
            self.letters.write(is_written);
        }
        for one in self.commit.iter_mut() {
            one.retain(|one| one.slot.partition != number);
        }
        let partition = self.partitions.get_mut(&number).unwrap();
        partition.committed = landed.or_else(|| partition.committed.take());
        partition.reading = None;
        partition.moved = None;
        partition.flights.clear();
        self.burials.retain(|one| one.slot.partition != number);
        if self.parks() {
            let is_removed = self.below(2) == 0;
            self.parking.gone(number, is_removed);
        }
        self.halted.retain(|(partition, _)| *partition != number);
        self.coming.retain(|(partition, _), _| *partition != number);
    }

    pub(super) fn crash(&mut self) -> &'static str {
        let epoch = self.group.last_epoch();
        self.group = Group::new(Arc::clone(&self.policy), epoch, Random::new(epoch));
        self.group.set_resumed(self.resumed.clone());
        self.is_open = false;
        self.failing = consumer::Failing::default();
        self.members.clear();
        for number in 0..self.partitions.len() as u32 {
            self.gone(number);
        }
        self.commit = None;
        self.assign_all();
        "crash"
    }
}
