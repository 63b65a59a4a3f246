//! A gateway on its own log: what it says of a group while it runs, and what lies there, read past it once it has ended.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::interval;
use tokio_util::sync::{CancellationToken, DropGuard};
use weirgate::event::{Clock, GroupName, Offset, Partition, Record, Topic};
use weirgate::log::{Cleanup, EventLog as _, Groups as _, Purpose, TopicSpec};
use weirgate::log_embedded::{Config, Engine};
use weirgate::telemetry::Registry;

use crate::checkers::Stored;
use crate::gateway::{self, Target};
use crate::ground::Names;
use crate::history::{Book, Deed, Entry, Kind, Recorder, sha};
use crate::log::id_of;

/// Between two looks at a group's commits.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How far a group is in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) part: i32,
    pub(crate) committed: Option<i64>,
    pub(crate) end: i64,
}

/// How far the gateway says that a group is in a topic, where it answers.
pub(crate) async fn places(target: &Target, group: &str, topic: &str) -> Option<Vec<Place>> {
    let place = |one: &Value| {
        let part = i32::try_from(one["partition"].as_i64()?).ok()?;
        Some(Place { part, committed: one["committedOffset"].as_i64(), end: one["endOffset"].as_i64()? })
    };
    rows(target, group, topic).await?.iter().map(place).collect()
}

/// What the gateway says of each partition of a group's topic.
async fn rows(target: &Target, group: &str, topic: &str) -> Option<Vec<Value>> {
    let (status, text) = gateway::get(target, &format!("/v1/groups/{group}")).await?;
    let view: Value = serde_json::from_str(&text).ok().filter(|_| status == 200)?;
    Some(view["partitions"].as_array()?.iter().filter(|one| one["topic"] == topic).cloned().collect())
}

/// What waits in a group's topic for its dead letter to be written, where the gateway answers.
pub(crate) async fn waiting_for_letters(target: &Target, names: &Names) -> Option<Vec<(i32, i64)>> {
    let rows = rows(target, &names.group, &names.topic).await?;
    let mut waiting = Vec::new();
    for row in &rows {
        let part = i32::try_from(row["partition"].as_i64()?).ok()?;
        let blocked = row["lanesBlocked"].as_array()?.iter().filter(|lane| lane["reason"] == "dead_letter");
        waiting.extend(blocked.filter_map(|lane| Some((part, lane["offset"].as_i64()?))));
    }
    Some(waiting)
}

/// What a group has committed of a topic, by partition.
pub(crate) async fn committed(target: &Target, group: &str, topic: &str) -> Option<Vec<(i32, i64)>> {
    let places = places(target, group, topic).await?;
    Some(places.into_iter().filter_map(|place| Some((place.part, place.committed?))).collect())
}

/// Looks at a group's commits all the time, and writes down what moved.
#[derive(Debug)]
pub(crate) struct Commits {
    looking: JoinHandle<()>,
    ending: DropGuard,
}

impl Commits {
    pub(crate) fn watch(book: &Book, target: &Target, names: &Names) -> Self {
        let ending = CancellationToken::new();
        let looking = look(target.clone(), names.clone(), book.recorder("commits"), ending.clone());
        Self { looking: tokio::spawn(looking), ending: ending.drop_guard() }
    }

    pub(crate) async fn stop(self) {
        drop(self.ending);
        self.looking.await.unwrap();
    }
}

async fn look(target: Target, names: Names, mut recorder: Recorder, ending: CancellationToken) {
    let (mut last, mut ticks) = (Vec::new(), interval(LOOK_EVERY));
    while !ending.is_cancelled() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = ending.cancelled() => return,
        }
        let Some(now) = committed(&target, &names.group, &names.topic).await else { continue };
        for (part, off) in now.iter().filter(|one| !last.contains(*one)) {
            recorder.write(Entry::new(Deed::Commit, Kind::Ok).at(*part, *off));
        }
        last = now;
    }
}

/// The log of a gateway that has ended.
#[derive(Debug)]
pub(crate) struct Log(Arc<Engine>);

impl Log {
    pub(crate) fn open(path: &Path) -> Self {
        Self(Engine::open(&Config::at(path), Clock::system(), &Registry::new()).unwrap())
    }

    /// Every record of a topic, by partition and offset; of one that does not exist none.
    pub(crate) async fn truth(&self, topic: &str) -> Vec<Stored> {
        let topic = Topic::parse(topic).unwrap();
        let partitions = self.0.topic(&topic).map_or(0, |info| info.spec.partitions);
        let mut stored = Vec::new();
        for partition in (0..partitions).map(Partition::new) {
            let bounds = self.0.bounds(&topic, partition).await.unwrap();
            let mut reader = self.0.reader(&topic, partition, bounds.start, Purpose::CatchUp).await.unwrap();
            while reader.position() < bounds.end {
                let read = reader.next(1 << 20).await.unwrap();
                stored.extend(read.records.iter().map(|record| entry(partition, record)));
            }
        }
        stored
    }

    /// Deletes a topic, where there is one; answers what lay there.
    pub(crate) async fn take_away(&self, topic: &str) -> Vec<Stored> {
        let stored = self.truth(topic).await;
        let topic = Topic::parse(topic).unwrap();
        if self.0.topic(&topic).is_some() {
            self.0.delete_topic(&topic).await.unwrap();
        }
        stored
    }

    /// Makes a compacted topic of one partition.
    pub(crate) async fn put_table(&self, topic: &str) {
        let spec = TopicSpec {
            name: Topic::parse(topic).unwrap(),
            partitions: 1,
            cleanup: Cleanup::Compact,
            retention: None,
            retention_bytes: None,
        };
        self.0.ensure_topic(&spec).await.unwrap();
    }

    /// Removes what lies before these offsets, as retention does.
    pub(crate) async fn remove(&self, topic: &str, before: &[(i32, i64)]) {
        let topic = Topic::parse(topic).unwrap();
        for (part, off) in before {
            let partition = Partition::new(u32::try_from(*part).unwrap());
            let before = Offset::new(u64::try_from(*off).unwrap());
            self.0.delete_records(&topic, partition, before).await.unwrap();
        }
    }

    /// What a group has committed, by partition.
    pub(crate) async fn committed(&self, group: &str, topic: &str) -> Vec<(i32, i64)> {
        let (group, topic) = (GroupName::parse(group).unwrap(), Topic::parse(topic).unwrap());
        let committed = self.0.committed(&group, &topic).await.unwrap();
        committed.into_iter().map(|(partition, at)| (number(partition), offset(at.offset))).collect()
    }

    pub(crate) async fn close(self) {
        self.0.close().await;
    }
}

fn entry(partition: Partition, record: &Record) -> Stored {
    let value = record.value.as_deref().unwrap_or_default();
    Stored { part: number(partition), off: offset(record.offset), id: id_of(value), sha: sha(value) }
}

fn number(partition: Partition) -> i32 {
    i32::try_from(partition.number()).unwrap()
}

fn offset(offset: Offset) -> i64 {
    i64::try_from(offset.number()).unwrap()
}
