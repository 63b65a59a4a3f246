//! A plain librdkafka producer and consumer beside the gateway, on the same topic and paths, in the same schedule.
//!
//! What they suffer says what Kafka and the machine did; a run in which they lose something or stand still for longer
//! than Kafka has an excuse for proves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::Message as _;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::history::{Book, Deed, Entry, Kind, Recorder};
use crate::log::id_of;
use crate::publishers::envelope;
use crate::subscribers::Seen;
use crate::until;

/// Between two events of one partition.
const EVERY: Duration = Duration::from_millis(100);
/// The one who follows.
pub(crate) const READER: &str = "control-reader";

/// The control at work.
#[derive(Debug)]
pub(crate) struct Control {
    producers: JoinSet<()>,
    stop: CancellationToken,
    reader: JoinHandle<()>,
    /// Ends the reader, which a runtime waits for, also where a run ends in the middle.
    ending: DropGuard,
    /// How many events of each partition are stored.
    stored: Arc<[AtomicU64]>,
    pub(crate) followed: Seen,
}

impl Control {
    /// Works on every partition of the topic; `delivery_timeout` is the gateway's.
    pub(crate) fn start(
        book: &Book,
        brokers: &[String],
        topic: &str,
        partitions: i32,
        delivery_timeout: Duration,
    ) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers.join(",")).set("reconnect.backoff.max.ms", "1000");
        let stop = CancellationToken::new();
        let mut producers = JoinSet::new();
        let mut producer = config.clone();
        producer
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("message.timeout.ms", delivery_timeout.as_millis().to_string());
        let producer: FutureProducer = producer.create().unwrap();
        let stored: Arc<[AtomicU64]> = (0..partitions).map(|_| AtomicU64::new(0)).collect();
        for partition in 0..partitions {
            let recorder = book.recorder(&format!("control{partition}"));
            let (producer, topic) = (producer.clone(), topic.to_owned());
            let (stored, stop) = (Arc::clone(&stored), stop.clone());
            producers.spawn(produce(producer, topic, partition, recorder, stored, stop));
        }
        let (ending, followed) = (CancellationToken::new(), Seen::default());
        config
            .set("group.id", READER)
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (recorder, seen, end) = (book.recorder(READER), Arc::clone(&followed), ending.clone());
        let reader = spawn_blocking(move || follow(&consumer, recorder, &end, &seen));
        Self { producers, stop, reader, ending: ending.drop_guard(), stored, followed }
    }

    /// Waits until something new is stored in every partition: faults that begin before the control works prove nothing.
    pub(crate) async fn goes_on(&self, patience: Duration) {
        let now = || self.stored.iter().map(|stored| stored.load(Ordering::Relaxed));
        let before: Vec<u64> = now().collect();
        until("the control goes on in every partition", patience, async || {
            now().zip(&before).all(|(now, before)| now > *before).then_some(())
        })
        .await;
    }

    /// Ends the producers, each with the event it is at. The reader goes on.
    pub(crate) async fn stop_producers(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.producers.join_next().await {
            ended.unwrap();
        }
    }

    pub(crate) async fn stop(mut self) {
        self.stop_producers().await;
        drop(self.ending);
        self.reader.await.unwrap();
    }
}

async fn produce(
    producer: FutureProducer,
    topic: String,
    partition: i32,
    mut recorder: Recorder,
    stored: Arc<[AtomicU64]>,
    stop: CancellationToken,
) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let key = format!("control{partition}");
    let stored = &stored[usize::try_from(partition).unwrap()];
    for seq in 1_u64.. {
        ticks.tick().await;
        if stop.is_cancelled() {
            return;
        }
        let id = format!("{key}-{seq}");
        let body = envelope(&id, &key);
        let entry = |kind| Entry::new(Deed::Publish, kind).event(&id, &key).attempt(1);
        recorder.write(entry(Kind::Invoke).sha(body.as_bytes()));
        let record = FutureRecord::to(&topic).partition(partition).key(&key).payload(&body);
        let ended = match producer.send(record, Timeout::Never).await {
            Ok(place) => {
                stored.fetch_add(1, Ordering::Relaxed);
                entry(Kind::Ok).at(place.partition, place.offset)
            }
            Err((error, _)) if error.rdkafka_error_code() == Some(Code::QueueFull) => entry(Kind::Fail),
            Err((error, _)) => entry(Kind::Info).note(error.to_string()),
        };
        recorder.write(ended);
    }
}

fn follow(consumer: &BaseConsumer, mut recorder: Recorder, ending: &CancellationToken, seen: &Seen) {
    const POLL: Duration = Duration::from_millis(100);
    while !ending.is_cancelled() {
        // Errors pass by themselves, or show as events that were not seen.
        let Some(Ok(message)) = consumer.poll(POLL) else { continue };
        let value = message.payload().unwrap_or_default();
        let entry = Entry::new(Deed::Follow, Kind::Ok).event(&id_of(value), "");
        recorder.write(entry.at(message.partition(), message.offset()).sha(value));
        seen.lock().unwrap().insert((message.partition(), message.offset()));
    }
}

#[cfg(test)]
mod tests {
    use super::Control;
    use crate::history::Book;
    use crate::{Duration, assert_ends};

    #[test]
    fn a_control_that_is_dropped_lets_its_runtime_end() {
        let directory = tempfile::tempdir().unwrap();
        let book = Book::new(directory.path());
        let nobody = ["127.0.0.1:1".to_owned()];
        assert_ends(async move { drop(Control::start(&book, &nobody, "t", 1, Duration::from_secs(10))) });
    }
}
