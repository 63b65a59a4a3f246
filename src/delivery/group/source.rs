//! An assigned partition: what is taken of it, what waits, what is committed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use crate::event::Record;

use super::super::Policy;
use super::super::tracker::Tracker;
use super::parking::Parking;
use super::returning::Bars;
use super::{Beginning, Kept, LaneId, LaneKey, Reason};

/// Above this part of the metadata's limit nothing new is taken.
const METADATA_PRESSURE: f64 = 0.75;

/// Whether a partition stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It does.
    Active,
    /// It must go: nothing is sent, what is in flight may settle until then.
    Revoking { until: Duration },
    /// Nothing is in flight any more; it goes when the last commit is through, or then at the latest.
    Closing { until: Duration },
}

/// Why no new records of a partition are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::delivery) enum HoldReason {
    /// Too many unsettled.
    Unsettled,
    /// Too far from the committed offset.
    Span,
    /// The commit metadata is nearly full.
    Metadata,
    /// It is not known yet which keys are parked.
    ParkedKeys,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) epoch: u64,
    pub(super) phase: Phase,
    pub(super) tracker: Tracker<Kept>,
    pub(super) lanes: HashMap<LaneKey, LaneId>,
    /// Read, but over a bound.
    pub(super) intake: VecDeque<Record>,
    pub(super) is_held: bool,
    pub(super) in_flight: u32,
    pub(super) burying: u32,
    /// Records without attempts that the partition waits for, and why they have none.
    pub(super) halted: BTreeMap<u64, Reason>,
    pub(super) parking: Parking,
    pub(super) bars: Bars,
    /// The durable offset.
    pub(super) committed: u64,
    /// Grows with everything a commit would say.
    pub(super) revision: u64,
    pub(super) committed_revision: u64,
    pub(super) settled_since: u32,
    pub(super) metadata_ratio: f64,
    /// The reset that moved it here, where one did.
    pub(super) reset: Option<u64>,
    /// Failed records whose attempts are not durable, with the revision that says them.
    pub(super) unrecorded: Vec<(u64, u64)>,
}

impl Source {
    pub(super) fn new(beginning: Beginning, epoch: u64, policy: &Policy) -> Self {
        let is_new = beginning.committed.is_none_or(|committed| committed < beginning.position);
        Self {
            epoch,
            phase: Phase::Active,
            tracker: Tracker::new(beginning.position, beginning.progress),
            lanes: HashMap::new(),
            intake: VecDeque::new(),
            is_held: false,
            in_flight: 0,
            burying: 0,
            halted: BTreeMap::new(),
            parking: Parking::new(beginning.slot, policy),
            bars: Bars::default(),
            committed: beginning.position,
            revision: u64::from(is_new),
            committed_revision: 0,
            settled_since: 0,
            metadata_ratio: 0.0,
            reset: None,
            unrecorded: Vec::new(),
        }
    }

    pub(super) const fn is_dirty(&self) -> bool {
        self.revision > self.committed_revision
    }

    /// Why the record at `offset` may not be taken now.
    pub(super) fn refuses(&self, offset: u64, unsettled_max: usize, span_max: u64) -> Option<HoldReason> {
        if self.parking.is_unknown() {
            Some(HoldReason::ParkedKeys)
        } else if self.tracker.unsettled() >= unsettled_max {
            Some(HoldReason::Unsettled)
        } else if offset.saturating_sub(self.committed) >= span_max {
            Some(HoldReason::Span)
        } else if self.metadata_ratio >= METADATA_PRESSURE && self.tracker.unsettled() > 0 {
            // With nothing unsettled, there is no head whose settlement would make the metadata shorter.
            Some(HoldReason::Metadata)
        } else {
            None
        }
    }

    /// Passes over the hole before `offset` when everything before it is settled: the commit that follows makes room
    /// where the hole is wider than the span.
    pub(super) fn pass_hole(&mut self, offset: u64) {
        if self.tracker.unsettled() == 0 && offset > self.tracker.next() {
            self.tracker.skip_to(offset);
            self.revision += 1;
        }
    }
}
