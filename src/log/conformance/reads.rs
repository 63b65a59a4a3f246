//! Reads: waiting, waking, bounds, times, deleted records.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::poll;

use crate::event::{Offset, Timestamp};
use crate::log::{Bounds, NewRecord, Purpose};

use super::{FIRST, Subject, append, assert_out_of_range, text_record, texts};

/// A wait is not an empty answer.
pub async fn a_reader_at_the_end_waits_for_more(subject: &Subject) {
    let topic = subject.topic(1).await;
    let mut reader = subject.log.reader(&topic, FIRST, Offset::ZERO, Purpose::Tail).await.unwrap();
    for round in 0..20_u64 {
        let fetched = {
            let mut next = pin!(reader.next(1_000));
            assert!(poll!(&mut next).is_pending());
            subject.append(&topic, FIRST, text_record("more")).await;
            next.await.unwrap()
        };
        assert_eq!(texts(&fetched.records), ["more"]);
        assert_eq!((fetched.next, fetched.end), (Offset::new(round + 1), Offset::new(round + 1)));
        assert_eq!(reader.position(), fetched.next);
    }
}

/// `next` is cancel safe.
pub async fn a_dropped_wait_loses_nothing(subject: &Subject) {
    let topic = subject.topic(1).await;
    let mut reader = subject.log.reader(&topic, FIRST, Offset::ZERO, Purpose::Tail).await.unwrap();
    let mut read = Vec::new();
    for number in 0..50 {
        let appending = subject.log.append(append(&topic, FIRST, vec![text_record(&number.to_string())]));
        // Dropped at whatever point it has reached.
        if let Ok(fetched) = tokio::time::timeout(Duration::from_micros(100), reader.next(1_000)).await {
            read.extend(fetched.unwrap().records);
        }
        appending.await.unwrap();
    }
    while reader.position() < Offset::new(50) {
        read.extend(reader.next(1_000).await.unwrap().records);
    }
    assert_eq!(texts(&read), (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// Even one byte's worth is at least a record.
pub async fn small_bites_still_make_progress(subject: &Subject) {
    let topic = subject.topic(1).await;
    let records = (0..30).map(|number| text_record(&format!("{number:0>100}"))).collect();
    subject.log.append(append(&topic, FIRST, records)).await.unwrap();
    for bytes_max in [1, 250, 100_000] {
        let mut reader = subject.log.reader(&topic, FIRST, Offset::ZERO, Purpose::CatchUp).await.unwrap();
        let mut count = 0;
        while reader.position() < Offset::new(30) {
            let fetched = reader.next(bytes_max).await.unwrap();
            assert!(!fetched.records.is_empty());
            assert!(bytes_max > 1 || fetched.records.len() < 30);
            count += fetched.records.len();
        }
        assert_eq!(count, 30);
    }
}

/// At the end is within, beyond it is not.
pub async fn a_reader_starts_within_the_bounds(subject: &Subject) {
    let topic = subject.topic(1).await;
    subject.append_texts(&topic, FIRST, &["a", "b"]).await;
    let reader = subject.log.reader(&topic, FIRST, Offset::new(2), Purpose::Tail).await.unwrap();
    assert_eq!(reader.position(), Offset::new(2));
    assert_out_of_range(&subject.log.reader(&topic, FIRST, Offset::new(3), Purpose::Tail).await);
    let read = subject.read_from(&topic, FIRST, Offset::new(1)).await;
    assert_eq!(texts(&read), ["b"]);
}

/// The first record at or after a time, by offset, whatever the order of times.
pub async fn times_are_found_even_out_of_order(subject: &Subject) {
    let topic = subject.topic(1).await;
    let begun = 1_700_000_000_000;
    let times = [10, 20, 5, 40, 30, 40, 60];
    for chunk in times.chunks(2) {
        let record = |millis: &i64| {
            let timestamp = Some(Timestamp::from_millis(begun + millis));
            NewRecord { timestamp, ..text_record("timed") }
        };
        subject.log.append(append(&topic, FIRST, chunk.iter().map(record).collect())).await.unwrap();
    }
    for (asked, offset) in [(0, 0), (10, 0), (11, 1), (20, 1), (21, 3), (40, 3), (41, 6), (60, 6), (61, 7)] {
        let time = Timestamp::from_millis(begun + asked);
        let found = subject.log.offset_at(&topic, FIRST, time).await.unwrap();
        assert_eq!(found, Offset::new(offset), "at {asked}");
    }
}

/// Readers behind are told, and may go on at the start.
pub async fn deleted_records_are_gone(subject: &Subject) {
    let topic = subject.topic(1).await;
    subject.append_texts(&topic, FIRST, &["a", "b", "c", "d"]).await;
    let mut reader = subject.log.reader(&topic, FIRST, Offset::ZERO, Purpose::CatchUp).await.unwrap();
    let (two, four) = (Offset::new(2), Offset::new(4));
    let bounds = subject.log.delete_records(&topic, FIRST, two).await.unwrap();
    assert_eq!(bounds, Bounds { start: two, end: four });
    assert_eq!(subject.log.bounds(&topic, FIRST).await.unwrap(), bounds);
    assert_out_of_range(&reader.next(1_000).await);
    reader.seek(two);
    assert_eq!(texts(&reader.next(1_000).await.unwrap().records), ["c", "d"]);
    assert_out_of_range(&subject.log.reader(&topic, FIRST, Offset::new(1), Purpose::Tail).await);
    assert_out_of_range(&subject.log.delete_records(&topic, FIRST, Offset::new(5)).await);
    assert_eq!(subject.log.offset_at(&topic, FIRST, Timestamp::from_millis(0)).await.unwrap(), two);

    let bounds = subject.log.delete_records(&topic, FIRST, four).await.unwrap();
    assert_eq!(bounds, Bounds { start: four, end: four });
    assert_eq!(subject.append(&topic, FIRST, text_record("e")).await, four);
    assert_eq!(texts(&subject.read_from(&topic, FIRST, four).await), ["e"]);
}

/// Each has a place of its own.
pub async fn readers_stand_side_by_side(subject: &Subject) {
    let topic = subject.topic(1).await;
    let readers = (0..8).map(|_| {
        let (log, topic) = (Arc::clone(&subject.log), topic.clone());
        tokio::spawn(async move {
            let mut reader = log.reader(&topic, FIRST, Offset::ZERO, Purpose::Tail).await.unwrap();
            let mut read = Vec::new();
            while reader.position() < Offset::new(200) {
                read.extend(reader.next(500).await.unwrap().records);
            }
            read
        })
    });
    let readers: Vec<_> = readers.collect();
    for number in 0..200 {
        subject.append(&topic, FIRST, text_record(&number.to_string())).await;
    }
    let expected: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    for reader in readers {
        assert_eq!(texts(&reader.await.unwrap()), expected);
    }
}
