//! Sessions over real rooms and the embedded log, spoken to by a bare WebSocket client over a pipe in memory.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

/// Events to an audience: subscribe, resume, filter, rights that change.
mod broadcast;
/// The contract is a valid AsyncAPI document.
mod contract;
/// A pipe that cannot be written any more.
mod deafening;
/// Leaving in good order.
mod drain;
/// The log of these tests.
#[path = "../delivery/engine.rs"]
#[expect(dead_code, reason = "the other binary uses more of it")]
mod engine;
/// Work shared by a group: settle, adopt, credit.
mod groups;
/// Clients that break the rules, or say nothing.
mod hostile;
/// What a connection costs.
mod memory;
/// Publishing over the socket.
mod publish;
/// What the gateway of these tests is configured with.
mod setup;
/// The gateway and the client of these tests.
mod support;
/// Waiting for what comes true by and by.
#[path = "../integration/harness/waiting.rs"]
mod waiting;
