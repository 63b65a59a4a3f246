//! Sorted rows of ids, each with a packed value of so many bytes.

use std::collections::BTreeMap;

use bytes::Bytes;

pub(super) const ID_BYTES: usize = 16;
const ID_DIGITS: usize = 2 * ID_BYTES;
/// What a bucket takes beside its row, about.
const BUCKET_BYTES: usize = 80;

pub(super) type Id = [u8; ID_BYTES];
type Row<const BYTES: usize> = Vec<(Id, [u8; BYTES])>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rows<const BYTES: usize> {
    /// By what their keys begin with, then by the first bits of their ids.
    spaces: BTreeMap<Box<[u8]>, BTreeMap<u16, Row<BYTES>>>,
    entries: usize,
    /// What rows and buckets take.
    bytes: usize,
}

impl<const BYTES: usize> Rows<BYTES> {
    /// What one more entry takes, about: rows have room for some that come.
    pub(super) const ENTRY_BYTES: usize = (ID_BYTES + BYTES) * 10 / 9;

    /// Holds a value in place of the one of its id.
    pub(super) fn insert(&mut self, space: &[u8], id: Id, value: [u8; BYTES]) {
        if !self.spaces.contains_key(space) {
            self.spaces.insert(space.into(), BTreeMap::new());
        }
        let Some(buckets) = self.spaces.get_mut(space) else { return };
        let row = buckets.entry(bucket(&id)).or_insert_with(|| {
            self.bytes += BUCKET_BYTES;
            Row::new()
        });
        match row.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => row.iter_mut().skip(at).take(1).for_each(|(_, before)| *before = value),
            Err(at) => {
                let before = row.capacity();
                if row.len() == before {
                    // Less than doubling: most of the rows' memory shall be entries.
                    row.reserve_exact((before / 8).max(1));
                }
                row.insert(at, (id, value));
                self.bytes += (row.capacity() - before) * size_of::<(Id, [u8; BYTES])>();
                self.entries += 1;
            }
        }
    }

    pub(super) fn remove(&mut self, space: &[u8], id: Id) {
        let Some(buckets) = self.spaces.get_mut(space) else { return };
        let Some(row) = buckets.get_mut(&bucket(&id)) else { return };
        let Ok(at) = row.binary_search_by_key(&id, |(id, _)| *id) else { return };
        let before = row.capacity();
        row.remove(at);
        if row.len() < before / 2 {
            row.shrink_to(row.len() + row.len() / 8);
        }
        let after = row.capacity();
        self.bytes = self.bytes.saturating_sub((before - after) * size_of::<(Id, [u8; BYTES])>());
        self.entries -= 1;
        if row.is_empty() {
            buckets.remove(&bucket(&id));
            self.bytes = self.bytes.saturating_sub(BUCKET_BYTES + after * size_of::<(Id, [u8; BYTES])>());
        }
        if buckets.is_empty() {
            self.spaces.remove(space);
        }
    }

    pub(super) fn read(&self, space: &[u8], id: Id) -> Option<&[u8]> {
        let row = self.spaces.get(space)?.get(&bucket(&id))?;
        let at = row.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        row.get(at).map(|(_, value)| &value[..])
    }

    /// The entries whose keys begin with `prefix` and come after `after`, by key.
    pub(super) fn page<'r>(
        &'r self,
        prefix: &'r [u8],
        after: Option<&'r [u8]>,
    ) -> impl Iterator<Item = (Bytes, &'r [u8])> {
        // All of a space that sorts before `after` lies before it, unless `after` lies within.
        let is_over =
            move |space: &[u8]| after.is_some_and(|after| space < after && !after.starts_with(space));
        let is_near =
            move |space: &[u8]| (space.starts_with(prefix) || prefix.starts_with(space)) && !is_over(space);
        let spaces = self.spaces.iter().filter(move |(space, _)| is_near(space));
        let entries = spaces.flat_map(move |(space, buckets)| {
            let from = after.and_then(|after| id_of(after.strip_prefix(&**space)?));
            let buckets = buckets.range(from.map_or(0, |id| bucket(&id))..);
            let ids = buckets.flat_map(move |(_, row)| {
                let begin = from.map_or(0, |from| row.partition_point(|(id, _)| *id < from));
                row.iter().skip(begin)
            });
            ids.map(move |(id, value)| (joined(space, id), &value[..]))
        });
        entries.filter(move |(key, _)| key.starts_with(prefix) && after.is_none_or(|after| **key > *after))
    }

    pub(super) const fn entries(&self) -> usize {
        self.entries
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a key begins with, and its id; `None` without one.
pub(super) fn split(key: &[u8]) -> Option<(&[u8], Id)> {
    let (space, digits) = key.split_at_checked(key.len().checked_sub(ID_DIGITS)?)?;
    Some((space, id_of(digits)?))
}

/// Of 4,096 buckets.
const fn bucket(id: &Id) -> u16 {
    let [first, second, ..] = *id;
    u16::from_be_bytes([first, second]) >> 4
}

/// Reads an id; `None` for digits that another text says too.
fn id_of(digits: &[u8]) -> Option<Id> {
    let mut id = [0; ID_BYTES];
    if digits.len() != ID_DIGITS {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(id)
}

fn joined(space: &[u8], id: &Id) -> Bytes {
    let mut key = Vec::with_capacity(space.len() + ID_DIGITS);
    key.extend_from_slice(space);
    key.extend(id.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| match digit {
        0..=9 => b'0' + digit,
        _ => b'a' + digit - 10,
    }));
    key.into()
}
