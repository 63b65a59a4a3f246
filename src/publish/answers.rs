//! First answers by idempotency key, in memory: the oldest go when their time is over or a bound is reached.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::metrics::Metrics;

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
    pub(super) const fn is_final(&self) -> bool {
        matches!(self.status, 200..=299 | 400 | 413 | 422)
    }

    /// What it takes where it is kept.
    pub(super) fn bytes(&self) -> usize {
        self.body.len().saturating_add(ANSWER_OVERHEAD)
    }
}

/// Names a claim: scope and key of a request, hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClaimId(pub(super) [u8; 32]);

impl ClaimId {
    pub(super) fn new(scope: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update((scope.len() as u64).to_be_bytes());
        hash.update(scope);
        hash.update(key);
        Self(hash.finalize().into())
    }
}

/// An answer kept, and the request it belongs to.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// The fingerprint of the request.
    pub(super) fingerprint: [u8; 32],
    /// Its answer.
    pub(super) answer: Arc<Answer>,
}

/// How long and how many answers are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) window: Duration,
    pub(super) entries_max: usize,
    pub(super) bytes_max: usize,
}

/// The answers kept.
#[derive(Debug)]
pub(super) struct Answers {
    bounds: Bounds,
    metrics: Arc<Metrics>,
    /// Guards the answers and their ages.
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    kept: HashMap<ClaimId, Kept>,
    /// Until when each is kept, in the order they came.
    ages: VecDeque<(Instant, ClaimId)>,
    bytes: usize,
}

impl Answers {
    pub(super) fn new(bounds: Bounds, metrics: Arc<Metrics>) -> Self {
        Self { bounds, metrics, shelf: Mutex::default() }
    }

    pub(super) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The answer of a claim, while it is kept.
    pub(super) fn read(&self, id: &ClaimId) -> Option<Kept> {
        let shelf = self.shelf();
        self.publish_size(&shelf);
        shelf.kept.get(id).cloned()
    }

    /// Keeps an answer that was given `age` ago, unless there is one.
    pub(super) fn keep(&self, id: ClaimId, kept: Kept, age: Duration) {
        let Some(left) = self.bounds.window.checked_sub(age).filter(|left| !left.is_zero()) else { return };
        let bytes = kept.answer.bytes();
        if bytes > self.bounds.bytes_max || self.bounds.entries_max == 0 {
            self.metrics.idempotency_evictions.inc();
            return;
        }
        let mut shelf = self.shelf();
        if shelf.kept.contains_key(&id) {
            return;
        }
        while shelf.kept.len() >= self.bounds.entries_max
            || shelf.bytes.saturating_add(bytes) > self.bounds.bytes_max
        {
            self.metrics.idempotency_evictions.inc();
            shelf.drop_oldest();
        }
        shelf.kept.insert(id, kept);
        shelf.ages.push_back((Instant::now() + left, id));
        shelf.bytes = shelf.bytes.saturating_add(bytes);
        self.publish_size(&shelf);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while shelf.ages.front().is_some_and(|(until, _)| now >= *until) {
            shelf.drop_oldest();
        }
        shelf
    }

    fn publish_size(&self, shelf: &Shelf) {
        self.metrics.idempotency_entries.set(i64::try_from(shelf.kept.len()).unwrap_or(i64::MAX));
        self.metrics.idempotency_bytes.set(i64::try_from(shelf.bytes).unwrap_or(i64::MAX));
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
