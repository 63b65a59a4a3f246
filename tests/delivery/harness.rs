//! A delivery service over the log that this binary tests it on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use weirgate::delivery::{
    AckMode, Config, ConnectionId, DeadLetterPage, DeadLetterQuery, Delivery, How, Join, Member, Policy,
    PolicyPatch, Push, Service, Settlement, Tag,
};
use weirgate::event::{Catalogue, Clock, EventType, GroupName, LiveCatalogue, Partition, Topic, TopicRule};
use weirgate::log::{Append, Cleanup, EventLog, Groups, NewRecord, TopicSpec};
use weirgate::telemetry::Registry;

use super::engine::{self, Keep, PATIENCE};
use super::fault::{Fault, Faulty};
use super::layered::Layered;
use super::scripted::{Script, Scripted};
use super::waiting::{eventually_within, in_time};

const NODE: &str = "g1";
const NEIGHBOUR: &str = "g2";

pub(crate) struct World {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) fault: Arc<Fault>,
    pub(crate) delivery: Delivery,
    pub(crate) registry: Registry,
    groups: Arc<dyn Groups>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    defaults: Policy,
    _keep: Keep,
}

/// Another gateway at the same log.
pub(crate) struct Neighbour {
    pub(crate) delivery: Delivery,
    task: JoinHandle<()>,
}

/// A member and what it was told and has not looked at yet.
pub(crate) struct Worker {
    pub(crate) member: Member,
    told: VecDeque<Push>,
}

#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) tag: Tag,
    pub(crate) frame: Value,
}

