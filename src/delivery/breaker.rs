//! The breaker: it tells a consumer that is down from data that is bad.
//!
//! Failures of many records in a row, or of most over many lanes, are no fault of the records. The breaker opens then:
//! the group sends nothing but probes, one at a time and ever less often, no failure counts as an attempt, and so
//! nothing is given up. A probe that is acknowledged closes it. It judges and keeps time; the group sends.
//!
//! Lanes whose heads fail by turns may use up all retries before there are 20 failures. So a record's last retry opens it
//! as soon as enough records failed in a row; fewer may be bad data, which an open breaker would never let go.
//!
//! A connection that breaks says little of any one of the records it had. So a few of those in a row open it, too, and so does
//! one that would cost a record its last attempt. What they had is suspect, and tried one by one until it is settled: only what
//! was alone on a connection that had worked, or is all there is, counts as tried when that breaks.
//!
//! ```text
//! closed ── 20 failures in a row, or most of the last 50 ──▶ open ── 1 s ── probe ─┬─ acknowledged ──▶ closed
//!                                                             ▲                    └─ failed: 2, 4 … 60 s ─┐
//!                                                             └────────────────────────────────────────────┘
//! closed ── 5 connections in a row, or a last attempt ──▶ open ── 1 s ── probe ─┬─ acknowledged ── suspects left? ── no ──▶ closed
//!                                                          ▲                    │                     └ the next, at once ─┐
//!                                                          └────────────────────┴─ lost: 1, 2 … 60 s ───────────────────────┘
//! ```

mod open;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::BreakerReason;
use super::group::Slot;
use open::Open;

/// So many failures in a row, over so many records, open it.
const RUN_MIN: usize = 20;
const RECORDS_MIN: usize = 10;
/// So many of the last settlements are looked at; failures of more than half, over so many lanes, open it.
const WINDOW: usize = 50;
const LANES_MIN: usize = 10;
/// So many connections that break in a row open it. A network that fails breaks one or two of a worker's; a worker that dies
/// at its start has broken so many within a minute.
const LOSSES_MIN: usize = 5;
/// At most so many records are suspect; what more there is goes as it comes when those are settled.
const SUSPECTS_MAX: usize = 2_048;

/// A record of an assigned partition.
type Place = (Slot, u64);

/// A delivery that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    /// The record.
    pub(super) place: Place,
    /// The lane.
    pub(super) lane: u64,
    /// The delivery.
    pub(super) sequence: u64,
}

/// What a failure costs its record if it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stake {
    /// An attempt of several, or the only one there is.
    Attempt,
    /// The last of its retries: it is given up.
    LastRetry,
}

/// What a connection that broke had shown before, on which one record was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// It had settled something: it works.
    Worked,
    /// Nothing, and there is neither another record nor another connection of before to compare with.
    OnlyOne,
    /// Nothing.
    Nothing,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the record's, and counts as an attempt.
    Counts,
    /// It is the consumer's, as is now clear: the breaker opened.
    Opens,
    /// It is the consumer's.
    Spared,
}

#[derive(Debug, Clone, Copy)]
struct Settled {
    is_failed: bool,
    place: Place,
    lane: u64,
}

/// The breaker of a group.
#[derive(Debug)]
pub(super) struct Breaker {
    is_enabled: bool,
    /// Failures since the last success, and their records as far as they matter.
    run: usize,
    run_records: BTreeSet<Place>,
    window: VecDeque<Settled>,
    /// Connections that broke with deliveries since a member settled something, and what they had.
    losses: usize,
    suspects: BTreeSet<Place>,
    open: Option<Open>,
}

impl Breaker {
    /// A closed breaker; one that is not enabled never opens.
    #[must_use]
    pub(super) const fn new(is_enabled: bool) -> Self {
        Self {
            is_enabled,
            run: 0,
            run_records: BTreeSet::new(),
            window: VecDeque::new(),
            losses: 0,
            suspects: BTreeSet::new(),
            open: None,
        }
    }

