//! What became of dead letters: a table that all gateways share, in which a letter without an entry is open.
//!
//! All entries together have a bound in bytes, each its share of notes; whatever would make the table larger than that is
//! refused. Parked keys have room of their own.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::SetOnce;
use tokio::task::yield_now;

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};
use crate::log::{Draft, Size, Table};

use super::super::Error;
use super::DeadLetterId;
use super::entry::{Entry, key, parse, prefix_of, written};
use super::standing::{DeadLetterState, Note, Settled, Standing};

/// Where states lie.
pub(super) const TABLE: &str = "_weirgate.dead_letters";
/// The longest note.
const NOTE_BYTES_MAX: usize = 4 << 10;
/// Entries looked at before others get their turn.
const STEP: usize = 500;
/// Notes of one letter.
const NOTES_MAX: usize = 20;

/// Which letter is to be changed, who wants it, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'c> {
    pub(super) group: &'c GroupName,
    /// The source topic.
    pub(super) topic: &'c Topic,
    pub(super) id: &'c DeadLetterId,
    pub(super) by: &'c str,
    pub(super) now: Timestamp,
}

/// Whether changes of entries count against their bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// They do: what would make the table larger than that is refused.
    Bounded,
    /// They do not: the entries are there already and grow by little, and whoever changes them cannot do without.
    Granted,
}

/// The states of all groups' letters, from when the table is read.
#[derive(Debug)]
pub(in crate::delivery) struct States {
    table: SetOnce<Table>,
    bytes_max: usize,
    parked_keys_max: usize,
}

impl States {
    pub(in crate::delivery) const fn new(bytes_max: usize, parked_keys_max: usize) -> Self {
        Self { table: SetOnce::const_new(), bytes_max, parked_keys_max }
    }

    /// Whether the table is read.
    pub(in crate::delivery) fn are_loaded(&self) -> bool {
        self.table.get().is_some()
    }

    pub(super) fn load(&self, table: Table) {
        // There is one keeper, and it opens the table once.
        drop(self.table.set(table));
    }

    /// The table, when it is read.
    pub(super) async fn loaded(&self) -> &Table {
        self.table.wait().await
    }

    /// How many letters of a group's topic are no longer open, of those whose record lies at or behind one of `places`.
    pub(super) async fn settled_behind(
        &self,
        group: &GroupName,
        topic: &Topic,
        places: &BTreeMap<Partition, Offset>,
    ) -> Result<u64, Error> {
        let (table, prefix) = (self.table()?, prefix_of(group));
        let (mut count, mut after) = (0, None);
        loop {
            let some = table.page(prefix.as_bytes(), after.as_deref(), STEP);
            let entries = some.iter().filter_map(|(_, value)| parse(value));
            let is_meant = |entry: &Entry| {
                let from = places.get(&entry.partition);
                entry.standing.state != DeadLetterState::Open
                    && entry.topic == *topic
                    && from.is_some_and(|from| entry.offset >= *from)
            };
            count += u64::try_from(entries.filter(is_meant).count()).unwrap_or(0);
            let Some((last, _)) = some.into_iter().last() else { return Ok(count) };
            after = Some(last);
            yield_now().await;
        }
    }

    /// How a letter stands.
    pub(super) fn read(&self, group: &GroupName, id: &DeadLetterId) -> Result<Standing, Error> {
        Ok(self.entry(group, id)?.map(|entry| entry.standing).unwrap_or_default())
    }

    /// What is known of a letter, where something is.
    pub(super) fn entry(&self, group: &GroupName, id: &DeadLetterId) -> Result<Option<Entry>, Error> {
        let stored = self.table()?.read(&key(group, id.name()));
        Ok(stored.and_then(|stored| parse(&stored)))
    }

    /// Declares a letter unneeded; once more is no change.
    pub(super) async fn discard(&self, change: Change<'_>) -> Result<Standing, Error> {
        self.update(change, |standing| match standing.state {
            DeadLetterState::Open | DeadLetterState::Held => {
                standing.state = DeadLetterState::Discarded;
                standing.settled = Some(Settled { at: change.now, by: change.by.to_owned() });
                Ok(())
            }
            DeadLetterState::Discarded => Ok(()),
            DeadLetterState::Redriving | DeadLetterState::Redriven | DeadLetterState::Resolved => {
                Err(Error::DeadLetterSettled { state: standing.state, wanted: "discarded" })
            }
        })
        .await
    }

    /// Adds a note; the same as the last one, by the same person, is no change, so that it can be sent again.
    pub(super) async fn annotate(&self, change: Change<'_>, text: &str) -> Result<Standing, Error> {
        let text = text.trim();
        if text.is_empty() || text.len() > NOTE_BYTES_MAX {
            return Err(Error::InvalidNote(format!(
                "has 1 to {NOTE_BYTES_MAX} bytes that are no white space"
            )));
        }
        self.update(change, |standing| {
            if standing.notes.last().is_some_and(|last| last.text == text && last.by == change.by) {
                return Ok(());
            }
            if standing.notes.len() >= NOTES_MAX {
                return Err(Error::DeadLettersFull(format!("the letter has {NOTES_MAX} notes already")));
            }
            standing.notes.push(Note { at: change.now, by: change.by.to_owned(), text: text.to_owned() });
            Ok(())
        })
        .await
    }

