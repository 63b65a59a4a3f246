//! That a group is to go on: told to every gateway through the table of groups.
//!
//! A number that grows with each tells the gateways that serve the group now. The time reaches those to which a halted
//! partition comes later: what had failed before it has its attempts anew. So it does not matter which gateway is
//! asked, nor whether one serves the group at that moment.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::event::{GroupName, Timestamp};
use crate::log::{Draft, Table};

use super::Error;

const KEY_PREFIX: &str = "resume/";

/// The last time a group was told to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resumed {
    /// Grows with each.
    pub(super) sequence: u64,
    /// When.
    pub(super) at: Timestamp,
}

/// By group; a group that never was told is absent.
pub(super) type All = BTreeMap<GroupName, Resumed>;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    sequence: u64,
    at_ms: i64,
}

/// Tells a group to go on, durably.
pub(super) async fn write(table: &Table, group: &GroupName, now: Timestamp) -> Result<(), Error> {
    let key = key(group);
    let update = |draft: &mut Draft<'_>| {
        let before = draft.read(&key).and_then(|value| parse(&value)).map_or(0, |before| before.sequence);
        let stored = Stored { sequence: before.saturating_add(1), at_ms: now.millis() };
        let value = serde_json::to_vec(&stored).map_err(|error| Error::invalid("", error.to_string()))?;
        draft.write(key.clone(), Some(value.into()));
        Ok(())
    };
    table.update(update).await
}

/// What every group was told last.
pub(super) fn read(table: &Table) -> All {
    let entry = |(key, value): (Bytes, Bytes)| {
        let name = std::str::from_utf8(&key).ok()?.strip_prefix(KEY_PREFIX)?;
        Some((GroupName::parse(name).ok()?, parse(&value)?))
    };
    table.below(KEY_PREFIX.as_bytes()).into_iter().filter_map(entry).collect()
}

/// Where it lies when a group was told to go on.
pub(super) fn key(group: &GroupName) -> Bytes {
    format!("{KEY_PREFIX}{group}").into()
}

/// What another version wrote and cannot be read here tells nothing.
fn parse(value: &[u8]) -> Option<Resumed> {
    let Stored { sequence, at_ms } = serde_json::from_slice(value).ok()?;
    Some(Resumed { sequence, at: Timestamp::from_millis(at_ms) })
}
