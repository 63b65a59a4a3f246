//! Partitions that must go, until all of them were given back.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use tokio::time::Instant;

use crate::event::{Partition, Topic};

/// A revocation that is not answered yet. The client stands still meanwhile, and so does the group.
#[derive(Debug)]
pub(super) struct Revocation {
    list: TopicPartitionList,
    waiting: HashSet<(Topic, Partition)>,
    until: Instant,
}

impl Revocation {
    /// Of these partitions, which may take so long.
    pub(super) fn new(
        list: TopicPartitionList,
        partitions: &[(Topic, Partition)],
        patience: Duration,
    ) -> Self {
        Self { list, waiting: partitions.iter().cloned().collect(), until: Instant::now() + patience }
    }

    /// Then it is answered by itself.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.until <= Instant::now()
    }

    /// Takes partitions back; whether these were the last.
    pub(super) fn give_back(&mut self, partitions: &[(Topic, Partition)]) -> bool {
        for partition in partitions {
            self.waiting.remove(partition);
        }
        self.waiting.is_empty()
    }

    /// What the client is answered with, and what nobody gave back.
    pub(super) fn into_parts(self) -> (TopicPartitionList, Vec<(Topic, Partition)>) {
        (self.list, self.waiting.into_iter().collect())
    }
}
