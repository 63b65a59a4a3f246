//! Which letters of a dead-letter topic a redrive means.

use std::collections::HashSet;

use crate::event::{GroupName, Partition, Record, Topic};

use super::super::super::Error;
use super::super::super::redrive::Letter;
use super::super::super::shared::Shared;
use super::super::{DeadLetterFilter, DeadLetterState, letter};
use super::Redrive;
use super::tail::Late;

/// Picks letters. What it says is as of now: a letter may be settled before it is sent.
#[derive(Debug)]
pub(super) struct Pick<'p> {
    shared: &'p Shared,
    group: &'p GroupName,
    /// `None` where letters are named one by one.
    filter: Option<&'p DeadLetterFilter>,
    late: Option<&'p Late<'p>>,
}

/// What became of those records that were not picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// It is not meant.
    Unmeant,
    /// It was named, and is in a state from which it does not go back.
    Settled,
}

impl<'p> Pick<'p> {
    pub(super) const fn new(
        shared: &'p Shared,
        group: &'p GroupName,
        filter: Option<&'p DeadLetterFilter>,
    ) -> Self {
        Self { shared, group, filter, late: None }
    }

    pub(super) const fn of(shared: &'p Shared, redrive: &'p Redrive) -> Self {
        Self::new(shared, &redrive.group, redrive.filter.as_ref())
    }

    /// Of these alone, where only late ones are meant.
    pub(super) const fn within(self, late: Option<&'p Late<'p>>) -> Self {
        Self { late, ..self }
    }

    /// The letter of a record, where it is meant and not among those `seen`.
    pub(super) fn letter(
        &self,
        source: &Topic,
        partition: Partition,
        record: &Record,
        seen: &mut HashSet<Box<str>>,
    ) -> Result<Result<Letter, Passed>, Error> {
        let is_meant = self.filter.is_none_or(|filter| filter.takes(self.shared, source, record));
        let Some(id) = letter::id_of(record, partition).filter(|_| is_meant) else {
            return Ok(Err(Passed::Unmeant));
        };
        if let Some(late) = self.late
            && !late.takes(record)?
        {
            return Ok(Err(Passed::Unmeant));
        }
        let entry = self.shared.states.entry(self.group, &id)?;
        if entry.as_ref().is_some_and(|entry| entry.is_newer_than(&id)) {
            // It went back and died once more; its later record stands for it.
            return Ok(Err(Passed::Unmeant));
        }
        if !self.goes(entry.map(|entry| entry.standing.state).unwrap_or_default()) {
            return Ok(Err(if self.filter.is_some() { Passed::Unmeant } else { Passed::Settled }));
        }
        if !seen.insert(id.name().into()) {
            return Ok(Err(Passed::Unmeant));
        }
        Ok(Ok(Letter { id, topic: source.clone(), record: record.clone() }))
    }

    /// Whether letters in a state are sent back.
    fn goes(&self, state: DeadLetterState) -> bool {
        match state {
            DeadLetterState::Held => self.takes_held(),
            // A gateway that died may have left it so; to send it once more is harmless.
            DeadLetterState::Open | DeadLetterState::Redriving => {
                self.filter.is_none_or(|filter| filter.state != Some(DeadLetterState::Held))
            }
            DeadLetterState::Redriven | DeadLetterState::Resolved | DeadLetterState::Discarded => false,
        }
    }

    /// Whether somebody asked for letters that are held for a person.
    pub(super) fn takes_held(&self) -> bool {
        self.filter.is_none_or(|filter| filter.state == Some(DeadLetterState::Held))
    }
}
