//! A place in one partition. It sits in a shared client from its first read on, and moves by sitting down anew.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::Notify;

use crate::event::{Offset, Partition as Number, Topic};
use crate::log::{Bounds, Error, Fetched, Purpose, Reader};

use super::failure::{code_of, unavailable};
use super::fetcher::Slot;
use super::record::{self, Names};
use super::shared::Shared;
use super::topics::{Partition, TopicState};

/// A reader.
#[derive(Debug)]
pub(super) struct PartitionReader {
    shared: Arc<Shared>,
    topic: Arc<TopicState>,
    number: Number,
    partition: Partition,
    purpose: Purpose,
    position: Offset,
    /// The end as it was before the partition was assigned: when librdkafka says that it has come to the end, all
    /// before this has been read, also where the last offsets hold no records (marks of transactions).
    goal: Offset,
    slot: Option<Slot>,
    wake: Arc<Notify>,
    names: Names,
}

/// What a look into the queue found.
enum Taken {
    Fetched(Fetched),
    Nothing,
    /// The position is not there any more, or never was.
    Misplaced,
}

impl PartitionReader {
    /// A reader at `position` of a partition that ends at `goal`.
    pub(super) fn new(
        shared: Arc<Shared>,
        topic: Arc<TopicState>,
        number: Number,
        (position, goal): (Offset, Offset),
        purpose: Purpose,
    ) -> Result<Self, Error> {
        let partition = topic.partition(number)?.clone();
        Ok(Self {
            shared,
            topic,
            number,
            partition,
            purpose,
            position,
            goal,
            slot: None,
            wake: Arc::new(Notify::new()),
            names: Names::default(),
        })
    }

    fn name(&self) -> &Topic {
        &self.topic.info.spec.name
    }

    fn check(&self) -> Result<(), Error> {
        if self.shared.closed.is_cancelled() {
            return Err(Error::Closed);
        }
        if self.topic.gone.is_cancelled() {
            return Err(Error::UnknownTopic(self.name().clone()));
        }
        let start = self.partition.start();
        if self.position < start {
            return Err(Error::OffsetOutOfRange { offset: self.position, start, end: self.goal.max(start) });
        }
        Ok(())
    }

    /// What the queue holds, at most about `bytes_max` of it.
    fn take(&mut self, slot: &Slot, bytes_max: usize) -> Result<Taken, Error> {
        let (mut records, mut bytes, mut next) = (Vec::new(), 0, self.position);
        loop {
            match slot.queue.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let offset = record::offset(message.offset());
                    if offset < next {
                        continue;
                    }
                    next = offset.next();
                    let record = record::read(&message, &mut self.names, &self.shared.metrics);
                    bytes += record.bytes();
                    records.push(record);
                    if bytes >= bytes_max {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => next = next.max(self.goal),
                Some(Err(error)) => match code_of(&error) {
                    // What came before is given first: the position is looked at again then.
                    _ if !records.is_empty() => break,
                    Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::NoOffset) => {
                        return Ok(Taken::Misplaced);
                    }
                    Some(Code::BadMessage | Code::InvalidMessage | Code::BadCompression) => {
                        let topic = self.name().clone();
                        return Err(Error::Corrupt { topic, partition: self.number, offset: next });
                    }
                    _ => return Err(unavailable(error)),
                },
                None => break,
            }
        }
        if next == self.position {
            return Ok(Taken::Nothing);
        }
        self.position = next;
        Ok(Taken::Fetched(Fetched { records, next, end: self.goal.max(next) }))
    }

    /// The position was refused: says so where the partition's bounds agree.
    async fn misplaced(&mut self) -> Result<(), Error> {
        let Bounds { start, end } = self.shared.bounds(self.name(), self.number).await?;
        let offset = self.position;
        if offset > end {
            self.shared.suspect(self.name());
        }
        if offset < start || offset > end {
            return Err(Error::OffsetOutOfRange { offset, start, end });
        }
        Ok(())
    }
}

#[async_trait]
impl Reader for PartitionReader {
    /// Cancel safe: records leave the queue and the position moves without a wait between, and what waits keeps
    /// nothing.
    async fn next(&mut self, bytes_max: usize) -> Result<Fetched, Error> {
        loop {
            self.check()?;
            let slot = match self.slot.take() {
                Some(slot) => slot,
                None => {
                    let place = (self.name().clone(), self.number);
                    self.shared.fetchers.open(self.purpose, &place, self.position, &self.wake).await?
                }
            };
            match self.take(&slot, bytes_max) {
                Ok(Taken::Fetched(fetched)) => {
                    self.slot = Some(slot);
                    return Ok(fetched);
                }
                Ok(Taken::Nothing) => self.slot = Some(slot),
                Ok(Taken::Misplaced) => {
                    drop(slot);
                    self.misplaced().await?;
                    continue;
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = self.topic.gone.cancelled() => {}
                () = self.shared.closed.cancelled() => {}
            }
        }
    }

    fn seek(&mut self, offset: Offset) {
        self.position = offset;
        self.slot = None;
    }

    fn position(&self) -> Offset {
        self.position
    }
}
