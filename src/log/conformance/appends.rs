//! Appends: what goes in, in which order, and what is refused.

use std::sync::Arc;

use bytes::Bytes;

use crate::event::{HeaderName, Headers, Offset, Partition, Timestamp, Topic};
use crate::log::{Error, NewRecord, Purpose};

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

/// And is seen when it is answered.
pub async fn an_atomic_append_is_whole(subject: &Subject) {
    let topic = subject.topic(2).await;
    let second = Partition::new(1);
    let appends = |second| {
        vec![
            append(&topic, FIRST, vec![text_record("a"), text_record("b")]),
            append(&topic, second, vec![text_record("c")]),
        ]
    };
    let appended = subject.log.append_atomic(appends(second)).await.unwrap();
    let places: Vec<Offset> = appended.iter().map(|appended| appended.base).collect();
    assert_eq!(places, [Offset::ZERO, Offset::ZERO]);
    assert_eq!(appended[0].offset(1), Offset::new(1));
    let refused = subject.log.append_atomic(appends(Partition::new(7))).await;
    assert!(matches!(refused, Err(Error::UnknownPartition { .. })), "{refused:?}");
    assert_eq!(texts(&subject.read_from(&topic, FIRST, Offset::ZERO).await), ["a", "b"]);
    assert_eq!(texts(&subject.read_from(&topic, second, Offset::ZERO).await), ["c"]);
}

/// One after the other, whatever marks the engine puts between.
pub async fn atomic_and_plain_appends_share_a_partition(subject: &Subject) {
    let topic = subject.topic(2).await;
    let mut reader = subject.log.reader(&topic, FIRST, Offset::ZERO, Purpose::Tail).await.unwrap();
    let mut expected = Vec::new();
    for round in 0..5 {
        let (atomic, plain) = (format!("atomic {round}"), format!("plain {round}"));
        let both = [FIRST, Partition::new(1)];
        let appends = both.map(|partition| append(&topic, partition, vec![text_record(&atomic)]));
        subject.log.append_atomic(appends.into()).await.unwrap();
        subject.append(&topic, FIRST, text_record(&plain)).await;
        expected.extend([atomic, plain]);
    }
    let mut read = Vec::new();
    while read.len() < expected.len() {
        read.extend(reader.next(1 << 20).await.unwrap().records);
    }
    assert_eq!(texts(&read), expected);
    assert!(read.is_sorted_by(|one, next| one.offset < next.offset));
    assert_eq!(texts(&subject.read_from(&topic, FIRST, Offset::ZERO).await), expected);
}

/// All of many that were handed over at once, each whole.
pub async fn atomic_appends_at_once_are_all_there(subject: &Subject) {
    const COUNT: usize = 12;
    let topic = subject.topic(2).await;
    let appends = (0..COUNT).map(|number| {
        let text = number.to_string();
        let both = [FIRST, Partition::new(1)];
        let appends = both.map(|partition| append(&topic, partition, vec![text_record(&text)]));
        let log = Arc::clone(&subject.log);
        tokio::spawn(async move { log.append_atomic(appends.into()).await })
    });
    for appended in appends.collect::<Vec<_>>() {
        appended.await.unwrap().unwrap();
    }
    let mut expected: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
    expected.sort();
    for partition in [FIRST, Partition::new(1)] {
        let read = subject.read_from(&topic, partition, Offset::ZERO).await;
        let mut read = texts(&read);
        read.sort_unstable();
        assert_eq!(read, expected);
    }
}

/// Whatever of it is wrong: a topic, a partition, the size of one record.
pub async fn of_a_refused_atomic_append_nothing_is_stored(subject: &Subject) {
    let topic = subject.topic(2).await;
    let unknown = Topic::parse("conformance.no-such-topic").unwrap();
    let large = NewRecord { value: Some(Bytes::from(vec![7; 64 << 20])), ..NewRecord::default() };
    let good = || append(&topic, FIRST, vec![text_record("lost")]);
    let lost = |append| subject.log.append_atomic(vec![good(), append]);
    let refused = lost(append(&unknown, FIRST, vec![text_record("lost")])).await;
    assert!(matches!(refused, Err(Error::UnknownTopic(_))), "{refused:?}");
    let refused = lost(append(&topic, Partition::new(2), vec![text_record("lost")])).await;
    assert!(matches!(refused, Err(Error::UnknownPartition { partitions: 2, .. })), "{refused:?}");
    let refused = lost(append(&topic, Partition::new(1), vec![text_record("lost"), large])).await;
    assert!(matches!(refused, Err(Error::RecordTooLarge { .. })), "{refused:?}");
    subject.log.append_atomic(vec![append(&topic, FIRST, vec![text_record("kept")])]).await.unwrap();
    assert_eq!(texts(&subject.read_from(&topic, FIRST, Offset::ZERO).await), ["kept"]);
    assert_eq!(subject.log.bounds(&topic, Partition::new(1)).await.unwrap().end, Offset::ZERO);
}

