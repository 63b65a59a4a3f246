//! What a table holds: the latest value of each key, how much that is, and what changed last.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::packed::{Packed, Packing};

/// So many changes are remembered by key.
const RECENT_MAX: usize = 4_096;

/// What holding an entry takes beside its key and value, about: two handles in a tree, and two allocations.
pub const ENTRY_BYTES: usize = 128;

/// How a table is held in memory, where that is other than key by key.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Entries of one kind that are held in few bytes each.
    pub packing: Option<Arc<dyn Packing>>,
    /// What the keys of one kind begin with whose size is known by itself.
    pub apart: Option<&'static str>,
}

/// How much a table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Live keys.
    pub entries: usize,
    /// Bytes of memory that they take, about: of those not packed key and value, and [`ENTRY_BYTES`].
    pub bytes: usize,
    /// How many of those are of the kind that is counted apart.
    pub bytes_apart: usize,
}

/// The entries of a table.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Those that are not packed.
    by_key: BTreeMap<Bytes, Bytes>,
    packed: Option<Packed>,
    /// What the keys begin with that are counted apart.
    apart: Option<&'static str>,
    /// Bytes of what is not packed.
    bytes: usize,
    /// And how many of them are apart.
    bytes_apart: usize,
    /// How often an entry changed.
    changed: u64,
    /// The keys of the last changes, oldest first.
    recent: VecDeque<Bytes>,
}

impl Entries {
    pub(super) fn new(shape: Shape) -> Self {
        let Shape { packing, apart } = shape;
        Self { packed: packing.map(Packed::new), apart, ..Self::default() }
    }

    /// Takes a change over. It is copied, since a slice would keep the whole batch it was read in.
    pub(super) fn change(&mut self, key: &[u8], value: Option<&[u8]>) {
        let key = Bytes::copy_from_slice(key);
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(key.clone());
        self.changed += 1;
        let is_packed = match (&mut self.packed, value) {
            (Some(packed), Some(value)) => packed.insert(&key, value),
            (Some(packed), None) => {
                packed.remove(&key);
                false
            }
            (None, _) => false,
        };
        let key_bytes = key.len() + ENTRY_BYTES;
        let is_apart = self.is_apart(&key);
        let (added, before) = match value.filter(|_| !is_packed) {
            Some(value) => (key_bytes + value.len(), self.by_key.insert(key, Bytes::copy_from_slice(value))),
            None => (0, self.by_key.remove(&key)),
        };
        let freed = before.map_or(0, |before| key_bytes + before.len());
        self.bytes = self.bytes + added - freed;
        if is_apart {
            self.bytes_apart = self.bytes_apart + added - freed;
        }
    }

    pub(super) fn read(&self, key: &[u8]) -> Option<Bytes> {
        let plain = self.by_key.get(key).cloned();
        plain.or_else(|| self.packed.as_ref()?.read(key))
    }

