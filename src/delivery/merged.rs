//! A group as all gateways that serve it have it: what this one knows now, and what the others told last.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Partition, Timestamp, Topic};

use super::owner::{Snapshot, SourceSnapshot};
use super::view::{Breaker, BreakerReason, GatewayView, MemberView};

/// What one gateway has of a group.
#[derive(Debug)]
pub(super) struct Part {
    /// The gateway's name.
    pub(super) node: Arc<str>,
    /// Since its last sign.
    pub(super) age: Duration,
    pub(super) snapshot: Snapshot,
    pub(super) left_out: LeftOut,
}

/// What a gateway has and did not tell, since it were too much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(super) struct LeftOut {
    pub(super) members: usize,
    /// Of those members.
    pub(super) in_flight: usize,
    pub(super) partitions: usize,
    pub(super) lanes: usize,
}

/// All parts of a group: this gateway's own before the others'.
#[derive(Debug, Default)]
pub(super) struct Merged(Vec<Part>);

/// A partition as the gateway has it that serves it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served<'m> {
    pub(super) node: &'m Arc<str>,
    pub(super) source: &'m SourceSnapshot,
}

impl Part {
    /// What the gateway asked has itself.
    fn own(node: &Arc<str>, snapshot: Snapshot) -> Self {
        Self { node: Arc::clone(node), age: Duration::ZERO, snapshot, left_out: LeftOut::default() }
    }

    fn view(&self, now: Timestamp) -> GatewayView {
        let Self { node, age, snapshot, left_out } = self;
        let in_flight: usize = snapshot.members.iter().map(|member| member.in_flight).sum();
        GatewayView {
            node: Arc::clone(node),
            members: snapshot.members.len().saturating_add(left_out.members),
            in_flight: in_flight.saturating_add(left_out.in_flight),
            partitions: snapshot.sources.len().saturating_add(left_out.partitions),
            breaker: Breaker::of(snapshot.open_for.is_some()),
            breaker_reason: snapshot.open_reason,
            members_left_out: left_out.members,
            partitions_left_out: left_out.partitions,
            lanes_left_out: left_out.lanes,
            updated_at: now.plus_millis(i64::try_from(age.as_millis()).unwrap_or(i64::MAX).saturating_neg()),
            age_ms: millis(*age),
        }
    }
}

impl LeftOut {
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Merged {
    /// Of what this gateway has and what the others told.
    pub(super) fn new(node: &Arc<str>, own: Snapshot, others: Vec<Part>) -> Self {
        let mut parts = vec![Part::own(node, own)];
        parts.extend(others);
        parts.retain(|part| !part.snapshot.is_idle());
        Self(parts)
    }

    /// All members that were told of.
    pub(super) fn members(&self) -> Vec<MemberView> {
        self.0.iter().flat_map(|part| part.snapshot.members.iter().cloned()).collect()
    }

    /// Who has a partition; where two say so, while it goes from one to the other, the one that spoke last.
    pub(super) fn served(&self, topic: &Topic, partition: Partition) -> Option<Served<'_>> {
        let place = (topic.clone(), partition);
        let mut all = self.0.iter();
        all.find_map(|Part { node, snapshot, .. }| {
            snapshot.sources.get(&place).map(|source| Served { node, source })
        })
    }

    /// For how long a breaker has been open, on the gateway where it has been longest.
    pub(super) fn open_for(&self) -> Option<Duration> {
        self.0.iter().filter_map(|part| part.snapshot.open_for).max()
    }

    /// Why it is open there.
    pub(super) fn open_reason(&self) -> Option<BreakerReason> {
        let longest = self.0.iter().max_by_key(|part| part.snapshot.open_for)?;
        longest.snapshot.open_reason
    }

    /// The gateways that serve it.
    pub(super) fn gateways(&self, now: Timestamp) -> Vec<GatewayView> {
        self.0.iter().map(|part| part.view(now)).collect()
    }
}

/// As many milliseconds as fit.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::ConnectionId;
    use super::super::view::MemberKind;
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn snapshot(node: &str, partitions: &[u32], open_for: Option<u64>) -> Snapshot {
        let member = MemberView {
            node: node.into(),
            kind: MemberKind::Socket,
            connection: Some(ConnectionId::new("c")),
            in_flight: 3,
        };
        let place = |number: &u32| {
            let source = SourceSnapshot { head: None, blocked: Vec::new() };
            ((Topic::parse("a.v1").unwrap(), Partition::new(*number)), source)
        };
        Snapshot {
            members: vec![member],
            open_for: open_for.map(Duration::from_secs),
            open_reason: open_for.map(|_| BreakerReason::ConnectionsLost),
            sources: partitions.iter().map(place).collect(),
        }
    }

    #[test]
    fn parts_make_one_group() {
        let left_out = LeftOut { members: 5, in_flight: 7, partitions: 0, lanes: 2 };
        let told = snapshot("g2", &[1, 2], Some(9));
        let other = Part { node: "g2".into(), age: Duration::from_secs(4), snapshot: told, left_out };
        let merged = Merged::new(&"g1".into(), snapshot("g1", &[0, 1], None), vec![other]);
        let nodes: Vec<_> = merged.members().into_iter().map(|member| member.node).collect();
        assert_eq!(nodes, ["g1".into(), "g2".into()]);
        let topic = Topic::parse("a.v1").unwrap();
        let node = |number| merged.served(&topic, Partition::new(number)).map(|served| &**served.node);
        assert_eq!([0, 1, 2, 3].map(node), [Some("g1"), Some("g1"), Some("g2"), None]);
        assert_eq!(merged.open_for(), Some(Duration::from_secs(9)));
        assert_eq!(merged.open_reason(), Some(BreakerReason::ConnectionsLost));
        let gateways = merged.gateways(NOW);
        let second = &gateways[1];
        assert_eq!((second.members, second.in_flight, second.lanes_left_out), (6, 10, 2));
        assert_eq!((second.breaker, second.age_ms), (Breaker::Open, 4_000));
        assert_eq!(second.updated_at, NOW.plus_millis(-4_000));
        assert_eq!(gateways[0].breaker, Breaker::Closed);
    }

    #[test]
    fn a_gateway_that_serves_nothing_is_not_among_them() {
        let merged = Merged::new(&"g1".into(), Snapshot::default(), Vec::new());
        assert!(merged.gateways(NOW).is_empty() && merged.members().is_empty());
    }
}
