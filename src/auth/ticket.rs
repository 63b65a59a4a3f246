//! Tickets: short-lived stand-ins for a credential, for clients that cannot send headers.
//!
//! A ticket carries the principal itself, signed with a key that all gateways share, so any of them takes it; each
//! remembers the tickets it took until their time is over and takes none twice. It is readable by whoever holds it,
//! so of the claims only those are in it that some grant looks at.
//!
//! ```text
//! base64url(stamp as JSON) . base64url(HMAC-SHA256(key, "weirgate-ticket-v1." + first part))
//! ```

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::key_set::Fingerprint;
use super::principal::{Origin, Principal};
use super::{Error, Refusal};
use crate::event::Timestamp;
use crate::telemetry::Gauge;

/// The longest ticket that is looked at; one bigger than this would not fit into a URL either.
const TICKET_BYTES_MAX: usize = 6 * 1024;
/// How many used tickets one gateway remembers; more in one ticket's time are refused.
const USED_MAX: usize = 100_000;
const LABEL: &[u8] = b"weirgate-ticket-v1.";

/// A ticket for one use.
#[derive(Clone)]
pub struct Ticket {
    /// What the client puts into the URL.
    pub text: String,
    /// How long it may be used.
    pub expires_in: Duration,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ticket").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// The key that tickets are signed with.
#[derive(Clone)]
pub(super) struct TicketKey(Vec<u8>);

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TicketKey")
    }
}

/// A ticket read and found genuine.
#[derive(Debug)]
pub(super) struct Stamp {
    pub(super) principal: Principal,
    pub(super) nonce: [u8; 16],
    pub(super) until: Timestamp,
}

/// What the signed part says.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    nonce: [u8; 16],
    until: i64,
    principal: String,
    roles: Vec<String>,
    claims: Map<String, Value>,
    expires: Option<i64>,
    origin: WrittenOrigin,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum WrittenOrigin {
    ApiKey { id: String, mark: String },
    Token { issuer: String, key: String },
    Certificate { prefix: String },
}

impl TicketKey {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// A key of this process alone.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = vec![0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Writes a ticket for the principal; of its claims only those named.
    pub(super) fn issue(
        &self,
        principal: &Principal,
        claims: &BTreeSet<String>,
        until: Timestamp,
    ) -> Result<String, Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|_| Error::Unavailable)?;
        let kept = principal.claims.iter().filter(|(name, _)| claims.contains(*name));
        let written = Written {
            nonce,
            until: until.millis(),
            principal: principal.id().to_owned(),
            roles: principal.roles.clone(),
            claims: kept.map(|(name, value)| (name.clone(), value.clone())).collect(),
            expires: principal.expires_at.map(Timestamp::millis),
            origin: self.write_origin(&principal.origin),
        };
        let json = serde_json::to_vec(&written).map_err(|_| Error::Unavailable)?;
        let stamp = URL_SAFE_NO_PAD.encode(json);
        let mac = self.mac(stamp.as_bytes()).finalize().into_bytes();
        let text = format!("{stamp}.{}", URL_SAFE_NO_PAD.encode(mac));
        if text.len() > TICKET_BYTES_MAX { Err(Error::TokenInvalid(Refusal::TooLong)) } else { Ok(text) }
    }

    /// Reads a ticket. `sha256_of` gives the hash of the API key with an id, where there is one.
    pub(super) fn read(
        &self,
        text: &str,
        sha256_of: impl FnOnce(&str) -> Option<[u8; 32]>,
    ) -> Result<Stamp, Error> {
        let malformed = || Error::TokenInvalid(Refusal::Malformed);
        if text.len() > TICKET_BYTES_MAX {
            return Err(Error::TokenInvalid(Refusal::TooLong));
        }
        let (stamp, mac) = text.split_once('.').ok_or_else(malformed)?;
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| malformed())?;
        self.mac(stamp.as_bytes()).verify_slice(&mac).map_err(|_| Error::TokenInvalid(Refusal::Signature))?;
        let json = URL_SAFE_NO_PAD.decode(stamp).map_err(|_| malformed())?;
        let written: Written = serde_json::from_slice(&json).map_err(|_| malformed())?;
        let origin = self.read_origin(written.origin, sha256_of)?;
        let expires_at = written.expires.map(Timestamp::from_millis);
        let mut principal =
            Principal::new(&written.principal, written.roles, written.claims, origin, expires_at);
        principal.is_by_ticket = true;
        Ok(Stamp { principal, nonce: written.nonce, until: Timestamp::from_millis(written.until) })
    }

    fn write_origin(&self, origin: &Origin) -> WrittenOrigin {
        match origin {
            Origin::ApiKey { id, sha256 } => {
                WrittenOrigin::ApiKey { id: id.as_ref().to_owned(), mark: self.mark(sha256) }
            }
            Origin::Certificate { prefix } => {
                WrittenOrigin::Certificate { prefix: prefix.as_ref().to_owned() }
            }
            Origin::Token { issuer, key } => WrittenOrigin::Token {
                issuer: issuer.as_ref().to_owned(),
                key: URL_SAFE_NO_PAD.encode(key.as_bytes()),
            },
        }
    }

    fn read_origin(
        &self,
        written: WrittenOrigin,
        sha256_of: impl FnOnce(&str) -> Option<[u8; 32]>,
    ) -> Result<Origin, Error> {
        match written {
            WrittenOrigin::ApiKey { id, mark } => {
                let sha256 =
                    sha256_of(&id).filter(|sha256| self.mark(sha256) == mark).ok_or(Error::Revoked)?;
                Ok(Origin::ApiKey { id: id.into(), sha256 })
            }
            WrittenOrigin::Certificate { prefix } => Ok(Origin::Certificate { prefix: prefix.into() }),
            WrittenOrigin::Token { issuer, key } => {
                let key = URL_SAFE_NO_PAD.decode(key).ok().and_then(|bytes| bytes.try_into().ok());
                let key = key.ok_or(Error::TokenInvalid(Refusal::Malformed))?;
                Ok(Origin::Token { issuer: issuer.into(), key: Fingerprint::from_bytes(key) })
            }
        }
    }

    /// Which API key this was, without its hash: whoever holds the ticket shall have nothing to try keys against.
    fn mark(&self, sha256: &[u8; 32]) -> String {
        let mac = self.mac(&[&b"mark."[..], sha256].concat()).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode(mac.get(..16).unwrap_or_default())
    }

    fn mac(&self, message: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of every length");
        mac.chain_update(LABEL).chain_update(message)
    }
}

