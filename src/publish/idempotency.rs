//! First answers by idempotency key, so that a repeated request gets the same answer again.
//!
//! A key is claimed before its request runs. While it runs others of that key are told to wait; the claim is a
//! lease, so a request that never ends frees its key. Leases are this gateway's own; kept answers lie behind
//! [`Answers`], in memory for now, so that a table shared by all gateways can take that place.
//!
//! ```text
//! claim ── free ─► Run(lease) ── complete ─► kept ─► Replay
//!        └─ held ─► InProgress    └ drop ──► free
//! ```

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::Config;
use super::metrics::Metrics;

/// What a waiting client is told at most; a running request seldom takes longer.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);
/// What one kept answer takes beside its body.
const ANSWER_OVERHEAD: usize = 256;

/// An answer as the client got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body's media type.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Whether a repeat gets this answer; others (429, 5xx) invite the client to try again in earnest.
    const fn is_final(&self) -> bool {
        matches!(self.status, 200..=299 | 400 | 413 | 422)
    }

    fn bytes(&self) -> usize {
        self.body.len().saturating_add(ANSWER_OVERHEAD)
    }
}

/// Names a claim: scope and key of a request, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimId([u8; 32]);

impl ClaimId {
    fn new(scope: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(scope.len().to_be_bytes());
        hash.update(scope);
        hash.update(key);
        Self(hash.finalize().into())
    }
}

/// An answer kept, and the request it belongs to.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The fingerprint of the request.
    pub fingerprint: [u8; 32],
    /// Its answer.
    pub answer: Arc<Answer>,
}

/// Where kept answers lie. Reads come from memory; a store may make an answer durable or known to others later.
pub trait Answers: Send + Sync + fmt::Debug {
    /// The answer of a claim, while it is kept.
    fn read(&self, id: &ClaimId) -> Option<Kept>;

    /// Keeps an answer.
    fn keep(&self, id: ClaimId, kept: Kept);
}

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
}

/// The claims and answers of idempotency keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Idempotency {
    answers: Arc<dyn Answers>,
    lease: Duration,
    /// Guards the claims of requests that run now; bounded, since each belongs to a request or to a lease not
    /// yet run out.
    running: Arc<Mutex<HashMap<ClaimId, Running>>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Running {
    fingerprint: [u8; 32],
    until: Instant,
    turn: u64,
}

impl Idempotency {
    /// Claims with their answers in this gateway's memory.
    pub(super) fn in_memory(config: &Config, metrics: Arc<Metrics>) -> Self {
        let bounds = Bounds {
            window: config.idempotency_window,
            entries_max: config.idempotency_entries_max,
            bytes_max: config.idempotency_bytes_max,
        };
        let answers = Arc::new(InMemory::new(bounds, Arc::clone(&metrics)));
        Self::new(answers, config.idempotency_lease, metrics)
    }

    /// Claims over a store of answers; `lease` is how long a request may run before its key is free again.
    pub(super) fn new(answers: Arc<dyn Answers>, lease: Duration, metrics: Arc<Metrics>) -> Self {
        Self { answers, lease, running: Arc::default(), metrics }
    }

