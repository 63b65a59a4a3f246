//! Upkeep of the log between groups: old records go in small transactions, dropped logs are emptied and removed,
//! freed space goes back to the file system, tables are sent to compaction.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Offset, Timestamp};
use crate::log::{Bounds, Cleanup, Error, Purpose};

use super::commit::Committer;
use super::compaction;
use super::partition::Partition;
use super::queue::Answer;
use super::storage::{Extent, Failure, LogId, Source};

/// What one step looks at, and gives up, at most: about ten milliseconds of the commit thread.
const STEP_BATCHES_MAX: usize = 512;
const STEP_BYTES_MAX: u64 = 2 << 20;
const COMPACTION_POLL: Duration = Duration::from_millis(1);
/// How long a step that failed rests. Longer than a log that cannot write waits before it tries to: each failure puts
/// that off.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Partitions with nothing to give up that one step passes over.
const STEP_PARTITIONS_MAX: usize = 16;

/// What is still to be done.
#[derive(Debug)]
pub(super) struct Upkeep {
    interval: Duration,
    due: Instant,
    partitions: VecDeque<Arc<Partition>>,
    /// Logs of deleted topics.
    graves: VecDeque<LogId>,
    /// Whether freed space may be given back.
    is_shrinking: bool,
    /// When steps go on, after one that failed.
    retry_at: Option<Instant>,
    waiters: Vec<Answer<()>>,
}

/// What makes a batch old.
#[derive(Debug, Clone, Copy, Default)]
struct Rules {
    /// Whatever ends before this offset.
    start: Offset,
    /// Whatever is older than this.
    cutoff: Option<Timestamp>,
    /// Whatever the rest exceeds this size without, given the size of all.
    size: Option<(u64, u64)>,
}

/// What the rules give up of the oldest batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Doomed {
    /// Everything that ends before this offset.
    before: Offset,
    bytes: u64,
    /// Whether there may be more to give up.
    is_more: bool,
}

impl Upkeep {
    pub(super) fn new(interval: Duration, graves: Vec<LogId>) -> Self {
        Self {
            interval,
            due: Instant::now() + interval,
            partitions: VecDeque::new(),
            is_shrinking: false,
            graves: graves.into(),
            retry_at: None,
            waiters: Vec::new(),
        }
    }

    /// When there is a step to do next.
    pub(super) fn due(&self, now: Instant) -> Instant {
        if !self.partitions.is_empty() || !self.graves.is_empty() || self.is_shrinking {
            self.retry_at.map_or(now, |retry_at| retry_at.min(self.due))
        } else if self.waiters.is_empty() {
            self.due
        } else {
            // Only a compaction on the pool is still to end.
            self.due.min(now + COMPACTION_POLL)
        }
    }

    /// Puts a partition in line whose start has moved.
    pub(super) fn visit(&mut self, partition: &Arc<Partition>) {
        self.partitions.push_back(Arc::clone(partition));
    }

    /// Puts the logs of a deleted topic in line.
    pub(super) fn bury(&mut self, logs: impl Iterator<Item = LogId>) {
        self.graves.extend(logs);
    }
}

impl Committer {
    /// Looks at everything now, and answers when nothing old is left.
    pub(super) fn maintain(&mut self, answer: Answer<()>) {
        self.upkeep.waiters.push(answer);
        self.look_around();
    }

