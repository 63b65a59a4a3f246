//! The engine on Apache Kafka: the port to the log over librdkafka.
//!
//! A supervised idempotent producer with a client of its own for dead letters, a few reading clients that share
//! partitions, one group member per group, and a keeper that follows the cluster's topics. Whatever librdkafka does by blocking runs off the async threads. Nothing
//! above the port's traits is known here, and nothing outside this room knows librdkafka.
//!
//! ```text
//! append ── budget (bytes bounded) ── producer ── delivery reports ── answers
//! append at a place ── writer ── a transaction of its own on a second producer ── answers
//! atomic append ── one of a few writers ── the same, side by side
//! reader ── partition queue of a shared client ── wake-ups
//! member ── own client ── rebalance events, partition queues, commits
//! keeper ── metadata every few seconds ── topics, incarnations (`_weirgate.topics`), up or down
//! ```

mod admin;
mod batch;
mod blocking;
mod config;
mod connection;
mod engine;
mod failure;
mod fetcher;
mod keeper;
mod ledger;
mod members;
mod metrics;
mod offsets;
mod probe;
mod producer;
mod queries;
mod reader;
mod record;
mod settings;
mod shared;
mod statistics;
mod topic_settings;
mod topics;
mod transaction;
mod trouble;
mod writer;
mod writers;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Partition;

pub use config::{Config, GroupProtocol, Sasl, Secret, Security, SecurityProtocol, Tls};
pub use engine::Engine;
pub use failure::OpenError;
pub use topic_settings::{AllTopicSettings, Compression, TopicSettings};

/// Locks for a few instructions. A panic elsewhere leaves every value behind these locks whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A partition's number as librdkafka counts.
fn native(partition: Partition) -> i32 {
    i32::try_from(partition.number()).unwrap_or(i32::MAX)
}

/// A partition as librdkafka counts it.
fn partition(number: i32) -> Partition {
    Partition::new(u32::try_from(number).unwrap_or(u32::MAX))
}
