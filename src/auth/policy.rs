//! The configuration in force: issuers with their keys, API keys, grants. Replaced as a whole.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::claims::Rules;
use super::config::{ApiKey, Issuer, KeySource};
use super::grant::{Grant, RowRule};
use super::jwks::{Keys, Location};
use super::principal::{Origin, Principal};
use super::rights::Rights;
use super::ticket::TicketKey;
use super::token_cache::TokenCache;
use super::{Config, Mode, SetupError, dev};
use crate::telemetry::Gauge;

/// One policy.
#[derive(Debug)]
pub(super) struct Policy {
    version: u64,
    issuers: HashMap<String, Trusted>,
    api_keys: HashMap<String, Holder>,
    grants: Vec<Arc<Grant>>,
    /// The claims that some grant looks at; a ticket carries no others.
    pub(super) claims: BTreeSet<String>,
    /// Tokens verified under this policy; a new policy verifies anew.
    pub(super) tokens: TokenCache,
    /// What stands before the name in a client certificate.
    pub(super) certificate_prefix: Arc<str>,
    pub(super) ticket_key: TicketKey,
    pub(super) ticket_ttl: Duration,
}

/// An issuer and its keys.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) name: Arc<str>,
    pub(super) rules: Rules,
    pub(super) keys: Keys,
}

/// An API key and whom it stands for, made once so that its rights are picked once.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) sha256: [u8; 32],
    pub(super) principal: Arc<Principal>,
}

impl Policy {
    /// The policy of a configuration. `remote` gives the keys at a place, kept from the policy before where it can.
    pub(super) fn build(
        version: u64,
        config: &Config,
        process_key: &TicketKey,
        cache_entries: Gauge,
        mut remote: impl FnMut(&str, &Location) -> Result<Keys, SetupError>,
    ) -> Result<Self, SetupError> {
        let dev_key = match (config.mode, &config.dev_key) {
            (Mode::Required, _) => None,
            (Mode::Dev, Some(key)) => Some(key),
            (Mode::Dev, None) => return Err(SetupError::DevKeyMissing),
        };
        let mut trust = |issuer: &Issuer| {
            let name = issuer.rules.issuer.as_str();
            let keys = match &issuer.keys {
                KeySource::Fixed(set) => Keys::Fixed(Arc::new(set.clone())),
                KeySource::Remote(location) => remote(name, location)?,
            };
            Ok((name.to_owned(), Trusted { name: name.into(), rules: issuer.rules.clone(), keys }))
        };
        let dev_issuer = dev_key.map(dev::Key::issuer);
        let issuers = config.issuers.iter().chain(&dev_issuer).map(&mut trust).collect::<Result<_, _>>()?;
        let dev_grant = dev_key.map(|_| dev::grant());
        let grants: Vec<_> = config.grants.iter().cloned().chain(dev_grant).map(Arc::new).collect();
        Ok(Self {
            version,
            issuers,
            api_keys: config.api_keys.iter().map(|key| (key.id.clone(), Holder::new(key))).collect(),
            claims: grants.iter().flat_map(|grant| claims_of(grant)).collect(),
            grants,
            tokens: TokenCache::new(cache_entries),
            certificate_prefix: config.client_certificate_prefix.as_str().into(),
            ticket_key: config
                .ticket_key
                .as_ref()
                .map_or_else(|| process_key.clone(), |key| TicketKey::new(key.expose().as_bytes())),
            ticket_ttl: config.ticket_ttl,
        })
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn issuer(&self, name: &str) -> Option<&Trusted> {
        self.issuers.get(name)
    }

    pub(super) fn issuers(&self) -> impl Iterator<Item = &Trusted> {
        self.issuers.values()
    }

    pub(super) fn api_key(&self, id: &str) -> Option<&Holder> {
        self.api_keys.get(id)
    }

    /// Whether the credential behind a principal has not been withdrawn.
    pub(super) fn honours(&self, origin: &Origin) -> bool {
        match origin {
            Origin::ApiKey { id, sha256 } => self.api_key(id).is_some_and(|holder| holder.sha256 == *sha256),
            // The TLS side asks for certificates until a restart; only their naming can change.
            Origin::Certificate { prefix } => *prefix == self.certificate_prefix,
            Origin::Token { issuer, key } => {
                self.issuer(issuer).is_some_and(|trusted| !trusted.keys.have_withdrawn(*key))
            }
        }
    }

    /// What the principal may do, picked at its first decision under this policy.
    pub(super) fn rights(&self, principal: &Principal) -> Arc<Rights> {
        if let Some(rights) = principal.rights.load_full().filter(|rights| rights.version == self.version) {
            return rights;
        }
        let rights = Arc::new(Rights::pick(self.version, &self.grants, principal));
        principal.rights.store(Some(Arc::clone(&rights)));
        rights
    }
}

impl Holder {
    fn new(key: &ApiKey) -> Self {
        let principal = Principal::of_api_key(&key.principal, &key.id, key.sha256, key.expires_at);
        Self { sha256: key.sha256, principal: Arc::new(principal) }
    }
}

fn claims_of(grant: &Grant) -> Vec<String> {
    let filtered = grant.rows.as_ref().and_then(RowRule::claim);
    grant.selector.claims().chain(filtered).map(str::to_owned).collect()
}
