//! What a replay is about, in offsets that are there.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::event::{Filter, GroupName, Offset, Partition, Topic};
use crate::log::Bounds;

use super::super::jobs::RATE_MAX;
use super::super::shared::Shared;
use super::super::{Error, Policy, ResetTo};
use super::{Part, ReplayOrder};

/// More partitions than this are replayed one job after the other: each has its place in the job's record, which the log
/// must take.
const PARTITIONS_MAX: usize = 1_000;
/// Questions to the log at a time.
const AT_ONCE: usize = 8;

/// What is read of a partition.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReplayRange {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: Partition,
    /// The first offset.
    pub from: Offset,
    /// The first one that is not read.
    pub to: Offset,
    /// Offsets between them; there may be fewer events.
    pub events: u64,
}

/// What a replay would do now.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReplayPlan {
    /// The group.
    pub group: GroupName,
    /// Offsets that would be read.
    pub events: u64,
    /// By topic and partition; those with nothing to read are left out.
    pub partitions: Vec<ReplayRange>,
}

/// What a replay reads.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) topics: Vec<Topic>,
    pub(super) incarnations: Vec<u64>,
    pub(super) ranges: Vec<ReplayRange>,
}

impl Scope {
    pub(super) async fn of(shared: &Shared, policy: &Policy, order: &ReplayOrder) -> Result<Self, Error> {
        check(order)?;
        let mut scope = Self::default();
        let mut asked = Vec::new();
        for topic in topics(policy, order)? {
            let Some(info) = shared.log.topic(topic) else {
                shared.log.topics_known()?;
                return Err(Error::UnknownTopic(topic.clone()));
            };
            let count = info.spec.partitions;
            check_partitions(&order.from, "/from", topic, count)?;
            if let Some(to) = &order.to {
                check_partitions(to, "/to", topic, count)?;
            }
            scope.topics.push(topic.clone());
            scope.incarnations.push(info.incarnation.0);
            let named = (0..count).filter(|number| names(&order.from, topic, *number));
            asked.extend(named.map(|number| (topic.clone(), Partition::new(number))));
        }
        if asked.len() > PARTITIONS_MAX {
            let problem =
                format!("at most {PARTITIONS_MAX} partitions are replayed at once; name some of the topics");
            return Err(Error::invalid_replay("/topics", problem));
        }
        let ranges = asked.into_iter().map(|(topic, partition)| range(shared, order, topic, partition));
        let ranges: Vec<Option<ReplayRange>> = stream::iter(ranges).buffered(AT_ONCE).try_collect().await?;
        scope.ranges = ranges.into_iter().flatten().collect();
        Ok(scope)
    }

    pub(super) fn events(&self) -> u64 {
        self.ranges.iter().map(|range| range.events).sum()
    }

    pub(super) fn parts(&self) -> Vec<Part> {
        let part = |range: &ReplayRange| {
            let topic = self.topics.iter().position(|topic| *topic == range.topic)?;
            let (partition, next, end) = (range.partition, range.from, range.to);
            Some(Part { topic, partition, next, end, metadata: String::new() })
        };
        self.ranges.iter().filter_map(part).collect()
    }
}

/// What is wrong with an order by itself.
fn check(order: &ReplayOrder) -> Result<(), Error> {
    if let Some(rate) = order.rate_per_second
        && !(1..=RATE_MAX).contains(&rate)
    {
        let problem = format!("is 1 to {RATE_MAX}; without it events go as fast as members take them");
        return Err(Error::invalid_replay("/ratePerSecond", problem));
    }
    if let Some(filter) = &order.filter {
        let wrong =
            |pointer: &str, problem: String| Error::invalid_replay(&format!("/filter{pointer}"), problem);
        Filter::parse_text(&filter.to_string()).map_err(|error| wrong(&error.pointer, error.problem))?;
    }
    if let ResetTo::Offsets(offsets) = &order.from
        && (offsets.is_empty() || offsets.values().any(BTreeMap::is_empty))
    {
        return Err(Error::invalid_replay("/from/offsets", "must name an offset of each topic in it"));
    }
    if let (ResetTo::Timestamp(from), Some(ResetTo::Timestamp(to))) = (&order.from, &order.to)
        && from >= to
    {
        return Err(Error::invalid_replay("/to", "must be after `from`"));
    }
    Ok(())
}

