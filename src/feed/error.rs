//! What can go wrong between the log and an audience.

use crate::event::{Offset, Partition, Topic};

/// Why a subscription, a page or an event cannot be given.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A topic named literally does not exist.
    #[error("topic '{0}' does not exist")]
    UnknownTopic(Topic),
    /// The topic has no such partition.
    #[error("topic '{topic}' has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: Topic,
        /// The partition asked for.
        partition: Partition,
    },
    /// No event lies at this place, or not any more, or not for this reader.
    #[error("topic '{topic}' has no event at partition {partition} offset {offset}")]
    UnknownEvent {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
        /// The offset asked for.
        offset: Offset,
    },
    /// A topic named literally may not be read; the same whether it exists or not.
    #[error("topic '{0}' may not be read")]
    Forbidden(Topic),
    /// A topic pattern that is neither a name nor a pattern of names.
    #[error("'{0}' is neither a topic's name nor a pattern of names")]
    InvalidTopic(String),
    /// The subscription names no topic, or too many.
    #[error("must name 1 to {topics_max} topics")]
    InvalidTopics {
        /// The most patterns one subscription may hold.
        topics_max: usize,
    },
    /// The reader left the live set, and asked to be closed then.
    #[error("the reader is too slow: topic '{topic}' partition {partition} left it behind")]
    Slow {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
    },
    /// The feed is shutting down.
    #[error("the feed is closed")]
    Closed,
    /// The log failed.
    #[error(transparent)]
    Log(#[from] crate::log::Error),
}
