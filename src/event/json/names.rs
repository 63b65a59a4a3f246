//! The names an object has had so far, to notice a repeated one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::BuildHasher;

use super::Value;

/// Above this many members a keyed hash decides, which a sender cannot steer; below, a filter of 256 bits does,
/// and at worst each name is compared with these few.
const PLAIN_MAX: usize = 32;

/// What is remembered of an object's names.
#[derive(Default)]
pub(super) struct Names {
    filter: [u64; 4],
    hashes: Option<HashSet<u64>>,
}

impl Names {
    /// Whether `name` is among the members before it; remembers it.
    pub(super) fn is_repeated(&mut self, name: &str, before: &[(Cow<'_, str>, Value<'_>)]) -> bool {
        let is_suspect =
            if before.len() < PLAIN_MAX { self.is_marked(name) } else { self.is_hashed(name, before) };
        is_suspect && before.iter().any(|(have, _)| have == name)
    }

    fn is_marked(&mut self, name: &str) -> bool {
        let bytes = name.as_bytes();
        let at = |index: usize| bytes.get(index).map_or(0, |&byte| usize::from(byte));
        let length = bytes.len();
        let mark = at(0) * 7 + at(length / 2) * 31 + at(length.saturating_sub(1)) * 61 + length * 17;
        let bit = 1_u64 << (mark & 63);
        let Some(word) = self.filter.get_mut((mark >> 6) & 3) else { return true };
        let is_marked = *word & bit != 0;
        *word |= bit;
        is_marked
    }

    fn is_hashed(&mut self, name: &str, before: &[(Cow<'_, str>, Value<'_>)]) -> bool {
        let hashes = self.hashes.get_or_insert_with(|| {
            let mut hashes = HashSet::with_capacity(2 * before.len());
            for (have, _) in before {
                let hash = hashes.hasher().hash_one(have.as_ref());
                hashes.insert(hash);
            }
            hashes
        });
        let hash = hashes.hasher().hash_one(name);
        !hashes.insert(hash)
    }
}