/// The tickets this gateway took, until their time is over.
#[derive(Debug)]
pub(super) struct UsedTickets {
    entries_max: usize,
    entries: Gauge,
    /// Guards the set and the order in which its entries end.
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    nonces: HashSet<[u8; 16]>,
    endings: VecDeque<(Timestamp, [u8; 16])>,
}

impl UsedTickets {
    pub(super) fn new(entries: Gauge) -> Self {
        Self { entries_max: USED_MAX, entries, used: Mutex::default() }
    }

    /// Takes a ticket whose time is not over, once.
    pub(super) fn take(&self, nonce: [u8; 16], until: Timestamp, now: Timestamp) -> Result<(), Error> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // Roughly in the order of their ends: one that waits behind a later one only stays a little longer.
        while let Some((_, over)) = used.endings.pop_front_if(|(until, _)| *until <= now) {
            used.nonces.remove(&over);
        }
        if used.nonces.contains(&nonce) {
            return Err(Error::TokenInvalid(Refusal::Used));
        }
        if used.nonces.len() >= self.entries_max {
            return Err(Error::Unavailable);
        }
        used.nonces.insert(nonce);
        used.endings.push_back((until, nonce));
        self.entries.set(i64::try_from(used.nonces.len()).unwrap_or(i64::MAX));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::UsedTickets;
    use crate::auth::{Error, Refusal};
    use crate::event::Timestamp;
    use crate::telemetry::Registry;

    fn nonce(number: u8) -> [u8; 16] {
        [number; 16]
    }

    #[test]
    fn used_tickets_are_bounded_and_forgotten_when_over() {
        let at = Timestamp::from_millis;
        let gauge = Registry::new().gauge("used", "Used.");
        let used = UsedTickets { entries_max: 3, ..UsedTickets::new(gauge) };
        for number in 0..3 {
            assert_eq!(used.take(nonce(number), at(100), at(0)), Ok(()));
        }
        assert_eq!(used.take(nonce(0), at(100), at(99)), Err(Error::TokenInvalid(Refusal::Used)));
        assert_eq!(used.take(nonce(3), at(100), at(99)), Err(Error::Unavailable));
        assert_eq!(used.take(nonce(3), at(200), at(100)), Ok(()));
        assert_eq!(used.entries.get(), 1);
    }
}
