//! Compaction of tables: of each key only the latest record stays, and a tombstone only for a while.
//!
//! A pass reads the log twice on the pool, away from the commit thread: first for the latest offset of each key, then
//! for the batches that hold anything older, which the commit thread swaps in small transactions. Offsets are
//! kept, so the log gets gaps, as in Kafka. The newest batch is never touched: it shows where the log ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use crate::event::{Offset, Record, Timestamp};
use crate::log::Error;

use super::batch::{Batch, Builder, Content, Names};
use super::partition::Partition;
use super::queue::Control;
use super::reader::{corrupt, failed};
use super::shared::Shared;
use super::storage::{LogId, Source};

/// Tombstones stay so long for readers that lag behind.
const TOMBSTONES_KEPT_MILLIS: i64 = 24 * 60 * 60 * 1_000;
/// Less than this is not worth a pass.
const APPENDED_BYTES_MIN: u64 = 64 << 10;
const READ_BYTES: usize = 1 << 20;
const EDIT_BYTES_MAX: usize = 1 << 20;
const EDITS_MAX: usize = 256;

/// A batch's last offset, and what comes in its place.
type Edit = (Offset, Option<Batch>);

type Visit<'a> = dyn FnMut(&Batch, &[Record]) -> Result<(), Error> + 'a;

/// What becomes of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Stays,
    Shrinks(Batch),
    Goes,
}

/// A pass that is begun, until it is dropped, whatever becomes of it.
#[derive(Debug)]
pub(super) struct Begun(Arc<Partition>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.is_compacting.store(false, Ordering::Release);
    }
}

/// Begins a pass where it is worth it and none is under way.
pub(super) fn begin(partition: &Arc<Partition>) -> Option<Begun> {
    let appended = partition.appended_bytes.load(Ordering::Relaxed);
    let is_due = appended >= APPENDED_BYTES_MIN && appended >= partition.kept_bytes.load(Ordering::Relaxed);
    (is_due && !partition.is_compacting.swap(true, Ordering::AcqRel)).then(|| Begun(Arc::clone(partition)))
}

/// One pass over a partition; given up when the engine closes.
pub(super) fn run(source: &mut dyn Source, shared: &Shared, begun: &Begun, now: Timestamp) {
    let partition = &begun.0;
    let before = partition.appended_bytes.load(Ordering::Relaxed);
    let passed = pass(source, partition, now, &|| shared.is_closed(), &mut |edits| {
        shared.metrics.compacted_batches.inc_by(edits.len() as u64);
        let (answer, answered) = oneshot::channel();
        shared.submit_control(Control::Rewrite(Arc::clone(partition), edits, answer));
        answered.blocking_recv().unwrap_or(Err(Error::Closed))
    });
    match passed {
        Ok(kept) => {
            partition.kept_bytes.store(kept, Ordering::Relaxed);
            partition.appended_bytes.fetch_sub(before, Ordering::Relaxed);
        }
        Err(Error::Closed) => {}
        Err(error) => {
            tracing::warn!(topic = %partition.topic, error = &error as &dyn std::error::Error, "a compaction was given up; it will be tried again");
        }
    }
}

/// Finds the edits and hands them to `apply` in small portions, until all is done or `is_over`. Answers how many bytes
/// stay.
fn pass(
    source: &mut dyn Source,
    partition: &Partition,
    now: Timestamp,
    is_over: &dyn Fn() -> bool,
    apply: &mut dyn FnMut(Vec<Edit>) -> Result<(), Error>,
) -> Result<u64, Error> {
    let end = partition.end();
    let mut latest = Latest::default();
    for_each_batch(source, partition, end, is_over, &mut |_, records| {
        latest.learn(records);
        Ok(())
    })?;
    let tombstones_from = now.plus_millis(-TOMBSTONES_KEPT_MILLIS);
    let (mut edits, mut edit_bytes, mut kept) = (Vec::new(), 0, 0);
    for_each_batch(source, partition, end, is_over, &mut |batch, records| {
        let is_newest = batch.last.next() >= end;
        let fate =
            if is_newest { Fate::Stays } else { latest.fate(partition.log, batch, records, tombstones_from) };
        let rewritten = match fate {
            Fate::Stays => {
                kept += batch.bytes.len() as u64;
                return Ok(());
            }
            Fate::Shrinks(batch) => Some(batch),
            Fate::Goes => None,
        };
        let bytes = rewritten.as_ref().map_or(0, |batch| batch.bytes.len());
        kept += bytes as u64;
        edit_bytes += bytes;
        edits.push((batch.last, rewritten));
        if edit_bytes >= EDIT_BYTES_MAX || edits.len() >= EDITS_MAX {
            edit_bytes = 0;
            return apply(std::mem::take(&mut edits));
        }
        Ok(())
    })?;
    if !edits.is_empty() {
        apply(edits)?;
    }
    Ok(kept)
}

