//! Keeps what is known of dead letters: opens the table, shows its size, and forgets letters whose records have gone, and
//! parked keys that no group reads; and ends replays of groups that there are no more.
//!
//! Every gateway does so; what one removes the others find removed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use crate::event::{Offset, Partition, Timestamp, Topic};
use crate::log::{self, Bounds, Draft, Shape, Table};

use super::super::Error;
use super::super::burial::topic_of;
use super::super::jobs;
use super::super::replays;
use super::super::shared::Shared;
use super::entry::{self, Entry, KEY_PREFIX};
use super::packing::LetterPacking;
use super::states::{self, TABLE};
use super::{parked, unread};

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often letters that have gone are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Entries looked at before others get their turn, and removed at once.
const STEP: usize = 500;
/// An entry younger than this stays although its record cannot be seen: another gateway may know of topics earlier.
const GRACE_MS: i64 = 3_600_000;

/// An entry as it was seen.
struct Seen {
    key: Bytes,
    value: Bytes,
    offset: Offset,
    changed_at: Timestamp,
}

/// What is there of a partition of a dead-letter topic.
#[derive(Debug, Clone, Copy)]
enum There {
    Records(Bounds),
    /// It has gone, or this gateway does not know of it yet.
    Nothing,
    /// Its leader may be away.
    Unknown,
}

/// Opens the table and keeps it. Ends when dropped.
pub(in crate::delivery) async fn keep(shared: &Shared) {
    shared.states.load(open(shared).await);
    let table = shared.states.loaded().await;
    let bytes_max = i64::try_from(shared.states.bytes_max()).unwrap_or(i64::MAX);
    shared.metrics.letters.state_bytes_max.set(bytes_max);
    let mut changes = table.changes();
    let (mut next, mut next_unread) = (Instant::now(), Instant::now());
    loop {
        let size = table.size();
        let letters = size.entries.saturating_sub(jobs::entries(table));
        shared.metrics.letters.states.set(i64::try_from(letters).unwrap_or(i64::MAX));
        shared.metrics.letters.state_bytes.set(i64::try_from(states::taken(size)).unwrap_or(i64::MAX));
        // All branches are cancel safe.
        tokio::select! {
            () = sleep_until(next) => {
                if let Err(error) = sweep(shared, table).await {
                    tracing::warn!(%error, "what is known of dead letters that have gone cannot be removed yet");
                }
                next = Instant::now() + SWEEP_EVERY;
            }
            () = sleep_until(next_unread) => {
                next_unread = Instant::now() + sweep_ungrouped(shared, table).await;
            }
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Opens the table, however long the log takes to answer.
async fn open(shared: &Shared) -> Table {
    let mut delay = RETRY_FIRST;
    loop {
        let opening = async {
            let topic = Topic::parse(TABLE).map_err(|_| log::Error::NotSupported("this table's name"))?;
            let shape = Shape { packing: Some(Arc::new(LetterPacking)), apart: Some(parked::APART) };
            Table::open_shaped(Arc::clone(&shared.log), topic, 1, shape).await
        };
        match opening.await {
            Ok(table) => return table,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the states of dead letters cannot be read yet");
            }
        }
        sleep(delay).await;
        delay = (delay * 2).min(RETRY_MAX);
    }
}

/// Removes parked keys that no group reads and ends replays of no group, once the groups are known; answers when to look
/// again.
async fn sweep_ungrouped(shared: &Shared, table: &Table) -> Duration {
    if !shared.policies.is_loaded() {
        return RETRY_FIRST;
    }
    if let Err(error) = unread::sweep(shared, table).await {
        tracing::warn!(%error, "parked keys that no group reads cannot be removed yet");
    }
    if let Err(error) = replays::sweep(shared).await {
        tracing::warn!(%error, "replays of groups that were deleted cannot be ended yet");
    }
    SWEEP_EVERY
}

/// Removes the entries of letters whose records have gone with retention, or with their topic: some at a time, since all
/// together may be very many.
async fn sweep(shared: &Shared, table: &Table) -> Result<(), Error> {
    let old = shared.clock.now().plus_millis(-GRACE_MS);
    let mut known: BTreeMap<(Topic, Partition), There> = BTreeMap::new();
    let (mut after, mut count) = (None, 0);
    loop {
        let some = table.page(KEY_PREFIX.as_bytes(), after.as_deref(), STEP);
        let Some((last, _)) = some.last() else { break };
        after = Some(last.clone());
        let mut gone = Vec::new();
        for (key, value) in some {
            let Some((place, seen)) = seen(key, value) else { continue };
            let there = match known.get(&place) {
                Some(there) => *there,
                None => {
                    let there = look(shared, &place).await?;
                    *known.entry(place).or_insert(there)
                }
            };
            let bounds = match there {
                There::Records(bounds) => Some(bounds),
                There::Nothing => None,
                // Looked at another time.
                There::Unknown => continue,
            };
            if seen.is_gone(bounds, old) {
                gone.push(seen);
            }
        }
        if !gone.is_empty() {
            table.update(|draft| remove(draft, &gone)).await?;
            count += gone.len();
        }
        yield_now().await;
    }
    if count > 0 {
        tracing::debug!(count, "dead letters have gone");
    }
    Ok(())
}

async fn look(shared: &Shared, (topic, partition): &(Topic, Partition)) -> Result<There, Error> {
    match shared.log.topic(topic) {
        Some(info) if partition.number() < info.spec.partitions => {
            Ok(shared.log.bounds(topic, *partition).await.map_or(There::Unknown, There::Records))
        }
        Some(_) | None => {
            shared.log.topics_known()?;
            Ok(There::Nothing)
        }
    }
}

/// Removes those entries that are still what they were.
fn remove(draft: &mut Draft<'_>, gone: &[Seen]) -> Result<(), Error> {
    for seen in gone {
        if draft.read(&seen.key).as_ref() == Some(&seen.value) {
            draft.write(seen.key.clone(), None);
        }
    }
    Ok(())
}

/// An entry, and the partition of the dead-letter topic that its record lies in.
fn seen(key: Bytes, value: Bytes) -> Option<((Topic, Partition), Seen)> {
    let Entry { topic, partition, offset, changed_at, .. } = entry::parse(&value)?;
    let name = topic_of(&topic, &entry::group_of(&key)?)?;
    Some(((name, partition), Seen { key, value, offset, changed_at }))
}

impl Seen {
    /// Whether its record has gone: before what the log keeps, or nowhere for so long that no gateway can be late.
    fn is_gone(&self, bounds: Option<Bounds>, old: Timestamp) -> bool {
        match bounds {
            Some(bounds) if self.offset < bounds.start => true,
            Some(bounds) if self.offset < bounds.end => false,
            Some(_) | None => self.changed_at < old,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_goes_with_its_record_and_an_old_one_without_a_record_too() {
        let seen = |offset, changed_at| Seen {
            key: Bytes::new(),
            value: Bytes::new(),
            offset: Offset::new(offset),
            changed_at: Timestamp::from_millis(changed_at),
        };
        let bounds = Some(Bounds { start: Offset::new(5), end: Offset::new(9) });
        let old = Timestamp::from_millis(100);
        assert!(seen(4, 200).is_gone(bounds, old), "behind retention");
        assert!(!seen(5, 0).is_gone(bounds, old) && !seen(8, 0).is_gone(bounds, old));
        assert!(!seen(9, 200).is_gone(bounds, old), "another gateway may know more");
        assert!(seen(9, 0).is_gone(bounds, old), "the topic was made anew");
        assert!(seen(5, 0).is_gone(None, old) && !seen(5, 200).is_gone(None, old));
    }
}
