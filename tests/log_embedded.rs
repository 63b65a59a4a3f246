//! The embedded engine over restarts, damage, retention, compaction and its bounds.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use weirgate::event::{Clock, GroupName, HeaderName, Headers, Offset, Partition, Record, Timestamp, Topic};
use weirgate::log::{
    Append, Bounds, Cleanup, Commit, Committed, Error, EventLog, GroupSubscription, Groups, Health,
    MemberEvent, NewRecord, Purpose, Start, TopicSpec,
};
use weirgate::log_embedded::{Config, Engine, Fsync, OpenError};
use weirgate::telemetry::Registry;

const FIRST: Partition = Partition::new(0);
const SECOND: Partition = Partition::new(1);

fn topic() -> Topic {
    Topic::parse("orders.v1").unwrap()
}

fn group() -> GroupName {
    GroupName::parse("workers").unwrap()
}

fn spec(cleanup: Cleanup) -> TopicSpec {
    TopicSpec { name: topic(), partitions: 2, cleanup, retention: None, retention_bytes: None }
}

fn open(config: &Config) -> Result<Arc<Engine>, OpenError> {
    Engine::open(config, Clock::system(), &Registry::new())
}

fn open_at(path: &Path) -> Arc<Engine> {
    open(&Config::at(path)).unwrap()
}

/// A clock that the test moves.
fn clock() -> (Clock, Arc<AtomicI64>) {
    let millis = Arc::new(AtomicI64::new(1_700_000_000_000));
    let shown = Arc::clone(&millis);
    (Clock::new(move || Timestamp::from_millis(shown.load(Ordering::Relaxed))), millis)
}

/// A value that differs in every record and is found again in a file.
fn value(number: u64) -> Bytes {
    Bytes::from(format!("value-{number:08}-").repeat(20))
}

fn record(number: u64) -> NewRecord {
    NewRecord {
        key: Some(Bytes::from(number.to_string())),
        value: Some(value(number)),
        headers: Headers::new(vec![(HeaderName::from("traceparent"), Some(Bytes::from_static(b"00-")))]),
        timestamp: None,
    }
}

fn append(partition: Partition, records: Vec<NewRecord>) -> Append {
    Append { topic: topic(), partition, records }
}

/// Appends `count` records, each alone.
async fn fill(engine: &Engine, partition: Partition, numbers: std::ops::Range<u64>) {
    for number in numbers {
        engine.append(append(partition, vec![record(number)])).await.unwrap();
    }
}

async fn read(
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

async fn read_all(engine: &Engine, partition: Partition) -> Vec<Record> {
    let start = engine.bounds(&topic(), partition).await.unwrap().start;
    read(engine, partition, start, Purpose::CatchUp).await.unwrap()
}

fn commit(offset: u64) -> Commit {
    let committed = Committed { offset: Offset::new(offset), metadata: format!("at {offset}") };
    Commit { topic: topic(), partition: FIRST, committed }
}

/// What a kill would leave of a quiet engine's directory.
fn image_of(path: &Path) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    for file in ["weirgate.db", "weirgate.db-wal", "high-water"] {
        fs::copy(path.join(file), image.path().join(file)).unwrap();
    }
    image
}

/// An engine with 300 records acknowledged, 20 bytes of write-ahead file at least, and a committed offset.
async fn filled() -> (Arc<Engine>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_at(directory.path());
    engine.ensure_topic(&spec(Cleanup::Delete)).await.unwrap();
    fill(&engine, FIRST, 0..150).await;
    engine.append(append(SECOND, (0..150).map(record).collect())).await.unwrap();
    engine.set_committed(&group(), vec![commit(70)]).await.unwrap();
    (engine, directory)
}

