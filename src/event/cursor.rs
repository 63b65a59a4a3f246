//! Cursors: opaque resume points over several topics.
//!
//! ```text
//! base64url( version 1 | crc32c of the rest, 4 bytes | topics: length, name, incarnation, partitions: (number, offset)… )
//! ```
//! All numbers but the checksum are LEB128. The checksum finds damage; it is no signature, and a cursor grants nothing.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Offset, Partition, Topic};

const VERSION: u8 = 1;
const TEXT_BYTES_MAX: usize = 64 * 1_024;

/// The next offset to read, by topic and partition.
pub type Positions = BTreeMap<Topic, BTreeMap<Partition, Offset>>;

/// Where a reader stands: for each topic its incarnation and the next offsets to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Topic, incarnation, and the next offset of each partition.
    pub entries: Vec<Entry>,
}

/// A topic, its incarnation, and the next offset of each partition.
type Entry = (Topic, u64, Vec<(Partition, Offset)>);

/// Why a text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Not a cursor, or a damaged one.
    #[error("is not a cursor given by this gateway, or was damaged")]
    Invalid,
    /// Longer than any cursor.
    #[error("must have at most 64 KiB")]
    TooLong,
    /// Made by another version.
    #[error("was made by another version and can no longer be read")]
    Version,
}

impl Cursor {
    /// Reads the text of a cursor.
    ///
    /// # Errors
    /// When the text was not made by [`Cursor::encode`], or was changed since.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(CursorError::TooLong);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Invalid)?;
        let (version, rest) = bytes.split_first().ok_or(CursorError::Invalid)?;
        if *version != VERSION {
            return Err(CursorError::Version);
        }
        let (checksum, body) = rest.split_first_chunk::<4>().ok_or(CursorError::Invalid)?;
        if u32::from_le_bytes(*checksum) != crc32c::crc32c(body) {
            return Err(CursorError::Invalid);
        }
        read(body).ok_or(CursorError::Invalid)
    }

    /// The cursor as text safe in URLs, with version and checksum.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut body = Vec::with_capacity(64);
        for (topic, incarnation, positions) in &self.entries {
            write_number(&mut body, topic.as_str().len() as u64);
            body.extend_from_slice(topic.as_str().as_bytes());
            write_number(&mut body, *incarnation);
            write_number(&mut body, positions.len() as u64);
            for (partition, offset) in positions {
                write_number(&mut body, u64::from(partition.number()));
                write_number(&mut body, offset.number());
            }
        }
        let checksum = crc32c::crc32c(&body).to_le_bytes();
        URL_SAFE_NO_PAD.encode([&[VERSION][..], &checksum, &body].concat())
    }
}

fn read(mut bytes: &[u8]) -> Option<Cursor> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let length = usize::try_from(read_number(&mut bytes)?).ok()?;
        let (name, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        let topic = Topic::parse(std::str::from_utf8(name).ok()?).ok()?;
        let incarnation = read_number(&mut bytes)?;
        let mut positions = Vec::new();
        for _ in 0..read_number(&mut bytes)? {
            let partition = u32::try_from(read_number(&mut bytes)?).ok()?;
            positions.push((Partition::new(partition), Offset::new(read_number(&mut bytes)?)));
        }
        entries.push((topic, incarnation, positions));
    }
    Some(Cursor { entries })
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut rest = number;
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Cursor, CursorError};
    use crate::event::{Offset, Partition, Topic};

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            entries in proptest::collection::vec(
                ("[a-zA-Z0-9_-]{1,40}", any::<u64>(), proptest::collection::vec((any::<u32>(), any::<u64>()), 0..20)),
                0..5,
            ),
            damage in any::<(proptest::sample::Index, u8)>(),
        ) {
            let entries = entries.into_iter().map(|(topic, incarnation, positions)| {
                let positions = positions.into_iter().map(|(partition, offset)| (Partition::new(partition), Offset::new(offset)));
                (Topic::parse(&topic).unwrap(), incarnation, positions.collect())
            });
            let cursor = Cursor { entries: entries.collect() };
            let text = cursor.encode();
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            assert_eq!(Cursor::decode(&text), Ok(cursor));
            let mut damaged = text.clone().into_bytes();
            let at = damage.0.index(damaged.len());
            damaged[at] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[usize::from(damage.1 & 63)];
            let damaged = String::from_utf8(damaged).unwrap();
            assert!(damaged == text || Cursor::decode(&damaged).is_err());
        }

        #[test]
        fn no_text_makes_the_reader_fall(text in "[A-Za-z0-9_-]{0,200}") {
            assert!(Cursor::decode(&text).is_err());
        }
    }

    #[test]
    fn foreign_versions_and_lengths_are_told_apart() {
        assert_eq!(Cursor::decode(""), Err(CursorError::Invalid));
        assert_eq!(Cursor::decode("AgAAAAA"), Err(CursorError::Version));
        assert_eq!(Cursor::decode(&"A".repeat(70_000)), Err(CursorError::TooLong));
    }
}
