//! The registry of schemas: subjects, their versions, and ids that equal content shares, kept in a table of the log.
//!
//! Every change is decided by the table read to its end, by code that sees nothing else; gateways that change it at once
//! so decide one after another. What takes long, judging a text, happens before and is repeated when it turns out to
//! have been about something else.
//!
//! ```text
//! text ── admission (budgets, references, compiled) ── comparison with earlier versions ─┐ off the async threads
//! _weirgate.schemas ── read to its end ── change::register ── appended at that end ── id ┘
//!                 └─ reading: subjects, versions, schemas by id, who refers to whom
//! ```
//! `confluent` is the client of a registry elsewhere, which then stands in for this one.

mod admission;
mod change;
mod compatibility;
pub mod confluent;
mod content;
mod error;
mod handle;
mod history;
mod judges;
mod level;
mod live;
mod looks;
#[cfg(test)]
mod model;
mod reading;
mod rows;
mod writers;

pub use change::Force;
pub use content::{Content, Guid, Kind, Reference, Version};
pub use error::Error;
pub use handle::{Keeper, Registered, Registration, Registry};
pub use history::Difference;
pub use level::{Level, Mode, Policy, Settings};
pub use reading::{Deleted, Versioned, Which};
