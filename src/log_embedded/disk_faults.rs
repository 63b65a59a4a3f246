//! What the engine does when the disk fails: tested over a store that fails on demand.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::event::{Clock, Offset, Partition, Timestamp, Topic};
use crate::log::{Append, Appended, Bounds, Cleanup, Error, EventLog, Health, NewRecord, Purpose, TopicSpec};
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
enum Fault {
    Append(FailureKind),
    Commit(FailureKind),
}

#[derive(Debug)]
struct Faulty {
    store: Sqlite,
    fault: Arc<Mutex<Option<Fault>>>,
}

impl Faulty {
    fn fail(&self, make: impl Fn(FailureKind) -> Fault) -> Result<(), Failure> {
        let kinds = [FailureKind::Corrupt, FailureKind::Full, FailureKind::Io, FailureKind::Other];
        let fault = locked(&self.fault).take_if(|fault| kinds.iter().any(|kind| make(*kind) == *fault));
        match fault {
            Some(Fault::Append(kind) | Fault::Commit(kind)) => {
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
        self.store.begin()
    }

    fn create(&mut self) -> Result<LogId, Failure> {
        self.store.create()
    }

    fn remove_log(&mut self, log: LogId) -> Result<(), Failure> {
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

const FIRST: Partition = Partition::new(0);

fn topic() -> Topic {
    Topic::parse("orders.v1").unwrap()
}

/// An engine with one record, and the switch for its disk.
async fn engine(path: &Path) -> (Arc<Engine>, Arc<Mutex<Option<Fault>>>) {
    let directory = Directory::hold(path).unwrap();
    let (high_water, _) = HighWater::open(&directory.high_water()).unwrap();
    let mut store = Sqlite::open(&directory.database(), Durability::Full).unwrap();
    let loaded = load(&mut store).unwrap();
    let fault = Arc::default();
    let storage = Box::new(Faulty { store, fault: Arc::clone(&fault) });
    let opened = Opened { directory, high_water, storage, loaded };
    let engine = start(&Config::at(path), Clock::system(), &Registry::new(), opened).unwrap();
    let spec = TopicSpec {
        name: topic(),
        partitions: 1,
        cleanup: Cleanup::Delete,
        retention: None,
        retention_bytes: None,
    };
    engine.ensure_topic(&spec).await.unwrap();
    append(&engine, "first").await.unwrap();
    (Arc::new(engine), fault)
}

async fn append(engine: &Engine, text: &str) -> Result<Appended, Error> {
    let record = NewRecord { value: Some(Bytes::copy_from_slice(text.as_bytes())), ..NewRecord::default() };
    engine.append(Append { topic: topic(), partition: FIRST, records: vec![record] }).await
}

async fn texts(engine: &Engine) -> Vec<String> {
    let end = engine.bounds(&topic(), FIRST).await.unwrap().end;
    let mut reader = engine.reader(&topic(), FIRST, Offset::ZERO, Purpose::CatchUp).await.unwrap();
    let mut texts = Vec::new();
    while reader.position() < end {
        for record in reader.next(1_000).await.unwrap().records {
            texts.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
        }
    }
    texts
}

#[tokio::test]
async fn a_full_disk_refuses_and_serves_again_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, fault) = engine(directory.path()).await;
    for failing in [Fault::Append(FailureKind::Full), Fault::Commit(FailureKind::Full)] {
        *locked(&fault) = Some(failing);
        let refused = append(&engine, "refused").await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        assert_eq!(engine.health(), Health::Ready);
    }
    assert_eq!(append(&engine, "second").await.unwrap().base, Offset::new(1));
    assert_eq!(texts(&engine).await, ["first", "second"]);
    engine.close().await;
    let engine = Engine::open(&Config::at(directory.path()), Clock::system(), &Registry::new()).unwrap();
    assert_eq!(texts(&engine).await, ["first", "second"]);
}

#[tokio::test]
async fn a_failed_sync_ends_writing_and_leaves_reading() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, fault) = engine(directory.path()).await;
    *locked(&fault) = Some(Fault::Commit(FailureKind::Io));
    let unknown = append(&engine, "unknown").await;
    assert!(matches!(unknown, Err(Error::OutcomeUnknown)), "{unknown:?}");
    // The disk would work again, but is no longer believed.
    let refused = append(&engine, "refused").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    let Health::Unready(reason) = engine.health() else { panic!("ready in spite of it") };
    assert!(reason.contains("injected"), "{reason}");
    assert_eq!(texts(&engine).await, ["first"]);
    engine.close().await;
    let engine = Engine::open(&Config::at(directory.path()), Clock::system(), &Registry::new()).unwrap();
    assert_eq!(append(&engine, "second").await.unwrap().base, Offset::new(1));
}

#[tokio::test]
async fn a_group_that_fails_fails_for_all_its_producers() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, fault) = engine(directory.path()).await;
    *locked(&fault) = Some(Fault::Append(FailureKind::Io));
    let record = NewRecord { value: Some(Bytes::from_static(b"x")), ..NewRecord::default() };
    let append = || Append { topic: topic(), partition: FIRST, records: vec![record.clone()] };
    let pending: Vec<_> = (0..20).map(|_| engine.append(append())).collect();
    for appending in pending {
        let refused = appending.await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    let atomic = engine.append_atomic(vec![append(), append()]).await;
    assert!(matches!(atomic, Err(Error::Unavailable(_))), "{atomic:?}");
    assert_eq!(texts(&engine).await, ["first"]);
}
