//! Groups over the embedded log: what members see, what the log keeps, what survives an end without goodbye.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod engine;
mod fault;
mod harness;
mod layered;
mod scripted;
#[path = "../integration/harness/waiting.rs"]
mod waiting;

/// Where a group begins in what comes back to it.
mod beginnings;
/// Parked keys with steady traffic, and how a redrive frees them.
mod closing;
/// Workers whose connections break.
mod crashing;
/// Groups that are deleted.
mod deletion;
/// A service that has drained.
mod ending;
/// What holds when what is known of dead letters takes all its room.
mod full;
/// Many dead letters sent back.
mod jobs;
/// Dead letters as people handle them.
mod letters;
/// Members that share, break, come back and go.
mod members;
/// Numbers that only the log and the tasks of groups know.
mod numbers;
/// Keys that are parked behind a dead event.
mod parking;
/// Partitions that are revoked, lost or have gaps.
mod rebalances;
/// Letters of events that die once more.
mod reborn;
/// The way of dead letters back to their group.
mod redrives;
/// Ranges that are delivered once more.
mod replays;
/// Offsets that are moved on purpose.
mod resets;
/// The order of letters on their way back.
mod returning;
/// Settlement, retries and dead letters as a member sees them.
mod settlement;
/// Groups that stand still, and how they go on.
mod standing;
/// What survives: commits, restarts, policies, drain.
mod survival;
/// Views of groups and lists of letters.
mod views;
