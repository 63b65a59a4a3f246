//! Where jobs are written down: in the table of letters' states, which all gateways share.
//!
//! ```text
//! redriving/{group}          the one that runs; that there is one key makes it one
//! redrive/{group}/{number}   those that ended, the last ones of each group
//! replaying/…, replay/…      the same for replays
//! ```

use std::marker::PhantomData;

use bytes::Bytes;

use crate::event::{GroupName, Timestamp};
use crate::log::{Draft, Table};

use super::super::Error;
use super::super::dead_letters::States;
use super::{JobId, Lost};

/// Jobs of a kind that are kept for a group after their end.
const KEPT_MAX: usize = 20;
/// What the keys of jobs begin with, of all kinds.
const PREFIXES: [&str; 4] = ["redriving/", "redrive/", "replaying/", "replay/"];

/// A kind of job, with all that a gateway has to know to go on with one.
pub(in crate::delivery) trait Job:
    Clone + PartialEq + serde::Serialize + serde::de::DeserializeOwned
{
    /// What people are told of one.
    type Told: Clone + serde::Serialize + serde::de::DeserializeOwned;

    /// What the key of the one that runs begins with.
    const RUNNING: &'static str;
    /// What the keys of those that ended begin with.
    const ENDED: &'static str;

    /// What people are told of it.
    fn told(&self) -> &Self::Told;
    /// Which one it is.
    fn id_of(told: &Self::Told) -> &JobId;
    /// Whether it has not ended.
    fn is_open(&self) -> bool;
    /// That there is one already.
    fn running(id: JobId) -> Error;
    /// Nobody can go on with it, whoever works on it.
    fn abandon(&mut self, reason: &str, now: Timestamp);
}

/// The jobs of a kind, of all groups.
#[derive(Debug)]
pub(in crate::delivery) struct Book<'s, J> {
    states: &'s States,
    table: &'s Table,
    kind: PhantomData<fn() -> J>,
}

impl<J> Clone for Book<'_, J> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<J> Copy for Book<'_, J> {}

impl<'s, J: Job> Book<'s, J> {
    /// What is written down so far.
    ///
    /// # Errors
    /// [`Error::NotLoaded`].
    pub(in crate::delivery) fn open(states: &'s States) -> Result<Self, Error> {
        Ok(Self { states, table: states.table()?, kind: PhantomData })
    }

