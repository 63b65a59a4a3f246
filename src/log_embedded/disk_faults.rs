//! What the engine does when the disk fails: tested over a store that fails on demand.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::poll;
use tokio::time::{Instant, timeout};

use crate::event::{Clock, Offset, Timestamp, Topic};
use crate::log::{Append, Appended, Cleanup, Error, EventLog, Health, NewRecord, Purpose, TopicSpec};
use crate::telemetry::Registry;

use super::faulty::{FIRST, Fault, engine, topic};
use super::sqlite::{Durability, Sqlite};
use super::storage::{FailureKind, Storage as _};
use super::{Config, Engine};

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

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), waiting).await.expect("it comes by itself");
}

#[tokio::test]
async fn a_full_disk_refuses_and_serves_again_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    append(&engine, "first").await.unwrap();
    for failing in [Fault::Append(FailureKind::Full), Fault::Commit(FailureKind::Full)] {
        disk.fail(failing);
        let refused = append(&engine, "refused").await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    assert_eq!(append(&engine, "second").await.unwrap().base, Offset::new(1));
    assert_eq!(texts(&engine).await, ["first", "second"]);
    engine.close().await;
    let engine = Engine::open(&Config::at(directory.path()), Clock::system(), &Registry::new()).unwrap();
    assert_eq!(texts(&engine).await, ["first", "second"]);
}

#[tokio::test]
async fn a_full_disk_is_told_until_there_is_room_though_nobody_publishes() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    disk.fail_always(Fault::Commit(FailureKind::Full));
    append(&engine, "refused").await.unwrap_err();
    let Health::Unready { summary, detail } = engine.health() else { panic!("ready in spite of it") };
    assert_eq!(summary, "the disk of the log is full");
    assert!(detail.contains("injected"), "{detail}");
    append(&engine, "refused").await.unwrap_err();
    disk.heal();
    until(|| engine.health() == Health::Ready).await;
    assert_eq!(append(&engine, "first").await.unwrap().base, Offset::ZERO);
}

#[tokio::test]
async fn a_failed_sync_ends_writing_and_leaves_reading() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    append(&engine, "first").await.unwrap();
    disk.fail(Fault::Commit(FailureKind::Io));
    let unknown = append(&engine, "unknown").await;
    assert!(matches!(unknown, Err(Error::OutcomeUnknown)), "{unknown:?}");
    // The disk would work again, but is no longer believed.
    let refused = append(&engine, "refused").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    let Health::Unready { detail: reason, .. } = engine.health() else { panic!("ready in spite of it") };
    assert!(reason.contains("injected"), "{reason}");
    assert_eq!(texts(&engine).await, ["first"]);
    engine.close().await;
    let engine = Engine::open(&Config::at(directory.path()), Clock::system(), &Registry::new()).unwrap();
    assert_eq!(append(&engine, "second").await.unwrap().base, Offset::new(1));
}

#[tokio::test]
async fn a_disk_that_is_full_and_then_fails_leaves_the_commit_thread_its_sleep() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    disk.fail_always(Fault::Commit(FailureKind::Full));
    append(&engine, "refused").await.unwrap_err();
    // The next try to write, which is the thread's own, ends writing.
    disk.fail_always(Fault::Commit(FailureKind::Io));
    until(|| engine.shared().halted().is_some()).await;
    until(|| engine.shared().queue.is_idle()).await;
}

#[tokio::test]
async fn a_group_that_fails_fails_for_all_its_producers() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    append(&engine, "first").await.unwrap();
    disk.fail(Fault::Append(FailureKind::Io));
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

#[tokio::test]
async fn a_deleted_topic_that_cannot_be_emptied_leaves_the_commit_thread_its_sleep() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    disk.fail_always(Fault::RemoveLog(FailureKind::Full));
    engine.delete_topic(&topic()).await.unwrap();
    until(|| engine.shared().stalled().is_some()).await;
    until(|| engine.shared().queue.is_idle()).await;
    // Nor does it keep the log from finding out that there is room for others.
    until(|| engine.health() == Health::Ready).await;
    disk.heal();
    engine.maintain().await.unwrap();
    engine.close().await;
    let store = Sqlite::open(&directory.path().join("weirgate.db"), Durability::Full).unwrap().logs();
    assert_eq!(store.unwrap(), []);
}

#[tokio::test]
async fn a_disk_that_does_not_answer_holds_no_close_up() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    disk.shut();
    let appending =
        engine.append(Append { topic: topic(), partition: FIRST, records: vec![NewRecord::default()] });
    disk.until_waiting();
    assert!(!engine.close_by(Instant::now()).await);
    // Would wait for the commit thread, and so for ever.
    drop(engine);
    disk.open();
    appending.await.unwrap();
}

#[tokio::test]
async fn a_close_that_comes_to_its_end_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _disk) = engine(directory.path()).await;
    assert!(engine.close_by(Instant::now() + Duration::from_secs(60)).await);
    assert!(matches!(append(&engine, "late").await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_compaction_keeps_no_reader_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, disk) = engine(directory.path()).await;
    let table = TopicSpec {
        name: Topic::parse("table").unwrap(),
        partitions: 1,
        cleanup: Cleanup::Compact,
        retention: None,
        retention_bytes: None,
    };
    engine.ensure_topic(&table).await.unwrap();
    for _ in 0..3 {
        let record = NewRecord { key: Some(Bytes::from_static(b"k")), ..NewRecord::default() };
        let append = Append { topic: table.name.clone(), partition: FIRST, records: vec![record] };
        engine.append(append).await.unwrap();
    }
    disk.shut();
    let mut maintenance = pin!(engine.maintain());
    assert!(poll!(&mut maintenance).is_pending());
    // The compaction waits for what it has rewritten to be stored.
    disk.until_waiting();
    let found = engine.offset_at(&table.name, FIRST, Timestamp::from_millis(0));
    let found = timeout(Duration::from_secs(60), found).await.expect("the one reader is free").unwrap();
    assert_eq!(found, Offset::ZERO);
    disk.open();
    maintenance.await.unwrap();
}
