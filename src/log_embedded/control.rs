//! What has a transaction of its own: topics made, changed and deleted, records given up, batches swapped.

use std::sync::Arc;

use crate::event::{Offset, Partition as Number, Topic};
use crate::log::{Bounds, Cleanup, Error, Incarnation, TopicInfo, TopicSpec};

use super::batch::Batch;
use super::commit::Committer;
use super::offsets;
use super::partition::Partition;
use super::queue::Control;
use super::storage::{Failure, FailureKind, LogId};
use super::topics::{self, TopicState};

const PARTITIONS_MAX: u32 = 1_000;

impl Committer {
    /// Does what was asked, and answers.
    pub(super) fn control(&mut self, control: Control) {
        match control {
            Control::EnsureTopic(spec, answer) => drop(answer.send(self.ensure_topic(&spec))),
            Control::DeleteTopic(topic, answer) => drop(answer.send(self.delete_topic(&topic))),
            Control::DeleteRecords(partition, before, answer) => {
                drop(answer.send(self.delete_records(&partition, before)));
            }
            Control::Rewrite(partition, edits, answer) => {
                drop(answer.send(self.rewrite(&partition, &edits)));
            }
            Control::Maintain(answer) => self.maintain(answer),
            Control::Barrier(answer) => drop(answer.send(Ok(()))),
        }
    }

    fn ensure_topic(&mut self, spec: &TopicSpec) -> Result<TopicInfo, Error> {
        let known = self.shared.topics.get(&spec.name);
        if let Some(known) = known.as_ref().filter(|known| known.info.spec == *spec) {
            return Ok(TopicInfo::clone(&known.info));
        }
        check(spec, known.as_ref().map(|known| &known.info.spec))?;
        let incarnation = match &known {
            Some(known) => known.info.incarnation,
            None => Incarnation(random().map_err(|failure| Error::Unavailable(Arc::new(failure)))?),
        };
        let info = TopicInfo { spec: spec.clone(), incarnation };
        let mut partitions = known.as_ref().map(|known| known.partitions.clone()).unwrap_or_default();
        let logs: Vec<LogId> = partitions.iter().map(|partition| partition.log).collect();
        let logs = self.transaction(|storage| {
            let mut logs = logs;
            for _ in logs.len()..spec.partitions as usize {
                logs.push(storage.create()?);
            }
            let (key, value) = topics::entry_of(&info, &logs).map_err(|source| Failure {
                kind: FailureKind::Other,
                doing: "writing a topic down",
                source: Box::new(source),
            })?;
            storage.put(&key, &value)?;
            Ok(logs)
        })?;
        let bounds = Bounds { start: Offset::ZERO, end: Offset::ZERO };
        let followers = known.map_or_else(Arc::default, |known| Arc::clone(&known.followers));
        for (number, log) in (0..spec.partitions).map(Number::new).zip(logs).skip(partitions.len()) {
            partitions.push(Arc::new(Partition::new(spec, number, log, bounds, &followers)));
        }
        self.shared.topics.put(TopicState { info: Arc::new(info.clone()), partitions, followers });
        Ok(info)
    }

    fn delete_topic(&mut self, topic: &Topic) -> Result<(), Error> {
        let known = self.shared.topics.require(topic)?;
        let logs: Vec<LogId> = known.partitions.iter().map(|partition| partition.log).collect();
        // Forgotten first: a log that is gone but still noted would look like damage at the next start.
        for log in &logs {
            self.unnoted.remove(log);
            if let Err(error) = self.high_water.forget(*log) {
                tracing::warn!(%error, "the log's high-water file cannot be written");
            }
        }
        let key = topics::key_of(topic);
        self.transaction(|storage| {
            storage.remove(&key)?;
            for (key, _) in storage.scan(offsets::PREFIX)? {
                if offsets::parse_key(&key).is_some_and(|(_, of, _)| of == *topic) {
                    storage.remove(&key)?;
                }
            }
            Ok(())
        })?;
        self.shared.topics.remove(topic);
        known.partitions.iter().for_each(|partition| partition.delete());
        self.upkeep.bury(logs.into_iter());
        Ok(())
    }

    fn delete_records(&mut self, partition: &Arc<Partition>, before: Offset) -> Result<Bounds, Error> {
        if partition.is_deleted() {
            return Err(Error::UnknownTopic(partition.topic.clone()));
        }
        let Bounds { start, end } = partition.bounds();
        if before > end {
            return Err(Error::OffsetOutOfRange { offset: before, start, end });
        }
        if before > start {
            let bounds = Bounds { start: before, end };
            // Only the start moves here; the batches go with the upkeep, a few at a time.
            self.transaction(|storage| storage.trim(partition.log, Offset::ZERO, bounds))?;
            partition.set_start(before);
            self.upkeep.visit(partition);
        }
        Ok(partition.bounds())
    }

    fn rewrite(&mut self, partition: &Partition, edits: &[(Offset, Option<Batch>)]) -> Result<(), Error> {
        if partition.is_deleted() {
            return Err(Error::UnknownTopic(partition.topic.clone()));
        }
        self.transaction(|storage| {
            edits.iter().try_for_each(|(last, batch)| storage.replace(partition.log, *last, batch.as_ref()))
        })
    }
}

fn check(spec: &TopicSpec, known: Option<&TopicSpec>) -> Result<(), Error> {
    let problem = if spec.partitions == 0 {
        "needs at least one partition"
    } else if spec.partitions > PARTITIONS_MAX {
        "may have at most 1,000 partitions on the embedded log"
    } else if known.is_some_and(|known| known.partitions > spec.partitions) {
        "cannot have fewer partitions than it has"
    } else if known.is_some_and(|known| known.cleanup != spec.cleanup) {
        "cannot change between deletion and compaction"
    } else if spec.cleanup == Cleanup::Compact && (spec.retention.is_some() || spec.retention_bytes.is_some())
    {
        "is compacted, and so has no retention"
    } else {
        return Ok(());
    };
    Err(Error::InvalidTopic { topic: spec.name.clone(), problem })
}

fn random() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    let drawn = getrandom::fill(&mut bytes).map(|()| u64::from_le_bytes(bytes));
    drawn.map_err(|source| Failure {
        kind: FailureKind::Other,
        doing: "drawing a random number",
        source: source.to_string().into(),
    })
}
