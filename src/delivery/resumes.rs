//! That a group is to go on: told to every gateway through the table of groups.
//!
//! A number that grows with each tells the gateways that serve the group now. The time reaches those to which a halted
//! partition comes later: what had failed before it has its attempts anew. So it does not matter which gateway is
//! asked, nor whether one serves the group at that moment. What one of them gives up stays given up with the next, until the
//! group has passed it; but a record that fails anew after it was given up is tried as any.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};
use crate::log::{Draft, Table};

use super::shared::Shared;
use super::{Error, Policy};

const KEY_PREFIX: &str = "resume/";
/// Records that one word can give up.
const GIVEN_UP_MAX: usize = 100;
/// Records that are given up and not passed yet, of all words to a group together.
const KEPT_MAX: usize = 1_000;

/// How a group is to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resume {
    /// Halted records that are not tried once more but become dead letters, at most 100.
    #[serde(default)]
    pub dead_letter: Vec<GivenUp>,
}

/// A record that is not to be tried any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenUp {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: Partition,
    /// Where it lies.
    pub offset: Offset,
}

impl Resume {
    /// Refuses what a group of this policy cannot halt at.
    pub(super) fn check(&self, policy: &Policy) -> Result<(), Error> {
        if self.dead_letter.len() > GIVEN_UP_MAX {
            let problem = format!("at most {GIVEN_UP_MAX} records become dead letters at once");
            return Err(Error::invalid_resume("/deadLetter", problem));
        }
        let foreign = |one: &GivenUp| !policy.topics.contains(&one.topic);
        if let Some(index) = self.dead_letter.iter().position(foreign) {
            let problem = "the group does not read this topic";
            return Err(Error::invalid_resume(&format!("/deadLetter/{index}/topic"), problem));
        }
        Ok(())
    }
}

/// The last time a group was told to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resumed {
    /// Grows with each.
    pub(super) sequence: u64,
    /// When.
    pub(super) at: Timestamp,
    /// What is not tried any more, by this word or one before it.
    pub(super) given_up: Arc<[Kept]>,
}

/// A record that is not to be tried any more, where it had halted by then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// Which.
    pub(super) place: GivenUp,
    /// When that was said.
    pub(super) at: Timestamp,
}

/// What a group reads, and how far it has come, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Passed(pub(super) BTreeMap<Topic, BTreeMap<Partition, Offset>>);

impl Resumed {
    /// When it was said that a record is not to be tried any more; it had to have halted by then.
    pub(super) fn gave_up(&self, topic: &Topic, partition: u32, offset: u64) -> Option<Timestamp> {
        let is_it = |one: &&Kept| {
            let GivenUp { topic: its, partition: number, offset: place } = &one.place;
            place.number() == offset && number.number() == partition && its == topic
        };
        self.given_up.iter().find(is_it).map(|one| one.at)
    }
}

impl Passed {
    /// Whether a record is settled, or of a topic that the group does not read.
    fn is_over(&self, place: &GivenUp) -> bool {
        let Some(partitions) = self.0.get(&place.topic) else { return true };
        partitions.get(&place.partition).is_some_and(|committed| place.offset < *committed)
    }
}

/// By group; a group that never was told is absent.
pub(super) type All = BTreeMap<GroupName, Resumed>;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    sequence: u64,
    at_ms: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    given_up: Vec<Entry>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    topic: Topic,
    partition: Partition,
    offset: Offset,
    /// Of an earlier word than the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_ms: Option<i64>,
}

/// How far a group has come, where that is asked for: something was given up before.
pub(super) async fn passed(shared: &Shared, group: &GroupName, policy: &Policy) -> Result<Passed, Error> {
    let mut passed = Passed::default();
    if shared.policies.resumed(group).is_none_or(|resumed| resumed.given_up.is_empty()) {
        // What another gateway wrote a moment ago is not passed.
        passed.0.extend(policy.topics.iter().map(|topic| (topic.clone(), BTreeMap::new())));
        return Ok(passed);
    }
    for topic in &policy.topics {
        let committed = shared.groups.committed(group, topic).await?;
        let offsets = committed.into_iter().map(|(partition, committed)| (partition, committed.offset));
        passed.0.insert(topic.clone(), offsets.collect());
    }
    Ok(passed)
}

/// Tells a group to go on, durably: what it has passed of what was given up before is forgotten.
pub(super) async fn write(
    table: &Table,
    group: &GroupName,
    given_up: &Arc<[GivenUp]>,
    passed: &Passed,
    now: Timestamp,
) -> Result<(), Error> {
    let key = key(group);
    let update = |draft: &mut Draft<'_>| {
        let before = draft.read(&key).and_then(|value| parse(&value));
        let sequence = before.as_ref().map_or(0, |before| before.sequence).saturating_add(1);
        let kept = merged(before.as_ref().map(|before| &*before.given_up), given_up, passed, now)?;
        let given_up = kept.iter().map(|one| Entry::of(one, now)).collect();
        let stored = Stored { sequence, at_ms: now.millis(), given_up };
        let value = serde_json::to_vec(&stored).map_err(|error| Error::invalid("", error.to_string()))?;
        draft.write(key.clone(), Some(value.into()));
        Ok(())
    };
    table.update(update).await
}

