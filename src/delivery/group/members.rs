//! Members come, break, come back and go; lanes are shared out among them.

use std::time::Duration;

use super::super::lane::Returned;
use super::super::roster::{Presence, Seat};
use super::super::{ConnectionId, How};
use super::{Action, Group, LaneId, LaneKey, Moment, Outcome, Slot};

/// So many of a broken connection's deliveries count as tried, at most: those sent first, one of each lane. Workers take what
/// they get in its order and few at a time, so these it can have been working on; what came behind them it may not have seen.
const TRIED_MAX: usize = 8;

/// How often it is looked whether lanes are shared evenly.
const BALANCE_EVERY: Duration = Duration::from_secs(1);

impl Group {
    /// A member comes. Where `adopt` names a connection of the same principal, it takes over that one's
    /// deliveries; answers whom it replaced.
    pub(in crate::delivery) fn join(
        &mut self,
        member: u32,
        seat: Seat,
        adopt: Option<&ConnectionId>,
        now: Moment,
    ) -> Vec<u32> {
        let is_before = |one: &Seat| Some(&one.connection) == adopt && one.principal == seat.principal;
        let replaced: Vec<u32> =
            self.roster.iter().filter(|(_, one)| is_before(one)).map(|(id, _)| id).collect();
        self.roster.insert(member, seat);
        for before in &replaced {
            self.hand_over(*before, member);
        }
        self.house_lanes();
        self.share_idle_lanes();
        self.next_balance = Some(now.elapsed + BALANCE_EVERY);
        self.is_assignment_changed = true;
        replaced
    }

    /// A member goes. Broken, it keeps its deliveries for the reconnect grace.
    pub(in crate::delivery) fn leave(&mut self, member: u32, how: How, now: Moment) {
        match how {
            How::Clean => self.dismiss(member, how, now),
            How::Broken => {
                let until = now.elapsed.saturating_add(self.policy.reconnect_grace);
                if let Some(seat) = self.roster.get_mut(member) {
                    seat.presence = Presence::Broken { until };
                }
                self.house_lanes();
            }
        }
    }

    /// Changes a member's window.
    pub(in crate::delivery) fn set_credit(&mut self, member: u32, credit: u32) {
        if let Some(seat) = self.roster.get_mut(member) {
            seat.credit = credit;
        }
    }

    /// Stops or starts sending to a member.
    pub(in crate::delivery) fn set_paused(&mut self, member: u32, is_paused: bool) {
        if let Some(seat) = self.roster.get_mut(member) {
            seat.is_paused = is_paused;
        }
        self.house_lanes();
    }

    /// Which partitions each member works on, when that changed since the last call.
    pub(in crate::delivery) fn take_assignments(&mut self) -> Option<Vec<(u32, Vec<Slot>)>> {
        if !std::mem::take(&mut self.is_assignment_changed) {
            return None;
        }
        let members = self.roster.iter().filter(|(_, seat)| seat.presence == Presence::Here);
        Some(members.map(|(member, _)| (member, self.slots_of(member))).collect())
    }

    /// All members and what they have in flight.
    pub(in crate::delivery) fn seats(&self) -> impl Iterator<Item = (u32, &Seat)> {
        self.roster.iter()
    }

    /// Members whose grace is over are lost.
    pub(super) fn end_graces(&mut self, now: Moment) {
        let is_over =
            |seat: &Seat| matches!(seat.presence, Presence::Broken { until } if until <= now.elapsed);
        let lost: Vec<u32> = self.roster.iter().filter(|(_, seat)| is_over(seat)).map(|(id, _)| id).collect();
        for member in lost {
            self.dismiss(member, How::Broken, now);
        }
    }

    pub(super) fn grace_ends(&self) -> Option<Duration> {
        let ends = self.roster.iter().filter_map(|(_, seat)| match seat.presence {
            Presence::Broken { until } => Some(until),
            Presence::Here => None,
        });
        ends.min()
    }

    /// Gives every partition's lane that nobody works on a member.
    pub(super) fn house_lanes(&mut self) {
        let sources = self.sources.values().filter_map(|source| source.lanes.get(&LaneKey::Partition));
        let ids: Vec<LaneId> = sources.copied().collect();
        for id in ids {
            let Some(seat) = self.lanes.get(&id) else { continue };
            let owner = seat.owner.and_then(|member| self.roster.get(member));
            let is_served = owner.is_some_and(Seat::is_working) || seat.lane.in_flight() > 0;
            if !is_served && let Some(member) = self.roster.pick_working() {
                self.set_owner(id, Some(member));
            }
        }
    }

