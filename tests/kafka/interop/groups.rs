//! One group of the gateway and a native client: each has its share, together they have everything once, and Kafka's
//! own tool shows the true lag.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use super::clients::Consumer;
use super::gateway::PARTITIONS;
use super::{Client, Gateway, PATIENCE};
use crate::broker;
use crate::harness::Socket;

/// Partition and offset.
type Place = (u64, u64);

/// The gateway's member of the group.
struct Worker {
    socket: Socket,
    sub: Value,
}

/// What a round of events came to.
struct Shared {
    /// The gateway's places, each with its delivery's tag.
    ours: BTreeMap<Place, Value>,
    theirs: BTreeSet<Place>,
}

impl Worker {
    async fn join(gateway: &Gateway, group: &str) -> Self {
        let mut socket = gateway.socket().await;
        let subscribe = json!({"id": 1, "op": "subscribe", "group": group, "credit": 256});
        let sub = socket.ask(1, &subscribe.to_string()).await["sub"].clone();
        Self { socket, sub }
    }

    async fn ack(&mut self, tags: Vec<Value>) {
        let ack = json!({"op": "ack", "sub": self.sub, "deliveries": tags});
        self.socket.send(&ack.to_string()).await;
    }
}

impl Shared {
    fn partitions_of_ours(&self) -> BTreeSet<u64> {
        self.ours.keys().map(|(partition, _)| *partition).collect()
    }

    fn partitions_of_theirs(&self) -> BTreeSet<u64> {
        self.theirs.iter().map(|(partition, _)| *partition).collect()
    }
}

/// Publishes events of so many keys; answers their places.
async fn publish(gateway: &Gateway, round: &str, count: usize) -> BTreeSet<Place> {
    let event = |number| {
        let data = json!({"key": format!("{round}-{number}")});
        json!({"eventType": "interop.written.v1", "source": "interop", "data": data})
    };
    let batch = json!((0..count).map(event).collect::<Vec<_>>()).to_string();
    let (status, answer) = gateway.post("/v1/events", HeaderMap::new(), batch).await;
    assert_eq!(status, 207, "{answer}");
    let place = |item: &Value| (item["partition"].as_u64().unwrap(), item["offset"].as_u64().unwrap());
    answer["items"].as_array().unwrap().iter().map(place).collect()
}

/// Takes deliveries and records until each place was seen, by whom it may be, and none twice.
async fn share(worker: &mut Worker, native: &mut Consumer, places: &BTreeSet<Place>) -> Shared {
    let mut shared = Shared { ours: BTreeMap::new(), theirs: BTreeSet::new() };
    // Either may say nothing for long while it is the other one's turn.
    let shares = timeout(PATIENCE, take_shares(worker, native, places, &mut shared)).await;
    let (ours, theirs) = (shared.ours.len(), shared.theirs.len());
    assert!(shares.is_ok(), "of {} places the gateway has {ours}, the native member {theirs}", places.len());
    shared
}

async fn take_shares(
    worker: &mut Worker,
    native: &mut Consumer,
    places: &BTreeSet<Place>,
    shared: &mut Shared,
) {
    while shared.ours.len() + shared.theirs.len() < places.len() {
        let place = tokio::select! {
            delivery = worker.socket.event() => {
                let place = (delivery["partition"].as_u64().unwrap(), delivery["offset"].as_u64().unwrap());
                let earlier = shared.ours.insert(place, delivery["delivery"].clone());
                assert!(earlier.is_none() && !shared.theirs.contains(&place), "{delivery} came twice");
                place
            }
            record = native.record() => {
                let record = record.expect("the native member goes on");
                let place = (record.partition, record.offset);
                let is_new = shared.theirs.insert(place);
                assert!(is_new && !shared.ours.contains_key(&place), "{record:?} came twice");
                place
            }
        };
        assert!(places.contains(&place), "{place:?} came again");
    }
}

/// A partition of a group as Kafka's own tool tells it.
#[derive(Debug)]
struct Told {
    partition: u64,
    lag: String,
    /// The client id of the member that has it.
    client: String,
}

