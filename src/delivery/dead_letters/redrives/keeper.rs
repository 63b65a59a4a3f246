//! Carries redrives out: those that were asked for here, those that another gateway left, and those whose gateway gives
//! no sign any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::event::GroupName;

use super::super::super::Error;
use super::super::super::jobs::{Book, LOOK_EVERY, Signs};
use super::super::super::shared::Shared;
use super::job::Job;
use super::run::Run;

/// Redrives that one gateway carries out at once; the others wait, or go elsewhere.
const RUNNING_MAX: usize = 32;

/// Carries redrives out until it is told to stop; then hands them over.
pub(in crate::delivery) async fn keep(shared: Arc<Shared>, stopping: CancellationToken) {
    let loaded = stopping.run_until_cancelled(shared.states.loaded()).await;
    let Some(table) = loaded else { return };
    let mut changes = table.changes();
    let mut signs = Signs::default();
    let mut running = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut seen = *changes.borrow_and_update();
    loop {
        if let Err(error) = look(&shared, &stopping, &mut signs, &mut running, &mut tasks).await {
            tracing::debug!(%error, "a redrive cannot be taken over yet");
        }
        shared.metrics.letters.redrives.set(i64::try_from(running.len()).unwrap_or(i64::MAX));
        let next = Instant::now() + LOOK_EVERY;
        loop {
            // All branches are cancel safe.
            tokio::select! {
                () = stopping.cancelled() => {
                    while tasks.join_next().await.is_some() {}
                    shared.metrics.letters.redrives.set(0);
                    return;
                }
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the task of a redrive failed");
                    }
                    running.retain(|_, task| !task.is_finished());
                    break;
                }
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let keys = table.changed_since(seen);
                    seen = *changes.borrow_and_update();
                    if keys.is_none_or(|keys| keys.iter().any(|key| Book::<Job>::is_of_running(key))) {
                        break;
                    }
                }
                () = sleep_until(next) => break,
            }
        }
    }
}

/// Looks at all redrives that run, and begins with those that are this gateway's or nobody's.
async fn look(
    shared: &Arc<Shared>,
    stopping: &CancellationToken,
    signs: &mut Signs,
    running: &mut BTreeMap<GroupName, AbortHandle>,
    tasks: &mut JoinSet<()>,
) -> Result<(), Error> {
    let book = Book::<Job>::open(&shared.states)?;
    let jobs = book.all_running();
    signs.retain(|id| jobs.iter().any(|job| job.told.id == *id));
    let now = Instant::now();
    for job in jobs {
        let (group, id, beat) = (job.told.group.clone(), job.told.id.clone(), job.beat());
        if running.contains_key(&group) || running.len() >= RUNNING_MAX {
            continue;
        }
        let is_silent = signs.is_silent(&id, beat, now);
        let life = &*shared.life;
        if !job.is_run_by(life) {
            if job.is_owned() && !is_silent {
                continue;
            }
            let take = |job: &mut Job| {
                // Whoever gave a sign meanwhile keeps it.
                if job.beat() == beat {
                    job.take(life);
                }
                job.is_run_by(life)
            };
            if book.change(&id, take).await? != Some(true) {
                continue;
            }
            tracing::info!(redrive = %id, %group, "redrive taken over");
        }
        let Some(job) = book.running(&group).filter(|job| job.is_run_by(life)) else { continue };
        let (shared, stopping) = (Arc::clone(shared), stopping.clone());
        let task = tasks.spawn(async move {
            if let Ok(book) = Book::<Job>::open(&shared.states) {
                Run::new(&shared, book, job, &stopping).run(&stopping).await;
            }
        });
        running.insert(group, task);
    }
    Ok(())
}