/// While others write to the same partitions, too.
pub async fn places_of_an_atomic_append_are_where_its_records_lie(subject: &Subject) {
    const ROUNDS: usize = 8;
    let topic = subject.topic(2).await;
    let both = [FIRST, Partition::new(1)];
    let others = both.map(|partition| {
        let (subject, topic) = (subject.clone(), topic.clone());
        tokio::spawn(async move {
            for _ in 0..ROUNDS * 4 {
                subject.append(&topic, partition, text_record("other")).await;
            }
        })
    });
    let mut placed = Vec::new();
    for round in 0..ROUNDS {
        let text = |partition: Partition, index| format!("{round}:{partition}:{index}");
        let records = |partition| (0..3).map(|index| text_record(&text(partition, index))).collect();
        let appends = both.map(|partition| append(&topic, partition, records(partition)));
        let appended = subject.log.append_atomic(appends.into()).await.unwrap();
        assert_eq!(appended.len(), both.len());
        for (partition, appended) in both.into_iter().zip(&appended) {
            placed.extend((0..3).map(|index| (partition, appended.offset(index), text(partition, index))));
        }
    }
    for other in others {
        other.await.unwrap();
    }
    for partition in both {
        let read = subject.read_from(&topic, partition, Offset::ZERO).await;
        assert_eq!(read.len(), ROUNDS * (3 + 4));
        for (_, offset, text) in placed.iter().filter(|(of, ..)| *of == partition) {
            let record = read.iter().find(|record| record.offset == *offset).unwrap();
            assert_eq!(record.value.as_deref(), Some(text.as_bytes()));
        }
    }
}

/// However often they look while it is written.
pub async fn no_reader_sees_a_part_of_an_atomic_append(subject: &Subject) {
    const ROUNDS: usize = 10;
    let topic = subject.topic(2).await;
    let writer = {
        let (log, topic) = (Arc::clone(&subject.log), topic.clone());
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let records = || (0..4).map(|_| text_record(&round.to_string())).collect();
                let both = [FIRST, Partition::new(1)];
                let appends = both.map(|partition| append(&topic, partition, records()));
                log.append_atomic(appends.into()).await.unwrap();
            }
        })
    };
    loop {
        let is_over = writer.is_finished();
        let read = subject.read_from(&topic, FIRST, Offset::ZERO).await;
        assert_eq!(read.len() % 4, 0, "a part: {:?}", texts(&read));
        if is_over {
            assert_eq!(read.len(), ROUNDS * 4);
            break;
        }
    }
    writer.await.unwrap();
}

/// And nowhere else: the loser stores nothing, and may try again where the partition ends now.
pub async fn an_append_at_a_place_goes_there_or_nowhere(subject: &Subject) {
    let topic = subject.topic(1).await;
    let end = async || subject.log.bounds(&topic, FIRST).await.unwrap().end;
    let at = |text: &str, end| subject.log.append_at(append(&topic, FIRST, vec![text_record(text)]), end);
    assert_eq!(at("a", Offset::ZERO).await.unwrap().base, Offset::ZERO);
    let late = at("late", Offset::ZERO).await;
    assert!(matches!(late, Err(Error::Overtaken)), "{late:?}");
    let early = at("early", end().await.next()).await;
    assert!(matches!(early, Err(Error::Overtaken)), "{early:?}");
    subject.append(&topic, FIRST, text_record("plain")).await;
    let before_plain = at("late", Offset::new(1)).await;
    assert!(matches!(before_plain, Err(Error::Overtaken)), "{before_plain:?}");
    let place = end().await;
    assert_eq!(at("b", place).await.unwrap().base, place);
    assert_eq!(texts(&subject.read_from(&topic, FIRST, Offset::ZERO).await), ["a", "plain", "b"]);
}

/// However many try at once; or none, where the engine has marks and that of an earlier loser came between.
pub async fn of_appends_at_one_place_one_gets_through(subject: &Subject) {
    let topic = subject.topic(1).await;
    let mut expected = Vec::new();
    let mut round = 0;
    while expected.len() < 4 {
        round += 1;
        assert!(round < 40, "nobody gets on");
        let end = subject.log.bounds(&topic, FIRST).await.unwrap().end;
        let writers = (0..6).map(|writer| {
            let text = format!("{round}:{writer}");
            let (log, append) = (Arc::clone(&subject.log), append(&topic, FIRST, vec![text_record(&text)]));
            tokio::spawn(async move { (text, log.append_at(append, end).await) })
        });
        let mut stored = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.unwrap() {
                (text, Ok(_)) => stored.push(text),
                (_, Err(Error::Overtaken)) => {}
                (_, Err(error)) => panic!("{error}"),
            }
        }
        let is_right = stored.len() == 1 || subject.has_marks && stored.is_empty();
        assert!(is_right, "{stored:?} of one place");
        expected.extend(stored);
    }
    assert_eq!(texts(&subject.read_from(&topic, FIRST, Offset::ZERO).await), expected);
}
