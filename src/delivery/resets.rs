//! Resets: a group's offsets are moved on purpose, told to every gateway through the table of groups.
//!
//! An entry holds the last reset of its group and the partitions it has yet to move. First it asks who has them, and
//! moves nothing: so a partition that a native consumer reads is found before another is moved. When each was answered
//! for it is told to move, and from then on whoever gets a partition moves it, until somebody says that it is done.
//!
//! ```text
//! asking ── each owner: this one is mine ── all are ── moving ── each owner: stop, withdraw, seek, commit ── done
//!    └── nobody answers, and the group has no member: set by the gateway asked ───────────────────────────────┘
//! ```

mod coordinate;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::event::{GroupName, Partition, Timestamp, Topic};
use crate::log::{Draft, Table};

use super::{Error, ResetProgress};

pub use plan::{Move, Reset, ResetState, ResetTo, ResetView};

pub(super) use coordinate::finish_all;

const KEY_PREFIX: &str = "reset/";
/// A reset that could not move all by then moves no more: nobody would expect it.
const LAPSES_AFTER: Duration = Duration::from_secs(600);

/// By group; a group that was never reset is absent.
pub(super) type All = BTreeMap<GroupName, Arc<Order>>;

/// How far a reset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Whose are the partitions? Nothing is moved.
    Asking,
    /// They are moved.
    Moving,
}

/// A partition that is to be moved.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    /// Its topic.
    pub(super) topic: Topic,
    /// Its number.
    pub(super) partition: u32,
    /// Where it is to be read from.
    pub(super) to: u64,
    /// Whether a gateway has said that it has it.
    #[serde(default)]
    pub(super) is_owned: bool,
}

/// The last reset of a group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Order {
    /// Grows with each.
    pub(super) sequence: u64,
    /// When it came to its stage.
    at_ms: i64,
    /// How far it is.
    pub(super) stage: Stage,
    /// What is not moved yet.
    pub(super) left: Vec<Place>,
}

/// What becomes of a group's reset.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// There is a new one.
    Ask(Vec<Place>),
    /// A gateway has these.
    Own { sequence: u64, places: Vec<(Topic, Partition)> },
    /// All are somebody's: move.
    Move { sequence: u64 },
    /// These are moved.
    Done { sequence: u64, places: Vec<(Topic, Partition)> },
    /// It moves no more.
    Drop { sequence: u64 },
}

impl Order {
    /// Whether there is anything to do by it.
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        !self.left.is_empty() && !self.has_lapsed(now)
    }

    /// Whether its time is over.
    pub(super) fn has_lapsed(&self, now: Timestamp) -> bool {
        let age = u64::try_from(now.millis().saturating_sub(self.at_ms)).unwrap_or(0);
        Duration::from_millis(age) > LAPSES_AFTER
    }

    /// How far it is, where it moves partitions.
    pub(super) fn progress(&self, now: Timestamp) -> Option<ResetProgress> {
        let since = Timestamp::from_millis(self.at_ms);
        let is_moving = self.stage == Stage::Moving && self.is_open(now);
        is_moving.then_some(ResetProgress { since, partitions_left: self.left.len() })
    }

    /// The partition, where it is not moved yet.
    pub(super) fn place(&self, topic: &Topic, partition: Partition) -> Option<&Place> {
        self.left.iter().find(|place| place.is(topic, partition))
    }
}

impl Place {
    fn is(&self, topic: &Topic, partition: Partition) -> bool {
        self.partition == partition.number() && self.topic == *topic
    }

    fn is_of(&self, places: &[(Topic, Partition)]) -> bool {
        places.iter().any(|(topic, partition)| self.is(topic, *partition))
    }
}

impl Step {
    /// The reset after this step; one that is about an earlier reset changes nothing.
    fn apply(&self, before: Option<Order>, now: Timestamp) -> Result<Order, Error> {
        let sequence = match self {
            Self::Ask(places) => {
                if before.as_ref().is_some_and(|one| one.stage == Stage::Moving && one.is_open(now)) {
                    return Err(Error::ResetUnderWay);
                }
                let sequence = before.map_or(0, |one| one.sequence).saturating_add(1);
                let left = places.clone();
                return Ok(Order { sequence, at_ms: now.millis(), stage: Stage::Asking, left });
            }
            Self::Own { sequence, .. }
            | Self::Move { sequence }
            | Self::Done { sequence, .. }
            | Self::Drop { sequence } => *sequence,
        };
        let mut order = before.filter(|one| one.sequence == sequence).ok_or(Error::ResetOvertaken)?;
        match self {
            Self::Ask(_) => {}
            Self::Own { places, .. } => {
                for place in order.left.iter_mut().filter(|place| place.is_of(places)) {
                    place.is_owned = true;
                }
            }
            Self::Move { .. } if order.stage == Stage::Asking => {
                (order.stage, order.at_ms) = (Stage::Moving, now.millis());
            }
            Self::Move { .. } => {}
            Self::Done { places, .. } => order.left.retain(|place| !place.is_of(places)),
            Self::Drop { .. } => order.left.clear(),
        }
        Ok(order)
    }
}

