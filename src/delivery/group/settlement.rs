//! Settlement: what members say of deliveries, what the clock says, and what follows.

use std::sync::Arc;
use std::time::Duration;

use super::super::lane::{Flight, Returned};
use super::super::retry;
use super::super::{Refused, Settlement, State, Tag};
use super::parking::Place;
use super::{Action, Burial, Group, LaneId, Moment, Outcome, Reason, Settled, Slot, Withdrawal};

/// As much of a reason as a dead letter can hold.
const REASON_BYTES_MAX: usize = 1_024;

/// A delivery found by its tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) slot: Slot,
    pub(super) lane: LaneId,
    pub(super) offset: u64,
    pub(super) flight: Flight,
}

impl Group {
    /// Applies what a member says; answers what did not count.
    pub(in crate::delivery) fn settle(
        &mut self,
        member: u32,
        settlement: &Settlement,
        now: Moment,
    ) -> Vec<Refused> {
        match settlement {
            Settlement::Ack(tags) => tags
                .iter()
                .filter_map(|tag| self.on(member, *tag, |group, found| group.ack(found, now)))
                .collect(),
            Settlement::AckUpTo(tag) => self.ack_up_to(member, *tag, now).into_iter().collect(),
            Settlement::Nack { tag, delay, reason } => {
                let delay = delay.map(|delay| delay.min(self.policy.nack_delay_max));
                let nack = |group: &mut Self, found: Found| {
                    group.hear(found.flight.member);
                    group.explain(found.slot, found.offset, reason.as_deref());
                    group.fail(found, Outcome::Nack, delay, now);
                };
                self.on(member, *tag, nack).into_iter().collect()
            }
            Settlement::Reject { tag, reason } => {
                let reject = |group: &mut Self, found: Found| {
                    group.explain(found.slot, found.offset, reason.as_deref());
                    group.reject(found, now);
                };
                self.on(member, *tag, reject).into_iter().collect()
            }
            Settlement::Extend { tag, by } => {
                let extend = |group: &mut Self, found: Found| group.extend(found, *by, now);
                self.on(member, *tag, extend).into_iter().collect()
            }
        }
    }

    /// Deliveries that never left the gateway go back as if they had not been sent.
    pub(in crate::delivery) fn unsent(&mut self, mut tags: Vec<Tag>, now: Moment) {
        tags.sort_unstable_by_key(|tag| std::cmp::Reverse(tag.offset));
        for tag in tags {
            let Ok(found) = self.find(tag) else { continue };
            let Some(seat) = self.lanes.get_mut(&found.lane) else { continue };
            for one in seat.lane.take_back(found.offset) {
                self.landed(found.slot, one.flight.member);
            }
            self.touch(found.lane, now);
        }
    }

    /// A dead letter is durable, and that its key is parked where it parks it.
    pub(in crate::delivery) fn buried(&mut self, slot: Slot, epoch: u64, offset: u64, now: Moment) {
        let Some(source) = self.sources.get_mut(&slot).filter(|source| source.epoch == epoch) else { return };
        let Some(resolved) = source.tracker.resolve(offset) else { return };
        source.burying -= 1;
        source.settled_since += 1;
        source.revision += 1;
        if let Some((id, seat)) = resolved.kept.lane.and_then(|id| Some((id, self.lanes.get_mut(&id)?))) {
            seat.lane.settle(offset, now.elapsed);
            self.touch(id, now);
        }
        match (resolved.kept.letter, resolved.kept.key) {
            (Some(letter), _) => self.died_again(slot, letter, now),
            (None, Some(key)) if !slot.is_redriven() => self.died(slot, offset, key, now),
            (None, _) => {}
        }
        self.admit(slot, now);
    }

    /// Deliveries whose time is over have failed; held records whose time has come may go.
    pub(super) fn run_timers(&mut self, now: Moment) {
        while let Some(&(wake, id)) = self.timers.first() {
            if wake > now.elapsed {
                return;
            }
            self.timers.pop_first();
            let Some(seat) = self.lanes.get_mut(&id) else { continue };
            seat.wake = None;
            let expired = seat.lane.expired(now.elapsed);
            let found = expired.and_then(|offset| Some((seat.slot, offset, *seat.lane.flight(offset)?)));
            if let Some((slot, offset, flight)) = found {
                self.expire(Found { slot, lane: id, offset, flight }, now);
            }
            self.touch(id, now);
        }
    }

    /// Members lose deliveries, for no fault of theirs.
    pub(super) fn withdraw(&mut self, slot: Slot, returned: &[Returned], reason: Withdrawal) {
        let mut rest = returned;
        while let Some(first) = rest.first() {
            let member = first.flight.member;
            let count = rest.iter().take_while(|one| one.flight.member == member).count();
            let (its, others) = rest.split_at(count);
            let tags = its.iter().filter_map(|one| self.tag(slot, one.offset, one.flight.sequence)).collect();
            self.actions.push(Action::Withdraw { member, tags, reason });
            rest = others;
        }
        for one in returned {
            self.landed(slot, one.flight.member);
        }
    }