/// The topics that are meant, in order.
fn topics<'o>(policy: &Policy, order: &'o ReplayOrder) -> Result<Vec<&'o Topic>, Error> {
    let named = |place: &'o ResetTo| match place {
        ResetTo::Offsets(offsets) => Some(offsets),
        ResetTo::Earliest | ResetTo::Latest | ResetTo::Timestamp(_) => None,
    };
    let (from, to) = (named(&order.from), order.to.as_ref().and_then(named));
    for (pointer, offsets) in [("/from/offsets", from), ("/to/offsets", to)] {
        let mut topics = offsets.into_iter().flat_map(BTreeMap::keys);
        if let Some(foreign) = topics.find(|topic| !order.topics.contains(topic)) {
            return Err(Error::invalid_replay(
                pointer,
                format!("'{foreign}' is none of the topics replayed"),
            ));
        }
    }
    if let Some(foreign) = order.topics.iter().find(|topic| !policy.topics.contains(topic)) {
        return Err(Error::invalid_replay("/topics", format!("the group does not read '{foreign}'")));
    }
    let is_meant = |topic: &&Topic| from.is_none_or(|offsets| offsets.contains_key(*topic));
    let mut topics: Vec<&Topic> = order.topics.iter().filter(is_meant).collect();
    topics.sort_unstable();
    topics.dedup();
    // What ends must begin.
    let mut ends = to.into_iter().flatten();
    let is_left_out = |(topic, partitions): &(&Topic, &BTreeMap<u32, u64>)| {
        !topics.contains(topic) || !partitions.keys().all(|number| names(&order.from, topic, *number))
    };
    match ends.find(is_left_out) {
        Some((topic, _)) => {
            let problem = format!("'{topic}' has an end where `from` names no offset");
            Err(Error::invalid_replay("/to/offsets", problem))
        }
        None => Ok(topics),
    }
}

/// Whether something is read of a partition that begins here.
fn names(from: &ResetTo, topic: &Topic, partition: u32) -> bool {
    match from {
        ResetTo::Offsets(offsets) => offsets.get(topic).is_some_and(|named| named.contains_key(&partition)),
        ResetTo::Earliest | ResetTo::Latest | ResetTo::Timestamp(_) => true,
    }
}

fn check_partitions(place: &ResetTo, pointer: &str, topic: &Topic, count: u32) -> Result<(), Error> {
    let ResetTo::Offsets(offsets) = place else { return Ok(()) };
    let mut named = offsets.get(topic).into_iter().flat_map(BTreeMap::keys);
    match named.find(|number| **number >= count) {
        Some(absent) => Err(Error::invalid_replay(
            &format!("{pointer}/offsets/{topic}/{absent}"),
            format!("'{topic}' has the partitions 0 to {}", count.saturating_sub(1)),
        )),
        None => Ok(()),
    }
}

/// What is read of a partition; `None` for nothing.
async fn range(
    shared: &Shared,
    order: &ReplayOrder,
    topic: Topic,
    partition: Partition,
) -> Result<Option<ReplayRange>, Error> {
    let bounds = shared.log.bounds(&topic, partition).await?;
    let Some(from) = offset(shared, "/from", &order.from, &topic, partition, bounds).await? else {
        return Ok(None);
    };
    let named = match &order.to {
        Some(to) => offset(shared, "/to", to, &topic, partition, bounds).await?,
        None => None,
    };
    let to = named.unwrap_or(bounds.end);
    if from > to {
        let problem = format!("partition {partition} of '{topic}' would be read from {from} back to {to}");
        return Err(Error::invalid_replay("/to", problem));
    }
    let events = to.since(from);
    let range = ReplayRange { topic, partition, from, to, events };
    Ok(Some(range).filter(|range| range.events > 0))
}

/// An end of a range; `None` where the partition is not named.
async fn offset(
    shared: &Shared,
    pointer: &str,
    place: &ResetTo,
    topic: &Topic,
    partition: Partition,
    bounds: Bounds,
) -> Result<Option<Offset>, Error> {
    let Bounds { start, end } = bounds;
    Ok(match place {
        ResetTo::Earliest => Some(start),
        ResetTo::Latest => Some(end),
        ResetTo::Timestamp(time) => {
            Some(shared.log.offset_at(topic, partition, *time).await?.clamp(start, end))
        }
        ResetTo::Offsets(offsets) => {
            let number = offsets.get(topic).and_then(|offsets| offsets.get(&partition.number()));
            number
                .map(|number| within(pointer, topic, partition, Offset::new(*number), bounds))
                .transpose()?
        }
    })
}

