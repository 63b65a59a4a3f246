//! A log whose readers hand out records that were read as JSON. Everything else is the log's.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Decoder, Unknown, WAIT_MAX};
use crate::event::{Offset, Partition, Timestamp, Topic};
use crate::log::{
    Append, Appended, Appending, Bounds, Error, EventLog, Fetched, Health, Purpose, Reader, TopicInfo,
    TopicSpec,
};

/// The log.
#[derive(Debug)]
pub(super) struct Decoding {
    log: Arc<dyn EventLog>,
    decoder: Decoder,
}

/// A reader of one topic.
#[derive(Debug)]
struct Reading {
    reader: Box<dyn Reader>,
    decoder: Decoder,
    topic: Topic,
    /// What was fetched and is not handed out yet: the future that fetched it may have been dropped.
    waiting: Option<Waiting>,
}

/// Records, one of which waits for its schema.
#[derive(Debug)]
struct Waiting {
    fetched: Fetched,
    /// Where they begin.
    from: Offset,
    until: Instant,
}

impl Decoding {
    pub(super) fn new(log: Arc<dyn EventLog>, decoder: Decoder) -> Self {
        Self { log, decoder }
    }
}

#[async_trait]
impl EventLog for Decoding {
    fn topics(&self) -> Vec<TopicInfo> {
        self.log.topics()
    }

    fn topic(&self, topic: &Topic) -> Option<Arc<TopicInfo>> {
        self.log.topic(topic)
    }

    fn topics_known(&self) -> Result<(), Error> {
        self.log.topics_known()
    }

    fn topic_changes(&self) -> watch::Receiver<u64> {
        self.log.topic_changes()
    }

    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        self.log.ensure_topic(spec).await
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<(), Error> {
        self.log.delete_topic(topic).await
    }

    fn append(&self, append: Append) -> Appending {
        self.log.append(append)
    }

    async fn append_atomic(&self, appends: Vec<Append>) -> Result<Vec<Appended>, Error> {
        self.log.append_atomic(appends).await
    }

    async fn append_at(&self, append: Append, end: Offset) -> Result<Appended, Error> {
        self.log.append_at(append, end).await
    }

    async fn reader(
        &self,
        topic: &Topic,
        partition: Partition,
        from: Offset,
        purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error> {
        let reader = self.log.reader(topic, partition, from, purpose).await?;
        let (decoder, topic) = (self.decoder.clone(), topic.clone());
        Ok(Box::new(Reading { reader, decoder, topic, waiting: None }))
    }

    async fn bounds(&self, topic: &Topic, partition: Partition) -> Result<Bounds, Error> {
        self.log.bounds(topic, partition).await
    }

    async fn offset_at(&self, topic: &Topic, partition: Partition, time: Timestamp) -> Result<Offset, Error> {
        self.log.offset_at(topic, partition, time).await
    }

    async fn delete_records(
        &self,
        topic: &Topic,
        partition: Partition,
        before: Offset,
    ) -> Result<Bounds, Error> {
        self.log.delete_records(topic, partition, before).await
    }

    fn health(&self) -> Health {
        self.log.health()
    }
}

#[async_trait]
impl Reader for Reading {
    async fn next(&mut self, bytes_max: usize) -> Result<Fetched, Error> {
        if self.waiting.is_none() {
            let from = self.reader.position();
            let mut fetched = self.reader.next(bytes_max).await?;
            if self.decoder.read(&self.topic, &mut fetched.records, Unknown::Waits) {
                return Ok(fetched);
            }
            self.waiting = Some(Waiting { fetched, from, until: Instant::now() + WAIT_MAX });
        }
        if let Some(waiting) = &mut self.waiting {
            self.decoder.settle(&self.topic, &mut waiting.fetched.records, waiting.until).await;
        }
        Ok(self.waiting.take().map_or_else(Fetched::default, |waiting| waiting.fetched))
    }

    fn seek(&mut self, offset: Offset) {
        self.waiting = None;
        self.reader.seek(offset);
    }

    fn position(&self) -> Offset {
        self.waiting.as_ref().map_or_else(|| self.reader.position(), |waiting| waiting.from)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tokio::time::timeout;

    use super::*;
    use crate::schema::decoder::tests::{Book, coded, decoder, json, topic};

    /// Hands out one record of the schema 4 at each offset.
    #[derive(Debug)]
    struct Endless(Offset);

    #[async_trait]
    impl Reader for Endless {
        async fn next(&mut self, _bytes_max: usize) -> Result<Fetched, Error> {
            let record = crate::event::Record { offset: self.0, ..coded(4, "{}") };
            self.0 = self.0.plus(1);
            Ok(Fetched { records: vec![record], next: self.0, end: self.0 })
        }

        fn seek(&mut self, offset: Offset) {
            self.0 = offset;
        }

        fn position(&self) -> Offset {
            self.0
        }
    }

    fn reading(book: &Arc<Book>) -> Reading {
        let reader = Box::new(Endless(Offset::new(7)));
        Reading { reader, decoder: decoder(book), topic: topic("avro"), waiting: None }
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_wait_for_a_schema_are_not_lost_with_who_waits() {
        let book = Book::new();
        let mut reading = reading(&book);
        for _ in 0..2 {
            timeout(WAIT_MAX / 4, reading.next(1)).await.expect_err("the schema is not known");
            assert_eq!(reading.position(), Offset::new(7));
        }
        book.may_learn.notify_one();
        let fetched = reading.next(1).await.unwrap();
        assert_eq!((fetched.records[0].offset, fetched.next), (Offset::new(7), Offset::new(8)));
        assert_eq!(fetched.records[0].decoded, json("{}"));
        assert_eq!(reading.position(), Offset::new(8));
        assert_eq!(reading.next(1).await.unwrap().records[0].decoded, json("{}"));
        assert_eq!(book.asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_on_elsewhere_does_not_get_what_waited() {
        let book = Book::new();
        let mut reading = reading(&book);
        timeout(WAIT_MAX / 4, reading.next(1)).await.expect_err("the schema is not known");
        reading.seek(Offset::new(20));
        assert_eq!(reading.position(), Offset::new(20));
        book.may_learn.notify_one();
        assert_eq!(reading.next(1).await.unwrap().records[0].offset, Offset::new(20));
    }
}
