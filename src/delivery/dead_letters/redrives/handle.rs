//! What the handle to all groups does with redrives.

use crate::event::GroupName;

use super::super::super::jobs::{Book, JobId};
use super::super::super::{Delivery, Error};
use super::job::Job;
use super::{Redrive, RedriveOrder, RedrivePlan, RedriveState, begin, plan};

/// Redrives of a group.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedrivePage {
    /// The redrives, the newest first.
    pub redrives: Vec<Redrive>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Delivery {
    /// What a redrive would send back now.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::UnknownDeadLetterOf`], [`Error::InvalidRedrive`], or what the log says.
    pub async fn plan_redrive(&self, group: &GroupName, order: &RedriveOrder) -> Result<RedrivePlan, Error> {
        self.known(group)?;
        begin::check_rate(order.rate_per_second)?;
        plan::plan(&self.shared, group, order).await
    }

    /// Begins a redrive: it is written down, and this gateway or another one carries it out.
    ///
    /// # Errors
    /// As [`Self::plan_redrive`]; [`Error::RedriveRunning`], [`Error::DeadLettersFull`].
    pub async fn begin_redrive(&self, group: &GroupName, order: RedriveOrder) -> Result<Redrive, Error> {
        self.known(group)?;
        begin::check_rate(order.rate_per_second)?;
        begin::begin(&self.shared, group, order).await
    }

    /// A redrive, running or among the last ones of its group.
    ///
    /// # Errors
    /// [`Error::UnknownRedrive`], [`Error::NotLoaded`].
    pub fn redrive(&self, id: &JobId) -> Result<Redrive, Error> {
        Book::<Job>::open(&self.shared.states)?.read(id).ok_or(Error::UnknownRedrive)
    }

    /// The last redrives of a group that `is_meant` lets through.
    ///
    /// # Errors
    /// [`Error::UnknownGroup`], [`Error::InvalidCursor`], [`Error::NotLoaded`].
    pub fn redrives(
        &self,
        group: &GroupName,
        is_meant: impl Fn(&Redrive) -> bool,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<RedrivePage, Error> {
        self.known(group)?;
        let book = Book::<Job>::open(&self.shared.states)?;
        let (redrives, cursor) = book.page(group, is_meant, limit, cursor)?;
        Ok(RedrivePage { redrives, cursor })
    }

    /// Ends a redrive, on whichever gateway it runs; what is on its way goes on. Once more changes nothing.
    ///
    /// # Errors
    /// As [`Self::redrive`]; [`Error::RedriveEnded`].
    pub async fn cancel_redrive(&self, id: &JobId, by: &str) -> Result<Redrive, Error> {
        let book = Book::<Job>::open(&self.shared.states)?;
        let now = self.shared.clock.now();
        book.change(id, |job| job.cancel(by, now)).await?;
        let redrive = self.redrive(id)?;
        match redrive.state {
            RedriveState::Running | RedriveState::Cancelled => Ok(redrive),
            RedriveState::Done | RedriveState::Failed => Err(Error::RedriveEnded(redrive.state)),
        }
    }
}