async fn assert_whole(engine: &Engine) {
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

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let (engine, directory) = filled().await;
    let info = engine.topic(&topic()).unwrap();
    engine.close().await;
    let engine = open_at(directory.path());
    assert_eq!(engine.topic(&topic()), Some(info));
    assert_whole(&engine).await;
    let appended = engine.append(append(FIRST, vec![record(150)])).await.unwrap();
    assert_eq!(appended.base, Offset::new(150));
    assert_eq!(engine.health(), Health::Ready);
    drop(engine);
    // A dropped engine has freed its directory too.
    assert_eq!(read_all(&open_at(directory.path()), FIRST).await.len(), 151);
}

#[tokio::test]
async fn a_second_engine_on_a_directory_is_told_who_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_at(directory.path());
    let error = open(&Config::at(directory.path())).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    engine.close().await;
    open_at(directory.path());
}

#[tokio::test]
async fn a_killed_engine_starts_with_everything() {
    let (engine, directory) = filled().await;
    let image = image_of(directory.path());
    assert_whole(&open_at(image.path())).await;
    assert_whole(&engine).await;
}

#[tokio::test]
async fn garbage_after_the_last_commit_is_no_loss() {
    let (_engine, directory) = filled().await;
    let image = image_of(directory.path());
    let wal = image.path().join("weirgate.db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    bytes.extend([0x5a; 10_000]);
    fs::write(&wal, bytes).unwrap();
    assert_whole(&open_at(image.path())).await;
}

#[tokio::test]
async fn a_damaged_write_ahead_file_is_noticed_and_told() {
    let (_engine, directory) = filled().await;
    let whole = fs::read(directory.path().join("weirgate.db-wal")).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let damages = [
        ("its header", flipped(20)),
        ("its middle", flipped(whole.len() / 2)),
        ("its end", whole[..whole.len() - 1_000].to_vec()),
        ("all but a third", whole[..whole.len() / 3].to_vec()),
        ("everything", Vec::new()),
    ];
    for (what, bytes) in damages {
        let image = image_of(directory.path());
        let wal = image.path().join("weirgate.db-wal");
        fs::write(&wal, bytes).unwrap();
        // Twice, since the first refusal must not tidy the evidence away.
        for _ in 0..2 {
            let error = open(&Config::at(image.path())).expect_err(what);
            assert!(matches!(error, OpenError::Behind { .. }), "{what}: {error:?}");
            assert!(error.to_string().contains("high-water"), "{error}");
        }
        fs::write(&wal, &whole).unwrap();
        assert_whole(&open_at(image.path())).await;
    }
}

#[tokio::test]
async fn a_refusal_names_the_partition_and_can_be_overruled() {
    let (_engine, directory) = filled().await;
    let image = image_of(directory.path());
    let wal = image.path().join("weirgate.db-wal");
    let bytes = fs::read(&wal).unwrap();
    fs::write(&wal, &bytes[..bytes.len() / 2]).unwrap();
    let error = open(&Config::at(image.path())).unwrap_err().to_string();
    assert!(error.contains("orders.v1/0 ends at offset"), "{error}");
    fs::remove_file(image.path().join("high-water")).unwrap();
    let engine = open_at(image.path());
    let records = read_all(&engine, FIRST).await;
    assert!(!records.is_empty() && records.len() < 150);
    assert!((0..).zip(&records).all(|(number, record)| record.value == Some(value(number))));
}

#[tokio::test]
async fn a_missing_database_is_not_taken_for_a_new_one() {
    let (engine, directory) = filled().await;
    engine.close().await;
    fs::remove_file(directory.path().join("weirgate.db")).unwrap();
    let error = open(&Config::at(directory.path())).unwrap_err();
    assert!(matches!(error, OpenError::Behind { commits: 0, .. }), "{error:?}");
}

#[tokio::test]
async fn some_other_file_is_not_taken_for_a_database() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("weirgate.db"), "not a database, but long enough to be one".repeat(200))
        .unwrap();
    let error = open(&Config::at(directory.path())).unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error:?}");
}

