//! The durable engine of one machine: the port to the log on SQLite, used as a log.
//!
//! One thread owns the writing connection and commits in groups: many producers, one fsync. Tails are served from
//! memory, older records by a small pool of reading connections. One process owns the directory. Nothing above the
//! port's traits is known here, and nothing outside this room knows SQLite.
//!
//! ```text
//! append ── queue (bytes bounded) ── commit thread ── one transaction ── rings, answers, wake-ups
//! reader ── ring of the partition's last batches ── else ── pool of reading connections
//! ```

mod batch;
mod commit;
mod compaction;
mod config;
mod control;
mod directory;
#[cfg(test)]
mod disk_faults;
mod engine;
#[cfg(test)]
mod faulty;
mod group;
mod high_water;
#[cfg(test)]
mod late_commits;
mod members;
mod metrics;
mod offsets;
mod open;
mod partition;
mod pool;
mod queue;
mod reader;
mod retention;
mod shared;
mod sqlite;
mod storage;
mod topics;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use config::{Config, Fsync};
pub use directory::make as make_directory;
pub use engine::Engine;
pub use open::OpenError;

/// Locks for a few instructions. A panic elsewhere leaves every value behind these locks whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
