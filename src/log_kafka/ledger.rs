//! Which topic of its name a topic is: ids of our own, since Kafka's are not shown, in the compacted topic
//! `_weirgate.topics` that all gateways read.
//!
//! An entry names the incarnation it follows and holds only where that one is in force, so that of two gateways which
//! name a topic at once the first wins on both. Nothing here asks what the cluster has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::timeout;

use crate::event::{Offset, Partition, Record, Topic};
use crate::log::{
    Append, Cleanup, Error, Incarnation, NewRecord, Purpose, Reader as _, TopicInfo, TopicSpec,
};

use super::failure::unavailable;
use super::reader::PartitionReader;
use super::shared::Shared;
use super::topics::TopicState;

/// Where the entries lie.
const TOPIC: &str = "_weirgate.topics";
const PARTITION: Partition = Partition::new(0);
const READ_BYTES: usize = 1 << 20;
/// How long it may take to read what is new.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether this is the ledger's own topic, which is read before any topic is known.
pub(super) fn is_topic(topic: &Topic) -> bool {
    topic.as_str() == TOPIC
}

/// What the ledger's own topic should be.
pub(super) fn spec() -> Result<TopicSpec, Error> {
    let name = Topic::parse(TOPIC).map_err(unavailable)?;
    Ok(TopicSpec { name, partitions: 1, cleanup: Cleanup::Compact, retention: None, retention_bytes: None })
}

/// The ledger, as far as it was read.
#[derive(Debug)]
pub(super) struct Ledger {
    shared: Arc<Shared>,
    topic: Topic,
    reader: PartitionReader,
    entries: Entries,
}

#[derive(Debug, Default)]
struct Entries(HashMap<Topic, u64>);

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Entry {
    incarnation: u64,
    /// The incarnation this one follows; 0 where there was none.
    after: u64,
}

impl Ledger {
    /// Reads the ledger to its end; its topic exists.
    pub(super) async fn open(shared: Arc<Shared>) -> Result<Self, Error> {
        let spec = spec()?;
        let topic = spec.name.clone();
        let bounds = shared.bounds(&topic, PARTITION).await?;
        let state = Arc::new(TopicState::new(TopicInfo { spec, incarnation: Incarnation(0) }));
        let places = (bounds.start, bounds.end);
        let reader = PartitionReader::new(Arc::clone(&shared), state, PARTITION, places, Purpose::Tail)?;
        let mut ledger = Self { shared, topic, reader, entries: Entries::default() };
        ledger.read_to(bounds.end).await?;
        Ok(ledger)
    }

    /// Takes over what others wrote and is here already.
    pub(super) fn follow(&mut self) -> Result<(), Error> {
        while let Some(fetched) = self.reader.next(READ_BYTES).now_or_never() {
            self.entries.apply(&fetched?.records);
        }
        Ok(())
    }

    /// The incarnation of a topic, where it has one.
    pub(super) fn get(&self, topic: &Topic) -> Option<Incarnation> {
        self.entries.0.get(topic).map(|number| Incarnation(*number))
    }

    /// Gives incarnations to topics that have none.
    pub(super) async fn name(&mut self, topics: Vec<Topic>) -> Result<(), Error> {
        if topics.is_empty() {
            return Ok(());
        }
        self.catch_up().await?;
        let unnamed = topics.into_iter().filter(|topic| self.get(topic).is_none());
        let entries = unnamed.map(|topic| Ok((topic, Some(random()?)))).collect::<Result<Vec<_>, Error>>()?;
        self.write(entries).await
    }

    /// Gives a topic that was made anew another incarnation.
    pub(super) async fn renew(&mut self, topic: &Topic) -> Result<(), Error> {
        self.catch_up().await?;
        let incarnation = random()?;
        self.write(vec![(topic.clone(), Some(incarnation))]).await
    }

    /// Forgets a topic that is gone, so that its name means another one next time.
    pub(super) async fn forget(&mut self, topic: &Topic) -> Result<(), Error> {
        if self.get(topic).is_none() {
            return Ok(());
        }
        self.write(vec![(topic.clone(), None)]).await
    }