    /// Claims a key within its scope (principal and route) for the request with this fingerprint (a SHA-256 of
    /// method, path, query, type and body).
    #[must_use]
    pub fn claim(&self, scope: &str, key: &str, fingerprint: [u8; 32]) -> Claim {
        let id = ClaimId::new(scope, key);
        let now = Instant::now();
        let mut running = self.lock();
        // The store is asked under the lock: a request that completes keeps its answer before it frees its key.
        if let Some(kept) = self.answers.read(&id) {
            if kept.fingerprint != fingerprint {
                return Claim::Reused;
            }
            self.metrics.idempotency_replays.inc();
            return Claim::Replay(kept.answer);
        }
        let turn = match running.get(&id) {
            Some(held) if held.until > now => {
                let is_same = held.fingerprint == fingerprint;
                let retry_after = held.until.duration_since(now).min(RETRY_AFTER_MAX);
                return if is_same { Claim::InProgress { retry_after } } else { Claim::Reused };
            }
            Some(lapsed) => lapsed.turn.wrapping_add(1),
            None => 0,
        };
        running.insert(id, Running { fingerprint, until: now + self.lease, turn });
        Claim::Run(Lease { idempotency: self.clone(), id, turn, fingerprint })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClaimId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to run the request of a key. Dropping it frees the key.
#[derive(Debug)]
pub struct Lease {
    idempotency: Idempotency,
    id: ClaimId,
    turn: u64,
    fingerprint: [u8; 32],
}

impl Lease {
    /// Ends the run with its answer. It is kept where its status is final (2xx, 400, 413, 422) and the lease had
    /// not run out and gone to another request.
    pub fn complete(self, answer: Answer) {
        let idempotency = self.idempotency.clone();
        let mut running = idempotency.lock();
        if running.get(&self.id).is_some_and(|held| held.turn == self.turn) {
            if answer.is_final() {
                let kept = Kept { fingerprint: self.fingerprint, answer: Arc::new(answer) };
                idempotency.answers.keep(self.id, kept);
            }
            running.remove(&self.id);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // After `complete` the claim is gone already, or is another request's.
        let idempotency = self.idempotency.clone();
        let mut running = idempotency.lock();
        if running.get(&self.id).is_some_and(|held| held.turn == self.turn) {
            running.remove(&self.id);
        }
    }
}

/// Answers in this gateway's memory: the oldest go when their time is over or a bound is reached.
#[derive(Debug)]
pub(super) struct InMemory {
    bounds: Bounds,
    metrics: Arc<Metrics>,
    /// Guards the answers and their ages.
    shelf: Mutex<Shelf>,
}

/// How long and how many answers are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) window: Duration,
    pub(super) entries_max: usize,
    pub(super) bytes_max: usize,
}

#[derive(Debug, Default)]
struct Shelf {
    kept: HashMap<ClaimId, Kept>,
    ages: VecDeque<(Instant, ClaimId)>,
    bytes: usize,
}

impl InMemory {
    pub(super) fn new(bounds: Bounds, metrics: Arc<Metrics>) -> Self {
        Self { bounds, metrics, shelf: Mutex::default() }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while shelf.ages.front().is_some_and(|(at, _)| now.duration_since(*at) >= self.bounds.window) {
            shelf.drop_oldest();
        }
        shelf
    }

    fn publish_size(&self, shelf: &Shelf) {
        self.metrics.idempotency_entries.set(i64::try_from(shelf.kept.len()).unwrap_or(i64::MAX));
        self.metrics.idempotency_bytes.set(i64::try_from(shelf.bytes).unwrap_or(i64::MAX));
    }
}

impl Answers for InMemory {
    fn read(&self, id: &ClaimId) -> Option<Kept> {
        let shelf = self.shelf();
        self.publish_size(&shelf);
        shelf.kept.get(id).cloned()
    }

    fn keep(&self, id: ClaimId, kept: Kept) {
        let bytes = kept.answer.bytes();
        if bytes > self.bounds.bytes_max || self.bounds.entries_max == 0 {
            self.metrics.idempotency_evictions.inc();
            return;
        }
        let mut shelf = self.shelf();
        while shelf.kept.len() >= self.bounds.entries_max
            || shelf.bytes.saturating_add(bytes) > self.bounds.bytes_max
        {
            self.metrics.idempotency_evictions.inc();
            shelf.drop_oldest();
        }
        // A claim runs again only after its answer has left, so the id is not there.
        shelf.kept.insert(id, kept);
        shelf.ages.push_back((Instant::now(), id));
        shelf.bytes = shelf.bytes.saturating_add(bytes);
        self.publish_size(&shelf);
    }
}

impl Shelf {
    fn drop_oldest(&mut self) {
        if let Some((_, id)) = self.ages.pop_front()
            && let Some(kept) = self.kept.remove(&id)
        {
            self.bytes = self.bytes.saturating_sub(kept.answer.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use super::{Answer, Bounds, Claim, Idempotency, InMemory, Lease, Metrics};
    use crate::telemetry::Registry;

    const LEASE: Duration = Duration::from_secs(60);
    const ONE: [u8; 32] = [1; 32];
    const TWO: [u8; 32] = [2; 32];

    fn idempotency(entries_max: usize, bytes_max: usize) -> Idempotency {
        let metrics = Arc::new(Metrics::register(&Registry::new()));
        let bounds = Bounds { window: Duration::from_secs(86_400), entries_max, bytes_max };
        Idempotency::new(Arc::new(InMemory::new(bounds, Arc::clone(&metrics))), LEASE, metrics)
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
        run(idempotency.claim("a", "k", ONE)).complete(answer(201, 3));
        let Claim::Replay(replayed) = idempotency.claim("a", "k", ONE) else { panic!() };
        assert_eq!(*replayed, answer(201, 3));
        assert!(matches!(idempotency.claim("a", "k", TWO), Claim::Reused));
        assert!(matches!(idempotency.claim("b", "k", TWO), Claim::Run(_)), "another scope is another key");
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_first_runs_others_wait_and_its_end_without_an_answer_frees_the_key() {
        let idempotency = idempotency(10, 10_000);
        let lease = run(idempotency.claim("a", "k", ONE));
        assert!(
            matches!(idempotency.claim("a", "k", ONE), Claim::InProgress { retry_after } if !retry_after.is_zero())
        );
        assert!(matches!(idempotency.claim("a", "k", TWO), Claim::Reused));
        drop(lease);
        assert!(matches!(idempotency.claim("a", "k", TWO), Claim::Run(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_after_its_time_and_the_late_one_changes_nothing() {
        let idempotency = idempotency(10, 10_000);
        let late = run(idempotency.claim("a", "k", ONE));
        tokio::time::advance(LEASE).await;
        let second = run(idempotency.claim("a", "k", ONE));
        late.complete(answer(201, 1));
        assert!(matches!(idempotency.claim("a", "k", ONE), Claim::InProgress { .. }));
        second.complete(answer(201, 2));
        assert!(matches!(idempotency.claim("a", "k", ONE), Claim::Replay(kept) if *kept == answer(201, 2)));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_invite_a_new_try_are_not_kept() {
        let idempotency = idempotency(100, 100_000);
        for status in [200, 201, 202, 207, 400, 413, 422] {
            let key = status.to_string();
            run(idempotency.claim("a", &key, ONE)).complete(answer(status, 1));
            assert!(matches!(idempotency.claim("a", &key, ONE), Claim::Replay(_)), "{status}");
        }
        for status in [401, 403, 404, 409, 429, 500, 503, 504] {
            let key = status.to_string();
            run(idempotency.claim("a", &key, ONE)).complete(answer(status, 1));
            assert!(matches!(idempotency.claim("a", &key, ONE), Claim::Run(_)), "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_forgotten_after_their_window() {
        let idempotency = idempotency(10, 10_000);
        run(idempotency.claim("a", "k", ONE)).complete(answer(201, 1));
        tokio::time::advance(Duration::from_secs(86_399)).await;
        assert!(matches!(idempotency.claim("a", "k", ONE), Claim::Replay(_)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(idempotency.claim("a", "k", TWO), Claim::Run(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_bound_of_entries_the_oldest_answer_goes() {
        let idempotency = idempotency(2, 10_000);
        for key in ["1", "2", "3"] {
            run(idempotency.claim("a", key, ONE)).complete(answer(201, 1));
        }
        assert!(matches!(idempotency.claim("a", "1", ONE), Claim::Run(_)));
        assert!(matches!(idempotency.claim("a", "2", ONE), Claim::Replay(_)));
        assert_eq!(idempotency.metrics.idempotency_evictions.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_bound_of_bytes_the_oldest_answers_go_and_a_larger_one_is_not_kept() {
        let idempotency = idempotency(10, 2_000);
        for key in ["1", "2"] {
            run(idempotency.claim("a", key, ONE)).complete(answer(201, 700));
        }
        run(idempotency.claim("a", "3", ONE)).complete(answer(201, 700));
        assert!(matches!(idempotency.claim("a", "1", ONE), Claim::Run(_)));
        assert!(matches!(idempotency.claim("a", "3", ONE), Claim::Replay(_)));
        run(idempotency.claim("a", "huge", ONE)).complete(answer(201, 5_000));
        assert!(matches!(idempotency.claim("a", "huge", ONE), Claim::Run(_)));
    }
}
