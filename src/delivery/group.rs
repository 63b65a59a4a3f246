//! A group on this gateway, as a pure state machine: input in, [`Action`]s out, time and randomness as parameters.
//!
//! It knows sources (assigned partitions), lanes and seats (local members), and decides what is sent to whom,
//! what is taken back, what is committed and what is dead. It never waits, sends or writes: the owner feeds it and
//! carries out what [`Group::pump`] answers, in order.
//!
//! ```text
//! assign, records ── intake ─┐                     ┌── Send, Withdraw
//! join, leave, credit ── roster ── lanes ── pump ──┼── Commit ── committed
//! settle, expiry ── settlement ─┘    │             └── Bury ── buried
//!        └── breaker: deliveries, or probes
//! ```

mod action;
mod breaking;
mod commit;
mod dispatch;
mod halting;
mod intake;
mod members;
#[cfg(test)]
mod model;
mod parking;
mod resetting;
mod returning;
mod settlement;
mod source;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::event::{Record, Timestamp};

use super::breaker::Breaker;
use super::key_hash::KeyHash;
use super::lane::Lane;
use super::metadata::Progress;
use super::redrive::Ranked;
use super::resumes::Resumed;
use super::retry::Random;
use super::roster::Roster;
use super::{Policy, Tag, Withdrawal};
use source::Source;

pub(super) use action::{Action, Burial, Halted, Outcome, Outgoing, Reason, Settled, SourceCommit};
pub(super) use commit::CommitEnd;
pub(super) use watch::Blocked;

/// A time, twice: monotonic since the group began, and by the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Since some fixed instant.
    pub(super) elapsed: Duration,
    /// What people call it.
    pub(super) wall: Timestamp,
}

/// The index of the topic through which dead letters come back: none of the policy's.
pub(super) const REDRIVES: u32 = u32::MAX;

/// Set in the index of a topic whose range is delivered once more; no policy has so many topics.
const REPLAYED: u32 = 1 << 30;

/// A partition: the topic's index in the policy, which is marked where a range of it is delivered once more, or
/// [`REDRIVES`]; and the partition's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    /// Index in the policy's topics, marked for a range that is delivered once more, or [`REDRIVES`].
    pub(super) topic: u32,
    /// The partition.
    pub(super) partition: u32,
}

impl Slot {
    /// Whether what it holds are dead letters that come back.
    pub(super) const fn is_redriven(self) -> bool {
        self.topic == REDRIVES
    }

    /// Whether it is a range that is delivered once more.
    pub(super) const fn is_replayed(self) -> bool {
        self.topic & REPLAYED != 0 && !self.is_redriven()
    }

    /// Whether it is a partition of the group's topics, taken as it comes.
    pub(super) const fn is_own(self) -> bool {
        self.topic < REPLAYED
    }

    /// A range of this partition that is delivered once more.
    pub(super) const fn replayed(self) -> Self {
        Self { topic: self.topic | REPLAYED, partition: self.partition }
    }

    /// The index of its topic in the policy; of none, where dead letters come back.
    pub(super) const fn index(self) -> u32 {
        if self.is_redriven() { self.topic } else { self.topic & !REPLAYED }
    }
}

/// Where an assigned partition begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beginning {
    /// Which.
    pub(super) slot: Slot,
    /// The first offset that will be read.
    pub(super) position: u64,
    /// What was committed, where something was.
    pub(super) committed: Option<u64>,
    /// What was known above that.
    pub(super) progress: Progress,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum LaneKey {
    Partition,
    Key(Bytes),
    Record(u64),
}

type LaneId = u64;

/// A record as kept while it is unresolved.
#[derive(Debug, Clone)]
struct Kept {
    record: Record,
    /// `None` where it is dead without a try.
    lane: Option<LaneId>,
    /// Where its key can be parked.
    key: Option<KeyHash>,
    /// Which letter it is, where it comes back and its key's order is kept.
    letter: Option<Ranked>,
    error: Option<Arc<str>>,
}

#[derive(Debug)]
struct LaneSeat {
    lane: Lane,
    slot: Slot,
    key: LaneKey,
    owner: Option<u32>,
    /// Whether it stands in `ready` or `parked`.
    is_queued: bool,
    /// Whether it drains to move to another member.
    is_moving: bool,
    wake: Option<Duration>,
}

/// The machine of one group.
#[derive(Debug)]
pub(super) struct Group {
    policy: Arc<Policy>,
    random: Random,
    roster: Roster,
    sources: BTreeMap<Slot, Source>,
    lanes: HashMap<LaneId, LaneSeat>,
    /// Lanes with something to send.
    ready: VecDeque<LaneId>,
    /// Lanes whose member must first take what it has.
    parked: Vec<LaneId>,
    timers: BTreeSet<(Duration, LaneId)>,
    actions: Vec<Action>,
    breaker: Breaker,
    /// What the group was told last.
    resumed: Option<Resumed>,
    committing: commit::State,
    last_lane: LaneId,
    last_sequence: u64,
    last_epoch: u64,
    next_balance: Option<Duration>,
    is_draining: bool,
    is_assignment_changed: bool,
}

