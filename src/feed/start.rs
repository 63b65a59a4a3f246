//! Where a subscription begins in a topic: from what was asked to offsets, and what is missing there.

use std::collections::BTreeMap;

use futures_util::future;

use crate::event::{Cursor, Offset, Partition, Positions, Timestamp, Topic};
use crate::log::{self, Bounds, EventLog};

use super::stream::Stream;
use super::{At, From, Gap, GapReason};

/// A beginning in one topic.
#[derive(Debug, Clone)]
pub(super) enum Start {
    Latest,
    Earliest,
    Time(Timestamp),
    /// At these offsets; partitions not named begin at 0.
    Given(BTreeMap<Partition, Offset>),
    /// At the beginning of what replaced the topic these offsets lay in.
    Recreated(BTreeMap<Partition, Offset>),
}

/// Where each partition begins, in order, and what is missing before.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) offsets: Vec<Offset>,
    pub(super) gaps: Vec<Gap>,
}

impl Start {
    /// What `from` means for this topic.
    pub(super) fn of(from: &From, stream: &Stream) -> Self {
        match from {
            From::Latest => Self::Latest,
            From::Earliest => Self::Earliest,
            From::Time(time) => Self::Time(*time),
            From::Cursor { cursor, positions } => Self::resumed(cursor, positions, stream),
            From::Positions(positions) => {
                Self::Given(positions.get(&stream.topic).cloned().unwrap_or_default())
            }
        }
    }

    fn resumed(cursor: &Cursor, positions: &Positions, stream: &Stream) -> Self {
        let later = positions.get(&stream.topic);
        let entry = cursor.entries.iter().find(|(topic, ..)| *topic == stream.topic);
        let mut offsets: BTreeMap<_, _> =
            entry.map(|(.., offsets)| offsets.iter().copied().collect()).unwrap_or_default();
        for (partition, later) in later.into_iter().flatten() {
            let offset = offsets.entry(*partition).or_default();
            *offset = (*offset).max(*later);
        }
        match entry {
            Some((_, incarnation, _)) if *incarnation != stream.incarnation.0 => Self::Recreated(offsets),
            _ => Self::Given(offsets),
        }
    }

    /// Asks the log for the offsets.
    pub(super) async fn begin(&self, log: &dyn EventLog, stream: &Stream) -> Result<Begun, log::Error> {
        let each = (0..stream.partition_count()).filter_map(|number| u32::try_from(number).ok());
        let each = each.map(|number| self.begin_in(log, &stream.topic, Partition::new(number)));
        let mut begun = Begun::default();
        for (offset, gap) in future::try_join_all(each).await? {
            begun.offsets.push(offset);
            begun.gaps.extend(gap);
        }
        Ok(begun)
    }

    /// The offset in one partition, and what is missing before.
    pub(super) async fn begin_in(
        &self,
        log: &dyn EventLog,
        topic: &Topic,
        partition: Partition,
    ) -> Result<(Offset, Option<Gap>), log::Error> {
        if let Self::Time(time) = self {
            return Ok((log.offset_at(topic, partition, *time).await?, None));
        }
        let bounds = log.bounds(topic, partition).await?;
        let stood = |offsets: &BTreeMap<_, _>| offsets.get(&partition).copied();
        Ok(match self {
            Self::Latest => (bounds.end, None),
            Self::Earliest | Self::Time(_) => (bounds.start, None),
            Self::Given(offsets) => {
                let from = stood(offsets).unwrap_or_default();
                match missing(from, bounds) {
                    None => (from, None),
                    Some((to, reason)) => (to, Some(gap(topic, partition, from, to, reason))),
                }
            }
            Self::Recreated(offsets) => {
                let told = |from| gap(topic, partition, from, bounds.start, GapReason::Recreated);
                (bounds.start, stood(offsets).map(told))
            }
        })
    }
}

/// Where a place outside the log's bounds goes on, and why.
pub(super) fn missing(at: Offset, bounds: Bounds) -> Option<(Offset, GapReason)> {
    if at < bounds.start {
        Some((bounds.start, GapReason::Retention))
    } else if at > bounds.end {
        Some((bounds.end, GapReason::Truncated))
    } else {
        None
    }
}

pub(super) fn gap(topic: &Topic, partition: Partition, from: Offset, to: Offset, reason: GapReason) -> Gap {
    Gap { topic: topic.clone(), partition, from, to, reason }
}

impl From {
    /// Whether reading goes on where it ended once.
    pub(super) const fn is_resume(&self) -> bool {
        match self {
            Self::Cursor { .. } | Self::Positions(_) => true,
            Self::Latest | Self::Earliest | Self::Time(_) => false,
        }
    }
}

impl std::convert::From<At> for Start {
    fn from(at: At) -> Self {
        match at {
            At::Latest => Self::Latest,
            At::Earliest => Self::Earliest,
            At::Time(time) => Self::Time(time),
        }
    }
}
