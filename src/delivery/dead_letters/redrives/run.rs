//! One redrive being carried out: reads what is left, picks letters, and sends them back at its rate.
//!
//! Partitions are looked at in turn, each in its order, a bounded read at a time. Where one cannot be read or written now
//! the others go on. Beside that its owner tells every second how far it has come, which is also its sign of life.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::event::{Offset, Topic};
use crate::log;

use super::super::super::Error;
use super::super::super::burial::topic_of;
use super::super::super::jobs::{Book, JobId, Lost, Rate};
use super::super::super::redrive::{self, Failure, Letter, Outcome};
use super::super::super::shared::Shared;
use super::super::reading::{Budget, Span};
use super::super::{Asked, Held};
use super::batch::{Batch, LETTERS_MAX};
use super::close::Closer;
use super::job::{Job, Part, Redrive, RedriveCounts, RedriveState};
use super::pick::{Passed, Pick};

/// How often its owner tells how far it has come.
const BEAT_EVERY: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A job that is left behind at a drain must not hold it up.
const LEAVE_MAX: Duration = Duration::from_secs(2);
/// A topic or group that is not there for so long was deleted. Before, this gateway may not have heard of it yet.
const GONE_MAX: Duration = Duration::from_secs(20);

/// A redrive that this gateway works on.
#[derive(Debug)]
pub(super) struct Run<'r> {
    shared: &'r Shared,
    book: Book<'r, Job>,
    id: JobId,
    told: Redrive,
    incarnations: Vec<u64>,
    /// This gateway's copy. Held for single changes, never across a wait.
    copy: Mutex<Job>,
    /// Nothing more is to be sent: the gateway drains, or the job is no longer its own.
    halted: CancellationToken,
}

/// Why the work on a redrive stops.
#[derive(Debug)]
pub(super) enum Halt {
    /// Nothing more is to be sent.
    Told,
    /// The log cannot serve now, or there is no room to write down what becomes of letters.
    Later(Error),
    /// What it needs is not there now, for this reason.
    Gone(String),
    /// It never can be, for this reason.
    Never(String),
}

impl<'r> Run<'r> {
    pub(super) fn new(
        shared: &'r Shared,
        book: Book<'r, Job>,
        job: Job,
        stopping: &CancellationToken,
    ) -> Self {
        let (id, told, incarnations) = (job.told.id.clone(), job.told.clone(), job.incarnations.clone());
        Self { shared, book, id, told, incarnations, copy: Mutex::new(job), halted: stopping.child_token() }
    }

