//! A group of work that shares one transaction: records become batches, one or a few per partition touched.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::{Offset, Timestamp};
use crate::log::{Appended, Error, NewRecord};

use super::batch::{Batch, Builder, Content, encoded_bytes_max};
use super::members::Members;
use super::partition::Partition;
use super::queue::{Answer, Records, Work};
use super::storage::{Change, Failure, LogId, Storage};

/// A batch that grew past this is sealed, so that reading one record never costs much more.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// Work put together, ready to be committed.
#[derive(Debug)]
pub(super) struct Group {
    time: Timestamp,
    parts: Vec<Part>,
    entries: Vec<Change>,
    answers: Vec<Pending>,
}

/// What one partition gets.
#[derive(Debug)]
struct Part {
    partition: Arc<Partition>,
    next: Offset,
    /// Bytes still to come, at most.
    bytes: usize,
    builder: Option<Builder>,
    batches: Vec<Batch>,
}

/// A partition and its new batches.
pub(super) type Committed = (Arc<Partition>, Vec<Batch>);

#[derive(Debug)]
enum Pending {
    Append(Answer<Appended>, Offset),
    Atomic(Answer<Vec<Appended>>, Vec<Offset>),
    Offsets(Answer<()>),
}

/// The most bytes these records can take in batches.
pub(super) fn bytes_of(records: &[NewRecord]) -> usize {
    records.iter().map(|record| encoded_bytes_max(record_bytes(record), record.headers.len())).sum()
}

/// Bytes of key, value and headers.
pub(super) fn record_bytes(record: &NewRecord) -> usize {
    let length = |value: &Option<bytes::Bytes>| value.as_ref().map_or(0, bytes::Bytes::len);
    length(&record.key) + length(&record.value) + record.headers.bytes()
}

impl Group {
    /// Puts work together in its order, as of `time`. Work for deleted partitions is refused, and so are offsets of a
    /// membership that has ended since they were handed over.
    pub(super) fn assemble(works: Vec<Work>, time: Timestamp, members: &Members) -> Self {
        let mut group =
            Self { time, parts: Vec::new(), entries: Vec::new(), answers: Vec::with_capacity(works.len()) };
        let mut places = HashMap::new();
        let works: Vec<Work> =
            works.into_iter().filter_map(|work| group.place(work, members, &mut places)).collect();
        for work in works {
            let pending = match work {
                Work::Append(records, answer) => Pending::Append(answer, group.add(&records, &places)),
                Work::Atomic(appends, answer) => Pending::Atomic(
                    answer,
                    appends.iter().map(|records| group.add(records, &places)).collect(),
                ),
                Work::At(records, end, answer) => {
                    if group.end(&records, &places) != end {
                        drop(answer.send(Err(Error::Overtaken)));
                        continue;
                    }
                    Pending::Append(answer, group.add(&records, &places))
                }
                Work::Offsets(change, answer) => {
                    group.entries.extend(change.entries);
                    Pending::Offsets(answer)
                }
            };
            group.answers.push(pending);
        }
        group.parts.iter_mut().for_each(Part::seal);
        group
    }

    /// Writes everything into the open transaction.
    pub(super) fn write(&self, storage: &mut dyn Storage) -> Result<(), Failure> {
        for part in &self.parts {
            for batch in &part.batches {
                storage.append(part.partition.log, batch)?;
            }
        }
        for (key, value) in &self.entries {
            match value {
                Some(value) => storage.put(key, value)?,
                None => storage.remove(key)?,
            }
        }
        Ok(())
    }

    /// The committed batches by partition, and the answers still to be given.
    pub(super) fn committed(self) -> (Vec<Committed>, Answers) {
        let batches = self.parts.into_iter().map(|part| (part.partition, part.batches)).collect();
        (batches, Answers { time: self.time, answers: self.answers })
    }

    /// The partitions touched, and the answers still to be given.
    pub(super) fn failed(self) -> (Vec<Arc<Partition>>, Answers) {
        let partitions = self.parts.into_iter().map(|part| part.partition).collect();
        (partitions, Answers { time: self.time, answers: self.answers })
    }

