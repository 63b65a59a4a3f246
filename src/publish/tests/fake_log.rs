//! A log in memory whose answers a test chooses.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use crate::event::{Clock, Offset, Partition, Record, Timestamp, Topic};
use crate::log::{
    Append, Appended, Appending, Bounds, Cleanup, Error, EventLog, Fetched, Health, Incarnation, Purpose,
    Reader, TopicInfo, TopicSpec,
};

/// How the next append is answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// Stored, answered at once.
    Store,
    /// Stored, answered when the test says so.
    StoreLater,
    /// Not stored, answered at once.
    Refuse(Error),
    /// Not stored, answered when the test says so.
    RefuseLater(Error),
    /// Stored, and the answer is lost.
    StoreSilently,
    /// Not stored, and the answer is lost.
    Lose,
}

#[derive(Debug, Clone)]
pub(super) struct FakeLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    changes: watch::Sender<u64>,
    state: Mutex<State>,
    /// Wakes those who wait at the end of a partition.
    appended: watch::Sender<u64>,
    /// Whether no topic can be made.
    is_barred: AtomicBool,
    /// Whether it does not know yet which topics there are.
    is_blind: AtomicBool,
    /// How many records followers have read.
    followed: AtomicUsize,
}

type Waiting = (oneshot::Sender<Result<Appended, Error>>, Result<Appended, Error>);

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<Topic, (Arc<TopicInfo>, Vec<Vec<Record>>)>,
    script: VecDeque<Answer>,
    waiting: VecDeque<Waiting>,
    appends: Vec<Append>,
    transactions: usize,
}

impl FakeLog {
    pub(super) fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared {
            clock,
            changes: watch::Sender::new(0),
            state: Mutex::default(),
            appended: watch::Sender::new(0),
            is_barred: AtomicBool::new(false),
            is_blind: AtomicBool::new(false),
            followed: AtomicUsize::new(0),
        }))
    }

    /// Whether topics can be made.
    pub(super) fn bar(&self, is_barred: bool) {
        self.0.is_barred.store(is_barred, Ordering::Relaxed);
    }

    /// Whether it knows which topics there are.
    pub(super) fn blind(&self, is_blind: bool) {
        self.0.is_blind.store(is_blind, Ordering::Relaxed);
    }

    /// How many records those who follow partitions have read.
    pub(super) fn followed(&self) -> usize {
        self.0.followed.load(Ordering::Relaxed)
    }

    /// The next appends are answered so; those after are stored.
    pub(super) fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state().script.extend(answers);
    }

    /// Answers the appends that wait.
    pub(super) fn answer_waiting(&self) {
        for (sender, answer) in std::mem::take(&mut self.state().waiting) {
            drop(sender.send(answer));
        }
    }

    pub(super) fn create(&self, name: &str, partitions: u32) {
        let name = Topic::parse(name).unwrap();
        let spec = TopicSpec {
            name: name.clone(),
            partitions,
            cleanup: Cleanup::Delete,
            retention: None,
            retention_bytes: None,
        };
        let mut state = self.state();
        let lives = state.topics.get(&name).map_or(0, |(info, _)| info.incarnation.0);
        let info = Arc::new(TopicInfo { spec, incarnation: Incarnation(lives + 1) });
        state.topics.insert(name, (info, vec![Vec::new(); partitions as usize]));
    }

    /// All records of a topic, partition by partition.
    pub(super) fn records(&self, topic: &str) -> Vec<Record> {
        self.state().topics.get(topic).map_or_else(Vec::new, |(_, partitions)| partitions.concat())
    }

    /// The only record of a topic.
    pub(super) fn record(&self, topic: &str) -> Record {
        let records = self.records(topic);
        assert_eq!(records.len(), 1, "{records:?}");
        records[0].clone()
    }

    /// All appends handed over, refused ones included.
    pub(super) fn appends(&self) -> Vec<Append> {
        self.state().appends.clone()
    }

    /// How many atomic appends were handed over.
    pub(super) fn transactions(&self) -> usize {
        self.state().transactions
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }
}

impl State {
    fn store(&mut self, append: Append, now: Timestamp) -> Result<Appended, Error> {
        let (_, partitions) = self.topics.get_mut(&append.topic).unwrap();
        let partition = &mut partitions[append.partition.index()];
        let base = Offset::new(partition.len() as u64);
        for record in append.records {
            let offset = Offset::new(partition.len() as u64);
            let (key, value, headers) = (record.key, record.value, record.headers);
            partition.push(Record { offset, timestamp: now, key, value, headers, decoded: None });
        }
        Ok(Appended::from(base, now))
    }
}

#[async_trait]
impl EventLog for FakeLog {
    fn topics(&self) -> Vec<TopicInfo> {
        self.state().topics.values().map(|(info, _)| TopicInfo::clone(info)).collect()
    }

    fn topic(&self, topic: &Topic) -> Option<Arc<TopicInfo>> {
        self.state().topics.get(topic).map(|(info, _)| Arc::clone(info))
    }

    fn topics_known(&self) -> Result<(), Error> {
        if self.0.is_blind.load(Ordering::Relaxed) {
            return Err(Error::Unavailable(Arc::new(std::io::Error::other("blind"))));
        }
        Ok(())
    }