#[tokio::test]
async fn a_flipped_bit_in_the_database_is_an_error_and_not_a_record() {
    let (engine, directory) = filled().await;
    engine.close().await;
    let database = directory.path().join("weirgate.db");
    let mut bytes = fs::read(&database).unwrap();
    let wanted = value(100);
    let at = bytes.windows(wanted.len()).position(|window| window == wanted).unwrap();
    bytes[at + 5] ^= 1;
    fs::write(&database, bytes).unwrap();

    let engine = open_at(directory.path());
    let mut damaged = 0;
    for partition in [FIRST, SECOND] {
        let mut reader = engine.reader(&topic(), partition, Offset::ZERO, Purpose::CatchUp).await.unwrap();
        loop {
            match reader.next(100_000).await {
                Ok(fetched) => {
                    for record in &fetched.records {
                        assert_eq!(record.value, Some(value(record.offset.number())));
                    }
                    if fetched.next == fetched.end {
                        break;
                    }
                }
                Err(Error::Corrupt { offset, .. }) => {
                    damaged += 1;
                    assert!(offset <= Offset::new(100), "{offset}");
                    break;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    assert_eq!(damaged, 1);
    // What lies behind the damage can still be read, and written.
    assert_eq!(read(&engine, FIRST, Offset::new(101), Purpose::CatchUp).await.unwrap().len(), 49);
    engine.append(append(FIRST, vec![record(150)])).await.unwrap();
}

#[tokio::test]
async fn weaker_syncs_keep_everything_over_a_restart() {
    for fsync in [Fsync::Interval(Duration::from_millis(5)), Fsync::Never] {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { fsync, ..Config::at(directory.path()) };
        let engine = open(&config).unwrap();
        engine.ensure_topic(&spec(Cleanup::Delete)).await.unwrap();
        fill(&engine, FIRST, 0..100).await;
        // Killed, then closed.
        let image = image_of(directory.path());
        assert_eq!(
            read_all(&open(&Config { fsync, ..Config::at(image.path()) }).unwrap(), FIRST).await.len(),
            100
        );
        engine.close().await;
        assert_eq!(read_all(&open(&config).unwrap(), FIRST).await.len(), 100);
    }
}

#[tokio::test]
async fn records_beyond_memory_are_read_from_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { ring_bytes_max: 20_000, ..Config::at(directory.path()) };
    let engine = open(&config).unwrap();
    engine.ensure_topic(&spec(Cleanup::Delete)).await.unwrap();
    for chunk in 0..40_u64 {
        let records = (chunk * 100..(chunk + 1) * 100).map(record).collect();
        engine.append(append(FIRST, records)).await.unwrap();
    }
    for (purpose, from) in [(Purpose::Tail, 0), (Purpose::CatchUp, 0), (Purpose::CatchUp, 2_345)] {
        let records = read(&engine, FIRST, Offset::new(from), purpose).await.unwrap();
        assert_eq!(records.len() as u64, 4_000 - from);
        assert!((from..).zip(&records).all(|(number, record)| record.value == Some(value(number))));
    }
}

#[tokio::test]
async fn records_above_the_age_go_and_offsets_stay() {
    let directory = tempfile::tempdir().unwrap();
    let (clock, now) = clock();
    let engine = Engine::open(&Config::at(directory.path()), clock, &Registry::new()).unwrap();
    let spec = TopicSpec { retention: Some(Duration::from_secs(3_600)), ..spec(Cleanup::Delete) };
    engine.ensure_topic(&spec).await.unwrap();
    for hour in 0..5_u64 {
        fill(&engine, FIRST, hour * 200..(hour + 1) * 200).await;
        now.fetch_add(1_800_000, Ordering::Relaxed);
    }
    // Records of the hours 0.0, 0.5, 1.0, 1.5 and 2.0; it is 2.5.
    engine.maintain().await.unwrap();
    let (start, end) = (Offset::new(600), Offset::new(1_000));
    assert_eq!(engine.bounds(&topic(), FIRST).await.unwrap(), Bounds { start, end });
    let records = read_all(&engine, FIRST).await;
    assert!((600..).zip(&records).all(|(number, record)| record.value == Some(value(number))));
    assert_eq!(engine.offset_at(&topic(), FIRST, Timestamp::from_millis(0)).await.unwrap(), start);
    assert_eq!(engine.offset_at(&topic(), FIRST, records[200].timestamp).await.unwrap(), Offset::new(800));

    now.fetch_add(36_000_000, Ordering::Relaxed);
    engine.maintain().await.unwrap();
    let empty = Bounds { start: end, end };
    assert_eq!(engine.bounds(&topic(), FIRST).await.unwrap(), empty);
    engine.close().await;
    let engine = open_at(directory.path());
    assert_eq!(engine.bounds(&topic(), FIRST).await.unwrap(), empty);
    assert_eq!(engine.append(append(FIRST, vec![record(0)])).await.unwrap().base, end);
}

#[tokio::test]
async fn a_partition_above_its_size_loses_its_oldest_records() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_at(directory.path());
    let spec = TopicSpec { retention_bytes: Some(1 << 20), ..spec(Cleanup::Delete) };
    engine.ensure_topic(&spec).await.unwrap();
    // About 3.2 MB in one partition, little in the other.
    for chunk in 0..80_u64 {
        let records = (chunk * 100..(chunk + 1) * 100).map(record).collect();
        engine.append(append(FIRST, records)).await.unwrap();
    }
    fill(&engine, SECOND, 0..10).await;
    engine.maintain().await.unwrap();
    let kept = read_all(&engine, FIRST).await;
    let bytes: usize = kept.iter().map(Record::bytes).sum();
    assert!((900_000..1_200_000).contains(&bytes), "{bytes}");
    assert_eq!(kept.last().unwrap().value, Some(value(7_999)));
    assert_eq!(read_all(&engine, SECOND).await.len(), 10);
    // A restart comes to the same sum.
    engine.close().await;
    let engine = open_at(directory.path());
    engine.maintain().await.unwrap();
    assert_eq!(read_all(&engine, FIRST).await.len(), kept.len());
}

#[tokio::test]
async fn deleted_records_give_their_space_back() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_at(directory.path());
    engine.ensure_topic(&spec(Cleanup::Delete)).await.unwrap();
    let mut noise = vec![0; 100_000];
    for _ in 0..80 {
        getrandom::fill(&mut noise).unwrap();
        let value = Some(Bytes::copy_from_slice(&noise));
        engine.append(append(FIRST, vec![NewRecord { value, ..NewRecord::default() }])).await.unwrap();
    }
    fill(&engine, SECOND, 0..10).await;
    let end = engine.bounds(&topic(), FIRST).await.unwrap().end;
    engine.delete_records(&topic(), FIRST, end).await.unwrap();
    engine.maintain().await.unwrap();
    engine.close().await;
    let bytes = fs::metadata(directory.path().join("weirgate.db")).unwrap().len();
    assert!(bytes < 3_000_000, "{bytes}");
    assert_eq!(read_all(&open_at(directory.path()), SECOND).await.len(), 10);
}

#[tokio::test]
async fn a_deleted_topic_leaves_nothing_behind() {
    let (engine, directory) = filled().await;
    engine.delete_topic(&topic()).await.unwrap();
    assert_eq!(engine.groups().await.unwrap(), []);
    // Killed before the upkeep has come to it.
    let image = image_of(directory.path());
    let revived = open_at(image.path());
    assert_eq!(revived.topics(), []);
    revived.maintain().await.unwrap();
    engine.ensure_topic(&spec(Cleanup::Delete)).await.unwrap();
    engine.maintain().await.unwrap();
    assert_eq!(read_all(&engine, FIRST).await, []);
    engine.close().await;
    let engine = open_at(directory.path());
    assert_eq!(engine.bounds(&topic(), FIRST).await.unwrap().end, Offset::ZERO);
}

#[tokio::test]
async fn compaction_keeps_the_latest_of_each_key_at_its_offset() {
    let directory = tempfile::tempdir().unwrap();
    let (clock, now) = clock();
    let engine = Engine::open(&Config::at(directory.path()), clock.clone(), &Registry::new()).unwrap();
    engine.ensure_topic(&spec(Cleanup::Compact)).await.unwrap();
    // 500 writes to 10 keys, then one of them removed, then something newer that compaction leaves alone.
    for number in 0..500_u64 {
        let key = Some(Bytes::from((number % 10).to_string()));
        engine.append(append(FIRST, vec![NewRecord { key, ..record(number) }])).await.unwrap();
    }
    let tombstone = NewRecord { key: Some(Bytes::from_static(b"3")), ..NewRecord::default() };
    engine.append(append(FIRST, vec![tombstone])).await.unwrap();
    engine.append(append(FIRST, vec![record(501)])).await.unwrap();
    let offsets =
        |records: &[Record]| records.iter().map(|record| record.offset.number()).collect::<Vec<_>>();
    let latest = [490, 491, 492, 494, 495, 496, 497, 498, 499];

    engine.maintain().await.unwrap();
    engine.close().await;
    let engine = Engine::open(&Config::at(directory.path()), clock, &Registry::new()).unwrap();
    let records = read_all(&engine, FIRST).await;
    assert_eq!(offsets(&records), [&latest[..], &[500, 501]].concat());
    assert_eq!(records[0].value, Some(value(490)));

    // A day later the tombstone goes too; a reader passes over the gaps.
    now.fetch_add(100_000_000, Ordering::Relaxed);
    engine.maintain().await.unwrap();
    let records = read(&engine, FIRST, Offset::new(100), Purpose::CatchUp).await.unwrap();
    assert_eq!(offsets(&records), [&latest[..], &[501]].concat());
    assert_eq!(engine.bounds(&topic(), FIRST).await.unwrap().end, Offset::new(502));
}

#[tokio::test]
async fn a_full_queue_refuses_and_loses_nothing_it_took() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { queue_bytes_max: 100_000, ..Config::at(directory.path()) };
    let engine = open(&config).unwrap();
    engine.ensure_topic(&spec(Cleanup::Delete)).await.unwrap();
    let pending: Vec<_> =
        (0..2_000).map(|number| engine.append(append(FIRST, vec![record(number)]))).collect();
    let (mut taken, mut refused) = (0, 0);
    for appending in pending {
        match appending.await {
            Ok(_) => taken += 1,
            Err(Error::Overloaded) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
    assert_eq!(read_all(&engine, FIRST).await.len(), taken);
    // One append is taken however large, where nothing else waits.
    engine.append(append(FIRST, (0..1_000).map(record).collect())).await.unwrap();
}

#[tokio::test]
async fn impossible_records_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { record_bytes_max: 1_000, ..Config::at(directory.path()) };
    let engine = open(&config).unwrap();
    engine.ensure_topic(&spec(Cleanup::Compact)).await.unwrap();
    let key = Some(Bytes::from_static(b"key"));
    let large = NewRecord { key, value: Some(Bytes::from(vec![0; 998])), ..NewRecord::default() };
    let refused = engine.append(append(FIRST, vec![large])).await;
    assert!(matches!(refused, Err(Error::RecordTooLarge { bytes: 1_001, bytes_max: 1_000 })), "{refused:?}");
    let refused = engine.append(append(FIRST, vec![NewRecord::default()])).await;
    assert!(matches!(refused, Err(Error::NotSupported(_))), "{refused:?}");
    let refused = engine.append(append(FIRST, Vec::new())).await;
    assert!(matches!(refused, Err(Error::NotSupported(_))), "{refused:?}");
}

#[tokio::test]
async fn closing_answers_everybody() {
    let (engine, _directory) = filled().await;
    let mut reader = engine.reader(&topic(), FIRST, Offset::new(150), Purpose::Tail).await.unwrap();
    let waiting = tokio::spawn(async move { reader.next(1).await });
    let subscription = GroupSubscription { topics: vec![topic()], start: Start::Latest };
    let mut member = engine.join(&group(), subscription).await.unwrap();
    member.events.hold(&topic(), FIRST);
    let member = tokio::spawn(async move {
        loop {
            if let Err(error) = member.events.next().await {
                return error;
            }
        }
    });
    let pending: Vec<_> = (0..50).map(|number| engine.append(append(SECOND, vec![record(number)]))).collect();
    engine.close().await;
    for appending in pending {
        appending.await.unwrap();
    }
    // It may still have been given what came before.
    let read = waiting.await.unwrap();
    assert!(matches!(read, Err(Error::Closed)), "{read:?}");
    let ended = member.await.unwrap();
    assert!(matches!(ended, Error::Closed), "{ended:?}");
    let refused = engine.append(append(FIRST, vec![record(0)])).await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    assert!(matches!(engine.bounds(&topic(), FIRST).await, Err(Error::Closed)));
    assert!(matches!(engine.health(), Health::Unready { .. }));
    engine.close().await;
}

#[tokio::test]
async fn joining_again_ends_the_earlier_membership() {
    let (engine, _directory) = filled().await;
    let subscription = GroupSubscription { topics: vec![topic()], start: Start::Earliest };
    let mut first = engine.join(&group(), subscription.clone()).await.unwrap();
    first.events.next().await.unwrap();
    first.events.hold(&topic(), FIRST);
    first.events.hold(&topic(), SECOND);
    let waiting = tokio::spawn(async move { first.events.next().await.map(|_| ()) });
    let mut second = engine.join(&group(), subscription).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(Error::NotMember)));
    let refused = first.commits.commit(vec![commit(80)]).await;
    assert!(matches!(refused, Err(Error::NotMember)), "{refused:?}");
    assert!(matches!(second.events.next().await.unwrap(), MemberEvent::Assigned(_)));
    second.commits.commit(vec![commit(80)]).await.unwrap();
}

