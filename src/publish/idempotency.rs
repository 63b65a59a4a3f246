//! Claims of idempotency keys, so that a request that is repeated runs once and gets the same answer again.
//!
//! A key is claimed before its request runs. While it runs others of that key are told to wait; the claim is a
//! lease, so a request that never ends frees its key. Requests of one gateway are told apart here; those of several by
//! the table they share ([`super::sharing`]), where there is one.
//!
//! ```text
//! claim ── free here ── free everywhere ─► Run(lease) ── complete ─► kept, and told ─► Replay
//!        └─ held ──────── held ──────────► InProgress    └ drop ──► free
//! ```

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::log;

use super::Config;
use super::answers::{Answer, Answers, Bounds, ClaimId, Kept};
use super::metrics::Metrics;
use super::sharing::{Claims, Refusal, Ticket};

/// What a waiting client is told at most; a running request seldom takes longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);

/// What a claim came to.
#[derive(Debug)]
pub enum Claim {
    /// The key is this request's: run it.
    Run(Lease),
    /// The request ran before, and this was its answer.
    Replay(Arc<Answer>),
    /// The first request of this key is still running.
    InProgress {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The key belongs to a request of other content.
    Reused,
    /// The log did not take the claim in time; nothing ran.
    Unavailable(log::Error),
}

/// The claims and answers of idempotency keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Idempotency {
    answers: Arc<Answers>,
    lease: Duration,
    /// Guards the claims of requests that run now; bounded, since each belongs to a request or to a lease not
    /// yet run out.
    running: Arc<Mutex<HashMap<ClaimId, Running>>>,
    /// Claims of all gateways, once they are shared.
    claims: Arc<OnceLock<Claims>>,
    /// The next claim's number, so that a late lease is taken for no other.
    turns: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Running {
    fingerprint: [u8; 32],
    until: Instant,
    turn: u64,
}

impl Idempotency {
    /// Claims of this gateway alone, with their answers in its memory.
    pub(super) fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        let bounds = Bounds {
            window: config.idempotency_window,
            entries_max: config.idempotency_entries_max,
            bytes_max: config.idempotency_bytes_max,
        };
        Self {
            answers: Arc::new(Answers::new(bounds, Arc::clone(&metrics))),
            lease: config.idempotency_lease,
            running: Arc::default(),
            claims: Arc::default(),
            turns: Arc::default(),
            metrics,
        }
    }

    /// The answers kept.
    pub(super) const fn answers(&self) -> &Arc<Answers> {
        &self.answers
    }

    /// From now on keys are claimed of all gateways; only the first call counts.
    pub(super) fn share(&self, claims: Claims) {
        self.claims.get_or_init(|| claims);
    }

    /// Claims a key within its scope (principal and route) for the request with this fingerprint (a SHA-256 of
    /// method, path, query, type and body).
    pub async fn claim(&self, scope: &str, key: &str, fingerprint: [u8; 32]) -> Claim {
        let id = ClaimId::new(scope, key);
        let claim = match (self.claim_here(id, fingerprint), self.claims.get()) {
            (Claim::Run(mut lease), Some(claims)) => match claims.claim(id, fingerprint).await {
                Ok(ticket) => {
                    lease.ticket = Some(ticket);
                    Claim::Run(lease)
                }
                Err(refusal) => refusal.into(),
            },
            (claim, _) => claim,
        };
        if matches!(claim, Claim::Replay(_)) {
            self.metrics.idempotency_replays.inc();
        }
        claim
    }

    fn claim_here(&self, id: ClaimId, fingerprint: [u8; 32]) -> Claim {
        let now = Instant::now();
        let mut running = self.lock();
        // The answers are asked under the lock: a request that completes keeps its answer before it frees its key.
        if let Some(kept) = self.answers.read(&id) {
            let is_same = kept.fingerprint == fingerprint;
            return if is_same { Claim::Replay(kept.answer) } else { Claim::Reused };
        }
        if let Some(held) = running.get(&id).filter(|held| held.until > now) {
            let is_same = held.fingerprint == fingerprint;
            let retry_after = held.until.duration_since(now).min(RETRY_AFTER_MAX);
            return if is_same { Claim::InProgress { retry_after } } else { Claim::Reused };
        }
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        running.insert(id, Running { fingerprint, until: now + self.lease, turn });
        Claim::Run(Lease { idempotency: self.clone(), id, turn, fingerprint, ticket: None })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClaimId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Refusal> for Claim {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Replay(answer) => Self::Replay(answer),
            Refusal::InProgress { retry_after } => Self::InProgress { retry_after },
            Refusal::Reused => Self::Reused,
            Refusal::Unavailable(error) => Self::Unavailable(error),
        }
    }
}

/// The right to run the request of a key. Dropping it frees the key.
#[derive(Debug)]
pub struct Lease {
    idempotency: Idempotency,
    id: ClaimId,
    turn: u64,
    fingerprint: [u8; 32],
    /// The same right among all gateways; dropped, it is given back.
    ticket: Option<Ticket>,
}

