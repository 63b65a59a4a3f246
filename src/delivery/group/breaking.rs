//! The breaker at work: which failures count, and probes instead of deliveries while it is open.

use std::time::Duration;

use super::super::breaker::{Ended, Stake, Verdict};
use super::super::tracker::Unresolved;
use super::dispatch::Turn;
use super::settlement::Found;
use super::{Action, Group, LaneId, Moment, Outcome, Withdrawal};

impl Group {
    /// How long the breaker has been open; `None` when it is closed.
    #[must_use]
    pub(in crate::delivery) fn open_for(&self, now: Moment) -> Option<Duration> {
        self.breaker.open_since().map(|since| now.elapsed.saturating_sub(since))
    }

    /// A delivery succeeded, which may close the breaker.
    pub(super) fn note_success(&mut self, found: Found) {
        if self.breaker.succeeded(found.ended()) {
            self.tell_breaker(false);
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
        let (stake, lanes) = (self.stake(found), self.lanes.len());
        let verdict = match outcome {
            Outcome::Lost => self.breaker.lost(found.ended(), now.elapsed),
            Outcome::Ack | Outcome::Nack | Outcome::Reject | Outcome::Timeout => {
                self.breaker.failed(found.ended(), stake, lanes, now.elapsed)
            }
        };
        match verdict {
            Verdict::Counts => {
                self.note_failure(found.slot, found.lane, found.offset, outcome, delay, now);
                return;
            }
            Verdict::Opens => self.tell_breaker(true),
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
            self.tell_breaker(false);
        }
    }

    pub(super) fn set_breaker(&mut self, is_enabled: bool) {
        if self.breaker.set_enabled(is_enabled) {
            self.tell_breaker(false);
        }
    }

    /// Sends the next probe when it is time, from the lanes in turn and to the members in turn.
    pub(super) fn probe(&mut self, now: Moment) {
        if self.breaker.probe().is_some_and(|probe| !self.is_under_way(probe)) {
            self.breaker.forget_probe(now.elapsed);
        }
        if !self.breaker.may_probe(now.elapsed) {
            return;
        }
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            match self.probe_lane(id, now) {
                Turn::Sent => {
                    self.ready.push_back(id);
                    return;
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
        self.breaker.await_work();
    }

    fn probe_lane(&mut self, id: LaneId, now: Moment) -> Turn {
        let Some((slot, offset)) = self.next_due(id, now) else { return Turn::Idle };
        // A probe is the head of its lane; what was sent before the breaker opened may still settle.
        if self.lanes.get(&id).is_some_and(|seat| seat.lane.in_flight() > 0) {
            return Turn::Parked;
        }
        let Some(member) = self.roster.pick_in_turn() else { return Turn::NoRoom };
        self.set_owner(id, Some(member));
        self.send(id, slot, offset, member, now);
        self.breaker.probed(Ended { place: (slot, offset), lane: id, sequence: self.last_sequence });
        Turn::Sent
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

    fn tell_breaker(&mut self, is_open: bool) {
        self.actions.push(Action::Breaker { is_open });
        // Members are told of it with their assignment.
        self.is_assignment_changed = true;
    }
}

impl Found {
    const fn ended(&self) -> Ended {
        Ended { place: (self.slot, self.offset), lane: self.lane, sequence: self.flight.sequence }
    }
}
