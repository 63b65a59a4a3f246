//! What became of dead letters: a table that all gateways share, in which a letter without an entry is open.
//!
//! An entry says where a record of its letter lies, so that it can go when that has gone. All entries together have a
//! bound in bytes, each its share of notes; whatever would make the table larger than that is refused.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};
use crate::log::{Draft, Table};

use super::super::Error;
use super::DeadLetterId;

/// Where states lie.
pub(super) const TABLE: &str = "_weirgate.dead_letters";
/// Keys of letters; other kinds of entries come with later parts.
pub(super) const KEY_PREFIX: &str = "letter/";
/// The longest note.
const NOTE_BYTES_MAX: usize = 4 << 10;
/// Notes of one letter.
const NOTES_MAX: usize = 20;

/// What became of a dead letter.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterState {
    /// Nothing yet.
    #[default]
    Open,
    /// It is on its way back to its group.
    Redriving,
    /// Its group has it again and has not settled it.
    Redriven,
    /// Its group acknowledged it after all.
    Resolved,
    /// Somebody decided that it is not needed.
    Discarded,
    /// It failed too often to be redriven without a person's look.
    Held,
}

impl DeadLetterState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Redriving, Self::Redriven, Self::Resolved, Self::Discarded, Self::Held];

    /// Its name in answers and filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriving => "redriving",
            Self::Redriven => "redriven",
            Self::Resolved => "resolved",
            Self::Discarded => "discarded",
            Self::Held => "held",
        }
    }
}

/// A note that a person wrote to a letter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// How a letter left the open ones.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    /// When.
    #[serde(rename = "settledAt")]
    pub at: Timestamp,
    /// Who decided it.
    #[serde(rename = "settledBy")]
    pub by: String,
}

/// All that is known of a letter beside its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// What became of it.
    pub state: DeadLetterState,
    /// Since when it is no longer open, and who decided that.
    #[serde(flatten)]
    pub settled: Option<Settled>,
    /// What people wrote to it, the oldest first.
    #[serde(default)]
    pub notes: Vec<Note>,
}

/// An entry of the table.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// The source topic; with the key's group it names the dead-letter topic.
    pub(super) topic: Topic,
    /// A record of the letter in that.
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    /// When the entry was written last.
    pub(super) changed_at: Timestamp,
    #[serde(flatten)]
    pub(super) standing: Standing,
}

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

/// The states of all groups' letters, from when the table is read.
#[derive(Debug)]
pub(in crate::delivery) struct States {
    table: OnceLock<Table>,
    bytes_max: usize,
}

impl States {
    pub(in crate::delivery) const fn new(bytes_max: usize) -> Self {
        Self { table: OnceLock::new(), bytes_max }
    }

    /// Whether the table is read.
    pub(in crate::delivery) fn are_loaded(&self) -> bool {
        self.table.get().is_some()
    }

    pub(super) fn load(&self, table: Table) -> &Table {
        self.table.get_or_init(|| table)
    }

    /// How a letter stands.
    pub(super) fn read(&self, group: &GroupName, id: &DeadLetterId) -> Result<Standing, Error> {
        let stored = self.table()?.read(&key(group, id));
        Ok(stored.and_then(|stored| parse(&stored)).map(|entry| entry.standing).unwrap_or_default())
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
                Err(Error::DeadLetterSettled(standing.state))
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
        let key = key(change.group, change.id);
        let update = |draft: &mut Draft<'_>| {
            let stored = draft.read(&key);
            let before = stored.as_deref().and_then(parse).map(|entry| entry.standing).unwrap_or_default();
            let mut standing = before.clone();
            decide(&mut standing)?;
            if standing == before {
                return Ok(standing);
            }
            let entry = Entry {
                topic: change.topic.clone(),
                partition: change.id.partition(),
                offset: change.id.offset(),
                changed_at: change.now,
                standing,
            };
            let value = serde_json::to_vec(&entry).map_err(|error| Error::InvalidNote(error.to_string()))?;
            let freed = stored.map_or(0, |stored| key.len() + stored.len());
            let bytes = draft.size().bytes.saturating_sub(freed) + key.len() + value.len();
            if bytes > self.bytes_max {
                let bytes_max = self.bytes_max;
                return Err(Error::DeadLettersFull(format!(
                    "what is known of dead letters would take more than {bytes_max} bytes (dead_letters.states_bytes_max)"
                )));
            }
            draft.write(key.clone(), Some(value.into()));
            Ok(entry.standing)
        };
        self.table()?.update(update).await
    }

    fn table(&self) -> Result<&Table, Error> {
        self.table.get().ok_or(Error::NotLoaded)
    }
}

/// The key of a letter's entry.
fn key(group: &GroupName, id: &DeadLetterId) -> Bytes {
    format!("{KEY_PREFIX}{group}/{}", id.name()).into()
}

/// The group of an entry.
pub(super) fn group_of(key: &[u8]) -> Option<GroupName> {
    let (group, _) = std::str::from_utf8(key).ok()?.strip_prefix(KEY_PREFIX)?.split_once('/')?;
    GroupName::parse(group).ok()
}

/// Reads an entry; one that a later version wrote otherwise counts as none.
pub(super) fn parse(stored: &[u8]) -> Option<Entry> {
    let entry = serde_json::from_slice(stored);
    entry.inspect_err(|error| tracing::warn!(%error, "what is known of a dead letter cannot be read")).ok()
}
