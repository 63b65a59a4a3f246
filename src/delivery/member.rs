//! A local member of a group: how it joins, what it pulls, how it settles.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::event::{GroupName, Offset, Partition, Topic};

use super::mailbox::Mailbox;
use super::owner::{Command, Joined};
use super::view::{Breaker, BreakerReason};
use super::{Error, Policy, Tag};

/// A connection's name, as given to the client in `hello`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct ConnectionId(Arc<str>);

/// A member's number, unique in this process: the `sub` of its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct MemberId(u32);

/// When a delivery counts as settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckMode {
    /// When the client settles it.
    Manual,
    /// When [`Member::next`] hands it out: at most once.
    Auto,
}

/// A wish to become a member.
#[derive(Debug, Clone)]
pub struct Join {
    /// The group.
    pub group: GroupName,
    /// The connection that asks.
    pub connection: ConnectionId,
    /// Who asks; a broken connection's deliveries go only to the same principal.
    pub principal: Arc<str>,
    /// At most this many unsettled deliveries; held at the configured bound.
    pub credit: u32,
    /// When a delivery counts as settled.
    pub ack: AckMode,
    /// The connection whose deliveries this one takes over.
    pub adopt: Option<ConnectionId>,
    /// What the client believes the group reads.
    pub topics: Option<Vec<Topic>>,
}

/// Why deliveries are taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Withdrawal {
    /// An earlier one of the lane failed; they come again after it.
    Rewind,
    /// The partition goes to another gateway, or to another member.
    Rebalance,
    /// It was not settled in time.
    Expired,
    /// The group's offsets were moved on purpose.
    Reset,
    /// The group is paused.
    Paused,
}

/// Why records are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// They were removed by age or size before the group read them.
    Retention,
}

/// How far a group is behind in some partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Lag {
    /// Events not yet settled.
    pub events: u64,
    /// Age of the oldest of them.
    pub seconds: f64,
}

/// What a member is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Push {
    /// A delivery to be settled.
    Delivery {
        /// Its tag, as in the frame.
        tag: Tag,
        /// The complete JSON text `{"sub":9,"delivery":…}`.
        frame: Bytes,
    },
    /// Deliveries that no longer need to be settled.
    Withdrawn {
        /// Their tags.
        tags: Vec<Tag>,
        /// Why.
        reason: Withdrawal,
    },
    /// What the member works on, told when it changes.
    Assignment {
        /// The partitions, by topic.
        partitions: BTreeMap<Topic, Vec<Partition>>,
        /// How far behind they are; `None` where the log did not tell in time where one of them ends.
        lag: Option<Lag>,
        /// Whether the group is paused after a broad failure.
        breaker: Breaker,
        /// Why, when it is.
        breaker_reason: Option<BreakerReason>,
    },
    /// Records that will never come.
    Gap {
        /// The topic.
        topic: Topic,
        /// The partition.
        partition: Partition,
        /// The first one missed.
        from: Offset,
        /// Where reading goes on.
        to: Offset,
        /// Why.
        reason: GapReason,
    },
    /// Nothing more will come: settle what is in hand.
    Draining,
}

/// What a client says of deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Done.
    Ack(Vec<Tag>),
    /// Done, and every earlier one of this member in the same partition too.
    AckUpTo(Tag),
    /// Failed: try again.
    Nack {
        /// Which.
        tag: Tag,
        /// Instead of the policy's delay; held at the policy's bound.
        delay: Option<Duration>,
        /// In words, for the dead letter.
        reason: Option<String>,
    },
    /// Failed for good: to the dead letters.
    Reject {
        /// Which.
        tag: Tag,
        /// In words, for the dead letter.
        reason: Option<String>,
    },
    /// More time is needed.
    Extend {
        /// Which.
        tag: Tag,
        /// From now.
        by: Duration,
    },
}

/// Why a settlement did not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The delivery was settled, withdrawn or expired before.
    Stale,
    /// It is another connection's.
    Foreign,
    /// There never was such a delivery here.
    Unknown,
}

/// A settlement that did not count; serialises as `{"delivery":…,"state":…}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Refused {
    /// Which.
    #[serde(rename = "delivery")]
    pub tag: Tag,
    /// Why.
    pub state: State,
}

