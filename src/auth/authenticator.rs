//! The handle other rooms hold: credentials in, principals and decisions out.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Access, Config, Error, GrantView, Object, Operation, Principal, SetupError, Ticket};
use crate::event::{Clock, Topic};
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
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Bearer(_) => "Bearer",
            Self::ApiKey(_) => "ApiKey",
            Self::Ticket(_) => "Ticket",
        })
    }
}

/// Checks credentials and decides. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Authenticator {}

impl Authenticator {
    /// An authenticator for this configuration.
    ///
    /// # Errors
    /// When development mode has no key, or the key set client cannot be built.
    pub fn build(config: &Config, clock: Clock, registry: &Registry) -> Result<Self, SetupError> {
        let _ = (config, clock, registry);
        unimplemented!()
    }

    /// Puts a new configuration in force at once; principals are judged by it from their next decision on.
    ///
    /// # Errors
    /// As [`Authenticator::build`]; the old configuration then stays in force.
    pub fn replace(&self, config: &Config) -> Result<(), SetupError> {
        let _ = config;
        unimplemented!()
    }

    /// The principal behind a credential. Verified tokens are remembered by their hash until they expire.
    ///
    /// # Errors
    /// When the credential is refused, or cannot be checked at the moment.
    #[expect(clippy::unused_async, reason = "the door first")]
    pub async fn authenticate(&self, credential: Credential<'_>) -> Result<Arc<Principal>, Error> {
        let _ = credential;
        unimplemented!()
    }

    /// A ticket that stands for the principal once, on any gateway with the same key.
    ///
    /// # Errors
    /// [`Error::Forbidden`] when the principal itself came by a ticket.
    pub fn issue_ticket(&self, principal: &Arc<Principal>) -> Result<Ticket, Error> {
        let _ = principal;
        unimplemented!()
    }

    /// Whether the principal may do `operation` on `object`, and which rows it may see.
    ///
    /// # Errors
    /// [`Error::Forbidden`], whether the object exists or not.
    pub fn authorize(
        &self,
        principal: &Principal,
        operation: Operation,
        object: Object<'_>,
    ) -> Result<Access, Error> {
        let _ = (principal, operation, object);
        unimplemented!()
    }

    /// Whether the principal may do `operation` on anything at all.
    #[must_use]
    pub fn allows_any(&self, principal: &Principal, operation: Operation) -> bool {
        let _ = (principal, operation);
        unimplemented!()
    }

    /// The source an event of the principal carries on `topic`: the given one if allowed; else the first
    /// literal among the sources of the grants for that topic, else the principal's id.
    ///
    /// # Errors
    /// [`Error::SourceNotAllowed`], or [`Error::Forbidden`] where the principal may not publish to the topic.
    pub fn source_for(
        &self,
        principal: &Principal,
        topic: &Topic,
        given: Option<&str>,
    ) -> Result<String, Error> {
        let _ = (principal, topic, given);
        unimplemented!()
    }

    /// The principal's own grants.
    #[must_use]
    pub fn grants_of(&self, principal: &Principal) -> Vec<GrantView> {
        let _ = principal;
        unimplemented!()
    }

    /// Whether the credential behind the principal still stands: for connections that outlive the request.
    ///
    /// # Errors
    /// [`Error::TokenExpired`], or [`Error::Revoked`] when the key or issuer was withdrawn.
    pub fn recheck(&self, principal: &Principal) -> Result<(), Error> {
        let _ = principal;
        unimplemented!()
    }

    /// Ticks when grants, keys or issuers changed; connections then ask [`Authenticator::recheck`] and
    /// [`Authenticator::authorize`] again.
    #[must_use]
    pub fn policy_changes(&self) -> watch::Receiver<u64> {
        unimplemented!()
    }
}
