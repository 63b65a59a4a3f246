//! Where a reset moves each partition, in offsets that are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};
use crate::log::{Bounds, Committed};

use super::super::shared::Shared;
use super::super::{Error, Policy, Start};
use super::Place;

/// More partitions than this are moved by several resets.
const PARTITIONS_MAX: usize = 2_000;
/// Questions to the log at a time.
const AT_ONCE: usize = 8;

/// Where a group is to go on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetTo {
    /// At the first record kept.
    Earliest,
    /// At the end.
    Latest,
    /// At the first record of this time or later.
    Timestamp(Timestamp),
    /// At these offsets, by topic and partition; other partitions stay.
    Offsets(BTreeMap<Topic, BTreeMap<u32, u64>>),
}

/// What somebody wants of a group's offsets.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reset {
    /// Where to.
    pub to: ResetTo,
    /// Only these topics of the group.
    #[serde(default)]
    pub topics: Option<Vec<Topic>>,
    /// Tell what would be moved, and move nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// How far a reset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetState {
    /// Nothing was moved, as asked.
    Planned,
    /// Some partitions are not moved yet.
    Moving,
    /// All are moved.
    Done,
}

/// What a reset does to a partition.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Move {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: Partition,
    /// What was committed; `None` before the first commit.
    pub from: Option<Offset>,
    /// Where it goes on.
    pub to: Offset,
    /// Offsets that are passed over.
    pub skipped: u64,
    /// Offsets that are read again.
    pub again: u64,
}

/// A reset, and what it does.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ResetView {
    /// The group.
    pub group: GroupName,
    /// How far it is.
    pub state: ResetState,
    /// All partitions it is about, by topic.
    pub partitions: Vec<Move>,
}

impl Move {
    fn new(
        topic: &Topic,
        partition: Partition,
        committed: Option<Offset>,
        begin: Offset,
        to: Offset,
    ) -> Self {
        let (before, after) = (committed.unwrap_or(begin).number(), to.number());
        Self {
            topic: topic.clone(),
            partition,
            from: committed,
            to,
            skipped: after.saturating_sub(before),
            again: before.saturating_sub(after),
        }
    }

    pub(super) fn place(&self) -> Place {
        let Self { topic, partition, to, .. } = self;
        Place { topic: topic.clone(), partition: partition.number(), to: to.number(), is_owned: false }
    }
}

/// All moves of a reset.
pub(super) async fn plan(
    shared: &Shared,
    group: &GroupName,
    policy: &Policy,
    reset: &Reset,
) -> Result<Vec<Move>, Error> {
    let mut moves = Vec::new();
    for topic in topics(policy, reset)? {
        let committed = shared.groups.committed(group, topic).await?;
        let partitions = partitions(shared, topic, reset)?;
        if moves.len() + partitions.len() > PARTITIONS_MAX {
            let problem =
                format!("at most {PARTITIONS_MAX} partitions are moved at once; name some of the topics");
            return Err(Error::invalid_reset("/topics", problem));
        }
        let planned = partitions
            .into_iter()
            .map(|partition| planned(shared, policy, &reset.to, topic, partition, committed.get(&partition)));
        moves.extend(stream::iter(planned).buffered(AT_ONCE).try_collect::<Vec<Move>>().await?);
    }
    if moves.is_empty() {
        return Err(Error::invalid_reset("/to", "no partition is named"));
    }
    Ok(moves)
}

fn topics<'r>(policy: &'r Policy, reset: &'r Reset) -> Result<Vec<&'r Topic>, Error> {
    let named: Option<(&str, Vec<&Topic>)> = match (&reset.to, &reset.topics) {
        (ResetTo::Offsets(_), Some(_)) => {
            return Err(Error::invalid_reset("/topics", "offsets name their topics; leave `topics` out"));
        }
        (ResetTo::Offsets(offsets), None) => Some(("/to/offsets", offsets.keys().collect())),
        (ResetTo::Earliest | ResetTo::Latest | ResetTo::Timestamp(_), named) => {
            named.as_ref().map(|topics| ("/topics", topics.iter().collect()))
        }
    };
    let Some((pointer, mut topics)) = named else { return Ok(policy.topics.iter().collect()) };
    if let Some(foreign) = topics.iter().find(|topic| !policy.topics.contains(topic)) {
        return Err(Error::invalid_reset(pointer, format!("the group does not read '{foreign}'")));
    }
    topics.sort_unstable();
    topics.dedup();
    Ok(topics)
}

fn partitions(shared: &Shared, topic: &Topic, reset: &Reset) -> Result<Vec<Partition>, Error> {
    let Some(info) = shared.log.topic(topic) else {
        shared.log.topics_known()?;
        return Err(Error::UnknownTopic(topic.clone()));
    };
    let count = info.spec.partitions;
    match &reset.to {
        ResetTo::Earliest | ResetTo::Latest | ResetTo::Timestamp(_) => {
            Ok((0..count).map(Partition::new).collect())
        }
        ResetTo::Offsets(offsets) => {
            let named =
                offsets.get(topic).map(|offsets| offsets.keys().copied().collect()).unwrap_or_default();
            let named: Vec<u32> = named;
            if let Some(absent) = named.iter().find(|number| **number >= count) {
                let pointer = format!("/to/offsets/{topic}/{absent}");
                return Err(Error::invalid_reset(
                    &pointer,
                    format!("'{topic}' has the partitions 0 to {}", count - 1),
                ));
            }
            Ok(named.into_iter().map(Partition::new).collect())
        }
    }
}