/// How a member ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// With a close handshake: its deliveries go back at once, uncounted.
    Clean,
    /// Without one: its deliveries wait `reconnect_grace` for a successor.
    Broken,
}

/// A membership: pull from it. Dropping it without [`Member::leave`] counts as broken.
#[derive(Debug)]
pub struct Member {
    guard: MemberGuard,
    policy: Arc<Policy>,
    is_adopted: bool,
}

/// The settling half of a membership. Cheap to clone; outliving the [`Member`] it answers [`Error::Closed`].
#[derive(Debug, Clone)]
pub struct MemberControl {
    id: MemberId,
    commands: mpsc::Sender<Command>,
}

/// A place in a group that is given up, as broken, when it is dropped.
#[derive(Debug)]
pub(super) struct MemberGuard {
    mailbox: Arc<Mailbox>,
    control: MemberControl,
}

impl ConnectionId {
    /// The connection of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MemberId {
    pub(super) const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl MemberGuard {
    pub(super) const fn new(id: MemberId, mailbox: Arc<Mailbox>, commands: mpsc::Sender<Command>) -> Self {
        Self { mailbox, control: MemberControl { id, commands } }
    }
}

impl Drop for MemberGuard {
    fn drop(&mut self) {
        self.mailbox.abandon();
    }
}

impl Member {
    pub(super) fn new(joined: Joined) -> Self {
        let Joined { guard, policy, is_adopted } = joined;
        Self { guard, policy, is_adopted }
    }

    /// Ends the membership; returns when what it had went back.
    pub async fn leave(self, how: How) {
        let control = &self.guard.control;
        let (reply, answer) = oneshot::channel();
        if control.commands.send(Command::Leave { member: control.id, how, reply }).await.is_ok() {
            drop(answer.await);
        }
    }

    /// What comes next: at least one, at most about `bytes_max` of frames; waits. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Closed`] after the drain, or when another connection took over.
    pub async fn next(&mut self, bytes_max: usize) -> Result<Vec<Push>, Error> {
        poll_fn(|context| self.poll_next(bytes_max, context)).await
    }

    /// As [`Member::next`], for who waits for many things at once.
    ///
    /// # Errors
    /// As [`Member::next`].
    pub fn poll_next(
        &mut self,
        bytes_max: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<Vec<Push>, Error>> {
        self.guard.mailbox.poll_next(bytes_max, context)
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.guard.control.id
    }

    /// The group's policy as it was at joining.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    /// Whether it took over the deliveries of the connection it named.
    #[must_use]
    pub fn adopted(&self) -> bool {
        self.is_adopted
    }

    /// A handle to settle with.
    #[must_use]
    pub fn control(&self) -> MemberControl {
        self.guard.control.clone()
    }
}

impl MemberControl {
    /// Applies a settlement; answers what did not count.
    ///
    /// # Errors
    /// [`Error::Closed`] when the membership has ended.
    pub async fn settle(&self, settlement: Settlement) -> Result<Vec<Refused>, Error> {
        let member = self.id;
        self.order(|reply| Command::Settle { member, settlement, reply }).await
    }

    /// Changes the window; deliveries above a smaller one stay.
    ///
    /// # Errors
    /// [`Error::Closed`] when the membership has ended.
    pub async fn set_credit(&self, credit: u32) -> Result<(), Error> {
        let member = self.id;
        self.order(|reply| Command::Credit { member, credit, reply }).await
    }

    /// Stops new deliveries; those not pulled yet go back.
    ///
    /// # Errors
    /// [`Error::Closed`] when the membership has ended.
    pub async fn pause(&self) -> Result<(), Error> {
        let member = self.id;
        self.order(|reply| Command::Pause { member, is_paused: true, reply }).await
    }

    /// Goes on.
    ///
    /// # Errors
    /// [`Error::Closed`] when the membership has ended.
    pub async fn resume(&self) -> Result<(), Error> {
        let member = self.id;
        self.order(|reply| Command::Pause { member, is_paused: false, reply }).await
    }

    async fn order<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}