    /// A member that holds far too many lanes for long gives one up, once it has drained.
    pub(super) fn balance(&mut self, now: Moment) {
        if self.next_balance.is_none_or(|due| due > now.elapsed) {
            return;
        }
        let has_lanes = self.sources.values().any(|source| source.lanes.contains_key(&LaneKey::Partition));
        let count = self.roster.iter().count();
        self.next_balance = (has_lanes && count > 1).then_some(now.elapsed + BALANCE_EVERY);
        let Some(member) = self.roster.overloaded(now.elapsed) else { return };
        let lanes = self.lanes.iter().filter(|(_, seat)| {
            seat.owner == Some(member) && seat.key == LaneKey::Partition && !seat.is_moving
        });
        let least = lanes.min_by_key(|(id, seat)| (seat.lane.in_flight(), **id)).map(|(id, _)| *id);
        if let Some(seat) = least.and_then(|id| self.lanes.get_mut(&id)) {
            seat.is_moving = true;
        }
    }

    /// Moves lanes with nothing in flight from the fullest members to the emptiest, since moving them costs
    /// nothing.
    fn share_idle_lanes(&mut self) {
        while let Some((fullest, emptiest)) = self.roster.extremes() {
            let is_idle = |id: &LaneId| {
                let seat = self.lanes.get(id);
                seat.is_some_and(|seat| seat.owner == Some(fullest) && seat.lane.in_flight() == 0)
            };
            let sources = self.sources.values().rev();
            let idle =
                sources.filter_map(|source| source.lanes.get(&LaneKey::Partition)).copied().find(is_idle);
            let Some(id) = idle else { return };
            self.set_owner(id, Some(emptiest));
        }
    }

    fn slots_of(&self, member: u32) -> Vec<Slot> {
        let is_its = |source: &super::Source| {
            let lane = source.lanes.get(&LaneKey::Partition).and_then(|id| self.lanes.get(id));
            source.phase == super::source::Phase::Active
                && (self.policy.ordering != super::super::Ordering::Partition
                    || lane.is_some_and(|seat| seat.owner == Some(member)))
        };
        self.sources.iter().filter(|(_, source)| is_its(source)).map(|(slot, _)| *slot).collect()
    }

    fn hand_over(&mut self, from: u32, to: u32) {
        let Some(before) = self.roster.get(from) else { return };
        if before.presence == Presence::Here {
            self.actions.push(Action::Close { member: from });
        }
        let in_flight = before.in_flight;
        let ids = self.lanes_of(from);
        for id in ids {
            if let Some(seat) = self.lanes.get_mut(&id) {
                seat.lane.hand_over(from, to);
            }
            self.set_owner(id, Some(to));
        }
        if let Some(seat) = self.roster.get_mut(to) {
            seat.in_flight += in_flight;
        }
        self.roster.remove(from);
    }

    /// A member is gone: what it had goes back.
    fn dismiss(&mut self, member: u32, how: How, now: Moment) {
        let lanes = self.lanes_of(member);
        let mut returned = Vec::new();
        for id in &lanes {
            let Some(seat) = self.lanes.get_mut(id) else { continue };
            let slot = seat.slot;
            let its = seat.lane.take_all_back();
            for one in &its {
                self.landed(slot, one.flight.member);
            }
            self.set_owner(*id, None);
            returned.extend(its.into_iter().map(|one| (slot, *id, one)));
        }
        match how {
            How::Clean => {
                for (slot, id, head) in returned.iter().filter(|(_, _, one)| one.is_head) {
                    self.came_back(*slot, *id, head.offset, now);
                }
            }
            How::Broken => self.break_off(returned, now),
        }
        for id in lanes {
            self.touch(id, now);
        }
        self.roster.remove(member);
        self.house_lanes();
    }

    /// What a broken connection had came back. Heads of lanes count as tried, as far as it can have been working on them.
    fn break_off(&mut self, mut returned: Vec<(Slot, LaneId, Returned)>, now: Moment) {
        self.note_broken(returned.iter().map(|(slot, _, one)| (*slot, one.offset)), now);
        returned.retain(|(_, _, one)| one.is_head);
        returned.sort_unstable_by_key(|(_, _, one)| one.flight.sequence);
        for (index, (slot, id, head)) in returned.iter().enumerate() {
            if index < TRIED_MAX {
                self.count_failure(*slot, *id, head, Outcome::Lost, now);
            } else if !(self.policy.breaker && self.is_last_attempt(*slot, head.offset)) {
                self.came_back(*slot, *id, head.offset, now);
            }
        }
    }

    fn lanes_of(&self, member: u32) -> Vec<LaneId> {
        let mut ids: Vec<LaneId> =
            self.lanes.iter().filter(|(_, seat)| seat.owner == Some(member)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}
