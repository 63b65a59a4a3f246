//! Many letters sent back to their group, as a job that outlives its gateway: planned, run at a rate, cancelled, and told
//! of afterwards.
//!
//! ```text
//! begin ── book (the table of states) ── keeper ── run: read · pick · rate · redrive::send
//!                │  ▲                      │                    │
//!                │  └── position, counts, beat, every second ───┘
//!                └── a beat that stops, or an owner that leaves: the keeper of another gateway goes on
//! ```
//! A gateway that dies may send letters of its last second once more, where it had not marked them yet; it leaves none
//! out. What dies again lies behind the end that the job was given, so that no job goes on for ever. Behind that it looks
//! for what came of parked keys alone, for as long as they can be released: see [`tail`].

mod batch;
mod begin;
mod close;
mod handle;
mod job;
mod keeper;
mod pick;
mod plan;
mod run;
mod scope;
mod tail;

use crate::event::Topic;

use super::{DeadLetterFilter, DeadLetterId};

pub(super) use job::Job as RedriveJob;
pub(in crate::delivery) use keeper::keep;
pub(in crate::delivery) use tail::{Closing, closings};

pub use handle::RedrivePage;
pub use job::{Redrive, RedriveCounts, RedriveState};
pub use plan::RedrivePlan;

/// The most letters that can be named one by one.
const IDS_MAX: usize = 100;

/// Which letters are to be sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedriveOf {
    /// All that fit; of every state but the one the filter names only those that are open.
    Filter(DeadLetterFilter),
    /// These, at most 100; those that are held for a person too.
    Ids(Vec<DeadLetterId>),
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct RedriveOrder {
    /// Which letters.
    pub of: RedriveOf,
    /// The source topics whose letters may be touched.
    pub sources: Vec<Topic>,
    /// How many are sent back in a second; `None` for as many as can be.
    pub rate_per_second: Option<u32>,
    /// Who asks.
    pub by: String,
}
