//! What gateways tell one another of the ids they stored and of idempotency keys, by a table in the log that outlives
//! them.
//!
//! No publish waits for an id to be told: it is put aside when the log has its event, and written with others a moment later. A
//! gateway that is killed in between has told nobody of that moment's ids. At its start a gateway reads what was told
//! within the window and the bound, and then follows the others. This room's memory never asks the table.
//!
//! ```text
//! dedupe ── stored ─► Outbox ─ teller ─► Batches ─► _weirgate.idempotency ─ follower ─► Dedupe::learn (of others)
//!                                └◄── keys to remove ── Ledger ◄────────────────┘
//! ```
//! Only a claim of an idempotency key is waited for (`claims`). It lies in a partition of its own.

mod batches;
mod book;
mod claims;
mod follower;
mod ids;
mod keys;
mod ledger;
mod outbox;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::event::{Headers, Offset, Partition, Record, Timestamp, Topic};
use crate::log::{Append, Health, NewRecord};

use super::Idempotency;
use super::parts::Parts;

use batches::Batches;
use claims::KEYS;
use follower::{OLDEST, Sink, Source, follow};
use ledger::{Bounds, Ledger, Owner};

pub(super) use claims::{Claims, Refusal, Ticket};
pub(super) use outbox::Outbox;

/// The table's name.
const TABLE: &str = "_weirgate.idempotency";
/// Event ids lie here.
const IDS: Partition = Partition::new(0);
const PARTITIONS: u32 = 2;
/// Ids wait so long for others, so that few records are written: what a kill may leave untold.
const TELL_AFTER: Duration = Duration::from_millis(100);
/// How often keys that are old or too many are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// A table that a log which can serve has not given by then keeps nobody waiting any longer.
const LOAD_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Reading the table for the first time takes at most so many times the bytes that its entries may have, and a little.
const LOAD_FACTOR: u64 = 4;
const LOAD_BYTES_MIN: u64 = 64 << 20;

/// How far this gateway knows what others, and its last life, have stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It is being read.
    Loading,
    /// It is being read, for longer than anybody should wait.
    Late,
    /// All that was told is known.
    Loaded,
}

/// The service that shares what this gateway remembers.
#[derive(Debug)]
pub struct Sharing {
    parts: Arc<Parts>,
    topic: Topic,
    /// This life of this gateway: no other one writes the keys that begin with it.
    prefix: String,
    /// Guards which keys of event ids are live.
    ids: Mutex<Ledger>,
    /// Whether all event ids that were there at the start are known.
    has_ids: AtomicBool,
    claims: Claims,
}

impl Sharing {
    #[expect(clippy::expect_used, reason = "the name is a constant, and every test of this room parses it")]
    pub(super) fn new(parts: &Arc<Parts>, idempotency: &Idempotency) -> Self {
        let config = parts.config.load();
        let bounds = Bounds { window: config.dedupe_window, weight_max: config.dedupe_entries_max as u64 };
        parts.memory.send_replace(Memory::Loading);
        parts.dedupe.outbox().open();
        let topic = Topic::parse(TABLE).expect("the table's name is a topic's");
        let run = Uuid::new_v4();
        let claims = Claims::new(parts, Arc::clone(idempotency.answers()), topic.clone(), run);
        idempotency.share(claims.clone());
        Self {
            parts: Arc::clone(parts),
            topic,
            prefix: format!("ids/{}/", run.simple()),
            has_ids: AtomicBool::new(false),
            claims,
            ids: Mutex::new(Ledger::new(bounds)),
        }
    }

    /// Reads the table and keeps up with it; tells it what is stored here. Ends once `shutdown` is cancelled and
    /// what was put aside by then is written, or could not be.
    pub async fn run(self, shutdown: CancellationToken) {
        let entries_max = self.parts.config.load().dedupe_entries_max as u64;
        let (log, topic) = (&self.parts.log, &self.topic);
        let source = |partition, bytes_max: u64| Source {
            log,
            topic,
            partitions: PARTITIONS,
            partition,
            load_bytes_max: bytes_max.saturating_mul(LOAD_FACTOR).max(LOAD_BYTES_MIN),
        };
        let ids = source(IDS, entries_max.saturating_mul(ids::ENTRY_BYTES as u64));
        let keys = source(KEYS, self.claims.bytes_max());
        let (id_sink, key_sink) = (IdSink(&self), KeySink(&self));
        tokio::select! {
            never = follow(&ids, &id_sink) => match never {},
            never = follow(&keys, &key_sink) => match never {},
            never = self.mind_the_time() => match never {},
            () = self.tell(&shutdown) => {}
        }
    }

    /// Says when the first reading takes too long.
    async fn mind_the_time(&self) -> std::convert::Infallible {
        while self.parts.log.health() != Health::Ready {
            sleep(LOOK_EVERY).await;
        }
        sleep(LOAD_MAX).await;
        let is_late = self.parts.memory.send_if_modified(|memory| {
            let is_late = *memory == Memory::Loading;
            if is_late {
                *memory = Memory::Late;
            }
            is_late
        });
        if is_late {
            tracing::warn!(
                "what was stored before cannot be read yet; repeats of it are not recognised until it is"
            );
        }
        std::future::pending().await
    }

