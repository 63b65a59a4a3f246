//! The handle other rooms hold: credentials in, principals and decisions out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::watch;

use super::jwks::{self, Keys, Location, Remote};
use super::jws::Unverified;
use super::metrics::Metrics;
use super::policy::Policy;
use super::principal::Origin;
use super::ticket::{TicketKey, UsedTickets};
use super::{
    Access, Config, Error, GrantView, Object, Operation, Principal, Refusal, SetupError, Ticket, api_key,
    certificate, claims, strict_json, token_cache,
};
use crate::event::{Clock, Timestamp, Topic};
use crate::telemetry::Registry;

/// What a caller shows to be let in.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// A JWT.
    Bearer(&'a str),
    /// An API key, `wg_<id>_<secret>`.
    ApiKey(&'a str),
    /// A ticket of [`Authenticator::issue_ticket`].
    Ticket(&'a str),
    /// A client certificate in DER that the TLS side has verified.
    Certificate(&'a [u8]),
}

impl Credential<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Bearer(_) => "bearer",
            Self::ApiKey(_) => "api_key",
            Self::Ticket(_) => "ticket",
            Self::Certificate(_) => "certificate",
        }
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind())
    }
}

/// Checks credentials and decides. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Authenticator(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    metrics: Metrics,
    policy: ArcSwap<Policy>,
    changes: watch::Sender<u64>,
    process_key: TicketKey,
    used_tickets: UsedTickets,
    /// Guards a replacement of the policy, and keeps the client for key sets once there is one.
    replacing: Mutex<Option<reqwest::Client>>,
}

impl Authenticator {
    /// An authenticator for this configuration.
    ///
    /// # Errors
    /// When development mode has no key, the key set client cannot be built, or there is no randomness.
    pub fn build(config: &Config, clock: Clock, registry: &Registry) -> Result<Self, SetupError> {
        let metrics = Metrics::register(registry);
        let changes = watch::Sender::new(0);
        let process_key = TicketKey::random().map_err(SetupError::Random)?;
        let mut client = None;
        let policy = Policy::build(
            1,
            config,
            &process_key,
            metrics.token_cache_entries.clone(),
            |issuer, location| remote(issuer, location, &mut client, &clock, &metrics, &changes),
        )?;
        Ok(Self(Arc::new(Shared {
            used_tickets: UsedTickets::new(metrics.tickets_used_entries.clone()),
            clock,
            metrics,
            policy: ArcSwap::from_pointee(policy),
            changes,
            process_key,
            replacing: Mutex::new(client),
        })))
    }

    /// Puts a new configuration in force at once; principals are judged by it from their next decision on.
    ///
    /// # Errors
    /// As [`Authenticator::build`]; the old configuration then stays in force.
    pub fn replace(&self, config: &Config) -> Result<(), SetupError> {
        let shared = &self.0;
        let mut client = shared.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = shared.policy.load_full();
        let policy = Policy::build(
            old.version() + 1,
            config,
            &shared.process_key,
            shared.metrics.token_cache_entries.clone(),
            |issuer, location| match kept(&old, issuer, location) {
                Some(keys) => Ok(keys),
                None => {
                    remote(issuer, location, &mut client, &shared.clock, &shared.metrics, &shared.changes)
                }
            },
        )?;
        shared.policy.store(Arc::new(policy));
        shared.changes.send_modify(|tick| *tick += 1);
        Ok(())
    }

    /// Fetches the keys of issuers where none were fetched yet, so that the log tells early of those that cannot be. Takes
    /// a few seconds at most.
    pub async fn fetch_keys(&self) {
        let policy = self.0.policy.load_full();
        let remotes = policy.issuers().filter_map(|trusted| match &trusted.keys {
            Keys::Remote(remote) => Some(Arc::clone(remote)),
            Keys::Fixed(_) => None,
        });
        futures_util::future::join_all(remotes.map(Remote::fetch_first)).await;
    }

    /// The principal behind a credential. Verified tokens are remembered by their hash until they expire.
    ///
    /// # Errors
    /// When the credential is refused, or cannot be checked at the moment.
    pub async fn authenticate(&self, credential: Credential<'_>) -> Result<Arc<Principal>, Error> {
        let policy = self.0.policy.load_full();
        let now = self.0.clock.now();
        let result = match credential {
            Credential::Bearer("")
            | Credential::ApiKey("")
            | Credential::Ticket("")
            | Credential::Certificate([]) => Err(Error::BadCredential { problem: "is empty" }),
            Credential::Bearer(token) => self.check_token(&policy, token, now).await,
            Credential::ApiKey(key) => check_api_key(&policy, key, now),
            Credential::Ticket(ticket) => self.check_ticket(&policy, ticket, now),
            Credential::Certificate(der) => check_certificate(&policy, der, now),
        };
        self.0.metrics.attempts.with_label_values(&[credential.kind(), outcome(&result)]).inc();
        result
    }

