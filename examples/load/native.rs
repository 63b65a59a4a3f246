//! The control: a librdkafka producer that writes past the gateway, with the gateway's own settings.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use tokio::time::Instant;

use crate::event;
use crate::gateway;
use crate::publishing::{Schedule, WARM_UP};
use crate::stats::{Latencies, report_own};

/// Records under way at most: enough for full batches, and no backlog that outlives the measurement.
const QUEUE_MAX: &str = "20000";

/// What came back.
#[derive(Debug, Default)]
struct Outcomes {
    /// Guarded alone, and only by librdkafka's one thread while records are under way.
    latencies: Mutex<Latencies>,
    stored: AtomicU64,
    failed: AtomicU64,
}

impl Outcomes {
    /// Begins to count anew.
    fn forget(&self) -> anyhow::Result<()> {
        self.stored.store(0, Ordering::Relaxed);
        *self.latencies.lock().map_err(|_| anyhow::anyhow!("the producer panicked"))? = Latencies::default();
        Ok(())
    }
}

impl ClientContext for Outcomes {}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, due: Box<Instant>) {
        let counter = if result.is_ok() { &self.stored } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut latencies) = self.latencies.lock() {
            latencies.add(due.elapsed());
        }
    }
}

/// Publishes at a fixed rate, or as fast as the broker takes it.
pub(crate) fn produce(
    broker: &str,
    topic: &str,
    rate: Option<u64>,
    bytes: usize,
    time: Duration,
) -> anyhow::Result<()> {
    let what = rate.map_or_else(
        || format!("native producer, {bytes} B, as fast as it goes"),
        |rate| format!("native producer, {bytes} B at {rate}/s"),
    );
    let producer = producer(broker)?;
    send(&producer, topic, rate, WARM_UP, |number| event::envelope(number, 0, bytes))?;
    producer.context().forget()?;
    let (before, start) = (gateway::own_usage(), Instant::now());
    send(&producer, topic, rate, time, |number| event::envelope(number, 0, bytes))?;
    let (elapsed, used) = (start.elapsed(), gateway::since(before, gateway::own_usage()));
    let outcomes = producer.context();
    report_own(&what, "event", outcomes.stored.load(Ordering::Relaxed), elapsed, &used);
    if rate.is_some() {
        let mut latencies =
            outcomes.latencies.lock().map_err(|_| anyhow::anyhow!("the producer panicked"))?;
        #[expect(clippy::print_stdout, reason = "the figures are the result")]
        {
            println!("  {}", latencies.summary());
        }
    }
    Ok(())
}

/// Writes `count` small events, which a group can work off afterwards.
pub(crate) fn fill(broker: &str, topic: &str, count: u64, bytes: usize) -> anyhow::Result<()> {
    let producer = producer(broker)?;
    for number in 0..count {
        enqueue(&producer, topic, number, Instant::now(), event::envelope(number, 0, bytes).as_bytes())?;
    }
    finish(&producer)
}

fn producer(broker: &str) -> anyhow::Result<ThreadedProducer<Outcomes>> {
    ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("enable.idempotence", "true")
        .set("linger.ms", "0")
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.messages", QUEUE_MAX)
        .create_with_context(Outcomes::default())
        .context("the native producer")
}

fn send(
    producer: &ThreadedProducer<Outcomes>,
    topic: &str,
    rate: Option<u64>,
    time: Duration,
    value: impl Fn(u64) -> String,
) -> anyhow::Result<()> {
    let schedule = Schedule::new(rate);
    // Made once, as for the gateway's clients.
    let value = value(0);
    while schedule.start.elapsed() < time {
        let (number, due) = schedule.take();
        enqueue(producer, topic, number, due, value.as_bytes())?;
    }
    finish(producer)
}

/// Hands over a record, waiting where the queue is full.
#[expect(clippy::disallowed_methods, reason = "librdkafka tells nobody when its queue has room again")]
fn enqueue(
    producer: &ThreadedProducer<Outcomes>,
    topic: &str,
    number: u64,
    due: Instant,
    value: &[u8],
) -> anyhow::Result<()> {
    let key = format!("c-{}", number % 1_000);
    let mut record = BaseRecord::with_opaque_to(topic, Box::new(due)).key(key.as_bytes()).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => bail!(error),
        }
    }
}

fn finish(producer: &ThreadedProducer<Outcomes>) -> anyhow::Result<()> {
    producer.flush(Duration::from_secs(60))?;
    match producer.context().failed.load(Ordering::Relaxed) {
        0 => Ok(()),
        failed => bail!("{failed} records of the native producer were not stored: the run is void"),
    }
}
