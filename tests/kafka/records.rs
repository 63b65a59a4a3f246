//! What native clients write and read beside the gateway.

use std::time::Duration;

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rskafka::client::ClientBuilder;
use rskafka::client::partition::UnknownTopicHandling;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use weirgate::event::{HeaderName, Headers, Offset, Partition, Timestamp, Topic};
use weirgate::log::conformance::Subject;
use weirgate::log::{Append, Appended, Cleanup, NewRecord, Purpose, TopicSpec};
use weirgate::log_kafka::{Config, Secret};

use crate::broker;
use crate::conformance::{known, open, read, subject};
use crate::harness::waiting::{eventually_within, in_time};

const FIRST: Partition = Partition::new(0);
const PATIENCE: Duration = Duration::from_secs(60);

/// A topic of one partition that nobody else has.
async fn topic(subject: &Subject) -> Topic {
    let name = Topic::parse(&format!("records.{}", uuid::Uuid::new_v4().simple())).unwrap();
    let cleanup = Cleanup::Delete;
    let spec = TopicSpec { name, partitions: 1, cleanup, retention: None, retention_bytes: None };
    subject.log.ensure_topic(&spec).await.unwrap();
    spec.name
}

/// An engine with one more property.
async fn subject_with(name: &str, value: &str) -> Subject {
    let mut config = Config::of(spawn_blocking(broker::shared).await.unwrap());
    config.properties.insert(name.to_owned(), Secret::new(value));
    open(config)
}

/// All values of a topic, read to its end as of now.
async fn values(subject: &Subject, topic: &Topic) -> Vec<String> {
    let end = subject.log.bounds(topic, FIRST).await.unwrap().end;
    let mut reader = subject.log.reader(topic, FIRST, Offset::ZERO, Purpose::CatchUp).await.unwrap();
    let mut values = Vec::new();
    while reader.position() < end {
        let fetched = read(&mut *reader, 1 << 20).await;
        let texts = fetched.records.iter().map(|record| record.value.as_deref().unwrap());
        values.extend(texts.map(|value| String::from_utf8(value.to_vec()).unwrap()));
    }
    assert_eq!(reader.position(), end);
    values
}

fn producer(transactional: bool) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker::shared().join(",")).set("linger.ms", "0");
    if transactional {
        config.set("transactional.id", uuid::Uuid::new_v4().to_string());
    }
    config.create().unwrap()
}

