//! The machine against a naive model: gateways that work, fall silent, drain and come back, people who cancel.

use std::collections::BTreeSet;

use crate::event::{GroupName, Offset, Partition, Timestamp};

use super::super::super::super::jobs::Job as _;
use super::super::super::super::retry::Random;
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
    Part { topic: 0, partition: Partition::new(partition), next, end, only: None }
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
        let mut table = job(parts);
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
                    let Some(first) = copy.first().cloned() else { continue };
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
        assert!(sent.is_subset(&wanted), "round {round}: nothing behind the ends");
        if table.told.state == RedriveState::Done {
            assert_eq!(sent, wanted, "round {round}");
            assert_eq!(table.told.counts.matched, table.told.letters);
        }
    }
}
