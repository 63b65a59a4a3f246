//! The hand-over of an atomic batch: what is new of it goes to the log in one transaction, and every event gets its place.
//!
//! Which events are new must be known before anything is handed over, so ids that other requests have handed over are
//! waited for first. That is done in the order of the ids, the same for all batches: of two that wait for each other's ids
//! one would wait for ever. Nothing else waits for a request while it holds ids of its own.
//!
//! ```text
//! events ─ ids, in their order ─┬─ stored before ────────────────────────────────────────► duplicate
//!                               ├─ again in this batch ──────────────────┐
//!                               └─ new ─ groups ─ one transaction ─┬─ its places ─► accepted, duplicate
//!                                                                  └─ refused, unknown: all of them
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::event::{Partition, Topic};
use crate::log::{self, Append, Appended, NewRecord};

use super::batch::{aborted, answered, failed};
use super::dedupe::Reservation;
use super::identity::{EventKey, Place};
use super::judge::{Judged, Labels};
use super::parts::{Handed, Parts, Told};
use super::pending::{Arrival, Known, known};
use super::queue::Ticket;
use super::spread::Sticky;
use super::{Batch, Error, Item};

/// What an event of the batch was found to be before the hand-over.
#[derive(Debug)]
enum Standing {
    /// To be stored, under its id where it has one.
    New(Option<Reservation>),
    /// Stored before.
    Stored(Place),
    /// The same id and bytes as the event of this index.
    Again(usize),
}

/// Events in the log's hands, each with its index, by partition.
type HandedOver = Vec<(Partition, Vec<(usize, Handed)>)>;

/// Stores a batch in one transaction, or nothing of it. A caller that goes away leaves it to its task.
///
/// # Errors
/// Why nothing was stored, or [`Error::OutcomeUnknown`] where all of it may have been.
pub(super) async fn store(
    parts: &Arc<Parts>,
    events: Vec<Judged>,
    ticket: Ticket,
    arrival: Arrival,
) -> Result<Batch, Error> {
    let shared = Arc::clone(parts);
    let stored = parts.attend(async move {
        let stored = store_now(&shared, events, arrival).await;
        drop(ticket);
        stored
    });
    stored.await.unwrap_or(Err(Error::OutcomeUnknown { event_id: None }))
}

async fn store_now(parts: &Arc<Parts>, events: Vec<Judged>, arrival: Arrival) -> Result<Batch, Error> {
    let standings = match standings(parts, &events).await {
        Ok(standings) => standings,
        Err((index, error @ Error::Conflict { .. })) => return Err(refused(parts, events, index, error)),
        Err((_, error)) => return Err(lost(parts, events.iter().map(|event| &event.labels), error)),
    };
    let mut batch = Transaction::default();
    let mut sticky = Sticky::new();
    for (index, (event, standing)) in events.into_iter().zip(standings).enumerate() {
        match standing {
            Standing::New(reservation) => {
                let partitions = event.info.as_ref().map_or(0, |info| info.spec.partitions);
                let (topic, key) = (event.rule.topic.clone(), event.record.key.as_deref());
                let partitioner = event.rule.partitioner;
                let partition = parts.spread.choose(&topic, partitioner, key, partitions, &mut sticky);
                let (record, handed) = Handed::new(event, partition, reservation, arrival);
                let group = batch.groups.entry((topic, partition)).or_default();
                group.records.push(record);
                group.handed.push((index, handed));
            }
            Standing::Stored(place) => {
                batch.places.insert(index, place);
                batch.repeats.push((index, index, event));
            }
            Standing::Again(first) => batch.repeats.push((index, first, event)),
        }
    }
    batch.store(parts).await
}

/// What each event is, in input order; the one that stands in the way with its index.
async fn standings(parts: &Parts, events: &[Judged]) -> Result<Vec<Standing>, (usize, Error)> {
    let mut standings: Vec<Standing> = events.iter().map(|_| Standing::New(None)).collect();
    let key = |(index, event): (usize, &Judged)| event.identity.map(|(key, _)| (key, index));
    let mut keys: Vec<(EventKey, usize)> = events.iter().enumerate().filter_map(key).collect();
    keys.sort_unstable();
    let mut first: Option<(EventKey, usize)> = None;
    for (key, index) in keys {
        let (Some(event), Some(standing)) = (events.get(index), standings.get_mut(index)) else { continue };
        if let Some((_, first)) = first.filter(|(known, _)| *known == key) {
            *standing = Standing::Again(first);
            continue;
        }
        first = Some((key, index));
        let Some((_, fingerprint)) = event.identity else { continue };
        let reserved = parts.dedupe.reserve(key, fingerprint);
        *standing = match known(parts, event, reserved).await.map_err(|error| (index, error))? {
            Known::New(reservation) => Standing::New(Some(reservation)),
            Known::Stored(place) => Standing::Stored(place),
        };
    }
    Ok(standings)
}

