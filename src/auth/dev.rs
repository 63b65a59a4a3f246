//! Development mode: the issuer `weirgate-dev`, its key and its tokens. Loopback only.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use super::SetupError;
use crate::event::Timestamp;

/// The name of the development issuer.
pub const ISSUER: &str = "weirgate-dev";
/// The role that may do everything in development mode.
pub const ROLE: &str = "developer";

/// The signing key of the development issuer.
#[derive(Debug, Clone)]
pub struct Key(super::Secret);

impl Key {
    /// The key in this data directory, made (mode 0600) when there is none. Blocks on the file system.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds no key.
    pub fn load_or_create(data_directory: &Path) -> Result<Self, SetupError> {
        let _ = data_directory;
        unimplemented!()
    }

    /// A signed token for `sub` with these roles and further claims.
    ///
    /// # Errors
    /// When signing fails.
    pub fn mint(
        &self,
        sub: &str,
        roles: &[String],
        claims: &Map<String, Value>,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<String, SetupError> {
        let _ = (sub, roles, claims, ttl, now);
        unimplemented!()
    }

    /// The token that `weirgate dev` prints: principal `dev`, every operation on `**`, `dlq.**` and all groups.
    ///
    /// # Errors
    /// When signing fails.
    pub fn dev_token(&self, now: Timestamp) -> Result<String, SetupError> {
        let _ = now;
        unimplemented!()
    }
}

/// Refuses a listen address that others could reach.
///
/// # Errors
/// When the address is not loopback.
pub fn check_listen(address: SocketAddr) -> Result<(), SetupError> {
    if address.ip().to_canonical().is_loopback() { Ok(()) } else { Err(SetupError::NotLoopback(address)) }
}
