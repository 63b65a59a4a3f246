//! Entries of one kind held in few bytes each: those whose keys end in an id of 128 bits, in hexadecimal digits.
//!
//! ```text
//! letter/inventory-sync/5f70bf18a086007016e948b04aed3b82
//! └ space ──────────────┘└ id: its first bits choose the bucket, a sorted row of ids with their packed values
//! ```
//! What does not unpack to the very bytes that came is not packed, so nobody can tell how an entry is held.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

/// Bytes of a packed value.
pub const PACKED_BYTES: usize = 29;
const ID_BYTES: usize = 16;
const ID_DIGITS: usize = 2 * ID_BYTES;
/// What a bucket takes beside its row, about.
const BUCKET_BYTES: usize = 80;
/// What a word takes beside its text, which is held twice.
const WORD_BYTES: usize = 96;
/// What one more entry takes, about.
const ENTRY_BYTES: usize = ID_BYTES + PACKED_BYTES + 5;

type Id = [u8; ID_BYTES];
/// A value in few bytes.
pub type PackedValue = [u8; PACKED_BYTES];
type Row = Vec<(Id, PackedValue)>;

/// How values of one kind are packed.
pub trait Packing: Debug + Send + Sync {
    /// What the keys of the kind begin with.
    fn prefix(&self) -> &'static str;

    /// A value in few bytes; `None` for one that does not fit.
    fn pack(&self, value: &[u8], words: &mut Words) -> Option<PackedValue>;

    /// The value again.
    fn unpack(&self, packed: &PackedValue, words: &Words) -> Option<Bytes>;
}

/// Texts that many values have, each held once. They stay; there are at most 65,535.
#[derive(Debug, Default)]
pub struct Words {
    all: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16>,
    bytes: usize,
}

/// Packed entries.
#[derive(Debug)]
pub(super) struct Packed {
    packing: Arc<dyn Packing>,
    words: Words,
    /// By what their keys begin with, then by the first bits of their ids.
    spaces: BTreeMap<Box<[u8]>, BTreeMap<u16, Row>>,
    entries: usize,
    /// What rows and buckets take.
    bytes: usize,
}

impl Words {
    /// The number of a text; `None` where there are too many.
    pub fn number(&mut self, text: &str) -> Option<u16> {
        if let Some(number) = self.numbers.get(text) {
            return Some(*number);
        }
        // The last number is left for whoever means none.
        let number = u16::try_from(self.all.len()).ok().filter(|number| *number < u16::MAX)?;
        self.all.push(text.into());
        self.numbers.insert(text.into(), number);
        self.bytes += 2 * text.len() + WORD_BYTES;
        Some(number)
    }

    /// The text of a number.
    #[must_use]
    pub fn text(&self, number: u16) -> Option<&str> {
        self.all.get(usize::from(number)).map(|text| &**text)
    }
}

impl Packed {
    pub(super) fn new(packing: Arc<dyn Packing>) -> Self {
        Self { packing, words: Words::default(), spaces: BTreeMap::new(), entries: 0, bytes: 0 }
    }

    /// Holds an entry in place of the one of its key; whether it could. Where not, none of its key is left here.
    pub(super) fn insert(&mut self, key: &[u8], value: &[u8]) -> bool {
        let packed = self.split(key).and_then(|(space, id)| {
            let packed = self.packing.pack(value, &mut self.words)?;
            let is_same = self.packing.unpack(&packed, &self.words).is_some_and(|again| again == value);
            is_same.then_some((space, id, packed))
        });
        let Some((space, id, packed)) = packed else {
            self.remove(key);
            return false;
        };
        if !self.spaces.contains_key(space) {
            self.spaces.insert(space.into(), BTreeMap::new());
        }
        let Some(buckets) = self.spaces.get_mut(space) else { return false };
        let row = buckets.entry(bucket(&id)).or_insert_with(|| {
            self.bytes += BUCKET_BYTES;
            Row::new()
        });
        match row.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => row.iter_mut().skip(at).take(1).for_each(|(_, value)| *value = packed),
            Err(at) => {
                let before = row.capacity();
                if row.len() == before {
                    // Less than doubling: most of the rows' memory shall be entries.
                    row.reserve_exact((before / 8).max(1));
                }
                row.insert(at, (id, packed));
                self.bytes += (row.capacity() - before) * size_of::<(Id, PackedValue)>();
                self.entries += 1;
            }
        }
        true
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        let Some((space, id)) = self.split(key) else { return false };
        let Some(buckets) = self.spaces.get_mut(space) else { return false };
        let Some(row) = buckets.get_mut(&bucket(&id)) else { return false };
        let Ok(at) = row.binary_search_by_key(&id, |(id, _)| *id) else { return false };
        let before = row.capacity();
        row.remove(at);
        if row.len() < before / 2 {
            row.shrink_to(row.len() + row.len() / 8);
        }
        let after = row.capacity();
        self.bytes = self.bytes.saturating_sub((before - after) * size_of::<(Id, PackedValue)>());
        self.entries -= 1;
        if row.is_empty() {
            buckets.remove(&bucket(&id));
            self.bytes = self.bytes.saturating_sub(BUCKET_BYTES + after * size_of::<(Id, PackedValue)>());
        }
        if buckets.is_empty() {
            self.spaces.remove(space);
        }
        true
    }

    pub(super) fn read(&self, key: &[u8]) -> Option<Bytes> {
        let (space, id) = self.split(key)?;
        let row = self.spaces.get(space)?.get(&bucket(&id))?;
        let at = row.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.packing.unpack(&row.get(at)?.1, &self.words)
    }

    /// The entries whose keys begin with `prefix` and come after `after`, by key.
    pub(super) fn page<'p>(
        &'p self,
        prefix: &'p [u8],
        after: Option<&'p [u8]>,
    ) -> impl Iterator<Item = (Bytes, Bytes)> + 'p {
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
            ids.map(move |(id, packed)| (joined(space, id), packed))
        });
        entries
            .filter(move |(key, _)| key.starts_with(prefix) && after.is_none_or(|after| **key > *after))
            .filter_map(|(key, packed)| Some((key, self.packing.unpack(packed, &self.words)?)))
    }

    /// What one more entry would take, about; `None` for one that cannot be packed.
    pub(super) fn weight(&self, key: &[u8], value: &[u8]) -> Option<usize> {
        self.split(key)?;
        let mut words = Words::default();
        let packed = self.packing.pack(value, &mut words)?;
        let is_same = self.packing.unpack(&packed, &words).is_some_and(|again| again == value);
        is_same.then_some(ENTRY_BYTES)
    }

    pub(super) const fn entries(&self) -> usize {
        self.entries
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes + self.words.bytes
    }

    fn split<'k>(&self, key: &'k [u8]) -> Option<(&'k [u8], Id)> {
        let (space, digits) = key.split_at_checked(key.len().checked_sub(ID_DIGITS)?)?;
        let is_space = space.starts_with(self.packing.prefix().as_bytes()) && space.ends_with(b"/");
        Some((space, id_of(digits)?)).filter(|_| is_space)
    }
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
