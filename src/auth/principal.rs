//! Who calls: a name, what the credential said, and which credential it was.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde_json::{Map, Value};

use super::certificate::Holder;
use super::claims::Identity;
use super::key_set::Fingerprint;
use super::rights::Rights;
use crate::event::Timestamp;

/// A caller whose credential was checked.
#[derive(Debug)]
pub struct Principal {
    id: Arc<str>,
    pub(super) roles: Vec<String>,
    pub(super) claims: Map<String, Value>,
    pub(super) origin: Origin,
    /// Whether a ticket stood for the credential.
    pub(super) is_by_ticket: bool,
    pub(super) expires_at: Option<Timestamp>,
    /// What the policy in force gives; compiled at the first decision and again when the policy changes.
    pub(super) rights: ArcSwapOption<Rights>,
}

/// The credential behind a principal, by which a change of policy can withdraw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    ApiKey { id: Arc<str>, sha256: [u8; 32] },
    Token { issuer: Arc<str>, key: Fingerprint },
    Certificate { prefix: Arc<str> },
}

impl Principal {
    pub(super) fn of_api_key(
        principal: &str,
        id: &str,
        sha256: [u8; 32],
        expires_at: Option<Timestamp>,
    ) -> Self {
        let origin = Origin::ApiKey { id: id.into(), sha256 };
        Self::new(principal, Vec::new(), Map::new(), origin, expires_at)
    }

    pub(super) fn of_certificate(prefix: &Arc<str>, holder: &Holder) -> Self {
        let origin = Origin::Certificate { prefix: Arc::clone(prefix) };
        let id = format!("{prefix}{}", holder.name);
        Self::new(&id, Vec::new(), Map::new(), origin, Some(holder.expires_at))
    }

    pub(super) fn of_token(
        identity: Identity,
        claims: Map<String, Value>,
        issuer: Arc<str>,
        key: Fingerprint,
    ) -> Self {
        let origin = Origin::Token { issuer, key };
        Self::new(&identity.principal, identity.roles, claims, origin, Some(identity.expires_at))
    }

    pub(super) fn new(
        id: &str,
        roles: Vec<String>,
        claims: Map<String, Value>,
        origin: Origin,
        expires_at: Option<Timestamp>,
    ) -> Self {
        Self {
            id: id.into(),
            roles,
            claims,
            origin,
            is_by_ticket: false,
            expires_at,
            rights: ArcSwapOption::empty(),
        }
    }

    /// The name grants, quotas and logs know the caller by: an issuer's prefix and `sub`, an API key's
    /// principal, or the prefix of certificates and the name in one.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same, to be kept.
    #[must_use]
    pub(crate) const fn shared_id(&self) -> &Arc<str> {
        &self.id
    }

    /// When the credential ends (a token's `exp`, leeway not added; a certificate's end); `None` where it has no end.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }
}
