//! A compacted topic held in memory: read to its end at start, kept current by a tail.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::event::{Offset, Topic};

use super::{Error, EventLog};

/// A table: the latest value of each key of a compacted topic. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Table {
    log: Arc<dyn EventLog>,
}

impl Table {
    /// Opens the table, creating its topic on first need, and reads it to its end. A background task keeps it
    /// current for as long as a clone of the table lives.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn open(log: Arc<dyn EventLog>, _topic: Topic, _partitions: u32) -> Result<Self, Error> {
        Ok(Self { log })
    }

    /// The value of a key.
    #[must_use]
    pub fn read(&self, _key: &[u8]) -> Option<Bytes> {
        unimplemented!()
    }

    /// All entries by key.
    #[must_use]
    pub fn entries(&self) -> Vec<(Bytes, Bytes)> {
        unimplemented!()
    }

    /// Writes a value, or removes the key with `None`; returns when it is durable and visible in this table.
    ///
    /// # Errors
    /// What the engine says.
    pub async fn write(&self, _key: Bytes, _value: Option<Bytes>) -> Result<Offset, Error> {
        unimplemented!()
    }

    /// Changes whenever an entry changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        unimplemented!()
    }
}
