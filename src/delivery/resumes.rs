//! That a group is to go on: told to every gateway through the table of groups.
//!
//! A number that grows with each tells the gateways that serve the group now. The time reaches those to which a halted
//! partition comes later: what had failed before it has its attempts anew. So it does not matter which gateway is
//! asked, nor whether one serves the group at that moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};
use crate::log::{Draft, Table};

use super::{Error, Policy};

const KEY_PREFIX: &str = "resume/";
/// Records that one word can give up.
const GIVEN_UP_MAX: usize = 100;

/// How a group is to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resume {
    /// Halted records that are not tried once more but become dead letters, at most 100.
    #[serde(default)]
    pub dead_letter: Vec<GivenUp>,
}

/// A record that is not to be tried any more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenUp {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: Partition,
    /// Where it lies.
    pub offset: Offset,
}

impl Resume {
    /// Refuses what a group of this policy cannot halt at.
    pub(super) fn check(&self, policy: &Policy) -> Result<(), Error> {
        if self.dead_letter.len() > GIVEN_UP_MAX {
            let problem = format!("at most {GIVEN_UP_MAX} records become dead letters at once");
            return Err(Error::invalid_resume("/deadLetter", problem));
        }
        let foreign = |one: &GivenUp| !policy.topics.contains(&one.topic);
        if let Some(index) = self.dead_letter.iter().position(foreign) {
            let problem = "the group does not read this topic";
            return Err(Error::invalid_resume(&format!("/deadLetter/{index}/topic"), problem));
        }
        Ok(())
    }
}

/// The last time a group was told to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resumed {
    /// Grows with each.
    pub(super) sequence: u64,
    /// When.
    pub(super) at: Timestamp,
    /// What had halted by then and is not tried any more.
    pub(super) given_up: Arc<[GivenUp]>,
}

impl Resumed {
    /// Whether a record that had halted before is not to be tried any more.
    pub(super) fn gives_up(&self, topic: &Topic, partition: u32, offset: u64) -> bool {
        let is_it = |one: &GivenUp| {
            one.offset.number() == offset && one.partition.number() == partition && one.topic == *topic
        };
        self.given_up.iter().any(is_it)
    }
}

/// By group; a group that never was told is absent.
pub(super) type All = BTreeMap<GroupName, Resumed>;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    sequence: u64,
    at_ms: i64,
    #[serde(default, skip_serializing_if = "<[GivenUp]>::is_empty")]
    given_up: Arc<[GivenUp]>,
}

/// Tells a group to go on, durably.
pub(super) async fn write(
    table: &Table,
    group: &GroupName,
    given_up: &Arc<[GivenUp]>,
    now: Timestamp,
) -> Result<(), Error> {
    let key = key(group);
    let update = |draft: &mut Draft<'_>| {
        let before = draft.read(&key).and_then(|value| parse(&value)).map_or(0, |before| before.sequence);
        let (sequence, given_up) = (before.saturating_add(1), Arc::clone(given_up));
        let stored = Stored { sequence, at_ms: now.millis(), given_up };
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
    let Stored { sequence, at_ms, given_up } = serde_json::from_slice(value).ok()?;
    Some(Resumed { sequence, at: Timestamp::from_millis(at_ms), given_up })
}
