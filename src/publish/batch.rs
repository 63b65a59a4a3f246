//! A batch: all its events are judged before any is handed over, then they go to the log partition by partition.
//!
//! ```text
//! elements ─ judge, in order ─┬─ refused ─► holds its lane: later events of that topic and key are aborted
//!                             └─ ready ──► quota ─ topics ─ queue ─ groups (one append each) ─► results by index
//! ```

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::auth::Principal;
use crate::event::json::{Document, Limits, Node};
use crate::event::{Catalogue, Draft, EventId, EventType, Topic};
use crate::log::Fault;

use super::dedupe::Seen;
use super::guess::guess;
use super::headers::check_headers;
use super::identity::{EventKey, Fingerprint};
use super::judge::{Judged, Labels, Refused, Request};
use super::lanes::Lanes;
use super::parts::Parts;
use super::pending::Arrival;
use super::quarantine::Keeping;
use super::{
    Batch, BatchForm, Error, Item, ItemResult, Options, Outcome, Published, Validation, atomic, dispatch,
};

/// What is to be kept of refused events, by their places.
type Keepings = Vec<(usize, Box<Keeping>)>;

/// One event of a batch after its judgement.
#[derive(Debug)]
pub(super) enum Slot {
    Ready(Box<Judged>),
    Refused { event_id: Option<EventId>, error: Error },
    Aborted { event_id: Option<EventId> },
}

/// Publishes a batch.
pub(super) async fn publish(
    parts: &Arc<Parts>,
    principal: &Arc<Principal>,
    body: Bytes,
    form: BatchForm,
    validation: Validation,
    options: &Options,
) -> Result<Batch, Error> {
    let arrival = (Instant::now(), parts.clock.now());
    let refused = |error| parts.refused(&Labels::default(), error);
    check_options(options).map_err(refused)?;
    let mut judged = judge(parts, principal, &body, form, options, arrival)?;
    let unfetched = unfetched(&judged.0);
    if !unfetched.is_empty() {
        join_all(unfetched.iter().map(|event_type| parts.schemas.learn(event_type))).await;
        judged = judge(parts, principal, &body, form, options, arrival)?;
    }
    let (mut slots, keepings) = judged;
    drop(body);
    keep(parts, principal, &mut slots, keepings).await;
    let is_refused = slots.iter().any(|slot| matches!(slot, Slot::Refused { .. }));
    if validation != Validation::Each && is_refused {
        let items = slots.into_iter().enumerate().map(|(index, slot)| refused_item(parts, index, slot));
        return Err(refusal(items.collect()));
    }
    let (events, bytes) = size(&slots);
    parts.take_quota(principal.id(), events, bytes).map_err(refused)?;
    if options.dry_run {
        let items = slots.into_iter().enumerate().map(|(index, slot)| checked_item(parts, index, slot));
        return Ok(Batch { items: items.collect() });
    }
    make_topics(parts, &mut slots).await?;
    let ticket = parts.queue.enter(size(&slots).1).map_err(|_full| refused(Error::Overloaded))?;
    match validation {
        Validation::All | Validation::Each => {
            Ok(dispatch::dispatch(parts, slots, ticket, options.ack, arrival).await)
        }
        Validation::Atomic => atomic::store(parts, ready(slots), ticket, arrival).await,
    }
}

/// The refusal of a batch: where the caller is not to blame for an event's, that is the answer for all, and the same batch may
/// be sent again.
fn refusal(mut items: Vec<Item>) -> Error {
    let is_passing =
        |item: &Item| matches!(&item.result, ItemResult::Failed(error) if error.fault() != Fault::Caller);
    let passing = items.iter().position(is_passing).map(|index| items.swap_remove(index).result);
    if let Some(ItemResult::Failed(error)) = passing {
        return error;
    }
    Error::BatchRefused(Box::new(Batch { items }))
}

/// The events of a batch of which none is refused.
fn ready(slots: Vec<Slot>) -> Vec<Judged> {
    let ready = |slot| match slot {
        Slot::Ready(judged) => Some(*judged),
        Slot::Refused { .. } | Slot::Aborted { .. } => None,
    };
    slots.into_iter().filter_map(ready).collect()
}