/// Takes a step, durably; answers how the reset is then.
pub(super) async fn write(
    table: &Table,
    group: &GroupName,
    step: &Step,
    now: Timestamp,
) -> Result<Order, Error> {
    let key = key(group);
    let update = |draft: &mut Draft<'_>| {
        let before = draft.read(&key).and_then(|value| parse(&value));
        let after = step.apply(before.clone(), now)?;
        if before.as_ref() != Some(&after) {
            let value = serde_json::to_vec(&after).map_err(|error| Error::invalid("", error.to_string()))?;
            draft.write(key.clone(), Some(value.into()));
        }
        Ok(after)
    };
    table.update(update).await
}

/// The last reset of every group.
pub(super) fn read(table: &Table) -> All {
    let entry = |(key, value): (Bytes, Bytes)| {
        let name = std::str::from_utf8(&key).ok()?.strip_prefix(KEY_PREFIX)?;
        Some((GroupName::parse(name).ok()?, Arc::new(parse(&value)?)))
    };
    table.below(KEY_PREFIX.as_bytes()).into_iter().filter_map(entry).collect()
}

/// Where the reset of a group lies.
pub(super) fn key(group: &GroupName) -> Bytes {
    format!("{KEY_PREFIX}{group}").into()
}

/// What another version wrote and cannot be read here moves nothing.
fn parse(value: &[u8]) -> Option<Order> {
    serde_json::from_slice(value).ok()
}

#[cfg(test)]
mod tests {
    use super::{Error, LAPSES_AFTER, Order, Partition, Place, Stage, Step, Timestamp, Topic};

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn topic() -> Topic {
        Topic::parse("orders.v1").unwrap()
    }

    fn place(partition: u32) -> Place {
        Place { topic: topic(), partition, to: 7, is_owned: false }
    }

    fn named(partitions: &[u32]) -> Vec<(Topic, Partition)> {
        partitions.iter().map(|number| (topic(), Partition::new(*number))).collect()
    }

    fn asked() -> Order {
        Step::Ask(vec![place(0), place(1)]).apply(None, NOW).unwrap()
    }

    fn after(order: Order, step: &Step) -> Order {
        step.apply(Some(order), NOW).unwrap()
    }

    #[test]
    fn a_reset_moves_what_was_answered_for_until_all_is_done() {
        let order = asked();
        assert_eq!((order.sequence, order.stage), (1, Stage::Asking));
        let order = after(order, &Step::Own { sequence: 1, places: named(&[1]) });
        assert_eq!(order.left.iter().map(|one| one.is_owned).collect::<Vec<_>>(), [false, true]);
        let order = after(order, &Step::Move { sequence: 1 });
        assert_eq!(order.stage, Stage::Moving);
        let order = after(order, &Step::Done { sequence: 1, places: named(&[0]) });
        assert!(order.is_open(NOW) && order.place(&topic(), Partition::new(0)).is_none());
        let order = after(order, &Step::Done { sequence: 1, places: named(&[0, 1]) });
        assert!(!order.is_open(NOW));
        let next = after(order, &Step::Ask(vec![place(0)]));
        assert_eq!((next.sequence, next.left.len()), (2, 1));
    }

    #[test]
    fn only_one_reset_moves_a_group_and_not_for_ever() {
        let moving = after(asked(), &Step::Move { sequence: 1 });
        let again = Step::Ask(vec![place(0)]);
        assert!(matches!(again.apply(Some(moving.clone()), NOW), Err(Error::ResetUnderWay)));
        let later = NOW.plus_millis(i64::try_from(LAPSES_AFTER.as_millis()).unwrap() + 1);
        assert!(moving.has_lapsed(later) && !moving.is_open(later));
        assert_eq!(again.apply(Some(moving), later).unwrap().sequence, 2);
    }

    #[test]
    fn one_that_only_asks_is_overtaken() {
        let overtaken = after(asked(), &Step::Ask(vec![place(0)]));
        assert_eq!(overtaken.sequence, 2);
        for late in [
            Step::Own { sequence: 1, places: named(&[0]) },
            Step::Move { sequence: 1 },
            Step::Done { sequence: 1, places: named(&[0]) },
            Step::Drop { sequence: 1 },
        ] {
            assert!(
                matches!(late.apply(Some(overtaken.clone()), NOW), Err(Error::ResetOvertaken)),
                "{late:?}"
            );
        }
        assert!(after(overtaken, &Step::Drop { sequence: 2 }).left.is_empty());
    }

    #[test]
    fn what_is_stored_is_read_back() {
        let order = asked();
        let text = serde_json::to_vec(&order).unwrap();
        assert_eq!(super::parse(&text), Some(order));
        assert_eq!(super::parse(br#"{"sequence":"two"}"#), None);
    }
}
