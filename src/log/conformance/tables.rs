//! Tables, over whatever engine.

use std::sync::Arc;

use bytes::Bytes;

use crate::event::Offset;
use crate::log::{Cleanup, Table};

use super::{Subject, spec};

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

/// And says that it changed.
pub async fn a_table_follows_what_others_write(subject: &Subject) {
    let (writer, topic) = table(subject, 1).await;
    let follower = Table::open(Arc::clone(&subject.log), topic, 1).await.unwrap();
    let mut changes = follower.changes();
    writer.write(text("key"), Some(text("value"))).await.unwrap();
    while follower.read(b"key") != Some(text("value")) {
        changes.changed().await.unwrap();
    }
}

/// And its first write has the first offset.
pub async fn a_table_without_records_is_empty(subject: &Subject) {
    let (table, _) = table(subject, 1).await;
    assert_eq!(table.entries(), []);
    assert_eq!(table.read(b"key"), None);
    assert_eq!(table.write(text("key"), Some(Bytes::new())).await.unwrap(), Offset::ZERO);
    assert_eq!(table.read(b"key"), Some(Bytes::new()));
}
