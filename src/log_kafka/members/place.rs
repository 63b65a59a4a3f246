//! An assigned partition: its queue, and how far it was read.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::event::{Offset, Partition as Number, Topic};
use crate::log::{Bounds, Error, MemberEvent};

use super::super::failure::{code_of, unavailable};
use super::super::native;
use super::super::record::{self, Names};
use super::super::shared::Shared;
use super::super::topics::Partition;
use super::link::{Client, Link};
use super::post::Context;

pub(super) type Queue = PartitionQueue<Context>;

/// So much of one partition before the next has its turn.
const RECORDS_BYTES_MAX: usize = 64 << 10;
const RECORDS_MAX: usize = 1_000;

/// An assigned partition.
pub(super) struct Place {
    pub(super) topic: Topic,
    pub(super) number: Number,
    pub(super) partition: Partition,
    pub(super) queue: Queue,
    pub(super) position: Offset,
    pub(super) end: Offset,
    pub(super) is_held: bool,
    /// It must go, and is read no more.
    pub(super) is_revoked: bool,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{} at {}", self.topic, self.number, self.position)
    }
}

impl Place {
    pub(super) fn is_of(&self, partitions: &[(Topic, Number)]) -> bool {
        partitions.iter().any(|(topic, number)| *topic == self.topic && *number == self.number)
    }

    /// The gap before the start, else records, else nothing.
    pub(super) fn take(&mut self, names: &mut Names, shared: &Shared) -> KafkaResult<Option<MemberEvent>> {
        let (topic, partition) = (self.topic.clone(), self.number);
        let start = self.partition.start();
        if self.position < start {
            let from = std::mem::replace(&mut self.position, start);
            return Ok(Some(MemberEvent::Gap { topic, partition, from, to: start }));
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < RECORDS_BYTES_MAX && records.len() < RECORDS_MAX {
            match self.queue.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let offset = record::offset(message.offset());
                    if offset < self.position {
                        continue;
                    }
                    self.position = offset.next();
                    let record = record::read(&message, names, &shared.metrics);
                    bytes += record.bytes();
                    records.push(record);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) if records.is_empty() => return Err(error),
                // The client says it again.
                Some(Err(_)) | None => break,
            }
        }
        if records.is_empty() {
            return Ok(None);
        }
        self.end = self.end.max(self.position);
        Ok(Some(MemberEvent::Records { topic, partition, records, end: self.end }))
    }
}

/// Lets the client read a partition at another offset; its queue stays. Blocks.
pub(super) fn move_to(client: &Client, topic: &Topic, number: Number, offset: Offset) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic.as_str(), native(number), record::place(offset))?;
    client.incremental_unassign(&list)?;
    client.incremental_assign(&list)
}

/// Whether an error says that the position is not there.
pub(super) fn is_misplaced(error: &KafkaError) -> bool {
    matches!(code_of(error), Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::NoOffset))
}

/// The nearest position that is there; the start of a log that ends before it.
pub(super) fn within(position: Offset, bounds: Bounds) -> Offset {
    if position > bounds.end { bounds.start } else { position.max(bounds.start) }
}

/// Lets the client read a partition from the nearest position that is there; answers where the partition begins and ends.
pub(super) async fn move_within(
    shared: &Shared,
    link: &Link,
    topic: &Topic,
    number: Number,
    position: Offset,
) -> Result<Bounds, Error> {
    let bounds = shared.bounds(topic, number).await?;
    let (client, name) = (link.client()?, topic.clone());
    let moved =
        shared.blocking.call(move || move_to(&client, &name, number, within(position, bounds))).await?;
    moved.map_err(unavailable)?;
    Ok(bounds)
}
