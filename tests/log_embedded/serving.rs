//! What a running engine answers, at its bounds and at its end.

use bytes::Bytes;
use weirgate::event::{Offset, Timestamp};
use weirgate::log::{
    Cleanup, Error, EventLog as _, GroupSubscription, Groups as _, Health, MemberEvent, NewRecord, Purpose,
    Start,
};
use weirgate::log_embedded::Config;

use crate::support::{
    FIRST, SECOND, append, commit, filled, group, open, open_at, read, read_all, record, spec, topic, value,
};

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
