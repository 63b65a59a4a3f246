//! What is known of the dead letters of a group that is deleted. How its letters stand stays for as long as they do.

use crate::event::GroupName;
use crate::log::Draft;

use super::super::Error;
use super::super::jobs::{Book, ended_prefix};
use super::super::replays;
use super::super::shared::Shared;
use super::parked;
use super::redrives::RedriveJob;

/// Ends the redrive and the replay of a group that is deleted, and forgets those before them and which keys are parked,
/// durably.
pub(in crate::delivery) async fn forget_group(shared: &Shared, group: &GroupName) -> Result<(), Error> {
    let [keys, marks] = parked::prefixes_of(group);
    let prefixes = [keys, marks, ended_prefix::<RedriveJob>(group), ended_prefix::<replays::Job>(group)];
    let forget = |draft: &mut Draft<'_>| {
        for prefix in &prefixes {
            for (key, _) in draft.below(prefix.as_bytes()) {
                draft.write(key, None);
            }
        }
        Ok::<_, Error>(())
    };
    shared.states.table()?.update(forget).await?;
    end_jobs(shared, group).await
}

/// Ends a group's redrive and replay as failed: who watches one learns why it ended.
pub(in crate::delivery) async fn end_jobs(shared: &Shared, group: &GroupName) -> Result<(), Error> {
    let (reason, now) = (format!("group '{group}' was deleted"), shared.clock.now());
    Book::<RedriveJob>::open(&shared.states)?.abandon(group, &reason, now).await?;
    Book::<replays::Job>::open(&shared.states)?.abandon(group, &reason, now).await
}
