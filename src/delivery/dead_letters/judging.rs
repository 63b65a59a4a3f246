//! Whether a parked key can be released: no letter of it, from its first one to the end, is unsettled.
//!
//! The letters are the truth, nothing is counted. For each key the place of one that is not settled is remembered: only
//! when that one is settled, or has gone, is the dead-letter topic read on from there, for all keys together and a
//! bounded amount at a time. A letter that was written twice has one state, and one that has gone counts as settled.

use std::collections::HashMap;

use bytes::Bytes;

use crate::event::{Offset, Record};
use crate::log::Bounds;

use super::super::Error;
use super::super::burial::{key_of, topic_of};
use super::super::key_hash::KeyHash;
use super::super::shared::Shared;
use super::parked::{ParkedKey, Place};
use super::reading::{Budget, Span};
use super::redrives::Closing;
use super::{DeadLetterId, DeadLetterState, letter};

/// A key whose letters cannot be seen stays parked so long: another gateway may know of topics and ends earlier.
const GRACE_MS: i64 = 3_600_000;

/// How far the letters of a key are read.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct Reading {
    /// All before it are settled, or have gone.
    next: Offset,
    /// The one there, when it is known not to be.
    open: Option<DeadLetterId>,
}

/// How far the letters of keys are read.
pub(in crate::delivery) type Readings = HashMap<KeyHash, Reading>;

/// What was found of a partition's parked keys.
#[derive(Debug)]
pub(in crate::delivery) struct Finding {
    pub(in crate::delivery) readings: Readings,
    /// Keys without an unsettled letter before [`Self::end`], and their entries.
    pub(in crate::delivery) settled: Vec<(KeyHash, Bytes)>,
    /// Keys whose unsettled letters are on their way back or will be, as far as they were read, and where those begin.
    pub(in crate::delivery) closing: Vec<(KeyHash, Offset)>,
    /// Where the dead-letter partition ended.
    pub(in crate::delivery) end: Offset,
    /// Whether there is more to read.
    pub(in crate::delivery) is_cut: bool,
}

/// Reads on where a partition's parked keys may be released. `closing` is what a redrive does for them.
pub(in crate::delivery) async fn judge(
    shared: &Shared,
    place: Place<'_>,
    mut known: Readings,
    closing: Option<&Closing>,
) -> Result<Finding, Error> {
    let parked = shared.states.parked(place)?;
    let bounds = bounds_of(shared, place).await?;
    let old = shared.clock.now().plus_millis(-GRACE_MS);
    let end = bounds.map_or(Offset::new(u64::MAX), |bounds| bounds.end);
    let mut finding =
        Finding { readings: Readings::new(), settled: Vec::new(), closing: Vec::new(), end, is_cut: false };
    let (mut due, mut meant) = (HashMap::<KeyHash, Bytes>::new(), Vec::new());
    for ParkedKey { key, entry, value } in parked {
        let first = Reading { next: entry.letter, open: None };
        let mut reading = known.remove(&key).unwrap_or(first);
        if bounds.is_some() && closing.is_some_and(|closing| closing.takes(key, entry.letter)) {
            meant.push(key);
        }
        match bounds {
            Some(bounds) if entry.letter < bounds.end => {
                if !is_open(shared, place, &reading, bounds)? {
                    reading = Reading { next: reading.next.max(bounds.start), open: None };
                    due.insert(key, value);
                }
            }
            // The topic has gone, or was made anew.
            Some(_) | None if entry.changed_at < old => finding.settled.push((key, value)),
            Some(_) | None => {}
        }
        finding.readings.insert(key, reading);
    }
    if !due.is_empty() {
        read(shared, place, &mut finding, due).await?;
    }
    for key in meant {
        if let Some((reading, closing)) = finding.readings.get(&key).zip(closing)
            && is_going(shared, place, closing, reading)?
        {
            finding.closing.push((key, reading.next));
        }
    }
    Ok(finding)
}

/// Whether the first letter of a key that is not settled is on its way to be.
fn is_going(shared: &Shared, place: Place<'_>, closing: &Closing, reading: &Reading) -> Result<bool, Error> {
    let Some(id) = &reading.open else { return Ok(true) };
    Ok(closing.is_going(shared.states.entry(place.group, id)?.as_ref(), reading.next))
}

/// Looks for an unsettled letter of each key that is due, from the first of their places to the end.
async fn read(
    shared: &Shared,
    place: Place<'_>,
    finding: &mut Finding,
    mut due: HashMap<KeyHash, Bytes>,
) -> Result<(), Error> {
    let from = due.keys().filter_map(|key| Some(finding.readings.get(key)?.next)).min();
    let (Some(from), Some(name)) = (from, topic_of(place.topic, place.group)) else { return Ok(()) };
    let mut at = finding.end;
    let mut budget = Budget::new();
    let opened = Span::open(&*shared.log, &name, place.partition, from, finding.end).await?;
    if let Some(mut span) = opened {
        while !due.is_empty()
            && !budget.is_spent()
            && let Some(records) = span.next(&mut budget).await?
        {
            for record in records {
                if let Some((key, id)) = unsettled(shared, place, &record)?
                    && let Some(reading) = finding.readings.get_mut(&key)
                    && reading.next <= record.offset
                    && due.remove(&key).is_some()
                {
                    *reading = Reading { next: record.offset, open: Some(id) };
                }
            }
        }
        at = span.position().min(finding.end);
    }
    for (key, value) in due {
        if let Some(reading) = finding.readings.get_mut(&key) {
            reading.next = reading.next.max(at);
        }
        if at < finding.end {
            finding.is_cut = true;
        } else {
            finding.settled.push((key, value));
        }
    }
    Ok(())
}

/// Which key a record is an unsettled letter of.
fn unsettled(
    shared: &Shared,
    place: Place<'_>,
    record: &Record,
) -> Result<Option<(KeyHash, DeadLetterId)>, Error> {
    let Some((key, id)) = key_of(record).zip(letter::id_of(record, place.partition)) else { return Ok(None) };
    Ok(if is_settled(shared, place, &id)? { None } else { Some((key, id)) })
}

/// Whether the letter that was not settled is still there and still is not.
fn is_open(shared: &Shared, place: Place<'_>, reading: &Reading, bounds: Bounds) -> Result<bool, Error> {
    match &reading.open {
        Some(id) if reading.next >= bounds.start => Ok(!is_settled(shared, place, id)?),
        Some(_) | None => Ok(false),
    }
}

fn is_settled(shared: &Shared, place: Place<'_>, id: &DeadLetterId) -> Result<bool, Error> {
    Ok(match shared.states.read(place.group, id)?.state {
        DeadLetterState::Resolved | DeadLetterState::Discarded => true,
        DeadLetterState::Open
        | DeadLetterState::Redriving
        | DeadLetterState::Redriven
        | DeadLetterState::Held => false,
    })
}

/// `None` where the dead-letter topic has no such partition.
async fn bounds_of(shared: &Shared, place: Place<'_>) -> Result<Option<Bounds>, Error> {
    let Some(name) = topic_of(place.topic, place.group) else { return Ok(None) };
    match shared.log.topic(&name) {
        Some(info) if place.partition.number() < info.spec.partitions => {
            Ok(Some(shared.log.bounds(&name, place.partition).await?))
        }
        Some(_) | None => {
            shared.log.topics_known()?;
            Ok(None)
        }
    }
}
