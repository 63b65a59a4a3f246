//! An engine in a directory of its own, and what is written to it and read back.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use tempfile::TempDir;
use weirgate::event::{Clock, GroupName, HeaderName, Headers, Offset, Partition, Record, Timestamp, Topic};
use weirgate::log::{
    Append, Cleanup, Commit, Committed, Error, EventLog as _, Groups as _, NewRecord, Purpose, TopicSpec,
};
use weirgate::log_embedded::{Config, Engine, OpenError};
use weirgate::telemetry::Registry;

pub(crate) const FIRST: Partition = Partition::new(0);
pub(crate) const SECOND: Partition = Partition::new(1);

pub(crate) fn topic() -> Topic {
    Topic::parse("orders.v1").unwrap()
}

pub(crate) fn group() -> GroupName {
    GroupName::parse("workers").unwrap()
}

pub(crate) fn spec(cleanup: Cleanup) -> TopicSpec {
    TopicSpec { name: topic(), partitions: 2, cleanup, retention: None, retention_bytes: None }
}

pub(crate) fn open(config: &Config) -> Result<Arc<Engine>, OpenError> {
    Engine::open(config, Clock::system(), &Registry::new())
}

pub(crate) fn open_at(path: &Path) -> Arc<Engine> {
    open(&Config::at(path)).unwrap()
}

/// A clock that the test moves.
pub(crate) fn clock() -> (Clock, Arc<AtomicI64>) {
    let millis = Arc::new(AtomicI64::new(1_700_000_000_000));
    let shown = Arc::clone(&millis);
    (Clock::new(move || Timestamp::from_millis(shown.load(Ordering::Relaxed))), millis)
}

/// A value that differs in every record and is found again in a file.
pub(crate) fn value(number: u64) -> Bytes {
    Bytes::from(format!("value-{number:08}-").repeat(20))
}

pub(crate) fn record(number: u64) -> NewRecord {
    NewRecord {
        key: Some(Bytes::from(number.to_string())),
        value: Some(value(number)),
        headers: Headers::new(vec![(HeaderName::from("traceparent"), Some(Bytes::from_static(b"00-")))]),
        timestamp: None,
    }
}

pub(crate) fn append(partition: Partition, records: Vec<NewRecord>) -> Append {
    Append { topic: topic(), partition, records }
}

/// Appends `count` records, each alone.
pub(crate) async fn fill(engine: &Engine, partition: Partition, numbers: std::ops::Range<u64>) {
    for number in numbers {
        engine.append(append(partition, vec![record(number)])).await.unwrap();
    }
}

pub(crate) async fn read(
    engine: &Engine,
    partition: Partition,
    from: Offset,
    purpose: Purpose,
) -> Result<Vec<Record>, Error> {
    let end = engine.bounds(&topic(), partition).await?.end;
    let mut reader = engine.reader(&topic(), partition, from, purpose).await?;
    let mut records = Vec::new();
    while reader.position() < end {
        records.extend(reader.next(100_000).await?.records);
    }
    Ok(records)
}

pub(crate) async fn read_all(engine: &Engine, partition: Partition) -> Vec<Record> {
    let start = engine.bounds(&topic(), partition).await.unwrap().start;
    read(engine, partition, start, Purpose::CatchUp).await.unwrap()
}

pub(crate) fn commit(offset: u64) -> Commit {
    let committed = Committed { offset: Offset::new(offset), metadata: format!("at {offset}") };
    Commit { topic: topic(), partition: FIRST, committed }
}

/// What a kill would leave of a quiet engine's directory.
pub(crate) fn image_of(path: &Path) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    for file in ["weirgate.db", "weirgate.db-wal", "high-water"] {
        fs::copy(path.join(file), image.path().join(file)).unwrap();
    }
    image
}

/// An engine with 300 records acknowledged, 20 bytes of write-ahead file at least, and a committed offset.
pub(crate) async fn filled() -> (Arc<Engine>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_at(directory.path());
    engine.ensure_topic(&spec(Cleanup::Delete)).await.unwrap();
    fill(&engine, FIRST, 0..150).await;
    engine.append(append(SECOND, (0..150).map(record).collect())).await.unwrap();
    engine.set_committed(&group(), vec![commit(70)]).await.unwrap();
    (engine, directory)
}

pub(crate) async fn assert_whole(engine: &Engine) {
    for partition in [FIRST, SECOND] {
        let records = read_all(engine, partition).await;
        assert_eq!(records.len(), 150);
        for (number, record) in (0..).zip(&records) {
            assert_eq!(record.offset, Offset::new(number));
            assert_eq!(record.value, Some(value(number)));
            assert_eq!(record.headers.last_text("traceparent"), Some("00-"));
        }
    }
    let committed = engine.committed(&group(), &topic()).await.unwrap();
    assert_eq!(committed[&FIRST], commit(70).committed);
}