    /// A head came back though nobody failed it; ten times in a row count as one attempt.
    pub(super) fn came_back(&mut self, slot: Slot, id: LaneId, offset: u64, now: Moment) {
        let one = self.sources.get_mut(&slot).and_then(|source| source.tracker.get_mut(offset));
        let is_too_often = one.is_some_and(super::super::tracker::Unresolved::come_back);
        // While the breaker is open no attempt is used up; the next return counts as well.
        if is_too_often && !self.breaker.is_open() {
            self.note_failure(slot, id, offset, Outcome::Lost, None, now);
        }
    }

    /// A head that was taken back counts as tried.
    pub(super) fn count_failure(
        &mut self,
        slot: Slot,
        id: LaneId,
        head: &Returned,
        outcome: Outcome,
        now: Moment,
    ) {
        self.explain(slot, head.offset, Some("the connection broke before it was settled"));
        self.report(slot, head.offset, outcome, head.flight.sent_at, now);
        let found = Found { slot, lane: id, offset: head.offset, flight: head.flight };
        self.judge_failure(found, outcome, None, now);
    }

    /// Hands a record to the dead letters; its lane waits until that is durable.
    pub(super) fn bury(&mut self, slot: Slot, offset: u64, reason: Reason, now: Moment) {
        let Some(source) = self.sources.get_mut(&slot) else { return };
        let epoch = source.epoch;
        let Some(one) = source.tracker.get(offset) else { return };
        let parks = !slot.is_redriven()
            && one.kept.key.is_some()
            && source.parking.place(one.kept.key, offset) != Place::Grave;
        let burial = Burial {
            slot,
            epoch,
            record: one.kept.record.clone(),
            key: one.kept.key,
            parks,
            reason,
            error: one.kept.error.clone(),
            attempts: one.attempts(),
            first_failed: one.first_failed().unwrap_or(now.wall),
            last_failed: one.last_failed().unwrap_or(now.wall),
        };
        let (lane, letter) = (one.kept.lane, one.kept.letter.clone());
        let is_followed = parks || letter.is_some();
        source.burying += 1;
        if let Some(letter) = letter {
            source.bars.add(letter);
        }
        if let Some(key) = burial.key.filter(|_| !slot.is_redriven()) {
            source.parking.note_dying(key);
        }
        self.actions.push(Action::Bury(Box::new(burial)));
        let Some(seat) = lane.and_then(|id| self.lanes.get_mut(&id)) else { return };
        if is_followed {
            // Later ones of its key may be among those in flight.
            let returned = seat.lane.bury_and_rewind(offset);
            self.withdraw(slot, &returned, Withdrawal::Rewind);
        } else {
            seat.lane.bury(offset);
        }
    }

    /// Does something with a member's own delivery; else answers why it cannot.
    fn on(&mut self, member: u32, tag: Tag, act: impl FnOnce(&mut Self, Found)) -> Option<Refused> {
        match self.find(tag) {
            Ok(found) if found.flight.member == member => {
                act(self, found);
                None
            }
            Ok(_) => Some(Refused { tag, state: State::Foreign }),
            Err(state) => Some(Refused { tag, state }),
        }
    }

    fn find(&self, tag: Tag) -> Result<Found, State> {
        let slot = Slot { topic: tag.topic, partition: tag.partition };
        let was_here = tag.epoch <= self.last_epoch && tag.epoch > 0;
        let Some(source) = self.sources.get(&slot) else {
            return Err(if was_here { State::Stale } else { State::Unknown });
        };
        if tag.epoch != source.epoch {
            return Err(if tag.epoch < source.epoch { State::Stale } else { State::Unknown });
        }
        if tag.sequence > self.last_sequence || tag.offset >= source.tracker.next() {
            return Err(State::Unknown);
        }
        let lane = source.tracker.get(tag.offset).and_then(|one| one.kept.lane).ok_or(State::Stale)?;
        let flight = self.lanes.get(&lane).and_then(|seat| seat.lane.flight(tag.offset));
        match flight {
            Some(flight) if flight.sequence == tag.sequence => {
                Ok(Found { slot, lane, offset: tag.offset, flight: *flight })
            }
            Some(_) | None => Err(State::Stale),
        }
    }

    fn ack_up_to(&mut self, member: u32, tag: Tag, now: Moment) -> Option<Refused> {
        let refused = match self.find(tag) {
            Ok(found) if found.flight.member != member => {
                return Some(Refused { tag, state: State::Foreign });
            }
            Ok(_) => None,
            Err(State::Stale) => Some(Refused { tag, state: State::Stale }),
            Err(state) => return Some(Refused { tag, state }),
        };
        let slot = Slot { topic: tag.topic, partition: tag.partition };
        let source = self.sources.get(&slot).filter(|source| source.epoch == tag.epoch);
        let Some(source) = source else { return refused };
        // Settled already is what the member asks for.
        let refused = refused.filter(|_| source.tracker.get(tag.offset).is_some());
        let before = source.tracker.iter().take_while(|(offset, _)| *offset <= tag.offset);
        let its: Vec<Found> = before
            .filter_map(|(offset, one)| {
                let lane = one.kept.lane?;
                let flight = *self.lanes.get(&lane)?.lane.flight(offset)?;
                let is_its = flight.member == member && flight.sequence <= tag.sequence;
                is_its.then_some(Found { slot, lane, offset, flight })
            })
            .collect();
        for found in its {
            self.ack(found, now);
        }
        refused
    }

