//! What the machine orders, in the words its owner carries out.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Record, Timestamp};

use super::super::key_hash::KeyHash;
use super::super::{BreakerReason, Tag, Withdrawal};
use super::Slot;

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Outcome {
    /// Acknowledged.
    Ack,
    /// Refused for now.
    Nack,
    /// Refused for good.
    Reject,
    /// Not settled in time.
    Timeout,
    /// Its member was lost while it was the head of its lane.
    Lost,
}

/// Why a record is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) enum Reason {
    /// The last attempt failed.
    RetriesExhausted,
    /// A consumer rejected it.
    Rejected,
    /// The last attempt was not settled in time.
    Expired,
    /// An earlier record of its key is dead and not settled.
    KeyParked,
    /// It does not fit into the dead-letter topic; only a pointer to it does.
    TooLarge,
}

/// A delivery to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) struct Outgoing {
    /// To whom.
    pub(in crate::delivery) member: u32,
    /// Its tag.
    pub(in crate::delivery) tag: Tag,
    /// Which attempt, from 1.
    pub(in crate::delivery) attempt: u32,
    /// How long it may take.
    pub(in crate::delivery) deadline: Duration,
    /// What.
    pub(in crate::delivery) record: Record,
}

/// A record to be dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) struct Burial {
    /// Where it came from.
    pub(in crate::delivery) slot: Slot,
    /// The assignment.
    pub(in crate::delivery) epoch: u64,
    /// What.
    pub(in crate::delivery) record: Record,
    /// Its key, where that can be parked: then the letters of a partition are written in the order of these actions.
    pub(in crate::delivery) key: Option<KeyHash>,
    /// Whether its key is parked with it: before the letter counts as written that must be durable, too.
    pub(in crate::delivery) parks: bool,
    /// Why.
    pub(in crate::delivery) reason: Reason,
    /// In the consumer's words.
    pub(in crate::delivery) error: Option<Arc<str>>,
    /// How often it was tried.
    pub(in crate::delivery) attempts: u32,
    /// When it failed first.
    pub(in crate::delivery) first_failed: Timestamp,
    /// When it failed last.
    pub(in crate::delivery) last_failed: Timestamp,
}

/// A partition that stopped, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::delivery) struct Halted {
    /// Which.
    pub(in crate::delivery) slot: Slot,
    /// The record that has no attempts left.
    pub(in crate::delivery) offset: u64,
    /// How often it was tried.
    pub(in crate::delivery) attempts: u32,
}

/// A delivery that ended, for metrics and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) struct Settled {
    /// Where it came from.
    pub(in crate::delivery) slot: Slot,
    /// How it ended.
    pub(in crate::delivery) outcome: Outcome,
    /// What it was.
    pub(in crate::delivery) record: Record,
    /// Which attempt it was, from 1.
    pub(in crate::delivery) attempt: u32,
    /// From sending to settlement.
    pub(in crate::delivery) took: Duration,
}

/// A source's commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) struct SourceCommit {
    /// Which source.
    pub(in crate::delivery) slot: Slot,
    /// The next offset to settle.
    pub(in crate::delivery) offset: u64,
    /// What is known above it; empty when it did not fit.
    pub(in crate::delivery) metadata: String,
    /// Whether metadata was left out for its size.
    pub(in crate::delivery) is_cut: bool,
    pub(super) epoch: u64,
    pub(super) revision: u64,
}

/// What the owner must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) enum Action {
    /// Hand a delivery to a member.
    Send(Outgoing),
    /// Tell a member that deliveries are no longer its.
    Withdraw {
        /// Whom.
        member: u32,
        /// Which.
        tags: Vec<Tag>,
        /// Why.
        reason: Withdrawal,
    },
    /// Commit these, durably, and answer with [`super::Group::committed`]; never two at a time.
    Commit(Vec<SourceCommit>),
    /// Write a dead letter, durably, and answer with [`super::Group::buried`].
    Bury(Box<Burial>),
    /// Tell that a partition stopped.
    Halted(Halted),
    /// Tell that the group paused, or goes on.
    Breaker {
        /// Why it paused; `None` when it goes on.
        opened: Option<BreakerReason>,
    },
    /// Read no more records of a partition.
    Hold(Slot),
    /// Read records of a partition again.
    Release(Slot),
    /// Give a revoked partition back.
    GiveBack(Slot),
    /// Close a member that another connection took over.
    Close {
        /// Which.
        member: u32,
    },
    /// A delivery ended.
    Settled(Box<Settled>),
}
