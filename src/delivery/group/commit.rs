//! When and what is committed: the contiguous prefix, and beside it what is known above.

use std::time::Duration;

use super::super::metadata;
use super::source::Phase;
use super::{Action, Group, Moment, Slot, SourceCommit, Withdrawal};

/// So many settlements of a partition do not wait for the interval.
const SETTLEMENTS_MAX: u32 = 256;
/// After a failed commit, how long until the next; doubled with each failure, up to the greatest.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_DOUBLINGS_MAX: u32 = 6;
/// How long a partition that must go stays for its last commit, however often that is tried.
const LAST_COMMIT_MAX: Duration = Duration::from_secs(2);

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum CommitEnd {
    /// It is durable.
    Done,
    /// It is for the policy's topics. For that of redrives it is not, or that is not known.
    Partly,
    /// It is not, or that is not known.
    Failed,
    /// It is not, and will not be when it is tried again.
    Refused,
}

#[derive(Debug, Default)]
pub(super) struct State {
    running: Option<Vec<(Slot, u64, u64, u64)>>,
    dirty_since: Option<Duration>,
    not_before: Duration,
    failures: u32,
}

impl Group {
    /// The commit handed out last has ended.
    pub(in crate::delivery) fn committed(&mut self, end: CommitEnd, now: Moment) {
        let running = self.committing.running.take().unwrap_or_default();
        match end {
            CommitEnd::Done => {
                self.committing.failures = 0;
                for (slot, epoch, revision, offset) in running {
                    self.note_committed(slot, epoch, revision, offset, now);
                }
            }
            CommitEnd::Partly => {
                self.try_again_later(now);
                for (slot, epoch, revision, offset) in running {
                    if !slot.is_redriven() {
                        self.note_committed(slot, epoch, revision, offset, now);
                    }
                }
            }
            CommitEnd::Failed => self.try_again_later(now),
            CommitEnd::Refused => {
                self.try_again_later(now);
                for (slot, epoch, ..) in running {
                    let is_closing = |source: &super::Source| {
                        source.epoch == epoch && matches!(source.phase, Phase::Closing { .. })
                    };
                    if self.sources.get(&slot).is_some_and(is_closing) {
                        self.give_back(slot);
                    }
                }
            }
        }
    }

    fn try_again_later(&mut self, now: Moment) {
        let doubled = RETRY_FIRST * 2_u32.pow(self.committing.failures.min(RETRY_DOUBLINGS_MAX));
        self.committing.failures += 1;
        self.committing.not_before = now.elapsed + doubled;
    }

    /// Partitions that must go and have nothing in flight any more, or no time, get their last commit; those that have
    /// it, or have waited for it long enough, go.
    pub(super) fn close_sources(&mut self, now: Moment) {
        let is_over = |source: &super::Source| match source.phase {
            Phase::Revoking { until } => {
                (source.in_flight == 0 && source.burying == 0) || until <= now.elapsed
            }
            Phase::Active | Phase::Closing { .. } => false,
        };
        let over: Vec<Slot> =
            self.sources.iter().filter(|(_, one)| is_over(one)).map(|(slot, _)| *slot).collect();
        for slot in over {
            self.withdraw_source(slot, Withdrawal::Rebalance, now);
            if let Some(source) = self.sources.get_mut(&slot) {
                source.phase = Phase::Closing { until: now.elapsed + LAST_COMMIT_MAX };
            }
        }
        let is_idle = self.committing.running.is_none();
        let may_go = |source: &super::Source| match source.phase {
            Phase::Closing { until } => (is_idle && !source.is_dirty()) || until <= now.elapsed,
            Phase::Active | Phase::Revoking { .. } => false,
        };
        let going: Vec<Slot> =
            self.sources.iter().filter(|(_, one)| may_go(one)).map(|(slot, _)| *slot).collect();
        for slot in going {
            self.give_back(slot);
        }
    }

    pub(super) fn commit(&mut self, now: Moment) {
        let is_dirty = self.sources.values().any(super::Source::is_dirty);
        if !is_dirty {
            self.committing.dirty_since = None;
            return;
        }
        self.committing.dirty_since.get_or_insert(now.elapsed);
        if self.committing.running.is_some() || self.commit_due().is_none_or(|due| due > now.elapsed) {
            return;
        }
        let slots: Vec<Slot> =
            self.sources.iter().filter(|(_, one)| one.is_dirty()).map(|(slot, _)| *slot).collect();
        let commits: Vec<SourceCommit> = slots.into_iter().filter_map(|slot| self.commit_of(slot)).collect();
        let running = commits.iter().map(|one| (one.slot, one.epoch, one.revision, one.offset)).collect();
        self.committing.running = Some(running);
        self.committing.dirty_since = None;
        self.actions.push(Action::Commit(commits));
    }

    pub(super) fn commit_due(&self) -> Option<Duration> {
        if self.committing.running.is_some() {
            return None;
        }
        let is_urgent = |source: &super::Source| {
            source.is_dirty()
                && (matches!(source.phase, Phase::Closing { .. })
                    || !source.unrecorded.is_empty()
                    || source.is_moving()
                    || source.settled_since >= SETTLEMENTS_MAX)
        };
        let since = self.committing.dirty_since?;
        let is_any_urgent = self.sources.values().any(is_urgent);
        let due = if is_any_urgent { since } else { since + self.policy.commit_interval };
        Some(due.max(self.committing.not_before))
    }

    pub(super) fn close_due(&self) -> Option<Duration> {
        let ends = self.sources.values().filter_map(|source| match source.phase {
            Phase::Revoking { until } | Phase::Closing { until } => Some(until),
            Phase::Active => None,
        });
        ends.min()
    }

    fn commit_of(&mut self, slot: Slot) -> Option<SourceCommit> {
        let source = self.sources.get_mut(&slot)?;
        let offset = source.tracker.position();
        let text = metadata::encode(offset, &source.tracker.progress());
        let is_cut = text.len() > metadata::BYTES_MAX;
        source.metadata_ratio = ratio(text.len());
        source.settled_since = 0;
        let metadata = if is_cut { String::new() } else { text };
        Some(SourceCommit { slot, offset, metadata, is_cut, epoch: source.epoch, revision: source.revision })
    }

    fn note_committed(&mut self, slot: Slot, epoch: u64, revision: u64, offset: u64, now: Moment) {
        let Some(source) = self.sources.get_mut(&slot).filter(|source| source.epoch == epoch) else { return };
        source.committed = offset;
        source.committed_revision = revision;
        let recorded: Vec<u64> = source
            .unrecorded
            .extract_if(.., |(needed, _)| *needed <= revision)
            .map(|(_, offset)| offset)
            .collect();
        for offset in recorded {
            self.recorded(slot, offset, now);
        }
        self.admit(slot, now);
    }

    fn recorded(&mut self, slot: Slot, offset: u64, now: Moment) {
        let Some(one) = self.sources.get(&slot).and_then(|source| source.tracker.get(offset)) else { return };
        let Some(id) = one.kept.lane else { return };
        if let Some(seat) = self.lanes.get_mut(&id) {
            seat.lane.record(offset);
        }
        self.touch(id, now);
    }

    fn give_back(&mut self, slot: Slot) {
        self.remove_source(slot);
        self.actions.push(Action::GiveBack(slot));
    }
}

fn ratio(bytes: usize) -> f64 {
    let parts = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    parts(bytes) / parts(metadata::BYTES_MAX)
}
