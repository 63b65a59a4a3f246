//! The group's part in its replay: takes it while members are here, tells every second how far it is, or every third
//! that it is there, and leaves it.
//!
//! What is replayed are further partitions of the group's machine, some at a time, with the lanes, credits, retries and
//! dead letters of all others. What the machine commits of them goes into this gateway's copy of the job, and with that
//! into the table.
//!
//! ```text
//! tick ── book: somebody's? ── take ── run: parts ── feeds ── machine
//!            ▲                                        │
//!            └─ record (as it changes), release ── copy: counts, places
//! ```

mod feeding;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout};

use crate::event::{Filter, Partition};
use crate::telemetry::Gauge;

use super::super::Error;
use super::super::group::{Outcome, Settled, Slot, SourceCommit};
use super::super::jobs::{Book, JobId, Lost, Signs};
use super::super::replays::Job;
use super::super::shared::Shared;
use super::{Owner, Pending, Phase};
use feeding::{Run, Telling};

pub(super) use feeding::Read;

/// A job that is left behind must not hold a drain up.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// What a group's task is about with its replay.
#[derive(Default)]
pub(super) struct Replays {
    run: Option<Run>,
    shown: Option<Shown>,
    signs: Signs,
    /// Telling the table; answers what it says.
    pub(super) telling: Option<Pending<Told>>,
    /// The next records of some ranges.
    pub(super) reads: FuturesUnordered<Pending<Read>>,
    /// Whether a range takes records again.
    is_stirred: bool,
    /// Whether the table refuses what it is told, for a reason that does not pass.
    is_refused: bool,
}

/// A replay that metrics tell to run here, until this is dropped.
struct Shown(Gauge);

/// What the table said.
#[derive(Debug)]
pub(super) enum Told {
    /// The job, where it is this gateway's now.
    Taken(Result<Option<Box<Job>>, Error>),
    /// Whether the job still is this gateway's, and the copy that was told.
    Recorded(Result<Result<(), Lost>, Error>, Telling),
}

/// What is to be told.
enum Word {
    Record,
    Release,
    Fail(String),
}

impl Owner {
    /// Takes the group's replay, tells of it, or leaves it.
    pub(super) fn look_after_replay(&mut self) {
        if self.replays.telling.is_some() {
            return;
        }
        let Ok(book) = Book::<Job>::open(&self.shared.states) else { return };
        let job = book.running(&self.group);
        let is_serving = matches!(self.phase, Phase::Serving);
        if let Some(run) = &self.replays.run {
            let is_its = |job: &Job| job.told.id == *run.id() && job.is_run_by(&self.shared.life);
            if !job.as_ref().is_some_and(is_its) {
                self.end_replay();
            } else if self.machine.seats().next().is_none() {
                self.tell_replay(Word::Release);
                self.end_replay();
            } else if let Some(reason) = run.failure() {
                self.tell_replay(Word::Fail(reason));
                self.end_replay();
            } else if run.is_to_tell(Instant::now()) {
                self.tell_replay(Word::Record);
            }
            return;
        }
        let Some(job) = job else {
            self.replays.signs.retain(|_| false);
            return;
        };
        let is_silent = self.replays.signs.is_silent(&job.told.id, job.beat(), Instant::now());
        let is_free = !job.is_owned() || is_silent || job.is_run_by(&self.shared.life);
        if is_serving && is_free && !self.mailboxes.is_empty() {
            self.take_replay(job.told.id.clone(), job.beat());
        }
    }

    /// What the table said of the job.
    pub(super) fn replay_told(&mut self, told: Told) {
        self.replays.telling = None;
        match told {
            Told::Taken(Ok(Some(job))) => {
                if self.replays.run.is_none() && matches!(self.phase, Phase::Serving) {
                    self.begin_replay(*job);
                }
            }
            Told::Taken(Ok(None)) => {}
            Told::Recorded(Ok(Ok(())), telling) => {
                self.replays.is_refused = false;
                let Some(run) = &mut self.replays.run else { return };
                run.was_told(telling);
                if !run.is_done() {
                    return;
                }
                if run.has_changed() {
                    self.tell_replay(Word::Record);
                } else {
                    tracing::info!(group = %self.group, "replay done");
                    self.end_replay();
                }
            }
            Told::Recorded(Ok(Err(Lost)), _) => self.end_replay(),
            Told::Taken(Err(error)) | Told::Recorded(Err(error), _) => {
                let is_passing = matches!(&error, Error::NotLoaded)
                    || matches!(&error, Error::Log(error) if error.is_temporary());
                // Told every second, so once is enough.
                if is_passing || std::mem::replace(&mut self.replays.is_refused, true) {
                    tracing::debug!(group = %self.group, %error, "how far a replay is is told later");
                } else {
                    tracing::warn!(group = %self.group, %error, "how far a replay is cannot be written down; it is tried again");
                }
            }
        }
    }

    /// Leaves the job to another gateway, or to this one when it serves the group again.
    pub(super) async fn leave_replay(&mut self) {
        self.replays.telling = None;
        if self.replays.run.is_none() {
            return;
        }
        self.tell_replay(Word::Release);
        self.end_replay();
        if let Some(telling) = self.replays.telling.take()
            && timeout(LEAVE_MAX, telling).await.is_err()
        {
            tracing::warn!(group = %self.group, "a replay cannot be left to others; one takes it over when it sees no sign");
        }
    }

