//! The commit thread: the one owner of the writing connection.
//!
//! It takes what waits, commits it as one group, and only then shows it to readers and answers. It never waits for a
//! group to fill: while one group is synced the next one gathers. Between groups it does one small step of upkeep.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::event::Offset;
use crate::log::Error;

use super::Fsync;
use super::directory::Directory;
use super::group::Group;
use super::high_water::HighWater;
use super::partition::Partition;
use super::queue::{Request, Taken, Work};
use super::retention::Upkeep;
use super::shared::Shared;
use super::storage::{Failure, FailureKind, LogId, Storage};

const GROUP_BYTES_MAX: usize = 4 << 20;
const GROUP_COUNT_MAX: usize = 4_096;
/// While more waits, ends are only noted after so many groups.
const GROUPS_PER_NOTE: u32 = 64;
/// How often a log that cannot write tries to.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// What it tries to write: more than the last free blocks of a full disk take.
const PROBE_BYTES: usize = 64 << 10;
const PROBE_KEY: &[u8] = b"probe";

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) storage: Box<dyn Storage>,
    pub(super) high_water: HighWater,
    pub(super) upkeep: Upkeep,
    pub(super) fsync: Fsync,
    pub(super) sync_due: Option<Instant>,
    /// When a log that cannot write tries to.
    pub(super) probe_due: Option<Instant>,
    pub(super) incoming: VecDeque<Request>,
    /// Ends that the high-water file does not know yet.
    pub(super) unnoted: HashMap<LogId, Offset>,
    pub(super) groups_unnoted: u32,
    pub(super) readers: Vec<JoinHandle<()>>,
    /// Held to the very end, so that the next process finds everything closed.
    pub(super) directory: Directory,
}

/// Whether a transaction failed before its commit, or in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Writing,
    Committing,
}

impl Committer {
    /// Serves until the queue is closed and empty; `finished` then becomes true.
    pub(super) fn run(mut self, finished: &watch::Sender<bool>) {
        let guard = Guard(Arc::clone(&self.shared));
        loop {
            let patience = if self.incoming.is_empty() { self.patience() } else { Duration::ZERO };
            let shared = Arc::clone(&self.shared);
            match shared.queue.take(&mut self.incoming, patience) {
                Taken::Closed if self.incoming.is_empty() => break,
                Taken::Closed | Taken::Nothing | Taken::Requests => {}
            }
            self.serve();
            self.sync_if_due();
            self.probe_if_due();
            self.keep_up();
            let waiting = i64::try_from(self.shared.queue.bytes()).unwrap_or(i64::MAX);
            self.shared.metrics.queue_bytes.set(waiting);
        }
        drop(guard);
        self.finish();
        finished.send_replace(true);
    }

