//! The breaker at work: which failures count, and probes instead of deliveries while it is open.

use std::time::Duration;

use super::super::BreakerReason;
use super::super::breaker::{Ended, Evidence, Stake, Verdict};
use super::super::tracker::Unresolved;
use super::dispatch::Turn;
use super::returning::Way;
use super::settlement::Found;
use super::source::Phase;
use super::{Action, Group, LaneId, LaneSeat, Moment, Outcome, Slot, Withdrawal};

/// What waits longer than this for its next attempt is not waited for.
const HELD_MAX: Duration = Duration::from_secs(60);

/// Which lanes may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Whichever comes first.
    All,
    /// Those whose head no broken connection had.
    Others,
}

impl Group {
    /// How long the breaker has been open; `None` when it is closed.
    #[must_use]
    pub(in crate::delivery) fn open_for(&self, now: Moment) -> Option<Duration> {
        self.breaker.open_since().map(|since| now.elapsed.saturating_sub(since))
    }

    /// Why it is open.
    #[must_use]
    pub(in crate::delivery) fn open_reason(&self) -> Option<BreakerReason> {
        self.breaker.reason()
    }

    /// Whether records are under a suspicion that only this task of the group knows of: connections broke that had them, or
    /// members left with them.
    #[must_use]
    pub(in crate::delivery) fn suspects_records(&self) -> bool {
        let mut sources = self.sources.values();
        self.breaker.has_suspects()
            || sources.any(|source| source.tracker.iter().any(|(_, one)| one.has_come_back()))
    }

    /// A member settled something: its connection works.
    pub(super) fn hear(&mut self, member: u32) {
        self.breaker.heard();
        if let Some(seat) = self.roster.get_mut(member) {
            seat.has_settled = true;
        }
    }

    /// A connection broke that had these in flight, which may open the breaker.
    pub(super) fn note_broken(&mut self, places: impl ExactSizeIterator<Item = (Slot, u64)>, now: Moment) {
        if self.breaker.broke(places, now.elapsed) {
            self.tell_breaker();
        }
    }

    /// A delivery succeeded, which may close the breaker.
    pub(super) fn note_success(&mut self, found: Found) {
        if self.breaker.succeeded(found.ended()) {
            self.tell_breaker();
        }
    }

    /// A delivery failed. It counts as an attempt unless the consumer as a whole is down: then the record goes back as it
    /// was, and may be the next probe.
    pub(super) fn judge_failure(
        &mut self,
        found: Found,
        outcome: Outcome,
        delay: Option<Duration>,
        now: Moment,
    ) {
        let verdict = match outcome {
            Outcome::Lost => {
                let is_last = self.is_last_attempt(found.slot, found.offset);
                let stake = if is_last { Stake::LastRetry } else { Stake::Attempt };
                let evidence = self.weigh(found, now);
                self.breaker.lost(found.ended(), stake, evidence, now.elapsed)
            }
            Outcome::Ack | Outcome::Nack | Outcome::Reject | Outcome::Timeout => {
                self.breaker.failed(found.ended(), self.stake(found), self.lanes.len(), now.elapsed)
            }
        };
        match verdict {
            Verdict::Counts => {
                self.note_failure(found.slot, found.lane, found.offset, outcome, delay, now);
                return;
            }
            Verdict::Opens => self.tell_breaker(),
            Verdict::Spared => {}
        }
        let until = now.elapsed.saturating_add(delay.unwrap_or_default());
        if let Some(seat) = self.lanes.get_mut(&found.lane) {
            let returned = seat.lane.fail(found.offset, until);
            // Nothing new has to be durable before it is sent again.
            seat.lane.record(found.offset);
            self.withdraw(found.slot, &returned, Withdrawal::Rewind);
        }
    }

    /// Closes the breaker by hand.
    pub(super) fn close_breaker(&mut self) {
        if self.breaker.close() {
            self.tell_breaker();
        }
    }

    pub(super) fn set_breaker(&mut self, is_enabled: bool) {
        if self.breaker.set_enabled(is_enabled) {
            self.tell_breaker();
        }
    }

    /// Whether one more failure leaves a record no attempt.
    pub(super) fn is_last_attempt(&self, slot: Slot, offset: u64) -> bool {
        let one = self.sources.get(&slot).and_then(|source| source.tracker.get(offset));
        one.is_some_and(|one| one.attempts().saturating_add(1) >= self.policy.attempts_max())
    }

    /// Sends the next probe when it is time, from the lanes in turn and to the members in turn; or closes the breaker when
    /// nothing is left that has to be tried alone.
    pub(super) fn probe(&mut self, now: Moment) {
        if self.breaker.probe().is_some_and(|probe| !self.is_under_way(probe)) {
            self.breaker.forget_probe(now.elapsed);
        }
        if self.breaker.is_cleared(|(slot, offset)| self.may_come(slot, offset, now)) {
            self.close_breaker();
            return;
        }
        if self.breaker.may_probe(now.elapsed) && !self.probe_one(now) {
            self.breaker.await_work();
        }
    }