    fn topic_changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        if self.0.is_barred.load(Ordering::Relaxed) {
            return Err(Error::Unavailable(Arc::new(std::io::Error::other("barred"))));
        }
        if self.topic(&spec.name).is_none() {
            self.create(spec.name.as_str(), spec.partitions);
        }
        Ok(TopicInfo { spec: spec.clone(), incarnation: Incarnation(1) })
    }

    async fn delete_topic(&self, _topic: &Topic) -> Result<(), Error> {
        Err(Error::NotSupported("deleting"))
    }

    fn append(&self, append: Append) -> Appending {
        let now = self.0.clock.now();
        let mut state = self.state();
        state.appends.push(append.clone());
        let (sender, appending) = Appending::channel();
        match state.script.pop_front().unwrap_or(Answer::Store) {
            Answer::Store => drop(sender.send(state.store(append, now))),
            Answer::StoreLater => {
                let answer = state.store(append, now);
                state.waiting.push_back((sender, answer));
            }
            Answer::Refuse(error) => drop(sender.send(Err(error))),
            Answer::RefuseLater(error) => state.waiting.push_back((sender, Err(error))),
            Answer::StoreSilently => drop(state.store(append, now)),
            Answer::Lose => {}
        }
        drop(state);
        self.0.appended.send_modify(|count| *count += 1);
        appending
    }

    async fn append_atomic(&self, appends: Vec<Append>) -> Result<Vec<Appended>, Error> {
        let now = self.0.clock.now();
        let (all, sign) = {
            let mut state = self.state();
            state.appends.extend(appends.iter().cloned());
            state.transactions += 1;
            let (sender, sign) = Appending::channel();
            let nothing = Ok(Appended::from(Offset::ZERO, now));
            let store = |state: &mut State| {
                appends.into_iter().map(|append| state.store(append, now)).collect::<Result<Vec<_>, _>>()
            };
            let all = match state.script.pop_front().unwrap_or(Answer::Store) {
                Answer::Store => {
                    drop(sender.send(nothing));
                    store(&mut state)
                }
                Answer::StoreLater => {
                    state.waiting.push_back((sender, nothing));
                    store(&mut state)
                }
                Answer::Refuse(error) => return Err(error),
                Answer::RefuseLater(error) => {
                    state.waiting.push_back((sender, Err(error)));
                    Ok(Vec::new())
                }
                Answer::StoreSilently => {
                    drop(sender);
                    store(&mut state)
                }
                Answer::Lose => return Err(Error::OutcomeUnknown),
            };
            (all, sign)
        };
        self.0.appended.send_modify(|count| *count += 1);
        sign.await?;
        all
    }

    async fn append_at(&self, _: Append, _: Offset) -> Result<Appended, Error> {
        Err(Error::NotSupported("appends at a place"))
    }

    async fn reader(
        &self,
        topic: &Topic,
        partition: Partition,
        from: Offset,
        purpose: Purpose,
    ) -> Result<Box<dyn Reader>, Error> {
        let (log, topic, appended) = (self.clone(), topic.clone(), self.0.appended.subscribe());
        Ok(Box::new(FakeReader { log, topic, partition, position: from, purpose, appended }))
    }

    async fn bounds(&self, topic: &Topic, partition: Partition) -> Result<Bounds, Error> {
        let state = self.state();
        let (_, partitions) = state.topics.get(topic).ok_or_else(|| Error::UnknownTopic(topic.clone()))?;
        let end = Offset::new(partitions[partition.index()].len() as u64);
        Ok(Bounds { start: Offset::ZERO, end })
    }

    async fn offset_at(&self, topic: &Topic, partition: Partition, time: Timestamp) -> Result<Offset, Error> {
        let state = self.state();
        let (_, partitions) = state.topics.get(topic).ok_or_else(|| Error::UnknownTopic(topic.clone()))?;
        let records = &partitions[partition.index()];
        let found = records.iter().find(|record| record.timestamp >= time).map(|record| record.offset);
        Ok(found.unwrap_or_else(|| Offset::new(records.len() as u64)))
    }

    async fn delete_records(&self, _: &Topic, _: Partition, _: Offset) -> Result<Bounds, Error> {
        Err(Error::NotSupported("deleting"))
    }

    fn health(&self) -> Health {
        Health::Ready
    }
}

#[derive(Debug)]
struct FakeReader {
    log: FakeLog,
    topic: Topic,
    partition: Partition,
    position: Offset,
    purpose: Purpose,
    appended: watch::Receiver<u64>,
}

impl FakeReader {
    fn here(&self) -> Vec<Record> {
        let at = usize::try_from(self.position.number()).unwrap();
        let state = self.log.state();
        let partition = &state.topics.get(&self.topic).unwrap().1[self.partition.index()];
        partition[at..].iter().take(100).cloned().collect()
    }
}

#[async_trait]
impl Reader for FakeReader {
    async fn next(&mut self, _bytes_max: usize) -> Result<Fetched, Error> {
        let mut records = self.here();
        assert!(!records.is_empty() || self.purpose == Purpose::Tail, "a search must not wait at the end");
        while records.is_empty() {
            self.appended.changed().await.unwrap();
            records = self.here();
        }
        if self.purpose == Purpose::Tail {
            self.log.0.followed.fetch_add(records.len(), Ordering::Relaxed);
        }
        self.position = self.position.plus(records.len() as u64);
        let end = self.log.bounds(&self.topic, self.partition).await?.end;
        Ok(Fetched { records, next: self.position, end })
    }

    fn seek(&mut self, offset: Offset) {
        self.position = offset;
    }

    fn position(&self) -> Offset {
        self.position
    }
}
