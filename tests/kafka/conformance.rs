//! The port's conformance suite, run on the Kafka engine and one broker.

use std::sync::Arc;

use weirgate::event::Clock;
use weirgate::log::conformance::Subject;
use weirgate::log_kafka::{Config, Engine};
use weirgate::telemetry::Registry;

use super::broker;

/// An engine of its own on the broker that all cases share.
async fn subject() -> (Subject, ()) {
    let brokers = tokio::task::spawn_blocking(broker::shared).await.unwrap();
    let engine = Engine::open(Config::of(brokers), Clock::system(), &Registry::new()).unwrap();
    (Subject { log: Arc::clone(&engine) as _, groups: engine }, ())
}

weirgate::log_conformance!(
    crate::conformance::subject,
    [#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]]
);
