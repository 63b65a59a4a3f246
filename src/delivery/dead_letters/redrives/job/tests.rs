//! The machine against a naive model: gateways that work, fall silent, drain and come back, people who cancel.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{GroupName, Offset, Partition, Timestamp};

use super::super::super::super::jobs::Job as _;
use super::super::super::super::retry::Random;
use super::super::super::DeadLetterState;
use super::*;

const ROUNDS: usize = 2_000;
const LIVES: [&str; 3] = ["g1-a", "g2-a", "g1-b"];

fn told(letters: u64) -> Redrive {
    let group = GroupName::parse("inventory-sync").unwrap();
    Redrive {
        id: JobId::new(group.clone(), 7),
        group,
        state: RedriveState::Running,
        reason: None,
        letters,
        counts: RedriveCounts::default(),
        topics: vec![],
        filter: None,
        rate_per_second: None,
        by: "service:shop".to_owned(),
        created_at: at(0),
        ended_at: None,
        cancelled_by: None,
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn part(partition: u32, next: u64, end: u64) -> Part {
    let (next, end) = (Offset::new(next), Offset::new(end));
    Part { topic: 0, partition: Partition::new(partition), next, end, only: None, is_late: false }
}

fn job(parts: Vec<Part>) -> Job {
    let letters = parts.iter().map(Part::left).sum();
    Job::new(told(letters), vec![1], parts, LIVES[0])
}

fn moved(count: u64) -> RedriveCounts {
    RedriveCounts { moved: count, ..RedriveCounts::default() }
}

/// What became of its first part, up to an offset.
fn advance(job: &mut Job, next: u64, counts: RedriveCounts) {
    let first = job.first().unwrap().clone();
    job.advance(&first, Offset::new(next), counts);
}

/// As it is written down and read again.
fn stored(job: &Job) -> Job {
    serde_json::from_slice(&serde_json::to_vec(job).unwrap()).unwrap()
}

#[test]
fn a_job_is_done_when_nothing_is_left() {
    let mut table = job(vec![part(0, 5, 8), part(1, 0, 0)]);
    let mut copy = table.clone();
    advance(&mut copy, 7, RedriveCounts { failed: 1, skipped: 1, ..RedriveCounts::default() });
    assert_eq!(table.record(LIVES[0], &copy, at(1)), Ok(()));
    assert_eq!((table.told.state, table.told.counts.examined), (RedriveState::Running, 2));
    // Behind its end nothing is looked at, whatever is there by now.
    advance(&mut copy, 99, moved(1));
    assert_eq!(table.record(LIVES[0], &copy, at(2)), Ok(()));
    assert_eq!((table.told.state, table.told.ended_at), (RedriveState::Done, Some(at(2))));
    let all = RedriveCounts { examined: 3, matched: 3, moved: 1, failed: 1, skipped: 1 };
    assert_eq!(table.told.counts, all);
    assert_eq!(table.record(LIVES[0], &copy, at(3)), Err(Lost), "an end is an end");
    assert_eq!(stored(&table), table);
}

#[test]
fn nobody_but_its_owner_moves_a_job() {
    let mut table = job(vec![part(0, 0, 9)]);
    let copy = table.clone();
    table.take(LIVES[1]);
    let before = table.clone();
    assert_eq!(table.record(LIVES[0], &copy, at(1)), Err(Lost));
    assert_eq!(table.fail(LIVES[0], &copy, "no", at(1)), Err(Lost));
    assert_eq!(table.release(LIVES[0]), Err(Lost));
    assert_eq!(table, before);
    assert_eq!(table.release(LIVES[1]), Ok(()));
    assert!(!table.is_owned() && table.beat() > before.beat());
}

#[test]
fn a_job_that_cannot_go_on_says_why() {
    let mut table = job(vec![part(0, 0, 9)]);
    let mut copy = table.clone();
    advance(&mut copy, 2, moved(2));
    table.fail(LIVES[0], &copy, "the topic was deleted", at(4)).unwrap();
    let Redrive { state, reason, counts, ended_at, .. } = &table.told;
    assert_eq!((*state, reason.as_deref()), (RedriveState::Failed, Some("the topic was deleted")));
    assert_eq!((counts.moved, *ended_at), (2, Some(at(4))));
}

#[test]
fn a_job_that_nobody_can_go_on_with_says_why() {
    let mut table = job(vec![part(0, 0, 9)]);
    table.abandon("group 'inventory-sync' was deleted", at(4));
    assert_eq!(table.told.reason.as_deref(), Some("group 'inventory-sync' was deleted"));
    assert_eq!((table.told.state, table.told.ended_at), (RedriveState::Failed, Some(at(4))));
}

#[test]
fn letters_that_are_named_are_looked_at_one_by_one() {
    let only = [3, 4, 9].map(Offset::new).to_vec();
    let mut table = job(vec![Part { only: Some(only), ..part(0, 3, 10) }]);
    assert_eq!(table.told.letters, 3);
    for expected in [3, 4, 9] {
        let (from, to) = table.first().unwrap().span();
        assert_eq!((from.number(), to.number()), (expected, expected + 1));
        advance(&mut table, expected + 1, moved(1));
        table = stored(&table);
    }
    assert_eq!((table.first(), table.told.counts.examined), (None, 3));
}

#[test]
fn a_part_that_has_to_wait_lets_the_others_go_first() {
    let mut table = job(vec![part(0, 0, 2), part(1, 0, 2)]);
    table.postpone("no leader".to_owned());
    assert_eq!(table.first().unwrap().partition, Partition::new(1));
    assert_eq!(table.told.reason.as_deref(), Some("no leader"));
    let second = table.first().unwrap().clone();
    table.advance(&second, Offset::new(2), moved(2));
    table.advance(&second, Offset::new(2), moved(2));
    assert_eq!(table.told.counts.moved, 2, "what is done is told once, and of no other part");
    assert_eq!((table.first().unwrap().partition, table.parts_left()), (Partition::new(0), 1));
    let mut copy = stored(&table);
    copy.goes_on();
    table.record(LIVES[0], &copy, at(1)).unwrap();
    assert_eq!(table.told.reason, None, "it no longer waits");
}

/// A job for all letters that are open, and so for all of each key.
fn whole(parts: Vec<Part>) -> Job {
    let mut job = job(parts);
    job.told.filter = Some(DeadLetterFilter::default());
    job
}

#[test]
fn what_comes_of_parked_keys_behind_the_ends_is_looked_at_until_they_are_released() {
    let mut table = whole(vec![part(0, 5, 8), part(1, 0, 3)]);
    let mut copy = table.clone();
    advance(&mut copy, 8, moved(3));
    advance(&mut copy, 3, moved(3));
    assert_eq!((copy.first(), copy.tails().len()), (None, 2));
    table.record(LIVES[0], &copy, at(1)).unwrap();
    assert_eq!(table.told.state, RedriveState::Running, "there may be parked keys");

    // Behind the first there is something, in the other no key is parked.
    let first = copy.tails()[0];
    copy.read_on(&[(first, Offset::new(10))], "parked keys wait");
    table.record(LIVES[0], &copy, at(2)).unwrap();
    assert_eq!((table.told.letters, table.told.reason.as_deref()), (8, None));
    let mut copy = stored(&table);
    let late = copy.first().cloned().unwrap();
    assert_eq!(late, Part { is_late: true, ..part(0, 8, 10) });
    assert_eq!(copy.tail_of(&late).map(|tail| tail.next), Some(Offset::new(8)), "not yet");
    advance(&mut copy, 9, moved(1));
    advance(&mut copy, 10, moved(1));
    assert_eq!((copy.first(), copy.tails().len()), (None, 1));

    let first = copy.tails()[0];
    assert_eq!(first.next, Offset::new(10));
    copy.read_on(&[(first, Offset::new(10))], "parked keys wait");
    table.record(LIVES[0], &copy, at(3)).unwrap();
    assert_eq!(table.told.reason.as_deref(), Some("parked keys wait"));
    copy.read_on(&[], "parked keys wait");
    table.record(LIVES[0], &copy, at(4)).unwrap();
    let Redrive { state, reason, letters, counts, .. } = &table.told;
    assert_eq!((*state, reason, *letters, counts.examined), (RedriveState::Done, &None, 8, 8));
}

#[test]
fn a_job_that_does_not_send_whole_keys_ends_at_its_ends() {
    let of = |change: fn(&mut DeadLetterFilter)| {
        let mut filter = DeadLetterFilter::default();
        change(&mut filter);
        filter
    };
    let held = of(|filter| filter.state = Some(DeadLetterState::Held));
    let first_ones = of(|filter| filter.reason = Some("rejected".to_owned()));
    let late_ones = of(|filter| filter.from = Some(at(1)));
    for filter in [None, Some(held), Some(first_ones), Some(late_ones)] {
        let mut job = job(vec![part(0, 0, 1)]);
        job.told.filter = filter;
        advance(&mut job, 1, moved(1));
        assert!(job.is_over(), "{:?}", job.told.filter);
    }
    for filter in [
        of(|filter| filter.state = Some(DeadLetterState::Open)),
        of(|filter| filter.key = Some("a".to_owned())),
    ] {
        let mut job = job(vec![part(0, 0, 1)]);
        job.told.filter = Some(filter);
        advance(&mut job, 1, moved(1));
        assert!(!job.is_over(), "{:?}", job.told.filter);
    }
}

/// A gateway's copy, and what it has sent since it told last.
struct Gateway {
    life: &'static str,
    copy: Option<Job>,
}

#[test]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of the model are small and not negative"
)]
fn whoever_works_and_falls_silent_no_letter_is_left_out() {
    let mut random = Random::new(11);
    let mut below = |bound: u64| (random.next() * bound as f64) as u64;
    for round in 0..ROUNDS {
        let parts: Vec<Part> =
            (0..below(4) as u32).map(|number| part(number, below(3), 3 + below(9))).collect();
        let wanted: BTreeSet<(u32, u64)> = parts
            .iter()
            .flat_map(|one| (one.next.number()..one.end.number()).map(|at| (one.partition.number(), at)))
            .collect();
        // Of some there are letters of parked keys behind the ends.
        let grown: BTreeMap<Partition, u64> =
            parts.iter().map(|one| (one.partition, one.end.number() + below(6))).collect();
        let behind = parts
            .iter()
            .flat_map(|one| (one.end.number()..grown[&one.partition]).map(|at| (one.partition.number(), at)));
        let behind: BTreeSet<(u32, u64)> = behind.collect();
        let is_whole = below(2) == 0;
        let mut table = if is_whole { whole(parts) } else { job(parts) };
        let mut gateways = LIVES.map(|life| Gateway { life, copy: None });
        gateways[0].copy = Some(table.clone());
        let (mut sent, mut before) = (BTreeSet::new(), table.told.counts);
        let mut steps = 0;
        while table.told.state == RedriveState::Running {
            steps += 1;
            assert!(steps < 10_000, "round {round}: {table:?}");
            let number = below(3) as usize;
            let gateway = &mut gateways[number];
            match below(12) {
                // It dies, or is taken over while it works on.
                0 => gateway.copy = None,
                1 if gateway.copy.is_none() => {
                    table.take(gateway.life);
                    gateway.copy = Some(stored(&table));
                }
                2 => {
                    if table.release(gateway.life).is_ok() {
                        gateway.copy = None;
                    }
                }
                3 if below(200) == 0 => table.cancel("service:shop", at(9)),
                4 => gateway.copy.iter_mut().for_each(|copy| copy.postpone("no leader".to_owned())),
                5..=7 => {
                    if let Some(copy) = &gateway.copy
                        && table.record(gateway.life, copy, at(1)).is_err()
                    {
                        gateway.copy = None;
                    }
                }
                _ => {
                    let Some(copy) = &mut gateway.copy else { continue };
                    let Some(first) = copy.first().cloned() else {
                        let tails = copy.tails().to_vec();
                        // When all is sent the keys are released.
                        let open = tails.iter().map(|tail| (*tail, Offset::new(grown[&tail.partition])));
                        let is_sent = |(tail, end): &(Tail, Offset)| tail.next == *end;
                        let open: Vec<_> = open.filter(|one| !is_sent(one) || below(3) > 0).collect();
                        copy.read_on(&open, "parked keys wait");
                        continue;
                    };
                    let next = first.next.plus(1 + below(4)).min(first.end);
                    let span = first.next.number()..next.number();
                    let count = next.since(first.next);
                    sent.extend(span.map(|at| (first.partition.number(), at)));
                    copy.advance(&first, next, moved(count));
                }
            }
            let counts = table.told.counts;
            assert!(counts.moved >= before.moved && counts.examined >= before.examined, "{counts:?}");
            assert!(counts.moved <= sent.len() as u64, "what is counted was sent");
            before = counts;
        }
        let all = if is_whole { wanted.union(&behind).copied().collect() } else { wanted };
        assert!(sent.is_subset(&all), "round {round}: nothing behind the ends");
        if table.told.state == RedriveState::Done {
            assert_eq!(sent, all, "round {round}");
            assert_eq!(table.told.counts.matched, table.told.letters);
        }
    }
}