/// The refusal of a batch one of whose ids was taken between judgement and hand-over.
fn refused(parts: &Parts, events: Vec<Judged>, culprit: usize, error: Error) -> Error {
    let mut error = Some(error);
    let items =
        events.into_iter().enumerate().map(|(index, event)| match error.take_if(|_| index == culprit) {
            Some(error) => failed(index, Some(event.event_id), parts.refused(&event.labels, error)),
            None => {
                parts.count(&event.labels, "aborted");
                aborted(index, Some(event.event_id).filter(|_| event.is_id_stable))
            }
        });
    Error::BatchRefused(Box::new(Batch { items: items.collect() }))
}

/// Counts events of a batch that failed as a whole.
fn lost<'l>(parts: &Parts, labels: impl Iterator<Item = &'l Labels>, error: Error) -> Error {
    let is_unknown = matches!(error, Error::OutcomeUnknown { .. });
    labels.for_each(|labels| parts.count(labels, if is_unknown { "unknown" } else { "failed" }));
    if is_unknown { Error::OutcomeUnknown { event_id: None } } else { error }
}

/// New events of one partition.
#[derive(Debug, Default)]
struct Group {
    records: Vec<NewRecord>,
    /// What remains of each, with its index.
    handed: Vec<(usize, Handed)>,
}

/// What is handed over together, and what is answered with it.
#[derive(Debug, Default)]
struct Transaction {
    groups: BTreeMap<(Topic, Partition), Group>,
    /// Where events lie, by index.
    places: HashMap<usize, Place>,
    /// Events that are stored by others, each with its index and that of the one whose place it is.
    repeats: Vec<(usize, usize, Judged)>,
}

impl Transaction {
    /// Hands the groups over and gives every event its answer.
    async fn store(mut self, parts: &Parts) -> Result<Batch, Error> {
        let (mut appends, mut handed) = (Vec::new(), Vec::new());
        for ((topic, partition), group) in std::mem::take(&mut self.groups) {
            appends.push(Append { topic, partition, records: group.records });
            let group = group.handed.into_iter().map(|(index, handed)| (index, handed.hand_over()));
            handed.push((partition, group.collect()));
        }
        let answer = if appends.is_empty() { Ok(Vec::new()) } else { parts.log.append_atomic(appends).await };
        match answer {
            Ok(appended) => Ok(self.stored(parts, handed, &appended)),
            Err(error) => Err(self.failed(parts, handed, &error)),
        }
    }

    fn stored(mut self, parts: &Parts, handed: HandedOver, appended: &[Appended]) -> Batch {
        let mut items: Vec<Item> = Vec::new();
        for ((partition, group), appended) in handed.into_iter().zip(appended) {
            for (count, (index, handed)) in group.into_iter().enumerate() {
                let (offset, timestamp) = (appended.offset(count), appended.timestamp);
                self.places.insert(index, Place { partition, offset, timestamp });
                let event_id = handed.event_id().clone();
                let published = parts.settle(handed, Ok((offset, timestamp)), Told::Nothing);
                items.push(answered(index, Some(event_id), published));
            }
        }
        for (index, first, event) in self.repeats {
            let Some(place) = self.places.get(&first) else { continue };
            let event_id = event.event_id.clone();
            items.push(answered(index, Some(event_id), Ok(parts.duplicate(&event, *place))));
        }
        items.sort_unstable_by_key(|item| item.index);
        Batch { items }
    }

    fn failed(self, parts: &Parts, handed: HandedOver, error: &log::Error) -> Error {
        for (_, handed) in handed.into_iter().flat_map(|(_, group)| group) {
            // One answer stands for all; what is left to do is to count, and to end the waits for the ids.
            drop(parts.settle(handed, Err(error.clone()), Told::Nothing));
        }
        lost(parts, self.repeats.iter().map(|(.., event)| &event.labels), error.clone().into())
    }
}
