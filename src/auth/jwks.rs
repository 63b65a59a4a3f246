//! The keys of one issuer: fixed, or fetched from its JWKS URL and kept for a while.
//!
//! A set is fresh for `max_age`; then the next caller fetches a new one while others go on with the old. If that
//! fails the old set serves for `stale_max` more. An unknown `kid` may cause a fetch too. Whatever asks, there is one
//! fetch at a time and at most one per `cooldown`, so tokens cannot make this gateway hammer an issuer.
//!
//! ```text
//! fresh ──max_age──▶ due (one caller fetches, others use it) ──stale_max──▶ gone (KeysUnavailable)
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::key_set::{Fingerprint, KeySet, VerifyingKey};
use super::metrics::Metrics;
use super::{Error, Refusal};
use crate::event::{Clock, Timestamp};

/// The longest a fetch may take, from connecting to the last byte.
const FETCH_TIME_MAX: Duration = Duration::from_secs(2);
/// The largest key set that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How far the clock may step back before a set counts as due rather than fresh.
const STEP_BACK_MS: i64 = 60_000;

/// Where a key set is and how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) url: reqwest::Url,
    pub(super) max_age: Duration,
    pub(super) cooldown: Duration,
    pub(super) stale_max: Duration,
}

/// The keys of one issuer. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) enum Keys {
    Fixed(Arc<KeySet>),
    Remote(Arc<Remote>),
}

/// A key set that is fetched.
#[derive(Debug)]
pub(super) struct Remote {
    issuer: String,
    location: Location,
    client: reqwest::Client,
    clock: Clock,
    metrics: Metrics,
    policy: watch::Sender<u64>,
    held: ArcSwapOption<Held>,
    /// Held while fetching; guards the time of the last attempt.
    gate: Arc<Mutex<Option<Timestamp>>>,
    /// Whether the last fetch failed: what lasts is told once.
    is_failing: AtomicBool,
}

#[derive(Debug)]
struct Held {
    set: KeySet,
    fetched_at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the request failed")]
    Request(#[source] reqwest::Error),
    #[error("the answer took longer than 2 s")]
    Slow,
    #[error("the answer has status {0}")]
    Status(u16),
    #[error("the answer is larger than 64 KiB")]
    TooLarge,
    #[error(transparent)]
    KeySet(super::key_set::KeySetError),
    #[error("the key set holds shared secrets")]
    Secrets,
}

impl Keys {
    /// The key that a token with this `kid` and algorithm means.
    pub(super) async fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<VerifyingKey, Error> {
        let unknown = Error::TokenInvalid(Refusal::Key);
        match self {
            Self::Fixed(set) => set.find(kid, algorithm).cloned().ok_or(unknown),
            Self::Remote(remote) => {
                let seen = remote.current().await;
                if let Some(key) = seen.as_ref().and_then(|held| held.set.find(kid, algorithm)) {
                    return Ok(key.clone());
                }
                let renewed = remote.renew(seen).await.ok_or(Error::KeysUnavailable)?;
                renewed.set.find(kid, algorithm).cloned().ok_or(unknown)
            }
        }
    }

    /// Whether a key that once verified a token is still the issuer's.
    pub(super) async fn still_hold(&self, fingerprint: Fingerprint) -> Result<bool, Error> {
        match self {
            Self::Fixed(set) => Ok(set.contains(fingerprint)),
            Self::Remote(remote) => {
                let held = remote.current().await.ok_or(Error::KeysUnavailable)?;
                Ok(held.set.contains(fingerprint))
            }
        }
    }

    /// Whether the issuer is known to have withdrawn the key; a set not fetched yet tells nothing.
    pub(super) fn have_withdrawn(&self, fingerprint: Fingerprint) -> bool {
        match self {
            Self::Fixed(set) => !set.contains(fingerprint),
            Self::Remote(remote) => {
                remote.held.load().as_ref().is_some_and(|held| !held.set.contains(fingerprint))
            }
        }
    }
}

impl Remote {
    pub(super) fn new(
        issuer: &str,
        location: Location,
        client: reqwest::Client,
        clock: Clock,
        metrics: Metrics,
        policy: watch::Sender<u64>,
    ) -> Self {
        Self {
            issuer: issuer.to_owned(),
            location,
            client,
            clock,
            metrics,
            policy,
            held: ArcSwapOption::empty(),
            gate: Arc::default(),
            is_failing: AtomicBool::new(false),
        }
    }

