//! Dead letters that come back: read once there are any, shown as what they were, and judged before they are committed.

use std::sync::Arc;

use futures_util::future::join;
use tokio::time::timeout;

use crate::event::{GroupName, Partition, Record, Topic};
use crate::log::{Commit, Commits, EventLog};

use super::super::Exhausted;
use super::super::burial::Death;
use super::super::dead_letters::{Fate, Verdict};
use super::super::group::{Burial, CommitEnd, Outcome, Settled, Slot};
use super::super::redrive::{Rank, Ranked, Redriven};
use super::super::shared::Shared;
use super::perform::{COMMIT_MAX, commit_through};
use super::{Owner, Phase};

/// Verdicts of one write.
const VERDICTS_MAX: usize = 500;

/// What the log's member reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The policy's topics: nothing ever came back.
    Sources,
    /// What comes back, too.
    Redrives,
}

/// A record as members see it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) topic: Topic,
    pub(super) record: Record,
    pub(super) redrives: u32,
}

/// How a commit ended.
#[derive(Debug)]
pub(super) struct Committing {
    pub(super) end: CommitEnd,
    /// Verdicts that are to be written with the next one.
    pub(super) unwritten: Vec<Verdict>,
}

/// A commit to be made.
pub(super) struct Round {
    pub(super) shared: Arc<Shared>,
    pub(super) port: Option<Arc<dyn Commits>>,
    pub(super) group: GroupName,
    pub(super) commits: Vec<Commit>,
    pub(super) verdicts: Vec<Verdict>,
}

impl Reading {
    pub(super) fn of(log: &dyn EventLog, redrives: &Topic) -> Self {
        if log.topic(redrives).is_some() { Self::Redrives } else { Self::Sources }
    }
}

impl Owner {
    /// Joins the log's group again when the first letter ever came back.
    pub(super) fn notice_redrives(&mut self) {
        let is_serving = matches!(self.phase, Phase::Serving) && self.events.is_some();
        if is_serving
            && self.reading == Reading::Sources
            && Reading::of(&*self.shared.log, &self.redrives) == Reading::Redrives
        {
            tracing::info!(group = %self.group, "dead letters come back to the group for the first time");
            let policy = Arc::clone(self.machine.policy());
            self.begin_anew(policy);
        }
    }

    /// Hands records to the machine: of those that come back the ones that a gateway wrote, for this group and not for one of
    /// its name that was deleted, and that are not done.
    pub(super) fn take(&mut self, slot: Slot, mut records: Vec<Record>) {
        let now = self.now();
        if !slot.is_redriven() {
            return self.machine.records(slot, records, now);
        }
        let last = records.last().map(|record| record.offset);
        let incarnation = self.shared.policies.incarnation(&self.group);
        records.retain(|record| {
            let redriven = Redriven::read(record, Partition::new(slot.partition));
            redriven.is_some_and(|one| {
                one.incarnation >= incarnation && !self.shared.states.is_done(&self.group, &one.letter)
            })
        });
        self.forget_bars(slot, &records);
        let is_last_kept = records.last().map(|record| record.offset) == last;
        self.machine.records(slot, records, now);
        if let Some(last) = last.filter(|_| !is_last_kept) {
            self.machine.gap(slot, last.next().number(), now);
        }
    }

    /// Letters that bar the way of those that come and were settled meanwhile, or have gone, bar it no more.
    fn forget_bars(&mut self, slot: Slot, records: &[Record]) {
        if self.machine.policy().on_exhausted != Exhausted::ParkKey {
            return;
        }
        for record in records {
            let Some(Ranked { rank, .. }) = Ranked::of(record, Partition::new(slot.partition)) else {
                continue;
            };
            while let Some((first, letter)) = self.machine.first_bar(slot, rank.key)
                && first.offset < rank.offset
                && !self.has_died_again(letter)
                && self.shared.states.is_out_of_the_way(&self.group, letter)
            {
                self.machine.unbar(slot, first);
            }
        }
    }

