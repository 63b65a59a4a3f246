//! Events of one caller published one after the other, with no end known: a stream of lines.
//!
//! As in a batch, an event that is not stored, or perhaps not, holds its lane: later events of that topic and key are
//! aborted before anything is sent, for as long as the series goes on. The lanes held are bounded by the caller.
//!
//! ```text
//! body ─ judge ─┬─ refused ─► holds its lane          ┌─ stored
//!               ├─ lane held ─► aborted               │
//!               └─ handed over ─► Underway ─ answer ──┴─ else holds its lane
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;

use crate::auth::Principal;
use crate::event::EventId;

use super::batch::{aborted, answered, failed};
use super::judge::{Labels, Refused};
use super::lanes::{Lane, Lanes};
use super::{Error, Form, Item, Options, Pending, Published, Publisher};

/// A series of events in their native envelope.
#[derive(Debug)]
pub struct Series {
    publisher: Publisher,
    principal: Arc<Principal>,
    options: Options,
    next: usize,
    held: Lanes,
    lanes_max: usize,
}

/// What became of the next event of a series.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the large one is the usual case and saves an allocation")]
pub enum Submitted {
    /// It is in the log's hands, or waits to be.
    Open(Underway),
    /// It was not handed over.
    Done(Item),
}

/// An event of a series whose answer is on its way. Poll it to its end and give it to [`Series::end`], or drop it: the
/// event is stored all the same.
#[derive(Debug)]
#[must_use = "the answer tells whether the event was stored"]
pub struct Underway {
    index: usize,
    event_id: Option<EventId>,
    lane: Option<Lane>,
    pending: Pending,
}

impl Series {
    pub(super) fn new(
        publisher: Publisher,
        principal: Arc<Principal>,
        options: Options,
        lanes_max: usize,
    ) -> Self {
        Self { publisher, principal, options, next: 0, held: Lanes::default(), lanes_max }
    }

    /// Judges the next event and hands it over, unless its lane is held. Waits only where the event's schema has to be
    /// fetched first.
    pub async fn submit(&mut self, body: Bytes) -> Submitted {
        let (index, arrival) = (self.count(), self.publisher.arrival());
        let (principal, options) = (&self.principal, &self.options);
        let judged = self.publisher.judge_known(principal, &body, &Form::Native, options, arrival).await;
        let judged = match judged {
            Ok(judged) => judged,
            Err(refused) => return self.refused(index, *refused),
        };
        let is_told = judged.is_id_stable || !self.options.dry_run;
        let event_id = Some(judged.event_id.clone()).filter(|_| is_told);
        if self.held.holds(&judged.rule.topic, judged.record.key.as_ref()) {
            self.publisher.parts().count(&judged.labels, "aborted");
            return Submitted::Done(aborted(index, event_id.filter(|_| judged.is_id_stable)));
        }
        let lane = judged.lane();
        match self.publisher.hand_over(&self.principal, judged, &self.options, arrival) {
            Ok(pending) => Submitted::Open(Underway { index, event_id, lane, pending }),
            Err(error) => {
                self.held.hold(lane);
                Submitted::Done(answered(index, event_id, Err(error)))
            }
        }
    }

    /// Holds the lane of an event that was refused.
    fn refused(&mut self, index: usize, refused: Refused) -> Submitted {
        let (event_id, lane) = (refused.event_id.clone(), refused.lane.clone());
        self.held.hold(lane.clone());
        match self.publisher.refuse(&self.principal, refused) {
            Ok(pending) => Submitted::Open(Underway { index, event_id, lane, pending }),
            Err(error) => Submitted::Done(failed(index, event_id, error)),
        }
    }

    /// Refuses the next event, which could not even be read.
    pub fn refuse(&mut self, error: Error) -> Item {
        let error = self.publisher.parts().refused(&Labels::default(), error);
        failed(self.count(), None, error)
    }

    /// Takes an event's answer.
    pub fn end(&mut self, underway: Underway, answer: Result<Published, Error>) -> Item {
        let Underway { index, event_id, lane, .. } = underway;
        if answer.is_err() {
            self.held.hold(lane);
        }
        answered(index, event_id, answer)
    }

    /// Whether no further lane can be held: what came next might overtake what is sent again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held.len() >= self.lanes_max
    }

    fn count(&mut self) -> usize {
        let index = self.next;
        self.next += 1;
        index
    }
}

impl Underway {
    /// Whether later events must wait for this one's answer, as [`Pending::is_deferred`] says.
    #[must_use]
    pub const fn is_deferred(&self) -> bool {
        self.pending.is_deferred()
    }

    /// The item of an event whose answer is not waited for.
    #[must_use]
    pub fn into_unknown(self) -> Item {
        answered(self.index, self.event_id, Err(Error::OutcomeUnknown { event_id: None }))
    }
}

impl Future for Underway {
    type Output = Result<Published, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.pending.poll_unpin(context)
    }
}
