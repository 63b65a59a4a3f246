//! Looking at groups: what their tasks know here, what other gateways told, what the log says.

use std::ops::Bound;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::event::GroupName;

use super::super::lag;
use super::super::merged::Merged;
use super::super::owner::{Command, Snapshot};
use super::super::{Error, GroupView, Policy};
use super::{Delivery, LOOK_MAX, Request};

impl Delivery {
    /// At most `limit` of the groups that may be seen, by name, of those behind `after`; and whether there are more. The log is
    /// asked for these alone.
    ///
    /// # Errors
    /// What the log says.
    pub async fn groups(
        &self,
        may_see: impl Fn(&GroupName) -> bool,
        after: Option<&GroupName>,
        limit: usize,
    ) -> Result<(Vec<GroupView>, bool), Error> {
        let policies = self.shared.policies.all();
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut seen = policies.range::<GroupName, _>(behind).filter(|(group, _)| may_see(group));
        let mut views = Vec::new();
        for (group, policy) in seen.by_ref().take(limit) {
            views.push(self.view(group, Arc::clone(policy)).await?);
        }
        Ok((views, seen.next().is_some()))
    }

    /// One group.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], or what the log says.
    pub async fn group(&self, group: &GroupName) -> Result<GroupView, Error> {
        let policy = self.known(group)?;
        self.view(group, policy).await
    }

    /// All groups' policies now, in no order.
    #[must_use]
    pub fn policies(&self) -> Vec<(GroupName, Arc<Policy>)> {
        let all = self.shared.policies.all();
        all.iter().map(|(group, policy)| (group.clone(), Arc::clone(policy))).collect()
    }

    /// A group's policy now; `None` for an unknown group.
    #[must_use]
    pub fn policy(&self, group: &GroupName) -> Option<Arc<Policy>> {
        self.shared.policies.get(group)
    }

    /// Whether the policies stored in the log are loaded.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.policies.is_loaded()
    }

    pub(in crate::delivery) fn known(&self, group: &GroupName) -> Result<Arc<Policy>, Error> {
        self.policy(group).ok_or_else(|| Error::UnknownGroup(group.clone()))
    }

    async fn view(&self, group: &GroupName, policy: Arc<Policy>) -> Result<GroupView, Error> {
        Ok(lag::view(&self.shared, group, policy, &self.merged(group).await).await?)
    }

    /// What all gateways that live have of a group.
    pub(in crate::delivery) async fn merged(&self, group: &GroupName) -> Merged {
        let shared = &*self.shared;
        let own = self.look(group).await;
        let others = shared.gateways.parts(group, &shared.life, shared.clock.now());
        Merged::new(&shared.config.node, own, others)
    }

    /// What the group's task knows; nothing where there is none, or where it does not answer.
    pub(in crate::delivery) async fn look(&self, group: &GroupName) -> Snapshot {
        self.glance(group).await.unwrap_or_default()
    }

    /// The same; `None` where there is none, or where it does not answer.
    pub(in crate::delivery) async fn glance(&self, group: &GroupName) -> Option<Snapshot> {
        let look = async {
            let owner = self.owner(group).await?;
            let (reply, answer) = oneshot::channel();
            owner.send(Command::Look { reply }).await.ok()?;
            answer.await.ok()
        };
        timeout(LOOK_MAX, look).await.ok().flatten()
    }

    /// The group's task, where there is one.
    pub(in crate::delivery) async fn owner(&self, group: &GroupName) -> Option<mpsc::Sender<Command>> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Peek { group: group.clone(), reply }).await.ok()?;
        answer.await.ok()?
    }

    /// The groups that have a task here.
    pub(in crate::delivery) async fn active(&self) -> Vec<GroupName> {
        let (reply, answer) = oneshot::channel();
        let asked = self.requests.send(Request::Active { reply }).await;
        if asked.is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }
}
