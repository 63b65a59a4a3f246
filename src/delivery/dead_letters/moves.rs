//! What becomes of letters on their way back: marked before they go and when they have gone, then by what their group
//! makes of them. Many at once, in one write.

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};

use super::super::Error;
use super::super::redrive::Rank;
use super::entry::{Entry, key};
use super::states::{Room, States};
use super::{DeadLetterId, DeadLetterState, Settled};

/// What is to happen to letters that are held for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Held {
    /// They stay.
    Stay,
    /// They go too: a person asks for them.
    Go,
}

/// Who wants letters of a group redriven, and when.
#[derive(Debug, Clone, Copy)]
pub(in crate::delivery) struct Asked<'a> {
    pub(in crate::delivery) group: &'a GroupName,
    pub(in crate::delivery) by: &'a str,
    pub(in crate::delivery) held: Held,
    pub(in crate::delivery) now: Timestamp,
}

/// How a letter stood before it was marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) struct Before {
    state: DeadLetterState,
    settled: Option<Settled>,
}

/// Whether a letter may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) enum Begun {
    /// It is marked `redriving`.
    Marked(Before),
    /// It stays as it is: it is in a state that does not go, or there is a newer record of it.
    Stays(DeadLetterState),
}

/// How a letter's way to the redrive topic ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) enum Ended {
    /// It lies there.
    Moved,
    /// Surely not.
    Returned(Before),
}

/// What a group made of a letter that came back to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) struct Verdict {
    /// The letter's `weirgate-dlq-id`.
    pub(in crate::delivery) letter: Box<str>,
    pub(in crate::delivery) fate: Fate,
}

impl Verdict {
    /// Whether it failed once more.
    pub(in crate::delivery) const fn died_again(&self) -> bool {
        match self.fate {
            Fate::Resolved => false,
            Fate::Failed { .. } => true,
        }
    }
}

/// See [`Verdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Fate {
    /// It was acknowledged.
    Resolved,
    /// It failed again: its newest record lies here, and it is open, or held for a person. It has a rank where later ones
    /// of its key are not to pass it.
    Failed { partition: Partition, offset: Offset, is_held: bool, rank: Option<Rank> },
}

impl States {
    /// Marks those letters `redriving` that may go; answers for each.
    pub(in crate::delivery) async fn begin_redrive(
        &self,
        asked: Asked<'_>,
        letters: &[(DeadLetterId, Topic)],
    ) -> Result<Vec<Begun>, Error> {
        let mark = |(id, topic): &(DeadLetterId, Topic), before: Option<&Entry>| {
            let standing = before.map(|entry| entry.standing.clone()).unwrap_or_default();
            let may_go = match standing.state {
                // A gateway that died may have left it so; to send it once more is harmless.
                DeadLetterState::Open | DeadLetterState::Redriving => true,
                DeadLetterState::Held => asked.held == Held::Go,
                DeadLetterState::Redriven | DeadLetterState::Resolved | DeadLetterState::Discarded => false,
            };
            if !may_go || before.is_some_and(|entry| entry.is_newer_than(id)) {
                return Ok((Begun::Stays(standing.state), None));
            }
            let was = Before { state: standing.state, settled: standing.settled.clone() };
            let mut entry = Entry::at((id.partition(), id.offset()), topic, asked.now, standing);
            entry.rank = before.and_then(|before| before.rank);
            entry.standing.state = DeadLetterState::Redriving;
            entry.standing.settled = Some(Settled { at: asked.now, by: asked.by.to_owned() });
            Ok((Begun::Marked(was), Some(entry)))
        };
        self.update_all(letters, |(id, _)| key(asked.group, id.name()), Room::Bounded, mark).await
    }

    /// Tells how letters that were marked ended. What its group made of one meanwhile stays.
    pub(in crate::delivery) async fn end_redrive(
        &self,
        group: &GroupName,
        ended: &[(DeadLetterId, Ended)],
        now: Timestamp,
    ) -> Result<(), Error> {
        let unmark = |(_, end): &(DeadLetterId, Ended), before: Option<&Entry>| {
            let entry = before.filter(|entry| entry.standing.state == DeadLetterState::Redriving);
            let entry = entry.cloned().map(|mut entry| {
                entry.changed_at = now;
                match end {
                    Ended::Moved => entry.standing.state = DeadLetterState::Redriven,
                    Ended::Returned(Before { state: DeadLetterState::Held, settled }) => {
                        entry.standing.state = DeadLetterState::Held;
                        entry.standing.settled.clone_from(settled);
                    }
                    Ended::Returned(_) => {
                        entry.standing.state = DeadLetterState::Open;
                        entry.standing.settled = None;
                    }
                }
                entry
            });
            Ok(((), entry))
        };
        self.update_all(ended, |(id, _)| key(group, id.name()), Room::Granted, unmark).await.map(drop)
    }

