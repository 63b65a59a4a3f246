//! The port's conformance suite, run on the embedded engine.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use tempfile::TempDir;
use weirgate::event::Clock;
use weirgate::log::conformance::Subject;
use weirgate::log_embedded::{Config, Engine};
use weirgate::telemetry::Registry;

/// An engine in a directory of its own, which lasts as long as the guard.
async fn subject() -> (Subject, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = Config::at(directory.path());
    let engine =
        tokio::task::spawn_blocking(move || Engine::open(&config, Clock::system(), &Registry::new()));
    let engine = engine.await.expect("opening does not panic").expect("a new directory opens");
    (Subject { log: Arc::clone(&engine) as _, groups: engine, has_marks: false }, directory)
}

weirgate::log_conformance!(crate::subject);
