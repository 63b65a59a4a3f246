//! A log in memory, with a switch for each way a log can fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use weirgate::event::{GroupName, Headers, Offset, Partition, Record, Timestamp, Topic};
use weirgate::log::{
    Append, Appended, Appending, Bounds, Commit, Committed, Error, EventLog, Fetched, GroupSubscription,
    Groups, Health, Incarnation, Membership, NewRecord, Purpose, Reader, TopicInfo, TopicSpec,
};

/// What the log does with an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// Appends wait until the mood is good again.
    Slow,
    Overloaded,
    Unavailable,
    /// Appends are lost without an answer.
    Silent,
    /// What was written before cannot be believed any more.
    Damaged,
    /// Has no transactions.
    Simple,
}

type Answer = oneshot::Sender<Result<Appended, Error>>;

#[derive(Debug, Clone)]
pub(crate) struct MemoryLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    topic_changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    /// A topic of another mood than the rest.
    apart: Option<(Topic, Mood)>,
    topics: BTreeMap<Topic, (Arc<TopicInfo>, Vec<Vec<Record>>)>,
    held: Vec<(Append, Answer)>,
    clock: i64,
}

impl MemoryLog {
    pub(crate) fn new(topics: &[(&str, u32)]) -> Self {
        let topics = topics.iter().map(|(name, partitions)| {
            let spec = TopicSpec {
                name: Topic::parse(name).unwrap(),
                partitions: *partitions,
                cleanup: weirgate::log::Cleanup::Delete,
                retention: None,
                retention_bytes: None,
            };
            let info = TopicInfo { spec: spec.clone(), incarnation: Incarnation(1) };
            (spec.name, (Arc::new(info), vec![Vec::new(); *partitions as usize]))
        });
        let state = State {
            mood: Mood::Good,
            apart: None,
            topics: topics.collect(),
            held: Vec::new(),
            clock: 1_763_720_130_000,
        };
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
            topic_changes: watch::Sender::new(0),
        }))
    }

    /// Changes what happens to appends; those held go on when it is good.
    pub(crate) fn set_mood(&self, mood: Mood) {
        let held = {
            let mut state = self.0.state.lock().unwrap();
            state.mood = mood;
            if mood == Mood::Good { std::mem::take(&mut state.held) } else { Vec::new() }
        };
        for (append, answer) in held {
            drop(answer.send(self.store(append)));
        }
    }

    /// Lets a topic take nothing from now on.
    pub(crate) fn refuse(&self, topic: &str) {
        self.set_mood_of(topic, Mood::Overloaded);
    }

    /// Changes what happens to appends to one topic alone.
    pub(crate) fn set_mood_of(&self, topic: &str, mood: Mood) {
        self.0.state.lock().unwrap().apart = Some((Topic::parse(topic).unwrap(), mood));
    }

    /// How many appends are held.
    pub(crate) fn held(&self) -> usize {
        self.0.state.lock().unwrap().held.len()
    }

    /// Appends a record as another producer does.
    pub(crate) fn put(&self, topic: &str, value: &[u8], headers: &[(&str, &str)]) {
        let header =
            |(name, value): &(&str, &str)| ((*name).into(), Some(Bytes::copy_from_slice(value.as_bytes())));
        let headers = Headers::new(headers.iter().map(header).collect());
        let value = Some(Bytes::copy_from_slice(value));
        let record = NewRecord { key: None, value, headers, timestamp: None };
        let (topic, partition) = (Topic::parse(topic).unwrap(), Partition::new(0));
        self.store(Append { topic, partition, records: vec![record] }).unwrap();
    }

    /// Everything stored.
    pub(crate) fn records(&self, topic: &str) -> Vec<Record> {
        let state = self.0.state.lock().unwrap();
        state.topics[&Topic::parse(topic).unwrap()].1.concat()
    }

    /// Stores records in partition 0 of a topic, which is made on first need.
    pub(crate) fn put_records(&self, topic: &str, records: Vec<NewRecord>) {
        let topic = Topic::parse(topic).unwrap();
        let mut state = self.0.state.lock().unwrap();
        let spec = TopicSpec {
            name: topic.clone(),
            partitions: 1,
            cleanup: weirgate::log::Cleanup::Delete,
            retention: None,
            retention_bytes: None,
        };
        let info = Arc::new(TopicInfo { spec, incarnation: Incarnation(1) });
        state.topics.entry(topic.clone()).or_insert_with(|| (info, vec![Vec::new()]));
        drop(state);
        self.store(Append { topic, partition: Partition::new(0), records }).unwrap();
    }

    fn store(&self, append: Append) -> Result<Appended, Error> {
        let mut state = self.0.state.lock().unwrap();
        state.clock += 1;
        let now = Timestamp::from_millis(state.clock);
        let Some((_, partitions)) = state.topics.get_mut(&append.topic) else {
            return Err(Error::UnknownTopic(append.topic));
        };
        let records = &mut partitions[append.partition.index()];
        let base = Offset::new(records.len() as u64);
        for new in append.records {
            records.push(Record {
                offset: Offset::new(records.len() as u64),
                timestamp: new.timestamp.unwrap_or(now),
                key: new.key,
                value: new.value,
                headers: new.headers,
                decoded: None,
            });
        }
        drop(state);
        self.0.changes.send_modify(|count| *count += 1);
        Ok(Appended::from(base, now))
    }

    fn read(&self, topic: &Topic, partition: Partition) -> Result<Vec<Record>, Error> {
        let state = self.0.state.lock().unwrap();
        let (info, partitions) = state.topics.get(topic).ok_or_else(|| Error::UnknownTopic(topic.clone()))?;
        partitions.get(partition.index()).cloned().ok_or_else(|| Error::UnknownPartition {
            topic: topic.clone(),
            partition,
            partitions: info.spec.partitions,
        })
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    fn topics(&self) -> Vec<TopicInfo> {
        self.0.state.lock().unwrap().topics.values().map(|(info, _)| TopicInfo::clone(info)).collect()
    }

    fn topic(&self, topic: &Topic) -> Option<Arc<TopicInfo>> {
        self.0.state.lock().unwrap().topics.get(topic).map(|(info, _)| Arc::clone(info))
    }

    fn topic_changes(&self) -> watch::Receiver<u64> {
        self.0.topic_changes.subscribe()
    }

    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        let info = Arc::new(TopicInfo { spec: spec.clone(), incarnation: Incarnation(1) });
        let empty = vec![Vec::new(); spec.partitions as usize];
        let mut state = self.0.state.lock().unwrap();
        let stored = state.topics.entry(spec.name.clone()).or_insert((info, empty));
        let stored = TopicInfo::clone(&stored.0);
        drop(state);
        self.0.topic_changes.send_modify(|count| *count += 1);
        Ok(stored)
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<(), Error> {
        Err(Error::UnknownTopic(topic.clone()))
    }

    fn append(&self, append: Append) -> Appending {
        let state = self.0.state.lock().unwrap();
        let apart = state.apart.as_ref().filter(|(topic, _)| *topic == append.topic);
        let mood = apart.map_or(state.mood, |(_, mood)| *mood);
        drop(state);
        let (answer, appending) = Appending::channel();
        match mood {
            Mood::Good | Mood::Simple => drop(answer.send(self.store(append))),
            Mood::Slow => self.0.state.lock().unwrap().held.push((append, answer)),
            Mood::Overloaded => drop(answer.send(Err(Error::Overloaded))),
            Mood::Unavailable => {
                let cause = std::io::Error::other("broker 10.0.0.7:9092 is gone");
                drop(answer.send(Err(Error::Unavailable(Arc::new(cause)))));
            }
            Mood::Silent => drop(answer),
            Mood::Damaged => {
                let Append { topic, partition, .. } = append;
                drop(answer.send(Err(Error::Corrupt { topic, partition, offset: Offset::new(0) })));
            }
        }
        appending
    }

    async fn append_atomic(&self, appends: Vec<Append>) -> Result<Vec<Appended>, Error> {
        let mood = self.0.state.lock().unwrap().mood;
        match mood {
            Mood::Good => appends.into_iter().map(|append| self.store(append)).collect(),
            Mood::Simple => Err(Error::NotSupported("transactions")),
            // All of it is answered as one append is.
            _ => {
                let first = appends.into_iter().next().unwrap();
                self.append(first).await.map(|appended| vec![appended])
            }
        }
    }

    async fn append_at(&self, append: Append, end: Offset) -> Result<Appended, Error> {
        if self.bounds(&append.topic, append.partition).await?.end != end {
            return Err(Error::Overtaken);
        }
        self.append(append).await
    }

    async fn reader(
        &self,
        topic: &Topic,
        partition: Partition,
        from: Offset,
        _purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error> {
        self.read(topic, partition)?;
        let changes = self.0.changes.subscribe();
        Ok(Box::new(MemoryReader { log: self.clone(), topic: topic.clone(), partition, next: from, changes }))
    }

    async fn bounds(&self, topic: &Topic, partition: Partition) -> Result<Bounds, Error> {
        let end = Offset::new(self.read(topic, partition)?.len() as u64);
        Ok(Bounds { start: Offset::ZERO, end })
    }

    async fn offset_at(&self, topic: &Topic, partition: Partition, time: Timestamp) -> Result<Offset, Error> {
        let records = self.read(topic, partition)?;
        let first = records.iter().find(|record| record.timestamp >= time);
        Ok(first.map_or_else(|| Offset::new(records.len() as u64), |record| record.offset))
    }

    async fn delete_records(&self, _: &Topic, _: Partition, _: Offset) -> Result<Bounds, Error> {
        Err(Error::NotSupported("deleting records"))
    }

    fn health(&self) -> Health {
        match self.0.state.lock().unwrap().mood {
            Mood::Unavailable => {
                let detail = "broker 10.0.0.7:9092 is gone".to_owned();
                Health::Unready { summary: "the cluster cannot be reached", detail }
            }
            _ => Health::Ready,
        }
    }
}

#[derive(Debug)]
struct MemoryReader {
    log: MemoryLog,
    topic: Topic,
    partition: Partition,
    next: Offset,
    changes: watch::Receiver<u64>,
}

#[async_trait]
impl Reader for MemoryReader {
    async fn next(&mut self, _bytes_max: usize) -> Result<Fetched, Error> {
        loop {
            self.changes.mark_unchanged();
            let records = self.log.read(&self.topic, self.partition)?;
            let end = Offset::new(records.len() as u64);
            let from = usize::try_from(self.next.number()).unwrap();
            if let Some(rest) = records.get(from..).filter(|rest| !rest.is_empty()) {
                self.next = end;
                return Ok(Fetched { records: rest.to_vec(), next: end, end });
            }
            self.changes.changed().await.map_err(|_| Error::Closed)?;
        }
    }

    fn seek(&mut self, offset: Offset) {
        self.next = offset;
    }

    fn position(&self) -> Offset {
        self.next
    }
}

#[async_trait]
impl Groups for MemoryLog {
    async fn join(&self, _: &GroupName, _: GroupSubscription) -> Result<Membership, Error> {
        Err(Error::NotSupported("groups"))
    }

    async fn committed(&self, _: &GroupName, _: &Topic) -> Result<BTreeMap<Partition, Committed>, Error> {
        Ok(BTreeMap::new())
    }

    async fn set_committed(&self, _: &GroupName, _: Vec<Commit>) -> Result<(), Error> {
        Ok(())
    }

    async fn forget(&self, _: &GroupName) -> Result<(), Error> {
        Ok(())
    }

    async fn groups(&self) -> Result<Vec<GroupName>, Error> {
        Ok(Vec::new())
    }
}
