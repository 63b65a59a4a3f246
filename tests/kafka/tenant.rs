//! A log of one's own on the broker that all tests share: every topic and group gets a prefix that the tenant does not
//! see. So tests that name the topics they use run beside one another, unchanged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use weirgate::event::{Clock, GroupName, Offset, Partition, Timestamp, Topic};
use weirgate::log::{
    Append, Appended, Appending, Assigned, Bounds, Commit, Commits, Committed, Error, EventLog,
    GroupSubscription, Groups, Health, MemberEvent, MemberEvents, Membership, Purpose, Reader, TopicInfo,
    TopicSpec,
};
use weirgate::log_kafka::{Config, Engine};
use weirgate::telemetry::Registry;

use crate::broker;

/// What lives as long as the log.
pub(crate) type Keep = ();

/// Brokers take their time, and this one serves other tests, too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A new log.
pub(crate) async fn open() -> (Arc<dyn EventLog>, Arc<dyn Groups>, Keep) {
    let brokers = tokio::task::spawn_blocking(broker::shared).await.unwrap();
    let engine = Engine::open(Config::of(brokers), Clock::system(), &Registry::new()).unwrap();
    let id = uuid::Uuid::new_v4().simple().to_string();
    let tenant = Arc::new(Tenant { engine, names: Names(format!("t{}", &id[..12])) });
    (Arc::<Tenant>::clone(&tenant), tenant, ())
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

    fn append(&self, append: Append) -> Append {
        Append { topic: self.inner(&append.topic), ..append }
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

#[async_trait]
impl EventLog for Tenant {
    fn topics(&self) -> Vec<TopicInfo> {
        self.engine.topics().iter().filter_map(|info| self.names.info(info)).collect()
    }

    fn topic(&self, topic: &Topic) -> Option<Arc<TopicInfo>> {
        self.engine.topic(&self.names.inner(topic)).and_then(|info| self.names.info(&info)).map(Arc::new)
    }

    fn topics_known(&self) -> Result<(), Error> {
        self.engine.topics_known()
    }

    fn topic_changes(&self) -> watch::Receiver<u64> {
        self.engine.topic_changes()
    }

    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        let spec = TopicSpec { name: self.names.inner(&spec.name), ..spec.clone() };
        self.engine.ensure_topic(&spec).await.map(|info| self.names.info(&info).unwrap())
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<(), Error> {
        self.engine.delete_topic(&self.names.inner(topic)).await
    }

    fn append(&self, append: Append) -> Appending {
        self.engine.append(self.names.append(append))
    }

    async fn append_atomic(&self, appends: Vec<Append>) -> Result<Vec<Appended>, Error> {
        let inner = appends.into_iter().map(|append| self.names.append(append)).collect();
        self.engine.append_atomic(inner).await
    }

    async fn append_at(&self, append: Append, end: Offset) -> Result<Appended, Error> {
        self.engine.append_at(self.names.append(append), end).await
    }

    async fn reader(
        &self,
        topic: &Topic,
        partition: Partition,
        from: Offset,
        purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error> {
        self.engine.reader(&self.names.inner(topic), partition, from, purpose).await
    }

    async fn bounds(&self, topic: &Topic, partition: Partition) -> Result<Bounds, Error> {
        self.engine.bounds(&self.names.inner(topic), partition).await
    }

    async fn offset_at(&self, topic: &Topic, partition: Partition, time: Timestamp) -> Result<Offset, Error> {
        self.engine.offset_at(&self.names.inner(topic), partition, time).await
    }

    async fn delete_records(
        &self,
        topic: &Topic,
        partition: Partition,
        before: Offset,
    ) -> Result<Bounds, Error> {
        self.engine.delete_records(&self.names.inner(topic), partition, before).await
    }

    fn health(&self) -> Health {
        self.engine.health()
    }
}

#[async_trait]
impl Groups for Tenant {
    async fn join(&self, group: &GroupName, subscription: GroupSubscription) -> Result<Membership, Error> {
        let topics = subscription.topics.iter().map(|topic| self.names.inner(topic)).collect();
        let subscription = GroupSubscription { topics, ..subscription };
        let Membership { events, commits } = self.engine.join(&self.names.group(group), subscription).await?;
        let names = self.names.clone();
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
        self.engine.committed(&self.names.group(group), &self.names.inner(topic)).await
    }

    async fn set_committed(&self, group: &GroupName, commits: Vec<Commit>) -> Result<(), Error> {
        self.engine.set_committed(&self.names.group(group), self.names.commits(commits)).await
    }

    async fn forget(&self, group: &GroupName) -> Result<(), Error> {
        self.engine.forget(&self.names.group(group)).await
    }

    async fn groups(&self) -> Result<Vec<GroupName>, Error> {
        let prefix = format!("{}-", self.names.0);
        let outer = |group: &GroupName| {
            group.as_str().strip_prefix(&prefix).and_then(|name| GroupName::parse(name).ok())
        };
        Ok(self.engine.groups().await?.iter().filter_map(outer).collect())
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