    /// Tells what a group made of letters. One whose entry has gone went with its records: nothing is to be told of it.
    pub(in crate::delivery) async fn judge_redriven(
        &self,
        group: &GroupName,
        verdicts: &[Verdict],
        now: Timestamp,
    ) -> Result<(), Error> {
        let judge = |verdict: &Verdict, before: Option<&Entry>| {
            let entry = before.cloned().and_then(|mut entry| {
                let settled = Some(Settled { at: now, by: group.to_string() });
                let (state, settled) = match verdict.fate {
                    Fate::Resolved => (DeadLetterState::Resolved, settled),
                    Fate::Failed { is_held: false, .. } => (DeadLetterState::Open, None),
                    Fate::Failed { is_held: true, .. } => (DeadLetterState::Held, settled),
                };
                entry.rank = None;
                if let Fate::Failed { partition, offset, rank, .. } = verdict.fate {
                    (entry.partition, entry.offset) = (partition, offset.max(entry.offset));
                    entry.rank = rank;
                }
                let is_known = verdict.fate == Fate::Resolved && entry.standing.state == state;
                (entry.standing.state, entry.standing.settled) = (state, settled);
                entry.changed_at = now;
                Some(entry).filter(|_| !is_known)
            });
            Ok(((), entry))
        };
        let key_of = |verdict: &Verdict| key(group, &verdict.letter);
        self.update_all(verdicts, key_of, Room::Granted, judge).await.map(drop)
    }

    /// Opens letters again whose records died once more and now lie here, of those that were settled or seemed to be on
    /// their way. One that is `redriving` stays so, since it can be sent again; one that is `held` stays held.
    pub(in crate::delivery) async fn reopen(
        &self,
        group: &GroupName,
        letters: &[DeadLetterId],
        now: Timestamp,
    ) -> Result<(), Error> {
        self.loaded().await;
        let mut known = Vec::new();
        for id in letters {
            if self.entry(group, id)?.is_some_and(|entry| entry.is_over()) {
                known.push(id.clone());
            }
        }
        if known.is_empty() {
            return Ok(());
        }
        let open = |id: &DeadLetterId, before: Option<&Entry>| {
            let entry = before.filter(|entry| entry.is_over()).cloned().map(|mut entry| {
                (entry.partition, entry.offset) = (id.partition(), id.offset());
                (entry.standing.state, entry.standing.settled) = (DeadLetterState::Open, None);
                entry.changed_at = now;
                entry
            });
            Ok(((), entry))
        };
        self.update_all(&known, |id| key(group, id.name()), Room::Granted, open).await.map(drop)
    }

    /// Whether a letter needs no delivery any more.
    pub(in crate::delivery) fn is_done(&self, group: &GroupName, letter: &DeadLetterId) -> bool {
        self.read(group, letter).is_ok_and(|standing| match standing.state {
            DeadLetterState::Resolved | DeadLetterState::Discarded => true,
            DeadLetterState::Open
            | DeadLetterState::Redriving
            | DeadLetterState::Redriven
            | DeadLetterState::Held => false,
        })
    }
}

impl Entry {
    /// Whether its letter is on its way back to its group.
    pub(super) const fn is_away(&self) -> bool {
        match self.standing.state {
            DeadLetterState::Redriving | DeadLetterState::Redriven => true,
            DeadLetterState::Open
            | DeadLetterState::Resolved
            | DeadLetterState::Discarded
            | DeadLetterState::Held => false,
        }
    }

    /// Whether nobody would look at its letter or send it again.
    const fn is_over(&self) -> bool {
        match self.standing.state {
            DeadLetterState::Redriven | DeadLetterState::Resolved | DeadLetterState::Discarded => true,
            DeadLetterState::Open | DeadLetterState::Redriving | DeadLetterState::Held => false,
        }
    }
}
