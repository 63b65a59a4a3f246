//! The place of a letter among those of its key: what keeps their order when one of them died again.

use crate::event::{Partition, Record};

use super::super::key_hash::KeyHash;
use super::Redriven;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::delivery) struct Rank {
    /// Of the source topic and the key, since letters of all topics of a group come back through one.
    pub(in crate::delivery) key: KeyHash,
    /// The source offset.
    pub(in crate::delivery) offset: u64,
}

/// A letter that comes back, and its rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) struct Ranked {
    pub(in crate::delivery) rank: Rank,
    /// Its `weirgate-dlq-id`.
    pub(in crate::delivery) letter: Box<str>,
}

impl Rank {
    /// `None` without a key.
    pub(in crate::delivery) fn of(redriven: &Redriven) -> Option<Self> {
        let key = redriven.record.key.as_ref()?;
        // No name of a topic has a slash.
        let key = KeyHash::of(&[redriven.topic.as_str().as_bytes(), b"/", key].concat());
        Some(Self { key, offset: redriven.record.offset.number() })
    }
}

impl Ranked {
    /// Of a record of a partition of a redrive topic; `None` for one without a key, or that no gateway wrote.
    pub(in crate::delivery) fn of(record: &Record, partition: Partition) -> Option<Self> {
        let redriven = Redriven::read(record, partition)?;
        Some(Self { rank: Rank::of(&redriven)?, letter: redriven.letter.name().into() })
    }
}
