//! How many dead letters there are, by group, topic and reason, without reading them all.
//!
//! How many a topic has is what the log says of its ends; by reason and state the newest of them are counted.

use std::collections::{BTreeMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::event::{GroupName, Offset, Partition, Topic};

use super::super::Error;
use super::super::shared::Shared;
use super::reading::{self, Budget, LetterTopic, Span};
use super::{DeadLetterState, letter};

/// Topics of one page.
const LIMIT_MAX: usize = 1_000;
/// As many of a topic's letters are looked at, the newest of each partition.
const EXAMINED_MAX: u64 = 1_000;
const CURSOR_VERSION: u8 = 1;

/// The dead letters of a group's topic.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterCount {
    /// The group.
    pub group: GroupName,
    /// The source topic.
    pub topic: Topic,
    /// Records that the dead-letter topic has; a letter that was written twice counts twice.
    pub letters: u64,
    /// How many of the newest were looked at. As many as there are: what follows is exact.
    pub examined: u64,
    /// Of those the letters by reason.
    pub reasons: BTreeMap<String, u64>,
    /// And by state.
    pub states: BTreeMap<DeadLetterState, u64>,
}

/// A page of counts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterCounts {
    /// The counts, by dead-letter topic; those that have no letters are left out.
    pub dead_letters: Vec<DeadLetterCount>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Where a page begins: behind this dead-letter topic.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Place(u8, Topic);

/// Counts the letters of those topics that `is_meant` lets through.
pub(in crate::delivery) async fn count(
    shared: &Shared,
    is_meant: impl Fn(&GroupName, &Topic) -> bool,
    limit: usize,
    cursor: Option<&str>,
) -> Result<DeadLetterCounts, Error> {
    let after = cursor.map(Place::parse).transpose()?;
    let mut budget = Budget::new();
    let mut counts = Vec::new();
    let mut last: Option<Topic> = None;
    let is_next = |topic: &LetterTopic| after.as_ref().is_none_or(|Place(_, after)| topic.name > *after);
    shared.log.topics_known()?;
    for topic in reading::topics(&*shared.log).into_iter().filter(is_next) {
        if !is_meant(&topic.group, &topic.source) {
            continue;
        }
        let is_full = counts.len() >= limit.clamp(1, LIMIT_MAX) || budget.is_spent();
        if let Some(last) = last.take_if(|_| is_full) {
            return Ok(DeadLetterCounts { dead_letters: counts, cursor: Some(Place::after(last)) });
        }
        let count = count_one(shared, &topic, &mut budget).await?;
        counts.extend(Some(count).filter(|count| count.letters > 0));
        last = Some(topic.name);
    }
    Ok(DeadLetterCounts { dead_letters: counts, cursor: None })
}

async fn count_one(
    shared: &Shared,
    topic: &LetterTopic,
    budget: &mut Budget,
) -> Result<DeadLetterCount, Error> {
    let log = &*shared.log;
    let mut ends = Vec::new();
    for partition in (0..topic.partitions).map(Partition::new) {
        budget.ask();
        let bounds = log.bounds(&topic.name, partition).await?;
        if bounds.start < bounds.end {
            ends.push((partition, bounds));
        }
    }
    let mut count = DeadLetterCount {
        group: topic.group.clone(),
        topic: topic.source.clone(),
        letters: ends.iter().map(|(_, bounds)| bounds.end.since(bounds.start)).sum(),
        examined: 0,
        reasons: BTreeMap::new(),
        states: BTreeMap::new(),
    };
    let share = if count.letters <= EXAMINED_MAX {
        EXAMINED_MAX
    } else {
        (EXAMINED_MAX / u64::try_from(ends.len()).unwrap_or(EXAMINED_MAX)).max(1)
    };
    let mut seen = HashSet::new();
    for (partition, bounds) in ends {
        let from = bounds.start.max(Offset::new(bounds.end.number().saturating_sub(share)));
        let Some(mut span) = Span::open(log, &topic.name, partition, from, bounds.end).await? else {
            continue;
        };
        while !budget.is_spent()
            && let Some(records) = span.next(budget).await?
        {
            count.examined += u64::try_from(records.len()).unwrap_or(0);
            for record in &records {
                let Some(id) = letter::id_of(record, partition) else { continue };
                let entry = shared.states.entry(&topic.group, &id)?;
                // It counts where its newest record lies.
                if entry.as_ref().is_some_and(|entry| entry.is_newer_than(&id)) {
                    continue;
                }
                if seen.insert(Box::<str>::from(id.name())) {
                    let state = entry.map(|entry| entry.standing.state).unwrap_or_default();
                    let reason = letter::reason(record).unwrap_or("unknown");
                    *count.reasons.entry(known(reason)).or_default() += 1;
                    *count.states.entry(state).or_default() += 1;
                }
            }
        }
    }
    Ok(count)
}

/// A reason as it is counted; what others wrote into the topic must not make the answer long.
fn known(reason: &str) -> String {
    let is_known = super::REASONS.contains(&reason);
    if is_known { reason.to_owned() } else { "unknown".to_owned() }
}

impl Place {
    fn parse(text: &str) -> Result<Self, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::InvalidCursor)?;
        let place: Self = serde_json::from_slice(&bytes).map_err(|_| Error::InvalidCursor)?;
        if place.0 == CURSOR_VERSION { Ok(place) } else { Err(Error::InvalidCursor) }
    }

    fn after(topic: Topic) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Self(CURSOR_VERSION, topic)).unwrap_or_default())
    }
}
