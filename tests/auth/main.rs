//! Who gets in: attacks on tokens, key sets that fail, grants, tickets and revocation, through the door of `auth`.
//!
//! - `tokens`: the catalogue of hostile tokens
//! - `key_sets`: rotation, outage and abuse of a JWKS URL
//! - `grants`: what a principal may do, and tricks with names
//! - `tickets`: one-time stand-ins
//! - `revocation`: reloads, removed keys, expiry

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail, and indexes only JSON that it wrote itself"
)]

mod grants;
mod key_sets;
mod revocation;
mod support;
mod tickets;
mod tokens;