    /// A delivery was acknowledged; whether that closed the breaker.
    pub(super) fn succeeded(&mut self, ended: Ended) -> bool {
        if !self.is_enabled {
            return false;
        }
        self.suspects.remove(&ended.place);
        match &mut self.open {
            // What was sent before may still succeed at last, and says little of what comes.
            Some(open) if !open.is_probing(ended) => false,
            Some(open) => match open.reason {
                BreakerReason::Failures => self.close(),
                BreakerReason::ConnectionsLost => {
                    open.go_on();
                    false
                }
            },
            None => {
                self.run = 0;
                self.run_records.clear();
                self.remember(false, ended);
                false
            }
        }
    }

    /// A member failed a delivery, or did not settle it in time, in a group of so many `lanes`.
    pub(super) fn failed(&mut self, ended: Ended, stake: Stake, lanes: usize, now: Duration) -> Verdict {
        if !self.is_enabled {
            return Verdict::Counts;
        }
        if let Some(open) = &mut self.open {
            self.suspects.remove(&ended.place);
            if open.is_probing(ended) {
                open.back_off(now);
            }
            return Verdict::Spared;
        }
        self.run = self.run.saturating_add(1);
        if self.run_records.len() < RECORDS_MIN {
            self.run_records.insert(ended.place);
        }
        self.remember(true, ended);
        if !self.is_run_broad(stake) && !self.is_window_broad(lanes) {
            return Verdict::Counts;
        }
        self.close();
        self.open = Some(Open::at(now, BreakerReason::Failures));
        Verdict::Opens
    }

    /// A member settled something, be it to refuse it: its connection works.
    pub(super) fn heard(&mut self) {
        if self.open.is_none() {
            self.losses = 0;
            self.suspects.clear();
        }
    }

    /// A connection broke that had these records in flight; whether that opened the breaker. What it means for each of them is
    /// asked afterwards.
    pub(super) fn broke(&mut self, places: impl ExactSizeIterator<Item = Place>, now: Duration) -> bool {
        if !self.is_enabled || places.len() == 0 {
            return false;
        }
        if let Some(open) = &mut self.open {
            open.is_crowded = places.len() > 1;
            if open.reason == BreakerReason::Failures {
                return false;
            }
        }
        for place in places {
            self.suspect(place);
        }
        if self.open.is_some() {
            return false;
        }
        self.losses = self.losses.saturating_add(1);
        let is_over = self.losses >= LOSSES_MIN;
        if is_over {
            self.open = Some(Open::at(now, BreakerReason::ConnectionsLost));
        }
        is_over
    }

    /// What that means for one of them. It never costs a last attempt, since one worker that breaks may hold many lanes: what
    /// is at its last is tried alone.
    pub(super) fn lost(&mut self, ended: Ended, stake: Stake, evidence: Evidence, now: Duration) -> Verdict {
        let Some(open) = &mut self.open else {
            if !self.is_enabled || stake == Stake::Attempt {
                return Verdict::Counts;
            }
            self.open = Some(Open::at(now, BreakerReason::ConnectionsLost));
            return Verdict::Opens;
        };
        if !open.is_probing(ended) {
            return Verdict::Spared;
        }
        open.back_off(now);
        if open.reason == BreakerReason::ConnectionsLost && !open.is_crowded {
            match evidence {
                Evidence::Worked => return Verdict::Counts,
                Evidence::OnlyOne if open.blamed.is_none_or(|blamed| blamed == ended.place) => {
                    (open.blamed, open.has_worked) = (Some(ended.place), false);
                    return Verdict::Counts;
                }
                Evidence::OnlyOne | Evidence::Nothing => {}
            }
        }
        open.has_worked = false;
        Verdict::Spared
    }

    /// Closes it by hand; whether it was open.
    pub(super) fn close(&mut self) -> bool {
        self.run = 0;
        self.run_records.clear();
        self.window.clear();
        self.losses = 0;
        self.suspects.clear();
        self.open.take().is_some()
    }

    /// Lets it open or not from now on; whether that closed it.
    pub(super) fn set_enabled(&mut self, is_enabled: bool) -> bool {
        self.is_enabled = is_enabled;
        !is_enabled && self.close()
    }

    /// A probe was sent.
    pub(super) fn probed(&mut self, probe: Ended) {
        if let Some(open) = &mut self.open {
            open.probe = Some(probe);
        }
    }