    /// Writes a new job down, as `make` makes it of its id, where the group has none that runs.
    pub(in crate::delivery) async fn begin(
        self,
        group: &GroupName,
        now: Timestamp,
        make: impl Fn(JobId) -> J,
    ) -> Result<J::Told, Error> {
        let begin = |draft: &mut Draft<'_>| {
            let key = running_key::<J>(group);
            if let Some(running) = draft.read(&key).as_deref().and_then(parse::<J>) {
                return Err(J::running(J::id_of(running.told()).clone()));
            }
            let ended = ended_in::<J>(draft, group);
            let least = ended.last().map_or(0, |(_, last)| J::id_of(last).number().saturating_add(1));
            let number = u64::try_from(now.millis()).unwrap_or(0).max(least);
            let job = make(JobId::new(group.clone(), number));
            let value = written(&job)?;
            self.states.require_room(draft, draft.weight(&key, &value))?;
            if job.is_open() {
                // Its own place in the history is made when it ends.
                draft.write(key, Some(value));
            } else {
                end::<J>(draft, job.told())?;
            }
            Ok(job.told().clone())
        };
        self.table.update(begin).await
    }

    /// Changes the job of this id while it runs, and moves it among those that ended when it does. `None` where it does
    /// not run.
    pub(in crate::delivery) async fn change<T>(
        self,
        id: &JobId,
        change: impl Fn(&mut J) -> T,
    ) -> Result<Option<T>, Error> {
        let update = |draft: &mut Draft<'_>| {
            let key = running_key::<J>(id.group());
            let stored = draft.read(&key);
            let running = stored.as_deref().and_then(parse::<J>);
            let Some(mut job) = running.filter(|job| J::id_of(job.told()) == id) else { return Ok(None) };
            let before = job.clone();
            let answer = change(&mut job);
            if job == before {
                return Ok(Some(answer));
            }
            if job.is_open() {
                draft.write(key, Some(written(&job)?));
            } else {
                draft.write(key, None);
                end::<J>(draft, job.told())?;
            }
            Ok::<_, Error>(Some(answer))
        };
        self.table.update(update).await
    }

    /// Changes the job of this id as its owner.
    pub(in crate::delivery) async fn change_owned(
        self,
        id: &JobId,
        change: impl Fn(&mut J) -> Result<(), Lost>,
    ) -> Result<Result<(), Lost>, Error> {
        Ok(self.change(id, change).await?.unwrap_or(Err(Lost)))
    }

    /// Ends the job of a group that runs, whichever gateway carries it out: nobody can go on with it.
    pub(in crate::delivery) async fn abandon(
        self,
        group: &GroupName,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(job) = self.running(group) else { return Ok(()) };
        self.change(J::id_of(job.told()), |job| job.abandon(reason, now)).await.map(drop)
    }

    /// The job that runs for a group.
    pub(in crate::delivery) fn running(self, group: &GroupName) -> Option<J> {
        self.table.read(&running_key::<J>(group)).as_deref().and_then(parse)
    }

    /// All that run.
    pub(in crate::delivery) fn all_running(self) -> Vec<J> {
        let entries = self.table.below(J::RUNNING.as_bytes());
        entries.iter().filter_map(|(_, value)| parse(value)).collect()
    }

    /// A job, running or not.
    pub(in crate::delivery) fn read(self, id: &JobId) -> Option<J::Told> {
        let running = self.running(id.group()).map(|job| job.told().clone());
        let running = running.filter(|told| J::id_of(told) == id);
        running.or_else(|| self.table.read(&ended_key::<J>(id)).as_deref().and_then(parse))
    }

    /// The jobs of a group, the newest first.
    fn of_group(self, group: &GroupName) -> Vec<J::Told> {
        let ended = self.table.below(ended_prefix::<J>(group).as_bytes());
        let ended = ended.iter().rev().filter_map(|(_, value)| parse(value));
        self.running(group).map(|job| job.told().clone()).into_iter().chain(ended).collect()
    }

    /// The jobs of a group that `is_meant` lets through, behind the one that the cursor names, and where the next page
    /// begins, if there is one.
    pub(in crate::delivery) fn page(
        self,
        group: &GroupName,
        is_meant: impl Fn(&J::Told) -> bool,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<(Vec<J::Told>, Option<String>), Error> {
        let after = match cursor {
            Some(cursor) => Some(JobId::parse(cursor).ok_or(Error::InvalidCursor)?),
            None => None,
        };
        if after.as_ref().is_some_and(|after| after.group() != group) {
            return Err(Error::InvalidCursor);
        }
        let mut jobs = self.of_group(group);
        jobs.retain(|told| after.as_ref().is_none_or(|after| J::id_of(told) < after) && is_meant(told));
        let has_more = jobs.len() > limit;
        jobs.truncate(limit);
        let last = jobs.last().map(|last| J::id_of(last).to_string());
        Ok((jobs, last.filter(|_| has_more)))
    }

    /// Whether a key is of a job that runs or ran until now.
    pub(in crate::delivery) fn is_of_running(key: &[u8]) -> bool {
        key.starts_with(J::RUNNING.as_bytes())
    }
}

/// How many of a table's entries are about jobs.
pub(in crate::delivery) fn entries(table: &Table) -> usize {
    PREFIXES.iter().map(|prefix| table.below(prefix.as_bytes()).len()).sum()
}

/// Writes a job among those that ended, and forgets those that are too many.
fn end<J: Job>(draft: &mut Draft<'_>, told: &J::Told) -> Result<(), Error> {
    let id = J::id_of(told);
    let ended = ended_in::<J>(draft, id.group());
    let surplus = (ended.len() + 1).saturating_sub(KEPT_MAX);
    for (old, _) in ended.into_iter().take(surplus) {
        draft.write(old, None);
    }
    draft.write(ended_key::<J>(id), Some(written(told)?));
    Ok(())
}

/// The jobs of a group that ended, the oldest first.
fn ended_in<J: Job>(draft: &Draft<'_>, group: &GroupName) -> Vec<(Bytes, J::Told)> {
    let entries = draft.below(ended_prefix::<J>(group).as_bytes());
    entries.into_iter().filter_map(|(key, value)| Some((key, parse(&value)?))).collect()
}

fn running_key<J: Job>(group: &GroupName) -> Bytes {
    format!("{}{group}", J::RUNNING).into()
}

/// What the keys of a group's jobs that ended begin with.
pub(in crate::delivery) fn ended_prefix<J: Job>(group: &GroupName) -> String {
    format!("{}{group}/", J::ENDED)
}

/// With all digits that a number can have, so that keys sort as numbers do.
fn ended_key<J: Job>(id: &JobId) -> Bytes {
    format!("{}{:020}", ended_prefix::<J>(id.group()), id.number()).into()
}

fn written(value: &impl serde::Serialize) -> Result<Bytes, Error> {
    let written = serde_json::to_vec(value).map_err(|error| Error::invalid("", error.to_string()))?;
    Ok(written.into())
}

/// Reads an entry; one that a later version wrote otherwise counts as none.
fn parse<T: serde::de::DeserializeOwned>(stored: &[u8]) -> Option<T> {
    let entry = serde_json::from_slice(stored);
    entry.inspect_err(|error| tracing::warn!(%error, "a job cannot be read")).ok()
}
