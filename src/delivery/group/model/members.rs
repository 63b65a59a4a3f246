//! Members of the model come, break, adopt one another, pause and go.

use crate::delivery::roster::Seat;
use crate::delivery::{ConnectionId, How};

use super::World;

impl World {
    pub(super) fn join(&mut self) -> &'static str {
        if self.members.values().filter(|(_, lost)| lost.is_none()).count() >= 5 {
            return "enough members";
        }
        self.add_member(None);
        "join"
    }

    pub(super) fn add_member(&mut self, adopt: Option<u32>) {
        let (member, credit) = (self.next_member, 1 + self.below(10) as u32);
        self.next_member += 2;
        let name = |member: u32| ConnectionId::new(&member.to_string());
        let seat = Seat::new(name(member), "p".into(), credit);
        let replaced = self.group.join(member, seat, adopt.map(name).as_ref(), self.now);
        self.members.insert(member, (credit, None));
        for before in replaced {
            self.members.remove(&before);
            for flight in self.partitions.values_mut().flat_map(|one| one.flights.values_mut()) {
                if flight.member == before {
                    flight.member = member;
                }
            }
        }
    }

    pub(super) fn adopt(&mut self) -> &'static str {
        let members: Vec<u32> = self.members.keys().copied().collect();
        let Some(before) = self.pick(&members) else { return "nobody" };
        self.add_member(Some(before));
        "adopt"
    }

    /// Another one comes in its place.
    pub(super) fn break_one(&mut self) -> &'static str {
        let Some(member) = self.pick(&self.here()) else { return self.join() };
        self.broken(member)
    }

    fn broken(&mut self, member: u32) -> &'static str {
        self.group.leave(member, How::Broken, self.now);
        self.members.insert(member, (0, Some(self.now.elapsed + self.policy.reconnect_grace)));
        "break"
    }

    fn here(&self) -> Vec<u32> {
        let here = self.members.iter().filter(|(_, (_, lost))| lost.is_none());
        here.map(|(member, _)| *member).collect()
    }

    pub(super) fn leave(&mut self) -> &'static str {
        let Some(member) = self.pick(&self.here()) else { return "nobody" };
        if self.below(2) == 0 {
            return self.broken(member);
        }
        self.group.leave(member, How::Clean, self.now);
        self.members.remove(&member);
        self.forget_flights_of(member);
        "leave"
    }

    pub(super) fn forget_flights_of(&mut self, member: u32) {
        for partition in self.partitions.values_mut() {
            partition.flights.retain(|_, flight| flight.member != member);
        }
    }

    pub(super) fn pause(&mut self) -> &'static str {
        let members: Vec<u32> = self.members.keys().copied().collect();
        let Some(member) = self.pick(&members) else { return "nobody" };
        self.group.set_paused(member, true);
        self.pump();
        self.group.set_paused(member, false);
        "pause"
    }
}
