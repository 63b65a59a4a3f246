//! Which partition an event goes to.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::{Partition, Partitioner, Topic, murmur2, partition_of};

/// Turns are counted by topic; topics that share a counter skip some of each other's turns.
const COUNTERS: usize = 64;

/// Chooses partitions. No choice takes a lock.
#[derive(Debug)]
pub(super) struct Spread {
    turns: [AtomicU64; COUNTERS],
    random: AtomicU64,
}

/// The partitions that null keys of one batch stick to, by topic.
pub(super) type Sticky = HashMap<Topic, Partition>;

impl Spread {
    pub(super) fn new() -> Self {
        Self {
            turns: [const { AtomicU64::new(0) }; COUNTERS],
            random: AtomicU64::new(RandomState::new().hash_one(COUNTERS)),
        }
    }

    /// The partition of an event with this key; null keys of one batch share theirs.
    pub(super) fn choose(
        &self,
        topic: &Topic,
        partitioner: Partitioner,
        key: Option<&[u8]>,
        partitions: u32,
        sticky: &mut Sticky,
    ) -> Partition {
        match (partitioner, key) {
            (Partitioner::Murmur2, Some(key)) => partition_of(key, partitions),
            (Partitioner::Murmur2, None) => sticky.get(topic).copied().unwrap_or_else(|| {
                let partition = self.random(partitions);
                sticky.insert(topic.clone(), partition);
                partition
            }),
            (Partitioner::RoundRobin, _) => self.turn(topic, partitions),
            (Partitioner::Random, _) => self.random(partitions),
        }
    }

    /// The partition of a single event, which is a batch of its own.
    pub(super) fn choose_one(
        &self,
        topic: &Topic,
        partitioner: Partitioner,
        key: Option<&[u8]>,
        partitions: u32,
    ) -> Partition {
        match (partitioner, key) {
            (Partitioner::Murmur2, Some(key)) => partition_of(key, partitions),
            (Partitioner::RoundRobin, _) => self.turn(topic, partitions),
            (Partitioner::Murmur2, None) | (Partitioner::Random, _) => self.random(partitions),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the number of counters")]
    fn turn(&self, topic: &Topic, partitions: u32) -> Partition {
        let counter = &self.turns[murmur2(topic.as_str().as_bytes()) as usize % COUNTERS];
        within(counter.fetch_add(1, Ordering::Relaxed), partitions)
    }

    /// The next number of SplitMix64; unpredictable enough to spread load, and one addition when contended.
    fn random(&self, partitions: u32) -> Partition {
        let mut mixed = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        within(mixed ^ (mixed >> 31), partitions)
    }
}

fn within(number: u64, partitions: u32) -> Partition {
    let remainder = number.checked_rem(u64::from(partitions)).unwrap_or(0);
    Partition::new(u32::try_from(remainder).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Spread, Sticky};
    use crate::event::{Partitioner, Topic, partition_of};

    #[test]
    fn keys_go_where_java_sends_them_and_null_keys_of_a_batch_stay_together() {
        let (spread, topic, other) =
            (Spread::new(), Topic::parse("t").unwrap(), Topic::parse("other").unwrap());
        let choose =
            |topic, key, sticky: &mut Sticky| spread.choose(topic, Partitioner::Murmur2, key, 12, sticky);
        let mut sticky = Sticky::new();
        assert_eq!(choose(&topic, Some(b"21"), &mut sticky), partition_of(b"21", 12));
        let first = choose(&topic, None, &mut sticky);
        choose(&other, None, &mut sticky);
        assert!((0..50).all(|_| choose(&topic, None, &mut sticky) == first));
        let batches: HashSet<_> = (0..200).map(|_| choose(&topic, None, &mut Sticky::new())).collect();
        assert_eq!(batches.len(), 12, "batches spread over all partitions");
    }

    #[test]
    fn round_robin_takes_turns_and_random_reaches_all_whatever_the_key() {
        let (spread, topic) = (Spread::new(), Topic::parse("t").unwrap());
        let choose = |partitioner| spread.choose_one(&topic, partitioner, Some(b"k"), 3).number();
        let turns: Vec<u32> = (0..6).map(|_| choose(Partitioner::RoundRobin)).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
        let random: HashSet<u32> = (0..100).map(|_| choose(Partitioner::Random)).collect();
        assert_eq!(random.len(), 3);
    }
}
