//! Atomic batches on a real cluster: what a native client sees of them, and what a gateway that dies in the middle of one
//! leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset as Native, TopicPartitionList};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use weirgate::event::{Partition, Topic};
use weirgate::log::conformance::Subject;
use weirgate::log::{Append, Error, NewRecord};

use crate::conformance::{known, subject};
use crate::harness::{DEADLINE, Process, client, order};
use crate::{broker, engine};

/// A transaction nobody ends is over after 10 s, and brokers look for such every 10 s.
const PATIENCE: Duration = Duration::from_secs(120);
const BATCH: usize = 1_000;

fn name() -> String {
    format!("atomic.{}", uuid::Uuid::new_v4().simple())
}

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker::shared().join(","));
    config
}

/// A topic of these partitions, with this setting.
async fn make_topic(name: &str, partitions: i32, setting: (&str, &str)) {
    let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
    let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1)).set(setting.0, setting.1);
    let made = admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

/// A native client that reads a topic of two partitions from its beginning. Blocks.
struct Witness {
    client: BaseConsumer,
    /// What it has read, with the partition of each.
    read: Vec<(i32, String)>,
}

impl Witness {
    fn of(topic: &str, isolation: &str) -> Self {
        let mut config = config();
        config.set("group.id", name()).set("isolation.level", isolation).set("enable.auto.commit", "false");
        let client: BaseConsumer = config.create().unwrap();
        let mut places = TopicPartitionList::new();
        for partition in 0..2 {
            places.add_partition_offset(topic, partition, Native::Beginning).unwrap();
        }
        client.assign(&places).unwrap();
        Self { client, read: Vec::new() }
    }

    /// Reads on until what it has read satisfies `is_enough`.
    fn until(&mut self, what: &str, is_enough: impl Fn(&[(i32, String)]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_enough(&self.read) {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            if let Some(message) = self.client.poll(Duration::from_millis(100)) {
                let message = message.unwrap();
                let value = String::from_utf8(message.payload().unwrap().to_vec()).unwrap();
                self.read.push((message.partition(), value));
            }
        }
    }

    fn count(&self, of: &str) -> usize {
        self.read.iter().filter(|(_, value)| value.contains(of)).count()
    }
}

fn append(topic: &Topic, partition: u32, texts: &[&str]) -> Append {
    let record = |text: &&str| NewRecord { value: Some(text.to_string().into()), ..NewRecord::default() };
    let records = texts.iter().map(record).collect();
    Append { topic: topic.clone(), partition: Partition::new(partition), records }
}

/// Several transactions at a time, some of which the broker refuses in their middle.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_native_reader_of_committed_records_sees_batches_whole_or_not_at_all() {
    const COUNT: usize = 12;
    let (Subject { log, .. }, ()) = subject().await;
    let (wide, narrow) = (name(), name());
    make_topic(&wide, 2, ("max.message.bytes", "1048588")).await;
    make_topic(&narrow, 1, ("max.message.bytes", "2000")).await;
    let (wide, narrow) = (Topic::parse(&wide).unwrap(), Topic::parse(&narrow).unwrap());
    known(&*log, &wide).await;
    known(&*log, &narrow).await;

    let batches = (0..COUNT).map(|number| {
        let (log, wide, narrow) = (Arc::clone(&log), wide.clone(), narrow.clone());
        tokio::spawn(async move {
            let is_good = number % 3 != 2;
            let text = format!("{}-{number}", if is_good { "good" } else { "bad" });
            let large: String = (0..500).map(|_| uuid::Uuid::new_v4().to_string()).collect();
            let last = append(&narrow, 0, &[if is_good { &text } else { &large }]);
            let both = [0, 1].map(|partition| append(&wide, partition, &[&text, &text]));
            let answer = log.append_atomic(both.into_iter().chain([last]).collect()).await;
            match answer {
                Ok(appended) if is_good => assert_eq!(appended.len(), 3),
                Err(Error::RecordTooLarge { .. }) if !is_good => {}
                other => panic!("{text}: {other:?}"),
            }
        })
    });
    for batch in batches.collect::<Vec<_>>() {
        batch.await.unwrap();
    }
    for partition in [0, 1] {
        log.append(append(&wide, partition, &["last"])).await.unwrap();
    }
    let topic = wide.to_string();
    let (committed, all) = spawn_blocking(move || {
        ["read_committed", "read_uncommitted"]
            .map(|isolation| {
                let mut witness = Witness::of(&topic, isolation);
                let is_last =
                    |read: &[(i32, String)]| read.iter().filter(|(_, text)| text == "last").count() == 2;
                witness.until("the last records", is_last);
                witness
            })
            .into()
    })
    .await
    .unwrap();
    let (committed, all): (Witness, Witness) = (committed, all);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, text) in committed.read.iter().filter(|(_, text)| text != "last") {
        *seen.entry(text).or_default() += 1;
    }
    assert_eq!(seen.len(), COUNT * 2 / 3, "{seen:?}");
    assert!(seen.iter().all(|(text, count)| text.starts_with("good") && *count == 4), "{seen:?}");
    assert!(all.count("bad-") > 0, "what was refused in the middle had been written in part");
}