    /// What a commit says of ranges goes into the copy of the job; a range of which nothing is left ends.
    pub(super) fn note_replayed(&mut self, commits: Vec<SourceCommit>) {
        let Some(run) = &mut self.replays.run else { return };
        let done: Vec<Slot> = commits
            .into_iter()
            .filter_map(|SourceCommit { slot, offset, metadata, .. }| {
                run.mark(slot, offset, metadata).then_some(slot)
            })
            .collect();
        let skipped = run.newly_skipped();
        self.show_replayed("skipped", skipped);
        if done.is_empty() {
            return;
        }
        self.machine.lose(&done, self.now());
        let is_done = self.replays.run.as_ref().is_some_and(Run::is_done);
        if is_done && self.replays.telling.is_none() {
            self.tell_replay(Word::Record);
        }
        self.replays.is_stirred = true;
    }

    /// Counts what members acknowledged.
    pub(super) fn count_replayed(&mut self, settled: &Settled) {
        if settled.slot.is_replayed()
            && settled.outcome == Outcome::Ack
            && let Some(run) = &mut self.replays.run
        {
            run.delivered();
            self.show_replayed("delivered", 1);
        }
    }

    /// Counts what is a dead letter now.
    pub(super) fn count_buried(&mut self, slot: Slot, epoch: u64) {
        if slot.is_replayed()
            && self.machine.epoch(slot) == Some(epoch)
            && let Some(run) = &mut self.replays.run
        {
            run.failed();
            self.show_replayed("failed", 1);
        }
    }

    /// Whether a range is read on.
    pub(super) fn hold_replayed(&mut self, slot: Slot, is_held: bool) {
        if let Some(run) = &mut self.replays.run {
            run.hold(slot, is_held);
            self.replays.is_stirred |= !is_held;
        }
    }

    /// A range that was given back is no longer fed.
    pub(super) fn leave_range(&mut self, slot: Slot) {
        if let Some(run) = &mut self.replays.run {
            run.leave(slot);
        }
    }

    /// When there is something to be done for it though nothing happened. Nothing is but while the group is served.
    pub(super) fn replay_due(&self) -> Option<Instant> {
        if !matches!(self.phase, Phase::Serving) {
            return None;
        }
        let run = self.replays.run.as_ref()?;
        if self.replays.is_stirred { Some(Instant::now()) } else { run.due() }
    }

    fn begin_replay(&mut self, job: Job) {
        let slots = |(place, partition): (usize, Partition)| {
            let topic = job.told.topics.get(place)?;
            Some(self.slot(topic, partition)?.replayed())
        };
        let places = job.parts.iter().map(|part| (part.topic, part.partition));
        let slots: Option<Vec<Slot>> = places.map(slots).collect();
        let filter = job.told.filter.as_ref().map(|filter| Filter::parse_text(&filter.to_string()));
        let run = Run::new(job, slots.unwrap_or_default(), filter.transpose().ok().flatten());
        tracing::info!(group = %self.group, replay = %run.id(), "replay begins or goes on");
        self.replays.run = Some(run);
        self.replays.shown = Some(Shown::of(&self.shared.metrics.replays.running));
        self.replays.is_stirred = true;
    }

    /// Withdraws what is in flight of it.
    fn end_replay(&mut self) {
        let Some(run) = self.replays.run.take() else { return };
        self.replays.shown = None;
        self.replays.reads = FuturesUnordered::new();
        let slots = run.slots();
        self.recall(|tag| slots.contains(&Slot { topic: tag.topic, partition: tag.partition }));
        self.machine.lose(&slots, self.now());
    }

    fn show_replayed(&self, outcome: &str, count: u64) {
        if count > 0 {
            let events = &self.shared.metrics.replays.events;
            events.with_label_values(&[self.group.as_str(), outcome]).inc_by(count);
        }
    }

    fn take_replay(&mut self, id: JobId, beat: u64) {
        let shared = Arc::clone(&self.shared);
        self.replays.telling = Some(Box::pin(async move { Told::Taken(take(&shared, &id, beat).await) }));
    }

    fn tell_replay(&mut self, word: Word) {
        let Some(run) = &self.replays.run else { return };
        let (shared, copy) = (Arc::clone(&self.shared), run.copy().clone());
        let telling = run.telling(Instant::now());
        self.replays.telling =
            Some(Box::pin(async move { Told::Recorded(tell(&shared, &copy, word).await, telling) }));
    }
}

impl Shown {
    fn of(running: &Gauge) -> Self {
        running.inc();
        Self(running.clone())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Takes a job whose last sign is this one; the job, where it is this gateway's then.
async fn take(shared: &Shared, id: &JobId, beat: u64) -> Result<Option<Box<Job>>, Error> {
    let life = &*shared.life;
    let take = |job: &mut Job| {
        // Whoever gave a sign meanwhile keeps it.
        if job.beat() == beat {
            job.take(life);
        }
        job.is_run_by(life).then(|| Box::new(job.clone()))
    };
    Ok(Book::<Job>::open(&shared.states)?.change(id, take).await?.flatten())
}

async fn tell(shared: &Shared, copy: &Job, word: Word) -> Result<Result<(), Lost>, Error> {
    let (life, now) = (&*shared.life, shared.clock.now());
    let tell = |job: &mut Job| match &word {
        Word::Record => job.record(life, copy, now),
        Word::Release => job.release(life, copy, now),
        Word::Fail(reason) => job.fail(life, copy, reason, now),
    };
    Book::<Job>::open(&shared.states)?.change_owned(&copy.told.id, tell).await
}
