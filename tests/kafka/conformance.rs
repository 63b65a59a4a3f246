//! The port's conformance suite, run on the Kafka engine and one broker.

use std::sync::Arc;

use weirgate::event::Clock;
use weirgate::log::conformance::Subject;
use weirgate::log_kafka::{Config, Engine, GroupProtocol};
use weirgate::telemetry::Registry;

use super::broker;

/// An engine of its own on the broker that all cases share.
pub(crate) async fn subject() -> (Subject, ()) {
    subject_with(GroupProtocol::Auto).await
}

pub(crate) async fn subject_with(group_protocol: GroupProtocol) -> (Subject, ()) {
    let brokers = tokio::task::spawn_blocking(broker::shared).await.unwrap();
    let config = Config { group_protocol, ..Config::of(brokers) };
    let engine = Engine::open(config, Clock::system(), &Registry::new()).unwrap();
    (Subject { log: Arc::clone(&engine) as _, groups: engine }, ())
}

weirgate::log_conformance!(
    crate::conformance::subject,
    [#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]]
);

/// As clusters before 4.0 have it.
mod classic {
    use super::{GroupProtocol, Subject, subject_with};

    pub(crate) async fn subject() -> (Subject, ()) {
        subject_with(GroupProtocol::Classic).await
    }

    weirgate::log_conformance!(
        crate::conformance::classic::subject,
        [#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]]
    );
}
