//! Tables, over whatever engine.

use std::sync::Arc;

use bytes::Bytes;

use crate::event::Offset;
use crate::log::{Cleanup, Draft, ENTRY_BYTES, Error, Size, Table};

use super::{FIRST, Subject, spec};

async fn table(subject: &Subject, partitions: u32) -> (Table, crate::event::Topic) {
    let topic = spec(partitions, Cleanup::Compact).name;
    (Table::open(Arc::clone(&subject.log), topic.clone(), partitions).await.unwrap(), topic)
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// And a removal removes.
pub async fn a_write_is_visible_when_it_returns(subject: &Subject) {
    let (table, _) = table(subject, 3).await;
    for round in 0..10 {
        for key in ["a", "b", "c"] {
            let value = text(&format!("{key}{round}"));
            table.write(text(key), Some(value.clone())).await.unwrap();
            assert_eq!(table.read(key.as_bytes()), Some(value));
        }
    }
    table.write(text("b"), None).await.unwrap();
    assert_eq!(table.read(b"b"), None);
    let keys: Vec<Bytes> = table.entries().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [text("a"), text("c")]);
}

/// However often a key was written before.
pub async fn a_table_opened_later_has_the_latest_values(subject: &Subject) {
    let (first, topic) = table(subject, 2).await;
    for round in 0..20 {
        first.write(text("key"), Some(text(&round.to_string()))).await.unwrap();
        first.write(text(&format!("gone-{round}")), Some(text("x"))).await.unwrap();
        first.write(text(&format!("gone-{round}")), None).await.unwrap();
    }
    drop(first);
    let second = Table::open(Arc::clone(&subject.log), topic, 1).await.unwrap();
    assert_eq!(second.entries(), [(text("key"), text("19"))]);
}

/// And says that it changed, and what.
pub async fn a_table_follows_what_others_write(subject: &Subject) {
    let (writer, topic) = table(subject, 1).await;
    let follower = Table::open(Arc::clone(&subject.log), topic, 1).await.unwrap();
    let mut changes = follower.changes();
    writer.write(text("key"), Some(text("value"))).await.unwrap();
    while follower.read(b"key") != Some(text("value")) {
        changes.changed().await.unwrap();
    }
    let seen = *changes.borrow_and_update();
    writer.write(text("gone"), Some(text("value"))).await.unwrap();
    writer.write(text("gone"), None).await.unwrap();
    writer.write(text("last"), Some(text("value"))).await.unwrap();
    while follower.read(b"last").is_none() {
        changes.changed().await.unwrap();
    }
    assert_eq!(follower.changed_since(seen), Some(vec![text("gone"), text("gone"), text("last")]));
}

/// And its first write has the first offset.
pub async fn a_table_without_records_is_empty(subject: &Subject) {
    let (table, _) = table(subject, 1).await;
    assert_eq!(table.entries(), []);
    assert_eq!(table.read(b"key"), None);
    assert_eq!(table.write(text("key"), Some(Bytes::new())).await.unwrap(), Offset::ZERO);
    assert_eq!(table.read(b"key"), Some(Bytes::new()));
}

/// None of many at once is lost, though each wrote by what it read; from one gateway's tables or several's.
pub async fn updates_at_once_build_on_one_another(subject: &Subject) {
    const EACH: u64 = 8;
    let (first, topic) = table(subject, 1).await;
    let second = Table::open(Arc::clone(&subject.log), topic.clone(), 1).await.unwrap();
    let writers = [first.clone(), first.clone(), second.clone()].map(|table| {
        tokio::spawn(async move {
            let mut counts = Vec::new();
            for _ in 0..EACH {
                counts.push(table.update(count).await.unwrap());
                assert!(number(table.read(b"count")) >= *counts.last().unwrap(), "it is visible");
            }
            counts
        })
    });
    let mut counts = Vec::new();
    for writer in writers {
        counts.extend(writer.await.unwrap());
    }
    counts.sort_unstable();
    assert_eq!(counts, (1..=3 * EACH).collect::<Vec<_>>(), "each built on the one before");
    let later = Table::open(Arc::clone(&subject.log), topic, 1).await.unwrap();
    assert_eq!(number(later.read(b"count")), 3 * EACH);
}

