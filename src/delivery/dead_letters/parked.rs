//! Parked keys in the table of dead letters: an entry for each, however many letters it has.
//!
//! ```text
//! parked/{group}/{topic}/{partition}/{hash of the key}   its first letter, and its first record that is dead
//! parking/{group}/{topic}/{partition}                    who read those last, to serve the partition
//! ```
//! Whoever gets a partition reads its parked keys and leaves its mark. Only under that mark a key is released, so that a
//! gateway that lost the partition and does not know it yet changes nothing behind the new owner's back. Keys of topics that
//! the group no longer reads go in [`unread`](super::unread).

use bytes::Bytes;

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};
use crate::log::Draft;

use super::super::Error;
use super::super::key_hash::KeyHash;
use super::States;

/// What the keys of both begin with: they have room of their own in the table.
pub(super) const APART: &str = "park";
/// Keys of parked keys; partitions that have some have marks.
pub(super) const KEYS_PREFIX: &str = "parked/";
const MARKS_PREFIX: &str = "parking/";

/// A partition of a group's topic.
#[derive(Debug, Clone, Copy)]
pub(in crate::delivery) struct Place<'p> {
    pub(in crate::delivery) group: &'p GroupName,
    /// The source topic.
    pub(in crate::delivery) topic: &'p Topic,
    pub(in crate::delivery) partition: Partition,
}

/// A key that is to be parked.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct NewPark {
    pub(in crate::delivery) topic: Topic,
    pub(in crate::delivery) partition: Partition,
    pub(in crate::delivery) key: KeyHash,
    /// Where its letter lies.
    pub(in crate::delivery) letter: Offset,
    /// The record that is dead.
    pub(in crate::delivery) from: u64,
}

/// An entry of the table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// The key's first letter that is not settled lies here or later.
    pub(super) letter: Offset,
    /// Records of the key from this one on are not tried.
    from: u64,
    /// How often it was written: no two writings are equal.
    times: u32,
    pub(super) changed_at: Timestamp,
}

/// A parked key as it was read.
#[derive(Debug, Clone)]
pub(super) struct ParkedKey {
    pub(super) key: KeyHash,
    pub(super) entry: Entry,
    /// The entry as it lies in the table.
    pub(super) value: Bytes,
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Unparked {
    /// It is durable.
    Released,
    /// The key was parked once more meanwhile.
    Changed,
    /// Somebody else read the partition's parked keys meanwhile.
    NotOurs,
}

impl States {
    /// Reads which keys of a partition are parked, and since which record, from the table read to its end; where there
    /// are some, with a mark that is the caller's alone.
    pub(in crate::delivery) async fn take_parked(
        &self,
        place: Place<'_>,
        mark: &str,
    ) -> Result<Vec<(KeyHash, u64)>, Error> {
        let read = |draft: &mut Draft<'_>| -> Result<Vec<(KeyHash, u64)>, Error> {
            let parked = all(draft.below(place.prefix().as_bytes()));
            if !parked.is_empty() {
                draft.write(place.mark(), Some(Bytes::copy_from_slice(mark.as_bytes())));
            }
            Ok(parked.into_iter().map(|parked| (parked.key, parked.entry.from)).collect())
        };
        self.table()?.update(read).await
    }