/// The event types whose schemas have to be fetched before anything can be said of their events.
fn unfetched(slots: &[Slot]) -> BTreeSet<EventType> {
    let event_type = |slot: &Slot| match slot {
        Slot::Refused { error, .. } => error.unfetched().cloned(),
        Slot::Ready(_) | Slot::Aborted { .. } => None,
    };
    slots.iter().filter_map(event_type).collect()
}

fn check_options(options: &Options) -> Result<(), Error> {
    if options.key.is_some() {
        return Err(Error::SingleOnly("Weirgate-Key"));
    }
    if options.partition.is_some() {
        return Err(Error::SingleOnly("Weirgate-Partition"));
    }
    check_headers(options)
}

fn judge(
    parts: &Parts,
    principal: &Principal,
    body: &[u8],
    form: BatchForm,
    options: &Options,
    arrival: Arrival,
) -> Result<(Vec<Slot>, Keepings), Error> {
    let refused = |error| parts.refused(&Labels::default(), error);
    // The array itself is one level more than an event alone has.
    let limits = Limits { depth_max: parts.config.load().json_depth_max + 1 };
    let document = Document::parse(body, limits).map_err(|error| refused(error.into()))?;
    let items = document.root().as_array().ok_or_else(|| refused(Error::NotABatch))?.len();
    let items_max = parts.config.load().batch_items_max;
    if items == 0 {
        return Err(refused(Error::EmptyBatch));
    }
    let elements = document.elements().filter(|_| items <= items_max);
    let elements = elements.ok_or_else(|| refused(Error::TooManyItems { items, items_max }))?;
    let catalogue = parts.catalogue.load();
    let mut judgement = Judgement {
        parts,
        form,
        catalogue: &catalogue,
        held: Lanes::default(),
        ids: HashMap::new(),
        keepings: Vec::new(),
    };
    let slots = elements.into_iter().enumerate().map(|(index, node)| {
        let request =
            Request { catalogue: &catalogue, principal, options, topic: None, index, now: arrival.1 };
        judgement.judge(request, node)
    });
    let slots = slots.collect();
    Ok((slots, judgement.keepings))
}

/// Keeps refused events, all at once, and tells in their refusals what became of that.
async fn keep(parts: &Arc<Parts>, principal: &Principal, slots: &mut [Slot], keepings: Keepings) {
    let mut refusals = Vec::with_capacity(keepings.len());
    for (index, keeping) in keepings {
        if let Some(Slot::Refused { error, .. }) = slots.get_mut(index) {
            // The answer stands in for it in a moment.
            let refusal = std::mem::replace(error, Error::OutcomeUnknown { event_id: None });
            refusals.push((index, parts.keep(principal.id(), *keeping, refusal)));
        }
    }
    for (index, refusal) in refusals {
        if let Some(Slot::Refused { error, .. }) = slots.get_mut(index) {
            *error = refusal.await;
        }
    }
}

/// The judgement of a batch as far as it has come.
#[derive(Debug)]
struct Judgement<'j> {
    parts: &'j Parts,
    form: BatchForm,
    catalogue: &'j Catalogue,
    /// Lanes of refused events.
    held: Lanes,
    /// Ids of this batch: the entries of dedupe are made later, at the hand-over.
    ids: HashMap<EventKey, Fingerprint>,
    keepings: Keepings,
}

