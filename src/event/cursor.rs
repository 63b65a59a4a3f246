//! Cursors: opaque resume points over several topics.

use std::collections::BTreeMap;

use super::{Offset, Partition, Topic};

/// The next offset to read, by topic and partition.
pub type Positions = BTreeMap<Topic, BTreeMap<Partition, Offset>>;

/// Where a reader stands: for each topic its incarnation and the next offsets to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Topic, incarnation, and the next offset of each partition.
    pub entries: Vec<(Topic, u64, Vec<(Partition, Offset)>)>,
}

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
        let _ = text;
        unimplemented!()
    }

    /// The cursor as text safe in URLs, with version and checksum.
    #[must_use]
    pub fn encode(&self) -> String {
        unimplemented!()
    }
}
