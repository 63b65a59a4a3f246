//! What can be seen of a group from outside: states for views, numbers for metrics.

use std::time::Duration;

use crate::event::Timestamp;

use super::source::HoldReason;
use super::{Group, LaneId, Moment, Slot, Source};

/// The partition waits for this record.
const HALTED: &str = "halted";
/// It waits for what becomes of its key.
const KEY_PARKED: &str = "key_parked";
/// It waits for its key's last letters, which are on their way back.
const KEY_CLOSING: &str = "key_closing";
/// At most so many blocked lanes of a partition are shown.
const BLOCKED_MAX: usize = 20;

/// A lane that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) struct Blocked {
    /// Its head.
    pub(in crate::delivery) offset: u64,
    /// For what.
    pub(in crate::delivery) reason: &'static str,
    /// Attempts so far.
    pub(in crate::delivery) attempts: u32,
    /// When it failed first.
    pub(in crate::delivery) since: Timestamp,
}

/// A partition as the group sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) struct SourceState {
    /// Which.
    pub(in crate::delivery) slot: Slot,
    /// The time of its earliest unresolved record.
    pub(in crate::delivery) head: Option<Timestamp>,
    /// Records that halt the partition, then lanes that wait; each oldest first.
    pub(in crate::delivery) blocked: Vec<Blocked>,
}

/// Numbers of a partition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::delivery) struct Gauges {
    /// Which.
    pub(in crate::delivery) slot: Slot,
    /// Everything before it is settled.
    pub(in crate::delivery) position: u64,
    /// Deliveries in flight.
    pub(in crate::delivery) in_flight: u32,
    /// Records taken and not settled.
    pub(in crate::delivery) incomplete: usize,
    /// Highest taken less committed.
    pub(in crate::delivery) span: u64,
    /// Length of the last metadata, as a part of its limit.
    pub(in crate::delivery) metadata_ratio: f64,
    /// Why its reading is held.
    pub(in crate::delivery) held: Option<&'static str>,
    /// The age of the oldest blocked lane.
    pub(in crate::delivery) blocked: Duration,
    /// Whether it stopped at a record without attempts.
    pub(in crate::delivery) is_halted: bool,
}

impl Group {
    /// All partitions for a view, without the ranges that are delivered once more.
    #[must_use]
    pub(in crate::delivery) fn states(&self, now: Moment) -> Vec<SourceState> {
        let state = |(slot, source): (&Slot, &Source)| SourceState {
            slot: *slot,
            head: source.tracker.iter().next().map(|(_, one)| one.kept.record.timestamp),
            blocked: self.blocked(source, now),
        };
        self.assigned().map(state).collect()
    }

    /// All partitions' numbers, without the ranges that are delivered once more.
    #[must_use]
    pub(in crate::delivery) fn gauges(&self, now: Moment) -> Vec<Gauges> {
        let (unsettled_max, span_max) = (self.policy.unsettled_per_partition_max, self.policy.span_max);
        let gauges = |(slot, source): (&Slot, &Source)| {
            let reason = source.refuses(source.tracker.next(), unsettled_max, span_max);
            Gauges {
                slot: *slot,
                position: source.tracker.position(),
                in_flight: source.in_flight,
                incomplete: source.tracker.unsettled(),
                span: source.tracker.next().saturating_sub(source.committed),
                metadata_ratio: source.metadata_ratio,
                held: source.is_held.then(|| reason.map_or("unsettled", HoldReason::as_str)),
                blocked: self
                    .blocked(source, now)
                    .iter()
                    .map(|one| one.age(now.wall))
                    .max()
                    .unwrap_or_default(),
                is_halted: source.is_halted(),
            }
        };
        self.assigned().map(gauges).collect()
    }

    /// How many partitions of the group's topics are assigned.
    pub(in crate::delivery) fn own_partitions(&self) -> usize {
        self.sources.keys().filter(|slot| slot.is_own()).count()
    }

    /// The next offset that a partition takes.
    pub(in crate::delivery) fn next_of(&self, slot: Slot) -> Option<u64> {
        self.sources.get(&slot).map(|source| source.tracker.next())
    }

    /// Whether a partition takes no more for now.
    pub(in crate::delivery) fn is_held(&self, slot: Slot) -> bool {
        self.sources.get(&slot).is_none_or(|source| source.is_held)
    }

    fn assigned(&self) -> impl Iterator<Item = (&Slot, &Source)> {
        self.sources.iter().filter(|(slot, _)| !slot.is_replayed())
    }

    fn blocked(&self, source: &Source, now: Moment) -> Vec<Blocked> {
        let blocked = |offset: u64, reason: &'static str| {
            let one = source.tracker.get(offset)?;
            let since = one.first_failed().unwrap_or(now.wall);
            Some(Blocked { offset, reason, attempts: one.attempts(), since })
        };
        let waiting = |id: &LaneId| {
            let lane = &self.lanes.get(id)?.lane;
            let (reason, offset) = (lane.blocked()?, lane.head()?);
            if source.halted.contains_key(&offset) {
                return None;
            }
            let key = source.tracker.get(offset).and_then(|one| one.kept.key);
            let reason = match reason {
                HALTED if source.parking.is_closing(key) => KEY_CLOSING,
                HALTED => KEY_PARKED,
                reason => reason,
            };
            blocked(offset, reason)
        };
        let halted = source.halted.keys().filter_map(|offset| blocked(*offset, HALTED));
        let mut all: Vec<Blocked> = halted.chain(source.lanes.values().filter_map(waiting)).collect();
        all.sort_unstable_by_key(|one| (one.reason != HALTED, one.since, one.offset));
        all.truncate(BLOCKED_MAX);
        all
    }
}

impl Blocked {
    /// How long since its first failure.
    pub(in crate::delivery) fn age(&self, now: Timestamp) -> Duration {
        let millis = now.millis().saturating_sub(self.since.millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

impl HoldReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unsettled => "unsettled",
            Self::Span => "span",
            Self::Metadata => "metadata",
            Self::ParkedKeys => "parked_keys",
        }
    }
}