fn for_each_batch(
    source: &mut dyn Source,
    partition: &Partition,
    end: Offset,
    is_over: &dyn Fn() -> bool,
    visit: &mut Visit<'_>,
) -> Result<(), Error> {
    let (mut next, mut names, mut records) = (Offset::ZERO, Names::default(), Vec::new());
    while next < end {
        if is_over() {
            return Err(Error::Closed);
        }
        let batches = source
            .read(partition.log, next, READ_BYTES)
            .map_err(|failure| failed(partition, next, failure))?;
        if batches.is_empty() {
            break;
        }
        for bytes in batches {
            let damaged = |_| corrupt(partition, next);
            let batch = Batch::open(partition.log, bytes).map_err(damaged)?;
            records.clear();
            batch.records(Offset::ZERO, usize::MAX, &mut names, &mut records).map_err(damaged)?;
            next = batch.last.next();
            if next <= end {
                visit(&batch, &records)?;
            }
        }
    }
    Ok(())
}

/// The latest offset of each key.
#[derive(Debug, Default)]
struct Latest(HashMap<Box<[u8]>, Offset>);

impl Latest {
    fn learn(&mut self, records: &[Record]) {
        for record in records {
            let Some(key) = &record.key else { continue };
            match self.0.get_mut(&**key) {
                Some(offset) => *offset = record.offset,
                None => {
                    self.0.insert(key.to_vec().into(), record.offset);
                }
            }
        }
    }

