//! What the engine's handles, readers, members and keeper have in common.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::error::KafkaResult;
use tokio::sync::{Notify, OnceCell, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::{Offset, Partition as Number, Timestamp, Topic};
use crate::log::{Bounds, Error, TopicSpec};

use super::admin::Admin;
use super::blocking::Blocking;
use super::config::GroupProtocol;
use super::connection::Connection;
use super::failure::{is_passing, lookup, unavailable};
use super::fetcher::Fetchers;
use super::keeper::Order;
use super::ledger;
use super::locked;
use super::members::Members;
use super::metrics::Metrics;
use super::offsets::Offsets;
use super::probe;
use super::producer::Producer;
use super::queries::Queries;
use super::settings::Settings;
use super::topic_settings::AllTopicSettings;
use super::topics::Topics;
use super::writer;

/// Brokers learn of a new topic one after the other; one that does not know it yet is asked again for so long.
const PROPAGATION_MAX: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// One per engine.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) connection: Arc<Connection>,
    pub(super) topics: Topics,
    pub(super) producer: Producer,
    pub(super) admin: Admin,
    pub(super) queries: Queries,
    pub(super) fetchers: Fetchers,
    pub(super) blocking: Blocking,
    pub(super) members: Members,
    pub(super) offsets: Offsets,
    pub(super) metrics: Arc<Metrics>,
    pub(super) orders: mpsc::Sender<Order>,
    /// Where transactions wait for the one writer of those that go to a place or nowhere.
    pub(super) placed: mpsc::Sender<writer::Job>,
    /// Where transactions wait for one of the writers of batches.
    pub(super) batches: mpsc::Sender<writer::Job>,
    pub(super) closed: CancellationToken,
    /// Tells the keeper to look at the cluster now.
    pub(super) look: Notify,
    /// Guards topics whose end fell behind a position: they were made anew.
    pub(super) suspects: Mutex<HashSet<Topic>>,
    /// Guards what the configuration wants of topics.
    pub(super) wanted: Mutex<Wanted>,
    /// What the cluster speaks with members, once known.
    pub(super) protocol: OnceCell<GroupProtocol>,
    /// The cluster knows the newer protocol and has it switched off.
    pub(super) is_classic: AtomicBool,
}

/// What the configuration wants of topics.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) topics: Vec<TopicSpec>,
    pub(super) topic_settings: AllTopicSettings,
}

impl Shared {
    /// The ends of a partition, as of now.
    pub(super) async fn bounds(&self, topic: &Topic, number: Number) -> Result<Bounds, Error> {
        let asked = topic.clone();
        let bounds = self.ask(topic, move |queries| queries.bounds(&asked, number)).await?;
        let known = self.topics.get(topic);
        if let Some(partition) = known.as_ref().and_then(|topic| topic.partition(number).ok()) {
            partition.starts_at(bounds.start);
        }
        Ok(bounds)
    }

    /// The first offset at or after a time; `None` when there is none.
    pub(super) async fn offset_at(
        &self,
        topic: &Topic,
        number: Number,
        time: Timestamp,
    ) -> Result<Option<Offset>, Error> {
        let asked = topic.clone();
        self.ask(topic, move |queries| queries.offset_at(&asked, number, time)).await
    }

    /// Asks about a topic, again while the answer is one that passes and the topic is there; once more in any case, since
    /// waiting for a leader that died may have taken all the time there is.
    async fn ask<T: Send + 'static>(
        &self,
        topic: &Topic,
        question: impl Fn(&Queries) -> KafkaResult<T> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + PROPAGATION_MAX;
        let mut is_first = true;
        loop {
            self.check()?;
            let (queries, question) = (self.queries.clone(), question.clone());
            match self.blocking.look_up(move || question(&queries)).await? {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let is_early = std::mem::take(&mut is_first) || Instant::now() < deadline;
                    let may_pass = is_passing(&error) && is_early && self.connection.is_up();
                    if !may_pass || self.is_gone(topic) {
                        return Err(lookup(error, topic));
                    }
                }
            }
            tokio::time::sleep(ASK_AGAIN).await;
            let queries = self.queries.clone();
            self.blocking.look_up(move || queries.refresh()).await?;
        }
    }

    fn is_gone(&self, topic: &Topic) -> bool {
        self.topics.get(topic).is_none() && !ledger::is_topic(topic)
    }

    /// Whether the engine still works.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.closed.is_cancelled() { Err(Error::Closed) } else { Ok(()) }
    }

    /// A topic's end lies before a position once read: it is another topic now.
    pub(super) fn suspect(&self, topic: &Topic) {
        locked(&self.suspects).insert(topic.clone());
        self.look.notify_one();
    }

    /// Members speak the older protocol from now on.
    pub(super) fn speak_classic(&self) {
        self.is_classic.store(true, Ordering::Release);
    }

    /// What members speak, asked of the cluster once where the operator leaves it open.
    pub(super) async fn protocol(&self) -> Result<GroupProtocol, Error> {
        match self.settings.config().group_protocol {
            GroupProtocol::Auto if self.is_classic.load(Ordering::Acquire) => {
                return Ok(GroupProtocol::Classic);
            }
            GroupProtocol::Auto => {}
            given @ (GroupProtocol::Consumer | GroupProtocol::Classic) => return Ok(given),
        }
        let found = self.protocol.get_or_try_init(|| async {
            let settings = self.settings.clone();
            let found = self.blocking.look_up(move || probe::protocol(&settings)).await?;
            let protocol = found.map_err(unavailable)?;
            tracing::info!(?protocol, "the cluster's group protocol was found");
            Ok(protocol)
        });
        found.await.copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rdkafka::mocking::MockCluster;

    use super::{Number, ledger};
    use crate::event::Clock;
    use crate::log_kafka::{Config, Engine};
    use crate::telemetry::Registry;

    /// Nobody tells the client that asks that leaders moved.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_dead_leader_leaves_unanswered_is_asked_of_the_next_one() {
        let topic = ledger::spec().unwrap().name;
        let mock = MockCluster::new(2).unwrap();
        mock.create_topic(topic.as_str(), 1, 2).unwrap();
        mock.partition_leader(topic.as_str(), 0, Some(1)).unwrap();
        let config = Config::of(vec![mock.bootstrap_servers()]);
        let engine = Engine::open(config, Clock::system(), &Registry::new()).unwrap();
        let shared = Arc::clone(engine.shared());
        let mut interval = tokio::time::interval(Duration::from_millis(20));
        let is_up = async {
            while !shared.connection.is_up() {
                interval.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), is_up).await.expect("the cluster answers");
        let before = shared.bounds(&topic, Number::new(0)).await.unwrap();

        mock.partition_leader(topic.as_str(), 0, Some(2)).unwrap();
        mock.broker_down(1).unwrap();
        let answered = async {
            loop {
                match shared.bounds(&topic, Number::new(0)).await {
                    Ok(bounds) => return bounds,
                    // On a busy machine the cluster may have seemed away for a moment, and then nobody is asked.
                    Err(_) if !shared.connection.is_up() => drop(interval.tick().await),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let after =
            tokio::time::timeout(Duration::from_secs(20), answered).await.expect("the next one answers");
        // The engine itself may write to its ledger in the meantime.
        assert!(after.start == before.start && after.end >= before.end, "{after:?} comes after {before:?}");
        engine.close().await;
    }
}
