//! A subscriber's session over WebSocket (subprotocol `weirgate.v1`), from the 101 to the close frame.
//!
//! The room `http` checks the upgrade with the pure helpers of [`handshake`] and hands the stream over;
//! from then on this room owns the connection: hello, subscriptions, settlements, publishing, pings, drain. It does
//! not know how records are stored or shared; it moves finished frames. Decisions are made by a pure machine.
//!
//! ```text
//! stream ── wire (tungstenite) ── machine (input in, actions out) ── jobs (subscribe, settle, publish …)
//!                 └──────────────── control first, then frames of feed and delivery ──┘
//! ```

pub mod client;
mod command;
mod config;
#[cfg(test)]
mod contract;
pub mod handshake;
mod identity;
mod job;
mod machine;
mod metrics;
mod place;
mod push;
mod session;
mod sessions;
mod source;
mod wire;

pub use config::Config;
pub use handshake::Handshake;
pub use sessions::{Parts, Sessions};
