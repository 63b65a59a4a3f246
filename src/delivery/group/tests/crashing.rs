//! Workers that die, at their start or of one event, against the machine: whatever the order, the lanes, the retries and how
//! many events a worker has in hand, an event that kills them ends in the dead letters, and no other one does.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers here are small and not negative"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::event::{Headers, Offset, Record, Timestamp};

use super::super::super::metadata::Progress;
use super::super::super::retry::Random;
use super::super::super::roster::Seat;
use super::super::super::{BreakerReason, ConnectionId, How, Ordering, Policy, Settlement, Tag};
use super::super::{Action, Beginning, CommitEnd, Group, Moment, Slot};

const TICK: Duration = Duration::from_millis(50);
/// What takes longer never ends.
const TICKS_MAX: usize = 60_000;

type Place = (u32, u64);

/// A process that takes what it gets in its order, so many at a time, and settles them together.
#[derive(Default)]
struct Worker {
    member: u32,
    hands: usize,
    /// Whether it dies of whatever it gets.
    is_bad: bool,
    inbox: VecDeque<Tag>,
    /// When it starts, or starts again.
    starts: Option<Duration>,
}

struct Workshop {
    group: Group,
    now: Moment,
    random: Random,
    workers: Vec<Worker>,
    last_member: u32,
    poison: BTreeSet<Place>,
    all: BTreeSet<Place>,
    acked: BTreeSet<Place>,
    letters: BTreeMap<Place, u32>,
    opened: Vec<BreakerReason>,
    is_open: bool,
}

impl Workshop {
    /// Partitions with so many events each, of a few keys.
    fn new(policy: Policy, partitions: u32, events: u64, seed: u64) -> Self {
        let mut shop = Self {
            group: Group::new(Arc::new(policy), 0, Random::new(seed)),
            now: Moment { elapsed: Duration::ZERO, wall: Timestamp::from_millis(0) },
            random: Random::new(seed),
            workers: Vec::new(),
            last_member: 0,
            poison: BTreeSet::new(),
            all: BTreeSet::new(),
            acked: BTreeSet::new(),
            letters: BTreeMap::new(),
            opened: Vec::new(),
            is_open: false,
        };
        for partition in 0..partitions {
            let slot = Slot { topic: 0, partition };
            let beginning =
                Beginning { slot, position: 0, committed: Some(0), progress: Progress::default() };
            shop.group.assign(vec![beginning], shop.now);
            shop.publish(partition, 0..events);
        }
        shop
    }

    fn publish(&mut self, partition: u32, offsets: Range<u64>) {
        let records = offsets.map(|offset| {
            self.all.insert((partition, offset));
            record(offset, self.random.next())
        });
        let records: Vec<Record> = records.collect();
        self.group.records(Slot { topic: 0, partition }, records, self.now);
    }

    fn below(&mut self, range: Range<u32>) -> u32 {
        range.start + (self.random.next() * f64::from(range.end - range.start)) as u32
    }

    fn hire(&mut self, hands: usize, is_bad: bool) {
        let starts = Some(self.now.elapsed);
        self.workers.push(Worker { hands, is_bad, starts, ..Worker::default() });
    }

    fn tick(&mut self) {
        self.now.elapsed += TICK;
        self.now.wall = self.now.wall.plus_millis(50);
        for index in 0..self.workers.len() {
            self.work(index);
        }
        self.pump();
    }

    fn work(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        if let Some(starts) = worker.starts {
            if starts <= self.now.elapsed {
                self.last_member += 1;
                (worker.member, worker.starts) = (self.last_member, None);
                let seat = Seat::new(ConnectionId::new(&format!("c-{}", worker.member)), "p".into(), 256);
                self.group.join(worker.member, seat, None, self.now);
            }
            return;
        }
        let count = worker.hands.min(worker.inbox.len());
        let in_hand: Vec<Tag> = worker.inbox.iter().take(count).copied().collect();
        let kills = |tag: &Tag| self.poison.contains(&(tag.partition, tag.offset));
        if in_hand.iter().any(|tag| worker.is_bad || kills(tag)) {
            worker.inbox.clear();
            worker.starts = Some(self.now.elapsed + 2 * TICK);
            self.group.leave(worker.member, How::Broken, self.now);
        } else if !in_hand.is_empty() {
            worker.inbox.drain(..count);
            self.acked.extend(in_hand.iter().map(|tag| (tag.partition, tag.offset)));
            assert_eq!(self.group.settle(worker.member, &Settlement::Ack(in_hand), self.now), []);
        }
    }

