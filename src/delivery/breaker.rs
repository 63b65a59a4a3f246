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
mod tests {
    use std::time::Duration;

    use super::{Breaker, Ended, Slot, Stake, Verdict};

    const SLOT: Slot = Slot { topic: 0, partition: 0 };
    const NOW: Duration = Duration::from_secs(100);

    fn ended(offset: u64) -> Ended {
        Ended { place: (SLOT, offset), lane: offset, sequence: offset }
    }

    fn in_lane(lane: u64, offset: u64) -> Ended {
        Ended { lane, ..ended(offset) }
    }

    fn fail(breaker: &mut Breaker, offset: u64) -> Verdict {
        breaker.failed(ended(offset), Stake::Attempt, 1_000, NOW)
    }

    /// A breaker that opened at [`NOW`].
    fn open() -> Breaker {
        let mut breaker = Breaker::new(true);
        let verdicts: Vec<Verdict> = (0..20).map(|offset| fail(&mut breaker, offset)).collect();
        assert_eq!(verdicts.last(), Some(&Verdict::Opens));
        breaker
    }

    #[test]
    fn the_twentieth_failure_in_a_row_opens_it() {
        let mut breaker = Breaker::new(true);
        for offset in 0..19 {
            assert_eq!(fail(&mut breaker, offset), Verdict::Counts);
        }
        assert_eq!(fail(&mut breaker, 19), Verdict::Opens);
        assert_eq!(breaker.open_since(), Some(NOW));
        assert_eq!(fail(&mut breaker, 20), Verdict::Spared);
    }

    #[test]
    fn one_success_begins_the_row_again() {
        let mut breaker = Breaker::new(true);
        for round in 0..2 {
            for offset in 0..12 {
                assert_eq!(fail(&mut breaker, 100 * round + offset), Verdict::Counts);
            }
            breaker.succeeded(ended(99));
        }
    }

    #[test]
    fn nine_bad_records_do_not_open_it_however_often_they_fail() {
        let mut breaker = Breaker::new(true);
        for failure in 0..1_000 {
            let stake = if failure % 4 == 3 { Stake::LastRetry } else { Stake::Attempt };
            assert_eq!(breaker.failed(ended(failure % 9), stake, 1, NOW), Verdict::Counts);
        }
        let tenth = breaker.failed(ended(9), Stake::Attempt, 1, NOW);
        assert_eq!(tenth, Verdict::Opens, "the tenth is one too many");
    }

    #[test]
    fn a_last_retry_opens_it_once_ten_records_failed_in_a_row() {
        let mut breaker = Breaker::new(true);
        for offset in 0..10 {
            assert_eq!(fail(&mut breaker, offset), Verdict::Counts);
        }
        assert_eq!(
            breaker.failed(ended(0), Stake::LastRetry, 10, NOW),
            Verdict::Opens,
            "the eleventh failure"
        );

        let mut breaker = Breaker::new(true);
        for offset in 0..9 {
            fail(&mut breaker, offset);
        }
        breaker.succeeded(ended(99));
        for offset in 0..9 {
            fail(&mut breaker, offset);
        }
        assert_eq!(
            breaker.failed(ended(0), Stake::LastRetry, 10, NOW),
            Verdict::Counts,
            "nine since a success"
        );
    }

    #[test]
    fn most_of_the_last_fifty_over_ten_lanes_open_it() {
        let mut breaker = Breaker::new(true);
        for turn in 0..24 {
            assert_eq!(fail(&mut breaker, turn), Verdict::Counts);
            breaker.succeeded(ended(1_000 + turn));
        }
        assert_eq!(fail(&mut breaker, 24), Verdict::Counts);
        assert_eq!(fail(&mut breaker, 25), Verdict::Opens, "26 of 50");
    }

    #[test]
    fn half_of_the_last_fifty_do_not() {
        let mut breaker = Breaker::new(true);
        for turn in 0..500 {
            assert_eq!(fail(&mut breaker, turn), Verdict::Counts);
            breaker.succeeded(ended(1_000 + turn));
        }
    }

    #[test]
    fn most_in_few_of_many_lanes_do_not_open_it_but_in_all_of_few_they_do() {
        let fail_two_of_three = |lanes: usize| {
            let mut breaker = Breaker::new(true);
            let mut verdicts = Vec::new();
            for turn in 0..100 {
                match turn % 3 {
                    0 => drop(breaker.succeeded(in_lane(7, turn))),
                    lane => verdicts.push(breaker.failed(in_lane(lane, turn), Stake::Attempt, lanes, NOW)),
                }
            }
            verdicts.contains(&Verdict::Opens)
        };
        assert!(!fail_two_of_three(12), "2 lanes of 12");
        assert!(!fail_two_of_three(3), "2 lanes of 3");
        assert!(fail_two_of_three(2), "all there are");
    }

    #[test]
    fn probes_come_after_1_2_4_seconds_and_at_last_every_minute() {
        let mut breaker = open();
        let mut now = NOW;
        for (turn, wait) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            let due = now + Duration::from_secs(wait);
            assert_eq!(breaker.wake(), Some(due));
            assert!(!breaker.may_probe(due - Duration::from_millis(1)));
            assert!(breaker.may_probe(due));
            let probe = ended(100 + u64::try_from(turn).unwrap());
            breaker.probed(probe);
            assert!(!breaker.may_probe(due + Duration::from_secs(600)), "one at a time");
            assert_eq!(breaker.wake(), None);
            now = due + Duration::from_secs(5);
            assert_eq!(breaker.failed(probe, Stake::LastRetry, 1, now), Verdict::Spared);
        }
    }

    #[test]
    fn a_probe_that_succeeds_closes_it_and_all_is_forgotten() {
        let mut breaker = open();
        assert!(!breaker.succeeded(ended(7)), "sent before it opened");
        breaker.probed(ended(50));
        assert!(!breaker.succeeded(ended(8)), "not the probe");
        assert!(breaker.succeeded(ended(50)));
        assert!(!breaker.is_open());
        for offset in 0..19 {
            assert_eq!(fail(&mut breaker, offset), Verdict::Counts);
        }
    }

    #[test]
    fn a_probe_that_comes_to_nothing_is_repeated_after_the_same_wait() {
        let mut breaker = open();
        breaker.probed(ended(50));
        breaker.forget_probe(NOW);
        assert_eq!(breaker.wake(), Some(NOW + Duration::from_secs(1)));
        breaker.await_work();
        assert_eq!(breaker.wake(), None, "no time will help");
        assert!(breaker.may_probe(NOW));
    }

    #[test]
    fn lost_members_never_open_it_and_a_lost_probe_failed() {
        let mut breaker = Breaker::new(true);
        for offset in 0..100 {
            assert_eq!(breaker.lost(ended(offset), NOW), Verdict::Counts);
        }
        let mut breaker = open();
        breaker.probed(ended(50));
        assert_eq!(breaker.lost(ended(50), NOW), Verdict::Spared);
        assert_eq!(breaker.wake(), Some(NOW + Duration::from_secs(2)));
    }

    #[test]
    fn one_that_is_switched_off_never_opens_and_closes_at_once() {
        let mut breaker = Breaker::new(false);
        for offset in 0..100 {
            assert_eq!(fail(&mut breaker, offset), Verdict::Counts);
        }
        let mut breaker = open();
        assert!(breaker.set_enabled(false));
        assert!(!breaker.is_open());
        assert!(!breaker.set_enabled(true));
        assert_eq!(fail(&mut breaker, 1), Verdict::Counts);
    }
}
