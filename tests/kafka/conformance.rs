//! The port's conformance suite, run on the Kafka engine: on one broker, on three, and on an older one.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use weirgate::event::{Clock, Topic};
use weirgate::log::conformance::Subject;
use weirgate::log::{EventLog, Fetched, Reader};
use weirgate::log_kafka::{Config, Engine, GroupProtocol};
use weirgate::telemetry::Registry;

use super::broker;
use crate::harness::waiting::in_time;

/// How long an engine may take to hear of a topic that another one made.
const KNOWN_MAX: Duration = Duration::from_secs(60);
/// How long a record that is there may take to come.
const READ_MAX: Duration = Duration::from_secs(60);

/// An engine of its own on the broker that all cases share.
pub(crate) async fn subject() -> (Subject, ()) {
    (on(broker::shared, GroupProtocol::Auto).await, ())
}

/// An engine of its own on the cluster that `start` answers, and may have to start.
pub(crate) async fn on(start: fn() -> Vec<String>, group_protocol: GroupProtocol) -> Subject {
    let brokers = spawn_blocking(start).await.unwrap();
    open(Config { group_protocol, ..Config::of(brokers) })
}

/// An engine of these settings, which waits: what stands still on a slow machine is no answer of the broker's.
pub(crate) fn open(config: Config) -> Subject {
    let config = Config { delivery_timeout: Duration::from_secs(60), ..config };
    of(Engine::open(config, Clock::system(), &Registry::new()).unwrap())
}

/// An engine as the suite takes it.
pub(crate) fn of(engine: Arc<Engine>) -> Subject {
    Subject { log: Arc::clone(&engine) as _, groups: engine, has_marks: true }
}

/// Waits until an engine knows a topic that it did not make.
pub(crate) async fn known(log: &dyn EventLog, topic: &Topic) {
    let mut changes = log.topic_changes();
    let known = async {
        while log.topic(topic).is_none() {
            changes.changed().await.unwrap();
        }
    };
    in_time(KNOWN_MAX, "the topic becomes known", known).await;
}

/// What a reader gives next, where something is due.
pub(crate) async fn read(reader: &mut dyn Reader, bytes_max: usize) -> Fetched {
    in_time(READ_MAX, "the next records", reader.next(bytes_max)).await.unwrap()
}

weirgate::log_conformance!(
    crate::conformance::subject,
    [#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]]
);

/// A version from before 4.0: its groups are classic, and the engine finds that out.
mod older {
    use super::{GroupProtocol, Subject, broker, on};

    pub(crate) async fn subject() -> (Subject, ()) {
        (on(broker::shared_older, GroupProtocol::Auto).await, ())
    }

    weirgate::log_conformance!(
        crate::conformance::older::subject,
        [#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]]
    );
}

/// Three replicas of everything, two of them in sync before anything is stored.
mod three {
    use super::{GroupProtocol, Subject, broker, on};

    pub(crate) async fn subject() -> (Subject, ()) {
        (on(broker::shared_three, GroupProtocol::Auto).await, ())
    }

    weirgate::log_conformance!(
        crate::conformance::three::subject,
        [#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]]
    );
}
