//! What a table holds: the latest value of each key, how much that is, and what changed last.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

/// So many changes are remembered by key.
const RECENT_MAX: usize = 4_096;

/// How much a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Live keys.
    pub entries: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

/// The entries of a table.
#[derive(Debug, Default)]
pub(super) struct Entries {
    by_key: BTreeMap<Bytes, Bytes>,
    /// Bytes of all keys and values.
    bytes: usize,
    /// How often an entry changed.
    changed: u64,
    /// The keys of the last changes, oldest first.
    recent: VecDeque<Bytes>,
}

impl Entries {
    /// Takes a change over. It is copied, since a slice would keep the whole batch it was read in.
    pub(super) fn change(&mut self, key: &[u8], value: Option<&[u8]>) {
        let key = Bytes::copy_from_slice(key);
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(key.clone());
        self.changed += 1;
        let key_bytes = key.len();
        let before = match value {
            Some(value) => {
                self.bytes += key_bytes + value.len();
                self.by_key.insert(key, Bytes::copy_from_slice(value))
            }
            None => self.by_key.remove(&key),
        };
        self.bytes -= before.map_or(0, |before| key_bytes + before.len());
    }

    pub(super) fn read(&self, key: &[u8]) -> Option<Bytes> {
        self.by_key.get(key).cloned()
    }

    /// All entries by key.
    pub(super) fn all(&self) -> impl Iterator<Item = (Bytes, Bytes)> {
        self.by_key.iter().map(|(key, value)| (key.clone(), value.clone()))
    }

    /// The entries whose keys begin with `prefix`, by key.
    pub(super) fn below(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        let from = self.by_key.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    pub(super) fn size(&self) -> Size {
        Size { entries: self.by_key.len(), bytes: self.bytes }
    }

    /// How often an entry changed.
    pub(super) const fn changed(&self) -> u64 {
        self.changed
    }

    /// The keys that changed since [`Self::changed`] was `since`; `None` where that were more than are remembered.
    pub(super) fn changed_since(&self, since: u64) -> Option<Vec<Bytes>> {
        let missing = usize::try_from(self.changed.checked_sub(since)?).ok()?;
        let from = self.recent.len().checked_sub(missing)?;
        Some(self.recent.range(from..).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Entries, RECENT_MAX};

    #[test]
    fn of_many_changes_the_last_are_remembered() {
        let mut entries = Entries::default();
        let key = |number: usize| number.to_string();
        let last = RECENT_MAX + 1;
        for number in 0..=last {
            entries.change(key(number).as_bytes(), None);
        }
        let since = |changes: usize| entries.changed_since(u64::try_from(changes).unwrap());
        assert_eq!(since(1), None);
        assert_eq!(since(2).map(|keys| keys.len()), Some(RECENT_MAX));
        assert_eq!(since(last), Some(vec![key(last).into()]));
        assert_eq!(since(last + 1), Some(vec![]));
        assert_eq!(since(last + 2), None, "of another table");
    }
}
