//! Reads one partition of the table: from the oldest key that was live when its last record was written, then on and on.
//!
//! So a start reads what is live, and little else, however much was written in the last day and whether or not it was
//! compacted since.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use tokio::time::sleep;

use crate::event::{Offset, Partition, Record, Timestamp, Topic};
use crate::log::{Bounds, Cleanup, Error, EventLog, Purpose, Reader, TopicSpec};

use super::{RETRY_FIRST, RETRY_MAX};

/// The header of every record that says when the oldest live key was written, in milliseconds.
pub(super) const OLDEST: &str = "weirgate-oldest";

const READ_BYTES: usize = 1 << 20;
/// How far clocks may be apart.
const SKEW_MILLIS: i64 = 5_000;

/// A partition of the table.
#[derive(Debug)]
pub(super) struct Source<'s> {
    pub(super) log: &'s Arc<dyn EventLog>,
    pub(super) topic: &'s Topic,
    pub(super) partitions: u32,
    pub(super) partition: Partition,
    /// What the first reading takes at most; what lies behind is passed over.
    pub(super) load_bytes_max: u64,
}

/// Who is told what the partition holds.
pub(super) trait Sink: Send + Sync + fmt::Debug {
    /// A record, in the order of the partition.
    fn take(&self, record: &Record);

    /// All before this offset has been taken.
    fn reached(&self, next: Offset);

    /// All that was there at the start has been read.
    fn loaded(&self);
}

/// Reads for ever; what fails is tried again.
pub(super) async fn follow(source: &Source<'_>, sink: &dyn Sink) -> Infallible {
    let mut wait = RETRY_FIRST;
    loop {
        let is_read = &mut false;
        let Err(error) = follow_on(source, sink, is_read).await;
        if *is_read {
            wait = RETRY_FIRST;
        }
        // Kafka may be away for long, and others tell that too.
        if wait == RETRY_FIRST {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(topic = %source.topic, partition = %source.partition, error, "a table cannot be read; it is tried again");
        }
        sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

async fn follow_on(source: &Source<'_>, sink: &dyn Sink, is_read: &mut bool) -> Result<Infallible, Error> {
    let (mut reader, end) = open(source).await?;
    let mut bytes = 0;
    loop {
        if !*is_read && reader.position() >= end {
            *is_read = true;
            sink.loaded();
        }
        let fetched = match reader.next(READ_BYTES).await {
            Err(Error::OffsetOutOfRange { start, .. }) if reader.position() < start => {
                reader.seek(start);
                continue;
            }
            fetched => fetched?,
        };
        fetched.records.iter().for_each(|record| sink.take(record));
        sink.reached(fetched.next);
        if !*is_read {
            bytes += fetched.records.iter().map(|record| record.bytes() as u64).sum::<u64>();
            if bytes > source.load_bytes_max && reader.position() < end {
                tracing::warn!(topic = %source.topic, partition = %source.partition, bytes, "a table holds more than its bounds; the rest is passed over");
                reader.seek(end);
            }
        }
    }
}

/// A reader at the first record worth reading, and where what is there now ends.
async fn open(source: &Source<'_>) -> Result<(Box<dyn Reader>, Offset), Error> {
    let Source { log, topic, partition, .. } = *source;
    let known = log.topic(topic).map_or(0, |info| info.spec.partitions);
    let spec = TopicSpec {
        name: topic.clone(),
        partitions: source.partitions.max(known),
        cleanup: Cleanup::Compact,
        retention: None,
        retention_bytes: None,
    };
    log.ensure_topic(&spec).await?;
    let Bounds { start, end } = log.bounds(topic, partition).await?;
    let oldest = if start < end { oldest(source, end).await? } else { None };
    let from = match oldest {
        Some(oldest) => {
            let since = oldest.plus_millis(-SKEW_MILLIS);
            log.offset_at(topic, partition, since).await?.max(start).min(end)
        }
        None => start,
    };
    Ok((log.reader(topic, partition, from, Purpose::Tail).await?, end))
}

/// What the last record says of the oldest.
async fn oldest(source: &Source<'_>, end: Offset) -> Result<Option<Timestamp>, Error> {
    let last = Offset::new(end.number().saturating_sub(1));
    let mut reader = source.log.reader(source.topic, source.partition, last, Purpose::CatchUp).await?;
    let fetched = reader.next(1).await?;
    let text = fetched.records.first().and_then(|record| record.headers.last_text(OLDEST));
    Ok(text.and_then(|text| text.parse().ok()).map(Timestamp::from_millis))
}
