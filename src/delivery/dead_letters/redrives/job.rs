//! A redrive as a state machine: what is left to look at, who works on it, how it ends. Input in, the next state out.
//!
//! ```text
//!            take · release · record (position, counts, a beat)
//! running ───────────────────────────────────────────────────── running
//!    ├── nothing left, and no parked key to be released ── done
//!    ├── cancel ──────── cancelled
//!    └── fail ────────── failed
//! ```
//! The copy in the table is what holds. A gateway that works on it has a copy of its own, and what it brings counts
//! only while the table says that it is the one who does.

use std::collections::VecDeque;

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};

use super::super::super::Error;
use super::super::super::jobs::{self, Custody, JobId, Lost};
use super::super::DeadLetterFilter;
use super::tail::Tail;

/// How a redrive stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedriveState {
    /// Letters are being sent back, or wait for a gateway that does so.
    Running,
    /// All that it was to look at has been looked at.
    Done,
    /// Somebody ended it.
    Cancelled,
    /// It cannot go on, for the reason given.
    Failed,
}

impl RedriveState {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// What became of the letters so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedriveCounts {
    /// Records that were looked at.
    pub examined: u64,
    /// Letters that were meant: the sum of the following.
    pub matched: u64,
    /// On their way to the group.
    pub moved: u64,
    /// That cannot be sent back.
    pub failed: u64,
    /// That somebody else had settled or sent back meanwhile.
    pub skipped: u64,
}

impl std::ops::AddAssign for RedriveCounts {
    fn add_assign(&mut self, more: Self) {
        let Self { examined, matched, moved, failed, skipped } = more;
        self.examined += examined;
        self.matched += matched;
        self.moved += moved;
        self.failed += failed;
        self.skipped += skipped;
    }
}

/// Many letters of a group that are sent back to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redrive {
    /// Which one it is.
    pub id: JobId,
    /// Whose letters.
    pub group: GroupName,
    /// How it stands.
    pub state: RedriveState,
    /// Why it failed; while it runs, why some of it has to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Records that there are to look at: those that there were when it was asked for, and those that came since and are
    /// looked at for parked keys.
    pub letters: u64,
    /// What became of them so far.
    #[serde(flatten)]
    pub counts: RedriveCounts,
    /// The source topics whose letters it looks at.
    pub topics: Vec<Topic>,
    /// Which letters are meant, where they are not named one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<DeadLetterFilter>,
    /// How many are sent back in a second; `None` for as many as can be.
    pub rate_per_second: Option<u32>,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Who cancelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
}

/// A redrive that runs, with all that a gateway has to know to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::delivery::dead_letters) struct Job {
    pub(super) told: Redrive,
    /// The dead-letter topics of `told.topics`, as they were made.
    pub(super) incarnations: Vec<u64>,
    /// What is left; the first one is being looked at.
    parts: VecDeque<Part>,
    /// Parts that have come to their ends, whose partitions may have parked keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tails: Vec<Tail>,
    #[serde(flatten)]
    custody: Custody,
}

/// What is left of a partition of a dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Part {
    /// The place of its source topic among the job's topics.
    #[serde(rename = "t")]
    pub(super) topic: usize,
    #[serde(rename = "p")]
    pub(super) partition: Partition,
    #[serde(rename = "o")]
    pub(super) next: Offset,
    /// Where the partition ended when the redrive was asked for: a letter that dies once more lies behind that.
    #[serde(rename = "e")]
    pub(super) end: Offset,
    /// Where letters are named one by one: their places from `next` on, in order.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(super) only: Option<Vec<Offset>>,
    /// Whether only letters of parked keys are meant, which came after the redrive was asked for.
    #[serde(rename = "l", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_late: bool,
}

impl jobs::Job for Job {
    type Told = Redrive;

    const RUNNING: &'static str = "redriving/";
    const ENDED: &'static str = "redrive/";

    fn told(&self) -> &Redrive {
        &self.told
    }

    fn id_of(told: &Redrive) -> &JobId {
        &told.id
    }

    fn is_open(&self) -> bool {
        self.told.state == RedriveState::Running
    }

    fn running(id: JobId) -> Error {
        Error::RedriveRunning(id)
    }

    fn abandon(&mut self, reason: &str, now: Timestamp) {
        self.end(RedriveState::Failed, Some(reason), now);
    }
}

impl Job {
    /// A job for the gateway of this life. `told` says what is to be done.
    pub(super) fn new(told: Redrive, incarnations: Vec<u64>, parts: Vec<Part>, life: &str) -> Self {
        let parts = parts.into_iter().filter(|part| !part.is_done()).collect();
        Self { told, incarnations, parts, tails: Vec::new(), custody: Custody::of(life) }
    }

    /// A gateway goes on with it.
    pub(super) fn take(&mut self, life: &str) {
        self.custody.take(life);
        self.told.reason = None;
    }

    /// Its owner leaves it to whoever wants it.
    pub(super) fn release(&mut self, life: &str) -> Result<(), Lost> {
        self.require(life)?;
        self.told.reason = None;
        self.custody.release(life)
    }

