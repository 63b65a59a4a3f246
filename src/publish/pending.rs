//! A single event on its way: handed over and not yet answered.
//!
//! The usual case takes no allocation and no task. A caller that goes away before the answer leaves it to a task,
//! since the event's entry, its place in the queue and the counters wait for it too.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::event::{Offset, Timestamp};
use crate::log::{Append, Appended, Appending};

use super::dedupe::{Ending, Reservation, Reserved};
use super::identity::Place;
use super::judge::Judged;
use super::parts::{Handed, Parts, Told};
use super::queue::Ticket;
use super::resolve::Resolved;
use super::{Ack, Error, Published};

/// An event handed over, whose answer is on its way. Poll it to its end, or drop it: the event is stored all the
/// same. One that is held and not polled keeps its place in the queue.
#[derive(Debug)]
#[must_use = "the answer tells whether the event was stored"]
pub struct Pending(State);

#[expect(clippy::large_enum_variant, reason = "the large one is the usual case and saves an allocation")]
enum State {
    Answered(Option<Result<Published, Error>>),
    Flying(Flight),
    /// Not handed over, or not by this.
    Waiting(Wait),
}

type Wait = Pin<Box<dyn Future<Output = Result<Published, Error>> + Send>>;

/// An append of one event in the log's hands.
#[derive(Debug)]
struct Flight {
    parts: Arc<Parts>,
    /// `None` once answered.
    load: Option<(Appending, Handed, Ticket)>,
}

/// When an event arrived, by both clocks.
pub(super) type Arrival = (Instant, Timestamp);

impl Pending {
    pub(super) const fn answered(published: Published) -> Self {
        Self(State::Answered(Some(Ok(published))))
    }

    /// A refusal that follows.
    pub(super) fn refused(refusal: impl Future<Output = Error> + Send + 'static) -> Self {
        Self(State::Waiting(refusal.map(Err).boxed()))
    }

    /// Hands an event over, unless its id is known; then its answer is the earlier one's.
    pub(super) fn hand_over(
        parts: &Arc<Parts>,
        judged: Judged,
        ack: Ack,
        arrival: Arrival,
    ) -> Result<Self, Error> {
        let Some((key, fingerprint)) = judged.identity else {
            return Self::append(parts, judged, None, ack, arrival);
        };
        match parts.dedupe.reserve(key, fingerprint) {
            Reserved::New(reservation) => Self::append(parts, judged, Some(reservation), ack, arrival),
            Reserved::Duplicate(place) => Ok(Self::answered(parts.duplicate(&judged, place))),
            Reserved::Conflict => Err(parts.refused(&judged.labels, parts.conflict(judged.event_id))),
            reserved @ (Reserved::Pending(_) | Reserved::Unknown(_)) => {
                Ok(Self(State::Waiting(repeat(Arc::clone(parts), judged, reserved, ack, arrival).boxed())))
            }
        }
    }

    /// Hands an event over once its topic is made.
    pub(super) fn deferred(parts: &Arc<Parts>, mut judged: Judged, ack: Ack, arrival: Arrival) -> Self {
        let parts = Arc::clone(parts);
        let wait = async move {
            match parts.make_topic(&judged.rule.topic).await {
                Ok(info) => {
                    judged.settle_topic(info).map_err(|error| parts.refused(&judged.labels, error))?
                }
                Err(error) => return Err(parts.refused(&judged.labels, error)),
            }
            Self::hand_over(&parts, judged, ack, arrival)?.await
        };
        Self(State::Waiting(wait.boxed()))
    }

    /// Whether the event may still have to be handed over, because its topic is being made or an earlier event of its id
    /// has no outcome yet. To keep the order of events, wait for this answer before submitting the next.
    #[must_use]
    pub const fn is_deferred(&self) -> bool {
        matches!(self.0, State::Waiting(_))
    }

    fn append(
        parts: &Arc<Parts>,
        judged: Judged,
        reservation: Option<Reservation>,
        ack: Ack,
        arrival: Arrival,
    ) -> Result<Self, Error> {
        let ticket = parts.queue.enter(judged.bytes);
        let ticket = ticket.map_err(|_full| parts.refused(&judged.labels, Error::Overloaded))?;
        let topic = judged.rule.topic.clone();
        let partitions = judged.info.as_ref().map_or(0, |info| info.spec.partitions);
        let key = judged.record.key.as_deref();
        let partition = judged
            .partition
            .unwrap_or_else(|| parts.spread.choose_one(&topic, judged.rule.partitioner, key, partitions));
        let (record, handed) = Handed::new(judged, partition, reservation, arrival);
        let appending = parts.log.append(Append { topic, partition, records: vec![record] });
        let load = Some((appending, handed.hand_over(), ticket));
        let flight = Flight { parts: Arc::clone(parts), load };
        match ack {
            Ack::Stored => Ok(Self(State::Flying(flight))),
            Ack::None => flight.leave().map(Self::answered),
        }
    }
}