    /// Whether this is the set of the same issuer at the same place, so that a reload may keep it.
    pub(super) fn serves(&self, issuer: &str, location: &Location) -> bool {
        self.issuer == issuer && self.location == *location
    }

    /// Fetches the set where nobody has tried yet. A failure here starts no cooldown: issuers and gateways are often
    /// started together, and the first token shall not suffer for it.
    pub(super) async fn fetch_first(self: Arc<Self>) {
        let gate = Arc::clone(&self.gate).lock_owned().await;
        if gate.is_none() && self.held.load().is_none() {
            self.fetch_and_hold(gate).await;
        }
    }

    /// The set in force, renewed when due.
    async fn current(self: &Arc<Self>) -> Option<Arc<Held>> {
        let held = self.held.load_full();
        match &held {
            Some(set) if self.age_of(set) < self.location.max_age => held,
            // Somebody else is fetching: the old set serves meanwhile.
            Some(_) if self.gate.try_lock().is_err() && self.usable().is_some() => self.usable(),
            _ => self.renew(held).await,
        }
    }

    /// The set in force after a fetch, if one is allowed and nobody made it since `seen`.
    async fn renew(self: &Arc<Self>, seen: Option<Arc<Held>>) -> Option<Arc<Held>> {
        let mut gate = Arc::clone(&self.gate).lock_owned().await;
        let is_news = match (self.held.load_full(), seen) {
            (Some(held), Some(seen)) => !Arc::ptr_eq(&held, &seen),
            (held, _) => held.is_some(),
        };
        let now = self.clock.now();
        let is_cooling = gate.is_some_and(|last| elapsed(last, now) < self.location.cooldown);
        if is_news || is_cooling {
            return self.usable();
        }
        *gate = Some(now);
        // A task of its own, ended by its time limit: a caller that goes away must not take the one allowed fetch
        // with it.
        let fetch = tokio::spawn(Arc::clone(self).fetch_and_hold(gate));
        if fetch.await.is_err() {
            tracing::error!(issuer = self.issuer, "the fetch of a key set ended early");
        }
        self.usable()
    }

    async fn fetch_and_hold(self: Arc<Self>, gate: OwnedMutexGuard<Option<Timestamp>>) {
        let result =
            tokio::time::timeout(FETCH_TIME_MAX, self.fetch()).await.unwrap_or(Err(FetchError::Slow));
        let outcome = if result.is_ok() { "ok" } else { "failed" };
        self.metrics.jwks_fetches.with_label_values(&[self.issuer.as_str(), outcome]).inc();
        match result {
            Ok(set) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(issuer = self.issuer, "the issuer's key set can be fetched again");
                }
                let held = Arc::new(Held { set, fetched_at: self.clock.now() });
                let old = self.held.swap(Some(Arc::clone(&held)));
                if old.is_some_and(|old| !old.set.is_within(&held.set)) {
                    tracing::info!(issuer = self.issuer, "the issuer withdrew a key");
                    self.policy.send_modify(|version| *version += 1);
                }
            }
            Err(error) => self.tell_failure(&error),
        }
        drop(gate);
    }

    fn tell_failure(&self, error: &FetchError) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        if self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(issuer = self.issuer, %error, cause, "still cannot fetch the issuer's key set");
        } else {
            tracing::warn!(
                issuer = self.issuer,
                %error,
                cause,
                "cannot fetch the issuer's key set; without one its tokens are answered 503"
            );
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let request = self.client.get(self.location.url.clone()).header("accept", "application/json");
        let mut answer = request.send().await.map_err(FetchError::Request)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(FetchError::Request)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let set = KeySet::parse(&body).map_err(FetchError::KeySet)?;
        if set.has_secrets() { Err(FetchError::Secrets) } else { Ok(set) }
    }

    /// The set held, while it is fresh or within its stale window.
    fn usable(&self) -> Option<Arc<Held>> {
        let age_max = self.location.max_age + self.location.stale_max;
        self.held.load_full().filter(|held| self.age_of(held) < age_max)
    }

    fn age_of(&self, held: &Held) -> Duration {
        elapsed(held.fetched_at, self.clock.now())
    }
}

/// The client for all key sets: no redirects, no proxies, no connection kept (callers' runtimes come and go).
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()
}

/// A step back of the clock counts as no time when small, as all the time in the world when not.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    let millis = now.millis().saturating_sub(since.millis());
    if millis < -STEP_BACK_MS { Duration::MAX } else { Duration::from_millis(millis.try_into().unwrap_or(0)) }
}
