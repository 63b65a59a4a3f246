//! Work on a group that outlives its gateway: written down in the table of letters' states, run by one gateway at a time,
//! taken over by another when that one gives no sign any more, and told of afterwards.
//!
//! What a job does is its own: many letters that are sent back, a range that is delivered once more. This is what they
//! have in common.

mod book;
mod custody;
mod id;
mod rate;
mod signs;

pub use id::JobId;

pub(super) use book::{Book, Job, ended_prefix, entries};
pub(super) use custody::{Custody, Lost};
pub(super) use rate::{RATE_MAX, Rate};
pub(super) use signs::{LOOK_EVERY, Signs};
