//! What gateways tell one another of the groups they serve: who works there, which partitions they have, what is blocked.
//!
//! Every 5 seconds each writes what it has of a group where that differs from what lies in the table, and then that it
//! lives: so idle groups cost nothing. The table is one of its own, since plain appends to `_weirgate.groups` would
//! overtake its updates. Nothing is decided by it; it is there to be looked at.
//!
//! ```text
//! gateway/{life}         a beat of this run of a gateway, after what it changed
//! group/{life}/{group}   what it has of a group; gone when it serves the group no more
//! gap/{group}/…          the last gap of a partition; goes with the group
//!
//! owners ── look ── differs? ── write ── beat ── _weirgate.group_states ── others: is its beat new? ── parts of a view
//! ```

mod gaps;
mod signs;
mod tell;
mod told;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::SetOnce;
use tokio::time::Instant;

use crate::event::{GroupName, Timestamp};
use crate::log::Table;

use super::merged::Part;
use gaps::Waiting;
use signs::{Beat, Signs};

pub(super) use tell::keep;

/// Where they lie.
const TABLE: &str = "_weirgate.group_states";
const GATEWAY_PREFIX: &str = "gateway/";
const GROUP_PREFIX: &str = "group/";
/// What a gateway told counts as long as it gave a sign within this time, which is three beats.
const STALE_AFTER: Duration = Duration::from_secs(15);

/// What this gateway knows of the others, from when the table is read.
#[derive(Debug, Default)]
pub(super) struct Gateways {
    table: SetOnce<Table>,
    gaps: Waiting,
    /// Held while the beats of the table are looked at; never across a wait.
    signs: Mutex<Signs>,
}

impl Gateways {
    /// What the other gateways that live have of a group, those first whose last sign is youngest.
    pub(super) fn parts(&self, group: &GroupName, own_life: &str, wall: Timestamp) -> Vec<Part> {
        let Some(table) = self.table.get() else { return Vec::new() };
        let mut parts: Vec<Part> = self
            .look(table, wall)
            .into_iter()
            .filter(|(life, _, age)| **life != *own_life && *age < STALE_AFTER)
            .filter_map(|(life, beat, age)| {
                let told = table.read(&group_key(&life, group))?;
                told::read(&told, (&beat.node, age), wall)
            })
            .collect();
        parts.sort_by_key(|part| part.age);
        parts
    }

    /// All gateways that gave signs and did not leave: how long ago each gave its last one.
    fn look(&self, table: &Table, wall: Timestamp) -> Vec<(Box<str>, Beat, Duration)> {
        let now = Instant::now();
        let mut signs = self.signs();
        let beats = table.below(GATEWAY_PREFIX.as_bytes()).into_iter().filter_map(|(key, value)| {
            let life = std::str::from_utf8(&key).ok()?.strip_prefix(GATEWAY_PREFIX)?;
            let beat: Beat = serde_json::from_slice(&value).ok()?;
            let age = signs.age(life, &beat, now, wall);
            Some((life.into(), beat, age))
        });
        beats.collect()
    }

    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gateway_key(life: &str) -> Bytes {
    format!("{GATEWAY_PREFIX}{life}").into()
}

fn group_key(life: &str, group: &GroupName) -> Bytes {
    format!("{}{group}", prefix_of(life)).into()
}

/// What the keys of all that a gateway tells of groups begin with.
fn prefix_of(life: &str) -> String {
    format!("{GROUP_PREFIX}{life}/")
}

/// Whose key it is.
fn life_of(key: &[u8]) -> Option<&str> {
    let key = std::str::from_utf8(key).ok()?;
    // A name of a group has no slash; that of a gateway may have any.
    let of_group = || Some(key.strip_prefix(GROUP_PREFIX)?.rsplit_once('/')?.0);
    key.strip_prefix(GATEWAY_PREFIX).or_else(of_group)
}

#[cfg(test)]
mod tests {
    use super::{GroupName, gateway_key, group_key, life_of};

    #[test]
    fn a_key_tells_whose_it_is() {
        let group = GroupName::parse("inventory-sync").unwrap();
        for life in ["g1-00ff", "rack/7/g1-00ff"] {
            assert_eq!(life_of(&gateway_key(life)), Some(life));
            assert_eq!(life_of(&group_key(life, &group)), Some(life));
        }
        assert_eq!(life_of(b"policy/inventory-sync"), None);
    }
}
