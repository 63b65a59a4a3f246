//! Tells the other gateways what this one has of groups, watches their signs, and removes what long-gone ones told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::event::Topic;
use crate::log::{self, Table};

use super::super::service::Delivery;
use super::super::shared::Shared;
use super::signs::Beat;
use super::{Gateways, TABLE, gateway_key, group_key, life_of, prefix_of, told};

/// How often a gateway tells what is new, and that it lives.
const EVERY: Duration = Duration::from_secs(5);
/// Groups looked at, and records written, at a time.
const AT_ONCE: usize = 32;
/// How long a gateway that goes may take to say so.
const LEAVE_MAX: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A key and its value; `None` removes it.
type Change = (Bytes, Option<Bytes>);

/// Opens the table, then tells and listens. Ends when dropped.
pub(in crate::delivery) async fn keep(delivery: &Delivery) {
    let shared = &*delivery.shared;
    let opened = open(shared).await;
    // There is one keeper, and it opens the table once.
    drop(shared.gateways.table.set(opened));
    let Some(table) = shared.gateways.table.get() else { return };
    let mut changes = table.changes();
    let mut rounds = interval(EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut beat, mut has_failed) = (0, false);
    loop {
        // Both branches are cancel safe.
        tokio::select! {
            _ = rounds.tick() => {
                beat += 1;
                let told = timeout(EVERY, round(delivery, table, beat)).await;
                let told = told.unwrap_or(Err(log::Error::OutcomeUnknown));
                if let Err(error) = &told && !has_failed {
                    tracing::warn!(%error, "other gateways cannot be told what this one has of its groups; it tries again");
                }
                has_failed = told.is_err();
            }
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                // So that a sign is as old as it is, and not as the next look.
                drop(shared.gateways.look(table, shared.clock.now()));
            }
        }
    }
}

impl Gateways {
    /// Says that this gateway serves no group any more; who does not hear it finds out by the time.
    pub(in crate::delivery) async fn leave(&self, life: &str) {
        let Some(table) = self.table.get() else { return };
        let leaving = async {
            write(table, changes(table, life, &BTreeMap::new(), None)).await?;
            self.write_gaps(table).await
        };
        let left = timeout(LEAVE_MAX, leaving).await;
        if !matches!(left, Ok(Ok(()))) {
            tracing::debug!("other gateways could not be told that this one leaves its groups");
        }
    }
}

/// Tells what is new of all groups that are served here, and then that this gateway lives.
async fn round(delivery: &Delivery, table: &Table, beat: u64) -> Result<(), log::Error> {
    let shared = &*delivery.shared;
    let life = &*shared.life;
    let states = stream::iter(delivery.active().await).map(|group| async move {
        let key = group_key(life, &group);
        let state = match delivery.glance(&group).await {
            Some(snapshot) => told::written(&snapshot, shared.clock.now()),
            // A task that has no time to answer has what it had.
            None => table.read(&key),
        };
        Some((key, state?))
    });
    let states: BTreeMap<Bytes, Bytes> =
        states.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    let beat = Beat { node: Arc::clone(&shared.config.node), beat, at_ms: shared.clock.now().millis() };
    let beat = serde_json::to_vec(&beat).ok().filter(|_| !states.is_empty());
    write(table, changes(table, life, &states, beat.map(Bytes::from))).await?;
    shared.gateways.write_gaps(table).await?;
    write(table, gone(shared, table)).await
}

/// What has to be written, so that the table holds these states and this beat of a gateway and no more. The beat is the
/// last: what it vouches for is there.
fn changes(
    table: &Table,
    life: &str,
    states: &BTreeMap<Bytes, Bytes>,
    beat: Option<Bytes>,
) -> (Vec<Change>, Option<Change>) {
    let stored: BTreeMap<Bytes, Bytes> = table.below(prefix_of(life).as_bytes()).into_iter().collect();
    let mut changes = differences(&stored, states);
    let key = gateway_key(life);
    if beat.is_none() && table.read(&key).is_some() {
        changes.push((key, None));
        return (changes, None);
    }
    (changes, beat.map(|beat| (key, Some(beat))))
}

fn differences(stored: &BTreeMap<Bytes, Bytes>, wanted: &BTreeMap<Bytes, Bytes>) -> Vec<Change> {
    let new = wanted.iter().filter(|(key, value)| stored.get(*key) != Some(*value));
    let new = new.map(|(key, value)| (key.clone(), Some(value.clone())));
    let old = stored.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), None));
    new.chain(old).collect()
}

/// What gateways told that gave no sign for long.
fn gone(shared: &Shared, table: &Table) -> (Vec<Change>, Option<Change>) {
    let keys: Vec<Bytes> = table.entries().into_iter().map(|(key, _)| key).collect();
    let lives: BTreeSet<Box<str>> = keys.iter().filter_map(|key| life_of(key)).map(Into::into).collect();
    drop(shared.gateways.look(table, shared.clock.now()));
    let mut forgotten = shared.gateways.signs().forgotten(&lives, Instant::now());
    forgotten.retain(|life| **life != *shared.life);
    let is_gone = |key: &Bytes| life_of(key).is_some_and(|life| forgotten.iter().any(|gone| **gone == *life));
    (keys.into_iter().filter(is_gone).map(|key| (key, None)).collect(), None)
}

async fn write(table: &Table, (changes, last): (Vec<Change>, Option<Change>)) -> Result<(), log::Error> {
    let written = stream::iter(changes).map(|(key, value)| table.write(key, value));
    written.buffer_unordered(AT_ONCE).try_for_each(|_| std::future::ready(Ok(()))).await?;
    if let Some((key, value)) = last {
        table.write(key, value).await?;
    }
    Ok(())
}

/// Opens the table, however long the log takes to answer; until then views show what this gateway has.
async fn open(shared: &Shared) -> Table {
    let (mut delay, mut has_failed) = (RETRY_FIRST, false);
    loop {
        let opening = async {
            let topic = Topic::parse(TABLE).map_err(|_| log::Error::NotSupported("this table's name"))?;
            Table::open(Arc::clone(&shared.log), topic, 1).await
        };
        match opening.await {
            Ok(table) => return table,
            Err(error) if has_failed => {
                tracing::debug!(%error, "what other gateways have cannot be read yet")
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "what other gateways have of groups cannot be read yet");
            }
        }
        has_failed = true;
        sleep(delay).await;
        delay = (delay * 2).min(RETRY_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(all: &[(&'static str, &'static str)]) -> BTreeMap<Bytes, Bytes> {
        all.iter().map(|(key, value)| (Bytes::from(*key), Bytes::from(*value))).collect()
    }

    #[test]
    fn only_what_differs_is_written() {
        let stored = entries(&[("same", "1"), ("other", "1"), ("gone", "1")]);
        let wanted = entries(&[("same", "1"), ("other", "2"), ("new", "1")]);
        let expected: [(Bytes, Option<Bytes>); 3] =
            [("new".into(), Some("1".into())), ("other".into(), Some("2".into())), ("gone".into(), None)];
        assert_eq!(differences(&stored, &wanted), expected);
        assert_eq!(differences(&wanted, &wanted), []);
    }
}