    fn ack(&mut self, found: Found, now: Moment) {
        let Found { slot, lane, offset, flight } = found;
        self.report(slot, offset, Outcome::Ack, flight.sent_at, now);
        self.landed(slot, flight.member);
        self.hear(flight.member);
        self.note_success(found);
        if let Some(source) = self.sources.get_mut(&slot) {
            let resolved = source.tracker.resolve(offset);
            if let Some(letter) = resolved.and_then(|one| one.kept.letter) {
                source.bars.remove(letter.rank);
            }
            source.settled_since += 1;
            source.revision += 1;
        }
        if let Some(seat) = self.lanes.get_mut(&lane) {
            seat.lane.settle(offset, now.elapsed);
        }
        self.touch(lane, now);
        self.admit(slot, now);
    }

    fn reject(&mut self, found: Found, now: Moment) {
        let Found { slot, lane, offset, flight } = found;
        self.report(slot, offset, Outcome::Reject, flight.sent_at, now);
        self.landed(slot, flight.member);
        self.hear(flight.member);
        if let Some(source) = self.sources.get_mut(&slot) {
            source.revision += 1;
            if let Some(one) = source.tracker.get_mut(offset) {
                one.fail(now.wall);
            }
        }
        self.bury(slot, offset, Reason::Rejected, now);
        self.touch(lane, now);
    }

    fn extend(&mut self, found: Found, by: Duration, now: Moment) {
        let longest = self.policy.extend_max;
        if let Some(seat) = self.lanes.get_mut(&found.lane) {
            seat.lane.extend(found.offset, by, longest, now.elapsed);
        }
        self.touch(found.lane, now);
    }

    fn expire(&mut self, found: Found, now: Moment) {
        let Found { slot, offset, flight, .. } = found;
        let tags = self.tag(slot, offset, flight.sequence).into_iter().collect();
        self.actions.push(Action::Withdraw { member: flight.member, tags, reason: Withdrawal::Expired });
        self.explain(slot, offset, Some("not settled in time"));
        self.fail(found, Outcome::Timeout, None, now);
    }

    fn fail(&mut self, found: Found, outcome: Outcome, delay: Option<Duration>, now: Moment) {
        let Found { slot, lane, offset, flight } = found;
        self.report(slot, offset, outcome, flight.sent_at, now);
        self.landed(slot, flight.member);
        self.judge_failure(found, outcome, delay, now);
        self.touch(lane, now);
    }

    /// Counts an attempt: the record waits for its next one, or has none left.
    pub(super) fn note_failure(
        &mut self,
        slot: Slot,
        id: LaneId,
        offset: u64,
        outcome: Outcome,
        delay: Option<Duration>,
        now: Moment,
    ) {
        let Some(source) = self.sources.get_mut(&slot) else { return };
        let Some(one) = source.tracker.get_mut(offset) else { return };
        let failed = one.fail(now.wall);
        source.revision += 1;
        if failed >= self.policy.attempts_max() {
            let is_late = outcome == Outcome::Timeout;
            let reason = if is_late { Reason::Expired } else { Reason::RetriesExhausted };
            self.exhausted(slot, offset, reason, now);
            return;
        }
        source.unrecorded.push((source.revision, offset));
        let planned = retry::delay(&self.policy.backoff, failed, self.random.next());
        let until = now.elapsed.saturating_add(delay.unwrap_or(planned));
        if let Some(seat) = self.lanes.get_mut(&id) {
            let returned = seat.lane.fail(offset, until);
            self.withdraw(slot, &returned, Withdrawal::Rewind);
        }
    }

    fn explain(&mut self, slot: Slot, offset: u64, error: Option<&str>) {
        let one = self.sources.get_mut(&slot).and_then(|source| source.tracker.get_mut(offset));
        if let Some(one) = one {
            let shorten = |text: &str| text.get(..text.floor_char_boundary(REASON_BYTES_MAX)).map(Arc::from);
            one.kept.error = error.and_then(shorten);
        }
    }

    fn report(&mut self, slot: Slot, offset: u64, outcome: Outcome, sent_at: Duration, now: Moment) {
        let Some(one) = self.sources.get(&slot).and_then(|source| source.tracker.get(offset)) else { return };
        let settled = Settled {
            slot,
            outcome,
            record: one.kept.record.clone(),
            attempt: one.attempts() + 1,
            took: now.elapsed.saturating_sub(sent_at),
        };
        self.actions.push(Action::Settled(Box::new(settled)));
    }
}
