//! What is known of the dead letters of a group that is deleted. How its letters stand stays for as long as they do.

use bytes::Bytes;
use tokio::task::yield_now;

use crate::event::GroupName;
use crate::log::Draft;

use super::super::Error;
use super::super::jobs::{Book, ended_prefix};
use super::super::replays;
use super::super::shared::Shared;
use super::DeadLetterState;
use super::entry::{Entry, parse, prefix_of};
use super::parked;
use super::redrives::RedriveJob;
use super::states::Room;

/// Letters that are opened again at once.
const STEP: usize = 500;

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

/// Opens the letters of a deleted group again that were on their way back to it: they never come there. Some at a time, since
/// they may be very many.
pub(in crate::delivery) async fn call_back(shared: &Shared, group: &GroupName) -> Result<(), Error> {
    let (table, prefix) = (shared.states.table()?, prefix_of(group));
    let mut after = None;
    loop {
        let some = table.page(prefix.as_bytes(), after.as_deref(), STEP);
        let Some((last, _)) = some.last() else { return Ok(()) };
        after = Some(last.clone());
        let is_away = |(_, value): &(Bytes, Bytes)| parse(value).is_some_and(|entry| entry.is_away());
        let away: Vec<Bytes> = some.into_iter().filter(is_away).map(|(key, _)| key).collect();
        if !away.is_empty() {
            let now = shared.clock.now();
            let open = |_: &Bytes, before: Option<&Entry>| {
                let entry = before.filter(|entry| entry.is_away()).cloned().map(|mut entry| {
                    (entry.standing.state, entry.standing.settled) = (DeadLetterState::Open, None);
                    entry.changed_at = now;
                    entry
                });
                Ok(((), entry))
            };
            shared.states.update_all(&away, Bytes::clone, Room::Granted, open).await?;
        }
        yield_now().await;
    }
}

/// Ends a group's redrive and replay as failed: who watches one learns why it ended.
pub(in crate::delivery) async fn end_jobs(shared: &Shared, group: &GroupName) -> Result<(), Error> {
    let (reason, now) = (format!("group '{group}' was deleted"), shared.clock.now());
    Book::<RedriveJob>::open(&shared.states)?.abandon(group, &reason, now).await?;
    Book::<replays::Job>::open(&shared.states)?.abandon(group, &reason, now).await
}