    async fn tell(&self, shutdown: &CancellationToken) {
        let mut memory = self.parts.memory.subscribe();
        let loaded = memory.wait_for(|memory| *memory == Memory::Loaded);
        if shutdown.run_until_cancelled(loaded).await.is_none() {
            return;
        }
        let outbox = self.parts.dedupe.outbox();
        let mut batches = Batches::new(self.prefix.clone());
        let mut sweeps = interval(SWEEP_EVERY);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut records = Vec::new();
            tokio::select! {
                () = gathered(outbox) => {}
                _ = sweeps.tick() => {
                    let due = self.ledger(|ledger| ledger.due(self.parts.clock.now()));
                    records.extend(due.into_iter().map(|key| (key, None)));
                    self.claims.sweep();
                }
                () = shutdown.cancelled() => {}
            }
            let stored = outbox.take();
            let count = stored.len() as u64;
            records.extend(batches.cut(&stored));
            if !records.is_empty() {
                let metrics = &self.parts.metrics;
                let is_told = self.write(records, shutdown).await;
                let counter = if is_told { &metrics.dedupe_told } else { &metrics.dedupe_untold };
                counter.inc_by(count);
            }
            if shutdown.is_cancelled() && outbox.is_empty() {
                return;
            }
        }
    }

    /// Writes until the log has it, or refuses it once more after the shutdown has begun.
    async fn write(&self, records: Vec<(Bytes, Option<Bytes>)>, shutdown: &CancellationToken) -> bool {
        let oldest = self.ledger(|ledger| ledger.oldest()).unwrap_or_else(|| self.parts.clock.now());
        let records = records_of(records, oldest);
        let mut wait = RETRY_FIRST;
        loop {
            let append = Append { topic: self.topic.clone(), partition: IDS, records: records.clone() };
            let is_last = shutdown.is_cancelled();
            let Err(error) = self.parts.log.append(append).await else { return true };
            if is_last || wait == RETRY_FIRST {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    is_last,
                    "event ids cannot be written to the log; repeats are recognised here only"
                );
            }
            if is_last {
                return false;
            }
            shutdown.run_until_cancelled(sleep(wait)).await.unwrap_or_default();
            wait = (wait * 2).min(RETRY_MAX);
        }
    }

    /// Says that all is known, once it is.
    fn check_loaded(&self) {
        if self.has_ids.load(Ordering::Relaxed) && self.claims.is_loaded() {
            self.parts.memory.send_replace(Memory::Loaded);
        }
    }

    fn ledger<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        work(&mut self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits until there are ids, and a little longer for more of them.
async fn gathered(outbox: &Outbox) {
    outbox.holds(1).await;
    timeout(TELL_AFTER, outbox.holds(ids::ENTRIES_MAX)).await.unwrap_or_default();
}

/// What the table says of event ids.
#[derive(Debug)]
struct IdSink<'s>(&'s Sharing);

impl Sink for IdSink<'_> {
    fn take(&self, record: &Record) {
        let Some(key) = &record.key else { return };
        let Self(sharing) = self;
        let Some(value) = &record.value else { return sharing.ledger(|ledger| ledger.gone(key)) };
        let Some(stored) = ids::decode(value) else { return };
        let is_own = key.starts_with(sharing.prefix.as_bytes());
        let owner = if is_own { Owner::Own } else { Owner::Other };
        let weight = stored.len() as u64;
        sharing.ledger(|ledger| ledger.note(key, (record.offset, record.timestamp), weight, owner));
        if !is_own {
            let now = sharing.parts.clock.now();
            stored.for_each(|stored| sharing.parts.dedupe.learn(&stored, age(stored.place.timestamp, now)));
        }
    }

    fn reached(&self, _next: Offset) {}

    fn loaded(&self) {
        self.0.has_ids.store(true, Ordering::Relaxed);
        self.0.check_loaded();
    }
}

/// What the table says of idempotency keys.
#[derive(Debug)]
struct KeySink<'s>(&'s Sharing);

impl Sink for KeySink<'_> {
    fn take(&self, record: &Record) {
        self.0.claims.take(record);
    }

    fn reached(&self, next: Offset) {
        self.0.claims.reached(next);
    }

    fn loaded(&self) {
        self.0.claims.loaded();
        self.0.check_loaded();
    }
}

/// Changes of the table as records, each of which says where a start has to begin.
fn records_of(changes: Vec<(Bytes, Option<Bytes>)>, oldest: Timestamp) -> Vec<NewRecord> {
    let oldest = Bytes::from(oldest.millis().to_string());
    let headers = Headers::new(vec![(OLDEST.into(), Some(oldest))]);
    let record =
        |(key, value)| NewRecord { key: Some(key), value, headers: headers.clone(), ..NewRecord::default() };
    changes.into_iter().map(record).collect()
}

/// How long ago something was; what a clock before ours wrote is new.
fn age(at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now.millis().saturating_sub(at.millis())).unwrap_or(0))
}

/// How far this is from being loaded; for whoever has to wait.
pub(super) async fn until_loaded(mut memory: watch::Receiver<Memory>) {
    // The sender lives as long as the parts, which whoever waits here holds.
    drop(memory.wait_for(|memory| *memory != Memory::Loading).await);
}
