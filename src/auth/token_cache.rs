//! Verified tokens by their SHA-256, so that a signature is checked once and not per request.
//!
//! Two generations bound it: when the young one is full it becomes the old one and the old one is dropped. A hit in
//! the old one moves to the young one, so what is used stays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::principal::Principal;
use crate::telemetry::Gauge;

/// What the tokens of one generation may weigh together: a principal keeps about what its token weighs.
const GENERATION_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What an entry weighs beside its token.
const ENTRY_BYTES: usize = 512;

/// SHA-256 of a token.
pub(super) type Hash = [u8; 32];

/// The cache.
#[derive(Debug)]
pub(super) struct TokenCache {
    generation_bytes_max: usize,
    entries: Gauge,
    /// Guards both generations; held for a look-up or an insertion.
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Hash, (Arc<Principal>, usize)>,
    young_bytes: usize,
    old: HashMap<Hash, (Arc<Principal>, usize)>,
}

/// The hash a token or certificate is remembered by; no text is a certificate, whose second byte is above 127.
pub(super) fn hash(credential: impl AsRef<[u8]>) -> Hash {
    Sha256::digest(credential).into()
}

impl TokenCache {
    pub(super) fn new(entries: Gauge) -> Self {
        Self { generation_bytes_max: GENERATION_BYTES_MAX, entries, generations: Mutex::default() }
    }

    /// Remembers the principal of a token of this length.
    pub(super) fn insert(&self, hash: Hash, principal: Arc<Principal>, token_bytes: usize) {
        let mut generations = self.lock();
        generations.put(hash, principal, token_bytes + ENTRY_BYTES, self.generation_bytes_max);
        self.show(&generations);
    }

    /// Forgets one token.
    pub(super) fn remove(&self, hash: &Hash) {
        let mut generations = self.lock();
        if let Some((_, bytes)) = generations.young.remove(hash) {
            generations.young_bytes -= bytes;
        }
        generations.old.remove(hash);
        self.show(&generations);
    }

    /// The principal of a token seen before; the caller checks that it still stands.
    pub(super) fn find(&self, hash: &Hash) -> Option<Arc<Principal>> {
        let mut generations = self.lock();
        if let Some((principal, _)) = generations.young.get(hash) {
            return Some(Arc::clone(principal));
        }
        let (principal, bytes) = generations.old.remove(hash)?;
        generations.put(*hash, Arc::clone(&principal), bytes, self.generation_bytes_max);
        Some(principal)
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, generations: &Generations) {
        self.entries.set(i64::try_from(generations.young.len() + generations.old.len()).unwrap_or(i64::MAX));
    }
}

impl Generations {
    fn put(&mut self, hash: Hash, principal: Arc<Principal>, bytes: usize, bytes_max: usize) {
        if self.young_bytes + bytes > bytes_max {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.old.remove(&hash);
        match self.young.insert(hash, (principal, bytes)) {
            None => self.young_bytes += bytes,
            Some((_, before)) => self.young_bytes = self.young_bytes + bytes - before,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{TokenCache, hash};
    use crate::auth::principal::Principal;
    use crate::telemetry::Registry;

    fn cache(entries_per_generation: usize) -> TokenCache {
        let gauge = Registry::new().gauge("entries", "Entries.");
        TokenCache { generation_bytes_max: entries_per_generation * 612, ..TokenCache::new(gauge) }
    }

    fn insert(cache: &TokenCache, token: &str) {
        cache.insert(hash(token), Arc::new(Principal::of_api_key(token, "k", [0; 32], None)), 100);
    }

    #[test]
    fn the_cache_holds_at_most_two_generations() {
        let cache = cache(10);
        for number in 0..1_000 {
            insert(&cache, &format!("t{number}"));
            assert!(cache.entries.get() <= 20);
        }
        assert!(cache.find(&hash("t999")).is_some());
        assert!(cache.find(&hash("t0")).is_none());
    }

    #[test]
    fn what_is_used_stays() {
        let cache = cache(10);
        insert(&cache, "used");
        for number in 0..100 {
            insert(&cache, &format!("t{number}"));
            assert_eq!(cache.find(&hash("used")).unwrap().id(), "used");
        }
    }

    #[test]
    fn a_removed_token_is_forgotten() {
        let cache = cache(10);
        insert(&cache, "a");
        insert(&cache, "a");
        cache.remove(&hash("a"));
        assert!(cache.find(&hash("a")).is_none());
        assert_eq!(cache.entries.get(), 0);
        assert_eq!(cache.lock().young_bytes, 0);
    }
}