    /// Works until there is nothing left, or somebody says so; then leaves the job as the next one needs it.
    pub(super) async fn run(self, stopping: &CancellationToken) {
        let worked = CancellationToken::new();
        let work = async {
            let failed = self.work().await;
            worked.cancel();
            failed
        };
        let (failed, ()) = tokio::join!(work, self.beat(&worked));
        let (life, now) = (&*self.shared.life, self.shared.clock.now());
        let copy = self.copy();
        let leaving = self.book.change_owned(&self.id, |job| match &failed {
            Some(reason) => job.fail(life, &copy, reason, now),
            None => {
                job.record(life, &copy, now)?;
                if job.told.state == RedriveState::Running { job.release(life) } else { Ok(()) }
            }
        });
        let left = timeout(LEAVE_MAX, leaving).await;
        match left {
            Ok(Ok(Ok(()))) => {
                tracing::info!(redrive = %self.id, group = %self.told.group, reason = failed, "redrive left or ended")
            }
            // Somebody else's by now; or it is found to have no owner that lives.
            Ok(Ok(Err(Lost))) => {}
            Ok(Err(_)) | Err(_) if !stopping.is_cancelled() => {
                tracing::warn!(redrive = %self.id, "how far a redrive came cannot be written down; it goes on from before");
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }

    /// Looks at what is left; why it can never be done, if so.
    async fn work(&self) -> Option<String> {
        let mut rate = Rate::new(self.told.rate_per_second, Instant::now());
        let (mut failures, mut delay, mut gone_since) = (0, RETRY_FIRST, None);
        let mut stuck: Option<Part> = None;
        let mut closer = Closer::new();
        loop {
            let Some(part) = self.copy().first().cloned() else {
                if self.close(&mut closer).await {
                    continue;
                }
                return None;
            };
            let reason = match self.look_at(&part, &mut rate, &closer).await {
                Ok(()) => {
                    (failures, delay, gone_since) = (0, RETRY_FIRST, None);
                    if stuck.take_if(|stuck| stuck.is_of(&part)).is_some() {
                        self.change(Job::goes_on);
                    }
                    continue;
                }
                Err(Halt::Told) => return None,
                Err(Halt::Never(reason)) => return Some(reason),
                Err(Halt::Gone(reason)) => {
                    let since = *gone_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= GONE_MAX {
                        return Some(reason);
                    }
                    reason
                }
                Err(Halt::Later(error)) => {
                    tracing::debug!(redrive = %self.id, %error, "a redrive has to wait");
                    error.to_string()
                }
            };
            failures += 1;
            let parts = self.change(|copy| {
                copy.postpone(reason);
                copy.parts_left()
            });
            stuck = Some(part);
            if failures >= parts {
                if timeout(delay, self.halted.cancelled()).await.is_ok() {
                    return None;
                }
                (failures, delay) = (0, (delay * 2).min(RETRY_MAX));
            }
        }
    }

    /// Reads some of a partition and sends back what is meant of it.
    async fn look_at(&self, part: &Part, rate: &mut Rate, closer: &Closer) -> Result<(), Halt> {
        if self.halted.is_cancelled() {
            return Err(Halt::Told);
        }
        let (source, name) = self.topic(part)?;
        let (from, to) = part.span();
        let start = self.shared.log.bounds(&name, part.partition).await?.start;
        let span = Span::open(&*self.shared.log, &name, part.partition, from.max(start), to).await?;
        let Some(mut span) = span else {
            self.count(part, to, RedriveCounts::default());
            return Ok(());
        };
        let late = self.late(part, closer)?;
        let (mut batch, mut seen, mut next) = (Batch::default(), HashSet::new(), from);
        let mut budget = Budget::new();
        while next < to && !budget.is_spent() {
            let records = match span.next(&mut budget).await {
                Ok(records) => records,
                Err(error) => {
                    // What cannot be read holds up nothing that lies before it.
                    self.send(part, batch, next, rate).await?;
                    return Err(error.into());
                }
            };
            next = if records.is_some() { span.position().min(to) } else { to };
            let pick = Pick::of(self.shared, &self.told).within(late.as_ref());
            for record in records.iter().flatten() {
                match pick.letter(source, part.partition, record, &mut seen)? {
                    Ok(letter) => batch.push(letter),
                    Err(Passed::Settled) => batch.pass(),
                    Err(Passed::Unmeant) => {}
                }
                if batch.is_full(rate.batch_max(LETTERS_MAX)) {
                    self.send(part, std::mem::take(&mut batch), record.offset.next(), rate).await?;
                }
            }
            if batch.is_empty() {
                self.send(part, std::mem::take(&mut batch), next, rate).await?;
            }
        }
        self.send(part, batch, next, rate).await
    }

    /// Sends a batch back, as much of it as what is known of letters has room for; after it all before `next` has been
    /// looked at.
    async fn send(&self, part: &Part, batch: Batch, next: Offset, rate: &mut Rate) -> Result<(), Halt> {
        let (mut letters, mut together) = (batch.letters(), batch.letters().len());
        while !letters.is_empty() {
            let (some, others) = letters.split_at(together.min(letters.len()));
            let next = others.first().map_or(next, |letter| letter.id.offset());
            match self.send_together(part, some, next, rate).await {
                Err(Halt::Later(Error::DeadLettersFull(_))) if together > 1 => together /= 2,
                sent => {
                    sent?;
                    letters = others;
                }
            }
        }
        self.count(part, next, RedriveCounts { skipped: batch.settled(), ..RedriveCounts::default() });
        Ok(())
    }

    async fn send_together(
        &self,
        part: &Part,
        letters: &[Letter],
        next: Offset,
        rate: &mut Rate,
    ) -> Result<(), Halt> {
        tokio::select! {
            biased;
            () = self.halted.cancelled() => return Err(Halt::Told),
            () = sleep_until(rate.ready_at(Instant::now())) => {}
        }
        if !self.is_mine() {
            return Err(Halt::Told);
        }
        // It may have waited long, and what it holds may be gone by now.
        self.topic(part)?;
        let asked = Asked {
            group: &self.told.group,
            by: &self.told.by,
            held: if Pick::of(self.shared, &self.told).takes_held() { Held::Go } else { Held::Stay },
            now: self.shared.clock.now(),
        };
        // Not given up half-way: letters would stay marked.
        let outcomes = redrive::send(self.shared, asked, letters).await?;
        rate.take(letters.len());
        let mut counts = RedriveCounts::default();
        for (letter, outcome) in letters.iter().zip(outcomes) {
            match outcome {
                Outcome::Moved => counts.moved += 1,
                Outcome::Skipped(_) => counts.skipped += 1,
                Outcome::Failed(Failure::Log(error)) => {
                    // It and what comes after it go another time, in their order.
                    self.count(part, letter.id.offset(), counts);
                    return Err(error.into());
                }
                Outcome::Failed(Failure::SourceGone | Failure::TooLarge | Failure::Unreadable) => {
                    counts.failed += 1;
                }
            }
        }
        self.count(part, next, counts);
        Ok(())
    }

    /// Tells what became of a part, up to an offset.
    fn count(&self, part: &Part, next: Offset, counts: RedriveCounts) {
        let told = &self.shared.metrics.letters.redriven;
        for (outcome, count) in
            [("moved", counts.moved), ("failed", counts.failed), ("skipped", counts.skipped)]
        {
            if count > 0 {
                told.with_label_values(&[self.told.group.as_str(), outcome]).inc_by(count);
            }
        }
        self.change(|copy| copy.advance(part, next, counts));
    }

    /// The source topic of a part, and the dead-letter topic, as they were when the redrive was asked for.
    pub(super) fn topic(&self, part: &Part) -> Result<(&Topic, Topic), Halt> {
        let group = &self.told.group;
        if self.shared.policies.get(group).is_none() && self.shared.policies.is_loaded() {
            return Err(Halt::Gone(format!("group '{group}' was deleted")));
        }
        let source = self.told.topics.get(part.topic);
        let Some((source, name)) = source.and_then(|source| Some((source, topic_of(source, group)?))) else {
            return Err(Halt::Never("the redrive names a topic that it does not have".to_owned()));
        };
        let made = self.incarnations.get(part.topic).copied();
        match self.shared.log.topic(&name) {
            Some(info) if Some(info.incarnation.0) == made => Ok((source, name)),
            Some(_) => Err(Halt::Gone(format!("topic '{name}' was deleted and made anew"))),
            None => {
                self.shared.log.topics_known()?;
                Err(Halt::Gone(format!("topic '{name}' was deleted")))
            }
        }
    }

    /// Tells every second how far it has come, until the work ends; halts it where the job is no longer its own.
    async fn beat(&self, worked: &CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = worked.cancelled() => return,
                () = sleep(BEAT_EVERY) => {}
            }
            let (life, now) = (&*self.shared.life, self.shared.clock.now());
            let copy = self.copy();
            if copy.is_over() {
                // The end is told when the work has ended.
                continue;
            }
            match self.book.change_owned(&self.id, |job| job.record(life, &copy, now)).await {
                Ok(Ok(())) => {}
                Ok(Err(Lost)) => {
                    self.halted.cancel();
                    return;
                }
                Err(error) => {
                    tracing::debug!(redrive = %self.id, %error, "how far a redrive came is told later");
                }
            }
        }
    }