impl Lease {
    /// Ends the run with its answer. It is kept where its status is final (2xx, 400, 413, 422) and the lease had
    /// not run out and gone to another request.
    pub fn complete(mut self, answer: Answer) {
        let is_anothers = self.ticket.as_ref().is_some_and(|ticket| !ticket.is_held());
        let kept = Kept { fingerprint: self.fingerprint, answer: Arc::new(answer) };
        let idempotency = self.idempotency.clone();
        let mut running = idempotency.lock();
        let is_ours = running.get(&self.id).is_some_and(|held| held.turn == self.turn) && !is_anothers;
        let is_kept = is_ours && kept.answer.is_final();
        if is_kept {
            idempotency.answers.keep(self.id, kept.clone(), Duration::ZERO);
        }
        if is_ours {
            running.remove(&self.id);
        }
        drop(running);
        if let Some(ticket) = self.ticket.take().filter(|_| is_kept) {
            ticket.tell(&kept);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // After `complete` the claim is gone already, or is another request's.
        let mut running = self.idempotency.lock();
        if running.get(&self.id).is_some_and(|held| held.turn == self.turn) {
            running.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use super::{Answer, Answers, Bounds, Claim, Idempotency, Lease, Metrics};
    use crate::telemetry::Registry;

    const LEASE: Duration = Duration::from_secs(60);
    const ONE: [u8; 32] = [1; 32];
    const TWO: [u8; 32] = [2; 32];

    fn idempotency(entries_max: usize, bytes_max: usize) -> Idempotency {
        let metrics = Arc::new(Metrics::register(&Registry::new()));
        let bounds = Bounds { window: Duration::from_secs(86_400), entries_max, bytes_max };
        let answers = Arc::new(Answers::new(bounds, Arc::clone(&metrics)));
        Idempotency {
            answers,
            lease: LEASE,
            running: Arc::default(),
            claims: Arc::default(),
            turns: Arc::default(),
            metrics,
        }
    }

    fn answer(status: u16, length: usize) -> Answer {
        Answer { status, content_type: "application/json", body: Bytes::from(vec![b'x'; length]) }
    }

    fn run(claim: Claim) -> Lease {
        let Claim::Run(lease) = claim else { panic!("{claim:?}") };
        lease
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeat_gets_the_first_answer_and_other_content_is_refused() {
        let idempotency = idempotency(10, 10_000);
        run(idempotency.claim("a", "k", ONE).await).complete(answer(201, 3));
        let Claim::Replay(replayed) = idempotency.claim("a", "k", ONE).await else { panic!() };
        assert_eq!(*replayed, answer(201, 3));
        assert!(matches!(idempotency.claim("a", "k", TWO).await, Claim::Reused));
        assert!(
            matches!(idempotency.claim("b", "k", TWO).await, Claim::Run(_)),
            "another scope is another key"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_first_runs_others_wait_and_its_end_without_an_answer_frees_the_key() {
        let idempotency = idempotency(10, 10_000);
        let lease = run(idempotency.claim("a", "k", ONE).await);
        assert!(
            matches!(idempotency.claim("a", "k", ONE).await, Claim::InProgress { retry_after } if !retry_after.is_zero())
        );
        assert!(matches!(idempotency.claim("a", "k", TWO).await, Claim::Reused));
        drop(lease);
        assert!(matches!(idempotency.claim("a", "k", TWO).await, Claim::Run(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_after_its_time_and_the_late_one_changes_nothing() {
        let idempotency = idempotency(10, 10_000);
        let late = run(idempotency.claim("a", "k", ONE).await);
        tokio::time::advance(LEASE).await;
        let second = run(idempotency.claim("a", "k", ONE).await);
        late.complete(answer(201, 1));
        assert!(matches!(idempotency.claim("a", "k", ONE).await, Claim::InProgress { .. }));
        second.complete(answer(201, 2));
        assert!(
            matches!(idempotency.claim("a", "k", ONE).await, Claim::Replay(kept) if *kept == answer(201, 2))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_invite_a_new_try_are_not_kept() {
        let idempotency = idempotency(100, 100_000);
        for status in [200, 201, 202, 207, 400, 413, 422] {
            let key = status.to_string();
            run(idempotency.claim("a", &key, ONE).await).complete(answer(status, 1));
            assert!(matches!(idempotency.claim("a", &key, ONE).await, Claim::Replay(_)), "{status}");
        }
        for status in [401, 403, 404, 409, 429, 500, 503, 504] {
            let key = status.to_string();
            run(idempotency.claim("a", &key, ONE).await).complete(answer(status, 1));
            assert!(matches!(idempotency.claim("a", &key, ONE).await, Claim::Run(_)), "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_forgotten_after_their_window() {
        let idempotency = idempotency(10, 10_000);
        run(idempotency.claim("a", "k", ONE).await).complete(answer(201, 1));
        tokio::time::advance(Duration::from_secs(86_399)).await;
        assert!(matches!(idempotency.claim("a", "k", ONE).await, Claim::Replay(_)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(idempotency.claim("a", "k", TWO).await, Claim::Run(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_bound_of_entries_the_oldest_answer_goes() {
        let idempotency = idempotency(2, 10_000);
        for key in ["1", "2", "3"] {
            run(idempotency.claim("a", key, ONE).await).complete(answer(201, 1));
        }
        assert!(matches!(idempotency.claim("a", "1", ONE).await, Claim::Run(_)));
        assert!(matches!(idempotency.claim("a", "2", ONE).await, Claim::Replay(_)));
        assert_eq!(idempotency.metrics.idempotency_evictions.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_bound_of_bytes_the_oldest_answers_go_and_a_larger_one_is_not_kept() {
        let idempotency = idempotency(10, 2_000);
        for key in ["1", "2"] {
            run(idempotency.claim("a", key, ONE).await).complete(answer(201, 700));
        }
        run(idempotency.claim("a", "3", ONE).await).complete(answer(201, 700));
        assert!(matches!(idempotency.claim("a", "1", ONE).await, Claim::Run(_)));
        assert!(matches!(idempotency.claim("a", "3", ONE).await, Claim::Replay(_)));
        run(idempotency.claim("a", "huge", ONE).await).complete(answer(201, 5_000));
        assert!(matches!(idempotency.claim("a", "huge", ONE).await, Claim::Run(_)));
    }
}
