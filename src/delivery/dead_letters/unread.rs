//! Parked keys of topics that their group no longer reads: nobody releases them, so they go after an hour.
//!
//! The hour is for a topic that was taken from the group by mistake. It begins with a mark in the place of the last
//! owner's, so that it outlives a gateway and ends when anybody gets the partition and leaves a mark of its own.
//!
//! ```text
//! parking/{group}/{topic}/{partition}   mark of an owner ──▶ unread since … ── an hour ──▶ gone with the keys
//!                                              ▲                    │
//!                                              └─ the topic is back ┘
//! ```

use std::collections::BTreeSet;

use bytes::Bytes;
use tokio::task::yield_now;

use crate::event::{GroupName, Partition, Timestamp, Topic};
use crate::log::{Draft, Table};

use super::super::Error;
use super::super::shared::Shared;
use super::parked::{KEYS_PREFIX, Place};

/// How long they stay.
const KEPT_FOR_MS: i64 = 3_600_000;
/// What the mark begins with; that of an owner begins with a number.
const MARK: &str = "unread-";
/// Entries looked at before others get their turn, and removed at once.
const STEP: usize = 500;

/// Begins the hour of parked keys that nobody reads, or ends it.
pub(super) async fn sweep(shared: &Shared, table: &Table) -> Result<(), Error> {
    let now = shared.clock.now();
    for (group, topic, partition) in places(table).await {
        let place = Place { group: &group, topic: &topic, partition };
        let is_read = shared.policies.get(&group).is_some_and(|policy| policy.topics.contains(&topic));
        match (since(table.read(&place.mark()).as_deref()), is_read) {
            (None, true) => {}
            (None, false) => {
                let mark = Bytes::from(format!("{MARK}{}", now.millis()));
                table.update(|draft| remark(draft, place, Some(mark.clone()))).await?;
            }
            (Some(_), true) => table.update(|draft| remark(draft, place, None)).await?,
            (Some(since), false) if is_over(since, now) => {
                let mut count = 0;
                while let some @ 1.. = table.update(|draft| forget(draft, place, now)).await? {
                    count += some;
                }
                tracing::info!(%group, %topic, %partition, keys = count, "parked keys go: the group does not read the topic");
            }
            (Some(_), false) => {}
        }
    }
    Ok(())
}

/// The partitions that have parked keys.
async fn places(table: &Table) -> BTreeSet<(GroupName, Topic, Partition)> {
    let mut places = BTreeSet::new();
    for some in table.below(KEYS_PREFIX.as_bytes()).chunks(STEP) {
        places.extend(some.iter().filter_map(|(key, _)| place_of(key)));
        yield_now().await;
    }
    places
}

fn place_of(key: &[u8]) -> Option<(GroupName, Topic, Partition)> {
    let mut parts = std::str::from_utf8(key).ok()?.strip_prefix(KEYS_PREFIX)?.split('/');
    let group = GroupName::parse(parts.next()?).ok()?;
    let topic = Topic::parse(parts.next()?).ok()?;
    Some((group, topic, Partition::new(parts.next()?.parse().ok()?)))
}

/// Changes the mark where it is still what it was: an owner's, or one that counts.
fn remark(draft: &mut Draft<'_>, place: Place<'_>, mark: Option<Bytes>) -> Result<(), Error> {
    let is_counting = since(draft.read(&place.mark()).as_deref()).is_some();
    if is_counting != mark.is_some() {
        draft.write(place.mark(), mark);
    }
    Ok(())
}

/// Removes some of the keys, and the mark with the last of them, unless somebody has the partition by now.
fn forget(draft: &mut Draft<'_>, place: Place<'_>, now: Timestamp) -> Result<usize, Error> {
    if !since(draft.read(&place.mark()).as_deref()).is_some_and(|since| is_over(since, now)) {
        return Ok(0);
    }
    let keys = draft.below(place.prefix().as_bytes());
    if keys.len() <= STEP {
        draft.write(place.mark(), None);
    }
    let count = keys.len().min(STEP);
    for (key, _) in keys.into_iter().take(STEP) {
        draft.write(key, None);
    }
    Ok(count)
}

/// Since when the keys under a mark have not been read; `None` where it is an owner's.
fn since(mark: Option<&[u8]>) -> Option<Timestamp> {
    let text = std::str::from_utf8(mark?).ok()?.strip_prefix(MARK)?;
    Some(Timestamp::from_millis(text.parse().ok()?))
}

fn is_over(since: Timestamp, now: Timestamp) -> bool {
    since.plus_millis(KEPT_FOR_MS) <= now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_parked_key_is_read_from_its_entry() {
        let place = place_of(b"parked/inventory-sync/orders.v1/7/73475cb40a568e8da8a045ced110137e");
        let group = GroupName::parse("inventory-sync").unwrap();
        assert_eq!(place, Some((group, Topic::parse("orders.v1").unwrap(), Partition::new(7))));
        for bad in ["", "parked/", "parked/g/orders.v1", "parked/g/orders.v1/x/", "letter/g/orders.v1/0/a"] {
            assert_eq!(place_of(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn only_a_mark_that_counts_is_ever_over() {
        let since = |text: &str| since(Some(text.as_bytes()));
        assert_eq!(since("unread-1000"), Some(Timestamp::from_millis(1_000)));
        for owners in ["1763720130000-00000000000000ff", "unread-", "unread-x", ""] {
            assert_eq!(since(owners), None, "{owners}");
        }
        let begin = Timestamp::from_millis(0);
        assert!(!is_over(begin, Timestamp::from_millis(3_599_999)));
        assert!(is_over(begin, Timestamp::from_millis(3_600_000)));
    }
}
