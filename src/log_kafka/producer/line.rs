//! One client of the producer: idempotent, served by a thread of its own, and made anew after a fatal error.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};
use tokio::time::Instant;

use crate::event::Timestamp;
use crate::log::{Error, NewRecord};

use super::super::batch::Batch;
use super::super::connection::{Connection, Watch};
use super::super::failure::{OpenError, refusal};
use super::super::locked;
use super::super::metrics::Metrics;
use super::super::record::{bytes_of, native_record};
use super::Limits;
use super::reports::Context;

pub(super) type Client = BaseProducer<Context>;

/// How long one look for delivery reports lasts; it ends the thread's pauses, not a report's wait.
const POLL: Duration = Duration::from_millis(100);
/// How long the end waits for what is in flight.
const FLUSH_MAX: Duration = Duration::from_secs(3);
const LANES: usize = 64;

/// What lines are made of.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) config: ClientConfig,
    pub(super) connection: Arc<Connection>,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Arc<Metrics>,
    /// Ends the threads.
    pub(super) is_closing: Arc<AtomicBool>,
}

/// A client and its thread.
#[derive(Debug)]
pub(super) struct Line {
    worker: Arc<Worker>,
    /// Guards the order of a partition's records while an append is handed over.
    lanes: Vec<Mutex<()>>,
    hasher: RandomState,
    /// The serving thread, until it was waited for.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the serving thread works on.
struct Worker {
    /// The client in use; `None` after the end. Held while a few records are handed over, and to replace it.
    client: RwLock<Option<Arc<Client>>>,
    /// What a client tells, and to whom.
    watch: Watch,
    parts: Parts,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Worker")
    }
}

impl Line {
    pub(super) fn start(parts: Parts, watch: Watch) -> Result<Self, OpenError> {
        let client = RwLock::new(Some(Arc::new(client(&parts, &watch)?)));
        let worker = Arc::new(Worker { client, watch, parts });
        let working = Arc::clone(&worker);
        let thread =
            std::thread::Builder::new().name("kafka-producer".to_owned()).spawn(move || working.run());
        Ok(Self {
            worker,
            lanes: (0..LANES).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
            thread: Mutex::new(Some(thread.map_err(OpenError::Thread)?)),
        })
    }

    /// Hands a batch's records over, behind those of its partition that were handed over before.
    pub(super) fn send(&self, batch: &Arc<Batch>, records: &[NewRecord], now: Timestamp) {
        let lane = self.hasher.hash_one((&batch.topic, batch.partition));
        let lane = usize::try_from(lane % LANES as u64).ok().and_then(|lane| self.lanes.get(lane));
        let _turn = lane.map(locked);
        self.worker.send(batch, records, now);
    }

    /// The client, until the end.
    pub(super) fn client(&self) -> Option<Arc<Client>> {
        self.worker.client()
    }

    /// Waits until the thread ends, which it was told to; blocks for some seconds at most.
    pub(super) fn wait(&self) {
        if let Some(thread) = locked(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a Kafka producer panicked");
        }
    }
}

impl Worker {
    fn client(&self) -> Option<Arc<Client>> {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn send(&self, batch: &Arc<Batch>, records: &[NewRecord], now: Timestamp) {
        // Held, not cloned: the last handle must never be dropped here, since that blocks.
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner);
        let Some(client) = client.as_deref() else { return batch.failed(Error::Closed, records.len()) };
        for (sent, record) in records.iter().enumerate() {
            let native = native_record((&batch.topic, batch.partition), record, now, Arc::clone(batch));
            if let Err((error, _)) = client.send(native) {
                let size = (bytes_of(record), batch.record_bytes_max);
                let error = refusal(error, &batch.topic, batch.partition, size);
                return batch.failed(error, records.len() - sent);
            }
        }
    }

    /// Serves delivery reports until the end.
    fn run(&self) {
        while !self.parts.is_closing.load(Ordering::Acquire) {
            let Some(client) = self.client() else { return };
            client.poll(POLL);
            if let Some((code, reason)) = client.client().fatal_error() {
                tracing::error!(?code, reason, "a Kafka producer failed for good; a new one takes over");
                drop(client);
                self.renew();
            }
        }
        if let Some(client) = self.replace(None) {
            flush(&client);
        }
    }

    /// Puts a new client in place; all that the old one holds counts as unknown.
    fn renew(&self) {
        match client(&self.parts, &self.watch) {
            Ok(client) => {
                self.parts.metrics.producer_recreations.inc();
                // Dropping it reports what it holds as purged.
                drop(self.replace(Some(Arc::new(client))));
            }
            Err(error) => tracing::error!(%error, "no new Kafka producer can be made; it is tried again"),
        }
    }

    fn replace(&self, client: Option<Arc<Client>>) -> Option<Arc<Client>> {
        std::mem::replace(&mut *self.client.write().unwrap_or_else(PoisonError::into_inner), client)
    }
}

fn client(parts: &Parts, watch: &Watch) -> Result<Client, KafkaError> {
    parts.config.create_with_context(Context {
        watch: watch.measured(),
        connection: Arc::clone(&parts.connection),
        limits: Arc::clone(&parts.limits),
    })
}

fn flush(client: &Client) {
    let deadline = Instant::now() + FLUSH_MAX;
    while client.in_flight_count() > 0 && Instant::now() < deadline {
        client.poll(Duration::from_millis(5));
    }
}