    /// What becomes of a batch that holds these records.
    fn fate(&self, log: LogId, batch: &Batch, records: &[Record], tombstones_from: Timestamp) -> Fate {
        let stays = |record: &&Record| {
            let is_latest = record.key.as_ref().and_then(|key| self.0.get(&**key)) == Some(&record.offset);
            is_latest && (record.value.is_some() || batch.time >= tombstones_from)
        };
        let count = records.iter().filter(stays).count();
        if count == records.len() {
            return Fate::Stays;
        }
        if count == 0 {
            return Fate::Goes;
        }
        let mut builder = Builder::new(log, batch.base, batch.time, 0);
        for record in records.iter().filter(stays) {
            let Record { offset, timestamp, key, value, headers, .. } = record;
            let content =
                Content { timestamp: *timestamp, key: key.as_ref(), value: value.as_ref(), headers };
            builder.push(*offset, content);
        }
        Fate::Shrinks(builder.seal(batch.last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::{Strategy, any, proptest};
    use proptest::{collection, option};

    use crate::event::{Headers, Offset, Partition as Number, Record, Timestamp, Topic};
    use crate::log::{Bounds, Cleanup, TopicSpec};

    use super::super::batch::{Batch, Builder, Content, Names};
    use super::super::partition::Partition;
    use super::super::storage::{Entry, Extent, Failure, LogId, Source};
    use super::{TOMBSTONES_KEPT_MILLIS, begin, pass};

    const LOG: LogId = LogId::new(1);

    type Writes = Vec<(u8, Option<u8>)>;

    /// A log in memory, by each batch's last offset.
    #[derive(Debug, Default)]
    struct Memory(BTreeMap<Offset, Batch>);

    impl Source for Memory {
        fn read(&mut self, _log: LogId, from: Offset, bytes_max: usize) -> Result<Vec<Bytes>, Failure> {
            let mut bytes = 0;
            let batches = self.0.range(from..).take_while(|(_, batch)| {
                let is_wanted = bytes < bytes_max;
                bytes += batch.bytes.len();
                is_wanted
            });
            Ok(batches.map(|(_, batch)| batch.bytes.clone()).collect())
        }

        fn read_at(&mut self, _: LogId, _: Offset, _: Timestamp) -> Result<Option<Bytes>, Failure> {
            Ok(None)
        }

        fn oldest(&mut self, _: LogId, _: usize) -> Result<Vec<Extent>, Failure> {
            Ok(Vec::new())
        }

        fn bounds(&mut self, _: LogId) -> Result<Bounds, Failure> {
            Ok(Bounds { start: Offset::ZERO, end: Offset::ZERO })
        }

        fn scan(&mut self, _: &[u8]) -> Result<Vec<Entry>, Failure> {
            Ok(Vec::new())
        }
    }

    impl Memory {
        fn append(&mut self, base: Offset, time: i64, writes: &[(u8, Option<u8>)]) -> Offset {
            let time = Timestamp::from_millis(time);
            let mut builder = Builder::new(LOG, base, time, 0);
            let (mut next, headers) = (base, Headers::default());
            for (key, value) in writes {
                let (key, value) = (Bytes::from(vec![*key]), value.map(|value| Bytes::from(vec![value])));
                let content =
                    Content { timestamp: time, key: Some(&key), value: value.as_ref(), headers: &headers };
                builder.push(next, content);
                next = next.next();
            }
            let last = Offset::new(next.number() - 1);
            self.0.insert(last, builder.seal(last));
            next
        }

        fn records(&self) -> Vec<Record> {
            let (mut records, mut names) = (Vec::new(), Names::default());
            for batch in self.0.values() {
                batch.records(Offset::ZERO, usize::MAX, &mut names, &mut records).unwrap();
            }
            records
        }

        fn bytes(&self) -> u64 {
            self.0.values().map(|batch| batch.bytes.len() as u64).sum()
        }
    }

    /// Batches of writes to few keys, each some hours after the one before.
    fn batches() -> impl Strategy<Value = Vec<(i64, Writes)>> {
        let writes = collection::vec((0..6_u8, option::of(any::<u8>())), 1..8);
        collection::vec((0..20_i64, writes), 1..30)
    }

    fn table() -> TopicSpec {
        TopicSpec {
            name: Topic::parse("t").unwrap(),
            partitions: 1,
            cleanup: Cleanup::Compact,
            retention: None,
            retention_bytes: None,
        }
    }

    #[test]
    fn a_pass_that_ends_in_any_way_can_be_begun_again() {
        let bounds = Bounds { start: Offset::ZERO, end: Offset::ZERO };
        let partition = Arc::new(Partition::new(&table(), Number::new(0), LOG, bounds, &Arc::default()));
        let begun = begin(&partition).expect("what was appended before the start is not known");
        assert!(begin(&partition).is_none());
        let panicked = std::panic::catch_unwind(move || {
            let _begun = begun;
            panic!("a pass that panics");
        });
        assert!(panicked.is_err());
        assert!(begin(&partition).is_some());
    }

    proptest! {
        #[test]
        fn what_stays_is_what_a_naive_reader_would_keep(batches in batches()) {
            let (mut log, mut next, mut now, mut newest) = (Memory::default(), Offset::ZERO, 0, Offset::ZERO);
            let mut times = BTreeMap::new();
            for (hours, writes) in &batches {
                now += hours * 3_600_000;
                newest = next;
                next = log.append(next, now, writes);
                times.extend((newest.number()..next.number()).map(|offset| (offset, now)));
            }
            let before = log.records();
            let mut latest = BTreeMap::new();
            for record in &before {
                latest.insert(record.key.clone(), record.offset);
            }
            let expected: Vec<Record> = before
                .into_iter()
                .filter(|record| {
                    let is_fresh = times[&record.offset.number()] >= now - TOMBSTONES_KEPT_MILLIS;
                    let is_latest = latest[&record.key] == record.offset;
                    record.offset >= newest || (is_latest && (record.value.is_some() || is_fresh))
                })
                .collect();

            let bounds = Bounds { start: Offset::ZERO, end: next };
            let partition = Partition::new(&table(), Number::new(0), LOG, bounds, &Arc::default());
            let mut edits = Vec::new();
            let collect = &mut |found: Vec<_>| {
                edits.extend(found);
                Ok(())
            };
            let kept = pass(&mut log, &partition, Timestamp::from_millis(now), &|| false, collect).unwrap();
            for (last, batch) in edits {
                match batch {
                    Some(batch) => assert!(log.0.insert(last, batch).is_some()),
                    None => assert!(log.0.remove(&last).is_some()),
                }
            }
            assert_eq!(log.records(), expected);
            assert_eq!(log.bytes(), kept);
        }
    }
}
