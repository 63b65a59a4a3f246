//! How ids become few keys: many at once have one of their own. So have few, for a while: once there are enough of
//! them all become one, and theirs are removed.
//!
//! So few keys are live, whatever the rate, each is written once, and each id at most twice.

use bytes::Bytes;

use super::super::identity::Stored;
use super::ids::{ENTRIES_MAX, encode};

/// Fewer than this are joined with others later.
const MANY: usize = 256;
/// So many keys of few ids there are at most.
const FEWS_MAX: usize = 64;

/// The next keys of one life of a gateway.
#[derive(Debug)]
pub(super) struct Batches {
    prefix: String,
    next: u64,
    /// The keys of few ids, and all that lies under them.
    fews: Vec<Bytes>,
    few: Vec<Stored>,
}

impl Batches {
    pub(super) const fn new(prefix: String) -> Self {
        Self { prefix, next: 0, fews: Vec::new(), few: Vec::new() }
    }

    /// The keys that tell of these ids, and those that are no longer needed then, in the order to be written in.
    pub(super) fn cut(&mut self, stored: &[Stored]) -> Vec<(Bytes, Option<Bytes>)> {
        let mut changes = Vec::new();
        for part in stored.chunks(ENTRIES_MAX) {
            let key = self.key();
            changes.push((key.clone(), Some(encode(part))));
            if part.len() >= MANY {
                continue;
            }
            self.fews.push(key);
            self.few.extend_from_slice(part);
            if self.fews.len() == FEWS_MAX || self.few.len() > ENTRIES_MAX - MANY {
                let few = std::mem::take(&mut self.few);
                changes.push((self.key(), Some(encode(&few))));
                changes.extend(self.fews.drain(..).map(|key| (key, None)));
            }
        }
        changes
    }

    fn key(&mut self) -> Bytes {
        let key = format!("{}{}", self.prefix, self.next);
        self.next += 1;
        Bytes::from(key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::proptest;

    use super::super::super::identity::{EventKey, Fingerprint, Place, Stored};
    use super::super::ids::{ENTRIES_MAX, decode};
    use super::{Batches, FEWS_MAX};
    use crate::event::{Offset, Partition, Timestamp};

    fn stored(number: u64) -> Stored {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&number.to_le_bytes());
        let timestamp = Timestamp::from_millis(0);
        let place = Place { partition: Partition::new(0), offset: Offset::new(number), timestamp };
        Stored { key: EventKey::from_bytes(key), fingerprint: Fingerprint::from_bytes([0; 16]), place }
    }

    fn offsets(value: &Bytes) -> impl Iterator<Item = u64> {
        let stored: Vec<Stored> = decode(value).unwrap().collect();
        assert!(stored.len() <= ENTRIES_MAX);
        stored.into_iter().map(|stored| stored.place.offset.number())
    }

    proptest! {
        #[test]
        fn all_that_was_told_is_always_under_few_keys(counts in vec(1..3_000_u64, 1..100)) {
            let (mut batches, mut live, mut told) = (Batches::new("ids/run/".to_owned()), BTreeMap::new(), 0);
            let (mut keys, mut written) = (BTreeSet::new(), 0);
            for count in counts {
                // Mostly few.
                let count = if count > 100 { count % 7 + 1 } else { count * 15 };
                let new: Vec<Stored> = (told..told + count).map(stored).collect();
                told += count;
                for (key, value) in batches.cut(&new) {
                    let Some(value) = value else {
                        assert!(live.remove(&key).is_some());
                        continue;
                    };
                    written += offsets(&value).count() as u64;
                    assert!(keys.insert(key.clone()), "a key is written once");
                    live.insert(key, value);
                }
            }
            let known: BTreeSet<u64> = live.values().flat_map(offsets).collect();
            assert_eq!(known.len() as u64, told);
            assert!(written <= 2 * told);
            let enough = FEWS_MAX as u64 + 1 + told / FEWS_MAX as u64;
            assert!(live.len() as u64 <= enough, "{} keys for {told} ids", live.len());
        }
    }
}
