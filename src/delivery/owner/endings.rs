//! How the task of a group joins the log's group, drains, begins again under another policy, and leaves.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::event::{GroupName, Topic};
use crate::log::{GroupSubscription, Membership, Start};

use super::super::group::Group;
use super::super::retry::Random;
use super::super::shared::Shared;
use super::super::{Policy, Push, Tag};
use super::parking::Parking;
use super::redrives::Reading;
use super::{Owner, Phase, seed};

const LEAVE_MAX: Duration = Duration::from_secs(5);
const REJOIN_FIRST: Duration = Duration::from_millis(200);
const REJOIN_MAX: Duration = Duration::from_secs(10);

impl Owner {
    /// A drain is complete; whether the task ends.
    pub(super) async fn end_phase(&mut self) -> bool {
        self.leave_replay().await;
        self.leave_log().await;
        match std::mem::replace(&mut self.phase, Phase::Serving) {
            Phase::Restarting(policy) => {
                self.begin_again(policy);
                false
            }
            Phase::Serving | Phase::Ending | Phase::Draining => true,
        }
    }

    fn begin_again(&mut self, policy: Arc<Policy>) {
        let is_same_topics = policy.topics == self.machine.policy().topics;
        let mut machine = Group::new(policy, self.machine.last_epoch(), Random::new(seed()));
        machine.set_resumed(self.shared.policies.resumed(&self.group));
        let now = self.now();
        if is_same_topics {
            for (member, seat) in self.machine.seats() {
                machine.join(member, seat.fresh(), None, now);
            }
        } else {
            // Members were let in to other topics: they end, and those that come back are judged anew.
            self.end_members();
        }
        self.machine = machine;
        self.committing = None;
        self.judging.clear();
        self.parking = Parking::default();
        self.ends.clear();
        self.mailboxes.forget_told();
        self.join_log();
        tracing::info!(group = %self.group, "group begins again");
    }

    pub(super) fn end_members(&mut self) {
        for mailbox in self.mailboxes.take() {
            mailbox.close();
        }
    }

    pub(super) fn drain(&mut self) {
        if matches!(self.phase, Phase::Draining) {
            return;
        }
        self.phase = Phase::Draining;
        self.recall(|_| true);
        for (_, mailbox) in self.mailboxes.all() {
            mailbox.tell(Push::Draining);
        }
        self.machine.drain(self.now());
    }

    /// Takes back what members have not pulled.
    pub(super) fn recall(&mut self, is_meant: impl Fn(&Tag) -> bool) {
        let tags = self.mailboxes.all().flat_map(|(_, mailbox)| mailbox.recall(&is_meant)).collect();
        self.machine.unsent(tags, self.now());
    }

    pub(super) fn join_log(&mut self) {
        let policy = Arc::clone(self.machine.policy());
        self.joining = Some(Box::pin(join_log(Arc::clone(&self.shared), self.group.clone(), policy)));
    }

    pub(super) async fn leave_log(&mut self) {
        self.joining = None;
        self.measuring = None;
        self.commits = None;
        if let Some(events) = self.events.take()
            && timeout(LEAVE_MAX, events.leave()).await.is_err()
        {
            tracing::warn!(group = %self.group, "the log did not answer the group's leaving");
        }
    }
}

/// Becomes the log's member of the group, however long that takes. Dead letters that come back are read from when there
/// are any.
async fn join_log(shared: Arc<Shared>, group: GroupName, policy: Arc<Policy>) -> (Membership, Reading) {
    let start = match policy.start {
        super::super::Start::Earliest => Start::Earliest,
        super::super::Start::Latest => Start::Latest,
    };
    let redrives = Topic::of_redrives(&group);
    let mut delay = REJOIN_FIRST;
    loop {
        let mut topics = policy.topics.clone();
        let reading = Reading::of(&*shared.log, &redrives);
        if reading == Reading::Redrives {
            topics.push(redrives.clone());
        }
        match shared.groups.join(&group, GroupSubscription { topics, start }).await {
            Ok(membership) => return (membership, reading),
            Err(error) => tracing::warn!(%group, %error, "the group cannot be joined yet"),
        }
        sleep(delay).await;
        delay = (delay * 2).min(REJOIN_MAX);
    }
}