impl Group {
    /// A group without members and partitions, whose epochs are greater than `last_epoch`.
    #[must_use]
    pub(super) fn new(policy: Arc<Policy>, last_epoch: u64, random: Random) -> Self {
        let breaker = Breaker::new(policy.breaker);
        Self {
            policy,
            random,
            roster: Roster::default(),
            sources: BTreeMap::new(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            parked: Vec::new(),
            timers: BTreeSet::new(),
            actions: Vec::new(),
            breaker,
            resumed: None,
            committing: commit::State::default(),
            last_lane: 0,
            last_sequence: 0,
            last_epoch,
            next_balance: None,
            is_draining: false,
            is_assignment_changed: false,
        }
    }

    /// Follows another policy of the same topics and ordering from now on.
    pub(super) fn set_policy(&mut self, policy: Arc<Policy>, now: Moment) {
        self.unhalt_for(&policy, now);
        self.end_closings_for(&policy, now);
        self.set_breaker(policy.breaker);
        self.policy = policy;
        let window = self.window();
        for seat in self.lanes.values_mut() {
            seat.lane.set_window(window);
        }
        self.touch_all(now);
        self.admit_all(now);
    }

    /// Takes nothing new, stops sending, and gives what is in flight the rebalance grace to settle.
    pub(super) fn drain(&mut self, now: Moment) {
        self.is_draining = true;
        let slots: Vec<Slot> = self.sources.keys().copied().collect();
        self.revoke(&slots, now);
    }

    /// Carries everything on to `now` and answers what is to be done, in order.
    pub(super) fn pump(&mut self, now: Moment) -> Vec<Action> {
        self.end_graces(now);
        self.run_timers(now);
        self.balance(now);
        self.dispatch(now);
        self.close_sources(now);
        self.commit(now);
        std::mem::take(&mut self.actions)
    }

    /// When [`Group::pump`] must be called though nothing happened.
    #[must_use]
    pub(super) fn wake(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|(wake, _)| *wake);
        let probe = self.breaker.wake();
        [timer, self.grace_ends(), self.close_due(), self.commit_due(), self.next_balance, probe]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether a drain is complete.
    #[must_use]
    pub(super) fn is_drained(&self) -> bool {
        self.is_draining && self.sources.is_empty()
    }

    /// The greatest epoch given so far.
    #[must_use]
    pub(super) const fn last_epoch(&self) -> u64 {
        self.last_epoch
    }

    /// Which assignment of a partition this is; `None` where it is none of ours.
    #[must_use]
    pub(super) fn epoch(&self, slot: Slot) -> Option<u64> {
        self.sources.get(&slot).map(|source| source.epoch)
    }

    /// The policy followed.
    #[must_use]
    pub(super) const fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    fn window(&self) -> usize {
        match self.policy.ordering {
            super::Ordering::Partition => self.policy.lane_window,
            super::Ordering::Key | super::Ordering::None => 1,
        }
    }

    /// Brings a lane's timer and its place in the queue up to date after a change; an empty one goes, unless it
    /// is a partition's.
    fn touch(&mut self, id: LaneId, now: Moment) {
        let Some(seat) = self.lanes.get_mut(&id) else { return };
        let wake = seat.lane.wake(now.elapsed);
        if wake != seat.wake {
            if let Some(before) = seat.wake {
                self.timers.remove(&(before, id));
            }
            if let Some(after) = wake {
                self.timers.insert((after, id));
            }
            seat.wake = wake;
        }
        if seat.lane.is_empty() && seat.key != LaneKey::Partition {
            self.remove_lane(id);
        } else if !seat.is_queued && seat.lane.sendable(now.elapsed).is_some() {
            seat.is_queued = true;
            self.ready.push_back(id);
        }
    }

    fn touch_all(&mut self, now: Moment) {
        let ids: Vec<LaneId> = self.lanes.keys().copied().collect();
        for id in ids {
            self.touch(id, now);
        }
    }

    fn remove_lane(&mut self, id: LaneId) {
        let Some(seat) = self.lanes.remove(&id) else { return };
        if let Some(wake) = seat.wake {
            self.timers.remove(&(wake, id));
        }
        if let Some(owner) = seat.owner.and_then(|member| self.roster.get_mut(member)) {
            owner.lanes -= 1;
        }
        if let Some(source) = self.sources.get_mut(&seat.slot) {
            source.lanes.remove(&seat.key);
        }
    }

    fn set_owner(&mut self, id: LaneId, owner: Option<u32>) {
        let Some(seat) = self.lanes.get_mut(&id) else { return };
        if seat.owner == owner {
            return;
        }
        let before = std::mem::replace(&mut seat.owner, owner);
        seat.is_moving = false;
        self.is_assignment_changed |= seat.key == LaneKey::Partition;
        if let Some(member) = before.and_then(|member| self.roster.get_mut(member)) {
            member.lanes -= 1;
        }
        if let Some(member) = owner.and_then(|member| self.roster.get_mut(member)) {
            member.lanes += 1;
        }
    }

    /// A delivery is no longer in flight.
    fn landed(&mut self, slot: Slot, member: u32) {
        if let Some(seat) = self.roster.get_mut(member) {
            seat.in_flight -= 1;
        }
        if let Some(source) = self.sources.get_mut(&slot) {
            source.in_flight -= 1;
        }
    }

    fn tag(&self, slot: Slot, offset: u64, sequence: u64) -> Option<Tag> {
        let epoch = self.sources.get(&slot)?.epoch;
        Some(Tag { epoch, topic: slot.topic, partition: slot.partition, offset, sequence })
    }
}
