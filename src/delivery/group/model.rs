//! The machine against a naive model: random members, settlements, clocks, commits, rebalances and crashes.
//!
//! The model keeps plain sets: what was settled, what is in flight with whom, what the log holds. After every step
//! it checks the promises of the design: a commit never passes an unresolved record, nothing is lost, nothing
//! overtakes inside a lane, attempts never go down, nothing of a parked key is sent, nothing that comes back passes a letter
//! of its key that died again. Now and then the consumer is down for a while and fails all it has: then no record is given
//! up once ten failed in a row, and one delivery at a time is tried. Or its connections break one after the other: then none is
//! given up but what was tried alone.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of the model are small and not negative"
)]

mod checks;
mod consumer;
mod members;
mod moving;
mod parking;
mod reading;
mod resetting;
mod returning;
mod settling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::event::Timestamp;

use super::super::resumes::Resumed;
use super::super::retry::Random;
use super::super::{Exhausted, Ordering, Policy, Tag};
use super::{CommitEnd, Group, Moment, Slot, SourceCommit};
use parking::Buried;
use returning::{BACK, BACK_SLOT, Letters};

const STEPS: usize = 100_000;
const PARTITIONS: u32 = 3;
const KEYS: usize = 7;

#[derive(Debug, Clone)]
struct Flight {
    member: u32,
    tag: Tag,
}

/// A partition in the log, and what is true of it.
#[derive(Debug, Default)]
struct Partition {
    keys: Vec<Option<usize>>,
    committed: Option<(u64, String)>,
    /// The next offset the engine reads; `None` while not assigned.
    reading: Option<u64>,
    is_held: bool,
    /// Everything before it is settled.
    floor: u64,
    /// Settled at or above the floor.
    settled: BTreeSet<u64>,
    flights: BTreeMap<u64, Flight>,
    attempts: BTreeMap<u64, u32>,
    /// The reset that moved it, until that is durable: its next commit may go back.
    moved: Option<u64>,
}

impl Partition {
    fn settle(&mut self, offset: u64) {
        self.settled.insert(offset);
        while self.settled.remove(&self.floor) {
            self.floor += 1;
        }
    }

    fn is_settled(&self, offset: u64) -> bool {
        offset < self.floor || self.settled.contains(&offset)
    }
}

struct World {
    random: Random,
    ordering: Ordering,
    policy: Arc<Policy>,
    group: Group,
    now: Moment,
    partitions: BTreeMap<u32, Partition>,
    /// Credit, and when it is lost if its connection broke, by member.
    members: BTreeMap<u32, (u32, Option<Duration>)>,
    next_member: u32,
    commit: Option<Vec<SourceCommit>>,
    burials: Vec<Buried>,
    parking: parking::Log,
    letters: Letters,
    /// Whether the consumer fails all it is given.
    is_down: bool,
    /// Whether its connections break and settle nothing.
    is_crashing: bool,
    /// Members that settled something.
    worked: BTreeSet<u32>,
    /// Whether the breaker is open, and what was tried last since.
    is_open: bool,
    probe: Option<(Tag, u32)>,
    failing: consumer::Failing,
    /// Records that halt their partition.
    halted: BTreeSet<(u32, u64)>,
    /// Records that came without attempts and were not taken yet, and when they failed first.
    coming: BTreeMap<(u32, u64), Timestamp>,
    resumed: Option<Resumed>,
    resets: u64,
    sent: usize,
    steps: BTreeMap<&'static str, usize>,
}

fn slot(partition: u32) -> Slot {
    if partition == BACK { BACK_SLOT } else { Slot { topic: 0, partition } }
}