    /// A ticket that stands for the principal once, on any gateway with the same key.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when the principal itself came by a ticket; [`Error::TokenExpired`] when its own time is
    /// over.
    pub fn issue_ticket(&self, principal: &Arc<Principal>) -> Result<Ticket, Error> {
        let policy = self.0.policy.load();
        if principal.is_by_ticket {
            return Err(Error::Forbidden);
        }
        let now = self.0.clock.now();
        let ttl_ms = i64::try_from(policy.ticket_ttl.as_millis()).unwrap_or(i64::MAX);
        let until = now.plus_millis(ttl_ms);
        let until = principal.expires_at().map_or(until, |end| until.min(end));
        let left_ms = u64::try_from(until.millis().saturating_sub(now.millis())).unwrap_or(0);
        if left_ms == 0 {
            return Err(Error::TokenExpired);
        }
        let text = policy.ticket_key.issue(principal, &policy.claims, until)?;
        self.0.metrics.tickets_issued.inc();
        Ok(Ticket { text, expires_in: std::time::Duration::from_millis(left_ms) })
    }

    /// Whether the principal may do `operation` on `object`, and which rows it may see. [`Object::Nothing`] asks
    /// whether it may do so on anything.
    ///
    /// # Errors
    /// [`Error::Forbidden`], whether the object exists or not.
    pub fn authorize(
        &self,
        principal: &Principal,
        operation: Operation,
        object: Object<'_>,
    ) -> Result<Access, Error> {
        let decision = self.0.policy.load().rights(principal).decide(operation, object);
        if decision.is_err() {
            self.0.metrics.denials.with_label_values(&[operation.as_str()]).inc();
        }
        decision
    }

    /// Whether the principal may do `operation` on anything at all.
    #[must_use]
    pub fn allows_any(&self, principal: &Principal, operation: Operation) -> bool {
        self.0.policy.load().rights(principal).allow_any(operation)
    }

    /// The source an event of the principal carries on `topic`: the given one if allowed; else the first
    /// literal among the sources of the grants for that topic, else the principal's id. A grant without sources
    /// allows the principal's id only.
    ///
    /// # Errors
    /// [`Error::SourceNotAllowed`], or [`Error::Forbidden`] where the principal may not publish to the topic.
    pub fn source_for(
        &self,
        principal: &Principal,
        topic: &Topic,
        given: Option<&str>,
    ) -> Result<String, Error> {
        self.0.policy.load().rights(principal).source(principal.id(), topic, given)
    }

    /// The principal's own grants.
    #[must_use]
    pub fn grants_of(&self, principal: &Principal) -> Vec<GrantView> {
        self.0.policy.load().rights(principal).views()
    }

    /// Whether the credential behind the principal still stands: for connections that outlive the request.
    ///
    /// # Errors
    /// [`Error::TokenExpired`] (leeway granted), or [`Error::Revoked`] when the key or issuer was withdrawn.
    pub fn recheck(&self, principal: &Principal) -> Result<(), Error> {
        if !self.0.policy.load().honours(&principal.origin) {
            return Err(Error::Revoked);
        }
        if is_over(principal, self.0.clock.now()) { Err(Error::TokenExpired) } else { Ok(()) }
    }