/// What is given up by all words together.
fn merged(
    before: Option<&[Kept]>,
    given_up: &[GivenUp],
    passed: &Passed,
    now: Timestamp,
) -> Result<Vec<Kept>, Error> {
    let earlier = before.into_iter().flatten().filter(|one| !passed.is_over(&one.place));
    let mut kept: BTreeMap<GivenUp, Timestamp> = earlier.map(|one| (one.place.clone(), one.at)).collect();
    kept.extend(given_up.iter().map(|place| (place.clone(), now)));
    if kept.len() > KEPT_MAX {
        return Err(Error::TooManyGivenUp(kept.len()));
    }
    Ok(kept.into_iter().map(|(place, at)| Kept { place, at }).collect())
}

impl Entry {
    fn of(kept: &Kept, now: Timestamp) -> Self {
        let GivenUp { topic, partition, offset } = kept.place.clone();
        Self { topic, partition, offset, at_ms: (kept.at != now).then(|| kept.at.millis()) }
    }

    fn read(self, last: Timestamp) -> Kept {
        let Self { topic, partition, offset, at_ms } = self;
        let at = at_ms.map_or(last, Timestamp::from_millis);
        Kept { place: GivenUp { topic, partition, offset }, at }
    }
}

/// What every group was told last.
pub(super) fn read(table: &Table) -> All {
    let entry = |(key, value): (Bytes, Bytes)| {
        let name = std::str::from_utf8(&key).ok()?.strip_prefix(KEY_PREFIX)?;
        Some((GroupName::parse(name).ok()?, parse(&value)?))
    };
    table.below(KEY_PREFIX.as_bytes()).into_iter().filter_map(entry).collect()
}

/// Where it lies when a group was told to go on.
pub(super) fn key(group: &GroupName) -> Bytes {
    format!("{KEY_PREFIX}{group}").into()
}

/// What another version wrote and cannot be read here tells nothing.
fn parse(value: &[u8]) -> Option<Resumed> {
    let Stored { sequence, at_ms, given_up } = serde_json::from_slice(value).ok()?;
    let at = Timestamp::from_millis(at_ms);
    Some(Resumed { sequence, at, given_up: given_up.into_iter().map(|one| one.read(at)).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Timestamp = Timestamp::from_millis(1_000);
    const SECOND: Timestamp = Timestamp::from_millis(2_000);

    fn topic() -> Topic {
        Topic::parse("orders.v1").unwrap()
    }

    fn places(offsets: std::ops::Range<u64>) -> Vec<GivenUp> {
        let place =
            |offset| GivenUp { topic: topic(), partition: Partition::new(0), offset: Offset::new(offset) };
        offsets.map(place).collect()
    }

    fn kept(offsets: std::ops::Range<u64>) -> Arc<[Kept]> {
        places(offsets).into_iter().map(|place| Kept { place, at: FIRST }).collect()
    }

    fn passed(offset: u64) -> Passed {
        Passed([(topic(), [(Partition::new(0), Offset::new(offset))].into())].into())
    }

    #[test]
    fn what_an_earlier_word_gave_up_stays_until_it_is_passed() {
        let all = merged(Some(&kept(3..6)), &places(5..7), &passed(4), SECOND).unwrap();
        let all: Vec<(u64, Timestamp)> = all.iter().map(|one| (one.place.offset.number(), one.at)).collect();
        assert_eq!(all, [(4, FIRST), (5, SECOND), (6, SECOND)]);
        let unread = Passed::default();
        assert_eq!(
            merged(Some(&kept(3..6)), &[], &unread, SECOND).unwrap(),
            [],
            "of a topic it does not read"
        );
    }

    #[test]
    fn there_are_never_more_than_a_thousand() {
        assert_eq!(
            merged(Some(&kept(0..950)), &places(950..1_000), &passed(0), SECOND).unwrap().len(),
            1_000
        );
        let refused = merged(Some(&kept(0..950)), &places(950..1_001), &passed(0), SECOND);
        assert!(matches!(refused, Err(Error::TooManyGivenUp(1_001))), "{refused:?}");
        assert!(merged(Some(&kept(0..950)), &places(950..1_001), &passed(1), SECOND).is_ok());
    }

    #[test]
    fn each_keeps_the_time_at_which_it_was_given_up() {
        let all = merged(Some(&kept(1..2)), &places(2..3), &passed(0), SECOND).unwrap();
        let given_up = all.iter().map(|one| Entry::of(one, SECOND)).collect();
        let text = serde_json::to_vec(&Stored { sequence: 2, at_ms: 2_000, given_up }).unwrap();
        let read = parse(&text).unwrap();
        let gave_up = |offset| read.gave_up(&topic(), 0, offset);
        assert_eq!([1, 2, 3].map(gave_up), [Some(FIRST), Some(SECOND), None]);
    }
}
