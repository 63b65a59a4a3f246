//! Appends: what goes in, in which order, and what is refused.

use bytes::Bytes;

use crate::event::{HeaderName, Headers, Offset, Partition, Timestamp, Topic};
use crate::log::{Error, NewRecord};

use super::{FIRST, Subject, append, text_record, texts};

/// Keys, values, headers and times, null and empty ones included.
pub async fn records_come_back_as_they_went_in(subject: &Subject) {
    let topic = subject.topic(1).await;
    let header =
        |name: &str, value: Option<&'static [u8]>| (HeaderName::from(name), value.map(Bytes::from_static));
    let time = Some(Timestamp::from_millis(1_700_000_000_123));
    let full = NewRecord {
        key: Some(Bytes::from_static(b"key\0\xff")),
        value: Some(Bytes::from(vec![7; 10_000])),
        headers: Headers::new(vec![header("a", Some(b"1")), header("a", Some(b"2")), header("\u{fc}", None)]),
        timestamp: time,
    };
    let empty = NewRecord {
        key: Some(Bytes::new()),
        value: Some(Bytes::new()),
        headers: Headers::new(vec![header("", Some(b""))]),
        timestamp: time,
    };
    let null = NewRecord { timestamp: time, ..NewRecord::default() };
    let given = vec![full, empty, null];
    subject.log.append(append(&topic, FIRST, given.clone())).await.unwrap();
    let read = subject.read_from(&topic, FIRST, Offset::ZERO).await;
    assert_eq!(read.len(), given.len());
    for ((index, record), given) in read.into_iter().enumerate().zip(given) {
        assert_eq!(record.offset, Offset::new(index as u64));
        assert_eq!(Some(record.timestamp), given.timestamp);
        assert_eq!((record.key, record.value, record.headers), (given.key, given.value, given.headers));
    }
}

/// Appends that were handed over before earlier ones were answered.
pub async fn offsets_are_consecutive_in_the_order_of_the_calls(subject: &Subject) {
    let topic = subject.topic(1).await;
    let given: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    let pending: Vec<_> = given
        .chunks(2)
        .map(|pair| {
            subject.log.append(append(&topic, FIRST, pair.iter().map(|text| text_record(text)).collect()))
        })
        .collect();
    for (index, appending) in pending.into_iter().enumerate() {
        assert_eq!(appending.await.unwrap().base, Offset::new(index as u64 * 2));
    }
    let read = subject.read_from(&topic, FIRST, Offset::ZERO).await;
    assert_eq!(texts(&read), given);
    assert!((0..).map(Offset::new).zip(&read).all(|(offset, record)| record.offset == offset));
}

/// Every answer names the place where its record lies.
pub async fn many_producers_share_a_partition_without_gaps(subject: &Subject) {
    let topic = subject.topic(2).await;
    let producers = (0..16).map(|producer| {
        let (subject, topic) = (subject.clone(), topic.clone());
        tokio::spawn(async move {
            let partition = Partition::new(producer % 2);
            let mut placed = Vec::new();
            for number in 0..25 {
                let text = format!("{producer}:{number}");
                placed.push((partition, subject.append(&topic, partition, text_record(&text)).await, text));
            }
            placed
        })
    });
    let producers: Vec<_> = producers.collect();
    let mut placed = Vec::new();
    for producer in producers {
        placed.extend(producer.await.unwrap());
    }
    for partition in [FIRST, Partition::new(1)] {
        let read = subject.read_from(&topic, partition, Offset::ZERO).await;
        let mut expected: Vec<_> = placed.iter().filter(|(of, ..)| *of == partition).collect();
        expected.sort();
        assert_eq!(texts(&read), expected.iter().map(|(_, _, text)| text.as_str()).collect::<Vec<_>>());
        assert!(expected.iter().zip(&read).all(|((_, offset, _), record)| record.offset == *offset));
    }
}

/// The answer tells that time.
pub async fn a_record_without_a_time_has_the_time_of_the_append(subject: &Subject) {
    let topic = subject.topic(1).await;
    let appended = subject.log.append(append(&topic, FIRST, vec![text_record("now")])).await.unwrap();
    let read = subject.read_from(&topic, FIRST, Offset::ZERO).await;
    assert_eq!(read.first().unwrap().timestamp, appended.timestamp);
    assert!(appended.timestamp.millis() > 0);
}

/// Nothing is stored elsewhere instead.
pub async fn a_place_that_is_not_there_is_refused(subject: &Subject) {
    let topic = subject.topic(1).await;
    let unknown = Topic::parse("conformance.no-such-topic").unwrap();
    let refused = subject.log.append(append(&unknown, FIRST, vec![text_record("lost")])).await;
    assert!(matches!(refused, Err(Error::UnknownTopic(_))), "{refused:?}");
    let refused = subject.log.append(append(&topic, Partition::new(1), vec![text_record("lost")])).await;
    assert!(matches!(refused, Err(Error::UnknownPartition { partitions: 1, .. })), "{refused:?}");
    assert_eq!(subject.log.bounds(&topic, FIRST).await.unwrap().end, Offset::ZERO);
}

/// All of it or nothing, where the engine can at all.
pub async fn an_atomic_append_is_whole(subject: &Subject) {
    let topic = subject.topic(2).await;
    let second = Partition::new(1);
    let appends = |second| {
        vec![
            append(&topic, FIRST, vec![text_record("a"), text_record("b")]),
            append(&topic, second, vec![text_record("c")]),
        ]
    };
    match subject.log.append_atomic(appends(second)).await {
        Err(Error::NotSupported(_)) => return,
        appended => {
            let bases: Vec<Offset> = appended.unwrap().into_iter().map(|appended| appended.base).collect();
            assert_eq!(bases, [Offset::ZERO, Offset::ZERO]);
        }
    }
    assert!(subject.log.append_atomic(appends(Partition::new(7))).await.is_err());
    assert_eq!(texts(&subject.read_from(&topic, FIRST, Offset::ZERO).await), ["a", "b"]);
    assert_eq!(texts(&subject.read_from(&topic, second, Offset::ZERO).await), ["c"]);
}
