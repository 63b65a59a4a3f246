//! The real gateway on port 0 over the embedded log in a directory of its own, asked over the wire.
//!
//! - `elsewhere`: a gateway that judges by the registry of another one.
//! - `engine`: the log that gateways run on.
//! - `formats`: topics whose records name the schema of their data, read as JSON.
//! - `formats_protobuf`: the same in Protobuf.
//! - `harness`: starts gateways, speaks HTTP and WebSocket to them, waits for conditions.
//! - `quarantine`: refused events that are kept.
//! - `reload`: what another reading of the configuration changes, keeps and refuses.
//! - `story`: the shop's story end to end, as the README tells it.
//! - `restart`: kill -9 and SIGTERM of the real binary: nothing lost, groups and cursors go on.
//! - `suites`: the suites of JSON and JSON Schema through the publish path.
//! - `tls`: the commands of clients against a gateway that serves TLS.
//! - `watching`: alerts and dashboard against what gateways expose.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod elsewhere;
mod engine;
mod formats;
mod formats_protobuf;
mod harness;
mod quarantine;
mod reload;
mod restart;
mod story;
mod suites;
mod tls;
mod watching;
