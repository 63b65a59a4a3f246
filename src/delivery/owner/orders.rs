//! What members and the service order.

use std::sync::Arc;

use crate::event::Partition;

use super::super::mailbox::Mailbox;
use super::super::member::{MemberGuard, MemberId};
use super::super::roster::Seat;
use super::super::view::{MemberKind, MemberView};
use super::super::{Error, Exhausted, How, Join, Policy, Settlement};
use super::{Command, Joined, Owner, Phase, Snapshot, SourceSnapshot};

impl Owner {
    pub(super) fn order(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Join { join, reply } => drop(reply.send(self.join(*join))),
            Command::Leave { member, how, reply } => {
                self.leave(member, how);
                reply.send(()).ok();
            }
            Command::Settle { member, settlement, reply } => {
                let settled =
                    self.known(member).map(|()| self.machine.settle(member.number(), &settlement, now));
                drop(reply.send(settled));
            }
            Command::Credit { member, credit, reply } => {
                let credit = credit.min(self.shared.config.in_flight_max);
                let changed = self.known(member).map(|()| self.machine.set_credit(member.number(), credit));
                drop(reply.send(changed));
            }
            Command::Pause { member, is_paused, reply } => {
                drop(reply.send(self.known(member).map(|()| self.pause(member, is_paused))));
            }
            Command::Look { reply } => drop(reply.send(self.look())),
            Command::Retire { reply } => drop(reply.send(self.retire())),
            Command::Follow => self.follow(),
            Command::Drain => Self::drain(self),
        }
    }

    /// What members did without a word: pulled what counts as settled, or were dropped.
    pub(super) fn read_news(&mut self) {
        let all: Vec<_> = self.mailboxes.all().map(|(member, mailbox)| (member, mailbox.news())).collect();
        for (member, (settled, left)) in all {
            if !settled.is_empty() {
                // What was taken back meanwhile is not settled and comes again, as always.
                let _refused = self.machine.settle(member, &Settlement::Ack(settled), self.now());
            }
            if let Some(how) = left {
                self.leave(MemberId::new(member), how);
            }
        }
    }

    fn join(&mut self, join: Join) -> Result<Joined, Error> {
        if matches!(self.phase, Phase::Draining) {
            return Err(Error::Draining);
        }
        let control = self.sender.upgrade().ok_or(Error::Closed)?;
        let Join { group: _, connection, principal, credit, ack, adopt, topics: _ } = join;
        let member = self.shared.next_member();
        let catalogue = self.shared.catalogue.clone();
        let mailbox = Arc::new(Mailbox::new(member, ack, catalogue, Arc::clone(&self.news)));
        let credit = credit.min(self.shared.config.in_flight_max);
        let seat = Seat::new(connection, principal, credit);
        let replaced = self.machine.join(member.number(), seat, adopt.as_ref(), self.now());
        self.mailboxes.insert(member.number(), Arc::clone(&mailbox));
        if !replaced.is_empty() {
            self.tell_successor(member.number());
        }
        for before in &replaced {
            if let Some(before) = self.mailboxes.remove(*before) {
                // What it was handed meanwhile is now in the new member's name.
                let settled = Settlement::Ack(before.hand_over(&mailbox));
                let _refused = self.machine.settle(member.number(), &settled, self.now());
            }
        }
        for gap in self.gaps.take() {
            mailbox.tell(gap);
        }
        self.empty_since = None;
        let guard = MemberGuard::new(member, mailbox, control);
        let policy = Arc::clone(self.machine.policy());
        Ok(Joined { guard, policy, is_adopted: !replaced.is_empty() })
    }

    fn leave(&mut self, member: MemberId, how: How) {
        let Some(mailbox) = self.mailboxes.remove(member.number()) else { return };
        let (settled, _) = mailbox.news();
        let now = self.now();
        if !settled.is_empty() {
            let _refused = self.machine.settle(member.number(), &Settlement::Ack(settled), now);
        }
        self.machine.unsent(mailbox.recall(|_| true), now);
        if self.mailboxes.is_empty() {
            mailbox.recall_gaps().into_iter().for_each(|gap| self.gaps.keep(gap));
        }
        mailbox.close();
        self.machine.leave(member.number(), how, now);
    }

    fn pause(&mut self, member: MemberId, is_paused: bool) {
        if is_paused && let Some(mailbox) = self.mailboxes.get(member.number()) {
            let unsent = mailbox.recall(|_| true);
            self.machine.unsent(unsent, self.now());
        }
        self.machine.set_paused(member.number(), is_paused);
    }

    fn known(&self, member: MemberId) -> Result<(), Error> {
        if self.mailboxes.get(member.number()).is_some() { Ok(()) } else { Err(Error::Closed) }
    }

    fn retire(&mut self) -> bool {
        let has_members = self.machine.seats().next().is_some() || !self.mailboxes.is_empty();
        if !has_members {
            self.end("the group is to be deleted");
        }
        !has_members
    }

    /// Ends the task, whoever is here.
    fn end(&mut self, reason: &str) {
        match self.phase {
            Phase::Serving | Phase::Restarting(_) => {
                tracing::info!(group = %self.group, reason, "group ends");
                self.phase = Phase::Ending;
                self.recall(|_| true);
                self.machine.drain(self.now());
            }
            Phase::Ending | Phase::Draining => {}
        }
    }

    /// Follows what all gateways are told of the group.
    pub(super) fn follow(&mut self) {
        let (policy, resumed) = {
            let policies = &self.shared.policies;
            (policies.get(&self.group), policies.resumed(&self.group))
        };
        match policy {
            Some(policy) => self.follow_policy(policy),
            None => self.end("the group was deleted"),
        }
        if let Some(resumed) = resumed {
            self.machine.resume(resumed, self.now());
        }
    }

    fn follow_policy(&mut self, policy: Arc<Policy>) {
        let before = match &self.phase {
            Phase::Restarting(next) => next,
            Phase::Serving | Phase::Ending | Phase::Draining => self.machine.policy(),
        };
        if **before == *policy {
            return;
        }
        let parks = |policy: &Policy| policy.on_exhausted == Exhausted::ParkKey;
        // What is parked is read when partitions come.
        let is_same_order = before.topics == policy.topics
            && before.ordering == policy.ordering
            && parks(before) == parks(&policy);
        match &mut self.phase {
            Phase::Restarting(next) => *next = policy,
            Phase::Serving if is_same_order => self.machine.set_policy(policy, self.now()),
            Phase::Serving => self.begin_anew(policy),
            Phase::Ending | Phase::Draining => {}
        }
    }

    /// Leaves the log's group to join it again under this policy; the members stay where its topics do.
    pub(super) fn begin_anew(&mut self, policy: Arc<Policy>) {
        self.phase = Phase::Restarting(policy);
        self.recall(|_| true);
        self.machine.drain(self.now());
    }

    fn look(&self) -> Snapshot {
        let seats = self.machine.seats();
        let members = seats.map(|(_, seat)| MemberView {
            node: Arc::clone(&self.shared.config.node),
            kind: MemberKind::Socket,
            connection: Some(seat.connection.clone()),
            in_flight: usize::try_from(seat.in_flight).unwrap_or(usize::MAX),
        });
        let members = members.collect();
        let sources = self.machine.states(self.now()).into_iter().filter_map(|state| {
            let topic = self.topic(state.slot)?.clone();
            let source = SourceSnapshot { head: state.head, blocked: state.blocked };
            Some(((topic, Partition::new(state.slot.partition)), source))
        });
        let sources = sources.collect();
        let (open_for, open_reason) = (self.machine.open_for(self.now()), self.machine.open_reason());
        Snapshot { members, open_for, open_reason, sources }
    }
}
