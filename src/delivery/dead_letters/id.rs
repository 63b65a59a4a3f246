//! The id of a dead letter: which letter it is, and where one of its records lies, so that it is found without a search.
//!
//! ```text
//! 5f70bf18a086007016e948b04aed3b82-2-1044
//! └ header weirgate-dlq-id         │ └ its offset in the dead-letter topic
//!                                  └ its partition there
//! ```
//! A letter that was written twice has two ids and one state: that is kept by the first part.

use std::fmt;

use crate::event::{Offset, Partition};

/// Hexadecimal digits of the first part.
const NAME_DIGITS: usize = 32;

/// The id of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeadLetterId {
    name: Box<str>,
    partition: Partition,
    offset: Offset,
}

impl DeadLetterId {
    /// The letter of this `weirgate-dlq-id`, as it lies in the dead-letter topic; `None` for what can be no such name.
    #[must_use]
    pub fn new(name: &str, partition: Partition, offset: Offset) -> Option<Self> {
        let is_name = name.len() == NAME_DIGITS
            && name.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
        is_name.then(|| Self { name: name.into(), partition, offset })
    }

    /// Reads an id; `None` for a text that is none, or that another text says more simply.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, place) = text.split_once('-')?;
        let (partition, offset) = place.split_once('-')?;
        let id = Self::new(name, Partition::new(partition.parse().ok()?), Offset::new(offset.parse().ok()?))?;
        (id.to_string() == text).then_some(id)
    }

    /// What all records of the letter have in common.
    pub(in crate::delivery) fn name(&self) -> &str {
        &self.name
    }

    /// The partition of the dead-letter topic.
    pub(in crate::delivery) const fn partition(&self) -> Partition {
        self.partition
    }

    /// The offset there.
    pub(in crate::delivery) const fn offset(&self) -> Offset {
        self.offset
    }
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}-{}", self.name, self.partition, self.offset)
    }
}

impl serde::Serialize for DeadLetterId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::DeadLetterId;

    const NAME: &str = "5f70bf18a086007016e948b04aed3b82";

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is() {
        for good in [format!("{NAME}-0-0"), format!("{NAME}-4294967295-18446744073709551615")] {
            assert_eq!(DeadLetterId::parse(&good).unwrap().to_string(), good);
        }
        let upper = NAME.to_uppercase();
        for bad in [
            NAME.to_owned(),
            format!("{NAME}-0"),
            format!("{NAME}-0-"),
            format!("{NAME}-0-1-2"),
            format!("{NAME}-00-1"),
            format!("{NAME}-+0-1"),
            format!("{NAME}--1-1"),
            format!("{NAME}-4294967296-0"),
            format!("{upper}-0-0"),
            format!("{NAME}0-0-0"),
            "-0-0".to_owned(),
            String::new(),
            "ä".repeat(16) + "-0-0",
        ] {
            assert_eq!(DeadLetterId::parse(&bad), None, "{bad}");
        }
    }
}
