//! Replays: a bounded range of a group's topics is delivered to it once more, beside what it does, its offsets left alone.
//!
//! ```text
//! waiting ── a gateway with members takes it ── running ── all is settled ── done
//!    └──────── it has gone, or has no more members ──┘ └── cancelled, failed
//! ```
//! The job says what is left of each partition, and what a commit would say beside an offset. The group's task on the
//! gateway that has it reads the range and hands it to the machine as further partitions (`owner::replays`). A gateway
//! that dies has what it delivered in its last second delivered once more.

mod handle;
mod job;
mod plan;
mod sweep;
mod told;

use serde_json::Value;

use crate::event::Topic;

use super::ResetTo;

pub use handle::ReplayPage;
pub use plan::{ReplayPlan, ReplayRange};
pub use told::{Replay, ReplayCounts, ReplayState};

pub(super) use job::{Job, Part};
pub(super) use sweep::sweep;

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct ReplayOrder {
    /// The first event.
    pub from: ResetTo,
    /// The first one that is not meant; `None` for where the partitions end now.
    pub to: Option<ResetTo>,
    /// The topics of the group whose events are meant.
    pub topics: Vec<Topic>,
    /// Which events are meant, as for a subscription; `None` for all.
    pub filter: Option<Value>,
    /// How many are handed to members in a second; `None` for as many as they take.
    pub rate_per_second: Option<u32>,
    /// Who asks.
    pub by: String,
}
