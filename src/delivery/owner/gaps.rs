//! Gaps that no member has been told of.

use std::collections::BTreeMap;

use crate::event::{Offset, Partition, Topic};

use super::super::{GapReason, Push};

/// Partitions remembered; what is more was only logged and counted.
const PARTITIONS_MAX: usize = 1_024;

/// One span for each partition: gaps of the same one are told as one.
#[derive(Debug, Default)]
pub(super) struct Gaps(BTreeMap<(Topic, Partition), (Offset, Offset)>);

impl Gaps {
    /// Remembers a gap; nothing else is kept.
    pub(super) fn keep(&mut self, push: Push) {
        let Push::Gap { topic, partition, from, to, reason: GapReason::Retention } = push else { return };
        let (place, is_full) = ((topic, partition), self.0.len() >= PARTITIONS_MAX);
        if let Some(span) = self.0.get_mut(&place) {
            *span = (span.0.min(from), span.1.max(to));
        } else if !is_full {
            self.0.insert(place, (from, to));
        }
    }

    /// All of them, to be told now.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Push> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|((topic, partition), (from, to))| Push::Gap {
            topic,
            partition,
            from,
            to,
            reason: GapReason::Retention,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{GapReason, Gaps, Offset, Partition, Push, Topic};

    fn gap(partition: u32, from: u64, to: u64) -> Push {
        let topic = Topic::parse("orders.v1").unwrap();
        let (from, to) = (Offset::new(from), Offset::new(to));
        Push::Gap { topic, partition: Partition::new(partition), from, to, reason: GapReason::Retention }
    }

    #[test]
    fn gaps_of_a_partition_are_told_once_and_as_one() {
        let mut gaps = Gaps::default();
        for one in [gap(1, 5, 9), gap(0, 1, 2), gap(1, 3, 7), Push::Draining] {
            gaps.keep(one);
        }
        assert_eq!(gaps.take().collect::<Vec<_>>(), [gap(0, 1, 2), gap(1, 3, 9)]);
        assert_eq!(gaps.take().count(), 0);
    }
}