async fn planned(
    shared: &Shared,
    policy: &Policy,
    to: &ResetTo,
    topic: &Topic,
    partition: Partition,
    committed: Option<&Committed>,
) -> Result<Move, Error> {
    let log = Arc::clone(&shared.log);
    let Bounds { start, end } = log.bounds(topic, partition).await?;
    let begin = match policy.start {
        Start::Earliest => start,
        Start::Latest => end,
    };
    let to = match to {
        ResetTo::Earliest => start,
        ResetTo::Latest => end,
        ResetTo::Timestamp(time) => log.offset_at(topic, partition, *time).await?,
        ResetTo::Offsets(offsets) => {
            let number = offsets.get(topic).and_then(|offsets| offsets.get(&partition.number()));
            within(topic, partition, Offset::new(number.copied().unwrap_or_default()), Bounds { start, end })?
        }
    };
    Ok(Move::new(topic, partition, committed.map(|committed| committed.offset), begin, to))
}

fn within(topic: &Topic, partition: Partition, offset: Offset, bounds: Bounds) -> Result<Offset, Error> {
    let Bounds { start, end } = bounds;
    if (start..=end).contains(&offset) {
        return Ok(offset);
    }
    let pointer = format!("/to/offsets/{topic}/{partition}");
    let problem =
        format!("partition {partition} of '{topic}' may be read from {start} to {end}, not from {offset}");
    Err(Error::invalid_reset(&pointer, problem))
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Error, Move, Offset, Partition, Policy, Reset, ResetTo, Topic, topics, within};

    fn topic(name: &str) -> Topic {
        Topic::parse(name).unwrap()
    }

    fn reset(body: &str) -> Reset {
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn a_reset_is_read_from_its_body() {
        assert_eq!(reset(r#"{"to":"earliest"}"#).to, ResetTo::Earliest);
        let at = reset(r#"{"to":{"timestamp":"2026-11-21T10:00:00Z"},"topics":["a.v1"],"dryRun":true}"#);
        assert!(matches!(at.to, ResetTo::Timestamp(_)) && at.dry_run);
        let offsets = reset(r#"{"to":{"offsets":{"a.v1":{"0":7,"12":3}}}}"#);
        let ResetTo::Offsets(offsets) = offsets.to else { panic!("{offsets:?}") };
        assert_eq!(offsets[&topic("a.v1")].iter().collect::<Vec<_>>(), [(&0, &7), (&12, &3)]);
        for bad in [
            r#"{"to":"yesterday"}"#,
            r#"{"to":{"offsets":{"a.v1":{"x":7}}}}"#,
            r#"{"to":{"offsets":{"a.v1":{"0":-1}}}}"#,
            r#"{"to":"latest","group":"g"}"#,
            r#"{}"#,
        ] {
            assert!(serde_json::from_str::<Reset>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_topics_of_the_group_are_moved() {
        let policy = Policy { topics: vec![topic("a.v1"), topic("b.v1")], ..Policy::default() };
        let named = |body: &str| {
            topics(&policy, &reset(body)).map(|all| all.into_iter().cloned().collect::<Vec<_>>())
        };
        assert_eq!(named(r#"{"to":"latest"}"#).unwrap(), policy.topics);
        assert_eq!(named(r#"{"to":"latest","topics":["b.v1","b.v1"]}"#).unwrap(), [topic("b.v1")]);
        assert_eq!(named(r#"{"to":{"offsets":{"a.v1":{"0":1}}}}"#).unwrap(), [topic("a.v1")]);
        for (body, place) in [
            (r#"{"to":"latest","topics":["c.v1"]}"#, "/topics"),
            (r#"{"to":{"offsets":{"c.v1":{"0":1}}}}"#, "/to/offsets"),
            (r#"{"to":{"offsets":{}},"topics":["a.v1"]}"#, "/topics"),
        ] {
            let Err(Error::InvalidReset { pointer, .. }) = named(body) else { panic!("{body}") };
            assert_eq!(pointer, place, "{body}");
        }
    }

    #[test]
    fn an_offset_that_is_not_there_is_refused_with_the_bounds() {
        let bounds = Bounds { start: Offset::new(3), end: Offset::new(9) };
        let at = |offset| within(&topic("a.v1"), Partition::new(2), Offset::new(offset), bounds);
        assert_eq!(at(3).unwrap(), Offset::new(3));
        assert_eq!(at(9).unwrap(), Offset::new(9));
        for offset in [2, 10] {
            let refused = at(offset).unwrap_err().to_string();
            assert!(refused.contains("partition 2") && refused.contains("from 3 to 9"), "{refused}");
        }
    }

    #[test]
    fn a_move_tells_what_is_passed_over_or_read_again() {
        let moved = |from: Option<u64>, to| {
            let one = Move::new(
                &topic("a.v1"),
                Partition::new(0),
                from.map(Offset::new),
                Offset::new(4),
                Offset::new(to),
            );
            (one.skipped, one.again)
        };
        assert_eq!(moved(Some(7), 9), (2, 0));
        assert_eq!(moved(Some(7), 5), (0, 2));
        assert_eq!(moved(None, 5), (1, 0));
        assert_eq!(moved(Some(7), 7), (0, 0));
    }
}
