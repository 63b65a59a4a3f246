//! Where redrives are written down: in the table of letters' states, which all gateways share.
//!
//! ```text
//! redriving/{group}          the one that runs; that there is one key makes it one
//! redrive/{group}/{number}   those that ended, the last ones of each group
//! ```

use bytes::Bytes;

use crate::event::{GroupName, Timestamp};
use crate::log::{Draft, Table};

use super::super::super::Error;
use super::super::states::States;
use super::job::{Job, Lost};
use super::{Redrive, RedriveId, RedriveState};

/// Redrives of a group that are kept after their end.
const KEPT_MAX: usize = 20;
const RUNNING_PREFIX: &str = "redriving/";
const ENDED_PREFIX: &str = "redrive/";

/// The redrives of all groups.
#[derive(Debug, Clone, Copy)]
pub(super) struct Book<'s> {
    states: &'s States,
    table: &'s Table,
}

impl<'s> Book<'s> {
    /// What is written down so far.
    ///
    /// # Errors
    /// [`Error::NotLoaded`].
    pub(super) fn open(states: &'s States) -> Result<Self, Error> {
        Ok(Self { states, table: states.table()? })
    }

    /// Writes a new job down, as `make` makes it of its id, where the group has none that runs.
    pub(super) async fn begin(
        self,
        group: &GroupName,
        now: Timestamp,
        make: impl Fn(RedriveId) -> Job,
    ) -> Result<Redrive, Error> {
        let begin = |draft: &mut Draft<'_>| {
            let key = running_key(group);
            if let Some(running) = draft.read(&key).as_deref().and_then(parse::<Job>) {
                return Err(Error::RedriveRunning(running.told.id));
            }
            let ended = ended_in(draft, group);
            let least = ended.last().map_or(0, |(_, last)| last.id.number().saturating_add(1));
            let number = u64::try_from(now.millis()).unwrap_or(0).max(least);
            let job = make(RedriveId::new(group.clone(), number));
            let value = written(&job)?;
            self.states.require_room(draft, draft.weight(&key, &value))?;
            draft.write(key, Some(value));
            // Its own place in the history is made when it ends.
            Ok(job.told)
        };
        self.table.update(begin).await
    }

    /// Changes the job of this id while it runs, and moves it among those that ended when it does. `None` where it does
    /// not run.
    pub(super) async fn change<T>(
        self,
        id: &RedriveId,
        change: impl Fn(&mut Job) -> T,
    ) -> Result<Option<T>, Error> {
        let update = |draft: &mut Draft<'_>| {
            let key = running_key(id.group());
            let stored = draft.read(&key);
            let Some(mut job) = stored.as_deref().and_then(parse::<Job>).filter(|job| job.told.id == *id)
            else {
                return Ok(None);
            };
            let before = job.clone();
            let answer = change(&mut job);
            if job == before {
                return Ok(Some(answer));
            }
            if job.told.state == RedriveState::Running {
                draft.write(key, Some(written(&job)?));
                return Ok(Some(answer));
            }
            let ended = ended_in(draft, id.group());
            let surplus = (ended.len() + 1).saturating_sub(KEPT_MAX);
            for (old, _) in ended.into_iter().take(surplus) {
                draft.write(old, None);
            }
            draft.write(key, None);
            draft.write(ended_key(id), Some(written(&job.told)?));
            Ok::<_, Error>(Some(answer))
        };
        self.table.update(update).await
    }

    /// Changes the job of this id as its owner.
    pub(super) async fn change_owned(
        self,
        id: &RedriveId,
        change: impl Fn(&mut Job) -> Result<(), Lost>,
    ) -> Result<Result<(), Lost>, Error> {
        Ok(self.change(id, change).await?.unwrap_or(Err(Lost)))
    }

    /// The job that runs for a group.
    pub(super) fn running(self, group: &GroupName) -> Option<Job> {
        self.table.read(&running_key(group)).as_deref().and_then(parse)
    }

    /// All jobs that run.
    pub(super) fn all_running(self) -> Vec<Job> {
        let entries = self.table.below(RUNNING_PREFIX.as_bytes());
        entries.iter().filter_map(|(_, value)| parse(value)).collect()
    }

    /// A redrive, running or not.
    pub(super) fn read(self, id: &RedriveId) -> Option<Redrive> {
        let running = self.running(id.group()).map(|job| job.told).filter(|told| told.id == *id);
        running.or_else(|| self.table.read(&ended_key(id)).as_deref().and_then(parse))
    }

    /// The redrives of a group, the newest first.
    pub(super) fn of_group(self, group: &GroupName) -> Vec<Redrive> {
        let ended = self.table.below(ended_prefix(group).as_bytes());
        let ended = ended.iter().rev().filter_map(|(_, value)| parse(value));
        self.running(group).map(|job| job.told).into_iter().chain(ended).collect()
    }
}

/// How many of a table's entries are about redrives.
pub(in crate::delivery::dead_letters) fn entries(table: &Table) -> usize {
    table.below(RUNNING_PREFIX.as_bytes()).len() + table.below(ENDED_PREFIX.as_bytes()).len()
}

/// Whether a key is of a redrive that runs or ran until now.
pub(super) fn is_of_running(key: &[u8]) -> bool {
    key.starts_with(RUNNING_PREFIX.as_bytes())
}

/// The redrives of a group that ended, the oldest first.
fn ended_in(draft: &Draft<'_>, group: &GroupName) -> Vec<(Bytes, Redrive)> {
    let entries = draft.below(ended_prefix(group).as_bytes());
    entries.into_iter().filter_map(|(key, value)| Some((key, parse(&value)?))).collect()
}

fn running_key(group: &GroupName) -> Bytes {
    format!("{RUNNING_PREFIX}{group}").into()
}

/// What the keys of a group's redrives that ended begin with.
pub(in crate::delivery::dead_letters) fn ended_prefix(group: &GroupName) -> String {
    format!("{ENDED_PREFIX}{group}/")
}

/// With all digits that a number can have, so that keys sort as numbers do.
fn ended_key(id: &RedriveId) -> Bytes {
    format!("{}{:020}", ended_prefix(id.group()), id.number()).into()
}

fn written(value: &impl serde::Serialize) -> Result<Bytes, Error> {
    let written = serde_json::to_vec(value).map_err(|error| Error::InvalidRedrive(error.to_string()))?;
    Ok(written.into())
}

/// Reads an entry; one that a later version wrote otherwise counts as none.
fn parse<T: serde::de::DeserializeOwned>(stored: &[u8]) -> Option<T> {
    let entry = serde_json::from_slice(stored);
    entry.inspect_err(|error| tracing::warn!(%error, "a redrive cannot be read")).ok()
}
