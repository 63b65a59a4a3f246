//! The port to the log: what an engine must do, and nothing of how.
//!
//! [`EventLog`] holds topics of partitions of records, [`Groups`] shares partitions among members and keeps their
//! committed offsets, [`Table`] is a compacted topic held in memory. Two engines implement the first two
//! (`log_embedded`, `log_kafka`); [`conformance`] is the suite that each must pass. Rooms above hold
//! `Arc<dyn EventLog>` and never learn which engine they talk to.

pub mod conformance;
mod error;
mod event_log;
mod groups;
mod table;

pub use error::{Error, Fault};
#[expect(clippy::module_name_repetitions, reason = "a bare `Log` would be taken for a text log")]
pub use event_log::{
    Append, Appended, Appending, Bounds, Cleanup, EventLog, Fetched, Health, Incarnation, NewRecord, Purpose,
    Reader, TopicInfo, TopicSpec,
};
pub use groups::{
    Assigned, Commit, Commits, Committed, GroupSubscription, Groups, MemberEvent, MemberEvents, Membership,
    Start,
};
pub use table::{
    Draft, ENTRY_BYTES, PACKED_LONG_BYTES, PACKED_SHORT_BYTES, PackedValue, Packing, Shape, Size, Table,
    Words,
};
