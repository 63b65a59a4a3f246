//! Who shares a group's lanes: the local members, their credit and their load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::ConnectionId;

/// How long a member may hold twice the mean number of lanes.
const OVERLOAD_MAX: Duration = Duration::from_secs(10);

/// Whether a member's connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It does.
    Here,
    /// It broke; its deliveries wait until then.
    Broken {
        /// The end of the grace.
        until: Duration,
    },
}

/// A member as the group sees it.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    /// Its connection.
    pub(super) connection: ConnectionId,
    /// Who it is.
    pub(super) principal: Arc<str>,
    /// At most this many deliveries in flight.
    pub(super) credit: u32,
    /// Whether it asked for a pause.
    pub(super) is_paused: bool,
    /// Whether its connection stands.
    pub(super) presence: Presence,
    /// Its deliveries in flight.
    pub(super) in_flight: u32,
    /// Lanes that stick to it.
    pub(super) lanes: u32,
    /// Whether its connection settled anything.
    pub(super) has_settled: bool,
    overloaded_since: Option<Duration>,
    /// The turn when it came, when it was picked last to try something, and when it was picked last.
    joined: u64,
    tried: u64,
    turn: u64,
}

/// All members of a group on this gateway.
#[derive(Debug, Clone, Default)]
pub(super) struct Roster {
    seats: BTreeMap<u32, Seat>,
    turn: u64,
}

impl Seat {
    /// A member that holds nothing yet.
    #[must_use]
    pub(super) const fn new(connection: ConnectionId, principal: Arc<str>, credit: u32) -> Self {
        Self {
            connection,
            principal,
            credit,
            is_paused: false,
            presence: Presence::Here,
            in_flight: 0,
            lanes: 0,
            has_settled: false,
            overloaded_since: None,
            joined: 0,
            tried: 0,
            turn: 0,
        }
    }

    /// The same member, holding nothing.
    #[must_use]
    pub(super) fn fresh(&self) -> Self {
        Self { in_flight: 0, lanes: 0, overloaded_since: None, ..self.clone() }
    }

    /// Whether it can take another delivery now.
    #[must_use]
    pub(super) fn has_room(&self) -> bool {
        self.is_working() && self.in_flight < self.credit
    }

    /// Whether it is here and not paused.
    #[must_use]
    pub(super) fn is_working(&self) -> bool {
        self.presence == Presence::Here && !self.is_paused
    }

    const fn trial_rank(&self) -> (bool, bool, u64) {
        (!self.has_settled, self.in_flight > 0, self.tried)
    }
}

impl Roster {
    /// Adds a member.
    pub(super) fn insert(&mut self, member: u32, seat: Seat) {
        self.turn += 1;
        self.seats.insert(member, Seat { joined: self.turn, tried: self.turn, ..seat });
    }

    /// Removes a member.
    pub(super) fn remove(&mut self, member: u32) -> Option<Seat> {
        self.seats.remove(&member)
    }

    /// A member, to be changed.
    pub(super) fn get_mut(&mut self, member: u32) -> Option<&mut Seat> {
        self.seats.get_mut(&member)
    }

    /// The member with room that has the fewest lanes, then the fewest deliveries, then waited longest.
    pub(super) fn pick_with_room(&mut self) -> Option<u32> {
        self.pick(Seat::has_room)
    }

    /// The member with room that was picked longest ago.
    pub(super) fn pick_in_turn(&mut self) -> Option<u32> {
        self.pick_least(Seat::has_room, |seat| seat.turn)
    }

    /// The member with room on which a delivery is best tried: one that has settled something, then one that holds nothing, then
    /// the one that tried something longest ago, or came first.
    pub(super) fn pick_proven(&mut self) -> Option<u32> {
        let member = self.pick_least(Seat::has_room, Seat::trial_rank)?;
        if let Some(seat) = self.seats.get_mut(&member) {
            seat.tried = seat.turn;
        }
        Some(member)
    }

    /// That member, who is not picked yet.
    #[must_use]
    pub(super) fn next_proven(&self) -> Option<&Seat> {
        self.seats.values().filter(|seat| seat.has_room()).min_by_key(|seat| seat.trial_rank())
    }

    /// The working member that has the fewest lanes, whether it has room or not.
    pub(super) fn pick_working(&mut self) -> Option<u32> {
        self.pick(Seat::is_working)
    }

    /// A member that held twice the mean number of lanes for ten seconds and so must give one up.
    pub(super) fn overloaded(&mut self, now: Duration) -> Option<u32> {
        let working = self.seats.values().filter(|seat| seat.is_working()).count();
        let lanes: u32 = self.seats.values().map(|seat| seat.lanes).sum();
        let mut found = None;
        for (member, seat) in &mut self.seats {
            let is_over = working > 1
                && seat.lanes > 1
                && u64::from(seat.lanes) * u64::try_from(working).unwrap_or(u64::MAX) >= 2 * u64::from(lanes);
            let since = seat.overloaded_since.filter(|_| is_over);
            seat.overloaded_since = is_over.then(|| since.unwrap_or(now));
            if found.is_none() && since.is_some_and(|since| since + OVERLOAD_MAX <= now) {
                seat.overloaded_since = Some(now);
                found = Some(*member);
            }
        }
        found
    }