impl World {
    fn new(ordering: Ordering, on_exhausted: Exhausted, seed: u64) -> Self {
        let policy = Arc::new(Policy {
            ordering,
            on_exhausted,
            unsettled_per_partition_max: 24,
            span_max: 200,
            lane_window: 6,
            max_retries: 2,
            ..Policy::default()
        });
        let now = Moment { elapsed: Duration::ZERO, wall: Timestamp::from_millis(1_000_000) };
        let mut world = Self {
            random: Random::new(seed),
            ordering,
            group: Group::new(Arc::clone(&policy), 0, Random::new(seed)),
            policy,
            now,
            partitions: (0..PARTITIONS).map(|number| (number, Partition::default())).collect(),
            members: BTreeMap::new(),
            next_member: 1,
            commit: None,
            burials: Vec::new(),
            parking: parking::Log::default(),
            letters: Letters::default(),
            is_down: false,
            is_crashing: false,
            worked: BTreeSet::new(),
            is_open: false,
            probe: None,
            failing: consumer::Failing::default(),
            halted: BTreeSet::new(),
            coming: BTreeMap::new(),
            resumed: None,
            resets: 0,
            sent: 0,
            steps: BTreeMap::new(),
        };
        if world.parks() {
            world.partitions.insert(BACK, Partition::default());
        }
        world.assign_all();
        world
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.random.next() * bound as f64) as usize
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.below(from.len())].clone()) }
    }

    fn flights(&self) -> Vec<Flight> {
        self.partitions.values().flat_map(|one| one.flights.values().cloned()).collect()
    }

    fn step(&mut self) {
        let choice = self.below(100);
        let name = match choice {
            0..=24 => self.read(),
            25..=61 if self.is_crashing => self.break_one(),
            25..=54 if self.is_down => self.nack(),
            25..=49 => self.settle_one(),
            50..=54 => self.ack_up_to(),
            55..=60 => self.nack(),
            61 => self.reject(),
            62 if self.parks() => self.reject(),
            62 => self.extend(),
            63 => self.turn(),
            64..=66 if self.parks() => self.letter_step(),
            71..=75 | 80..=83 if self.parks() => self.park_step(),
            64..=75 => self.pass_time(),
            76..=83 => self.end_commit(),
            84..=88 => self.end_burial(),
            89..=91 => self.join(),
            92..=93 => self.leave(),
            94 => self.adopt(),
            95 => self.pause(),
            96 => self.recall(),
            97 if self.below(4) == 0 => self.reset(),
            97 => self.rebalance(),
            98 if self.below(4) == 0 => self.read_behind_a_hole(),
            98 => self.stale(),
            _ if self.below(10) == 0 => self.crash(),
            _ => self.resume(),
        };
        *self.steps.entry(name).or_default() += 1;
        self.pump();
    }

    fn pass_time(&mut self) -> &'static str {
        let millis = [1, 20, 150, 1_000, 7_000][self.below(5)] * (1 + self.below(3) as u64);
        self.now.elapsed += Duration::from_millis(millis);
        self.now.wall = self.now.wall.plus_millis(i64::try_from(millis).unwrap());
        "time"
    }

    fn end_commit(&mut self) -> &'static str {
        let Some(commits) = self.commit.take() else { return "nothing to commit" };
        if self.below(8) == 0 {
            self.group.committed(CommitEnd::Failed, self.now);
            return "commit failed";
        }
        for one in commits {
            let partition = self.partitions.get_mut(&one.slot.partition).unwrap();
            if partition.reading.is_some() {
                partition.committed = Some((one.offset, one.metadata));
            }
        }
        // What became of letters is written before they are committed.
        self.letters.write(true);
        self.group.committed(CommitEnd::Done, self.now);
        self.forget_moves();
        "commit"
    }

    fn end_burial(&mut self) -> &'static str {
        if self.burials.is_empty() {
            return "nothing to bury";
        }
        let at = self.below(self.burials.len());
        if !self.parking.is_durable(&mut self.burials, at, &self.partitions) {
            return "letter";
        }
        let Buried { slot, epoch, offset, .. } = self.burials.remove(at);
        if slot == BACK_SLOT {
            self.letters.died(offset);
        }
        let partition = self.partitions.get_mut(&slot.partition).unwrap();
        partition.settle(offset);
        self.group.buried(slot, epoch, offset, self.now);
        "bury"
    }

    /// The latest deliveries of a lane turn out never to have left the gateway.
    fn recall(&mut self) -> &'static str {
        let number = self.below(self.partitions.len()) as u32;
        let partition = self.partitions.get_mut(&number).unwrap();
        let Some((&offset, _)) = partition.flights.last_key_value() else { return "nothing in flight" };
        let flight = partition.flights.remove(&offset).unwrap();
        self.group.unsent(vec![flight.tag], self.now);
        "recall"
    }

    fn pump(&mut self) {
        let lost = self.members.iter().filter(|(_, (_, lost))| lost.is_some_and(|at| at <= self.now.elapsed));
        for member in lost.map(|(member, _)| *member).collect::<Vec<u32>>() {
            self.members.remove(&member);
            self.forget_flights_of(member);
        }
        (self.failing.last, self.failing.lost) = (None, None);
        for action in self.group.pump(self.now) {
            self.perform(action);
        }
        let given_back: Vec<u32> = self
            .partitions
            .iter()
            .filter(|(_, one)| one.reading.is_none())
            .map(|(number, _)| *number)
            .collect();
        if !given_back.is_empty() {
            self.assign_all();
        }
    }
}

fn run(ordering: Ordering, on_exhausted: Exhausted, seed: u64) {
    let mut world = World::new(ordering, on_exhausted, seed);
    for _ in 0..STEPS {
        world.step();
    }
    let count = |name| world.steps.get(name).copied().unwrap_or(0);
    let is_enough = world.sent > 5_000
        && count("crash") > 20
        && count("read behind a hole") > 20
        && count("moved back") > 20
        && count("moved on") > 20;
    assert!(is_enough, "the run did too little: {} {:?}", world.sent, world.steps);
    assert!(count("opened") > 5 && count("tried") > 10, "the breaker did too little: {:?}", world.steps);
    assert!(count("hunted") > 5, "too few connections broke: {:?}", world.steps);
    assert_eq!(count("halted") > 20, on_exhausted == Exhausted::Halt, "{:?}", world.steps);
    for name in ["parked", "released", "not released", "barred", "closing", "let go", "not closed"] {
        assert_eq!(count(name) > 5, world.parks(), "{name}: {:?}", world.steps);
    }
    world.finish();
}

#[test]
fn partition_order_keeps_its_promises_under_random_steps() {
    run(Ordering::Partition, Exhausted::Skip, 11);
}

#[test]
fn key_order_keeps_its_promises_under_random_steps() {
    run(Ordering::Key, Exhausted::Skip, 12);
}

#[test]
fn no_order_keeps_its_promises_under_random_steps() {
    run(Ordering::None, Exhausted::Skip, 13);
}

#[test]
fn parked_keys_keep_their_promises_under_random_steps() {
    run(Ordering::Partition, Exhausted::ParkKey, 16);
    run(Ordering::Key, Exhausted::ParkKey, 119);
}

#[test]
fn partitions_that_halt_keep_their_promises_under_random_steps() {
    run(Ordering::Partition, Exhausted::Halt, 14);
    run(Ordering::Key, Exhausted::Halt, 15);
}
