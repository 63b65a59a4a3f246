//! What an operator may set of the embedded engine.

use std::path::PathBuf;
use std::time::Duration;

/// When an append is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// After the fsync of its group: survives a power loss.
    Group,
    /// After it was handed to the operating system, which is told to write it out this often: survives the death
    /// of the process, not every power loss.
    Interval(Duration),
    /// After it was handed to the operating system, which writes it out when it likes.
    Never,
}

/// The embedded engine's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory that holds the database, its lock and its high-water file; made when absent.
    pub path: PathBuf,
    /// When an append is answered.
    pub fsync: Fsync,
    /// How often old records are looked for.
    pub retention_interval: Duration,
    /// Bytes of appends waiting for the commit thread before [`crate::log::Error::Overloaded`].
    pub queue_bytes_max: usize,
    /// Bytes of the latest records of each partition held in memory for tails.
    pub ring_bytes_max: usize,
    /// Bytes of the latest records of all partitions held in memory: with many each has less.
    pub rings_bytes_max: usize,
    /// The largest record, counted as [`crate::event::Record::bytes`].
    pub record_bytes_max: usize,
    /// Connections that read old records.
    pub readers: usize,
}

impl Config {
    /// The settings of `deploy/weirgate.yaml`, in this directory.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            fsync: Fsync::Group,
            retention_interval: Duration::from_secs(30),
            queue_bytes_max: 64 << 20,
            ring_bytes_max: 1 << 20,
            rings_bytes_max: 64 << 20,
            record_bytes_max: 8 << 20,
            readers: 2,
        }
    }
}
