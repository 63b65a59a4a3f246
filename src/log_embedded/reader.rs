//! Reads of a partition: from memory where it reaches back far enough, else from the database on the pool.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::event::Offset;
use crate::log::{Error, Fetched, Purpose, Reader};

use super::batch::{Batch, Names};
use super::partition::Partition;
use super::shared::Shared;
use super::storage::{Failure, FailureKind, Source};

/// So much at most per read transaction, so that no reader holds back a checkpoint.
const READ_BYTES_MAX: usize = 1 << 20;

/// A place in a partition.
#[derive(Debug)]
pub(super) struct PartitionReader {
    pub(super) shared: Arc<Shared>,
    pub(super) partition: Arc<Partition>,
    pub(super) position: Offset,
    pub(super) purpose: Purpose,
    pub(super) names: Names,
}

#[async_trait]
impl Reader for PartitionReader {
    async fn next(&mut self, bytes_max: usize) -> Result<Fetched, Error> {
        loop {
            let mut advanced = std::pin::pin!(self.partition.advanced().notified());
            // From here on no wake-up is missed.
            advanced.as_mut().enable();
            let fetched =
                fetch(&self.shared, &self.partition, self.position, bytes_max, self.purpose, &mut self.names);
            if let Some(fetched) = fetched.await? {
                self.position = fetched.next;
                return Ok(fetched);
            }
            advanced.await;
        }
    }

    fn seek(&mut self, offset: Offset) {
        self.position = offset;
    }

    fn position(&self) -> Offset {
        self.position
    }
}

/// The records from `from` on; `None` at the end of the partition.
pub(super) async fn fetch(
    shared: &Shared,
    partition: &Arc<Partition>,
    from: Offset,
    bytes_max: usize,
    purpose: Purpose,
    names: &mut Names,
) -> Result<Option<Fetched>, Error> {
    let end = check(shared, partition, from)?;
    if from == end {
        return Ok(None);
    }
    let batches = match partition.recent(from, bytes_max) {
        Some(batches) => batches,
        None => read(shared, partition, from, bytes_max, purpose).await?,
    };
    let fetched = decode(partition, &batches, from, end, bytes_max, names);
    fetched.map(Some).map_err(|offset| {
        // What was trimmed under the read looks like damage; the start, which moves first, tells the two apart.
        check(shared, partition, from).err().unwrap_or_else(|| damage(shared, partition, offset))
    })
}

/// Whether `from` can be read, and where the partition ends.
pub(super) fn check(shared: &Shared, partition: &Partition, from: Offset) -> Result<Offset, Error> {
    if shared.is_closed() {
        return Err(Error::Closed);
    }
    if partition.is_deleted() {
        return Err(Error::UnknownTopic(partition.topic.clone()));
    }
    let bounds = partition.bounds();
    if from < bounds.start || from > bounds.end {
        return Err(Error::OffsetOutOfRange { offset: from, start: bounds.start, end: bounds.end });
    }
    Ok(bounds.end)
}

async fn read(
    shared: &Shared,
    partition: &Arc<Partition>,
    from: Offset,
    bytes_max: usize,
    purpose: Purpose,
) -> Result<Vec<Batch>, Error> {
    let begun = Instant::now();
    let read_from = Arc::clone(partition);
    let job = move |source: &mut dyn Source| {
        let read = source.read(read_from.log, from, bytes_max.min(READ_BYTES_MAX));
        let read = read.map_err(|failure| failed(&read_from, from, failure))?;
        let mut batches = Vec::with_capacity(read.len());
        for bytes in read {
            match Batch::open(read_from.log, bytes) {
                Ok(batch) => batches.push(batch),
                // What lies before the damage is still served.
                Err(_) if !batches.is_empty() => break,
                Err(_) => return Err(corrupt(&read_from, from)),
            }
        }
        Ok(batches)
    };
    let batches = shared.pool.run(purpose, job).await;
    shared.metrics.read_duration.observe(begun.elapsed().as_secs_f64());
    match batches {
        Err(Error::Corrupt { offset, .. }) => Err(damage(shared, partition, offset)),
        batches => batches,
    }
}

/// The records of these batches; on damage the first offset that cannot be read.
fn decode(
    partition: &Partition,
    batches: &[Batch],
    from: Offset,
    end: Offset,
    bytes_max: usize,
    names: &mut Names,
) -> Result<Fetched, Offset> {
    let (mut records, mut next, mut bytes) = (Vec::new(), from, 0);
    for batch in batches {
        if batch.base > next && !partition.is_compacted {
            return if next > from { Ok(Fetched { records, next, end: end.max(next) }) } else { Err(next) };
        }
        let before = records.len();
        next = batch.records(next, bytes_max.saturating_sub(bytes), names, &mut records).map_err(|_| next)?;
        bytes += records.iter().skip(before).map(|record| record.bytes()).sum::<usize>();
        if next <= batch.last || bytes >= bytes_max {
            break;
        }
    }
    if batches.is_empty() {
        // Only compaction leaves nothing up to the end.
        next = if partition.is_compacted { end } else { return Err(from) };
    }
    Ok(Fetched { records, next, end: end.max(next) })
}

/// The port's error for a read that failed.
pub(super) fn failed(partition: &Partition, offset: Offset, failure: Failure) -> Error {
    match failure.kind {
        FailureKind::Corrupt => corrupt(partition, offset),
        FailureKind::Full | FailureKind::Io | FailureKind::Other => Error::Unavailable(Arc::new(failure)),
    }
}

pub(super) fn corrupt(partition: &Partition, offset: Offset) -> Error {
    Error::Corrupt { topic: partition.topic.clone(), partition: partition.number, offset }
}

fn damage(shared: &Shared, partition: &Partition, offset: Offset) -> Error {
    shared.metrics.damages.inc();
    tracing::error!(topic = %partition.topic, partition = partition.number.number(), offset = offset.number(), "the log's data is damaged");
    corrupt(partition, offset)
}

/// The port's error for a look-up of entries that failed.
pub(super) fn failed_entries(failure: Failure) -> Error {
    Error::Unavailable(Arc::new(failure))
}