    /// Changes a letter's entry as `decide` does to how it stands, on top of what all gateways wrote before.
    async fn update(
        &self,
        change: Change<'_>,
        decide: impl Fn(&mut Standing) -> Result<(), Error>,
    ) -> Result<Standing, Error> {
        let update = |_: &(), before: Option<&Entry>| {
            let was = before.map(|entry| entry.standing.clone()).unwrap_or_default();
            let mut standing = was.clone();
            decide(&mut standing)?;
            if standing == was {
                return Ok((standing, None));
            }
            let place = newest(change.id, before);
            let is_discarded = standing.state == DeadLetterState::Discarded;
            let rank = before.and_then(|entry| entry.rank).filter(|_| !is_discarded);
            let entry = Entry { rank, ..Entry::at(place, change.topic, change.now, standing.clone()) };
            Ok((standing, Some(entry)))
        };
        let key_of = |(): &()| key(change.group, change.id.name());
        let standings = self.update_all(&[()], key_of, Room::Bounded, update).await?;
        standings.into_iter().next().ok_or(Error::UnknownDeadLetter)
    }

    /// Changes entries together as `decide` says for each, on top of what all gateways wrote before: what it answers, and
    /// the entry as it is to be, where that changes.
    pub(super) async fn update_all<C, T>(
        &self,
        changes: &[C],
        key_of: impl Fn(&C) -> Bytes,
        room: Room,
        decide: impl Fn(&C, Option<&Entry>) -> Result<(T, Option<Entry>), Error>,
    ) -> Result<Vec<T>, Error> {
        let update = |draft: &mut Draft<'_>| {
            let mut bytes = taken(draft.size());
            let mut answers = Vec::with_capacity(changes.len());
            for change in changes {
                let key = key_of(change);
                let stored = draft.read(&key);
                let (answer, entry) = decide(change, stored.as_deref().and_then(parse).as_ref())?;
                answers.push(answer);
                let Some(entry) = entry else { continue };
                let value = written(&entry)?;
                let freed = stored.map_or(0, |stored| draft.weight(&key, &stored));
                let added = draft.weight(&key, &value);
                bytes = bytes.saturating_sub(freed) + added;
                if added > freed && bytes > self.bytes_max && room == Room::Bounded {
                    return Err(self.full());
                }
                draft.write(key, Some(value));
            }
            Ok(answers)
        };
        self.table()?.update(update).await
    }

    fn full(&self) -> Error {
        let bytes_max = self.bytes_max;
        Error::DeadLettersFull(format!(
            "what is known of dead letters would take more than {bytes_max} bytes (dead_letters.states_bytes_max)"
        ))
    }

    /// Refuses what would make the table much larger than it may be. A job may begin where it has to wait for room.
    pub(in crate::delivery) fn require_room(&self, draft: &Draft<'_>, added: usize) -> Result<(), Error> {
        let bytes_max = self.bytes_max.saturating_add(self.bytes_max / 8);
        if taken(draft.size()) + added > bytes_max { Err(self.full()) } else { Ok(()) }
    }

    /// The most that what is known of letters may take.
    pub(super) const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Whether a group may have so many parked keys, and those of all groups so many bytes: they have half as much room
    /// again as letters, and of their own, so that letters that are settled keep no key from being parked.
    pub(super) fn check_parked(&self, count: usize, bytes: usize) -> Result<(), Error> {
        let count_max = self.parked_keys_max;
        if count > count_max {
            return Err(Error::DeadLettersFull(format!(
                "the group has {count_max} parked keys already (dead_letters.parked_keys_max)"
            )));
        }
        let bytes_max = self.bytes_max / 2;
        if bytes > bytes_max {
            return Err(Error::DeadLettersFull(format!(
                "the parked keys of all groups would take more than {bytes_max} bytes, half of dead_letters.states_bytes_max"
            )));
        }
        Ok(())
    }

    pub(in crate::delivery) fn table(&self) -> Result<&Table, Error> {
        self.table.get().ok_or(Error::NotLoaded)
    }
}

/// Where the newest record of a letter lies, of the one asked for and the one that was known.
fn newest(id: &DeadLetterId, before: Option<&Entry>) -> (Partition, Offset) {
    let known = before.filter(|entry| entry.is_newer_than(id));
    (id.partition(), known.map_or_else(|| id.offset(), |entry| entry.offset))
}

/// What all but parked keys takes.
pub(super) const fn taken(size: Size) -> usize {
    size.bytes.saturating_sub(size.bytes_apart)
}
