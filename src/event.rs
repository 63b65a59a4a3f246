//! The words of the house: names, positions, records, the envelope and the borrowed JSON document.
//!
//! Everything that crosses a room's door is made of these types. This room parses and checks, once, at the
//! edge; it never does input or output, never reads a clock, and knows no other room.
//!
//! ```text
//! bytes ── json::Document (borrowed, duplicate members refused) ── Draft (envelope members found) ── sealed (stored bytes)
//! Record ── RecordView (filters, key rules) ── write_members (what subscribers get)
//! ```

mod catalogue;
mod cursor;
mod encoding;
pub mod envelope;
mod filter;
pub mod json;
mod name;
mod partitioning;
mod pattern;
mod position;
mod record;
mod timestamp;
mod view;

pub use catalogue::{Catalogue, Enforcement, KeyRule, LiveCatalogue, Partitioner, Storage, TopicRule};
pub use cursor::{Cursor, CursorError, Positions};
pub use encoding::{Format, Wire};
pub use envelope::{DataMembers, Draft, Fill};
pub(crate) use filter::Index as FilterIndex;
pub use filter::{Filter, FilterError};
#[expect(clippy::module_name_repetitions, reason = "the envelope's own words: eventId, eventType")]
pub use name::{EventId, EventType, GroupName, NameError, Subject, Topic};
pub use partitioning::{murmur2, partition_of};
pub use pattern::Pattern;
pub use position::{Offset, Partition, Position};
pub use record::{Decoded, HeaderName, Headers, Record};
pub use timestamp::{Clock, Timestamp, TimestampError};
pub use view::{RecordView, type_beside, write_members};
