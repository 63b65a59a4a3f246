//! What a gateway tells of a group, as it lies in the table: short, bounded, and the same as long as nothing happens. So
//! it holds times, not ages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::event::{Partition, Timestamp, Topic};

use super::super::ConnectionId;
use super::super::group::Blocked;
use super::super::merged::{LeftOut, Part};
use super::super::owner::{Snapshot, SourceSnapshot};
use super::super::view::{BreakerReason, MemberKind, MemberView};

/// Members that are told of.
const MEMBERS_MAX: usize = 1_000;
/// Partitions that are.
const PARTITIONS_MAX: usize = 2_000;
/// Blocked lanes of all of them together.
const LANES_MAX: usize = 1_000;

/// What one gateway has of one group.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Told {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<Member>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    topics: BTreeMap<String, Vec<Source>>,
    /// When its breaker opened, in milliseconds, where it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_since: Option<i64>,
    /// And why.
    #[serde(skip_serializing_if = "Option::is_none")]
    open_reason: Option<String>,
    #[serde(skip_serializing_if = "LeftOut::is_nothing")]
    left_out: LeftOut,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Member {
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
    #[serde(rename = "f", default)]
    in_flight: usize,
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Source {
    #[serde(rename = "p")]
    partition: u32,
    /// The time of its earliest unresolved record, in milliseconds.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    head: Option<i64>,
    #[serde(rename = "b", default, skip_serializing_if = "Vec::is_empty")]
    blocked: Vec<Lane>,
}

/// A blocked lane: offset, reason, attempts, and since when, in milliseconds.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Lane(u64, String, u32, i64);

/// What is to be told; `None` of a group that is not served.
pub(super) fn written(snapshot: &Snapshot, now: Timestamp) -> Option<Bytes> {
    if snapshot.is_idle() {
        return None;
    }
    let mut left_out = LeftOut::default();
    for member in snapshot.members.iter().skip(MEMBERS_MAX) {
        left_out.members += 1;
        left_out.in_flight += member.in_flight;
    }
    let member = |member: &MemberView| Member {
        connection: member.connection.as_ref().map(|connection| connection.as_str().to_owned()),
        in_flight: member.in_flight,
    };
    let members = snapshot.members.iter().take(MEMBERS_MAX).map(member).collect();
    // In an order of their own, or the same would be written in another one.
    let sources: BTreeMap<_, _> = snapshot.sources.iter().collect();
    left_out.partitions = sources.len().saturating_sub(PARTITIONS_MAX);
    let mut topics: BTreeMap<String, Vec<Source>> = BTreeMap::new();
    let mut room = LANES_MAX;
    for (index, ((topic, partition), source)) in sources.into_iter().enumerate() {
        let is_told = index < PARTITIONS_MAX;
        let blocked: Vec<Lane> =
            source.blocked.iter().take(if is_told { room } else { 0 }).map(Lane::of).collect();
        room -= blocked.len();
        left_out.lanes += source.blocked.len() - blocked.len();
        if is_told {
            let head = source.head.map(Timestamp::millis);
            let source = Source { partition: partition.number(), head, blocked };
            topics.entry(topic.as_str().to_owned()).or_default().push(source);
        }
    }
    let open_since = snapshot.open_for.map(|open| {
        now.plus_millis(i64::try_from(open.as_millis()).unwrap_or(i64::MAX).saturating_neg()).millis()
    });
    let open_reason = snapshot.open_reason.map(|reason| reason.as_str().to_owned());
    serde_json::to_vec(&Told { members, topics, open_since, open_reason, left_out }).ok().map(Bytes::from)
}

/// What a gateway of this name told so long ago; what another version wrote and cannot be read here is nothing.
pub(super) fn read(value: &[u8], (node, age): (&Arc<str>, Duration), now: Timestamp) -> Option<Part> {
    let told: Told = serde_json::from_slice(value)
        .inspect_err(|error| tracing::debug!(%node, %error, "what a gateway told cannot be read"))
        .ok()?;
    let member = |member: Member| MemberView {
        node: Arc::clone(node),
        kind: MemberKind::Socket,
        connection: member.connection.as_deref().map(ConnectionId::new),
        in_flight: member.in_flight,
    };
    let sources = told.topics.into_iter().flat_map(|(topic, sources)| {
        let topic = Topic::parse(&topic).ok();
        sources.into_iter().filter_map(move |source| {
            let place = (topic.clone()?, Partition::new(source.partition));
            let blocked = source.blocked.into_iter().map(Lane::read).collect();
            let head = source.head.map(Timestamp::from_millis);
            Some((place, SourceSnapshot { head, blocked }))
        })
    });
    let since = |millis: i64| u64::try_from(now.millis().saturating_sub(millis)).unwrap_or(0);
    let snapshot = Snapshot {
        sources: sources.collect(),
        members: told.members.into_iter().map(member).collect(),
        open_for: told.open_since.map(|millis| Duration::from_millis(since(millis))),
        // What a later version calls otherwise is not told on.
        open_reason: told.open_reason.as_deref().and_then(BreakerReason::parse),
    };
    Some(Part { node: Arc::clone(node), age, snapshot, left_out: told.left_out })
}

impl Lane {
    fn of(blocked: &Blocked) -> Self {
        Self(blocked.offset, blocked.reason.to_owned(), blocked.attempts, blocked.since.millis())
    }

    fn read(self) -> Blocked {
        let Self(offset, reason, attempts, since) = self;
        let reason = match reason.as_str() {
            "dead_letter" => "dead_letter",
            "halted" => "halted",
            "key_closing" => "key_closing",
            "key_parked" => "key_parked",
            // What a later version calls otherwise waits, too.
            _ => "retrying",
        };
        Blocked { offset, reason, attempts, since: Timestamp::from_millis(since) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn topic() -> Topic {
        Topic::parse("orders.v1").unwrap()
    }

    fn member(number: usize) -> MemberView {
        MemberView {
            node: "g1".into(),
            kind: MemberKind::Socket,
            connection: Some(ConnectionId::new(&format!("c-{number}"))),
            in_flight: 2,
        }
    }

    fn lane(offset: u64) -> Blocked {
        Blocked { offset, reason: "halted", attempts: 4, since: Timestamp::from_millis(400_000) }
    }

    fn snapshot(members: usize, partitions: u32, lanes: u64) -> Snapshot {
        let source = |_| SourceSnapshot {
            head: Some(Timestamp::from_millis(300_000)),
            blocked: (0..lanes).map(lane).collect(),
        };
        let place = |number| ((topic(), Partition::new(number)), source(number));
        Snapshot {
            members: (0..members).map(member).collect(),
            open_for: Some(Duration::from_secs(60)),
            open_reason: Some(BreakerReason::ConnectionsLost),
            sources: (0..partitions).map(place).collect(),
        }
    }

    fn read_back(snapshot: &Snapshot) -> (usize, Part) {
        let value = written(snapshot, NOW).unwrap();
        let part = read(&value, (&"g1".into(), Duration::from_secs(3)), NOW.plus_millis(3_000)).unwrap();
        (value.len(), part)
    }

    #[test]
    fn what_is_told_is_read_back_with_times_that_went_on() {
        let told = snapshot(2, 3, 1);
        let (_, part) = read_back(&told);
        assert_eq!((part.snapshot.members, part.left_out), (told.members, LeftOut::default()));
        assert_eq!(part.snapshot.open_for, Some(Duration::from_secs(63)));
        assert_eq!(part.snapshot.open_reason, Some(BreakerReason::ConnectionsLost));
        assert_eq!(part.snapshot.sources.len(), 3);
        let source = &part.snapshot.sources[&(topic(), Partition::new(2))];
        assert_eq!((source.head.unwrap().millis(), &source.blocked[0]), (300_000, &lane(0)));
    }

    #[test]
    fn the_same_is_told_in_the_same_words_whenever_it_is_asked() {
        let at = |millis| {
            let told = Snapshot { open_for: None, open_reason: None, ..snapshot(2, 50, 3) };
            written(&told, NOW.plus_millis(millis)).unwrap()
        };
        assert_eq!(at(0), at(5_000));
        assert_eq!(written(&Snapshot::default(), NOW), None);
    }

    #[test]
    fn what_is_told_of_a_large_group_is_bounded_and_says_what_it_leaves_out() {
        let (bytes, part) = read_back(&snapshot(1_003, 2_004, 20));
        let left_out = LeftOut { members: 3, in_flight: 6, partitions: 4, lanes: 2_004 * 20 - 1_000 };
        assert_eq!(part.left_out, left_out);
        assert_eq!((part.snapshot.members.len(), part.snapshot.sources.len()), (1_000, 2_000));
        assert!(bytes < 200_000, "{bytes}");
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        for value in ["", "[]x", "7", r#"{"members":7}"#, r#"{"topics":{"orders.v1":[{"p":-1}]}}"#] {
            assert!(read(value.as_bytes(), (&"g1".into(), Duration::ZERO), NOW).is_none(), "{value}");
        }
        let foreign = br#"{"more":1,"open_reason":"boredom","topics":{"no topic":[{"p":0}],"a.v1":[{"p":0,"b":[[1,"new",2,3]]}]},"open_since":-9223372036854775808}"#;
        let part = read(foreign, (&"g1".into(), Duration::ZERO), NOW).unwrap();
        assert_eq!(part.snapshot.sources.len(), 1);
    }
}
