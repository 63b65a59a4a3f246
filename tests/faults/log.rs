//! What lies in Kafka, read past everything that is under test.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use tokio::task::{JoinHandle, block_in_place, spawn_blocking};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::checkers::Stored;
use crate::history::{Book, Deed, Entry, Kind, Recorder, sha};

const ASK_MAX: Duration = Duration::from_secs(60);
/// How long the log of a run may take to be read.
const READ_MAX: Duration = Duration::from_secs(120);
/// Between two looks at a group's commits.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The id of an event by the envelope it lies in.
pub(crate) fn id_of(value: &[u8]) -> String {
    let envelope: Value = serde_json::from_slice(value).unwrap_or_default();
    envelope["correlationId"].as_str().unwrap_or_default().to_owned()
}

/// Every record of a topic, by partition and offset.
pub(crate) fn truth(client: &ClientConfig, topic: &str, partitions: i32) -> Vec<Stored> {
    let mut stored = Vec::new();
    for (part, off, _, value) in block_in_place(|| records(client, topic, partitions)) {
        stored.push(Stored { part, off, id: id_of(&value), sha: sha(&value) });
    }
    stored.sort_by_key(|stored| (stored.part, stored.off));
    stored
}

/// How many partitions a topic has; none where it does not exist. Blocks.
pub(crate) fn partitions(client: &ClientConfig, topic: &str) -> i32 {
    let consumer: BaseConsumer = client.create().unwrap();
    // Of all topics: asking for one alone could make it.
    let metadata = consumer.fetch_metadata(None, ASK_MAX).expect("the brokers answer");
    let topic = metadata.topics().iter().find(|one| one.name() == topic);
    topic.map_or(0, |topic| i32::try_from(topic.partitions().len()).unwrap())
}

/// Behind the last record of each partition. Blocks.
pub(crate) fn ends(client: &ClientConfig, topic: &str, partitions: i32) -> Vec<(i32, i64)> {
    let consumer: BaseConsumer = client.create().unwrap();
    let end = |part| consumer.fetch_watermarks(topic, part, ASK_MAX).expect("the brokers answer").1;
    (0..partitions).map(|part| (part, end(part))).collect()
}

/// Removes what lies before these offsets, as retention does.
pub(crate) async fn remove(client: &ClientConfig, topic: &str, before: &[(i32, i64)]) {
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let mut list = TopicPartitionList::new();
    for (part, off) in before {
        list.add_partition_offset(topic, *part, Offset::Offset(*off)).unwrap();
    }
    let removed = admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    for one in removed.elements() {
        one.error().unwrap();
    }
}

/// A record's partition, offset, key and value.
pub(crate) type Raw = (i32, i64, Vec<u8>, Vec<u8>);

/// Reads each partition to where it ended when this began, in one pass; blocks.
pub(crate) fn records(client: &ClientConfig, topic: &str, partitions: i32) -> Vec<Raw> {
    let mut client = client.clone();
    client
        .set("group.id", "truth")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = client.create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let end = |partition| consumer.fetch_watermarks(topic, partition, ASK_MAX).expect("the brokers answer").1;
    let ends: Vec<i64> = (0..partitions).map(end).collect();
    let (mut records, mut ended, began) = (Vec::new(), HashSet::new(), Instant::now());
    while (0..partitions).any(|partition| !ended.contains(&partition)) {
        assert!(began.elapsed() < READ_MAX, "the log is not read in time");
        match consumer.poll(ASK_MAX).expect("the log can be read") {
            Ok(message) => {
                let (partition, offset) = (message.partition(), message.offset());
                // One that is written to all the time comes to no end.
                if offset + 1 >= ends[usize::try_from(partition).unwrap()] {
                    ended.insert(partition);
                }
                let key = message.key().unwrap_or_default().to_vec();
                records.push((partition, offset, key, message.payload().unwrap_or_default().to_vec()));
            }
            // Which comes again after a reconnect, and where the last record is none of ours.
            Err(KafkaError::PartitionEOF(partition)) => drop(ended.insert(partition)),
            Err(error) => assert!(error.rdkafka_error_code().is_some(), "{error}"),
        }
    }
    records
}

/// What a group has committed, by partition, where the brokers tell soon.
pub(crate) fn committed(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Option<Vec<(i32, i64)>> {
    committed_within(Duration::from_secs(2), consumer, topic, partitions)
}

/// The same of brokers that do tell.
pub(crate) fn all_committed(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Vec<(i32, i64)> {
    committed_within(ASK_MAX, consumer, topic, partitions).expect("the commits can be read")
}

fn committed_within(
    patience: Duration,
    consumer: &BaseConsumer,
    topic: &str,
    partitions: i32,
) -> Option<Vec<(i32, i64)>> {
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions - 1);
    let committed = consumer.committed_offsets(list, patience).ok()?;
    let place = |(part, offset): (i32, Offset)| match offset {
        Offset::Offset(off) => Some((part, off)),
        _ => None,
    };
    Some(committed.elements().iter().map(|one| (one.partition(), one.offset())).filter_map(place).collect())
}

/// A client that looks at a group without being its member.
pub(crate) fn onlooker(client: &ClientConfig, group: &str) -> BaseConsumer {
    client.clone().set("group.id", group).set("enable.auto.commit", "false").create().unwrap()
}

/// Looks at a group's commits all the time, and writes down what moved.
#[derive(Debug)]
pub(crate) struct Commits {
    looking: JoinHandle<()>,
    /// Ends the look, which a runtime waits for, also where a run ends in the middle.
    ending: DropGuard,
}

impl Commits {
    pub(crate) fn watch(
        book: &Book,
        client: &ClientConfig,
        group: &str,
        topic: &str,
        partitions: i32,
    ) -> Self {
        let ending = CancellationToken::new();
        let (end, recorder) = (ending.clone(), book.recorder("commits"));
        let (consumer, topic) = (onlooker(client, group), topic.to_owned());
        let looking = spawn_blocking(move || look(&consumer, &topic, partitions, recorder, &end));
        Self { looking, ending: ending.drop_guard() }
    }

    /// Looks once more, then ends.
    pub(crate) async fn stop(self) {
        drop(self.ending);
        self.looking.await.unwrap();
    }
}

fn look(
    consumer: &BaseConsumer,
    topic: &str,
    partitions: i32,
    mut recorder: Recorder,
    ending: &CancellationToken,
) {
    let mut last = Vec::new();
    loop {
        let is_last = ending.is_cancelled();
        let now = committed(consumer, topic, partitions).unwrap_or_else(|| last.clone());
        for (part, off) in now.iter().filter(|one| !last.contains(one)) {
            recorder.write(Entry::new(Deed::Commit, Kind::Ok).at(*part, *off));
        }
        last = now;
        if is_last {
            return;
        }
        // What the client has to tell is nothing that is looked for; this is the pause.
        drop(consumer.poll(LOOK_EVERY));
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientConfig, Commits};
    use crate::assert_ends;
    use crate::history::Book;

    #[test]
    fn a_watch_that_is_dropped_lets_its_runtime_end() {
        let directory = tempfile::tempdir().unwrap();
        let book = Book::new(directory.path());
        let mut nobody = ClientConfig::new();
        nobody.set("bootstrap.servers", "127.0.0.1:1");
        assert_ends(async move { drop(Commits::watch(&book, &nobody, "g", "t", 1)) });
    }
}