pub(crate) fn group() -> GroupName {
    GroupName::parse("inventory-sync").unwrap()
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

pub(crate) fn patch(text: &str) -> PolicyPatch {
    PolicyPatch::parse(text.as_bytes()).unwrap()
}

impl World {
    /// A log with the topic `orders.v1` and a group that reads it, quick to retry; `policy` says what is different.
    pub(crate) async fn start(partitions: u32, policy: &str) -> Self {
        Self::over(partitions, policy, |groups| groups).await
    }

    /// The same, over groups that a test plays itself.
    pub(crate) async fn scripted(partitions: u32, policy: &str) -> (Self, Script) {
        let (scripted, script) = Scripted::new();
        (Self::over(partitions, policy, |_| scripted).await, script)
    }

    async fn over(
        partitions: u32,
        policy: &str,
        groups: impl FnOnce(Arc<dyn Groups>) -> Arc<dyn Groups>,
    ) -> Self {
        let (log, own, keep) = engine::open().await;
        let defaults =
            patch(r#"{"backoff":{"firstMs":10,"maxMs":40},"commitIntervalMs":50,"reconnectGraceMs":200}"#);
        let defaults = defaults.apply(&Policy::default()).unwrap();
        let fault = Arc::new(Fault::default());
        let groups = groups(own);
        let (delivery, registry, shutdown, task) = serve(NODE, &log, &groups, &fault, &defaults);
        let world = Self { log, fault, delivery, registry, groups, shutdown, task, defaults, _keep: keep };
        world.create("orders.v1", partitions).await;
        let policy = PolicyPatch { topics: Some(vec![topic("orders.v1")]), ..patch(policy) };
        world.delivery.put_policy(&group(), policy).await.unwrap();
        world
    }

    pub(crate) async fn create(&self, name: &str, partitions: u32) {
        let spec = TopicSpec {
            name: topic(name),
            partitions,
            cleanup: Cleanup::Delete,
            retention: None,
            retention_bytes: None,
        };
        self.log.ensure_topic(&spec).await.unwrap();
    }

    /// The process dies and comes back: nothing is committed that was not, nobody says goodbye.
    pub(crate) async fn crash(&mut self) {
        self.task.abort();
        (self.delivery, self.registry, self.shutdown, self.task) =
            serve(NODE, &self.log, &self.groups, &self.fault, &self.defaults);
        self.ready().await;
    }

    /// A planned end and a new beginning.
    pub(crate) async fn restart(&mut self) {
        self.end().await;
        (self.delivery, self.registry, self.shutdown, self.task) =
            serve(NODE, &self.log, &self.groups, &self.fault, &self.defaults);
        self.ready().await;
    }

    /// A planned end.
    pub(crate) async fn end(&mut self) {
        self.shutdown.cancel();
        in_time(PATIENCE, "the service's end", &mut self.task).await.unwrap();
    }

    pub(crate) async fn publish(&self, partition: u32, key: &str, count: usize) {
        self.publish_to("orders.v1", partition, key, count).await;
    }

    pub(crate) async fn publish_to(&self, name: &str, partition: u32, key: &str, count: usize) {
        let records = vec![record(key); count];
        let append = Append { topic: topic(name), partition: Partition::new(partition), records };
        self.log.append(append).await.unwrap();
    }

    pub(crate) async fn join(&self, connection: &str, credit: u32) -> Worker {
        self.join_as(join(connection, credit)).await
    }

    pub(crate) async fn join_as(&self, join: Join) -> Worker {
        Worker::of(&self.delivery, join).await
    }

    pub(crate) async fn letters(&self) -> DeadLetterPage {
        let query = DeadLetterQuery { limit: 10, ..DeadLetterQuery::default() };
        self.delivery.dead_letters(&group(), query).await.unwrap()
    }

    /// What the group has committed in a partition of `orders.v1`.
    pub(crate) async fn committed(&self, partition: u32) -> Option<u64> {
        self.committed_in("orders.v1", partition).await
    }

    pub(crate) async fn committed_in(&self, name: &str, partition: u32) -> Option<u64> {
        let all = self.groups.committed(&group(), &topic(name)).await.unwrap();
        all.get(&Partition::new(partition)).map(|committed| committed.offset.number())
    }

    pub(crate) async fn until_committed(&self, partition: u32, offset: u64) {
        let is_reached = async || (self.committed(partition).await == Some(offset)).then_some(());
        eventually_within(PATIENCE, format_args!("offset {offset} is committed"), is_reached).await;
    }

    pub(crate) async fn neighbour(&self) -> Neighbour {
        let (delivery, _, _, task) = serve(NEIGHBOUR, &self.log, &self.groups, &self.fault, &self.defaults);
        until_ready(&delivery).await;
        Neighbour { delivery, task }
    }

    /// The group as JSON.
    pub(crate) async fn view(&self) -> Value {
        serde_json::to_value(self.delivery.group(&group()).await.unwrap()).unwrap()
    }

    /// Waits until a metric's line is there.
    pub(crate) async fn until_metric(&self, line: &str) {
        let is_there = async || self.registry.render().lines().any(|one| one == line).then_some(());
        eventually_within(PATIENCE, format_args!("{line} is told"), is_there).await;
    }

    /// Waits until no metric's line begins so.
    pub(crate) async fn until_no_metric(&self, start: &str) {
        let is_gone =
            async || (!self.registry.render().lines().any(|one| one.starts_with(start))).then_some(());
        eventually_within(PATIENCE, format_args!("{start} is no longer told"), is_gone).await;
    }

    async fn ready(&self) {
        until_ready(&self.delivery).await;
    }
}

impl Neighbour {
    /// The group as JSON.
    pub(crate) async fn view(&self) -> Value {
        serde_json::to_value(self.delivery.group(&group()).await.unwrap()).unwrap()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Worker {
    /// A member at some gateway.
    pub(crate) async fn of(delivery: &Delivery, join: Join) -> Self {
        Self { member: delivery.join(join).await.unwrap(), told: VecDeque::new() }
    }

    pub(crate) async fn told(&mut self) -> Push {
        if self.told.is_empty() {
            let pushes = in_time(PATIENCE, "what comes next", self.member.next(1 << 20)).await;
            self.told.extend(pushes.unwrap());
        }
        self.told.pop_front().unwrap()
    }

    /// The next thing told that is no assignment.
    pub(crate) async fn told_but_assignments(&mut self) -> Push {
        loop {
            match self.told().await {
                Push::Assignment { .. } => {}
                other => return other,
            }
        }
    }

    /// Waits until only what was pulled is in flight.
    pub(crate) async fn until_recalled(&self, world: &World) {
        let in_flight = async || {
            let view = serde_json::to_value(world.delivery.group(&group()).await.unwrap()).unwrap();
            view["members"][0]["inFlight"].as_u64().unwrap()
        };
        let is_recalled = async || (in_flight().await == 1).then_some(());
        eventually_within(PATIENCE, "only what was pulled is in flight", is_recalled).await;
    }

    /// The next delivery; assignments on the way are passed over.
    pub(crate) async fn delivery(&mut self) -> Got {
        match self.told_but_assignments().await {
            Push::Delivery { tag, frame } => Got { tag, frame: serde_json::from_slice(&frame).unwrap() },
            other => panic!("no delivery but {other:?}"),
        }
    }

    /// A delivery pulled when others wait behind it.
    pub(crate) async fn pulled_alone(&mut self) -> Tag {
        loop {
            let pushes = in_time(PATIENCE, "what comes next", self.member.next(1)).await.unwrap();
            if let [Push::Delivery { tag, .. }] = pushes.as_slice() {
                return *tag;
            }
        }
    }

    pub(crate) async fn deliveries(&mut self, count: usize) -> Vec<Got> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(self.delivery().await);
        }
        all
    }

    /// What was withdrawn; deliveries and assignments on the way are passed over.
    pub(crate) async fn withdrawn(&mut self) -> (Vec<Tag>, weirgate::delivery::Withdrawal) {
        loop {
            if let Push::Withdrawn { tags, reason } = self.told().await {
                return (tags, reason);
            }
        }
    }

    /// Whether nothing but assignments comes for a while.
    pub(crate) async fn is_idle(&mut self) -> bool {
        const WHILE: Duration = Duration::from_millis(150);
        let something = async {
            loop {
                if !matches!(self.told().await, Push::Assignment { .. }) {
                    return;
                }
            }
        };
        timeout(WHILE, something).await.is_err()
    }

    pub(crate) async fn ack(&self, got: &Got) {
        assert_eq!(self.settle(Settlement::Ack(vec![got.tag])).await, []);
    }

    pub(crate) async fn nack(&self, got: &Got) {
        let nack =
            Settlement::Nack { tag: got.tag, delay: None, reason: Some("stock service down".to_owned()) };
        assert_eq!(self.settle(nack).await, []);
    }

    pub(crate) async fn settle(&self, settlement: Settlement) -> Vec<weirgate::delivery::Refused> {
        self.member.control().settle(settlement).await.unwrap()
    }

    pub(crate) async fn leave(self, how: How) {
        self.member.leave(how).await;
    }
}

impl Got {
    pub(crate) fn offset(&self) -> u64 {
        self.frame["offset"].as_u64().unwrap()
    }

    pub(crate) fn attempt(&self) -> u64 {
        self.frame["attempt"].as_u64().unwrap()
    }
}

/// An event of a key, as `orders.v1` holds them.
pub(crate) fn record(key: &str) -> NewRecord {
    let value = r#"{"eventId":"e-1","eventType":"orders.placed.v1","eventVersion":"1.0.0","timestamp":"2026-11-21T10:15:30.123Z","source":"order-service","data":{"n":1}}"#;
    NewRecord {
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::from(value)),
        ..NewRecord::default()
    }
}

pub(crate) fn offsets(all: &[Got]) -> Vec<u64> {
    all.iter().map(Got::offset).collect()
}

pub(crate) fn join(connection: &str, credit: u32) -> Join {
    Join {
        group: group(),
        connection: ConnectionId::new(connection),
        principal: "service:inventory".into(),
        credit,
        ack: AckMode::Manual,
        adopt: None,
        topics: None,
    }
}

async fn until_ready(delivery: &Delivery) {
    let is_ready = async || delivery.is_ready().then_some(());
    eventually_within(PATIENCE, "the service is ready", is_ready).await;
}

/// What the configuration file says of groups.
pub(crate) fn config(defaults: Policy, groups: BTreeMap<GroupName, PolicyPatch>) -> Config {
    Config {
        node: NODE.into(),
        defaults,
        groups,
        dead_letter_retention: Duration::from_secs(30 * 86_400),
        dead_letter_states_bytes_max: 64 << 10,
        parked_keys_max: 100,
        in_flight_max: 256,
    }
}

fn serve(
    node: &str,
    log: &Arc<dyn EventLog>,
    groups: &Arc<dyn Groups>,
    fault: &Arc<Fault>,
    defaults: &Policy,
) -> (Delivery, Registry, CancellationToken, JoinHandle<()>) {
    let types = vec![EventType::parse("orders.placed.v1").unwrap()];
    let rule = TopicRule::plain(topic("orders.v1"), types);
    let config = Config { node: node.into(), ..config(defaults.clone(), BTreeMap::new()) };
    let registry = Registry::new();
    let catalogue = LiveCatalogue::new(Catalogue::new(vec![rule.clone()], rule));
    let log = Arc::new(Layered(Faulty { log: Arc::clone(log), fault: Arc::clone(fault) }));
    let (service, delivery) =
        Service::new(config, log, Arc::clone(groups), catalogue, Clock::system(), &registry);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(service.run(shutdown.clone()));
    (delivery, registry, shutdown, task)
}
