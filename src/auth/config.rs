//! The checked configuration of the room.

use std::time::Duration;

use super::claims::Rules;
use super::grant::Grant;
use super::jwks::Location;
use super::key_set::KeySet;
use super::{Secret, dev};
use crate::event::Timestamp;

/// How callers are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every caller brings a credential of a configured issuer or key.
    Required,
    /// As `Required`, plus the issuer `weirgate-dev`; on loopback only.
    Dev,
}

/// The room's configuration; made by [`super::RawConfig::check`].
#[derive(Debug, Clone)]
pub struct Config {
    /// How callers are told apart.
    pub mode: Mode,
    /// The key of the issuer `weirgate-dev`; set by the app in development mode, unused otherwise.
    pub dev_key: Option<dev::Key>,
    pub(super) issuers: Vec<Issuer>,
    pub(super) api_keys: Vec<ApiKey>,
    /// What stands before the name in a client certificate to make its principal.
    pub(super) client_certificate_prefix: String,
    pub(super) ticket_key: Option<Secret>,
    pub(super) ticket_ttl: Duration,
    pub(super) grants: Vec<Grant>,
}

/// An issuer whose tokens are taken.
#[derive(Debug, Clone)]
pub(super) struct Issuer {
    pub(super) rules: Rules,
    pub(super) keys: KeySource,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone)]
pub(super) enum KeySource {
    Fixed(KeySet),
    Remote(Location),
}

/// An API key by its hash.
#[derive(Debug, Clone)]
pub(super) struct ApiKey {
    pub(super) id: String,
    pub(super) principal: String,
    pub(super) sha256: [u8; 32],
    pub(super) expires_at: Option<Timestamp>,
}