    /// Its owner tells how far its own copy has come, the same once more too; with nothing left the job is done.
    pub(super) fn record(&mut self, life: &str, copy: &Self, now: Timestamp) -> Result<(), Lost> {
        self.require(life)?;
        self.custody.sign(life)?;
        (self.told.letters, self.told.counts) = (copy.told.letters, copy.told.counts);
        self.told.reason.clone_from(&copy.told.reason);
        self.parts.clone_from(&copy.parts);
        self.tails.clone_from(&copy.tails);
        if self.is_over() {
            self.end(RedriveState::Done, None, now);
        }
        Ok(())
    }

    /// Its owner cannot go on.
    pub(super) fn fail(&mut self, life: &str, copy: &Self, reason: &str, now: Timestamp) -> Result<(), Lost> {
        self.record(life, copy, now)?;
        self.end(RedriveState::Failed, Some(reason), now);
        Ok(())
    }

    /// Somebody ends it; what is on its way goes on.
    pub(super) fn cancel(&mut self, by: &str, now: Timestamp) {
        self.told.cancelled_by = Some(by.to_owned());
        self.end(RedriveState::Cancelled, None, now);
    }

    /// What became of the first part, which is `of`, up to an offset.
    pub(super) fn advance(&mut self, of: &Part, next: Offset, mut counts: RedriveCounts) {
        let Some(part) = self.parts.front_mut().filter(|part| part.is_of(of)) else { return };
        counts.examined = part.advance(next);
        counts.matched = counts.moved + counts.failed + counts.skipped;
        self.told.counts += counts;
        if part.is_done()
            && let Some(part) = self.parts.pop_front()
        {
            self.end_part(&part);
        }
    }

    /// What came behind these tails up to these places is looked at next; the others are no more. Where that is nothing,
    /// the job waits, for this reason.
    pub(super) fn read_on(&mut self, open: &[(Tail, Offset)], reason: &str) {
        self.tails = open.iter().map(|(tail, _)| *tail).collect();
        let late = open.iter().map(|(tail, end)| tail.up_to(*end)).filter(|part| !part.is_done());
        self.parts.extend(late);
        self.told.letters += self.parts.iter().map(Part::left).sum::<u64>();
        self.told.reason = (self.parts.is_empty() && !self.is_over()).then(|| reason.to_owned());
    }

    /// Leaves the first part for later, for this reason.
    pub(super) fn postpone(&mut self, reason: String) {
        if let Some(part) = self.parts.pop_front() {
            self.parts.push_back(part);
        }
        self.told.reason = Some(reason);
    }

    /// The part that had to wait no longer does.
    pub(super) fn goes_on(&mut self) {
        self.told.reason = None;
    }

    /// What is to be looked at now.
    pub(super) fn first(&self) -> Option<&Part> {
        self.parts.front()
    }

    /// Whether there is nothing left to look at, or to wait for.
    pub(super) fn is_over(&self) -> bool {
        self.parts.is_empty() && self.tails.is_empty()
    }

    /// Partitions that have come to their ends, whose parked keys may be released.
    pub(super) fn tails(&self) -> &[Tail] {
        &self.tails
    }

    /// The tail that a late part is of.
    pub(super) fn tail_of(&self, part: &Part) -> Option<&Tail> {
        self.tails.iter().find(|tail| tail.is_of(part))
    }

    /// How many partitions are left.
    pub(super) fn parts_left(&self) -> usize {
        self.parts.len()
    }

    pub(super) const fn beat(&self) -> u64 {
        self.custody.beat()
    }

    pub(super) const fn is_owned(&self) -> bool {
        self.custody.is_owned()
    }

    /// Whether the gateway of this life works on it.
    pub(super) fn is_run_by(&self, life: &str) -> bool {
        self.told.state == RedriveState::Running && self.custody.is_of(life)
    }

    fn end_part(&mut self, part: &Part) {
        let is_whole = self.told.filter.as_ref().is_some_and(DeadLetterFilter::takes_whole_keys);
        if let Some(tail) = self.tails.iter_mut().find(|tail| tail.is_of(part)) {
            tail.next = part.end;
        } else if is_whole && !part.is_late {
            self.tails.push(Tail::of(part));
        }
    }

    fn require(&self, life: &str) -> Result<(), Lost> {
        if self.is_run_by(life) { Ok(()) } else { Err(Lost) }
    }

    fn end(&mut self, state: RedriveState, reason: Option<&str>, now: Timestamp) {
        self.told.state = state;
        self.told.reason = reason.map(str::to_owned);
        self.told.ended_at = Some(now);
    }
}

impl Part {
    /// The next records to look at.
    pub(super) fn span(&self) -> (Offset, Offset) {
        match self.only.as_deref() {
            Some([first, ..]) => (*first, first.next()),
            Some([]) => (self.end, self.end),
            None => (self.next, self.end),
        }
    }

    /// How many records are left.
    pub(super) fn left(&self) -> u64 {
        match &self.only {
            Some(only) => u64::try_from(only.len()).unwrap_or(u64::MAX),
            None => self.end.number().saturating_sub(self.next.number()),
        }
    }

    /// All before `next` was looked at; answers how many that were.
    fn advance(&mut self, next: Offset) -> u64 {
        let before = self.left();
        self.next = self.next.max(next).min(self.end);
        let place = self.next;
        if let Some(only) = &mut self.only {
            only.retain(|offset| *offset >= place);
        }
        before - self.left()
    }

    /// Whether both are of the same partition.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        (self.topic, self.partition) == (other.topic, other.partition)
    }

    fn is_done(&self) -> bool {
        self.left() == 0
    }
}

#[cfg(test)]
mod tests;
