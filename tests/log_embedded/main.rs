//! The embedded engine over restarts, damage, retention, compaction and its bounds.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod damage;
mod race;
mod registry;
mod restarts;
mod serving;
mod support;
mod upkeep;
