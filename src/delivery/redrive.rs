//! The way of dead letters back to the group that failed, and to no other: through a topic that only it reads.
//!
//! ```text
//! dlq.{topic}.{group} ── send ── _weirgate.redrive.{group} ── the group's task ── members
//!                         │                                        │
//!     states: redriving, redriven                     resolved, open or held
//! ```
//! A record there is the letter's own, under the number of its source partition, so that what was in order stays so. Its
//! time is that of the append, since a letter's own may be older than anything is kept; that is a header.

mod pointer;
mod rank;
mod record;
mod send;

pub(super) use rank::{Rank, Ranked};
pub(super) use record::Redriven;
pub(super) use send::{Failure, Letter, Outcome, send};
