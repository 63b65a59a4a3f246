//! Claims of idempotency keys by way of the table, so that of all gateways one runs a request.
//!
//! ```text
//! claim ── append ── read up to it ─┬─ first of the live ones ─► Ticket ── tell ─► answer and release, in one append
//!                                   └─ another one is, or there is an answer: release    └─ drop ─► release
//! ```
//! A claim is the only thing here that a request waits for. An answer that a kill keeps from being told leaves its claim
//! to run out; the request then runs again, with the same event ids.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::event::{Offset, Partition, Record, Topic};
use crate::log::{self, Append, Appending};

use super::super::answers::{Answer, Answers, ClaimId, Kept};
use super::super::parts::Parts;
use super::book::{Book, Claimant, Held};
use super::follower::Sink;
use super::keys::{self, Key};
use super::ledger::{Bounds, Ledger, Owner};
use super::{RETRY_FIRST, RETRY_MAX, age, records_of};

/// Claims and answers lie here.
pub(super) const KEYS: Partition = Partition::new(1);
/// A claim that has not come back by then is given up.
const CLAIM_MAX: Duration = Duration::from_secs(10);
/// What a waiting client is told at most; a running request seldom takes longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);
/// What a record takes in memory beside its value.
const RECORD_OVERHEAD: u64 = 256;
/// How far clocks may be apart, where a claim's age goes by its record's time.
const SKEW: Duration = Duration::from_secs(5);

/// Why a key was not given.
#[derive(Debug)]
pub(in crate::publish) enum Refusal {
    Replay(Arc<Answer>),
    InProgress { retry_after: Duration },
    Reused,
    Unavailable(log::Error),
}

/// The claims of all gateways, as far as they are known. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::publish) struct Claims(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    parts: Arc<Parts>,
    answers: Arc<Answers>,
    topic: Topic,
    /// This life of this gateway.
    run: u128,
    lease: Duration,
    sequence: AtomicU64,
    is_loaded: watch::Sender<bool>,
    /// The next record to be read.
    place: watch::Sender<Offset>,
    /// Guards what the table says.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    book: Book,
    ledger: Ledger,
}

impl Claims {
    pub(super) fn new(parts: &Arc<Parts>, answers: Arc<Answers>, topic: Topic, run: Uuid) -> Self {
        let kept = answers.bounds();
        let bounds = Bounds { window: kept.window, weight_max: kept.bytes_max as u64 };
        Self(Arc::new(Shared {
            parts: Arc::clone(parts),
            answers,
            topic,
            run: run.as_u128(),
            lease: parts.config.load().idempotency_lease,
            sequence: AtomicU64::new(0),
            is_loaded: watch::Sender::new(false),
            place: watch::Sender::new(Offset::ZERO),
            state: Mutex::new(State { book: Book::default(), ledger: Ledger::new(bounds) }),
        }))
    }

    /// Claims a key for a request, unless somebody holds it or has its answer.
    pub(in crate::publish) async fn claim(
        &self,
        id: ClaimId,
        fingerprint: [u8; 32],
    ) -> Result<Ticket, Refusal> {
        let claim = self.claim_in_time(id, fingerprint);
        match timeout_at(Instant::now() + CLAIM_MAX, claim).await {
            Ok(claimed) => claimed,
            Err(late) => Err(Refusal::Unavailable(log::Error::Unavailable(Arc::new(late)))),
        }
    }

    async fn claim_in_time(&self, id: ClaimId, fingerprint: [u8; 32]) -> Result<Ticket, Refusal> {
        let Self(shared) = self;
        let closed = |_| Refusal::Unavailable(log::Error::Closed);
        shared.is_loaded.subscribe().wait_for(|is_loaded| *is_loaded).await.map_err(closed)?;
        if let Some(refusal) = self.refusal(&id, fingerprint, None) {
            return Err(refusal);
        }
        let mut place = shared.place.subscribe();
        // From here on it is released, whatever becomes of it.
        let ticket = self.send(id)?;
        let key = Key::Claim(id, ticket.claimant).to_bytes();
        let appended = self.append(vec![(key, Some(keys::claim(&fingerprint)))]).await;
        let offset = appended.map_err(Refusal::Unavailable)?.base;
        place.wait_for(|next| *next > offset).await.map_err(closed)?;
        match self.refusal(&id, fingerprint, Some(ticket.claimant)) {
            None => Ok(ticket),
            Some(refusal) => Err(refusal),
        }
    }

    /// Why a key cannot be had now, or not by this claim.
    fn refusal(&self, id: &ClaimId, fingerprint: [u8; 32], own: Option<Claimant>) -> Option<Refusal> {
        if let Some(kept) = self.0.answers.read(id) {
            let is_same = kept.fingerprint == fingerprint;
            return Some(if is_same { Refusal::Replay(kept.answer) } else { Refusal::Reused });
        }
        let now = Instant::now();
        match (self.state().book.holder(id, now), own) {
            (None, None) => None,
            (Some(Held { claimant, .. }), Some(own)) if claimant == own => None,
            // Its lease was over before it was read.
            (None, Some(_)) => Some(Refusal::InProgress { retry_after: RETRY_AFTER_MAX }),
            (Some(held), _) if held.fingerprint == fingerprint => {
                let retry_after = held.until.duration_since(now).min(RETRY_AFTER_MAX);
                Some(Refusal::InProgress { retry_after })
            }
            (Some(_), _) => Some(Refusal::Reused),
        }
    }

