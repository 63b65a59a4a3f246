//! Who gets what: ready lanes meet members with room.

use super::returning::Way;
use super::source::Phase;
use super::{Action, Group, LaneId, Moment, Outgoing, Slot};

/// What became of a lane's turn.
pub(super) enum Turn {
    /// A delivery was sent; there may be more.
    Sent,
    /// There is nothing to send.
    Idle,
    /// Its member must first take what it has.
    Parked,
    /// No member has room.
    NoRoom,
}

impl Group {
    /// Sends what can be sent, lane by lane in turn.
    pub(super) fn dispatch(&mut self, now: Moment) {
        self.ready.extend(self.parked.drain(..));
        if self.breaker.is_open() {
            self.probe(now);
        }
        if self.breaker.is_open() {
            return;
        }
        while let Some(id) = self.ready.pop_front() {
            match self.take_turn(id, now) {
                Turn::Sent => self.ready.push_back(id),
                Turn::Idle => {
                    if let Some(seat) = self.lanes.get_mut(&id) {
                        seat.is_queued = false;
                    }
                }
                Turn::Parked => self.parked.push(id),
                Turn::NoRoom => {
                    self.ready.push_front(id);
                    return;
                }
            }
        }
    }

    fn take_turn(&mut self, id: LaneId, now: Moment) -> Turn {
        let Some((slot, offset)) = self.next_due(id, now) else { return Turn::Idle };
        let Some(seat) = self.lanes.get(&id) else { return Turn::Idle };
        let in_flight = seat.lane.in_flight();
        let owner = seat.owner.filter(|_| !seat.is_moving);
        let has_room = owner.and_then(|member| self.roster.get(member)).is_some_and(|one| one.has_room());
        let member = if has_room { owner } else { None };
        if member.is_none() && in_flight > 0 {
            return if seat.is_moving { Turn::Idle } else { Turn::Parked };
        }
        let Some(member) = member.or_else(|| self.choose(id)) else { return Turn::NoRoom };
        self.set_owner(id, Some(member));
        self.send(id, slot, offset, member, now);
        Turn::Sent
    }

    /// What a lane sends next, and of which partition. What was sent before an earlier letter of its key died again and came
    /// back since is not sent once more.
    pub(super) fn next_due(&mut self, id: LaneId, now: Moment) -> Option<(Slot, u64)> {
        loop {
            let (slot, offset) = self.due(id, now)?;
            match self.way(slot, offset) {
                Way::Free => return Some((slot, offset)),
                Way::Taken => return None,
                Way::Barred => self.bury_untried(slot, offset, now),
            }
        }
    }

    /// What a lane may send now, and of which partition.
    fn due(&self, id: LaneId, now: Moment) -> Option<(Slot, u64)> {
        let seat = self.lanes.get(&id)?;
        let source = self.sources.get(&seat.slot)?;
        let is_going = source.phase == Phase::Active && !source.is_halted();
        seat.lane.sendable(now.elapsed).filter(|_| is_going).map(|offset| (seat.slot, offset))
    }

    /// A moving lane gives its place up first, so that its old member is judged without it.
    fn choose(&mut self, id: LaneId) -> Option<u32> {
        if self.lanes.get(&id).is_some_and(|seat| seat.is_moving) {
            self.set_owner(id, None);
        }
        self.roster.pick_with_room()
    }

    pub(super) fn send(&mut self, id: LaneId, slot: Slot, offset: u64, member: u32, now: Moment) {
        self.last_sequence += 1;
        let (sequence, deadline) = (self.last_sequence, self.policy.ack_timeout);
        let Some(tag) = self.tag(slot, offset, sequence) else { return };
        if let Some(seat) = self.lanes.get_mut(&id) {
            seat.lane.send(now.elapsed, member, sequence, deadline);
        }
        if let Some(seat) = self.roster.get_mut(member) {
            seat.in_flight += 1;
        }
        if let Some(source) = self.sources.get_mut(&slot) {
            source.in_flight += 1;
            if let Some(one) = source.tracker.get(offset) {
                let attempt = one.attempts() + 1;
                let record = one.kept.record.clone();
                self.actions.push(Action::Send(Outgoing { member, tag, attempt, deadline, record }));
            }
        }
        self.touch(id, now);
    }
}