    fn pump(&mut self) {
        loop {
            let actions = self.group.pump(self.now);
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.perform(action);
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Send(outgoing) => {
                let worker = self.workers.iter_mut().find(|one| one.member == outgoing.member);
                worker.unwrap().inbox.push_back(outgoing.tag);
            }
            Action::Withdraw { member, tags, .. } => {
                let worker = self.workers.iter_mut().find(|one| one.member == member);
                if let Some(worker) = worker {
                    worker.inbox.retain(|tag| !tags.contains(tag));
                }
            }
            Action::Commit(_) => self.group.committed(CommitEnd::Done, self.now),
            Action::Bury(burial) => {
                let offset = burial.record.offset.number();
                self.letters.insert((burial.slot.partition, offset), burial.attempts);
                self.group.buried(burial.slot, burial.epoch, offset, self.now);
            }
            Action::Breaker { opened } => {
                self.opened.extend(opened);
                self.is_open = opened.is_some();
            }
            _ => {}
        }
    }

    /// Goes on until every event is settled.
    fn finish(&mut self) {
        for _ in 0..TICKS_MAX {
            if self.acked.len() + self.letters.len() == self.all.len() {
                return;
            }
            self.tick();
        }
        let left: Vec<_> = self.all.iter().filter(|place| !self.acked.contains(place)).collect();
        panic!("never settled: {left:?}, letters {:?}, poison {:?}", self.letters, self.poison);
    }
}

fn record(offset: u64, random: f64) -> Record {
    let key = (random * 6.0) as u8;
    Record {
        offset: Offset::new(offset),
        timestamp: Timestamp::from_millis(0),
        key: (key < 5).then(|| Bytes::copy_from_slice(&[key])),
        value: None,
        headers: Headers::default(),
        decoded: None,
    }
}

/// A group whose order, retries and partitions are random, as are its events' keys.
fn shop_of(seed: u64) -> Workshop {
    let mut random = Random::new(1_000 + seed);
    let mut below = |bound: f64| (random.next() * bound) as u32;
    let ordering = [Ordering::Partition, Ordering::Key, Ordering::None][below(3.0) as usize];
    let policy = Policy { ordering, max_retries: below(4.0), ..Policy::default() };
    Workshop::new(policy, 1 + below(3.0), 40, seed)
}

#[test]
fn an_event_that_kills_its_worker_is_given_up_and_no_other_one() {
    for seed in 0..150 {
        let mut shop = shop_of(seed);
        let partitions = u32::try_from(shop.all.len() / 40).unwrap();
        let place = (shop.below(0..partitions), u64::from(shop.below(0..40)));
        shop.poison.insert(place);
        let hands = [1, 3, 16, 256][shop.below(0..4) as usize];
        for _ in 0..shop.below(1..4) {
            shop.hire(hands, false);
        }
        shop.finish();
        let dead: Vec<Place> = shop.letters.keys().copied().collect();
        assert_eq!(dead, [place], "seed {seed}, {hands} in hand");
        let max = shop.group.policy().attempts_max();
        assert_eq!(shop.letters[&place], max, "seed {seed}");
    }
}

#[test]
fn several_that_kill_are_given_up_where_others_tell_that_the_workers_work() {
    for seed in 0..40 {
        let policy = Policy { ordering: Ordering::None, ..Policy::default() };
        let mut shop = Workshop::new(policy, 2, 40, seed);
        for _ in 0..3 {
            let place = (shop.below(0..2), u64::from(shop.below(0..40)));
            shop.poison.insert(place);
        }
        let hands = [1, 16, 256][shop.below(0..3) as usize];
        shop.hire(hands, false);
        for offset in 40..80 {
            (0..40).for_each(|_| shop.tick());
            shop.publish(0, offset..offset + 1);
        }
        shop.finish();
        let dead: BTreeSet<Place> = shop.letters.keys().copied().collect();
        assert_eq!(dead, shop.poison, "seed {seed}");
    }
}

#[test]
fn workers_that_die_of_everything_use_nothing_up_and_all_is_delivered_when_they_work_again() {
    for seed in 0..60 {
        let mut shop = shop_of(seed);
        for _ in 0..shop.below(1..4) {
            shop.hire(16, true);
        }
        for _ in 0..12_000 {
            shop.tick();
        }
        assert!(shop.is_open && shop.acked.is_empty(), "seed {seed}");
        assert_eq!(shop.opened, [BreakerReason::ConnectionsLost], "seed {seed}");
        // Where there is but one lane, nothing tells its head from one that kills.
        let is_one_lane = shop.group.policy().ordering == Ordering::Partition && shop.all.len() == 40;
        assert!(shop.letters.len() <= usize::from(is_one_lane), "seed {seed}: {:?}", shop.letters);
        let letters = shop.letters.len();
        shop.workers.iter_mut().for_each(|worker| worker.is_bad = false);
        shop.finish();
        shop.tick();
        assert!(!shop.is_open, "seed {seed}");
        assert_eq!(shop.letters.len(), letters, "seed {seed}: {:?}", shop.letters);
    }
}

#[test]
fn workers_that_always_die_beside_one_that_works_use_nothing_up() {
    for seed in 0..60 {
        let mut shop = shop_of(seed);
        let hands = [1, 16][shop.below(0..2) as usize];
        for is_bad in [true, true, false] {
            shop.hire(hands, is_bad);
        }
        shop.finish();
        assert!(shop.letters.is_empty(), "seed {seed}: {:?}", shop.letters);
    }
}