    /// Writes entries, and reads on to them.
    async fn write(&mut self, entries: Vec<(Topic, Option<u64>)>) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let record = |(topic, incarnation): &(Topic, Option<u64>)| {
            let after = self.entries.0.get(topic).copied().unwrap_or(0);
            NewRecord {
                key: Some(Bytes::copy_from_slice(topic.as_str().as_bytes())),
                value: incarnation.map(|incarnation| value(&Entry { incarnation, after })),
                ..NewRecord::default()
            }
        };
        let records = entries.iter().map(record).collect();
        let last = entries.len() - 1;
        let append = Append { topic: self.topic.clone(), partition: PARTITION, records };
        let appended = self.shared.producer.append(append).await?;
        self.read_to(appended.offset(last).next()).await?;
        self.repair(&entries).await
    }

    /// Where another gateway was first, its entry is written once more: compaction keeps only the last one.
    async fn repair(&self, entries: &[(Topic, Option<u64>)]) -> Result<(), Error> {
        for (topic, incarnation) in entries {
            let holds = self.entries.0.get(topic).copied();
            let Some(incarnation) = holds.filter(|_| holds != *incarnation) else { continue };
            let value = value(&Entry { incarnation, after: incarnation });
            let key = Bytes::copy_from_slice(topic.as_str().as_bytes());
            let record = NewRecord { key: Some(key), value: Some(value), ..NewRecord::default() };
            let append = Append { topic: self.topic.clone(), partition: PARTITION, records: vec![record] };
            self.shared.producer.append(append).await?;
        }
        Ok(())
    }

    async fn catch_up(&mut self) -> Result<(), Error> {
        let end = self.shared.bounds(&self.topic, PARTITION).await?.end;
        self.read_to(end).await
    }

    async fn read_to(&mut self, end: Offset) -> Result<(), Error> {
        let reading = async {
            while self.reader.position() < end {
                match self.reader.next(READ_BYTES).await {
                    Ok(fetched) => self.entries.apply(&fetched.records),
                    Err(Error::OffsetOutOfRange { start, .. }) if self.reader.position() < start => {
                        self.reader.seek(start);
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        timeout(PATIENCE, reading).await.unwrap_or_else(|elapsed| Err(unavailable(elapsed)))
    }
}

impl Entries {
    fn apply(&mut self, records: &[Record]) {
        for record in records {
            let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
            let Some(topic) = key.and_then(|key| Topic::parse(key).ok()) else { continue };
            let Some(value) = &record.value else {
                self.0.remove(&topic);
                continue;
            };
            let Ok(entry) = serde_json::from_slice::<Entry>(value) else { continue };
            if self.0.get(&topic).is_none_or(|known| *known == entry.after) {
                self.0.insert(topic, entry.incarnation);
            }
        }
    }
}

fn value(entry: &Entry) -> Bytes {
    format!("{{\"incarnation\":{},\"after\":{}}}", entry.incarnation, entry.after).into()
}

fn random() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| unavailable(std::io::Error::other(error.to_string())))?;
    // Never 0, which means that there was none.
    Ok(u64::from_le_bytes(bytes).max(1))
}

#[cfg(test)]
mod tests {
    use super::{Entries, Entry, value};
    use crate::event::{Headers, Offset, Record, Timestamp, Topic};

    fn record(entry: Option<(u64, u64)>) -> Record {
        Record {
            offset: Offset::ZERO,
            timestamp: Timestamp::from_millis(0),
            key: Some("t".into()),
            value: entry.map(|(incarnation, after)| value(&Entry { incarnation, after })),
            headers: Headers::default(),
            decoded: None,
        }
    }

    fn after(records: &[Option<(u64, u64)>]) -> Option<u64> {
        let mut entries = Entries::default();
        entries.apply(&records.iter().copied().map(record).collect::<Vec<_>>());
        entries.0.get(&Topic::parse("t").unwrap()).copied()
    }

    #[test]
    fn of_two_that_name_a_topic_at_once_the_first_wins() {
        assert_eq!(after(&[Some((5, 0)), Some((6, 0))]), Some(5));
    }

    #[test]
    fn an_incarnation_follows_the_one_it_names() {
        assert_eq!(after(&[Some((5, 0)), Some((6, 5)), Some((7, 5))]), Some(6));
        assert_eq!(after(&[Some((5, 0)), None, Some((6, 0))]), Some(6));
    }

    #[test]
    fn what_compaction_left_holds() {
        assert_eq!(after(&[Some((6, 5))]), Some(6));
    }
}
