//! The hand-over of a batch: events are grouped by partition, each group is one append, and every event gets the
//! result of its own.
//!
//! All groups are handed over before any answer is waited for. When the log refuses one at once, what comes later in
//! its lanes is aborted; what was handed over already reports its own outcome. An event whose id an earlier request has
//! handed over, with no outcome yet, may still have to be appended: what comes later in its lane waits for that.
//!
//! ```text
//! events ─ place ─┬─ new ────────► groups ─ appends ─ answers
//!                 ├─ repeat ─────► waited for ─┐
//!                 └─ behind one ─► later ◄─────┘ placed in the next round, or aborted
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::task::JoinHandle;

use crate::event::{EventId, Partition, Topic};
use crate::log::{self, Append, Appended, Appending, NewRecord};

use super::batch::{Slot, aborted, answered, failed};
use super::dedupe::Reserved;
use super::identity::EventKey;
use super::judge::Judged;
use super::lanes::Lanes;
use super::parts::{Handed, Parts, Told};
use super::pending::{Arrival, repeat};
use super::queue::Ticket;
use super::spread::Sticky;
use super::{Ack, Batch, Item};

/// A group larger than this is cut, so that one batch does not become one huge append.
const APPEND_BYTES_MAX: u64 = 1 << 20;

/// Events of one partition, in order.
#[derive(Debug)]
struct Group {
    topic: Topic,
    partition: Partition,
    events: Vec<Event>,
    bytes: u64,
}

#[derive(Debug)]
struct Event {
    index: usize,
    record: NewRecord,
    handed: Handed,
    bytes: u64,
}

/// A group in the log's hands.
#[derive(Debug)]
struct Flight {
    /// The answer, where it was there at once.
    answer: Option<Result<Appended, log::Error>>,
    appending: Appending,
    handed: Vec<(usize, Handed)>,
    ticket: Ticket,
}

/// The answers of a round, and which events they are for should they be lost.
#[derive(Debug)]
struct Round {
    answers: JoinHandle<Vec<Item>>,
    expected: Vec<(usize, EventId)>,
}

/// The hand-over as far as it has come.
#[derive(Debug)]
struct Dispatch<'d> {
    parts: &'d Arc<Parts>,
    ack: Ack,
    arrival: Arrival,
    ticket: Ticket,
    items: Vec<Item>,
    /// Events whose id is known and whose answer is not.
    repeats: Vec<(usize, Box<Judged>, Reserved)>,
    /// Events behind a repeat of their lane.
    later: Vec<(usize, Box<Judged>)>,
    groups: Vec<Group>,
    /// The group of each partition that still takes events.
    open: HashMap<(Topic, Partition), usize>,
    sticky: Sticky,
    /// Ids this batch has handed over itself: a repeat of one comes after it whatever happens.
    own: HashSet<EventKey>,
    /// Lanes with a repeat that is waited for.
    waiting: Lanes,
    held: Lanes,
}

/// Hands a batch over and waits for what the caller wants to wait for. A caller that goes away leaves the answers to a
/// task.
pub(super) async fn dispatch(
    parts: &Arc<Parts>,
    slots: Vec<Slot>,
    ticket: Ticket,
    ack: Ack,
    arrival: Arrival,
) -> Batch {
    let mut dispatch = Dispatch::new(parts, ticket, ack, arrival);
    dispatch.items.reserve_exact(slots.len());
    for (index, slot) in slots.into_iter().enumerate() {
        match slot {
            Slot::Ready(judged) => dispatch.place(index, judged),
            Slot::Refused { event_id, error } => dispatch.items.push(failed(index, event_id, error)),
            Slot::Aborted { event_id } => dispatch.items.push(aborted(index, event_id)),
        }
    }
    let mut rounds = Vec::new();
    loop {
        rounds.extend(dispatch.hand_over());
        dispatch.await_repeats().await;
        if dispatch.later.is_empty() {
            break;
        }
        dispatch.place_later();
    }
    let mut items = dispatch.into_items();
    if ack == Ack::Stored {
        for Round { answers, expected } in rounds {
            items.extend(answers.await.unwrap_or_else(|_lost| {
                let unknown = |(index, event_id)| {
                    answered(index, Some(event_id), Err(log::Error::OutcomeUnknown.into()))
                };
                expected.into_iter().map(unknown).collect()
            }));
        }
    }
    items.sort_unstable_by_key(|item| item.index);
    Batch { items }
}