fn within(
    pointer: &str,
    topic: &Topic,
    partition: Partition,
    offset: Offset,
    bounds: Bounds,
) -> Result<Offset, Error> {
    let Bounds { start, end } = bounds;
    if (start..=end).contains(&offset) {
        return Ok(offset);
    }
    let pointer = format!("{pointer}/offsets/{topic}/{partition}");
    let problem = format!("partition {partition} of '{topic}' has {start} to {end}, and not {offset}");
    Err(Error::invalid_replay(&pointer, problem))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::parse(name).unwrap()
    }

    fn order(from: Value, to: Option<Value>) -> ReplayOrder {
        ReplayOrder {
            from: serde_json::from_value(from).unwrap(),
            to: to.map(|to| serde_json::from_value(to).unwrap()),
            topics: vec![topic("b.v1"), topic("a.v1")],
            filter: None,
            rate_per_second: None,
            by: "service:shop".to_owned(),
        }
    }

    fn pointer_of(result: Result<impl std::fmt::Debug, Error>) -> String {
        match result {
            Err(Error::InvalidReplay { pointer, .. }) => pointer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_topics_of_the_group_are_replayed_and_of_them_those_that_are_named() {
        let policy = Policy { topics: vec![topic("a.v1"), topic("b.v1")], ..Policy::default() };
        let all = order(json!("earliest"), None);
        assert_eq!(topics(&policy, &all).unwrap(), [&topic("a.v1"), &topic("b.v1")]);
        let named = order(json!({"offsets": {"b.v1": {"0": 7}}}), None);
        assert_eq!(topics(&policy, &named).unwrap(), [&topic("b.v1")]);
        let foreign = json!({"offsets": {"c.v1": {"0": 7}}});
        assert_eq!(pointer_of(topics(&policy, &order(foreign.clone(), None))), "/from/offsets");
        assert_eq!(pointer_of(topics(&policy, &order(json!("earliest"), Some(foreign)))), "/to/offsets");
        for end in [json!({"a.v1": {"0": 9}}), json!({"b.v1": {"0": 9, "1": 9}})] {
            let end = order(json!({"offsets": {"b.v1": {"0": 7}}}), Some(json!({ "offsets": end })));
            assert_eq!(pointer_of(topics(&policy, &end)), "/to/offsets");
        }
        let end = order(json!({"offsets": {"b.v1": {"0": 7}}}), Some(json!({"offsets": {"b.v1": {"0": 9}}})));
        assert_eq!(topics(&policy, &end).unwrap(), [&topic("b.v1")]);
        let other = Policy { topics: vec![topic("a.v1")], ..policy };
        assert_eq!(pointer_of(topics(&other, &all)), "/topics");
    }

    #[test]
    fn what_is_wrong_by_itself_is_refused_with_its_place() {
        let time = |text: &str| json!({ "timestamp": text });
        let (early, late) = (time("2026-11-21T10:00:00Z"), time("2026-11-21T10:00:01Z"));
        assert!(check(&order(early.clone(), Some(late.clone()))).is_ok());
        assert_eq!(pointer_of(check(&order(late, Some(early.clone())))), "/to");
        assert_eq!(pointer_of(check(&order(early.clone(), Some(early)))), "/to");
        for none in [json!({}), json!({"a.v1": {}}), json!({"a.v1": {"0": 1}, "b.v1": {}})] {
            let none = order(json!({ "offsets": none }), None);
            assert_eq!(pointer_of(check(&none)), "/from/offsets");
        }
        let good = order(json!("earliest"), None);
        for rate in [0, RATE_MAX + 1] {
            let bad = ReplayOrder { rate_per_second: Some(rate), ..good.clone() };
            assert_eq!(pointer_of(check(&bad)), "/ratePerSecond");
        }
        let filter = |filter: Value| ReplayOrder { filter: Some(filter), ..good.clone() };
        assert!(check(&filter(json!({"key": true, "eq": "42"}))).is_ok());
        assert!(pointer_of(check(&filter(json!({"colour": "red"})))).starts_with("/filter"));
        let long = json!({"key": true, "eq": "x".repeat(20_000)});
        assert!(pointer_of(check(&filter(long))).starts_with("/filter"));
    }

    #[test]
    fn an_offset_that_is_not_there_is_refused_with_the_bounds() {
        let bounds = Bounds { start: Offset::new(3), end: Offset::new(9) };
        let at = |offset| within("/from", &topic("a.v1"), Partition::new(2), Offset::new(offset), bounds);
        assert_eq!((at(3).unwrap(), at(9).unwrap()), (Offset::new(3), Offset::new(9)));
        assert_eq!(pointer_of(at(2)), "/from/offsets/a.v1/2");
        let named: ResetTo = serde_json::from_value(json!({"offsets": {"a.v1": {"4": 1}}})).unwrap();
        assert_eq!(pointer_of(check_partitions(&named, "/to", &topic("a.v1"), 4)), "/to/offsets/a.v1/4");
        assert!(check_partitions(&named, "/to", &topic("a.v1"), 5).is_ok());
    }
}
