//! Who calls, and what they may do: principals, credentials, grants, decisions.
//!
//! Every credential is checked here and nowhere else; every decision denies unless a grant allows. The room
//! answers with a principal or an access and never with a reason that tells whether an object exists. It keeps
//! no secret it can avoid: API keys are known by their hash, tokens only while they are checked.
//!
//! ```text
//! Bearer  ── cache by hash ── strict JWT (header, issuer, key, signature, claims) ──┐
//! ApiKey  ── hash, constant-time compare ───────────────────────────────────────────┼── Principal
//! Cert    ── verified by TLS ── its name and end ───────────────────────────────────┤
//! Ticket  ── HMAC, time, used once ─────────────────────────────────────────────────┘
//! Principal + Operation + Object ── rights (grants that select it, compiled once) ── Access | Forbidden
//! ```

mod access;
pub mod api_key;
mod authenticator;
mod certificate;
mod check;
mod claims;
mod config;
pub mod dev;
mod error;
mod grant;
mod jwks;
mod jws;
mod key_set;
mod metrics;
mod policy;
mod principal;
mod raw;
mod rights;
mod secret;
mod strict_json;
mod ticket;
mod token_cache;

pub use access::{Access, GrantView, KeyFilter, Object, Operation, Rows};
pub use authenticator::{Authenticator, Credential};
pub use config::{Config, Mode};
pub use error::{Error, Refusal, SetupError};
pub use principal::Principal;
pub use raw::{RawApiKey, RawConfig, RawGrant, RawIssuer, RawMode, RawScalar};
pub use secret::Secret;
pub use ticket::Ticket;
