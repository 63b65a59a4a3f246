//! What comes behind the end that a redrive was given, of keys that are parked: it goes back as well, until the key is
//! released. Otherwise a key with steady traffic, each of whose events becomes a letter, would stay parked for ever.
//!
//! ```text
//! part ── its end ── tail ── parked keys? ─┬─ none that can be released ── gone
//!                      ▲                   └─ letters behind its place ── a late part ─┐
//!                      └───────────────────────────────────────────────────────────────┘
//! ```
//! While there is a tail the gateway that has the source partition may let new events of those keys wait, so that there
//! is a last letter ([`Closing`]). Only letters that were never sent back go: what died again is for a person.

use std::collections::HashSet;

use crate::event::{GroupName, Offset, Partition, Record, Topic};

use super::super::super::Error;
use super::super::super::burial::key_of;
use super::super::super::jobs::Book;
use super::super::super::key_hash::KeyHash;
use super::super::super::shared::Shared;
use super::super::entry::Entry;
use super::super::parked::Place;
use super::super::{DeadLetterState, letter};
use super::job::{Job, Part, Redrive};

/// A partition that came to its end, where letters of parked keys may have come since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Tail {
    /// The place of its source topic among the job's topics.
    #[serde(rename = "t")]
    pub(super) topic: usize,
    #[serde(rename = "p")]
    pub(super) partition: Partition,
    /// Where the partition ended when the redrive was asked for.
    #[serde(rename = "e")]
    end: Offset,
    /// All before it was looked at.
    #[serde(rename = "o")]
    pub(super) next: Offset,
}

/// The parked keys of a partition that a redrive is about to settle all letters of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) struct Closing {
    /// Only this one, where it means one alone.
    key: Option<KeyHash>,
    end: Offset,
    next: Offset,
}

/// What of a late part goes back.
#[derive(Debug)]
pub(super) struct Late<'l> {
    shared: &'l Shared,
    group: &'l GroupName,
    partition: Partition,
    keys: HashSet<KeyHash>,
}

/// What the redrive of a group that runs does for parked keys, by source partition.
pub(in crate::delivery) fn closings(shared: &Shared, group: &GroupName) -> Vec<(Topic, Partition, Closing)> {
    let running = Book::<Job>::open(&shared.states).ok().and_then(|book| book.running(group));
    let Some(job) = running else { return Vec::new() };
    let closings = job.tails().iter().filter_map(|tail| {
        let topic = job.told.topics.get(tail.topic)?.clone();
        Some((topic, tail.partition, tail.closing(&job.told)))
    });
    closings.collect()
}

impl Tail {
    /// Of a part that has come to its end.
    pub(super) const fn of(part: &Part) -> Self {
        Self { topic: part.topic, partition: part.partition, end: part.end, next: part.end }
    }

    pub(super) fn is_of(&self, part: &Part) -> bool {
        (self.topic, self.partition) == (part.topic, part.partition)
    }

    /// What came since, up to an offset.
    pub(super) const fn up_to(&self, end: Offset) -> Part {
        let Self { topic, partition, next, .. } = *self;
        Part { topic, partition, next, end, only: None, is_late: true }
    }

    pub(super) fn closing(&self, told: &Redrive) -> Closing {
        let key = told.filter.as_ref().and_then(|filter| filter.key.as_ref());
        Closing { key: key.map(|key| KeyHash::of(key.as_bytes())), end: self.end, next: self.next }
    }
}

impl Closing {
    /// Whether a key is meant whose first letter is this one: it was parked when the redrive was asked for.
    pub(in crate::delivery) fn takes(&self, key: KeyHash, first: Offset) -> bool {
        first < self.end && self.key.is_none_or(|only| only == key)
    }

    /// Whether a letter there that is not settled will be without anybody's doing: it is on its way, or goes.
    pub(in crate::delivery::dead_letters) fn is_going(&self, entry: Option<&Entry>, at: Offset) -> bool {
        let Some(entry) = entry else { return at >= self.next };
        match entry.standing.state {
            DeadLetterState::Open => at >= self.next && entry.rank.is_none(),
            DeadLetterState::Held => false,
            DeadLetterState::Redriving
            | DeadLetterState::Redriven
            | DeadLetterState::Resolved
            | DeadLetterState::Discarded => true,
        }
    }
}

impl<'l> Late<'l> {
    /// Letters of these keys; of all that are meant, where it is not known yet which can be released.
    pub(super) fn of(
        shared: &'l Shared,
        place: Place<'l>,
        closing: &Closing,
        keys: Option<HashSet<KeyHash>>,
    ) -> Result<Self, Error> {
        let keys = match keys {
            Some(keys) => keys,
            None => {
                let parked = shared.states.parked(place)?.into_iter();
                parked.filter(|one| closing.takes(one.key, one.entry.letter)).map(|one| one.key).collect()
            }
        };
        Ok(Self { shared, group: place.group, partition: place.partition, keys })
    }

    /// Whether a record is a letter of them that was never sent back.
    pub(super) fn takes(&self, record: &Record) -> Result<bool, Error> {
        let is_new = record.headers.last_text("weirgate-dlq-redrives").is_none_or(|count| count == "0");
        if !is_new || !key_of(record).is_some_and(|key| self.keys.contains(&key)) {
            return Ok(false);
        }
        let Some(id) = letter::id_of(record, self.partition) else { return Ok(false) };
        Ok(self.shared.states.entry(self.group, &id)?.is_none_or(|entry| entry.rank.is_none()))
    }
}