    /// Where connections break, a member that has worked tries what is suspect; another one shows first with anything else
    /// whether it does.
    fn probe_one(&mut self, now: Moment) -> bool {
        let next = self.roster.next_proven().filter(|_| self.breaker.is_hunting());
        match next.map(|seat| seat.has_settled) {
            Some(true) => self.probe_suspects(now) || self.probe_ready(Choice::All, now),
            Some(false) => self.probe_ready(Choice::Others, now) || self.probe_ready(Choice::All, now),
            None => self.probe_ready(Choice::All, now),
        }
    }

    fn probe_suspects(&mut self, now: Moment) -> bool {
        let lane = |(slot, offset): &(Slot, u64)| self.sources.get(slot)?.tracker.get(*offset)?.kept.lane;
        let mut lanes: Vec<LaneId> = self.breaker.suspects().iter().filter_map(lane).collect();
        lanes.dedup();
        lanes.into_iter().any(|id| match self.next_due(id, now) {
            Some(place) if self.breaker.suspects().contains(&place) => {
                matches!(self.probe_lane(id, now), Turn::Sent)
            }
            Some(_) | None => false,
        })
    }

    fn probe_ready(&mut self, choice: Choice, now: Moment) -> bool {
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            if choice == Choice::Others
                && self.next_due(id, now).is_some_and(|place| self.breaker.suspects().contains(&place))
            {
                self.ready.push_back(id);
                continue;
            }
            match self.probe_lane(id, now) {
                Turn::Sent => {
                    self.ready.push_back(id);
                    return true;
                }
                Turn::Idle => {
                    if let Some(seat) = self.lanes.get_mut(&id) {
                        seat.is_queued = false;
                    }
                }
                Turn::Parked => self.ready.push_back(id),
                Turn::NoRoom => {
                    self.ready.push_front(id);
                    break;
                }
            }
        }
        false
    }

    fn probe_lane(&mut self, id: LaneId, now: Moment) -> Turn {
        let Some((slot, offset)) = self.next_due(id, now) else { return Turn::Idle };
        // A probe is the head of its lane; what was sent before the breaker opened may still settle.
        if self.lanes.get(&id).is_some_and(|seat| seat.lane.in_flight() > 0) {
            return Turn::Parked;
        }
        let is_hunting = self.breaker.is_hunting();
        let member = if is_hunting { self.roster.pick_proven() } else { self.roster.pick_in_turn() };
        let Some(member) = member else { return Turn::NoRoom };
        self.set_owner(id, Some(member));
        self.send(id, slot, offset, member, now);
        self.breaker.probed(Ended { place: (slot, offset), lane: id, sequence: self.last_sequence });
        Turn::Sent
    }

    /// What a connection that broke says of one of its deliveries; only a probe is judged by it.
    fn weigh(&mut self, found: Found, now: Moment) -> Evidence {
        if self.breaker.probe() != Some(found.ended()) {
            return Evidence::Nothing;
        }
        let Ended { place, .. } = found.ended();
        let since = self.breaker.lost_since(place).unwrap_or_else(|| self.roster.turn());
        self.breaker.note_lost(place, since);
        if self.roster.get(found.flight.member).is_some_and(|seat| seat.has_settled) {
            return Evidence::Worked;
        }
        let mut others = self.lanes.iter().filter(|(id, _)| **id != found.lane);
        let may_come = |(_, seat): (&LaneId, &LaneSeat)| {
            let head = seat.lane.head().filter(|offset| self.may_come(seat.slot, *offset, now));
            head.is_some_and(|offset| self.way(seat.slot, offset) != Way::Taken)
        };
        let may_compare = self.roster.has_room_since(since) || others.any(may_come);
        if may_compare { Evidence::Nothing } else { Evidence::OnlyOne }
    }

    /// Whether a record is delivered before long, if nothing else happens.
    fn may_come(&self, slot: Slot, offset: u64, now: Moment) -> bool {
        let Some(source) = self.sources.get(&slot) else { return false };
        let lane = source.tracker.get(offset).and_then(|one| self.lanes.get(&one.kept.lane?));
        let is_near = |until: Duration| until <= now.elapsed.saturating_add(HELD_MAX);
        let is_coming =
            |seat: &LaneSeat| !seat.lane.is_burying(offset) && seat.lane.held_until().is_none_or(is_near);
        source.phase == Phase::Active && !source.is_halted() && lane.is_some_and(is_coming)
    }

    fn stake(&self, found: Found) -> Stake {
        let one = self.sources.get(&found.slot).and_then(|source| source.tracker.get(found.offset));
        let failed = one.map_or(0, Unresolved::attempts);
        if failed > 0 && failed.saturating_add(1) >= self.policy.attempts_max() {
            Stake::LastRetry
        } else {
            Stake::Attempt
        }
    }

    fn is_under_way(&self, probe: Ended) -> bool {
        let flight = self.lanes.get(&probe.lane).and_then(|seat| seat.lane.flight(probe.place.1));
        flight.is_some_and(|flight| flight.sequence == probe.sequence)
    }

    fn tell_breaker(&mut self) {
        self.actions.push(Action::Breaker { opened: self.breaker.reason() });
        // Members are told of it with their assignment.
        self.is_assignment_changed = true;
    }
}

impl Found {
    const fn ended(&self) -> Ended {
        Ended { place: (self.slot, self.offset), lane: self.lane, sequence: self.flight.sequence }
    }
}