    /// Parks keys, durably, the first of them as far as there is room for more; answers how many. One that is parked
    /// already is so from the earlier of both records.
    pub(in crate::delivery) async fn park(
        &self,
        group: &GroupName,
        keys: &[NewPark],
        now: Timestamp,
    ) -> Result<usize, Error> {
        let group_prefix = format!("{KEYS_PREFIX}{group}/");
        let park = |draft: &mut Draft<'_>| {
            let mut bytes = draft.size().bytes_apart;
            let mut count = draft.below(group_prefix.as_bytes()).len();
            for (done, new) in keys.iter().enumerate() {
                let place = Place { group, topic: &new.topic, partition: new.partition };
                let key = place.key(new.key);
                let before = draft.read(&key);
                let entry = before.as_deref().and_then(parse);
                let entry = Entry {
                    letter: entry.as_ref().map_or(new.letter, |entry| entry.letter.min(new.letter)),
                    from: entry.as_ref().map_or(new.from, |entry| entry.from.min(new.from)),
                    times: entry.map_or(1, |entry| entry.times.saturating_add(1)),
                    changed_at: now,
                };
                let value =
                    serde_json::to_vec(&entry).map_err(|error| Error::InvalidNote(error.to_string()))?;
                count += usize::from(before.is_none());
                bytes += draft.weight(&key, &value);
                bytes -= before.map_or(0, |before| draft.weight(&key, &before)).min(bytes);
                match self.check_parked(count, bytes) {
                    Ok(()) => draft.write(key, Some(value.into())),
                    Err(full) if done == 0 => return Err(full),
                    Err(_) => return Ok(done),
                }
            }
            Ok(keys.len())
        };
        self.table()?.update(park).await
    }

    /// Releases a key, durably, if it is still parked as it was read and nobody else read that since.
    pub(in crate::delivery) async fn unpark(
        &self,
        place: Place<'_>,
        key: KeyHash,
        value: &Bytes,
        mark: &str,
    ) -> Result<Unparked, Error> {
        let unpark = |draft: &mut Draft<'_>| -> Result<Unparked, Error> {
            let key = place.key(key);
            match draft.read(&key) {
                // An earlier try whose outcome was unknown.
                None => return Ok(Unparked::Released),
                Some(now) if now != *value => return Ok(Unparked::Changed),
                Some(_) => {}
            }
            if draft.read(&place.mark()).is_some_and(|other| other != mark.as_bytes()) {
                return Ok(Unparked::NotOurs);
            }
            draft.write(key, None);
            if draft.below(place.prefix().as_bytes()).is_empty() {
                draft.write(place.mark(), None);
            }
            Ok(Unparked::Released)
        };
        self.table()?.update(unpark).await
    }

    /// The parked keys of a partition, as far as this gateway knows.
    pub(super) fn parked(&self, place: Place<'_>) -> Result<Vec<ParkedKey>, Error> {
        Ok(all(self.table()?.below(place.prefix().as_bytes())))
    }

    /// How many keys of a partition are parked; `None` before the table is read.
    pub(in crate::delivery) fn count_parked(&self, place: Place<'_>) -> Option<usize> {
        Some(self.table().ok()?.below(place.prefix().as_bytes()).len())
    }

    /// How often the table changed, and whether letters of a group are among what did since it had changed `since`
    /// times.
    pub(in crate::delivery) fn have_letters_changed(&self, group: &GroupName, since: u64) -> (u64, bool) {
        let Ok(table) = self.table() else { return (since, false) };
        let now = *table.changes().borrow();
        if now == since {
            return (now, false);
        }
        let prefix = super::entry::prefix_of(group);
        let changed = table.changed_since(since);
        let is_meant = |keys: Vec<Bytes>| keys.iter().any(|key| key.starts_with(prefix.as_bytes()));
        (now, changed.is_none_or(is_meant))
    }
}

/// What the keys of all that a group has parked begin with.
pub(super) fn prefixes_of(group: &GroupName) -> [String; 2] {
    [format!("{KEYS_PREFIX}{group}/"), format!("{MARKS_PREFIX}{group}/")]
}

impl Place<'_> {
    pub(super) fn prefix(&self) -> String {
        format!("{KEYS_PREFIX}{}/{}/{}/", self.group, self.topic, self.partition)
    }

    fn key(&self, key: KeyHash) -> Bytes {
        format!("{}{key}", self.prefix()).into()
    }

    pub(super) fn mark(&self) -> Bytes {
        format!("{MARKS_PREFIX}{}/{}/{}", self.group, self.topic, self.partition).into()
    }
}

fn all(entries: Vec<(Bytes, Bytes)>) -> Vec<ParkedKey> {
    let parked = entries.into_iter().filter_map(|(key, value)| {
        let (_, hash) = std::str::from_utf8(&key).ok()?.rsplit_once('/')?;
        Some(ParkedKey { key: KeyHash::parse(hash)?, entry: parse(&value)?, value })
    });
    parked.collect()
}

/// Reads an entry; one that a later version wrote otherwise counts as none.
fn parse(value: &[u8]) -> Option<Entry> {
    let entry = serde_json::from_slice(value);
    entry.inspect_err(|error| tracing::warn!(%error, "a parked key cannot be read")).ok()
}
