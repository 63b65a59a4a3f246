//! Updates of a table, over a log that answers as a test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::event::{Offset, Partition, Timestamp, Topic};
use crate::log::{
    Append, Appended, Appending, Bounds, Error, EventLog, Fetched, Health, Incarnation, Purpose, Reader,
    TopicInfo, TopicSpec,
};

use super::Table;

/// What a reader at the end does once something was appended.
#[derive(Debug, Clone, Copy)]
enum Tail {
    /// It says that the log is closed.
    Closes,
    /// It says that the topic is gone.
    IsGone,
    /// Nothing.
    IsSilent,
}

/// A log of one partition with nothing in it but offsets.
#[derive(Debug)]
struct Fake {
    end: AtomicU64,
    tail: Tail,
    appended: Notify,
    appends: AtomicU64,
}

#[derive(Debug)]
struct FakeReader {
    log: Arc<Fake>,
    position: Offset,
}

/// A handle, so that readers can hold the log too.
#[derive(Debug)]
struct Handle(Arc<Fake>);

fn topic() -> Topic {
    Topic::parse("table").unwrap()
}

#[async_trait]
impl Reader for FakeReader {
    async fn next(&mut self, _bytes_max: usize) -> Result<Fetched, Error> {
        let end = Offset::new(self.log.end.load(Ordering::Relaxed));
        if self.position < end {
            self.position = end;
            return Ok(Fetched { records: Vec::new(), next: end, end });
        }
        self.log.appended.notified().await;
        match self.log.tail {
            Tail::Closes => Err(Error::Closed),
            Tail::IsGone => Err(Error::UnknownTopic(topic())),
            Tail::IsSilent => std::future::pending().await,
        }
    }

    fn seek(&mut self, offset: Offset) {
        self.position = offset;
    }

    fn position(&self) -> Offset {
        self.position
    }
}

#[async_trait]
impl EventLog for Handle {
    fn topics(&self) -> Vec<TopicInfo> {
        Vec::new()
    }

    fn topic(&self, _topic: &Topic) -> Option<Arc<TopicInfo>> {
        None
    }

    fn topic_changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        Ok(TopicInfo { spec: spec.clone(), incarnation: Incarnation(1) })
    }

    async fn delete_topic(&self, _topic: &Topic) -> Result<(), Error> {
        Err(Error::NotSupported("this"))
    }

    fn append(&self, _append: Append) -> Appending {
        Appending::refused(Error::NotSupported("this"))
    }

    async fn append_atomic(&self, _appends: Vec<Append>) -> Result<Vec<Appended>, Error> {
        Err(Error::NotSupported("this"))
    }

    async fn append_at(&self, _append: Append, end: Offset) -> Result<Appended, Error> {
        self.0.appends.fetch_add(1, Ordering::Relaxed);
        self.0.appended.notify_one();
        Ok(Appended::from(end, Timestamp::from_millis(0)))
    }

    async fn reader(
        &self,
        _topic: &Topic,
        _partition: Partition,
        from: Offset,
        _purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error> {
        Ok(Box::new(FakeReader { log: Arc::clone(&self.0), position: from }))
    }

    async fn bounds(&self, _topic: &Topic, _partition: Partition) -> Result<Bounds, Error> {
        Ok(Bounds { start: Offset::ZERO, end: Offset::new(self.0.end.load(Ordering::Relaxed)) })
    }

    async fn offset_at(
        &self,
        _topic: &Topic,
        _partition: Partition,
        _time: Timestamp,
    ) -> Result<Offset, Error> {
        Err(Error::NotSupported("this"))
    }

    async fn delete_records(
        &self,
        _topic: &Topic,
        _partition: Partition,
        _before: Offset,
    ) -> Result<Bounds, Error> {
        Err(Error::NotSupported("this"))
    }

    fn health(&self) -> Health {
        Health::Ready
    }
}

/// A table of a log whose only partition ends at 3.
async fn table(tail: Tail) -> (Table, Arc<Fake>) {
    let (end, appends) = (AtomicU64::new(3), AtomicU64::new(0));
    let log = Arc::new(Fake { end, tail, appended: Notify::new(), appends });
    let table = Table::open(Arc::new(Handle(Arc::clone(&log))), topic(), 1).await.unwrap();
    (table, log)
}

async fn update(table: &Table) -> Result<(), Error> {
    let update = table.update(|draft| {
        draft.write(Bytes::from_static(b"key"), Some(Bytes::from_static(b"value")));
        Ok(())
    });
    update.await
}

#[tokio::test(start_paused = true)]
async fn an_update_that_was_stored_and_not_seen_has_an_unknown_outcome() {
    for tail in [Tail::Closes, Tail::IsGone, Tail::IsSilent] {
        let (table, log) = table(tail).await;
        let updated = tokio::time::timeout(super::UPDATE_MAX * 2, update(&table)).await;
        assert!(matches!(updated, Ok(Err(Error::OutcomeUnknown))), "{tail:?}: {updated:?}");
        assert_eq!(log.appends.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_whose_topic_was_made_anew_decides_nothing_by_what_the_old_one_held() {
    let (table, log) = table(Tail::IsSilent).await;
    log.end.store(1, Ordering::Relaxed);
    let updated = update(&table).await;
    assert!(matches!(updated, Err(Error::Unavailable(_))), "{updated:?}");
    assert_eq!(log.appends.load(Ordering::Relaxed), 0);
}
