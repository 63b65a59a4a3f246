//! A letter's entry in the table of states, and its key there.
//!
//! An entry says where a record of its letter lies, so that it can go when that has gone.

use bytes::Bytes;

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};

use super::super::Error;
use super::super::redrive::Rank;
use super::{DeadLetterId, Standing};

/// Keys of letters; redrives and parked keys have theirs.
pub(super) const KEY_PREFIX: &str = "letter/";

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
    /// Of a letter that died again, where later ones of its key are not to pass it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rank: Option<Rank>,
    #[serde(flatten)]
    pub(super) standing: Standing,
}

impl Entry {
    pub(super) fn at(
        (partition, offset): (Partition, Offset),
        topic: &Topic,
        changed_at: Timestamp,
        standing: Standing,
    ) -> Self {
        Self { topic: topic.clone(), partition, offset, changed_at, rank: None, standing }
    }

    /// Whether it knows of a later record of the letter than that of this id.
    pub(super) fn is_newer_than(&self, id: &DeadLetterId) -> bool {
        self.partition == id.partition() && self.offset > id.offset()
    }

    /// The id by that later record.
    pub(super) fn newer_than(&self, id: &DeadLetterId) -> Option<DeadLetterId> {
        let newer = DeadLetterId::new(id.name(), self.partition, self.offset);
        newer.filter(|_| self.is_newer_than(id))
    }
}

/// What the keys of a group's letters begin with.
pub(super) fn prefix_of(group: &GroupName) -> String {
    format!("{KEY_PREFIX}{group}/")
}

/// The key of the entry of a letter of this name.
pub(super) fn key(group: &GroupName, name: &str) -> Bytes {
    format!("{}{name}", prefix_of(group)).into()
}

/// The group of an entry.
pub(super) fn group_of(key: &[u8]) -> Option<GroupName> {
    let (group, _) = std::str::from_utf8(key).ok()?.strip_prefix(KEY_PREFIX)?.split_once('/')?;
    GroupName::parse(group).ok()
}

/// An entry as it lies in the table.
pub(super) fn written(entry: &Entry) -> Result<Bytes, Error> {
    let written = serde_json::to_vec(entry).map_err(|error| Error::InvalidNote(error.to_string()))?;
    Ok(written.into())
}

/// Reads an entry; one that a later version wrote otherwise counts as none.
pub(super) fn parse(stored: &[u8]) -> Option<Entry> {
    let entry = serde_json::from_slice(stored);
    entry.inspect_err(|error| tracing::warn!(%error, "what is known of a dead letter cannot be read")).ok()
}
