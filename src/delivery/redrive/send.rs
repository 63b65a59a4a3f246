//! Sending letters back to their group: a batch at a time, in order, at least once.
//!
//! Marked `redriving`, appended, marked `redriven`: two writes of states for the whole batch, and the partitions' appends
//! beside one another. What a gateway that died between left marked goes again the next time it is asked for.

use std::collections::{BTreeMap, HashSet};

use futures_util::future::join_all;

use crate::event::{GroupName, Partition, Record, Topic};
use crate::log::{self, Append, Cleanup, NewRecord, TopicSpec};

use super::super::Error;
use super::super::dead_letters::{Asked, Before, Begun, DeadLetterId, DeadLetterState, Ended};
use super::super::shared::Shared;
use super::pointer;
use super::record::{outgoing, source_of};

/// Records of one append, and their bytes, about. Those of a partition wait for one another: if one append fails, nothing
/// of what comes after it may be stored.
const APPEND_RECORDS_MAX: usize = 1_000;
const APPEND_BYTES_MAX: usize = 512 << 10;

/// A letter with its record as it lies in the dead-letter topic.
#[derive(Debug, Clone)]
pub(in crate::delivery) struct Letter {
    pub(in crate::delivery) id: DeadLetterId,
    /// The source topic, by the name of the dead-letter topic.
    pub(in crate::delivery) topic: Topic,
    pub(in crate::delivery) record: Record,
}

/// What became of a letter.
#[derive(Debug, Clone)]
pub(in crate::delivery) enum Outcome {
    /// It is on its way to the group, durably.
    Moved,
    /// Its state is one that does not go, or there is a newer record of it.
    Skipped(DeadLetterState),
    /// It stays as it was.
    Failed(Failure),
}

/// Why a letter cannot go.
#[derive(Debug, Clone)]
pub(in crate::delivery) enum Failure {
    /// It only points at its source record, and that has gone.
    SourceGone,
    /// It does not fit into the redrive topic.
    TooLarge,
    /// It does not say where it comes from.
    Unreadable,
    /// The log refused it. After [`log::Error::OutcomeUnknown`] it stays `redriving` and may come to the group.
    Log(log::Error),
}

/// One to be appended: its number in the batch.
type Numbered = (usize, NewRecord);

/// Sends letters of one group back to it, a batch at a time, in their order; answers for each, in the same order. Those
/// that are `open` go, those left `redriving` too.
///
/// # Errors
/// What keeps all of them: [`Error::NotLoaded`], [`Error::DeadLettersFull`], or the log, for the states or the topic.
pub(in crate::delivery) async fn send(
    shared: &Shared,
    asked: Asked<'_>,
    letters: &[Letter],
) -> Result<Vec<Outcome>, Error> {
    let Asked { group, now, .. } = asked;
    let mut outcomes: Vec<Outcome> = letters.iter().map(Letter::judged).collect();
    let may_go = |outcome: &Outcome| matches!(outcome, Outcome::Moved);
    let mut seen = HashSet::new();
    let mut going: Vec<(usize, &Letter)> = Vec::new();
    for ((number, letter), outcome) in letters.iter().enumerate().zip(&mut outcomes) {
        if may_go(outcome) && !seen.insert(letter.id.name()) {
            *outcome = Outcome::Skipped(DeadLetterState::Redriving);
        }
        if may_go(outcome) {
            going.push((number, letter));
        }
    }
    if going.is_empty() {
        return Ok(outcomes);
    }
    let topic = ensure_topic(shared, group, &going).await?;
    let incarnation = shared.policies.incarnation(group);
    let names: Vec<(DeadLetterId, Topic)> =
        going.iter().map(|(_, letter)| (letter.id.clone(), letter.topic.clone())).collect();
    let begun = shared.states.begin_redrive(asked, &names).await?;
    let mut marked: Vec<(usize, &Letter, Before)> = Vec::new();
    for ((number, letter), begun) in going.into_iter().zip(begun) {
        match begun {
            Begun::Marked(before) => marked.push((number, letter, before)),
            Begun::Stays(state) => set(&mut outcomes, number, Outcome::Skipped(state)),
        }
    }
    let mut by_partition: BTreeMap<Partition, Vec<Numbered>> = BTreeMap::new();
    // What comes after a letter that cannot go now does not pass it.
    let mut held_up: HashSet<Partition> = HashSet::new();
    for (number, letter, _) in &marked {
        let partition = letter.id.partition();
        if held_up.contains(&partition) {
            set(&mut outcomes, *number, Outcome::Failed(Failure::Log(log::Error::Overloaded)));
            continue;
        }
        match pointer::source(shared, group, letter).await {
            Ok(source) => {
                let record = outgoing(&letter.record, source.as_ref().unwrap_or(&letter.record), incarnation);
                by_partition.entry(partition).or_default().push((*number, record));
            }
            Err(failure) => {
                if matches!(failure, Failure::Log(_)) {
                    held_up.insert(partition);
                }
                set(&mut outcomes, *number, Outcome::Failed(failure));
            }
        }
    }
    let appends = by_partition.into_iter().map(|(partition, all)| append(shared, &topic, partition, all));
    for (number, failure) in join_all(appends).await.into_iter().flatten() {
        set(&mut outcomes, number, Outcome::Failed(failure));
    }
    let is_deleted =
        shared.policies.get(group).is_none() || shared.policies.incarnation(group) != incarnation;
    let ended: Vec<(DeadLetterId, Ended)> = marked
        .into_iter()
        .filter_map(|(number, letter, before)| {
            let end = match outcomes.get(number)? {
                // It lies there for nobody.
                Outcome::Moved if is_deleted => Ended::Returned(before),
                Outcome::Moved => Ended::Moved,
                Outcome::Failed(Failure::Log(log::Error::OutcomeUnknown)) => return None,
                Outcome::Failed(_) | Outcome::Skipped(_) => Ended::Returned(before),
            };
            Some((letter.id.clone(), end))
        })
        .collect();
    if !ended.is_empty()
        && let Err(error) = shared.states.end_redrive(group, &ended, now).await
    {
        // They have gone, or not; what the group makes of them is told in any case.
        tracing::warn!(%group, letters = ended.len(), %error, "letters stay marked as being redriven");
    }
    Ok(outcomes)
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::SourceGone => {
                Self::NotRedrivable("it only points at its source record, and that has gone")
            }
            Failure::TooLarge => {
                Self::NotRedrivable("it does not fit into a record with what says where it is from")
            }
            Failure::Unreadable => Self::NotRedrivable("it does not say where it comes from"),
            Failure::Log(error) => Self::Log(error),
        }
    }
}

