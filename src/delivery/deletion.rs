//! Groups that are deleted, where nobody works for them: what was told of one goes, on every gateway.
//!
//! ```text
//! this gateway's task ends, if it has no member ── the log forgets the offsets, if it knows of no member
//!    └── its redrive and replay end, its keys are no longer parked, its gaps go ── policy, reset and word to go on are gone
//! ```
//! The policy goes last, so that what was broken off can be asked for again. A group that somebody joins meanwhile ends
//! when its policy is gone. Dead letters stay for as long as they are kept, and are a new group's of the same name: those that
//! were on their way are open again, and what lies in the redrive topic is not for it ([`incarnations`]).

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::event::{GroupName, Timestamp};
use crate::log::{self, Draft, Table};

use super::owner::Command;
use super::{Delivery, Error, dead_letters, incarnations, policies, resets, resumes};

/// A task that has not ended by then has something in flight.
const RETIRE_MAX: Duration = Duration::from_secs(10);

impl Delivery {
    /// Deletes a group that has no member, durably and on every gateway: its policy, its offsets, its parked keys. A
    /// redrive or replay that runs ends as failed. One of the configuration file comes back when that is read again.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::HasMembers`], [`Error::NotLoaded`], or what the log says; then the group is still
    /// there, and it can be tried again.
    pub async fn delete_group(&self, group: &GroupName) -> Result<(), Error> {
        self.known(group)?;
        self.retire(group).await?;
        self.forget_offsets(group).await?;
        dead_letters::forget_group(&self.shared, group).await?;
        self.shared.gateways.forget_gaps(group).await?;
        self.shared.policies.delete(group.clone(), self.shared.clock.now()).await?;
        tracing::info!(%group, "group deleted");
        let forgotten = async {
            // Begun meanwhile by who still knew the group.
            if self.known(group).is_err() {
                dead_letters::end_jobs(&self.shared, group).await?;
            }
            self.retire(group).await?;
            self.forget_offsets(group).await?;
            dead_letters::call_back(&self.shared, group).await
        };
        if let Err(error) = forgotten.await {
            tracing::warn!(%group, %error, "what was begun for a group while it was being deleted may stay, and its offsets; letters may stay marked as being redriven");
        }
        Ok(())
    }

    /// Ends the group's task here, which stays for a while after its last member.
    async fn retire(&self, group: &GroupName) -> Result<(), Error> {
        let Some(owner) = self.owner(group).await else { return Ok(()) };
        let retiring = async {
            let (reply, answer) = oneshot::channel();
            // One that does not answer is ending already.
            let is_sent = owner.send(Command::Retire { reply }).await.is_ok();
            if is_sent && answer.await == Ok(false) {
                return Err(Error::HasMembers(group.clone()));
            }
            owner.closed().await;
            Ok(())
        };
        timeout(RETIRE_MAX, retiring).await.unwrap_or_else(|_| Err(Error::HasMembers(group.clone())))
    }

    async fn forget_offsets(&self, group: &GroupName) -> Result<(), Error> {
        self.shared.groups.forget(group).await.map_err(|error| match error {
            log::Error::NotSupported(_) => Error::HasMembers(group.clone()),
            error => error.into(),
        })
    }
}

/// Removes all that a table of groups says of one, but that there was one.
pub(super) async fn write(table: &Table, group: &GroupName, now: Timestamp) -> Result<(), Error> {
    let keys: [Bytes; 3] = [policies::key(group), resets::key(group), resumes::key(group)];
    let update = |draft: &mut Draft<'_>| {
        for key in &keys {
            if draft.read(key).is_some() {
                draft.write(key.clone(), None);
            }
        }
        incarnations::advance(draft, group, now);
        Ok(())
    };
    table.update(update).await
}