impl Judgement<'_> {
    fn judge(&mut self, request: Request<'_>, node: Node<'_>) -> Slot {
        let draft = match self.form {
            BatchForm::Native => Draft::from_native(node, self.catalogue),
            BatchForm::CloudEvents => Draft::from_cloud_event(node, self.catalogue),
        };
        let judged = match draft {
            Ok(draft) => self.parts.judge(request, &draft, &[node.bytes()]),
            Err(error) => Err(Box::new(guess(&self.parts.schemas, self.catalogue, self.form, node, error))),
        };
        match judged {
            Ok(judged) if self.held.holds(&judged.rule.topic, judged.record.key.as_ref()) => {
                self.parts.count(&judged.labels, "aborted");
                Slot::Aborted { event_id: Some(judged.event_id).filter(|_| judged.is_id_stable) }
            }
            Ok(judged) if self.is_conflict(&judged) => {
                let lane = judged.lane();
                let error = self.parts.conflict(judged.event_id.clone());
                let (event_id, labels) = (Some(judged.event_id), judged.labels);
                self.refuse(request.index, Refused { error, event_id, lane, labels, keeping: None })
            }
            Ok(judged) => Slot::Ready(Box::new(judged)),
            Err(refused) => self.refuse(request.index, *refused),
        }
    }

    fn refuse(&mut self, index: usize, refused: Refused) -> Slot {
        let Refused { error, event_id, lane, labels, keeping } = refused;
        self.keepings.extend(keeping.map(|keeping| (index, keeping)));
        self.held.hold(lane);
        Slot::Refused { event_id, error: self.parts.refused(&labels, error) }
    }

    fn is_conflict(&mut self, judged: &Judged) -> bool {
        let Some((key, fingerprint)) = judged.identity else { return false };
        *self.ids.entry(key).or_insert(fingerprint) != fingerprint
            || self.parts.dedupe.look(key, fingerprint) == Seen::Other
    }
}

fn size(slots: &[Slot]) -> (usize, u64) {
    slots.iter().fold((0, 0), |(events, bytes), slot| match slot {
        Slot::Ready(judged) => (events + 1, bytes + judged.bytes),
        Slot::Refused { .. } | Slot::Aborted { .. } => (events, bytes),
    })
}

/// Makes the topics that do not exist yet.
async fn make_topics(parts: &Parts, slots: &mut [Slot]) -> Result<(), Error> {
    let mut made: HashMap<Topic, _> = HashMap::new();
    for slot in slots {
        let Slot::Ready(judged) = slot else { continue };
        if judged.info.is_some() {
            continue;
        }
        let topic = &judged.rule.topic;
        let info = match made.get(topic) {
            Some(info) => Arc::clone(info),
            None => {
                let info = parts.make_topic(topic).await;
                let info = info.map_err(|error| parts.refused(&judged.labels, error))?;
                made.insert(topic.clone(), Arc::clone(&info));
                info
            }
        };
        judged.settle_topic(info)?;
    }
    Ok(())
}

/// An event of a batch that is refused as a whole.
fn refused_item(parts: &Parts, index: usize, slot: Slot) -> Item {
    if let Slot::Ready(judged) = &slot {
        parts.count(&judged.labels, "aborted");
    }
    match slot {
        Slot::Ready(judged) => aborted(index, Some(judged.event_id).filter(|_| judged.is_id_stable)),
        Slot::Aborted { event_id } => aborted(index, event_id),
        Slot::Refused { event_id, error } => failed(index, event_id, error),
    }
}

fn checked_item(parts: &Parts, index: usize, slot: Slot) -> Item {
    match slot {
        Slot::Ready(judged) => {
            let event_id = Some(judged.event_id.clone()).filter(|_| judged.is_id_stable);
            answered(index, event_id, Ok(parts.checked(*judged)))
        }
        Slot::Aborted { event_id } => aborted(index, event_id),
        Slot::Refused { event_id, error } => failed(index, event_id, error),
    }
}

/// The item of an event with this answer.
pub(super) fn answered(index: usize, event_id: Option<EventId>, answer: Result<Published, Error>) -> Item {
    match answer {
        Ok(Published { outcome, warnings }) => {
            let result = match outcome {
                Outcome::Accepted(receipt) => ItemResult::Accepted(receipt),
                Outcome::Duplicate(receipt) => ItemResult::Duplicate(receipt),
                Outcome::Queued(queued) => ItemResult::Queued(queued),
                Outcome::Checked(checked) => ItemResult::Checked(checked),
            };
            Item { index, event_id, result, warnings }
        }
        Err(Error::OutcomeUnknown { .. }) => {
            Item { index, event_id, result: ItemResult::Unknown, warnings: Vec::new() }
        }
        Err(error) => failed(index, event_id, error),
    }
}

pub(super) const fn aborted(index: usize, event_id: Option<EventId>) -> Item {
    Item { index, event_id, result: ItemResult::Aborted, warnings: Vec::new() }
}

pub(super) const fn failed(index: usize, event_id: Option<EventId>, error: Error) -> Item {
    Item { index, event_id, result: ItemResult::Failed(error), warnings: Vec::new() }
}