    /// How many bytes of batches there are.
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().flat_map(|part| &part.batches).map(|batch| batch.bytes.len()).sum()
    }

    /// Finds each partition's part and sums what it will hold.
    fn place(&mut self, work: Work, members: &Members, places: &mut HashMap<LogId, usize>) -> Option<Work> {
        let appends = match &work {
            Work::Append(records, _) | Work::At(records, ..) => std::slice::from_ref(records),
            Work::Atomic(appends, _) => appends.as_slice(),
            Work::Offsets(change, _) => {
                if let Err(error) = members.check(change) {
                    work.refuse(error);
                    return None;
                }
                &[]
            }
        };
        if let Some(gone) = appends.iter().find(|records| records.partition.is_deleted()) {
            let error = Error::UnknownTopic(gone.partition.topic.clone());
            work.refuse(error);
            return None;
        }
        for records in appends {
            let place = *places.entry(records.partition.log).or_insert_with(|| {
                self.parts.push(Part::new(&records.partition));
                self.parts.len() - 1
            });
            if let Some(part) = self.parts.get_mut(place) {
                part.bytes += records.bytes;
            }
        }
        Some(work)
    }

    fn add(&mut self, records: &Records, places: &HashMap<LogId, usize>) -> Offset {
        let time = self.time;
        self.part(records, places).add(&records.records, time)
    }

    /// Where the next record of this partition goes.
    fn end(&mut self, records: &Records, places: &HashMap<LogId, usize>) -> Offset {
        self.part(records, places).next
    }

    #[expect(clippy::expect_used, reason = "every work left was placed")]
    fn part(&mut self, records: &Records, places: &HashMap<LogId, usize>) -> &mut Part {
        let place = places.get(&records.partition.log);
        place.and_then(|place| self.parts.get_mut(*place)).expect("every work left was placed")
    }
}

impl Part {
    fn new(partition: &Arc<Partition>) -> Self {
        let next = partition.end();
        Self { partition: Arc::clone(partition), next, bytes: 0, builder: None, batches: Vec::new() }
    }

    fn add(&mut self, records: &[NewRecord], time: Timestamp) -> Offset {
        let base = self.next;
        for record in records {
            let (log, next, room) = (self.partition.log, self.next, self.bytes);
            let builder = self.builder.get_or_insert_with(|| {
                Builder::new(
                    log,
                    next,
                    time,
                    room.min(BATCH_BYTES_MAX + encoded_bytes_max(record_bytes(record), record.headers.len())),
                )
            });
            let before = builder.len();
            builder.push(
                next,
                Content {
                    timestamp: record.timestamp.unwrap_or(time),
                    key: record.key.as_ref(),
                    value: record.value.as_ref(),
                    headers: &record.headers,
                },
            );
            let after = builder.len();
            self.bytes = self.bytes.saturating_sub(after - before);
            self.next = next.next();
            if after > BATCH_BYTES_MAX {
                self.seal();
            }
        }
        base
    }

    fn seal(&mut self) {
        if let Some(builder) = self.builder.take() {
            let last = Offset::new(self.next.number() - 1);
            self.batches.push(builder.seal(last));
        }
    }
}

/// Who waits for the outcome.
#[derive(Debug)]
pub(super) struct Answers {
    time: Timestamp,
    answers: Vec<Pending>,
}

impl Answers {
    /// Tells everybody that it is done.
    pub(super) fn done(self) {
        let appended = |base| Appended::from(base, self.time);
        for pending in self.answers {
            match pending {
                Pending::Append(answer, base) => drop(answer.send(Ok(appended(base)))),
                Pending::Atomic(answer, bases) => {
                    drop(answer.send(Ok(bases.into_iter().map(appended).collect())));
                }
                Pending::Offsets(answer) => drop(answer.send(Ok(()))),
            }
        }
    }

    /// Tells everybody that it failed.
    pub(super) fn refuse(self, error: &Error) {
        for pending in self.answers {
            match pending {
                Pending::Append(answer, _) => drop(answer.send(Err(error.clone()))),
                Pending::Atomic(answer, _) => drop(answer.send(Err(error.clone()))),
                Pending::Offsets(answer) => drop(answer.send(Err(error.clone()))),
            }
        }
    }
}