    /// Whether a letter died once more and that is not written yet: what the table says of it is of another time that it
    /// came back.
    fn has_died_again(&self, letter: &str) -> bool {
        let verdicts = self.verdicts.iter().any(|one| one.died_again() && *one.letter == *letter);
        verdicts || self.judging.iter().any(|one| **one == *letter)
    }

    /// A record as members see it.
    pub(super) fn shown(&self, slot: Slot, record: Record) -> Option<Shown> {
        if slot.is_redriven() {
            let Redriven { topic, record, redrives, .. } =
                Redriven::read(&record, Partition::new(slot.partition))?;
            return Some(Shown { topic, record, redrives });
        }
        Some(Shown { topic: self.topic(slot)?.clone(), record, redrives: 0 })
    }

    /// A record that is to be a letter, or one again.
    pub(super) fn death(&self, burial: Burial) -> Option<Death> {
        let slot = burial.slot;
        let redrives_max = self.machine.policy().max_redrives;
        let redriven = if slot.is_redriven() {
            Some(Redriven::read(&burial.record, Partition::new(slot.partition))?)
        } else {
            None
        };
        let topic =
            redriven.as_ref().map_or_else(|| self.topic(slot).cloned(), |one| Some(one.topic.clone()))?;
        let is_ranked = self.machine.policy().on_exhausted == Exhausted::ParkKey;
        let rank = redriven.as_ref().filter(|_| is_ranked).and_then(Rank::of);
        Some(Death::new(topic, burial, redriven, redrives_max, rank))
    }

    /// Notes that a letter is resolved.
    pub(super) fn judge(&mut self, settled: &Settled) {
        if !settled.slot.is_redriven() || settled.outcome != Outcome::Ack {
            return;
        }
        if let Some(redriven) = Redriven::read(&settled.record, Partition::new(settled.slot.partition)) {
            let letter = redriven.letter.name().into();
            self.verdicts.push(Verdict { letter, fate: Fate::Resolved });
        }
    }
}

impl Round {
    /// Commits; what comes back only after it is written what became of it, so that no letter stays on its way for ever.
    /// The other topics do not wait for that.
    pub(super) async fn run(self) -> Committing {
        let Self { shared, port, group, commits, verdicts } = self;
        let Some(port) = port else {
            return Committing { end: CommitEnd::Failed, unwritten: verdicts };
        };
        if verdicts.is_empty() {
            let end = commit_through(&*port, commits, &group).await;
            return Committing { end, unwritten: verdicts };
        }
        let (of_redrives, others): (Vec<_>, Vec<_>) =
            commits.into_iter().partition(|commit| commit.topic.is_redrives());
        let committing = async {
            if others.is_empty() { CommitEnd::Done } else { commit_through(&*port, others, &group).await }
        };
        let (is_judged, end) = join(judge(&shared, &group, &verdicts), committing).await;
        if !is_judged {
            let end = if end == CommitEnd::Done { CommitEnd::Partly } else { end };
            return Committing { end, unwritten: verdicts };
        }
        if end != CommitEnd::Done || of_redrives.is_empty() {
            return Committing { end, unwritten: Vec::new() };
        }
        let end = match commit_through(&*port, of_redrives, &group).await {
            CommitEnd::Failed | CommitEnd::Partly => CommitEnd::Partly,
            end @ (CommitEnd::Done | CommitEnd::Refused) => end,
        };
        Committing { end, unwritten: Vec::new() }
    }
}

/// Writes what the group made of letters; whether all of it is durable.
async fn judge(shared: &Shared, group: &GroupName, verdicts: &[Verdict]) -> bool {
    let judging = async {
        for some in verdicts.chunks(VERDICTS_MAX) {
            shared.states.judge_redriven(group, some, shared.clock.now()).await?;
        }
        Ok::<_, super::super::Error>(())
    };
    match timeout(COMMIT_MAX, judging).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(%group, %error, "what became of letters cannot be written; it is tried again");
            false
        }
        Err(_) => {
            tracing::warn!(%group, "what became of letters was not written in time; it is tried again");
            false
        }
    }
}
