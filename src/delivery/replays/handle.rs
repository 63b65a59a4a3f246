//! What the handle to all groups does with replays.

use crate::event::GroupName;

use super::super::jobs::{Book, JobId};
use super::super::{Delivery, Error, dead_letters};
use super::plan::Scope;
use super::{Job, Replay, ReplayCounts, ReplayOrder, ReplayPlan, ReplayState};

/// Replays of a group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayPage {
    /// The replays, the newest first.
    pub replays: Vec<Replay>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Delivery {
    /// What a replay would read now.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::UnknownTopic`], [`Error::InvalidReplay`], or what the log says.
    pub async fn plan_replay(&self, group: &GroupName, order: &ReplayOrder) -> Result<ReplayPlan, Error> {
        let policy = self.known(group)?;
        let scope = Scope::of(&self.shared, &policy, order).await?;
        Ok(ReplayPlan { group: group.clone(), events: scope.events(), partitions: scope.ranges })
    }

    /// Begins a replay: it is written down, and a gateway that has members of the group carries it out.
    ///
    /// # Errors
    /// As [`Self::plan_replay`]; [`Error::ReplayRunning`], [`Error::DeadLettersFull`], [`Error::NotLoaded`].
    pub async fn begin_replay(&self, group: &GroupName, order: ReplayOrder) -> Result<Replay, Error> {
        let policy = self.known(group)?;
        let book = Book::<Job>::open(&self.shared.states)?;
        let scope = Scope::of(&self.shared, &policy, &order).await?;
        let now = self.shared.clock.now();
        let make = |id| {
            let told = Replay {
                id,
                group: group.clone(),
                state: ReplayState::Waiting,
                reason: None,
                events: scope.events(),
                counts: ReplayCounts::default(),
                topics: scope.topics.clone(),
                from: order.from.clone(),
                to: order.to.clone(),
                filter: order.filter.clone(),
                rate_per_second: order.rate_per_second,
                by: order.by.clone(),
                created_at: now,
                ended_at: None,
                cancelled_by: None,
            };
            Job::new(told, scope.incarnations.clone(), scope.parts())
        };
        let replay = book.begin(group, now, make).await?;
        // Who deleted the group meanwhile may not have seen the job.
        if let Err(error) = self.known(group) {
            dead_letters::end_jobs(&self.shared, group).await?;
            return Err(error);
        }
        tracing::info!(%group, replay = %replay.id, events = replay.events, "replay asked for");
        Ok(replay)
    }

    /// A replay, running or among the last ones of its group.
    ///
    /// # Errors
    /// [`Error::UnknownReplay`], [`Error::NotLoaded`].
    pub fn replay(&self, id: &JobId) -> Result<Replay, Error> {
        Book::<Job>::open(&self.shared.states)?.read(id).ok_or(Error::UnknownReplay)
    }

    /// The last replays of a group that `is_meant` lets through.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::InvalidCursor`], [`Error::NotLoaded`].
    pub fn replays(
        &self,
        group: &GroupName,
        is_meant: impl Fn(&Replay) -> bool,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<ReplayPage, Error> {
        self.known(group)?;
        let book = Book::<Job>::open(&self.shared.states)?;
        let (replays, cursor) = book.page(group, is_meant, limit, cursor)?;
        Ok(ReplayPage { replays, cursor })
    }

    /// Ends a replay, on whichever gateway it runs; what is in flight of it is withdrawn. Once more changes nothing.
    ///
    /// # Errors
    /// As [`Self::replay`]; [`Error::ReplayEnded`].
    pub async fn cancel_replay(&self, id: &JobId, by: &str) -> Result<Replay, Error> {
        let now = self.shared.clock.now();
        let book = Book::<Job>::open(&self.shared.states)?;
        book.change(id, |job| job.cancel(by, now)).await?;
        let replay = self.replay(id)?;
        match replay.state {
            ReplayState::Waiting | ReplayState::Running | ReplayState::Cancelled => Ok(replay),
            ReplayState::Done | ReplayState::Failed => Err(Error::ReplayEnded(replay.state)),
        }
    }
}
