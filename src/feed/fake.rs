//! A running feed over a log in memory, for this room's tests.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::event::{
    Catalogue, Clock, Filter, LiveCatalogue, Offset, Partition, Pattern, Positions, TopicRule,
};
use crate::telemetry::Registry;

use super::fake_log::{FakeLog, Port, topic};
use super::{Admission, Config, Feed, From, OnSlow, Push, Request, Service, Subscription};

/// A feed that runs over a fake log until it is dropped.
pub(super) struct TestFeed {
    pub(super) log: Arc<FakeLog>,
    pub(super) feed: Feed,
    registry: Registry,
    pub(super) shutdown: CancellationToken,
    _guard: DropGuard,
}

impl TestFeed {
    pub(super) fn start() -> Self {
        Self::with_config(Config {
            ring_bytes_per_partition: 1024 * 1024,
            ring_bytes_total: 64 * 1024 * 1024,
            catch_up_readers_max: 8,
        })
    }

    pub(super) fn with_ring_bytes(bytes: usize) -> Self {
        Self::with_config(Config {
            ring_bytes_per_partition: bytes,
            ring_bytes_total: 64 * 1024 * 1024,
            catch_up_readers_max: 8,
        })
    }

    pub(super) fn with_config(config: Config) -> Self {
        let log = Arc::new(FakeLog::default());
        let defaults = TopicRule::plain(topic("defaults"), Vec::new());
        let catalogue = LiveCatalogue::new(Catalogue::new(Vec::new(), defaults));
        let registry = Registry::new();
        let port = Arc::new(Port(Arc::clone(&log)));
        let (service, feed) = Service::new(config, port, catalogue, Clock::system(), &registry);
        let shutdown = CancellationToken::new();
        tokio::spawn(service.run(shutdown.clone()));
        let guard = shutdown.clone().drop_guard();
        Self { log, feed, registry, shutdown, _guard: guard }
    }

    pub(super) async fn follow(&self, topic: &str) -> Subscription {
        self.feed.subscribe(request(&[topic], From::Latest)).await.unwrap()
    }

    pub(super) async fn subscribe(&self, topic: &str, from: From) -> Subscription {
        self.feed.subscribe(request(&[topic], from)).await.unwrap()
    }

    /// The value of an unlabelled metric, or of one with this label.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let text = self.registry.render();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
    }
}

pub(super) fn request(topics: &[&str], from: From) -> Request {
    Request {
        topics: topics.iter().map(|topic| Pattern::new(topic)).collect(),
        from,
        filter: None,
        admission: Arc::new(|_| Admission::All),
        on_slow: OnSlow::Resume,
    }
}

pub(super) fn filtered(topics: &[&str], from: From, filter: &str) -> Request {
    Request { filter: Some(Filter::parse_text(filter).unwrap()), ..request(topics, from) }
}

/// Short forms of pushes: `t/0@5` for an event, `gap t/0 [2,5] retention`, and nothing for positions.
pub(super) fn short(push: &Push) -> Option<String> {
    match push {
        Push::Event(frame) => Some(format!("{}/{}@{}", frame.topic, frame.partition, frame.offset)),
        Push::Gap(gap) => {
            let reason = gap.reason.as_str();
            Some(format!("gap {}/{} [{},{}] {reason}", gap.topic, gap.partition, gap.from, gap.to))
        }
        Push::Positions { .. } => None,
    }
}

/// The next `count` events and gaps.
pub(super) async fn take(subscription: &mut Subscription, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(30), subscription.next(1)).await;
        let pushes = next.unwrap_or_else(|_| panic!("only {taken:?} came")).unwrap();
        taken.extend(pushes.iter().filter_map(short));
    }
    taken
}

/// What is there to take until nothing has come for a while.
pub(super) async fn drain(subscription: &mut Subscription) -> Vec<Push> {
    let mut pushes = Vec::new();
    while let Ok(next) = tokio::time::timeout(Duration::from_secs(1), subscription.next(64 * 1024)).await {
        pushes.extend(next.unwrap());
    }
    pushes
}

pub(super) fn at(name: &str, places: &[(u32, u64)]) -> Positions {
    let places = places.iter().map(|(partition, offset)| (Partition::new(*partition), Offset::new(*offset)));
    Positions::from([(topic(name), places.collect())])
}