    /// Does one small step, if there is one.
    pub(super) fn keep_up(&mut self) {
        if self.upkeep.due <= Instant::now() {
            self.look_around();
        }
        if self.shared.halted().is_some() {
            self.upkeep.partitions.clear();
            self.upkeep.graves.clear();
            self.upkeep.is_shrinking = false;
        }
        if self.upkeep.retry_at.is_some_and(|retry_at| retry_at > Instant::now()) {
            return;
        }
        self.upkeep.retry_at = None;
        let stepped = if !self.upkeep.partitions.is_empty() {
            self.trim_some()
        } else if let Some(log) = self.upkeep.graves.front().copied() {
            self.empty_grave(log)
        } else if self.upkeep.is_shrinking {
            self.give_space_back()
        } else {
            if !self.upkeep.waiters.is_empty() && !self.is_compacting() {
                self.upkeep.waiters.drain(..).for_each(|waiter| drop(waiter.send(Ok(()))));
            }
            Ok(())
        };
        if let Err(error) = stepped {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "upkeep of the log failed; it will be tried again"
            );
            self.upkeep.retry_at = Some(Instant::now() + RETRY_AFTER);
            self.upkeep.partitions.clear();
            self.upkeep.is_shrinking = false;
            self.upkeep.waiters.drain(..).for_each(|waiter| drop(waiter.send(Err(error.clone()))));
        }
    }

    fn is_compacting(&self) -> bool {
        let topics = self.shared.topics.all();
        let mut partitions = topics.iter().flat_map(|topic| &topic.partitions);
        partitions.any(|partition| partition.is_compacting.load(Ordering::Acquire))
    }

    fn look_around(&mut self) {
        self.upkeep.due = Instant::now() + self.upkeep.interval;
        self.upkeep.retry_at = None;
        self.upkeep.is_shrinking = true;
        self.upkeep.partitions.clear();
        let now = self.shared.clock.now();
        for topic in self.shared.topics.all() {
            for partition in &topic.partitions {
                self.upkeep.visit(partition);
                if topic.info.spec.cleanup == Cleanup::Compact
                    && let Some(begun) = compaction::begin(partition)
                {
                    let shared = Arc::clone(&self.shared);
                    let job = Box::new(move |source: &mut dyn Source| {
                        compaction::run(source, &shared, &begun, now);
                    });
                    if self.shared.compactor.spawn(Purpose::CatchUp, job).is_err() {
                        tracing::debug!(topic = %partition.topic, "too many tables wait for compaction; later");
                    }
                }
            }
        }
    }

    /// Passes over partitions until one had something to give up.
    fn trim_some(&mut self) -> Result<(), Error> {
        for _ in 0..STEP_PARTITIONS_MAX {
            let Some(partition) = self.upkeep.partitions.pop_front() else { break };
            if partition.is_deleted() {
                continue;
            }
            let doomed = self.doomed(&partition).map_err(|failure| Error::Unavailable(Arc::new(failure)))?;
            if doomed.bytes == 0 {
                continue;
            }
            // Readers hear of it first, so that none takes what is gone for damage.
            partition.set_start(doomed.before);
            let bounds = partition.bounds();
            self.transaction(|storage| storage.trim(partition.log, doomed.before, bounds))?;
            self.shared.metrics.trimmed_bytes.inc_by(doomed.bytes);
            if doomed.is_more {
                self.upkeep.partitions.push_back(partition);
            }
            break;
        }
        Ok(())
    }

    fn doomed(&mut self, partition: &Partition) -> Result<Doomed, Failure> {
        let Some(topic) = self.shared.topics.get(&partition.topic) else { return Ok(Doomed::default()) };
        let spec = &topic.info.spec;
        let age = spec.retention.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let oldest = self.storage.oldest(partition.log, STEP_BATCHES_MAX)?;
        let size = match spec.retention_bytes {
            Some(bytes_max) => Some((self.storage.bytes(partition.log)?, bytes_max)),
            None => None,
        };
        let cutoff = age.map(|age| self.shared.clock.now().plus_millis(age.saturating_neg()));
        let rules = Rules { start: partition.start(), cutoff, size };
        Ok(rules.doomed(&oldest, STEP_BYTES_MAX, oldest.len() == STEP_BATCHES_MAX))
    }

    fn empty_grave(&mut self, log: LogId) -> Result<(), Error> {
        let unavailable = |failure| Error::Unavailable(Arc::new(failure));
        let oldest = self.storage.oldest(log, STEP_BATCHES_MAX).map_err(unavailable)?;
        let bounds = self.storage.bounds(log).map_err(unavailable)?;
        let rules = Rules { start: bounds.end, ..Rules::default() };
        let doomed = rules.doomed(&oldest, STEP_BYTES_MAX, true);
        if doomed.bytes > 0 {
            let bounds = Bounds { start: doomed.before, end: bounds.end };
            return self.transaction(|storage| storage.trim(log, doomed.before, bounds));
        }
        self.transaction(|storage| storage.remove_log(log))?;
        self.upkeep.graves.pop_front();
        Ok(())
    }

    fn give_space_back(&mut self) -> Result<(), Error> {
        let more = self.storage.shrink().map_err(|failure| Error::Unavailable(Arc::new(failure)))?;
        self.upkeep.is_shrinking = more;
        Ok(())
    }
}

impl Rules {
    /// What goes of the `oldest` batches, until it is `bytes_max` bytes; `is_cut` says that there are later ones.
    fn doomed(&self, oldest: &[Extent], bytes_max: u64, is_cut: bool) -> Doomed {
        let mut doomed = Doomed { is_more: is_cut, ..Doomed::default() };
        for extent in oldest {
            let is_old = extent.last < self.start
                || self.cutoff.is_some_and(|cutoff| extent.time_max < cutoff)
                || self.size.is_some_and(|(all, max)| all.saturating_sub(doomed.bytes + extent.bytes) >= max);
            if !is_old {
                doomed.is_more = false;
                break;
            }
            doomed.before = extent.last.next();
            doomed.bytes += extent.bytes;
            if doomed.bytes >= bytes_max {
                doomed.is_more = true;
                break;
            }
        }
        doomed
    }
}

#[cfg(test)]
mod tests {
    use crate::event::{Offset, Timestamp};

    use super::super::storage::Extent;
    use super::{Doomed, Rules};

    fn extents() -> Vec<Extent> {
        (0..5_u64)
            .map(|index| Extent {
                last: Offset::new(index * 10 + 9),
                time_max: Timestamp::from_millis(1_000 * i64::try_from(index).unwrap()),
                bytes: 100,
            })
            .collect()
    }

    fn before(rules: Rules) -> (u64, u64) {
        let Doomed { before, bytes, .. } = rules.doomed(&extents(), u64::MAX, false);
        (before.number(), bytes)
    }

    #[test]
    fn old_batches_go_from_the_front_and_only_whole_ones() {
        assert_eq!(before(Rules::default()), (0, 0));
        assert_eq!(before(Rules { start: Offset::new(25), ..Rules::default() }), (20, 200));
        let cutoff = Some(Timestamp::from_millis(2_000));
        assert_eq!(before(Rules { cutoff, ..Rules::default() }), (20, 200));
    }

    #[test]
    fn a_batch_goes_by_size_only_when_the_rest_still_fills_the_bound() {
        let size = |max| Rules { size: Some((500, max)), ..Rules::default() };
        assert_eq!(before(size(500)), (0, 0));
        assert_eq!(before(size(401)), (0, 0));
        assert_eq!(before(size(400)), (10, 100));
        assert_eq!(before(size(250)), (20, 200));
        assert_eq!(before(size(0)), (50, 500));
    }

    #[test]
    fn one_step_gives_up_a_bounded_number_of_bytes() {
        let rules = Rules { start: Offset::new(50), ..Rules::default() };
        let doomed = rules.doomed(&extents(), 250, false);
        assert_eq!(doomed, Doomed { before: Offset::new(30), bytes: 300, is_more: true });
    }
}