impl<'d> Dispatch<'d> {
    fn new(parts: &'d Arc<Parts>, ticket: Ticket, ack: Ack, arrival: Arrival) -> Self {
        Self {
            parts,
            ack,
            arrival,
            ticket,
            items: Vec::new(),
            repeats: Vec::new(),
            later: Vec::new(),
            groups: Vec::new(),
            open: HashMap::new(),
            sticky: Sticky::new(),
            own: HashSet::new(),
            waiting: Lanes::default(),
            held: Lanes::default(),
        }
    }

    /// Puts an event into its partition's group, unless its id is known or its lane waits.
    fn place(&mut self, index: usize, judged: Box<Judged>) {
        let event_id = judged.event_id.clone();
        let (topic, key) = (&judged.rule.topic, judged.record.key.as_ref());
        if self.held.holds(topic, key) {
            self.parts.count(&judged.labels, "aborted");
            return self.items.push(aborted(index, Some(event_id)));
        }
        if self.waiting.holds(topic, key) {
            return self.later.push((index, judged));
        }
        let reserved = judged.identity.map(|(key, fingerprint)| self.parts.dedupe.reserve(key, fingerprint));
        let reservation = match reserved {
            None => None,
            Some(Reserved::New(reservation)) => {
                self.own.extend(judged.identity.map(|(key, _)| key));
                Some(reservation)
            }
            Some(Reserved::Duplicate(place)) => {
                let published = self.parts.duplicate(&judged, place);
                return self.items.push(answered(index, Some(event_id), Ok(published)));
            }
            Some(Reserved::Conflict) => {
                // The id was taken between judgement and hand-over.
                let error = self.parts.refused(&judged.labels, self.parts.conflict(event_id.clone()));
                self.held.hold(judged.lane());
                return self.items.push(failed(index, Some(event_id), error));
            }
            Some(reserved @ (Reserved::Pending(_) | Reserved::Unknown(_))) => {
                if judged.identity.is_none_or(|(key, _)| !self.own.contains(&key)) {
                    self.waiting.hold(judged.lane());
                }
                // Should it have to be appended after all, it takes room of its own.
                drop(self.ticket.split(judged.bytes));
                return self.repeats.push((index, judged, reserved));
            }
        };
        let (topic, bytes) = (judged.rule.topic.clone(), judged.bytes);
        let partitions = judged.info.as_ref().map_or(0, |info| info.spec.partitions);
        let (partitioner, key) = (judged.rule.partitioner, judged.record.key.as_deref());
        let partition = self.parts.spread.choose(&topic, partitioner, key, partitions, &mut self.sticky);
        let (record, handed) = Handed::new(*judged, partition, reservation, self.arrival);
        self.group(topic, partition, Event { index, record, handed, bytes });
    }

    /// Hands all groups over; what is in the log's hands is answered by the round, if there is any.
    fn hand_over(&mut self) -> Option<Round> {
        self.open.clear();
        let mut flights = Vec::with_capacity(self.groups.len());
        for group in std::mem::take(&mut self.groups) {
            flights.extend(self.append(group));
        }
        if flights.is_empty() {
            return None;
        }
        let ids = |flight: &Flight| {
            let ids = flight.handed.iter().map(|(index, handed)| (*index, handed.event_id().clone()));
            ids.collect::<Vec<_>>()
        };
        let expected = flights.iter().flat_map(ids).collect();
        let told = if self.ack == Ack::None { Told::Queued } else { Told::Nothing };
        let answers = self.parts.attend(answers(Arc::clone(self.parts), flights, told));
        Some(Round { answers, expected })
    }

