//! What `GET /v1/groups` shows.

use std::sync::Arc;

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};

use super::{ConnectionId, Policy};

/// Whether the group is paused after a broad failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// It is not.
    #[default]
    Closed,
    /// It is, and sends one delivery now and then to see whether it can go on.
    Open,
}

/// Why a group is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerReason {
    /// Nearly all that is delivered fails.
    Failures,
    /// Connections of members break one after the other, or one did at the last attempt of what it had: deliveries are tried
    /// one by one.
    ConnectionsLost,
}

impl Breaker {
    pub(super) const fn of(is_open: bool) -> Self {
        if is_open { Self::Open } else { Self::Closed }
    }
}

impl BreakerReason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::ConnectionsLost => "connections_lost",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Failures, Self::ConnectionsLost].into_iter().find(|one| one.as_str() == text)
    }
}

/// What kind of member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberKind {
    /// A socket subscription.
    Socket,
}

/// A member, wherever it is connected.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// The gateway it is connected to.
    pub node: Arc<str>,
    /// What kind.
    pub kind: MemberKind,
    /// Its connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionId>,
    /// Its unsettled deliveries.
    pub in_flight: usize,
}

/// A lane whose head cannot go on by itself at once.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockedLane {
    /// The head's offset.
    pub offset: Offset,
    /// `retrying`, `dead_letter` while the letter is being written, `key_closing` while the last letters of its key are on
    /// their way back, `key_parked` while the key's release is written, or `halted`: the whole partition waits for this one.
    pub reason: &'static str,
    /// Attempts so far.
    pub attempts: u32,
    /// How long since its first failure.
    pub age_ms: u64,
}

/// Events of a partition that were gone before the group had read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct LastGap {
    /// The first of them.
    pub from: Offset,
    /// Where the group went on.
    pub to: Offset,
    /// When its gateway found them gone.
    pub at: Timestamp,
}

/// A partition of a group.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionView {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: Partition,
    /// The gateway that has it; absent where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Arc<str>>,
    /// The next offset to settle, as committed; absent before the first commit.
    pub committed_offset: Option<Offset>,
    /// The partition's end.
    pub end_offset: Offset,
    /// Events not yet settled.
    pub lag: u64,
    /// Age of the oldest of them.
    pub lag_seconds: f64,
    /// Records that halt the partition, then lanes that wait; the oldest 20.
    pub lanes_blocked: Vec<BlockedLane>,
    /// Keys whose later records become dead letters untried, until all letters of the key are settled.
    pub keys_parked: usize,
    /// The last events that the group missed here, if it ever missed any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_gap: Option<LastGap>,
}

/// A gateway that serves a group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayView {
    /// Its name.
    pub node: Arc<str>,
    /// Its members, those that are left out of the list too.
    pub members: usize,
    /// Their unsettled deliveries.
    pub in_flight: usize,
    /// The partitions it has.
    pub partitions: usize,
    /// Whether it has paused the group after a broad failure.
    pub breaker: Breaker,
    /// Why; absent when it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker_reason: Option<BreakerReason>,
    /// Members that are not in the list, since there were too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub members_left_out: usize,
    /// Partitions of which its state is not known, since there were too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub partitions_left_out: usize,
    /// Blocked lanes that are not in the list, since there were too many.
    #[serde(skip_serializing_if = "is_zero")]
    pub lanes_left_out: usize,
    /// When its part was true.
    pub updated_at: Timestamp,
    /// How long that is ago; 0 for the gateway asked.
    pub age_ms: u64,
}

/// A reset of a group's offsets that is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResetProgress {
    /// Since when its partitions are moved.
    pub since: Timestamp,
    /// Partitions that are not moved yet.
    pub partitions_left: usize,
}

/// A group.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// Its name.
    pub group: GroupName,
    /// Its policy.
    pub policy: Arc<Policy>,
    /// Its members on all gateways.
    pub members: Vec<MemberView>,
    /// Its partitions.
    pub partitions: Vec<PartitionView>,
    /// Whether some gateway has paused it after a broad failure.
    pub breaker: Breaker,
    /// Why, on the gateway that has done so for longest; absent when none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker_reason: Option<BreakerReason>,
    /// For how long at most; absent when none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker_open_ms: Option<u64>,
    /// The gateways that serve it, the one asked first, with the age of what is told of each.
    pub gateways: Vec<GatewayView>,
    /// A reset that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<ResetProgress>,
    /// When this was true.
    pub updated_at: Timestamp,
}

const fn is_zero(number: &usize) -> bool {
    *number == 0
}