    /// Ticks when grants, keys or issuers changed; connections then ask [`Authenticator::recheck`] and
    /// [`Authenticator::authorize`] again.
    #[must_use]
    pub fn policy_changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    async fn check_token(
        &self,
        policy: &Policy,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<Principal>, Error> {
        Unverified::check_length(token).map_err(Error::TokenInvalid)?;
        let hash = token_cache::hash(token);
        if let Some(principal) = policy.tokens.find(&hash) {
            if is_over(&principal, now) {
                policy.tokens.remove(&hash);
                return Err(Error::TokenExpired);
            }
            if is_key_still_held(policy, &principal).await? {
                self.0.metrics.token_cache_hits.inc();
                return Ok(principal);
            }
            policy.tokens.remove(&hash);
        }
        self.0.metrics.token_cache_misses.inc();
        let principal = Arc::new(verify_token(policy, token, now).await?);
        policy.tokens.insert(hash, Arc::clone(&principal), token.len());
        Ok(principal)
    }

    fn check_ticket(&self, policy: &Policy, text: &str, now: Timestamp) -> Result<Arc<Principal>, Error> {
        let stamp = policy.ticket_key.read(text, |id| policy.api_key(id).map(|holder| holder.sha256))?;
        if now >= stamp.until || is_over(&stamp.principal, now) {
            return Err(Error::TokenExpired);
        }
        if !policy.honours(&stamp.principal.origin) {
            return Err(Error::Revoked);
        }
        self.0.used_tickets.take(stamp.nonce, stamp.until, now)?;
        Ok(Arc::new(stamp.principal))
    }
}

/// The whole way of a token that is not remembered. The issuer is only looked up before the signature is checked;
/// everything else the claims say is believed after it.
async fn verify_token(policy: &Policy, token: &str, now: Timestamp) -> Result<Principal, Error> {
    let unverified = Unverified::parse(token).map_err(Error::TokenInvalid)?;
    unverified.check_type().map_err(Error::TokenInvalid)?;
    let claims = strict_json::object(&unverified.payload).ok_or(Error::TokenInvalid(Refusal::Malformed))?;
    let issuer = claims.get("iss").and_then(Value::as_str).and_then(|name| policy.issuer(name));
    let issuer = issuer.ok_or(Error::TokenInvalid(Refusal::Issuer))?;
    if !issuer.rules.algorithms.contains(&unverified.algorithm) {
        return Err(Error::TokenInvalid(Refusal::Algorithm));
    }
    let key = issuer.keys.find(unverified.kid.as_deref(), unverified.algorithm).await?;
    unverified.verify(&key).map_err(Error::TokenInvalid)?;
    let identity = issuer.rules.check(&claims, now)?;
    Ok(Principal::of_token(identity, claims, Arc::clone(&issuer.name), key.fingerprint()))
}

async fn is_key_still_held(policy: &Policy, principal: &Principal) -> Result<bool, Error> {
    match &principal.origin {
        Origin::ApiKey { .. } | Origin::Certificate { .. } => Ok(true),
        Origin::Token { issuer, key } => match policy.issuer(issuer) {
            None => Ok(false),
            Some(trusted) => trusted.keys.still_hold(*key).await,
        },
    }
}

fn check_api_key(policy: &Policy, key: &str, now: Timestamp) -> Result<Arc<Principal>, Error> {
    let holder = api_key::id_of(key).and_then(|id| policy.api_key(id));
    let is_right = api_key::is_right(key, holder.map(|holder| &holder.sha256));
    match holder.filter(|_| is_right) {
        Some(holder) if !is_over(&holder.principal, now) => Ok(Arc::clone(&holder.principal)),
        _ => Err(Error::Unauthenticated),
    }
}

/// The holder of a certificate, remembered like a token so that its rights are picked once.
fn check_certificate(policy: &Policy, der: &[u8], now: Timestamp) -> Result<Arc<Principal>, Error> {
    let hash = token_cache::hash(der);
    let principal = match policy.tokens.find(&hash) {
        Some(principal) => principal,
        None => {
            let holder = certificate::read(der).ok_or(Error::TokenInvalid(Refusal::Certificate))?;
            let principal = Arc::new(Principal::of_certificate(&policy.certificate_prefix, &holder));
            policy.tokens.insert(hash, Arc::clone(&principal), der.len());
            principal
        }
    };
    if is_over(&principal, now) { Err(Error::TokenExpired) } else { Ok(principal) }
}

/// A token has its leeway; an API key and a certificate end at their end.
fn is_over(principal: &Principal, now: Timestamp) -> bool {
    principal.expires_at().is_some_and(|end| match principal.origin {
        Origin::ApiKey { .. } | Origin::Certificate { .. } => now >= end,
        Origin::Token { .. } => claims::is_over(end, now),
    })
}

/// The keys of the same issuer at the same place, with what was fetched.
fn kept(old: &Policy, issuer: &str, location: &Location) -> Option<Keys> {
    old.issuers().find_map(|trusted| match &trusted.keys {
        Keys::Remote(remote) if remote.serves(issuer, location) => Some(trusted.keys.clone()),
        Keys::Remote(_) | Keys::Fixed(_) => None,
    })
}

fn remote(
    issuer: &str,
    location: &Location,
    client: &mut Option<reqwest::Client>,
    clock: &Clock,
    metrics: &Metrics,
    changes: &watch::Sender<u64>,
) -> Result<Keys, SetupError> {
    let client = match client {
        Some(client) => client.clone(),
        None => client.insert(jwks::client().map_err(SetupError::Client)?).clone(),
    };
    let remote =
        Remote::new(issuer, location.clone(), client, clock.clone(), metrics.clone(), changes.clone());
    Ok(Keys::Remote(Arc::new(remote)))
}

fn outcome(result: &Result<Arc<Principal>, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Error::TokenExpired) => "expired",
        Err(Error::KeysUnavailable | Error::Unavailable) => "unavailable",
        Err(
            Error::BadCredential { .. }
            | Error::Unauthenticated
            | Error::TokenInvalid(_)
            | Error::Revoked
            | Error::Forbidden
            | Error::SourceNotAllowed { .. },
        ) => "refused",
    }
}