    /// Waits for the events that earlier requests have handed over. One that was not stored, or perhaps not, breaks its
    /// lane: sent again, it would come after what is later here.
    async fn await_repeats(&mut self) {
        for (index, judged, reserved) in std::mem::take(&mut self.repeats) {
            let (event_id, lane) = (judged.event_id.clone(), judged.lane());
            let answer = repeat(Arc::clone(self.parts), *judged, reserved, self.ack, self.arrival).await;
            if answer.is_err() {
                self.held.hold(lane);
            }
            self.items.push(answered(index, Some(event_id), answer));
        }
    }

    /// The items known so far; gives back what room is left.
    fn into_items(self) -> Vec<Item> {
        self.items
    }

    fn place_later(&mut self) {
        self.waiting = Lanes::default();
        for (index, judged) in std::mem::take(&mut self.later) {
            self.place(index, judged);
        }
    }

    fn group(&mut self, topic: Topic, partition: Partition, event: Event) {
        let at = (topic, partition);
        let open = self.open.get(&at).and_then(|&index| self.groups.get_mut(index));
        match open.filter(|group| group.bytes + event.bytes <= APPEND_BYTES_MAX) {
            Some(group) => {
                group.bytes += event.bytes;
                group.events.push(event);
            }
            None => {
                let bytes = event.bytes;
                self.groups.push(Group { topic: at.0.clone(), partition, events: vec![event], bytes });
                self.open.insert(at, self.groups.len() - 1);
            }
        }
    }

    /// Hands a group over, but for events whose lane an earlier group broke.
    fn append(&mut self, group: Group) -> Option<Flight> {
        let Group { topic, partition, events, bytes } = group;
        let mut records = Vec::with_capacity(events.len());
        let mut handed = Vec::with_capacity(events.len());
        for event in events {
            if self.held.holds(&topic, event.record.key.as_ref()) {
                self.items.push(aborted(event.index, Some(event.handed.abort(self.parts))));
                continue;
            }
            records.push(event.record);
            handed.push((event.index, event.handed.hand_over()));
        }
        if records.is_empty() {
            return None;
        }
        let keys: Vec<Option<Bytes>> = records.iter().map(|record| record.key.clone()).collect();
        let append = Append { topic: topic.clone(), partition, records };
        let mut appending = self.parts.log.append(append);
        let answer = (&mut appending).now_or_never();
        if let Some(Err(error)) = answer {
            keys.into_iter().flatten().for_each(|key| self.held.hold(Some((topic.clone(), key))));
            self.items.extend(settle(self.parts, handed, &Err(error), Told::Nothing));
            return None;
        }
        if self.ack == Ack::None {
            for (index, handed) in &mut handed {
                let (event_id, published) = (handed.event_id().clone(), self.parts.queued(handed));
                self.items.push(answered(*index, Some(event_id), Ok(published)));
            }
        }
        Some(Flight { answer, appending, handed, ticket: self.ticket.split(bytes) })
    }
}

/// Waits for all groups' answers.
async fn answers(parts: Arc<Parts>, flights: Vec<Flight>, told: Told) -> Vec<Item> {
    let mut items = Vec::new();
    for flight in flights {
        let answer = match flight.answer {
            Some(answer) => answer,
            None => flight.appending.await,
        };
        items.extend(settle(&parts, flight.handed, &answer, told));
        drop(flight.ticket);
    }
    items
}

fn settle(
    parts: &Parts,
    handed: Vec<(usize, Handed)>,
    answer: &Result<Appended, log::Error>,
    told: Told,
) -> Vec<Item> {
    let settled = handed.into_iter().zip(0..).map(|((index, handed), count)| {
        let event_id = handed.event_id().clone();
        let answer = answer.clone().map(|appended| (appended.offset(count), appended.timestamp));
        let published = parts.settle(handed, answer, told);
        answered(index, Some(event_id), published)
    });
    settled.collect()
}