impl Flight {
    /// Answers at once and leaves the log's answer to a task.
    fn leave(mut self) -> Result<Published, Error> {
        let Some((mut appending, mut handed, ticket)) = self.load.take() else {
            return Err(Error::OutcomeUnknown { event_id: None });
        };
        let answer = (&mut appending).now_or_never();
        if let Some(Err(error)) = answer {
            return self.parts.settle(handed, Err(error), Told::Nothing);
        }
        let published = self.parts.queued(&mut handed);
        match answer {
            Some(answer) => drop(self.parts.settle(handed, answer.map(only), Told::Queued)),
            None => attend(&self.parts, appending, handed, ticket, Told::Queued),
        }
        Ok(published)
    }
}

impl Future for Flight {
    type Output = Result<Published, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((appending, ..)) = &mut self.load else {
            return Poll::Ready(Err(Error::OutcomeUnknown { event_id: None }));
        };
        let answer = ready!(appending.poll_unpin(context));
        let Some((_, handed, ticket)) = self.load.take() else {
            return Poll::Ready(Err(Error::OutcomeUnknown { event_id: None }));
        };
        let published = self.parts.settle(handed, answer.map(only), Told::Nothing);
        drop(ticket);
        Poll::Ready(published)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some((appending, handed, ticket)) = self.load.take() {
            attend(&self.parts, appending, handed, ticket, Told::Nothing);
        }
    }
}

impl Future for Pending {
    type Output = Result<Published, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Answered(answer) => {
                Poll::Ready(answer.take().unwrap_or(Err(Error::OutcomeUnknown { event_id: None })))
            }
            State::Flying(flight) => flight.poll_unpin(context),
            State::Waiting(wait) => wait.poll_unpin(context),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Answered(_) => "Answered",
            Self::Flying(_) => "Flying",
            Self::Waiting(_) => "Waiting",
        })
    }
}

/// Waits for the log's answer in a task of its own.
fn attend(parts: &Arc<Parts>, appending: Appending, handed: Handed, ticket: Ticket, told: Told) {
    let shared = Arc::clone(parts);
    parts.attend(async move {
        let answer = appending.await.map(only);
        // Whoever asked is gone; what is left to say is in the counters.
        drop(shared.settle(handed, answer, told));
        drop(ticket);
    });
}

/// Finds the answer of an event whose id is known: the earlier one's, once that is known too. One that turns out not
/// to have been stored is appended now.
pub(super) async fn repeat(
    parts: Arc<Parts>,
    judged: Judged,
    reserved: Reserved,
    ack: Ack,
    arrival: Arrival,
) -> Result<Published, Error> {
    match known(&parts, &judged, reserved).await {
        Ok(Known::New(reservation)) => {
            Pending::append(&parts, judged, Some(reservation), ack, arrival)?.await
        }
        Ok(Known::Stored(place)) => Ok(parts.duplicate(&judged, place)),
        Err(error) if matches!(error, Error::OutcomeUnknown { .. }) => {
            parts.count(&judged.labels, "unknown");
            Err(error)
        }
        Err(error) => Err(parts.refused(&judged.labels, error)),
    }
}

/// What an event's id turned out to be.
#[derive(Debug)]
pub(super) enum Known {
    /// Not stored: append it, and tell the reservation how that ended.
    New(Reservation),
    /// Stored before.
    Stored(Place),
}

/// Waits until it is known whether an event is stored. Counts no refusal.
pub(super) async fn known(parts: &Parts, judged: &Judged, mut reserved: Reserved) -> Result<Known, Error> {
    let unknown = || Error::OutcomeUnknown { event_id: Some(judged.event_id.clone()) };
    loop {
        reserved = match reserved {
            Reserved::New(reservation) => return Ok(Known::New(reservation)),
            Reserved::Duplicate(place) => return Ok(Known::Stored(place)),
            Reserved::Conflict => return Err(parts.conflict(judged.event_id.clone())),
            Reserved::Pending(ending) => match ending.await {
                Ok(Ending::Stored(place)) => Reserved::Duplicate(place),
                Ok(Ending::NotStored(error)) => return Err(error.into()),
                Ok(Ending::Unknown(lookup)) => Reserved::Unknown(lookup),
                Err(_gone) => return Err(unknown()),
            },
            Reserved::Unknown(lookup) => {
                let Some((key, fingerprint)) = judged.identity else { return Err(unknown()) };
                match parts.search(&lookup).await {
                    Resolved::StillUnknown => return Err(unknown()),
                    Resolved::Stored(place) => {
                        parts.dedupe.settle_unknown(key, &lookup, Some(place));
                        Reserved::Duplicate(place)
                    }
                    Resolved::NotStored => {
                        parts.dedupe.settle_unknown(key, &lookup, None);
                        parts.dedupe.reserve(key, fingerprint)
                    }
                }
            }
        };
    }
}

fn only(Appended { base, timestamp, .. }: Appended) -> (Offset, Timestamp) {
    (base, timestamp)
}