    /// The entries whose keys begin with `prefix` and come after `after`, by key, at most so many.
    pub(super) fn page(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        entries_max: usize,
    ) -> Vec<(Bytes, Bytes)> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let plain = self.by_key.range::<[u8], _>((from, Bound::Unbounded));
        let plain = plain.take_while(|(key, _)| key.starts_with(prefix));
        let mut page: Vec<(Bytes, Bytes)> =
            plain.take(entries_max).map(|(key, value)| (key.clone(), value.clone())).collect();
        let count = page.len();
        if let Some(packed) = &self.packed {
            page.extend(packed.page(prefix, after, entries_max));
        }
        if page.len() > count {
            page.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        }
        page.truncate(entries_max);
        page
    }

    /// What an entry would take, about.
    pub(super) fn weight(&self, key: &[u8], value: &[u8]) -> usize {
        let packed = self.packed.as_ref().and_then(|packed| packed.weight(key, value));
        packed.unwrap_or(key.len() + value.len() + ENTRY_BYTES)
    }

    pub(super) fn size(&self) -> Size {
        let packed = self.packed.as_ref().map_or((0, 0), |packed| (packed.entries(), packed.bytes()));
        Size {
            entries: self.by_key.len() + packed.0,
            bytes: self.bytes + packed.1,
            bytes_apart: self.bytes_apart,
        }
    }

    fn is_apart(&self, key: &[u8]) -> bool {
        self.apart.is_some_and(|apart| key.starts_with(apart.as_bytes()))
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
    use std::sync::Arc;

    use bytes::Bytes;

    use super::super::packed::{PACKED_LONG_BYTES, PACKED_SHORT_BYTES, PackedValue, Packing, Words};
    use super::{Entries, RECENT_MAX, Shape};

    /// Packs values of so many bytes as they are, and none that is all `x`.
    #[derive(Debug)]
    struct Plain;

    impl Packing for Plain {
        fn prefix(&self) -> &'static str {
            "short/"
        }

        fn pack(&self, value: &[u8], _words: &mut Words) -> Option<PackedValue> {
            let short = value.try_into().ok().map(PackedValue::Short);
            let packed = short.or_else(|| value.try_into().ok().map(PackedValue::Long));
            packed.filter(|_| value.iter().any(|byte| *byte != b'x'))
        }

        fn unpack(&self, packed: &[u8], _words: &Words) -> Option<Bytes> {
            Some(Bytes::copy_from_slice(packed))
        }
    }

    fn packing() -> Entries {
        Entries::new(Shape { packing: Some(Arc::new(Plain)), apart: Some("part") })
    }

    /// A number that looks like any other.
    fn scattered(number: u64) -> u128 {
        u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    #[test]
    fn packed_entries_take_some_50_or_80_bytes_each_and_give_them_back() {
        const COUNT: usize = 250_000;
        let key = |number| format!("short/inventory-sync/{:032x}", scattered(number));
        let (short, long): (&[u8], &[u8]) = (&[7; PACKED_SHORT_BYTES], &[7; PACKED_LONG_BYTES]);
        for (value, bytes) in [(short, 45..52), (long, 69..80)] {
            let mut entries = packing();
            for number in 0..250_000 {
                entries.change(key(number).as_bytes(), Some(value));
            }
            let size = entries.size();
            assert_eq!(size.entries, COUNT);
            assert!(bytes.contains(&(size.bytes / COUNT)), "{size:?}");
            let added = entries.weight(key(250_000).as_bytes(), value);
            assert!(bytes.contains(&added), "what is foretold is what is taken: {added}");
            for number in 0..250_000 {
                entries.change(key(number).as_bytes(), None);
            }
            let size = entries.size();
            assert_eq!((size.entries, size.bytes), (0, 0));
        }
    }

    #[test]
    fn how_an_entry_is_held_is_nothing_that_anybody_sees() {
        let (mut packed, mut plain) = (packing(), Entries::default());
        let odd = [b'y'; PACKED_SHORT_BYTES + 1];
        for step in 0..20_000_u64 {
            let random = scattered(step) >> 64;
            let id = scattered(u64::try_from(random % 97).unwrap());
            let key = match random >> 8 & 7 {
                0..=2 => format!("short/a/{id:032x}"),
                3 => format!("short/a-b/{id:032x}"),
                4 => format!("short/a/{id:031x}"),
                5 => format!("short/a/{id:032X}"),
                6 => format!("long/a/{id:032x}"),
                _ => format!("part/{id:032x}"),
            };
            let value: Option<&[u8]> = match random >> 16 & 7 {
                0 | 1 => None,
                2 => Some(&[b'x'; PACKED_SHORT_BYTES]),
                3 => Some(&odd),
                4 | 5 => Some(&[b'z'; PACKED_LONG_BYTES]),
                _ => Some(&[b'z'; PACKED_SHORT_BYTES]),
            };
            packed.change(key.as_bytes(), value);
            plain.change(key.as_bytes(), value);
            assert_eq!(packed.read(key.as_bytes()).as_deref(), value, "{key}");
            if step % 500 > 0 {
                continue;
            }
            let all = plain.page(b"", None, usize::MAX);
            assert_eq!(packed.size().entries, all.len());
            for prefix in ["", "short/", "short/a/", "short/a/0", "short/a-b/", "part", "none"] {
                let expected = plain.page(prefix.as_bytes(), None, usize::MAX);
                assert_eq!(packed.page(prefix.as_bytes(), None, usize::MAX), expected, "{prefix}");
                let (mut seen, mut after) = (Vec::new(), None::<Bytes>);
                loop {
                    let page = packed.page(prefix.as_bytes(), after.as_deref(), 7);
                    let Some((last, _)) = page.last() else { break };
                    after = Some(last.clone());
                    seen.extend(page);
                }
                assert_eq!(seen, expected, "{prefix}, page by page");
            }
            let apart = |entries: &[(Bytes, Bytes)]| -> usize {
                let entries = entries.iter().filter(|(key, _)| key.starts_with(b"part"));
                entries.map(|(key, value)| key.len() + value.len() + super::ENTRY_BYTES).sum()
            };
            assert_eq!(packed.size().bytes_apart, apart(&all));
        }
    }

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
