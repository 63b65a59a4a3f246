//! Reading dead-letter topics with a bound on how much: a call that comes to it ends there, and the next one goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::event::{GroupName, Offset, Partition, Record, Topic};
use crate::log::{self, EventLog, Purpose, Reader};

use super::super::Error;

/// Bytes of one call, about.
const BYTES_MAX: usize = 16 << 20;
/// After so long a call ends with what it has.
const CALL_MAX: Duration = Duration::from_secs(5);
/// What asking for a partition counts like, and each record beside its bytes.
const PARTITION_BYTES: usize = 16 << 10;
const RECORD_BYTES: usize = 64;
const READ_BYTES: usize = 256 << 10;
/// A read below the end that takes longer has failed: it may not be taken for the end.
const READ_MAX: Duration = Duration::from_secs(10);

/// A dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LetterTopic {
    pub(super) name: Topic,
    pub(super) group: GroupName,
    /// Where its letters come from.
    pub(super) source: Topic,
    pub(super) partitions: u32,
}

/// All dead-letter topics, by name.
pub(super) fn topics(log: &dyn EventLog) -> Vec<LetterTopic> {
    let mut topics: Vec<LetterTopic> = log
        .topics()
        .into_iter()
        .filter_map(|info| {
            // The name of a group has no dot.
            let (source, group) = info.spec.name.as_str().strip_prefix("dlq.")?.rsplit_once('.')?;
            let (source, group) = (Topic::parse(source).ok()?, GroupName::parse(group).ok()?);
            Some(LetterTopic {
                name: info.spec.name.clone(),
                group,
                source,
                partitions: info.spec.partitions,
            })
        })
        .collect();
    topics.sort_by(|left, right| left.name.cmp(&right.name));
    topics
}

/// How much one call may still read.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    until: Instant,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { bytes: BYTES_MAX, until: Instant::now() + CALL_MAX }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.bytes == 0 || Instant::now() >= self.until
    }

    /// Counts a question about a partition.
    pub(super) fn ask(&mut self) {
        self.bytes = self.bytes.saturating_sub(PARTITION_BYTES);
    }

    fn read(&mut self, records: &[Record]) {
        let bytes: usize = records.iter().map(|record| record.bytes() + RECORD_BYTES).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// A partition being read from a place to an end that was asked for before.
#[derive(Debug)]
pub(super) struct Span {
    reader: Box<dyn Reader>,
    end: Offset,
}

impl Span {
    /// `None` where there is nothing between the two.
    pub(super) async fn open(
        log: &dyn EventLog,
        topic: &Topic,
        partition: Partition,
        from: Offset,
        end: Offset,
    ) -> Result<Option<Self>, log::Error> {
        if from >= end {
            return Ok(None);
        }
        let reader = log.reader(topic, partition, from, Purpose::CatchUp).await?;
        Ok(Some(Self { reader, end }))
    }

    /// The next records before the end; `None` when that is reached. Where the last offsets hold no records, the reader's
    /// position goes past them; one that stays below the end for long is an error, since records may be there.
    pub(super) async fn next(&mut self, budget: &mut Budget) -> Result<Option<Vec<Record>>, log::Error> {
        if self.reader.position() >= self.end {
            return Ok(None);
        }
        let fetched = timeout(READ_MAX, self.reader.next(READ_BYTES)).await;
        match fetched.map_err(|late| log::Error::Unavailable(Arc::new(late)))? {
            Ok(mut fetched) => {
                fetched.records.retain(|record| record.offset < self.end);
                budget.read(&fetched.records);
                Ok(Some(fetched.records))
            }
            // Retention was faster.
            Err(log::Error::OffsetOutOfRange { start, .. }) if self.reader.position() < start => {
                self.reader.seek(start);
                Ok(Some(Vec::new()))
            }
            Err(error) => Err(error),
        }
    }

    /// Where the next read begins.
    pub(super) fn position(&self) -> Offset {
        self.reader.position()
    }
}

/// The record at a place; `None` where there is none.
pub(in crate::delivery) async fn one(
    log: &dyn EventLog,
    topic: &Topic,
    partition: Partition,
    offset: Offset,
) -> Result<Option<Record>, Error> {
    let bounds = log.bounds(topic, partition).await?;
    if !(bounds.start..bounds.end).contains(&offset) {
        return Ok(None);
    }
    let mut reader = log.reader(topic, partition, offset, Purpose::CatchUp).await?;
    let fetched = timeout(READ_MAX, reader.next(1)).await.map_err(|_| log::Error::Overloaded)??;
    Ok(fetched.records.into_iter().next().filter(|record| record.offset == offset))
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::log::Fetched;

    /// A reader of a partition whose broker does not answer.
    #[derive(Debug)]
    struct Stalled;

    #[async_trait]
    impl Reader for Stalled {
        async fn next(&mut self, _bytes_max: usize) -> Result<Fetched, log::Error> {
            std::future::pending().await
        }

        fn seek(&mut self, _offset: Offset) {}

        fn position(&self) -> Offset {
            Offset::new(3)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_stalls_below_the_end_is_not_taken_for_the_end() {
        let span = |end| Span { reader: Box::new(Stalled), end: Offset::new(end) };
        let read = span(4).next(&mut Budget::new()).await;
        assert!(matches!(&read, Err(error) if error.is_temporary()), "{read:?}");
        assert!(matches!(span(3).next(&mut Budget::new()).await, Ok(None)), "there is nothing to wait for");
    }
}
