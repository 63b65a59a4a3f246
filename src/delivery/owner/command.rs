//! What members and the service want of a group, and what they are answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::event::{Partition, Timestamp, Topic};

use super::super::group::Blocked;
use super::super::member::{MemberGuard, MemberId};
use super::super::view::{BreakerReason, MemberView};
use super::super::{Error, How, Join, Policy, Refused, Settlement};

/// What members and the service want of a group.
#[derive(Debug)]
pub(in crate::delivery) enum Command {
    Join {
        join: Box<Join>,
        reply: oneshot::Sender<Result<Joined, Error>>,
    },
    Leave {
        member: MemberId,
        how: How,
        reply: oneshot::Sender<()>,
    },
    Settle {
        member: MemberId,
        settlement: Settlement,
        reply: oneshot::Sender<Result<Vec<Refused>, Error>>,
    },
    Credit {
        member: MemberId,
        credit: u32,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Pause {
        member: MemberId,
        is_paused: bool,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Look {
        reply: oneshot::Sender<Snapshot>,
    },
    /// To end at once, unless somebody works for the group; answers whether it does.
    Retire {
        reply: oneshot::Sender<bool>,
    },
    /// To look at once what it is to follow.
    Follow,
    Drain,
}

/// A membership as the group hands it out.
#[derive(Debug)]
pub(in crate::delivery) struct Joined {
    pub(in crate::delivery) guard: MemberGuard,
    pub(in crate::delivery) policy: Arc<Policy>,
    pub(in crate::delivery) is_adopted: bool,
}

/// What only the group's task knows for a view.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Snapshot {
    pub(in crate::delivery) members: Vec<MemberView>,
    /// How long its breaker has been open.
    pub(in crate::delivery) open_for: Option<Duration>,
    /// And why; not known of a gateway of an older version.
    pub(in crate::delivery) open_reason: Option<BreakerReason>,
    pub(in crate::delivery) sources: HashMap<(Topic, Partition), SourceSnapshot>,
}

impl Snapshot {
    /// Whether nobody works there, and nothing is read.
    pub(in crate::delivery) fn is_idle(&self) -> bool {
        self.members.is_empty() && self.sources.is_empty()
    }
}

#[derive(Debug)]
pub(in crate::delivery) struct SourceSnapshot {
    pub(in crate::delivery) head: Option<Timestamp>,
    pub(in crate::delivery) blocked: Vec<Blocked>,
}