impl Letter {
    /// Whether it says where it comes from, and that is where it lies.
    fn judged(&self) -> Outcome {
        match source_of(&self.record) {
            Some((topic, partition, _)) if topic == self.topic && partition == self.id.partition() => {
                Outcome::Moved
            }
            Some(_) | None => Outcome::Failed(Failure::Unreadable),
        }
    }
}

fn set(outcomes: &mut [Outcome], number: usize, outcome: Outcome) {
    if let Some(place) = outcomes.get_mut(number) {
        *place = outcome;
    }
}

/// Makes the group's redrive topic, with as many partitions as any of its sources has.
async fn ensure_topic(
    shared: &Shared,
    group: &GroupName,
    going: &[(usize, &Letter)],
) -> Result<Topic, Error> {
    let name = Topic::of_redrives(group);
    let of_letters = going.iter().map(|(_, letter)| letter.id.partition().number().saturating_add(1));
    let policy = shared.policies.get(group);
    let sources = policy.iter().flat_map(|policy| &policy.topics);
    let of_sources = sources.filter_map(|topic| Some(shared.log.topic(topic)?.spec.partitions));
    let wanted = of_letters.chain(of_sources).max().unwrap_or(1);
    if shared.log.topic(&name).is_none_or(|info| info.spec.partitions < wanted) {
        let spec = TopicSpec {
            name: name.clone(),
            partitions: wanted,
            cleanup: Cleanup::Delete,
            retention: Some(shared.config.dead_letter_retention),
            retention_bytes: None,
        };
        shared.log.ensure_topic(&spec).await?;
        tracing::info!(%group, topic = %name, partitions = wanted, "redrive topic made");
    }
    Ok(name)
}

/// Appends to a partition in order, and answers what could not be. What comes after an append that failed is not tried.
async fn append(
    shared: &Shared,
    topic: &Topic,
    partition: Partition,
    mut all: Vec<Numbered>,
) -> Vec<(usize, Failure)> {
    let mut failed = Vec::new();
    let mut records_max = APPEND_RECORDS_MAX;
    while !all.is_empty() {
        let count = fitting(&all, records_max);
        let records = all.iter().take(count).map(|(_, record)| record.clone()).collect();
        let appended = shared.log.append(Append { topic: topic.clone(), partition, records }).await;
        match appended {
            Ok(_) => {
                drop(all.drain(..count));
                records_max = (records_max * 2).min(APPEND_RECORDS_MAX);
            }
            // One of them is: which one shows alone.
            Err(log::Error::RecordTooLarge { .. }) if count > 1 => records_max = count / 2,
            Err(log::Error::RecordTooLarge { .. }) => {
                failed.extend(all.drain(..count).map(|(number, _)| (number, Failure::TooLarge)));
            }
            Err(error) => {
                let tried = all.drain(..count).map(|(number, _)| (number, Failure::Log(error.clone())));
                failed.extend(tried);
                let not_tried = |(number, _)| (number, Failure::Log(log::Error::Overloaded));
                failed.extend(all.drain(..).map(not_tried));
            }
        }
    }
    failed
}

/// How many of them go into one append; at least one.
fn fitting(all: &[Numbered], records_max: usize) -> usize {
    let bytes_of = |record: &NewRecord| {
        let bytes = |part: &Option<bytes::Bytes>| part.as_ref().map_or(0, bytes::Bytes::len);
        bytes(&record.key) + bytes(&record.value) + record.headers.bytes()
    };
    let mut bytes = 0;
    let fitting = all.iter().take(records_max).take_while(|(_, record)| {
        bytes += bytes_of(record);
        bytes <= APPEND_BYTES_MAX
    });
    fitting.count().max(1)
}
