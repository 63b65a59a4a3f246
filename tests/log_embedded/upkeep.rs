//! What is given up: by age, by size, by hand, and by compaction.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use weirgate::event::{Offset, Record, Timestamp};
use weirgate::log::{Bounds, Cleanup, EventLog as _, Groups as _, NewRecord, Purpose, TopicSpec};
use weirgate::log_embedded::{Config, Engine};
use weirgate::telemetry::Registry;

use crate::support::{
    FIRST, SECOND, append, clock, fill, filled, image_of, open_at, read, read_all, record, spec, topic, value,
};

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
