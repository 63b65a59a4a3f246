//! The words of the house: names, positions, records, the envelope and the borrowed JSON document.
//!
//! Everything that crosses a room's door is made of these types. This room parses and checks, once, at the
//! edge; it never does input or output, never reads a clock, and knows no other room.
//!
//! ```text
//! bytes ── json::Document (borrowed, duplicate members refused) ── Draft (envelope members found) ── Sealed (stored bytes)
//! ```

mod catalogue;
pub mod json;
mod name;
mod pattern;
mod position;
mod record;
mod timestamp;

pub use catalogue::{Catalogue, Enforcement, KeyRule, LiveCatalogue, Partitioner, Storage, TopicRule};
pub use name::{EventId, EventType, GroupName, NameError, Topic};
pub use pattern::Pattern;
pub use position::{Offset, Partition, Position};
pub use record::{HeaderName, Headers, Record};
pub use timestamp::{Clock, Timestamp, TimestampError};