#[tokio::test]
async fn a_group_that_began_at_the_end_misses_nothing_after_a_restart() {
    let (engine, directory) = filled().await;
    let late = GroupName::parse("late").unwrap();
    let subscription = GroupSubscription { topics: vec![topic()], start: Start::Latest };
    let mut member = engine.join(&late, subscription.clone()).await.unwrap();
    member.events.next().await.unwrap();
    fill(&engine, FIRST, 150..160).await;
    // Nothing was committed by the member before the restart.
    engine.close().await;
    let engine = open_at(directory.path());
    let mut member = engine.join(&late, subscription).await.unwrap();
    let event = member.events.next().await.unwrap();
    let MemberEvent::Assigned(assigned) = event else { panic!("{event:?}") };
    assert_eq!(assigned[0].position, Offset::new(150));
}

#[tokio::test]
async fn times_are_found_as_a_walk_over_all_records_finds_them() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open_at(directory.path());
    engine.ensure_topic(&spec(Cleanup::Delete)).await.unwrap();
    let mut random = 7_u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    // Times grow on the whole, jump back often and far ahead now and then: more than one block of batches.
    let mut times = Vec::new();
    for step in 0..400_u64 {
        let records: Vec<NewRecord> = (0..=draw(3))
            .map(|_| {
                let ahead = if draw(50) == 0 { 5_000 } else { 0 };
                let millis = i64::try_from(step * 10 + draw(300) + ahead).unwrap();
                times.push(millis);
                NewRecord { timestamp: Some(Timestamp::from_millis(millis)), ..record(step) }
            })
            .collect();
        engine.append(append(FIRST, records)).await.unwrap();
    }
    for start in [0, 1, 150, 333, times.len()] {
        engine.delete_records(&topic(), FIRST, Offset::new(start as u64)).await.unwrap();
        for asked in (-10..10_000_i64).step_by(37) {
            let expected = (start..times.len()).find(|offset| times[*offset] >= asked).unwrap_or(times.len());
            let found = engine.offset_at(&topic(), FIRST, Timestamp::from_millis(asked)).await.unwrap();
            assert_eq!(found, Offset::new(expected as u64), "at {asked} from {start}");
        }
        engine.maintain().await.unwrap();
    }
}
