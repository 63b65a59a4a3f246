//! The embedded log, each test's own in a temporary directory.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use weirgate::event::Clock;
use weirgate::log::{EventLog, Groups};
use weirgate::log_embedded::{Config, Engine};
use weirgate::telemetry::Registry;

/// What lives as long as the log.
pub(crate) type Keep = TempDir;

/// Longer than anything takes on this log.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A new log.
pub(crate) async fn open() -> (Arc<dyn EventLog>, Arc<dyn Groups>, Keep) {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::at(directory.path());
    let opening =
        tokio::task::spawn_blocking(move || Engine::open(&config, Clock::system(), &Registry::new()));
    let engine = opening.await.unwrap().unwrap();
    (Arc::<Engine>::clone(&engine), engine, directory)
}