    /// The members with most and fewest lanes among those working, when they differ by at least two.
    #[must_use]
    pub(super) fn extremes(&self) -> Option<(u32, u32)> {
        let working = || self.seats.iter().filter(|(_, seat)| seat.is_working());
        let (most, full) = working().max_by_key(|(_, seat)| seat.lanes)?;
        let (fewest, idle) = working().min_by_key(|(_, seat)| seat.lanes)?;
        (full.lanes >= idle.lanes + 2).then_some((*most, *fewest))
    }

    /// The turn of now.
    #[must_use]
    pub(super) const fn turn(&self) -> u64 {
        self.turn
    }

    /// Whether a member has room that came by that turn.
    #[must_use]
    pub(super) fn has_room_since(&self, turn: u64) -> bool {
        self.seats.values().any(|seat| seat.has_room() && seat.joined <= turn)
    }

    /// A member.
    #[must_use]
    pub(super) fn get(&self, member: u32) -> Option<&Seat> {
        self.seats.get(&member)
    }

    /// All members.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Seat)> {
        self.seats.iter().map(|(member, seat)| (*member, seat))
    }

    fn pick(&mut self, is_fit: impl Fn(&Seat) -> bool) -> Option<u32> {
        self.pick_least(is_fit, |seat| (seat.lanes, seat.in_flight, seat.turn))
    }

    fn pick_least<K: Ord>(
        &mut self,
        is_fit: impl Fn(&Seat) -> bool,
        load: impl Fn(&Seat) -> K,
    ) -> Option<u32> {
        let fit = self.seats.iter_mut().filter(|(_, seat)| is_fit(seat));
        let (member, seat) = fit.min_by_key(|(_, seat)| load(seat))?;
        self.turn += 1;
        seat.turn = self.turn;
        Some(*member)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ConnectionId, Presence, Roster, Seat};

    fn seat(credit: u32, lanes: u32) -> Seat {
        let seat = Seat::new(ConnectionId::new("c"), "p".into(), credit);
        Seat { lanes, ..seat }
    }

    #[test]
    fn the_least_loaded_member_with_room_is_picked_in_turn() {
        let mut roster = Roster::default();
        roster.insert(1, seat(1, 0));
        roster.insert(2, seat(1, 0));
        roster.insert(3, seat(0, 0));
        assert_eq!([1, 2, 3].map(|_| roster.pick_with_room()), [Some(1), Some(2), Some(1)]);
        roster.get_mut(1).unwrap().is_paused = true;
        roster.get_mut(2).unwrap().presence = Presence::Broken { until: Duration::ZERO };
        assert_eq!(roster.pick_with_room(), None);
    }

    #[test]
    fn members_are_picked_in_turn_whatever_they_hold() {
        let mut roster = Roster::default();
        roster.insert(1, seat(9, 5));
        roster.insert(2, seat(9, 0));
        roster.insert(3, seat(0, 0));
        assert_eq!([1, 2, 3].map(|_| roster.pick_in_turn()), [Some(1), Some(2), Some(1)]);
    }

    #[test]
    fn a_delivery_is_tried_on_who_has_settled_something_and_holds_nothing() {
        let mut roster = Roster::default();
        for member in 1..=3 {
            roster.insert(member, seat(9, 0));
        }
        roster.get_mut(2).unwrap().has_settled = true;
        assert_eq!(roster.pick_proven(), Some(2));
        assert!(roster.next_proven().unwrap().has_settled);
        roster.get_mut(2).unwrap().credit = 0;
        roster.get_mut(1).unwrap().in_flight = 1;
        assert_eq!([1, 2].map(|_| roster.pick_proven()), [Some(3), Some(3)]);
    }

    #[test]
    fn a_member_with_twice_the_mean_for_ten_seconds_gives_a_lane_up() {
        let mut roster = Roster::default();
        roster.insert(1, seat(8, 3));
        roster.insert(2, seat(8, 0));
        let seconds = Duration::from_secs;
        assert_eq!(roster.overloaded(seconds(1)), None);
        assert_eq!(roster.overloaded(seconds(10)), None);
        assert_eq!(roster.overloaded(seconds(11)), Some(1));
        roster.get_mut(1).unwrap().lanes = 2;
        roster.get_mut(2).unwrap().lanes = 1;
        assert_eq!(roster.overloaded(seconds(30)), None);
        assert_eq!(roster.extremes(), None);
    }
}
