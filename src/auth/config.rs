//! The checked configuration of the room.

use std::time::Duration;

use super::dev;

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
    /// How long a ticket may be used.
    pub ticket_ttl: Duration,
    /// The key of the issuer `weirgate-dev`; set by the app in development mode.
    pub dev_key: Option<dev::Key>,
}
