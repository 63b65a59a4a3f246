//! The one error of the port, the same for every engine.

use std::sync::Arc;

use crate::event::{Offset, Partition, Topic};

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller asked for something that cannot be.
    Caller,
    /// The log is away, full or slow.
    Log,
    /// The gateway itself is wrong.
    Gateway,
}

/// What went wrong in the log. Cheap to clone, since one failed group commit answers many callers.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No topic of this name.
    #[error("topic '{0}' does not exist")]
    UnknownTopic(Topic),
    /// The topic has no such partition.
    #[error("topic '{topic}' has no partition {partition}; it has {partitions}")]
    UnknownPartition {
        /// The topic.
        topic: Topic,
        /// The partition asked for.
        partition: Partition,
        /// How many partitions there are.
        partitions: u32,
    },
    /// The offset is before the log's start or after its end.
    #[error("offset {offset} is outside {start}..={end}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: Offset,
        /// The first offset kept.
        start: Offset,
        /// The offset the next record will get.
        end: Offset,
    },
    /// A topic specification that cannot be.
    #[error("topic '{topic}': {problem}")]
    InvalidTopic {
        /// The topic.
        topic: Topic,
        /// What is wrong.
        problem: &'static str,
    },
    /// A record above the engine's limit.
    #[error("a record of {bytes} bytes is above the limit of {bytes_max}")]
    RecordTooLarge {
        /// Bytes of key, value and headers.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The engine's queue is full; surely nothing was stored.
    #[error("the log's queue is full; try again")]
    Overloaded,
    /// The log cannot be reached or cannot write; surely nothing was stored.
    #[error("the log is unavailable; try again")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// Whether the append happened is not known.
    #[error("the outcome is unknown; retry with the same event id")]
    OutcomeUnknown,
    /// The partition does not end where the append was to go: another one was first. Surely nothing was stored.
    #[error("another writer was first; read to the end and decide anew")]
    Overtaken,
    /// This membership has ended (lost, left or fenced).
    #[error("this member no longer belongs to the group")]
    NotMember,
    /// The engine cannot do this at all.
    #[error("the log does not support {0}")]
    NotSupported(&'static str),
    /// What was read back is not what was written.
    #[error("damaged data in topic '{topic}' partition {partition} near offset {offset}")]
    Corrupt {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
        /// The first offset that cannot be read.
        offset: Offset,
    },
    /// The engine is shutting down.
    #[error("the log is closed")]
    Closed,
}

impl Error {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::UnknownTopic(_)
            | Self::UnknownPartition { .. }
            | Self::OffsetOutOfRange { .. }
            | Self::InvalidTopic { .. }
            | Self::RecordTooLarge { .. }
            | Self::NotSupported(_) => Fault::Caller,
            Self::Overloaded
            | Self::Unavailable(_)
            | Self::OutcomeUnknown
            | Self::Overtaken
            | Self::Closed
            | Self::Corrupt { .. } => Fault::Log,
            Self::NotMember => Fault::Gateway,
        }
    }

    /// Whether the same call may succeed later without change.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::Unavailable(_) | Self::OutcomeUnknown | Self::Overtaken | Self::Closed
        )
    }
}
