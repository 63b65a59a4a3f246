//! Ends replays that nobody can take: their group was deleted just when they were begun, on another gateway.

use crate::event::{GroupName, Timestamp};

use super::super::Error;
use super::super::jobs::Book;
use super::super::shared::Shared;
use super::Job;

/// A younger one stays: this gateway may know of the job before it knows of the group.
const GRACE_MS: i64 = 600_000;

/// Ends the replays of groups that are not known; to be asked once the groups are.
pub(in crate::delivery) async fn sweep(shared: &Shared) -> Result<(), Error> {
    let (book, now) = (Book::<Job>::open(&shared.states)?, shared.clock.now());
    let is_known = |group: &GroupName| shared.policies.get(group).is_some();
    for job in book.all_running() {
        let group = &job.told.group;
        if is_orphan(job.told.created_at, is_known(group), now) {
            book.abandon(group, &format!("group '{group}' was deleted"), now).await?;
            tracing::info!(%group, replay = %job.told.id, "replay ends: its group was deleted");
        }
    }
    Ok(())
}

fn is_orphan(created_at: Timestamp, is_known: bool, now: Timestamp) -> bool {
    !is_known && created_at.plus_millis(GRACE_MS) <= now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_old_replay_of_an_unknown_group_is_ended() {
        let (begin, soon) = (Timestamp::from_millis(0), Timestamp::from_millis(GRACE_MS - 1));
        let late = Timestamp::from_millis(GRACE_MS);
        assert!(is_orphan(begin, false, late));
        assert!(!is_orphan(begin, false, soon));
        assert!(!is_orphan(begin, true, late));
    }
}