    /// The probe came to nothing: withdrawn, or rejected, which says nothing of the consumer.
    pub(super) fn forget_probe(&mut self, now: Duration) {
        if let Some(open) = &mut self.open {
            open.probe = None;
            open.due = Some(now.saturating_add(open.wait));
        }
    }

    /// Nothing could be probed though it was time: the next may come with whatever can be sent.
    pub(super) fn await_work(&mut self) {
        if let Some(open) = &mut self.open {
            open.due = None;
        }
    }

    /// Whether a probe may be sent now.
    #[must_use]
    pub(super) fn may_probe(&self, now: Duration) -> bool {
        self.open.is_some_and(|open| open.probe.is_none() && open.due.is_none_or(|due| due <= now))
    }

    /// The probe under way.
    #[must_use]
    pub(super) fn probe(&self) -> Option<Ended> {
        self.open?.probe
    }

    /// Since which turn nothing but this record is lost, where it was as the last probe.
    #[must_use]
    pub(super) fn lost_since(&self, place: Place) -> Option<u64> {
        self.open?.lost.filter(|(lost, _)| *lost == place).map(|(_, turn)| turn)
    }

    /// A record was lost as a probe; until another one is, or one succeeds, it has been since this turn.
    pub(super) fn note_lost(&mut self, place: Place, turn: u64) {
        if let Some(open) = &mut self.open {
            open.lost = Some((place, turn));
        }
    }

    /// Whether connections that break opened it, and no record they had is left that may come.
    pub(super) fn is_cleared(&self, may_come: impl Fn(Place) -> bool) -> bool {
        let is_over = |open: &Open| open.has_worked && open.probe.is_none();
        self.is_hunting()
            && self.open.as_ref().is_some_and(is_over)
            && !self.suspects.iter().any(|one| may_come(*one))
    }

    /// Whether it is open since connections break: then it is to find out at which record.
    #[must_use]
    pub(super) fn is_hunting(&self) -> bool {
        self.reason() == Some(BreakerReason::ConnectionsLost)
    }

    /// Whether it keeps in mind which connections broke, and what they had.
    #[must_use]
    pub(super) fn has_suspects(&self) -> bool {
        self.losses > 0 || self.is_hunting()
    }

    /// The records that connections had which broke.
    pub(super) const fn suspects(&self) -> &BTreeSet<Place> {
        &self.suspects
    }

    /// Why it is open.
    #[must_use]
    pub(super) fn reason(&self) -> Option<BreakerReason> {
        self.open.map(|open| open.reason)
    }

    /// When the next probe is due by time alone.
    #[must_use]
    pub(super) fn wake(&self) -> Option<Duration> {
        self.open.filter(|open| open.probe.is_none())?.due
    }

    /// Since when it is open.
    #[must_use]
    pub(super) fn open_since(&self) -> Option<Duration> {
        self.open.map(|open| open.since)
    }

    /// Whether it is open.
    #[must_use]
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn suspect(&mut self, place: Place) {
        if self.suspects.len() < SUSPECTS_MAX {
            self.suspects.insert(place);
        }
    }

    fn remember(&mut self, is_failed: bool, ended: Ended) {
        if self.window.len() >= WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(Settled { is_failed, place: ended.place, lane: ended.lane });
    }

    fn is_run_broad(&self, stake: Stake) -> bool {
        let is_long = match stake {
            Stake::Attempt => self.run >= RUN_MIN,
            Stake::LastRetry => true,
        };
        is_long && self.run_records.len() >= RECORDS_MIN
    }

    /// Few lanes may fail for one bad record that is tried often; many records say that it is not that.
    fn is_window_broad(&self, lanes: usize) -> bool {
        let failed = || self.window.iter().filter(|one| one.is_failed);
        if self.window.len() < WINDOW || failed().count() * 2 <= WINDOW {
            return false;
        }
        let records: BTreeSet<Place> = failed().map(|one| one.place).collect();
        let failed_lanes: BTreeSet<u64> = failed().map(|one| one.lane).collect();
        records.len() >= RECORDS_MIN && failed_lanes.len() >= LANES_MIN.min(lanes)
    }
}

#[cfg(test)]
mod tests;
