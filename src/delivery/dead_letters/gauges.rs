//! How many dead letters are open and for how long, as metrics, whoever is a member of their groups.
//!
//! Every round asks where the dead-letter topics end. Only those that changed, or of whose groups more is known of letters,
//! are read: their oldest letters, up to a bound. Those behind it count as open where nothing else is known of them.

mod changed;

use std::collections::{BTreeMap, HashSet};

use tokio::time::{Instant, sleep};

use crate::event::{Offset, Partition, Timestamp, Topic};
use crate::log::Bounds;

use super::super::shared::Shared;
use super::super::{Error, pace};
use super::reading::{self, Budget, LetterTopic, Span};
use super::{DeadLetterState, letter};
use changed::{Changed, Groups};

/// As many of a topic's letters are looked at, the oldest of each partition.
const EXAMINED_MAX: u64 = 1_000;

/// What was found of a dead-letter topic.
#[derive(Debug, Clone)]
struct Found {
    topic: LetterTopic,
    /// Where its letters lie.
    bounds: BTreeMap<Partition, Bounds>,
    open: u64,
    /// When the oldest open one failed last.
    oldest: Option<Timestamp>,
}

/// What the metrics show now.
#[derive(Debug, Default)]
struct Shown {
    /// By dead-letter topic.
    found: BTreeMap<Topic, Found>,
}

/// Keeps the metrics of dead letters. Ends when dropped.
pub(in crate::delivery) async fn show(shared: &Shared) {
    let (mut shown, changed) = (Shown::default(), Changed::default());
    let rounds = async {
        loop {
            let begun = Instant::now();
            shown.round(shared, &changed).await;
            sleep(pace::rest(begun.elapsed())).await;
        }
    };
    tokio::join!(changed.note(shared), rounds);
}

impl Shown {
    async fn round(&mut self, shared: &Shared, changed: &Changed) {
        if !shared.states.are_loaded() || shared.log.topics_known().is_err() {
            return;
        }
        let news = changed.take();
        let mut before = std::mem::take(&mut self.found);
        let groups = shared.policies.all();
        for topic in reading::topics(&*shared.log) {
            if !groups.contains_key(&topic.group) {
                continue;
            }
            let known = before.remove(&topic.name);
            let is_same = !news.have(&topic.group);
            let found = match examine(shared, &topic, known.as_ref().filter(|_| is_same)).await {
                Ok(found) => Some(found),
                Err(error) => {
                    tracing::debug!(topic = %topic.name, %error, "open dead letters cannot be counted");
                    changed.add(Groups::These([topic.group.clone()].into()));
                    known
                }
            };
            if let Some(found) = found {
                found.show(shared);
                self.found.insert(topic.name, found);
            }
        }
        before.into_values().for_each(|gone| gone.hide(shared));
    }
}

impl Found {
    fn show(&self, shared: &Shared) {
        let labels = [self.topic.group.as_str(), self.topic.source.as_str()];
        let now = shared.clock.now().millis();
        let age = self.oldest.map_or(0, |oldest| now.saturating_sub(oldest.millis()));
        let letters = &shared.metrics.letters;
        letters.open.with_label_values(&labels).set(i64::try_from(self.open).unwrap_or(i64::MAX));
        letters.oldest_open.with_label_values(&labels).set(seconds(age));
    }

    fn hide(&self, shared: &Shared) {
        let labels = [self.topic.group.as_str(), self.topic.source.as_str()];
        drop(shared.metrics.letters.open.remove_label_values(&labels));
        drop(shared.metrics.letters.oldest_open.remove_label_values(&labels));
    }
}

/// Looks at a topic's letters, where something is different from what is `known`.
async fn examine(shared: &Shared, topic: &LetterTopic, known: Option<&Found>) -> Result<Found, Error> {
    let log = &*shared.log;
    let mut bounds = BTreeMap::new();
    for partition in (0..topic.partitions).map(Partition::new) {
        let one = log.bounds(&topic.name, partition).await?;
        if one.start < one.end {
            bounds.insert(partition, one);
        }
    }
    if let Some(known) = known.filter(|known| known.topic == *topic && known.bounds == bounds) {
        return Ok(known.clone());
    }
    let mut budget = Budget::new();
    let mut found = Found { topic: topic.clone(), bounds, open: 0, oldest: None };
    let letters: u64 = found.bounds.values().map(|one| one.end.since(one.start)).sum();
    let share = if letters <= EXAMINED_MAX {
        EXAMINED_MAX
    } else {
        (EXAMINED_MAX / u64::try_from(found.bounds.len()).unwrap_or(EXAMINED_MAX)).max(1)
    };
    let mut seen = HashSet::new();
    let mut behind = BTreeMap::new();
    let mut last: Option<Timestamp> = None;
    for (partition, one) in found.bounds.clone() {
        let mut until = one.end.min(Offset::new(one.start.number().saturating_add(share)));
        if let Some(mut span) = Span::open(log, &topic.name, partition, one.start, until).await? {
            while let Some(records) = span.next(&mut budget).await? {
                for record in &records {
                    let Some(id) = letter::id_of(record, partition) else { continue };
                    let failed = letter::last_failed_at(record);
                    last = last.max(failed);
                    let entry = shared.states.entry(&topic.group, &id)?;
                    if entry.as_ref().is_some_and(|entry| entry.is_newer_than(&id)) {
                        continue;
                    }
                    let state = entry.map(|entry| entry.standing.state).unwrap_or_default();
                    if seen.insert(Box::<str>::from(id.name())) && state == DeadLetterState::Open {
                        found.open += 1;
                        found.oldest = [found.oldest, failed].into_iter().flatten().min();
                    }
                }
                if budget.is_spent() {
                    until = until.min(span.position());
                    break;
                }
            }
        }
        if until < one.end {
            behind.insert(partition, until);
        }
    }
    found.count_behind(shared, &behind, last).await?;
    Ok(found)
}

impl Found {
    /// Counts the letters that were not looked at, from these places on; the oldest of them is younger than the `last`
    /// that was looked at.
    async fn count_behind(
        &mut self,
        shared: &Shared,
        behind: &BTreeMap<Partition, Offset>,
        last: Option<Timestamp>,
    ) -> Result<(), Error> {
        if behind.is_empty() {
            return Ok(());
        }
        let unread: u64 = behind
            .iter()
            .filter_map(|(partition, from)| Some(self.bounds.get(partition)?.end.since(*from)))
            .sum();
        let settled = shared.states.settled_behind(&self.topic.group, &self.topic.source, behind).await?;
        let open = unread.saturating_sub(settled);
        self.open = self.open.saturating_add(open);
        if open > 0 {
            self.oldest = self.oldest.or(last);
        }
        Ok(())
    }
}

fn seconds(millis: i64) -> f64 {
    std::time::Duration::from_millis(u64::try_from(millis).unwrap_or(0)).as_secs_f64()
}
