//! Entries of one kind held in few bytes each: those whose keys end in an id of 128 bits, in hexadecimal digits.
//!
//! ```text
//! letter/inventory-sync/5f70bf18a086007016e948b04aed3b82
//! └ space ──────────────┘└ id: its first bits choose the bucket, a sorted row of ids with their packed values
//! ```
//! What does not unpack to the very bytes that came is not packed, so nobody can tell how an entry is held.

mod rows;

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;

use self::rows::{Id, Rows, split};

/// Bytes of a short packed value.
pub const PACKED_SHORT_BYTES: usize = 29;
/// Bytes of a long one.
pub const PACKED_LONG_BYTES: usize = 53;
/// What a word takes beside its text, which is held twice.
const WORD_BYTES: usize = 96;

/// A value in few bytes. Each of both kinds has rows of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackedValue {
    /// As most are.
    Short([u8; PACKED_SHORT_BYTES]),
    /// One that says more.
    Long([u8; PACKED_LONG_BYTES]),
}

/// How values of one kind are packed.
pub trait Packing: Debug + Send + Sync {
    /// What the keys of the kind begin with.
    fn prefix(&self) -> &'static str;

    /// A value in few bytes; `None` for one that does not fit.
    fn pack(&self, value: &[u8], words: &mut Words) -> Option<PackedValue>;

    /// The value again, of the bytes that are held of it.
    fn unpack(&self, packed: &[u8], words: &Words) -> Option<Bytes>;
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
    short: Rows<PACKED_SHORT_BYTES>,
    long: Rows<PACKED_LONG_BYTES>,
}

impl PackedValue {
    /// What is held of it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }
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
        Self { packing, words: Words::default(), short: Rows::default(), long: Rows::default() }
    }

    /// Holds an entry in place of the one of its key; whether it could. Where not, none of its key is left here.
    pub(super) fn insert(&mut self, key: &[u8], value: &[u8]) -> bool {
        let Some((space, id)) = self.split(key) else { return false };
        match pack(&*self.packing, value, &mut self.words) {
            Some(PackedValue::Short(packed)) => {
                self.long.remove(space, id);
                self.short.insert(space, id, packed);
                true
            }
            Some(PackedValue::Long(packed)) => {
                self.short.remove(space, id);
                self.long.insert(space, id, packed);
                true
            }
            None => {
                self.remove(key);
                false
            }
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        if let Some((space, id)) = self.split(key) {
            self.short.remove(space, id);
            self.long.remove(space, id);
        }
    }

    pub(super) fn read(&self, key: &[u8]) -> Option<Bytes> {
        let (space, id) = self.split(key)?;
        let packed = self.short.read(space, id).or_else(|| self.long.read(space, id))?;
        self.packing.unpack(packed, &self.words)
    }

    /// The entries whose keys begin with `prefix` and come after `after`: the first of them and at most twice as many as
    /// are wanted, by key but for those that are long, which come last.
    pub(super) fn page<'p>(
        &'p self,
        prefix: &'p [u8],
        after: Option<&'p [u8]>,
        entries_max: usize,
    ) -> impl Iterator<Item = (Bytes, Bytes)> + 'p {
        let unpack =
            move |(key, packed): (Bytes, &[u8])| Some((key, self.packing.unpack(packed, &self.words)?));
        let short = self.short.page(prefix, after).filter_map(unpack).take(entries_max);
        let long = self.long.page(prefix, after).filter_map(unpack).take(entries_max);
        short.chain(long)
    }

    /// What one more entry would take, about; `None` for one that cannot be packed.
    pub(super) fn weight(&self, key: &[u8], value: &[u8]) -> Option<usize> {
        self.split(key)?;
        Some(match pack(&*self.packing, value, &mut Words::default())? {
            PackedValue::Short(_) => Rows::<PACKED_SHORT_BYTES>::ENTRY_BYTES,
            PackedValue::Long(_) => Rows::<PACKED_LONG_BYTES>::ENTRY_BYTES,
        })
    }

    pub(super) const fn entries(&self) -> usize {
        self.short.entries() + self.long.entries()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.short.bytes() + self.long.bytes() + self.words.bytes
    }

    fn split<'k>(&self, key: &'k [u8]) -> Option<(&'k [u8], Id)> {
        let is_space =
            |space: &[u8]| space.starts_with(self.packing.prefix().as_bytes()) && space.ends_with(b"/");
        split(key).filter(|(space, _)| is_space(space))
    }
}

/// A value in few bytes; `None` where it is not the same again.
fn pack(packing: &dyn Packing, value: &[u8], words: &mut Words) -> Option<PackedValue> {
    let packed = packing.pack(value, words)?;
    let is_same = packing.unpack(packed.as_bytes(), words).is_some_and(|again| again == value);
    is_same.then_some(packed)
}