    /// Whether the table, as far as it is read here, says that it is this gateway that works on it.
    fn is_mine(&self) -> bool {
        let running = self.book.running(&self.told.group);
        running.is_some_and(|job| job.told.id == self.id && job.is_run_by(&self.shared.life))
    }

    pub(super) const fn shared(&self) -> &'r Shared {
        self.shared
    }

    pub(super) const fn id(&self) -> &JobId {
        &self.id
    }

    /// What it was to do when this gateway took it.
    pub(super) const fn told(&self) -> &Redrive {
        &self.told
    }

    pub(super) fn is_halted(&self) -> bool {
        self.halted.is_cancelled()
    }

    pub(super) async fn halted(&self) {
        self.halted.cancelled().await;
    }

    pub(super) fn copy(&self) -> Job {
        self.change(|copy| copy.clone())
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Job) -> T) -> T {
        change(&mut self.copy.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        match error {
            Error::Log(error) => error.into(),
            // Room comes when letters go, or with a larger bound.
            Error::DeadLettersFull(_) | Error::NotLoaded | Error::Closed | Error::Draining => {
                Self::Later(error)
            }
            error => Self::Never(error.to_string()),
        }
    }
}

impl From<log::Error> for Halt {
    fn from(error: log::Error) -> Self {
        match error {
            log::Error::UnknownTopic(_) | log::Error::UnknownPartition { .. } => {
                Self::Gone(error.to_string())
            }
            error if error.is_temporary() => Self::Later(error.into()),
            error => Self::Never(error.to_string()),
        }
    }
}
