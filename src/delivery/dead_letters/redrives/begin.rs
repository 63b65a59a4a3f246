//! Writes a new redrive down, for the keeper of this gateway to find.

use crate::event::GroupName;

use super::super::super::Error;
use super::super::super::jobs::{Book, RATE_MAX};
use super::super::super::shared::Shared;
use super::job::{Job, Redrive, RedriveCounts, RedriveState};
use super::scope::Scope;
use super::{RedriveOf, RedriveOrder};

/// Refuses a rate that cannot be.
pub(super) fn check_rate(rate_per_second: Option<u32>) -> Result<(), Error> {
    match rate_per_second {
        Some(rate) if rate == 0 || rate > RATE_MAX => Err(Error::InvalidRedrive(format!(
            "'ratePerSecond' is 1 to {RATE_MAX}; without it letters go as fast as they can"
        ))),
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn begin(shared: &Shared, group: &GroupName, order: RedriveOrder) -> Result<Redrive, Error> {
    let book = Book::<Job>::open(&shared.states)?;
    let scope = Scope::of(shared, group, &order.sources, &order.of).await?;
    let letters = scope.letters();
    let filter = match order.of {
        RedriveOf::Filter(filter) => Some(filter),
        RedriveOf::Ids(_) => None,
    };
    let now = shared.clock.now();
    let make = |id| {
        let told = Redrive {
            id,
            group: group.clone(),
            state: RedriveState::Running,
            reason: None,
            letters,
            counts: RedriveCounts::default(),
            topics: scope.topics.clone(),
            filter: filter.clone(),
            rate_per_second: order.rate_per_second,
            by: order.by.clone(),
            created_at: now,
            ended_at: None,
            cancelled_by: None,
        };
        Job::new(told, scope.incarnations.clone(), scope.parts.clone(), &shared.life)
    };
    book.begin(group, now, make).await
}
