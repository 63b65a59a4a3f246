//! The last gap of each partition of a group: what was gone before the group had read it. It lies in the gateways' table
//! under a key of its own, so that it outlives the gateway that saw it; the last word holds.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::event::{GroupName, Offset, Timestamp};
use crate::log::{self, Table};

use super::super::dead_letters::Place;
use super::super::view::LastGap;
use super::Gateways;

const PREFIX: &str = "gap/";
/// Gaps that wait to be written; what is more was only logged and counted.
const WAITING_MAX: usize = 1_024;

/// Gaps that were seen here and are not in the table yet, by their keys.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Held for single changes, never across a wait.
    gaps: Mutex<BTreeMap<Bytes, LastGap>>,
}

/// As it lies in the table: from, to, and when, in milliseconds.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Stored(u64, u64, i64);

impl Gateways {
    /// Remembers a gap, to be written with the next round.
    pub(in crate::delivery) fn note_gap(&self, place: Place<'_>, gap: LastGap) {
        let (mut gaps, key) = (self.gaps.lock(), key_of(place));
        if gaps.len() < WAITING_MAX || gaps.contains_key(&key) {
            gaps.insert(key, gap);
        }
    }

    /// The last gap that some gateway saw there.
    pub(in crate::delivery) fn last_gap(&self, place: Place<'_>) -> Option<LastGap> {
        let key = key_of(place);
        let waiting = self.gaps.lock().get(&key).copied();
        let stored = self.table.get().and_then(|table| read(&table.read(&key)?));
        waiting.into_iter().chain(stored).max_by_key(|gap| gap.at)
    }

    /// Writes what waits.
    pub(super) async fn write_gaps(&self, table: &Table) -> Result<(), log::Error> {
        let waiting: Vec<(Bytes, LastGap)> =
            self.gaps.lock().iter().map(|(key, gap)| (key.clone(), *gap)).collect();
        for (key, gap) in waiting {
            table.write(key.clone(), written(gap)).await?;
            let mut gaps = self.gaps.lock();
            if gaps.get(&key) == Some(&gap) {
                gaps.remove(&key);
            }
        }
        Ok(())
    }

    /// Removes all gaps of a group, durably.
    pub(in crate::delivery) async fn forget_gaps(&self, group: &GroupName) -> Result<(), log::Error> {
        let prefix = prefix_of(group);
        self.gaps.lock().retain(|key, _| !key.starts_with(prefix.as_bytes()));
        let Some(table) = self.table.get() else { return Ok(()) };
        for (key, _) in table.below(prefix.as_bytes()) {
            table.write(key, None).await?;
        }
        Ok(())
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Bytes, LastGap>> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(Place { group, topic, partition }: Place<'_>) -> Bytes {
    format!("{}{topic}/{partition}", prefix_of(group)).into()
}

/// What the keys of all gaps of a group begin with. Neither its name nor a topic's has a slash.
fn prefix_of(group: &GroupName) -> String {
    format!("{PREFIX}{group}/")
}

fn written(gap: LastGap) -> Option<Bytes> {
    let LastGap { from, to, at } = gap;
    serde_json::to_vec(&Stored(from.number(), to.number(), at.millis())).ok().map(Bytes::from)
}

/// What another version wrote and cannot be read here is nothing.
fn read(value: &[u8]) -> Option<LastGap> {
    let Stored(from, to, at) = serde_json::from_slice(value).ok()?;
    Some(LastGap { from: Offset::new(from), to: Offset::new(to), at: Timestamp::from_millis(at) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Partition, Topic};

    fn gap(from: u64, to: u64, at: i64) -> LastGap {
        LastGap { from: Offset::new(from), to: Offset::new(to), at: Timestamp::from_millis(at) }
    }

    #[test]
    fn the_last_gap_of_a_partition_is_kept_and_no_more_than_there_is_room_for() {
        let (gateways, topic) = (Gateways::default(), Topic::parse("orders.v1").unwrap());
        let (group, other) = (GroupName::parse("a").unwrap(), GroupName::parse("a-b").unwrap());
        let place = |group, partition| Place { group, topic: &topic, partition: Partition::new(partition) };
        gateways.note_gap(place(&group, 0), gap(0, 3, 1));
        gateways.note_gap(place(&group, 0), gap(3, 9, 2));
        gateways.note_gap(place(&other, 0), gap(0, 1, 3));
        assert_eq!(gateways.last_gap(place(&group, 0)), Some(gap(3, 9, 2)));
        assert_eq!(gateways.last_gap(place(&group, 1)), None);
        for partition in 0..2_000 {
            gateways.note_gap(place(&group, partition), gap(0, 7, 4));
        }
        assert_eq!(gateways.gaps.lock().len(), WAITING_MAX);
        assert_eq!(gateways.last_gap(place(&group, 0)), Some(gap(0, 7, 4)), "what has its place keeps it");
        assert_eq!(gateways.last_gap(place(&other, 0)), Some(gap(0, 1, 3)));
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is() {
        let one = gap(3, u64::MAX, -5);
        assert_eq!(read(&written(one).unwrap()), Some(one));
        for value in ["", "7", "[1,2]", "[-1,2,3]", r#"{"from":1}"#] {
            assert_eq!(read(value.as_bytes()), None, "{value}");
        }
    }
}
