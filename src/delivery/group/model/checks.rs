//! What must hold after every step, and what must have happened in the end.

use crate::delivery::{BreakerReason, Exhausted, Ordering, Settlement, Tag, metadata};

use super::super::{Action, Burial, Halted, Reason, SourceCommit};
use super::consumer::Failing;
use super::parking::Buried;
use super::{Flight, PARTITIONS, World};

impl World {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Send(outgoing) => self.check_send(outgoing.tag, outgoing.member, outgoing.attempt),
            Action::Withdraw { member, tags, .. } => {
                for tag in tags {
                    let flights = &mut self.partitions.get_mut(&tag.partition).unwrap().flights;
                    let flight = flights.remove(&tag.offset);
                    assert!(flight.is_some_and(|flight| flight.member == member && flight.tag == tag));
                }
            }
            Action::Commit(commits) => {
                assert!(self.commit.is_none(), "two commits at a time");
                for one in &commits {
                    self.check_commit(one);
                }
                self.commit = Some(commits);
            }
            Action::Bury(burial) => {
                self.check_burial(&burial);
                self.burials.push(Buried::of(&burial));
            }
            Action::Halted(Halted { slot, offset, attempts }) => {
                assert!(!self.partitions[&slot.partition].is_settled(offset), "a settled record halts");
                assert!(attempts >= self.policy.attempts_max());
                self.halted.insert((slot.partition, offset));
                self.coming.remove(&(slot.partition, offset));
                *self.steps.entry("halted").or_default() += 1;
            }
            Action::Breaker { opened } => {
                let is_open = opened.is_some();
                assert_ne!(self.is_open, is_open, "told when it changes");
                (self.is_open, self.probe) = (is_open, None);
                self.failing = Failing::default();
                let name = match opened {
                    Some(BreakerReason::Failures) => "opened",
                    Some(BreakerReason::ConnectionsLost) => "hunted",
                    None => "closed",
                };
                *self.steps.entry(name).or_default() += 1;
            }
            Action::Hold(slot) => self.partitions.get_mut(&slot.partition).unwrap().is_held = true,
            Action::Release(slot) => self.partitions.get_mut(&slot.partition).unwrap().is_held = false,
            Action::GiveBack(slot) => self.gone(slot.partition),
            Action::Close { .. } => {}
            Action::Settled(settled) => {
                assert!(settled.attempt <= self.policy.attempts_max());
                self.note_settled(&settled);
            }
        }
    }

    fn check_burial(&mut self, burial: &Burial) {
        let offset = burial.record.offset.number();
        let partition = &self.partitions[&burial.slot.partition];
        assert!(!partition.is_settled(offset), "a settled record died");
        if burial.reason == Reason::KeyParked {
            if burial.slot.is_redriven() {
                self.check_barred(burial);
            } else {
                self.check_parked(burial);
            }
            return;
        }
        assert!(burial.attempts >= 1);
        if burial.reason == Reason::Rejected {
            return;
        }
        assert_ne!(self.policy.on_exhausted, Exhausted::Halt, "given up instead of halted");
        // A partition may come with what was given up before.
        let is_old = self.durable_attempts(burial.slot.partition, offset) >= self.policy.attempts_max();
        let is_lost = self.failing.lost == Some((burial.slot.partition, offset));
        if is_lost {
            self.check_lost(burial);
            return;
        }
        assert!(!self.is_open || is_old, "given up while the consumer is down");
        let is_broad =
            self.failing.last == Some((burial.slot.partition, offset)) && self.failing.row.len() >= 10;
        assert!(!is_broad, "given up while ten failed in a row");
    }

    fn durable_attempts(&self, partition: u32, offset: u64) -> u32 {
        let committed = self.partitions[&partition].committed.as_ref();
        let progress = committed.map(|(offset, text)| metadata::decode(*offset, text));
        progress.and_then(|progress| progress.attempts.get(&offset).map(|one| one.count)).unwrap_or(0)
    }

    fn lane(&self, partition: u32, offset: u64) -> (u32, Option<usize>, Option<u64>) {
        match (self.ordering, self.partitions[&partition].keys[offset as usize]) {
            (Ordering::Partition, _) => (partition, None, None),
            (Ordering::Key, Some(key)) => (partition, Some(key), None),
            (Ordering::Key, None) | (Ordering::None, _) => (partition, None, Some(offset)),
        }
    }

    fn check_send(&mut self, tag: Tag, member: u32, attempt: u32) {
        self.sent += 1;
        let (credit, lost) = self.members[&member];
        assert!(lost.is_none(), "sent to a member that is not here");
        let in_flight = self.flights().iter().filter(|flight| flight.member == member).count();
        assert!(in_flight < credit as usize, "credit is a window");
        let lane = self.lane(tag.partition, tag.offset);
        let partition = &self.partitions[&tag.partition];
        assert!(!partition.is_settled(tag.offset), "a settled record was sent again");
        assert!(!partition.flights.contains_key(&tag.offset), "sent twice at once");
        let first = partition.floor;
        assert!(tag.offset - first <= self.policy.span_max + 8, "span");
        // What is dead without a try is in no lane.
        let in_lane = |offset: &u64| {
            self.lane(tag.partition, *offset) == lane && !self.is_dying_untried(tag.partition, *offset)
        };
        let earlier = (first..tag.offset).filter(|offset| !partition.is_settled(*offset));
        let earlier: Vec<u64> = earlier.filter(in_lane).collect();
        for offset in &earlier {
            let flight = partition.flights.get(offset);
            let flight = flight.unwrap_or_else(|| panic!("{} overtakes {offset} in its lane", tag.offset));
            assert_eq!(flight.member, member, "a lane goes to one member at a time");
        }
        self.check_not_parked(tag);
        let is_halted = self.halted.iter().any(|(partition, _)| *partition == tag.partition);
        assert!(!is_halted, "sent from a partition that stands still");
        let is_alone = !self.is_trying() && earlier.is_empty();
        assert!(!self.is_open || is_alone, "one is tried at a time, the head of its lane");
        let window = if self.ordering == Ordering::Partition { self.policy.lane_window } else { 1 };
        assert!(earlier.len() < window, "the window");
        let later = partition.flights.range(tag.offset..).filter(|(offset, _)| in_lane(offset)).count();
        assert_eq!(later, 0, "something later of the lane is in flight");
        assert!(attempt <= self.policy.attempts_max(), "tried too often");
        let durable = self.durable_attempts(tag.partition, tag.offset);
        assert!(attempt <= 1 + durable, "attempt {attempt} sent before its commit: {durable}");
        let partition = self.partitions.get_mut(&tag.partition).unwrap();
        let last = partition.attempts.insert(tag.offset, attempt).unwrap_or(0);
        assert!(attempt >= last, "attempts went down from {last} to {attempt}");
        partition.flights.insert(tag.offset, Flight { member, tag });
        assert!(partition.flights.len() <= self.policy.unsettled_per_partition_max);
        if self.is_open {
            self.probe = Some((tag, member));
            *self.steps.entry("tried").or_default() += 1;
        }
    }

    fn check_commit(&self, commit: &SourceCommit) {
        let partition = &self.partitions[&commit.slot.partition];
        assert!(commit.offset <= partition.floor, "the commit passes an unresolved record");
        let before = partition.committed.as_ref().map_or(0, |(offset, _)| *offset);
        assert!(partition.moved.is_some() || commit.offset >= before, "the commit goes back");
        assert!(commit.metadata.len() <= metadata::BYTES_MAX);
        let progress = metadata::decode(commit.offset, &commit.metadata);
        assert!(progress.settled.iter().flat_map(Clone::clone).all(|offset| partition.is_settled(offset)));
    }

    /// With willing members and a healthy log, everything is settled in the end.
    pub(super) fn finish(&mut self) {
        (self.is_down, self.is_crashing) = (false, false);
        self.add_member(None);
        for _ in 0..200_000 {
            self.pass_time();
            if !self.halted.is_empty() {
                self.resume();
            }
            self.end_commit();
            self.end_burial();
            self.park_step();
            for flight in self.flights() {
                self.group.settle(flight.member, &Settlement::Ack(vec![flight.tag]), self.now);
                self.settled(flight.tag);
            }
            self.pump();
            if self.parks() {
                self.read_back();
            }
            for number in 0..PARTITIONS {
                let partition = self.partitions.get_mut(&number).unwrap();
                if let Some(reading) = partition.reading.filter(|_| !partition.is_held) {
                    let end = partition.keys.len() as u64;
                    if reading < end {
                        self.read_to(number, reading, end.min(reading + 8));
                    }
                }
            }
            let is_done = self.partitions.values().all(|one| {
                one.committed
                    .as_ref()
                    .is_some_and(|(offset, text)| *offset >= one.keys.len() as u64 && text.is_empty())
            });
            if is_done {
                return;
            }
        }
        panic!(
            "something was lost: {:?}",
            self.partitions.values().map(|one| &one.committed).collect::<Vec<_>>()
        );
    }
}
