//! A store that fails, or stands still, when a test says so; and an engine over it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;

use crate::event::{Clock, Offset, Partition, Timestamp, Topic};
use crate::log::{Bounds, Cleanup, EventLog as _, TopicSpec};
use crate::telemetry::Registry;

use super::batch::Batch;
use super::directory::Directory;
use super::high_water::HighWater;
use super::open::{Opened, load, start};
use super::sqlite::{Durability, Sqlite};
use super::storage::{Entry, Extent, Failure, FailureKind, LogId, Source, Storage};
use super::{Config, Engine, locked};

/// Where and how the store fails next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Append(FailureKind),
    Commit(FailureKind),
    RemoveLog(FailureKind),
}

/// What a test does to the disk; a gate left shut opens with it, so that a test that fails does not stand still.
#[derive(Debug)]
pub(super) struct Disk(Arc<State>);

#[derive(Debug, Default)]
struct State {
    fault: Mutex<Option<Fault>>,
    is_lasting: AtomicBool,
    gate: Mutex<Gate>,
    changed: Condvar,
}

/// What the commit thread passes before each transaction.
#[derive(Debug, Default)]
struct Gate {
    is_shut: bool,
    has_waiting: bool,
}

impl Disk {
    /// Fails once.
    pub(super) fn fail(&self, fault: Fault) {
        *locked(&self.0.fault) = Some(fault);
    }

    /// Fails from now on.
    pub(super) fn fail_always(&self, fault: Fault) {
        self.0.is_lasting.store(true, Ordering::Relaxed);
        self.fail(fault);
    }

    /// Fails no more.
    pub(super) fn heal(&self) {
        self.0.is_lasting.store(false, Ordering::Relaxed);
        *locked(&self.0.fault) = None;
    }

    /// No transaction begins from now on.
    pub(super) fn shut(&self) {
        locked(&self.0.gate).is_shut = true;
    }

    /// Transactions begin again.
    pub(super) fn open(&self) {
        locked(&self.0.gate).is_shut = false;
        self.0.changed.notify_all();
    }

    /// Blocks until the commit thread waits to begin a transaction.
    pub(super) fn until_waiting(&self) {
        self.0.wait(|gate| !gate.has_waiting);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.open();
    }
}

impl State {
    fn pass(&self) {
        locked(&self.gate).has_waiting = true;
        self.changed.notify_all();
        self.wait(|gate| gate.is_shut);
        locked(&self.gate).has_waiting = false;
    }

    fn wait(&self, condition: impl Fn(&Gate) -> bool) {
        let gate = self.changed.wait_while(locked(&self.gate), |gate| condition(gate));
        drop(gate.unwrap_or_else(PoisonError::into_inner));
    }
}

#[derive(Debug)]
struct Faulty {
    store: Sqlite,
    disk: Arc<State>,
}

impl Faulty {
    fn fail(&self, make: impl Fn(FailureKind) -> Fault) -> Result<(), Failure> {
        let kinds = [FailureKind::Corrupt, FailureKind::Full, FailureKind::Io, FailureKind::Other];
        let mut fault = locked(&self.disk.fault);
        let met = fault.filter(|fault| kinds.iter().any(|kind| make(*kind) == *fault));
        if met.is_some() && !self.disk.is_lasting.load(Ordering::Relaxed) {
            *fault = None;
        }
        match met {
            Some(Fault::Append(kind) | Fault::Commit(kind) | Fault::RemoveLog(kind)) => {
                Err(Failure { kind, doing: "a test", source: "injected".into() })
            }
            None => Ok(()),
        }
    }
}

impl Source for Faulty {
    fn read(&mut self, log: LogId, from: Offset, bytes_max: usize) -> Result<Vec<Bytes>, Failure> {
        self.store.read(log, from, bytes_max)
    }

    fn read_at(&mut self, log: LogId, from: Offset, time: Timestamp) -> Result<Option<Bytes>, Failure> {
        self.store.read_at(log, from, time)
    }

    fn oldest(&mut self, log: LogId, count: usize) -> Result<Vec<Extent>, Failure> {
        self.store.oldest(log, count)
    }

    fn bounds(&mut self, log: LogId) -> Result<Bounds, Failure> {
        self.store.bounds(log)
    }

    fn scan(&mut self, prefix: &[u8]) -> Result<Vec<Entry>, Failure> {
        self.store.scan(prefix)
    }
}

impl Storage for Faulty {
    fn source(&self) -> Result<Box<dyn Source>, Failure> {
        self.store.source()
    }

    fn logs(&mut self) -> Result<Vec<LogId>, Failure> {
        self.store.logs()
    }

    fn commits(&self) -> u64 {
        self.store.commits()
    }

    fn bytes(&mut self, log: LogId) -> Result<u64, Failure> {
        self.store.bytes(log)
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.disk.pass();
        self.store.begin()
    }

    fn create(&mut self) -> Result<LogId, Failure> {
        self.store.create()
    }

    fn remove_log(&mut self, log: LogId) -> Result<(), Failure> {
        self.fail(Fault::RemoveLog)?;
        self.store.remove_log(log)
    }

    fn append(&mut self, log: LogId, batch: &Batch) -> Result<(), Failure> {
        self.store.append(log, batch)?;
        self.fail(Fault::Append)
    }

    fn replace(&mut self, log: LogId, last: Offset, batch: Option<&Batch>) -> Result<(), Failure> {
        self.store.replace(log, last, batch)
    }

    fn trim(&mut self, log: LogId, batches: Offset, bounds: Bounds) -> Result<(), Failure> {
        self.store.trim(log, batches, bounds)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.store.put(key, value)
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.store.remove(key)
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.fail(Fault::Commit)?;
        self.store.commit()
    }

    fn rollback(&mut self) {
        self.store.rollback();
    }

    fn sync(&mut self) -> Result<(), Failure> {
        self.store.sync()
    }

    fn shrink(&mut self) -> Result<bool, Failure> {
        self.store.shrink()
    }

    fn close(&mut self) -> Result<(), Failure> {
        self.store.close()
    }
}

pub(super) const FIRST: Partition = Partition::new(0);

pub(super) fn topic() -> Topic {
    Topic::parse("orders.v1").unwrap()
}

/// An engine with an empty topic of one partition, and its disk.
pub(super) async fn engine(path: &Path) -> (Arc<Engine>, Disk) {
    let directory = Directory::hold(path).unwrap();
    let (high_water, _) = HighWater::open(&directory.high_water()).unwrap();
    let mut store = Sqlite::open(&directory.database(), Durability::Full).unwrap();
    let loaded = load(&mut store).unwrap();
    let disk = Arc::<State>::default();
    let storage = Box::new(Faulty { store, disk: Arc::clone(&disk) });
    let opened = Opened { directory, high_water, storage, loaded };
    // With one reader, reads are done in the order they were asked for.
    let config = Config { readers: 1, ..Config::at(path) };
    let engine = start(&config, Clock::system(), &Registry::new(), opened).unwrap();
    create(&engine).await;
    (Arc::new(engine), Disk(disk))
}

/// Makes the topic, where it is not there.
pub(super) async fn create(engine: &Engine) {
    let spec = TopicSpec {
        name: topic(),
        partitions: 1,
        cleanup: Cleanup::Delete,
        retention: None,
        retention_bytes: None,
    };
    engine.ensure_topic(&spec).await.unwrap();
}