async fn told(group: &str) -> Vec<Told> {
    let mut tool = Command::from(broker::tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"));
    tool.args(["--bootstrap-server", &broker::shared().join(","), "--describe", "--group", group]);
    let output = timeout(PATIENCE, tool.kill_on_drop(true).output()).await.expect("the tool ends").unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|columns| columns.first() == Some(&group));
    let told = |columns: Vec<&str>| Told {
        partition: columns[2].parse().unwrap(),
        lag: columns[5].to_owned(),
        client: columns[8].to_owned(),
    };
    rows.map(told).collect()
}

/// Waits until the tool tells what is expected.
async fn until_told(group: &str, what: &str, is_expected: impl Fn(&[Told]) -> bool) {
    let mut seen = Vec::new();
    let wait = async {
        while !is_expected(&seen) {
            seen = told(group).await;
        }
    };
    let waited = timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "the tool never told {what}: {seen:#?}");
}

/// Waits until the gateway owns so many partitions, and another member the others.
async fn until_owned(group: &str, count: usize) {
    until_told(group, &format!("{count} partitions of the gateway"), |told| {
        let ours = told.iter().filter(|one| one.client == "weirgate").count();
        let theirs = told.iter().filter(|one| !["weirgate", "-"].contains(&one.client.as_str())).count();
        ours == count && ours + theirs == PARTITIONS
    })
    .await;
}

async fn until_lag(group: &str, lag: impl Fn(u64) -> usize) {
    until_told(group, "the lag", |told| {
        told.len() == PARTITIONS && told.iter().all(|one| one.lag == lag(one.partition).to_string())
    })
    .await;
}

async fn a_group_is_shared_with(client: Client) {
    let gateway = Gateway::start("native").await;
    let group = format!("shared-{client:?}");
    gateway.make_group(&group).await;
    let mut worker = Worker::join(&gateway, &group).await;
    until_owned(&group, PARTITIONS).await;
    let mut native = client.consume(&gateway.topic, &group).await;
    until_owned(&group, PARTITIONS / 2).await;

    let first = share(&mut worker, &mut native, &publish(&gateway, "first", 90).await).await;
    assert_eq!(first.partitions_of_ours().len(), PARTITIONS / 2);
    assert!(first.partitions_of_ours().is_disjoint(&first.partitions_of_theirs()));
    worker.ack(first.ours.values().cloned().collect()).await;

    // What the gateway's worker holds is the group's lag, and no more.
    let second = share(&mut worker, &mut native, &publish(&gateway, "second", 90).await).await;
    assert_eq!(second.partitions_of_ours(), first.partitions_of_ours());
    let held = |partition| second.ours.keys().filter(|(of, _)| *of == partition).count();
    until_lag(&group, held).await;
    worker.ack(second.ours.values().cloned().collect()).await;

    native.end().await;
    until_owned(&group, PARTITIONS).await;
    let places = publish(&gateway, "third", 50).await;
    let mut seen = BTreeSet::new();
    while seen.len() < places.len() {
        let delivery = worker.socket.next_event().await;
        let place = (delivery["partition"].as_u64().unwrap(), delivery["offset"].as_u64().unwrap());
        assert!(places.contains(&place) && seen.insert(place), "{delivery} came again");
        worker.ack(vec![delivery["delivery"].clone()]).await;
    }
    until_lag(&group, |_| 0).await;
    worker.socket.close().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(has_kafka, has_interop)), ignore = "needs Java 17 and Maven, npm, and Python with venv")]
async fn kafkajs_and_the_gateway_share_a_group() {
    a_group_is_shared_with(Client::KafkaJs).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(has_kafka, has_interop)), ignore = "needs Java 17 and Maven, npm, and Python with venv")]
async fn kafka_python_and_the_gateway_share_a_group() {
    a_group_is_shared_with(Client::KafkaPython).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(has_kafka, has_interop)), ignore = "needs Java 17 and Maven, npm, and Python with venv")]
async fn a_java_consumer_and_the_gateway_share_a_group() {
    a_group_is_shared_with(Client::Java).await;
}
