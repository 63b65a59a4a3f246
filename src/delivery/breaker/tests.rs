//! The breaker alone: when it opens, how it probes, when it closes.

use std::time::Duration;

use super::{Breaker, BreakerReason, Ended, Evidence, Slot, Stake, Verdict};

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
    assert_eq!(breaker.failed(ended(0), Stake::LastRetry, 10, NOW), Verdict::Opens, "the eleventh failure");

    let mut breaker = Breaker::new(true);
    for offset in 0..9 {
        fail(&mut breaker, offset);
    }
    breaker.succeeded(ended(99));
    for offset in 0..9 {
        fail(&mut breaker, offset);
    }
    assert_eq!(breaker.failed(ended(0), Stake::LastRetry, 10, NOW), Verdict::Counts, "nine since a success");
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

/// A connection breaks that had these; whether that opened it.
fn breaks(breaker: &mut Breaker, offsets: std::ops::Range<u64>) -> bool {
    let places: Vec<_> = offsets.map(|offset| (SLOT, offset)).collect();
    breaker.broke(places.into_iter(), NOW)
}

/// One that opened since connections broke; what they had is suspect.
fn hunting(suspects: u64) -> Breaker {
    let mut breaker = Breaker::new(true);
    let opened: Vec<bool> = (0..5).map(|_| breaks(&mut breaker, 0..suspects)).collect();
    assert_eq!(opened, [false, false, false, false, true]);
    assert_eq!(breaker.reason(), Some(BreakerReason::ConnectionsLost));
    breaker
}

/// Its probe's connection breaks.
fn lose_probe(breaker: &mut Breaker, offset: u64, evidence: Evidence) -> Verdict {
    breaker.probed(ended(offset));
    assert!(!breaks(breaker, offset..offset + 1));
    breaker.lost(ended(offset), Stake::LastRetry, evidence, NOW)
}

#[test]
fn five_connections_that_break_without_a_settlement_in_between_open_it() {
    let mut breaker = Breaker::new(true);
    for _ in 0..10 {
        for _ in 0..4 {
            assert!(!breaks(&mut breaker, 0..3));
            assert_eq!(breaker.lost(ended(0), Stake::Attempt, Evidence::Nothing, NOW), Verdict::Counts);
        }
        breaker.heard();
    }
    assert!(breaker.suspects().is_empty());
    for _ in 0..100 {
        assert!(!breaks(&mut breaker, 0..0), "idle ones say nothing");
    }
    hunting(3);
}

#[test]
fn a_connection_that_breaks_costs_no_last_attempt() {
    let mut breaker = Breaker::new(true);
    breaks(&mut breaker, 0..2);
    assert_eq!(breaker.lost(ended(0), Stake::LastRetry, Evidence::Worked, NOW), Verdict::Opens);
    assert_eq!(breaker.lost(ended(1), Stake::LastRetry, Evidence::Worked, NOW), Verdict::Spared);
    assert_eq!(breaker.suspects().len(), 2);
}

#[test]
fn a_probe_that_is_lost_counts_where_its_connection_had_worked() {
    let mut breaker = hunting(9);
    assert_eq!(lose_probe(&mut breaker, 1, Evidence::Nothing), Verdict::Spared);
    assert_eq!(breaker.wake(), Some(NOW + Duration::from_secs(2)));
    assert_eq!(lose_probe(&mut breaker, 2, Evidence::Worked), Verdict::Counts);
    breaker.probed(ended(3));
    breaks(&mut breaker, 3..5);
    let crowded = breaker.lost(ended(3), Stake::LastRetry, Evidence::Worked, NOW);
    assert_eq!(crowded, Verdict::Spared, "it was not alone");
}

#[test]
fn one_record_alone_counts_until_a_success_where_nothing_else_can_be_tried() {
    let mut breaker = hunting(2);
    for _ in 0..3 {
        assert_eq!(lose_probe(&mut breaker, 0, Evidence::OnlyOne), Verdict::Counts);
    }
    assert_eq!(lose_probe(&mut breaker, 1, Evidence::OnlyOne), Verdict::Spared);
    breaker.probed(ended(7));
    breaker.succeeded(ended(7));
    assert_eq!(lose_probe(&mut breaker, 1, Evidence::OnlyOne), Verdict::Counts);
}

#[test]
fn it_closes_when_one_was_acknowledged_and_no_suspect_is_left() {
    let mut breaker = hunting(2);
    let none = |_| false;
    assert!(!breaker.is_cleared(none), "nothing has worked");
    breaker.probed(ended(0));
    assert!(!breaker.succeeded(ended(0)));
    assert!(breaker.may_probe(NOW), "the next one goes at once");
    assert!(!breaker.is_cleared(|_| true));
    assert!(breaker.is_cleared(none));
    lose_probe(&mut breaker, 1, Evidence::Nothing);
    assert!(!breaker.is_cleared(none), "nothing has worked since");
    assert!(breaker.close() && breaker.suspects().is_empty());
}

#[test]
fn a_probe_lost_while_the_consumer_fails_everything_failed() {
    let mut breaker = open();
    assert_eq!(lose_probe(&mut breaker, 50, Evidence::Worked), Verdict::Spared);
    assert_eq!(breaker.wake(), Some(NOW + Duration::from_secs(2)));
    assert!(!breaker.is_hunting() && breaker.suspects().is_empty());
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
