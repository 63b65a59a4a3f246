//! A log of one's own on the broker that all tests share: every topic and group gets a prefix that the tenant does not
//! see. So tests that name the topics they use run beside one another, unchanged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use weirgate::event::{Clock, GroupName, Offset, Partition, Topic};
use weirgate::log::{
    Assigned, Commit, Commits, Committed, Error, EventLog, GroupSubscription, Groups, MemberEvent,
    MemberEvents, Membership, TopicInfo, TopicSpec,
};
use weirgate::log_kafka::{Config, Engine};
use weirgate::telemetry::Registry;

use crate::broker;
use crate::delivery::layered::{Layer, Layered};

/// What lives as long as the log.
pub(crate) type Keep = ();

/// Brokers take their time, and this one serves other tests, too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A new log.
pub(crate) async fn open() -> (Arc<dyn EventLog>, Arc<dyn Groups>, Keep) {
    let brokers = tokio::task::spawn_blocking(broker::shared).await.unwrap();
    let config = Config { delivery_timeout: Duration::from_secs(60), ..Config::of(brokers) };
    let engine = Engine::open(config, Clock::system(), &Registry::new()).unwrap();
    let id = uuid::Uuid::new_v4().simple().to_string();
    let tenant = Arc::new(Layered(Tenant { engine, names: Names(format!("t{}", &id[..12])) }));
    (Arc::<Layered<Tenant>>::clone(&tenant), tenant, ())
}

#[derive(Debug)]
struct Tenant {
    engine: Arc<Engine>,
    names: Names,
}

/// The prefix, and how names go in and out.
#[derive(Debug, Clone)]
struct Names(String);

impl Names {
    fn inner(&self, topic: &Topic) -> Topic {
        Topic::parse(&format!("{}.{topic}", self.0)).unwrap()
    }

    fn outer(&self, topic: &Topic) -> Option<Topic> {
        let name = topic.as_str().strip_prefix(&self.0)?.strip_prefix('.')?;
        Some(Topic::parse(name).unwrap())
    }

    fn group(&self, group: &GroupName) -> GroupName {
        GroupName::parse(&format!("{}-{group}", self.0)).unwrap()
    }

    fn info(&self, info: &TopicInfo) -> Option<TopicInfo> {
        let spec = TopicSpec { name: self.outer(&info.spec.name)?, ..info.spec.clone() };
        Some(TopicInfo { spec, ..info.clone() })
    }

    fn commits(&self, commits: Vec<Commit>) -> Vec<Commit> {
        let inner = |commit: Commit| Commit { topic: self.inner(&commit.topic), ..commit };
        commits.into_iter().map(inner).collect()
    }

    fn known(&self, topic: &Topic) -> Topic {
        self.outer(topic).unwrap()
    }

    fn places(&self, places: Vec<(Topic, Partition)>) -> Vec<(Topic, Partition)> {
        places.into_iter().map(|(topic, partition)| (self.known(&topic), partition)).collect()
    }

    fn event(&self, event: MemberEvent) -> MemberEvent {
        match event {
            MemberEvent::Assigned(all) => {
                let outer = |one: Assigned| Assigned { topic: self.known(&one.topic), ..one };
                MemberEvent::Assigned(all.into_iter().map(outer).collect())
            }
            MemberEvent::Revoked(places) => MemberEvent::Revoked(self.places(places)),
            MemberEvent::Lost(places) => MemberEvent::Lost(self.places(places)),
            MemberEvent::Records { topic, partition, records, end } => {
                MemberEvent::Records { topic: self.known(&topic), partition, records, end }
            }
            MemberEvent::Gap { topic, partition, from, to } => {
                MemberEvent::Gap { topic: self.known(&topic), partition, from, to }
            }
        }
    }
}

impl Layer for Tenant {
    fn below(&self) -> &dyn EventLog {
        &*self.engine
    }

    fn inner(&self, topic: &Topic) -> Topic {
        self.names.inner(topic)
    }

    fn outer(&self, info: &TopicInfo) -> Option<TopicInfo> {
        self.names.info(info)
    }
}

#[async_trait]
impl Groups for Layered<Tenant> {
    async fn join(&self, group: &GroupName, subscription: GroupSubscription) -> Result<Membership, Error> {
        let topics = subscription.topics.iter().map(|topic| self.0.names.inner(topic)).collect();
        let subscription = GroupSubscription { topics, ..subscription };
        let Membership { events, commits } =
            self.0.engine.join(&self.0.names.group(group), subscription).await?;
        let names = self.0.names.clone();
        Ok(Membership {
            events: Box::new(TenantEvents { events, names: names.clone() }),
            commits: Arc::new(TenantCommits { commits, names }),
        })
    }

    async fn committed(
        &self,
        group: &GroupName,
        topic: &Topic,
    ) -> Result<BTreeMap<Partition, Committed>, Error> {
        self.0.engine.committed(&self.0.names.group(group), &self.0.names.inner(topic)).await
    }

    async fn set_committed(&self, group: &GroupName, commits: Vec<Commit>) -> Result<(), Error> {
        self.0.engine.set_committed(&self.0.names.group(group), self.0.names.commits(commits)).await
    }

    async fn forget(&self, group: &GroupName) -> Result<(), Error> {
        self.0.engine.forget(&self.0.names.group(group)).await
    }

    async fn groups(&self) -> Result<Vec<GroupName>, Error> {
        let prefix = format!("{}-", self.0.names.0);
        let outer = |group: &GroupName| {
            group.as_str().strip_prefix(&prefix).and_then(|name| GroupName::parse(name).ok())
        };
        Ok(self.0.engine.groups().await?.iter().filter_map(outer).collect())
    }
}

#[derive(Debug)]
struct TenantEvents {
    events: Box<dyn MemberEvents>,
    names: Names,
}

#[async_trait]
impl MemberEvents for TenantEvents {
    async fn next(&mut self) -> Result<MemberEvent, Error> {
        self.events.next().await.map(|event| self.names.event(event))
    }

    fn hold(&mut self, topic: &Topic, partition: Partition) {
        self.events.hold(&self.names.inner(topic), partition);
    }

    fn release(&mut self, topic: &Topic, partition: Partition) {
        self.events.release(&self.names.inner(topic), partition);
    }

    async fn seek(&mut self, topic: &Topic, partition: Partition, offset: Offset) -> Result<(), Error> {
        self.events.seek(&self.names.inner(topic), partition, offset).await
    }

    async fn give_back(&mut self, partitions: &[(Topic, Partition)]) {
        let inner = |(topic, partition): &(Topic, Partition)| (self.names.inner(topic), *partition);
        let partitions: Vec<_> = partitions.iter().map(inner).collect();
        self.events.give_back(&partitions).await;
    }

    async fn leave(self: Box<Self>) {
        self.events.leave().await;
    }
}

#[derive(Debug)]
struct TenantCommits {
    commits: Arc<dyn Commits>,
    names: Names,
}

#[async_trait]
impl Commits for TenantCommits {
    async fn commit(&self, commits: Vec<Commit>) -> Result<(), Error> {
        self.commits.commit(self.names.commits(commits)).await
    }
}
