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

mod config;
mod engine;

pub use config::{Config, Fsync};
pub use engine::{Engine, OpenError};
