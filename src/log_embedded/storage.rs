//! What the engine needs of a store, so that another can take SQLite's place: one writer with transactions, and
//! any number of sources that read what was committed.

use std::fmt;

use bytes::Bytes;

use crate::event::{Offset, Timestamp};
use crate::log::Bounds;

use super::batch::Batch;

/// A partition's log within the store. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LogId(u64);

impl LogId {
    pub(super) const fn new(number: u64) -> Self {
        Self(number)
    }

    pub(super) const fn number(self) -> u64 {
        self.0
    }
}

/// What kind of failure a store met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// What lies there is not what was written.
    Corrupt,
    /// The disk is full; nothing of the transaction stays.
    Full,
    /// The disk failed. After a commit that failed so, whether it happened is not known.
    Io,
    /// Anything else; nothing of the transaction stays.
    Other,
}

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
#[error("{doing} failed")]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) doing: &'static str,
    #[source]
    pub(super) source: Box<dyn std::error::Error + Send + Sync>,
}

/// One stored batch from the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) last: Offset,
    pub(super) time_max: Timestamp,
    pub(super) bytes: u64,
}

/// A key and what is kept under it.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// A key and what is to be kept under it: `None` removes it.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// Reads what was committed.
pub(super) trait Source: Send + fmt::Debug {
    /// Batches in order from the one that holds `from` (or the first after it), until they hold `bytes_max` bytes
    /// but at least one; none at the end. Not yet checked.
    fn read(&mut self, log: LogId, from: Offset, bytes_max: usize) -> Result<Vec<Bytes>, Failure>;

    /// The first batch at or after the one that holds `from` with a record at or after `time`. Not yet checked.
    fn read_at(&mut self, log: LogId, from: Offset, time: Timestamp) -> Result<Option<Bytes>, Failure>;

    /// The first batches, at most `count`.
    fn oldest(&mut self, log: LogId, count: usize) -> Result<Vec<Extent>, Failure>;

    /// The ends of a log.
    fn bounds(&mut self, log: LogId) -> Result<Bounds, Failure>;

    /// All entries whose key begins with `prefix`, by key.
    fn scan(&mut self, prefix: &[u8]) -> Result<Vec<Entry>, Failure>;
}

/// Writes in transactions: everything between `begin` and `commit` happens or none of it.
pub(super) trait Storage: Source {
    /// Another reader of the same store.
    fn source(&self) -> Result<Box<dyn Source>, Failure>;

    /// All logs.
    fn logs(&mut self) -> Result<Vec<LogId>, Failure>;

    /// How many transactions were ever committed.
    fn commits(&self) -> u64;

    /// Bytes of a log's batches.
    fn bytes(&mut self, log: LogId) -> Result<u64, Failure>;

    fn begin(&mut self) -> Result<(), Failure>;

    /// Makes an empty log.
    fn create(&mut self) -> Result<LogId, Failure>;

    /// Drops an empty log.
    fn remove_log(&mut self, log: LogId) -> Result<(), Failure>;

    /// Adds a batch at the end.
    fn append(&mut self, log: LogId, batch: &Batch) -> Result<(), Failure>;

    /// Puts `batch`, or nothing, in the place of the batch that ends at `last`, if that is still there.
    fn replace(&mut self, log: LogId, last: Offset, batch: Option<&Batch>) -> Result<(), Failure>;

    /// Drops all batches that end before `batches`, and keeps `bounds` for the time when no batch shows them.
    fn trim(&mut self, log: LogId, batches: Offset, bounds: Bounds) -> Result<(), Failure>;

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure>;

    fn remove(&mut self, key: &[u8]) -> Result<(), Failure>;

    /// Commits, as durably as the configuration asks.
    fn commit(&mut self) -> Result<(), Failure>;

    /// Undoes everything since `begin`.
    fn rollback(&mut self);

    /// Makes everything committed durable, whatever the configuration asks.
    fn sync(&mut self) -> Result<(), Failure>;

    /// Gives a slice of freed space back to the file system where much of it lies free. Answers whether there is
    /// more to give.
    fn shrink(&mut self) -> Result<bool, Failure>;

    /// Syncs and leaves the store tidy for the next start.
    fn close(&mut self) -> Result<(), Failure>;
}