    /// How long the thread may sleep.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let due = self.upkeep.due(now);
        let due = [self.sync_due, self.probe_due].into_iter().flatten().fold(due, Instant::min);
        due.saturating_duration_since(now)
    }

    fn serve(&mut self) {
        let (mut works, mut bytes, mut count) = (Vec::new(), 0, 0);
        while bytes < GROUP_BYTES_MAX && count < GROUP_COUNT_MAX {
            match self.incoming.pop_front() {
                Some(Request::Work(work)) => {
                    bytes += work.bytes();
                    count += work.count();
                    self.shared.queue.answered(&work);
                    works.push(work);
                }
                Some(Request::Control(control)) if works.is_empty() => {
                    self.shared.queue.answered_control();
                    return self.control(control);
                }
                Some(control @ Request::Control(_)) => {
                    self.incoming.push_front(control);
                    break;
                }
                None => break,
            }
        }
        if !works.is_empty() {
            self.commit_group(works, count);
        }
    }

    fn commit_group(&mut self, works: Vec<Work>, count: usize) {
        if let Some(failure) = self.shared.halted() {
            let error = Error::Unavailable(Arc::clone(failure) as _);
            works.into_iter().for_each(|work| work.refuse(error.clone()));
            return;
        }
        let begun = Instant::now();
        let group = Group::assemble(works, self.shared.clock.now(), &self.shared.members);
        if let Err(error) = self.transaction(|storage| group.write(storage)) {
            let (partitions, answers) = group.failed();
            self.reread_ends(&partitions);
            answers.refuse(&error);
            return;
        }
        let metrics = &self.shared.metrics;
        metrics.commit_duration.observe(begun.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a group is small")]
        metrics.commit_records.observe(count as f64);
        metrics.bytes.inc_by(group.bytes() as u64);
        let (parts, answers) = group.committed();
        for (partition, batches) in parts {
            let before = partition.end();
            partition.publish(batches, &self.shared.topics.ring_bytes);
            metrics.records.inc_by(partition.end().since(before));
            self.unnoted.insert(partition.log, partition.end());
        }
        answers.done();
        self.note_ends();
    }

    /// Runs `write` in a transaction of its own.
    pub(super) fn transaction<T>(
        &mut self,
        write: impl FnOnce(&mut dyn Storage) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        if let Some(failure) = self.shared.halted() {
            return Err(Error::Unavailable(Arc::clone(failure) as _));
        }
        let storage = &mut *self.storage;
        let written =
            storage.begin().and_then(|()| write(storage)).map_err(|failure| (Stage::Writing, failure));
        let committed = written.and_then(|value| match storage.commit() {
            Ok(()) => Ok(value),
            Err(failure) => Err((Stage::Committing, failure)),
        });
        match committed {
            Ok(value) => {
                if self.probe_due.take().is_some() {
                    self.shared.recover();
                }
                self.note_commit();
                Ok(value)
            }
            Err((stage, failure)) => Err(self.fail(stage, failure)),
        }
    }

    fn fail(&mut self, stage: Stage, failure: Failure) -> Error {
        self.shared.metrics.commit_failures.inc();
        self.storage.rollback();
        let kind = failure.kind;
        let failure = Arc::new(failure);
        match kind {
            FailureKind::Io | FailureKind::Corrupt => self.shared.halt(Arc::clone(&failure)),
            FailureKind::Full | FailureKind::Other => {
                self.shared.stall(Arc::clone(&failure));
                self.probe_due = Some(Instant::now() + PROBE_EVERY);
            }
        }
        match (stage, kind) {
            // The frames may be on the disk, and count again after the next start.
            (Stage::Committing, FailureKind::Io) => Error::OutcomeUnknown,
            _ => Error::Unavailable(failure),
        }
    }

    /// Takes the ends from the store after a failure, rather than trusting what memory says.
    fn reread_ends(&mut self, partitions: &[Arc<Partition>]) {
        for partition in partitions {
            match self.storage.bounds(partition.log) {
                Ok(bounds) => partition.set_end(bounds.end),
                Err(failure) => return self.shared.halt(Arc::new(failure)),
            }
        }
    }

    /// Writes and removes an entry where the last commit failed: a gateway that is not ready is sent nothing that would
    /// show that there is room again.
    fn probe_if_due(&mut self) {
        // A halted log is not tried again: a probe left due would keep the thread from its sleep.
        if self.shared.halted().is_some() {
            self.probe_due = None;
        }
        if self.probe_due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        let written = self.transaction(|storage| storage.put(PROBE_KEY, &[0; PROBE_BYTES]));
        if let Err(error) = written.and_then(|()| self.transaction(|storage| storage.remove(PROBE_KEY))) {
            tracing::trace!(%error, "a try to write failed");
        }
    }

    fn sync_if_due(&mut self) {
        if self.sync_due.is_some_and(|due| due <= Instant::now()) {
            self.sync();
        }
    }

    fn sync(&mut self) {
        self.sync_due = None;
        if self.shared.halted().is_some() {
            return;
        }
        match self.storage.sync() {
            Ok(()) => self.note(|high_water, commits| high_water.note_commits(commits)),
            Err(failure) => {
                self.storage.rollback();
                self.shared.halt(Arc::new(failure));
            }
        }
    }

    /// Notes the commit before anybody hears of it, where it is already durable.
    fn note_commit(&mut self) {
        match self.fsync {
            Fsync::Group => self.note(|high_water, commits| high_water.note_commits(commits)),
            Fsync::Interval(interval) => {
                self.sync_due.get_or_insert_with(|| Instant::now() + interval);
            }
            Fsync::Never => {}
        }
    }

    fn note_ends(&mut self) {
        self.groups_unnoted += 1;
        let is_quiet = self.incoming.is_empty() && self.shared.queue.is_empty();
        if self.fsync == Fsync::Group && (is_quiet || self.groups_unnoted >= GROUPS_PER_NOTE) {
            self.groups_unnoted = 0;
            let ends = std::mem::take(&mut self.unnoted);
            self.note(|high_water, _| {
                ends.into_iter().try_for_each(|(log, end)| high_water.note_end(log, end))
            });
        }
    }

    fn note(&mut self, note: impl FnOnce(&mut HighWater, u64) -> std::io::Result<()>) {
        if let Err(error) = note(&mut self.high_water, self.storage.commits()) {
            tracing::warn!(%error, "the log's high-water file cannot be written; damage may go unnoticed");
        }
    }

    /// Leaves everything tidy: readers first, so that the last checkpoint meets none.
    fn finish(mut self) {
        self.shared.close_pools();
        for reader in self.readers.drain(..) {
            if reader.join().is_err() {
                tracing::error!("a reading thread of the log panicked");
            }
        }
        self.sync();
        if self.shared.halted().is_none() {
            if let Err(failure) = self.storage.close() {
                tracing::error!(
                    error = &failure as &dyn std::error::Error,
                    "the log could not be closed cleanly"
                );
            }
            self.note(|high_water, commits| high_water.note_commits(commits));
            let ends = std::mem::take(&mut self.unnoted);
            self.note(|high_water, _| {
                ends.into_iter().try_for_each(|(log, end)| high_water.note_end(log, end))
            });
        }
        drop(self.storage);
        drop(self.directory);
    }
}

/// Closes the engine when the thread ends, however it ends.
#[derive(Debug)]
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.queue.close();
        let mut left = VecDeque::new();
        self.0.queue.take(&mut left, Duration::ZERO);
        self.0.close();
        self.0.metrics.writable.set(0);
        if std::thread::panicking() {
            self.0.close_pools();
        }
    }
}
