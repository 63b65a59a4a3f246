//! What became of published events.

use bytes::Bytes;

use crate::event::{EventId, Offset, Partition, Timestamp, Topic};
use crate::schema::{SchemaId, Violation};

use super::Error;

/// Where a published event went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The event's id, given or made.
    pub event_id: EventId,
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: Partition,
    /// The record's offset.
    pub offset: Offset,
    /// The time of the append.
    pub timestamp: Timestamp,
}

/// An event that was handed over without a durable answer: `ack=none`, or a log that does not sync each append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The event's id, given or made.
    pub event_id: EventId,
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: Partition,
    /// The record's offset, where the log has already told it.
    pub offset: Option<Offset>,
}

/// What would have been appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The event's id, where one was given or follows from the idempotency key.
    pub event_id: Option<EventId>,
    /// The topic.
    pub topic: Topic,
    /// The partition; `None` where only the append would choose it.
    pub partition: Option<Partition>,
    /// The record's key.
    pub key: Option<Bytes>,
    /// The schema that judged the data, where there is one.
    pub schema_id: Option<SchemaId>,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Stored now.
    Accepted(Receipt),
    /// Stored before, under the same id with the same bytes; this is the first receipt.
    Duplicate(Receipt),
    /// Handed over.
    Queued(Queued),
    /// Checked only, as asked.
    Checked(Checked),
}

/// The answer to one publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// What became of the event.
    pub outcome: Outcome,
    /// What the schema found where its enforcement is `warn`.
    pub warnings: Vec<Violation>,
}

/// The answer to a batch, in input order.
#[derive(Debug)]
pub struct Batch {
    /// One result for each event.
    pub items: Vec<Item>,
}

/// What became of one event of a batch.
#[derive(Debug)]
pub struct Item {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Its id, where one is known.
    pub event_id: Option<EventId>,
    /// What became of it.
    pub result: ItemResult,
    /// What the schema found where its enforcement is `warn`.
    pub warnings: Vec<Violation>,
}

/// What became of one event of a batch.
#[derive(Debug)]
pub enum ItemResult {
    /// Stored now.
    Accepted(Receipt),
    /// Stored before.
    Duplicate(Receipt),
    /// Handed over.
    Queued(Queued),
    /// Checked only, as asked.
    Checked(Checked),
    /// Surely not stored, and why.
    Failed(Error),
    /// Surely not stored, because an earlier event of its key failed or the batch was refused.
    Aborted,
    /// Perhaps stored.
    Unknown,
}