/// Adds one.
fn count(draft: &mut Draft<'_>) -> Result<u64, Error> {
    let count = number(draft.read(b"count")) + 1;
    draft.write(text("count"), Some(text(&count.to_string())));
    assert_eq!(number(draft.read(b"count")), count, "a draft shows its own changes");
    Ok(count)
}

fn number(value: Option<Bytes>) -> u64 {
    value.map_or(0, |value| std::str::from_utf8(&value).unwrap().parse().unwrap())
}

/// Nor does one that changes nothing store anything.
pub async fn a_refused_update_changes_nothing(subject: &Subject) {
    let (table, topic) = table(subject, 1).await;
    table.write(text("key"), Some(text("before"))).await.unwrap();
    let end = subject.log.bounds(&topic, FIRST).await.unwrap().end;
    let refused = table.update(|draft| {
        draft.write(text("key"), Some(text("after")));
        Err::<(), _>(Error::Overloaded)
    });
    assert!(matches!(refused.await, Err(Error::Overloaded)));
    let read = table.update(|draft| Ok::<_, Error>(draft.read(b"key"))).await.unwrap();
    assert_eq!((read, table.read(b"key")), (Some(text("before")), Some(text("before"))));
    assert_eq!(subject.log.bounds(&topic, FIRST).await.unwrap().end, end);
}

/// Whatever was written before it began, by whom and how ever.
pub async fn an_update_sees_all_that_was_written_before(subject: &Subject) {
    let (table, topic) = table(subject, 1).await;
    let other = Table::open(Arc::clone(&subject.log), topic, 1).await.unwrap();
    for round in 0..5 {
        let value = text(&round.to_string());
        other.write(text("plain"), Some(value.clone())).await.unwrap();
        let written = other.update(|draft| {
            draft.write(text("updated"), Some(value.clone()));
            draft.write(text("gone"), if round % 2 == 0 { Some(value.clone()) } else { None });
            Ok::<_, Error>(())
        });
        written.await.unwrap();
        let look = |draft: &mut Draft<'_>| {
            Ok::<_, Error>(["plain", "updated", "gone"].map(|key| draft.read(key.as_bytes())))
        };
        let seen = table.update(look).await.unwrap();
        assert_eq!(seen, [Some(value.clone()), Some(value.clone()), (round % 2 == 0).then_some(value)]);
    }
}

/// And an update sees its own changes among them.
pub async fn entries_below_a_prefix_are_those_that_begin_with_it(subject: &Subject) {
    let (table, _) = table(subject, 1).await;
    for key in ["a", "a/", "a/1", "a/2", "a0", "b/1"] {
        table.write(text(key), Some(text(key))).await.unwrap();
    }
    let keys = |entries: Vec<(Bytes, Bytes)>| entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(table.below(b"a/")), ["a/", "a/1", "a/2"]);
    assert_eq!(keys(table.below(b"c")), Vec::<Bytes>::new());
    let look = |draft: &mut Draft<'_>| {
        draft.write(text("a/1"), None);
        draft.write(text("a/3"), Some(text("new")));
        draft.write(text("c/1"), Some(text("new")));
        Ok::<_, Error>(draft.below(b"a/"))
    };
    let seen = table.update(look).await.unwrap();
    assert_eq!(keys(seen.clone()), ["a/", "a/2", "a/3"]);
    assert_eq!(seen, table.below(b"a/"));
}

/// In entries and in bytes, whatever came and went before.
pub async fn a_table_knows_how_much_it_holds(subject: &Subject) {
    let (table, topic) = table(subject, 1).await;
    let size = |entries, bytes| Size { entries, bytes: bytes + entries * ENTRY_BYTES, bytes_apart: 0 };
    assert_eq!(table.size(), size(0, 0));
    for (key, value, expected) in [
        ("a", Some("12"), size(1, 3)),
        ("b", Some(""), size(2, 4)),
        ("a", Some("1"), size(2, 3)),
        ("b", None, size(1, 2)),
        ("b", None, size(1, 2)),
    ] {
        table.write(text(key), value.map(text)).await.unwrap();
        assert_eq!(table.size(), expected, "{key} {value:?}");
    }
    let seen = table.update(|draft| Ok::<_, Error>(draft.size())).await.unwrap();
    assert_eq!(seen, size(1, 2));
    let other = Table::open(Arc::clone(&subject.log), topic, 1).await.unwrap();
    assert_eq!(other.size(), size(1, 2));
}
