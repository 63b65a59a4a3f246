//! Whether an append whose answer never came did happen: the partition is read from where it stood then.
//!
//! Found means stored. Not found means not stored only once nothing of it can arrive any more; until then the
//! outcome stays unknown. A search is bounded and goes on where the last one stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::event::{Headers, Offset, Partition, Timestamp, Topic};
use crate::log;

use super::identity::Place;

/// How long after an append's time-out a request on its way may still be carried out.
const LATE_MAX: Duration = Duration::from_secs(30);
/// How far the clock that stamps records may be behind the gateway's.
const SKEW_MILLIS: i64 = 5_000;
/// What one search reads at most; the next one goes on from there.
const RECORDS_MAX: usize = 100_000;
const FETCH_BYTES: usize = 1 << 20;

/// What a record holds, as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content([u8; 32]);

impl Content {
    pub(super) fn new(key: Option<&Bytes>, value: Option<&Bytes>, headers: &Headers) -> Self {
        let mut hash = Sha256::new();
        let mut add = |part: Option<&[u8]>| {
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            hash.update(part.unwrap_or_default());
        };
        add(key.map(AsRef::as_ref));
        add(value.map(AsRef::as_ref));
        for (name, value) in headers.iter() {
            add(Some(name.as_bytes()));
            add(value.map(AsRef::as_ref));
        }
        Self(hash.finalize().into())
    }
}

/// What to look for, and how far the search has come.
#[derive(Debug)]
pub(super) struct Lookup {
    topic: Topic,
    partition: Partition,
    handed_over_at: Timestamp,
    content: Content,
    value_bytes: usize,
    late_until: Instant,
    /// The next offset to look at; `u64::MAX` before the first search.
    next: AtomicU64,
    /// One search at a time.
    turn: Semaphore,
}

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolved {
    Stored(Place),
    NotStored,
    StillUnknown,
}

impl Lookup {
    pub(super) fn new(
        topic: Topic,
        partition: Partition,
        handed_over_at: Timestamp,
        content: Content,
        value_bytes: usize,
    ) -> Self {
        let late_until = Instant::now() + LATE_MAX;
        let next = AtomicU64::new(u64::MAX);
        let turn = Semaphore::new(1);
        Self { topic, partition, handed_over_at, content, value_bytes, late_until, next, turn }
    }

    /// Searches the partition up to its end.
    pub(super) async fn search(&self, log: &Arc<dyn log::EventLog>) -> Resolved {
        let Ok(_turn) = self.turn.acquire().await else { return Resolved::StillUnknown };
        // What begins after this instant sees everything that can ever arrive.
        let is_late = Instant::now() >= self.late_until;
        match self.search_on(log).await {
            Ok(Some(Resolved::NotStored)) if !is_late => Resolved::StillUnknown,
            Ok(Some(resolved)) => resolved,
            Ok(None) => Resolved::StillUnknown,
            Err(error) => {
                tracing::warn!(topic = %self.topic, partition = %self.partition, %error, "cannot look up an event of unknown outcome");
                Resolved::StillUnknown
            }
        }
    }

    /// `None` when the bound was reached before the end.
    async fn search_on(&self, log: &Arc<dyn log::EventLog>) -> Result<Option<Resolved>, log::Error> {
        let bounds = log.bounds(&self.topic, self.partition).await?;
        let begin = match self.next.load(Ordering::Acquire) {
            u64::MAX => {
                let since = self.handed_over_at.plus_millis(-SKEW_MILLIS);
                log.offset_at(&self.topic, self.partition, since).await?
            }
            next => Offset::new(next),
        };
        let begin = begin.max(bounds.start).min(bounds.end);
        self.next.store(begin.number(), Ordering::Release);
        if begin == bounds.end {
            return Ok(Some(Resolved::NotStored));
        }
        let mut reader = log.reader(&self.topic, self.partition, begin, log::Purpose::CatchUp).await?;
        let mut records = 0;
        while reader.position() < bounds.end && records < RECORDS_MAX {
            let fetched = reader.next(FETCH_BYTES).await?;
            records += fetched.records.len();
            let found = fetched.records.iter().find(|record| {
                record.value.as_ref().map_or(0, Bytes::len) == self.value_bytes
                    && Content::new(record.key.as_ref(), record.value.as_ref(), &record.headers)
                        == self.content
            });
            if let Some(record) = found {
                let (partition, offset, timestamp) = (self.partition, record.offset, record.timestamp);
                return Ok(Some(Resolved::Stored(Place { partition, offset, timestamp })));
            }
            self.next.store(fetched.next.number(), Ordering::Release);
        }
        Ok((reader.position() >= bounds.end).then_some(Resolved::NotStored))
    }
}