fn send(producer: &BaseProducer, topic: &Topic, value: &str) {
    let record = BaseRecord::<(), str>::to(topic.as_str()).partition(0).payload(value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

/// Marks at the end have offsets and are no records; whoever reads must come past them.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn readers_pass_the_marks_of_transactions_and_never_see_aborted_records() {
    let (subject, ()) = subject().await;
    let topic = topic(&subject).await;
    let written = topic.clone();
    spawn_blocking(move || {
        let producer = producer(true);
        producer.init_transactions(PATIENCE).unwrap();
        for (value, is_kept) in [("kept-1", true), ("aborted", false), ("kept-2", true), ("aborted", false)] {
            producer.begin_transaction().unwrap();
            send(&producer, &written, value);
            producer.flush(PATIENCE).unwrap();
            let ended = if is_kept {
                producer.commit_transaction(PATIENCE)
            } else {
                producer.abort_transaction(PATIENCE)
            };
            ended.unwrap();
        }
    })
    .await
    .unwrap();
    // The end lies behind the last mark, which the broker may set after it answered, and the next record comes there.
    let end = Offset::new(8);
    let is_marked = async || (subject.log.bounds(&topic, FIRST).await.unwrap().end == end).then_some(());
    eventually_within(PATIENCE, "the last mark", is_marked).await;
    assert_eq!(values(&subject, &topic).await, ["kept-1", "kept-2"]);
    let record = NewRecord { value: Some(Bytes::from_static(b"ours")), ..NewRecord::default() };
    let append = Append { topic: topic.clone(), partition: FIRST, records: vec![record] };
    assert_eq!(subject.log.append(append).await.unwrap().base, end);
    assert_eq!(values(&subject, &topic).await, ["kept-1", "kept-2", "ours"]);
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn what_a_native_producer_wrote_comes_byte_for_byte() {
    let (subject, ()) = subject().await;
    let topic = topic(&subject).await;
    let written = topic.clone();
    spawn_blocking(move || {
        let producer = producer(false);
        let headers = OwnedHeaders::new()
            .insert(Header { key: "a", value: Some("1") })
            .insert(Header { key: "a", value: Some("2") })
            .insert(Header { key: "null", value: None::<&str> })
            .insert(Header { key: "", value: Some("") });
        let full = BaseRecord::<[u8], [u8]>::to(written.as_str()).partition(0).key(b"k\xff").headers(headers);
        producer
            .send(full.payload(&[7; 900_000]).timestamp(1_700_000_000_123))
            .map_err(|(error, _)| error)
            .unwrap();
        let tombstone = BaseRecord::<[u8], [u8]>::to(written.as_str()).partition(0).key(b"");
        producer.send(tombstone).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
    })
    .await
    .unwrap();
    let mut reader = subject.log.reader(&topic, FIRST, Offset::ZERO, Purpose::Tail).await.unwrap();
    let mut records = Vec::new();
    while records.len() < 2 {
        records.extend(read(&mut *reader, 1 << 22).await.records);
    }
    let header = |name: &str, value: Option<&'static str>| (HeaderName::from(name), value.map(Bytes::from));
    let expected = Headers::new(vec![
        header("a", Some("1")),
        header("a", Some("2")),
        header("null", None),
        header("", Some("")),
    ]);
    assert_eq!(records[0].headers, expected);
    assert_eq!(records[0].key.as_deref(), Some(&b"k\xff"[..]));
    assert_eq!(records[0].value.as_deref(), Some(&[7; 900_000][..]));
    assert_eq!(records[0].timestamp, Timestamp::from_millis(1_700_000_000_123));
    assert_eq!((records[1].key.as_deref(), records[1].value.as_deref()), (Some(&b""[..]), None));
}

/// Where compaction took records away, their offsets stay empty.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn readers_pass_what_compaction_took() {
    let (subject, ()) = subject().await;
    let name = format!("records.{}", uuid::Uuid::new_v4().simple());
    let made = NewTopic::new(&name, 1, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("min.cleanable.dirty.ratio", "0.001")
        .set("segment.ms", "50");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker::shared().join(",")).create().unwrap();
    admin.create_topics([&made], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let topic = Topic::parse(&name).unwrap();
    known(&*subject.log, &topic).await;
    let append = async |key: &'static str, value: String| {
        let (key, value) = (Some(Bytes::from_static(key.as_bytes())), Some(Bytes::from(value)));
        let record = NewRecord { key, value, ..NewRecord::default() };
        let append = Append { topic: topic.clone(), partition: FIRST, records: vec![record] };
        subject.log.append(append).await.unwrap();
    };
    append("once", "first".to_owned()).await;
    let compacted = async {
        let mut interval = tokio::time::interval(Duration::from_millis(50));
        for number in 1.. {
            interval.tick().await;
            append("often", number.to_string()).await;
            let values = values(&subject, &topic).await;
            assert_eq!((values[0].as_str(), values.last()), ("first", Some(&number.to_string())));
            if values.len() <= number {
                break;
            }
        }
    };
    in_time(PATIENCE * 4, "the broker compacts", compacted).await;
}

/// Kafka keeps an append's records in order and not together.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn every_record_of_an_append_is_where_its_answer_says_though_others_write_between() {
    let subject = subject_with("batch.num.messages", "10").await;
    let topic = topic(&subject).await;
    let (written, stop) = (topic.clone(), CancellationToken::new());
    // Also where this test fails.
    let (stopped, stop) = (stop.clone(), stop.drop_guard());
    let disturbing = spawn_blocking(move || {
        let producer = producer(false);
        while !stopped.is_cancelled() {
            send(&producer, &written, "theirs");
            producer.flush(PATIENCE).unwrap();
        }
    });
    let mut appended = Vec::new();
    while appended.len() < 200 && appended.iter().all(|one: &Appended| one.scattered.is_none()) {
        let round = appended.len();
        let record =
            |number| NewRecord { value: Some(format!("{round}:{number}").into()), ..NewRecord::default() };
        let records = (0..500).map(record).collect();
        let append = Append { topic: topic.clone(), partition: FIRST, records };
        appended.push(subject.log.append(append).await.unwrap());
    }
    drop(stop);
    in_time(PATIENCE * 2, "the last of theirs", disturbing).await.unwrap();
    let values = values(&subject, &topic).await;
    assert!(values.iter().any(|value| value == "theirs"));
    for (round, appended) in appended.iter().enumerate() {
        for number in 0..500 {
            let at = usize::try_from(appended.offset(number).number()).unwrap();
            assert_eq!(values[at], format!("{round}:{number}"));
        }
    }
    assert!(appended.iter().any(|appended| appended.scattered.is_some()), "nobody wrote between");
}

/// rskafka shares no code with librdkafka.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn another_client_reads_what_the_engine_wrote() {
    // The witness is built without codecs.
    let subject = subject_with("compression.type", "none").await;
    let topic = topic(&subject).await;
    let record = NewRecord {
        key: Some(Bytes::from_static(b"key\xff")),
        value: Some(Bytes::from_static(b"value")),
        headers: Headers::new(vec![(HeaderName::from("ce_id"), Some(Bytes::from_static(b"1")))]),
        timestamp: Some(Timestamp::from_millis(1_700_000_000_123)),
    };
    let tombstone = NewRecord { value: None, headers: Headers::default(), ..record.clone() };
    let append = Append { topic: topic.clone(), partition: FIRST, records: vec![record, tombstone] };
    subject.log.append(append).await.unwrap();

    let witness = async {
        let client = ClientBuilder::new(broker::shared()).build().await.unwrap();
        let reader = client.partition_client(topic.as_str(), 0, UnknownTopicHandling::Retry).await.unwrap();
        reader.fetch_records(0, 1..1_000_000, 5_000).await.unwrap()
    };
    let (records, end) = in_time(PATIENCE * 3, "what the witness reads", witness).await;
    assert_eq!((records.len(), end), (2, 2));
    let full = &records[0].record;
    assert_eq!((full.key.as_deref(), full.value.as_deref()), (Some(&b"key\xff"[..]), Some(&b"value"[..])));
    assert_eq!(full.headers.get("ce_id").map(Vec::as_slice), Some(&b"1"[..]));
    assert_eq!(full.timestamp.timestamp_millis(), 1_700_000_000_123);
    assert_eq!((records[1].offset, records[1].record.value.as_deref()), (1, None));
}