/// A gateway whose topic is this one; its records go to the broker one by one, so that a batch takes a while.
async fn gateway(directory: &std::path::Path, topic: &str, sets: &[String]) -> Process {
    let topics = format!(
        "topics=[{{name: {topic}, event_types: [orders.placed.v1], partitions: 2, key: /data/customerId}}]"
    );
    let one_by_one = "log.kafka.properties={batch.num.messages: '1'}".to_owned();
    let keys: Vec<String> = sets.iter().cloned().chain([topics, one_by_one]).collect();
    Process::start_with(directory, "127.0.0.1:0", &keys).await
}

fn post(gateway: &Process, query: &str, body: String) -> reqwest::RequestBuilder {
    let request = client().post(gateway.url(&format!("/v1/events{query}"))).bearer_auth(&gateway.token);
    request.header("content-type", "application/json").timeout(DEADLINE).body(body)
}

fn batch(name: &str) -> String {
    let orders =
        (0..BATCH).map(|number| order(&format!("ord_{name}x{number}"), &format!("c-{}", number % 20)));
    format!("[{}]", orders.collect::<Vec<_>>().join(","))
}

/// Kills a gateway (-9) that has written a part of a batch, until one is caught before its commit. Readers of committed
/// records see none of that batch, and what others wrote behind it once the transaction's time is over.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_gateway_killed_within_a_transaction_leaves_nothing_of_it_to_see() {
    let sets = spawn_blocking(engine::sets).await.unwrap();
    let topic = name();
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let survivor = gateway(directories[0].path(), &topic, &sets).await;
    let stored = post(&survivor, "?atomic=true", batch("whole")).send().await.unwrap();
    assert_eq!(stored.status(), 207);
    let answer: Value = serde_json::from_str(&stored.text().await.unwrap()).unwrap();
    let items = answer["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item["status"] == "accepted"));
    let committed_topic = topic.clone();
    let mut committed =
        spawn_blocking(move || Witness::of(&committed_topic, "read_committed")).await.unwrap();

    for round in 0.. {
        assert!(round < 20, "no gateway was caught between its first record and its commit");
        let doomed = gateway(directories[1].path(), &topic, &sets).await;
        let torn = format!("ord_torn{round}x");
        // It reads along before there is anything to see, so that it sees the first record at once.
        let watched = topic.clone();
        let mut witness = spawn_blocking(move || {
            let mut witness = Witness::of(&watched, "read_uncommitted");
            witness.until("the whole batch", |read| read.len() >= BATCH);
            witness
        })
        .await
        .unwrap();
        let answer = tokio::spawn(post(&doomed, "?atomic=true", batch(&format!("torn{round}"))).send());
        let seen = torn.clone();
        spawn_blocking(move || {
            let is_begun = |read: &[(i32, String)]| read.iter().any(|(_, text)| text.contains(&seen));
            witness.until("the first record", is_begun);
        })
        .await
        .unwrap();
        doomed.kill();
        drop(answer.await.unwrap());

        // Others go on writing to both partitions meanwhile.
        for partition in ["0", "1"] {
            let plain = post(&survivor, "", order(&format!("ord_behind{round}x{partition}"), "c-1"));
            let stored = plain.header("weirgate-partition", partition).send().await.unwrap();
            assert_eq!(stored.status(), 201);
        }
        let behind = format!("ord_behind{round}x");
        committed = spawn_blocking(move || {
            let is_shown =
                |read: &[(i32, String)]| read.iter().filter(|(_, text)| text.contains(&behind)).count() == 2;
            committed.until("what lies behind the torn batch", is_shown);
            committed
        })
        .await
        .unwrap();
        let count = committed.count(&torn);
        assert!(count == 0 || count == BATCH, "{count} records of a batch of {BATCH}");
        if count == 0 {
            break;
        }
    }
    assert_eq!(committed.count("ord_wholex"), BATCH);
    // Transactions go on, too.
    let stored =
        post(&survivor, "?atomic=true", format!("[{}]", order("ord_after", "c-1"))).send().await.unwrap();
    assert_eq!(stored.status(), 207);
    let stored: Value = serde_json::from_str(&stored.text().await.unwrap()).unwrap();
    assert_eq!(stored["items"][0]["status"], json!("accepted"));
    assert_eq!(survivor.terminate().await, Some(0));
}
