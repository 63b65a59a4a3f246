//! The tag of a delivery: opaque to clients, names one delivery, never used twice.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::metadata::{read_varint, write_varint};

/// Which delivery a settlement is about. The epoch grows with every assignment of the partition, across restarts
/// too; the sequence with every delivery of the assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    pub(super) epoch: u64,
    pub(super) topic: u32,
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) sequence: u64,
}

/// Why a text is no tag: such a settlement is answered `unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no tag of a delivery")]
pub struct TagError;

impl Tag {
    /// Reads a tag as it was written on the wire.
    ///
    /// # Errors
    /// When the text was surely not made by a gateway.
    pub fn parse(text: &str) -> Result<Self, TagError> {
        const LONGEST: usize = 64;
        if text.len() > LONGEST {
            return Err(TagError);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TagError)?;
        let mut rest = bytes.as_slice();
        let mut number = || read_varint(&mut rest).ok_or(TagError);
        let epoch = number()?;
        let topic = u32::try_from(number()?).map_err(|_| TagError)?;
        let partition = u32::try_from(number()?).map_err(|_| TagError)?;
        let (offset, sequence) = (number()?, number()?);
        if rest.is_empty() { Ok(Self { epoch, topic, partition, offset, sequence }) } else { Err(TagError) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(32);
        for number in
            [self.epoch, u64::from(self.topic), u64::from(self.partition), self.offset, self.sequence]
        {
            write_varint(&mut bytes, number);
        }
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl serde::Serialize for Tag {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Tag;

    #[test]
    fn a_tag_is_read_as_it_was_written() {
        let tag =
            Tag { epoch: 1_763_720_130_123, topic: u32::MAX, partition: 7, offset: u64::MAX, sequence: 3 };
        assert_eq!(Tag::parse(&tag.to_string()), Ok(tag));
    }

    #[test]
    fn other_texts_are_no_tags() {
        for bad in ["", "x", "====", "AAAA", &"A".repeat(65), "ÄÄ"] {
            assert!(Tag::parse(bad).is_err(), "{bad}");
        }
    }
}