    /// Notes a claim that is about to be sent; refused where there are too many.
    fn send(&self, id: ClaimId) -> Result<Ticket, Refusal> {
        let Self(shared) = self;
        let mut state = self.state();
        if state.book.len() >= shared.answers.bounds().entries_max.max(1) {
            return Err(Refusal::Unavailable(log::Error::Overloaded));
        }
        let sequence = shared.sequence.fetch_add(1, Ordering::Relaxed);
        let claimant = Claimant { run: shared.run, sequence };
        let until = Instant::now() + shared.lease;
        state.book.send(claimant, until);
        drop(state);
        Ok(Ticket { claims: self.clone(), id, claimant, until, is_open: true })
    }

    fn append(&self, changes: Vec<(Bytes, Option<Bytes>)>) -> Appending {
        let Self(shared) = self;
        let oldest = self.state().ledger.oldest().unwrap_or_else(|| shared.parts.clock.now());
        let records = records_of(changes, oldest);
        shared.parts.log.append(Append { topic: shared.topic.clone(), partition: KEYS, records })
    }

    /// Removes what is old or too much. What comes to nothing is tried again.
    pub(super) fn sweep(&self) {
        let mut state = self.state();
        state.book.forget(Instant::now());
        let due = state.ledger.due(self.0.parts.clock.now());
        drop(state);
        if !due.is_empty() {
            drop(self.append(due.into_iter().map(|key| (key, None)).collect()));
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        *self.0.is_loaded.borrow()
    }

    /// What reading the table for the first time takes at most, by its bounds.
    pub(super) fn bytes_max(&self) -> u64 {
        self.0.answers.bounds().bytes_max as u64
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a claim that was read has yet to live.
    fn left(&self, record: &Record) -> Duration {
        let lease = self.0.lease;
        if self.is_loaded() {
            return lease;
        }
        let age = age(record.timestamp, self.0.parts.clock.now());
        lease.saturating_add(SKEW).saturating_sub(age).min(lease)
    }
}

impl Sink for Claims {
    fn take(&self, record: &Record) {
        let Some((bytes, key)) = record.key.as_ref().and_then(|bytes| Some((bytes, Key::parse(bytes)?)))
        else {
            return;
        };
        let Self(shared) = self;
        let mut state = self.state();
        let Some(value) = &record.value else {
            state.ledger.gone(bytes);
            if let Key::Claim(id, claimant) = key {
                state.book.released(&id, claimant);
            }
            return;
        };
        let (Key::Claim(_, Claimant { run, .. }) | Key::Answer(_, run)) = key;
        let owner = if run == shared.run { Owner::Own } else { Owner::Other };
        let weight = value.len() as u64 + RECORD_OVERHEAD;
        state.ledger.note(bytes, (record.offset, record.timestamp), weight, owner);
        match key {
            Key::Claim(id, claimant) => {
                let Some(fingerprint) = keys::read_claim(value) else { return };
                match owner {
                    Owner::Own => state.book.claimed_here(id, claimant, fingerprint),
                    Owner::Other => {
                        let (now, left) = (Instant::now(), self.left(record));
                        state.book.claimed_elsewhere(id, claimant, fingerprint, now, left);
                    }
                }
            }
            Key::Answer(id, _) => {
                drop(state);
                let Some(kept) = keys::read_answer(value) else { return };
                shared.answers.keep(id, kept, age(record.timestamp, shared.parts.clock.now()));
            }
        }
    }

    fn reached(&self, next: Offset) {
        self.0.place.send_replace(next);
    }

    fn loaded(&self) {
        self.0.is_loaded.send_replace(true);
    }
}

/// A key that is held. Dropping it releases the key.
#[derive(Debug)]
pub(in crate::publish) struct Ticket {
    claims: Claims,
    id: ClaimId,
    claimant: Claimant,
    until: Instant,
    is_open: bool,
}

impl Ticket {
    /// Whether nobody else holds the key; after its lease somebody may.
    pub(in crate::publish) fn is_held(&self) -> bool {
        let holder = self.claims.state().book.holder(&self.id, Instant::now());
        holder.is_none_or(|held| held.claimant == self.claimant)
    }

    /// Tells the answer and releases the key, both at once; nobody waits for it.
    pub(in crate::publish) fn tell(mut self, kept: &Kept) {
        let Claims(shared) = &self.claims;
        let Some(value) = keys::answer(kept) else {
            shared.parts.metrics.idempotency_untold.inc();
            return;
        };
        self.is_open = false;
        self.claims.state().book.give_up(&self.id, self.claimant);
        let answer = (Key::Answer(self.id, shared.run).to_bytes(), Some(value));
        let release = (Key::Claim(self.id, self.claimant).to_bytes(), None);
        let told = tell(self.claims.clone(), vec![answer, release], self.until);
        drop(shared.parts.attend(told));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_open {
            self.claims.state().book.give_up(&self.id, self.claimant);
            // One that does not get through lets the claim run out.
            drop(self.claims.append(vec![(Key::Claim(self.id, self.claimant).to_bytes(), None)]));
        }
    }
}

/// Writes an answer, again and again until its claim is over for everybody.
async fn tell(claims: Claims, changes: Vec<(Bytes, Option<Bytes>)>, until: Instant) {
    let mut wait = RETRY_FIRST;
    let parts = &claims.0.parts;
    loop {
        let Err(error) = claims.append(changes.clone()).await else { return };
        if Instant::now() + wait >= until || parts.tasks.is_closed() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "an answer cannot be written to the log; its request may run again elsewhere"
            );
            parts.metrics.idempotency_untold.inc();
            return;
        }
        sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}
