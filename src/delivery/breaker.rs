//! The breaker: it tells a consumer that is down from data that is bad.
//!
//! Failures of many records in a row, or of most over many lanes, are no fault of the records. The breaker opens then:
//! the group sends nothing but probes, one at a time and ever less often, no failure counts as an attempt, and so
//! nothing is given up. A probe that is acknowledged closes it. It judges and keeps time; the group sends.
//!
//! Lanes whose heads fail by turns may use up all retries before there are 20 failures. So a record's last retry opens it
//! as soon as enough records failed in a row; fewer may be bad data, which an open breaker would never let go.
//!
//! ```text
//! closed ── 20 failures in a row, or most of the last 50 ──▶ open ── 1 s ── probe ─┬─ acknowledged ──▶ closed
//!                                                             ▲                    └─ failed: 2, 4 … 60 s ─┐
//!                                                             └────────────────────────────────────────────┘
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::group::Slot;

/// So many failures in a row, over so many records, open it.
const RUN_MIN: usize = 20;
const RECORDS_MIN: usize = 10;
/// So many of the last settlements are looked at; failures of more than half, over so many lanes, open it.
const WINDOW: usize = 50;
const LANES_MIN: usize = 10;
/// Until the first probe; each that fails doubles the wait for the next.
const PROBE_FIRST: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(60);

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

#[derive(Debug, Clone, Copy)]
struct Open {
    since: Duration,
    /// From the end of a probe to the next one.
    wait: Duration,
    /// Not before; `None` when the next probe waits for something that can be sent.
    due: Option<Duration>,
    probe: Option<Ended>,
}

/// The breaker of a group.
#[derive(Debug)]
pub(super) struct Breaker {
    is_enabled: bool,
    /// Failures since the last success, and their records as far as they matter.
    run: usize,
    run_records: BTreeSet<Place>,
    window: VecDeque<Settled>,
    open: Option<Open>,
}

impl Breaker {
    /// A closed breaker; one that is not enabled never opens.
    #[must_use]
    pub(super) const fn new(is_enabled: bool) -> Self {
        Self { is_enabled, run: 0, run_records: BTreeSet::new(), window: VecDeque::new(), open: None }
    }

    /// A delivery was acknowledged; whether that closed the breaker.
    pub(super) fn succeeded(&mut self, ended: Ended) -> bool {
        if !self.is_enabled {
            return false;
        }
        match &self.open {
            // What was sent before may still succeed at last, and says little of what comes.
            Some(open) => open.probe.is_some_and(|probe| probe.sequence == ended.sequence) && self.close(),
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
        if self.open.is_some() {
            return self.lost(ended, now);
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
        let due = Some(now.saturating_add(PROBE_FIRST));
        self.open = Some(Open { since: now, wait: PROBE_FIRST, due, probe: None });
        Verdict::Opens
    }

    /// A delivery's member was lost. No settlement, it never opens the breaker: one worker that breaks may hold many
    /// lanes.
    pub(super) fn lost(&mut self, ended: Ended, now: Duration) -> Verdict {
        let Some(open) = &mut self.open else { return Verdict::Counts };
        if open.probe.is_some_and(|probe| probe.sequence == ended.sequence) {
            open.probe = None;
            open.wait = (open.wait * 2).min(PROBE_MAX);
            open.due = Some(now.saturating_add(open.wait));
        }
        Verdict::Spared
    }

    /// Closes it by hand; whether it was open.
    pub(super) fn close(&mut self) -> bool {
        self.run = 0;
        self.run_records.clear();
        self.window.clear();
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
