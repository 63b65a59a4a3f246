//! A replay that this gateway works on: which partitions are under way, and which of them are read and hand over next. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Filter, Offset};

use super::super::super::super::group::{Beginning, Slot};
use super::super::super::super::jobs::{JobId, Rate};
use super::super::super::super::metadata;
use super::super::super::super::replays::{Job, Part};
use super::feed::Feed;

/// Partitions that are replayed at once.
const FEEDS_MAX: usize = 16;
/// Partitions that are read at once, and how many of them may be ones that could not be read just now.
const READS_MAX: usize = 4;
const FAILING_READS_MAX: usize = 2;
/// A sign of life of a job that does not change, whose every writing is one of the whole: others count to ten seconds.
const SIGN_EVERY: Duration = Duration::from_secs(3);
/// How often partitions that cannot be read give their places to others.
const ASIDE_EVERY: Duration = Duration::from_secs(1);

/// A replay that this gateway works on.
pub(in crate::delivery::owner::replays) struct Run {
    /// This gateway's copy.
    copy: Job,
    /// How often it changed.
    changes: u64,
    /// What was told of it last.
    told: Option<Telling>,
    pub(super) filter: Option<Filter>,
    pub(super) rate: Rate,
    /// What is not begun, or set aside.
    waiting: VecDeque<(Slot, Feed)>,
    /// When partitions may be set aside again.
    aside_at: Option<Instant>,
    pub(super) feeds: BTreeMap<Slot, Feed>,
    /// Which of them hands over first now.
    pub(super) turn: usize,
    /// Which of them is read first now.
    read_turn: usize,
    /// How many of its offsets without an event that is meant are counted.
    skipped: u64,
    /// Why it can never go on.
    pub(super) never: Option<String>,
}

/// A copy as it is told to the table.
#[derive(Debug, Clone, Copy)]
pub(in crate::delivery::owner) struct Telling {
    /// How often it had changed.
    changes: u64,
    at: Instant,
}

impl Run {
    /// A run of a job whose parts are these partitions; none where one of them is no longer the group's.
    pub(in crate::delivery::owner::replays) fn new(
        job: Job,
        slots: Vec<Slot>,
        filter: Option<Filter>,
    ) -> Self {
        let is_whole = slots.len() == job.parts.len() && filter.is_some() == job.told.filter.is_some();
        let never = "the group does not read all of its topics any more".to_owned();
        Self {
            filter,
            rate: Rate::new(job.told.rate_per_second, Instant::now()),
            waiting: slots.into_iter().zip(&job.parts).filter_map(|one| feed(&job, one)).collect(),
            aside_at: None,
            feeds: BTreeMap::new(),
            turn: 0,
            read_turn: 0,
            skipped: job.told.counts.skipped,
            never: (!is_whole).then_some(never),
            changes: 0,
            told: None,
            copy: job,
        }
    }

    pub(in crate::delivery::owner::replays) const fn id(&self) -> &JobId {
        &self.copy.told.id
    }

    pub(in crate::delivery::owner::replays) const fn copy(&self) -> &Job {
        &self.copy
    }

    /// The partitions that were begun.
    pub(in crate::delivery::owner::replays) fn slots(&self) -> Vec<Slot> {
        self.feeds.keys().copied().collect()
    }

    /// Begins as many as are replayed at once.
    pub(super) fn begin(&mut self) -> Vec<Beginning> {
        let mut beginnings = Vec::new();
        while self.feeds.len() < FEEDS_MAX
            && let Some((slot, mut feed)) = self.waiting.pop_front()
        {
            let Some(part) = self.copy.part(feed.place) else { continue };
            let position = part.next.number();
            let progress = metadata::decode(position, &part.metadata);
            feed.settled.clone_from(&progress.settled);
            self.feeds.insert(slot, feed);
            beginnings.push(Beginning { slot, position, committed: Some(position), progress });
        }
        beginnings
    }

    /// Sets partitions aside that cannot be read now and have nothing under way, where others wait for a place: a few at a time,
    /// to come again after those. What is not there any more stays, to say so in time.
    pub(super) fn set_aside(&mut self, now: Instant) -> Vec<Slot> {
        let may_go = self.never.is_none() && self.aside_at.is_none_or(|at| at <= now);
        if !may_go || self.feeds.len() < FEEDS_MAX {
            return Vec::new();
        }
        let is_idle = |feed: &Feed| {
            let next = self.copy.part(feed.place).map(|part| part.next.number());
            feed.is_stuck() && next == Some(feed.read)
        };
        let stuck = self.feeds.iter().filter(|(_, feed)| is_idle(feed)).map(|(slot, _)| *slot);
        let slots: Vec<Slot> = stuck.take(self.waiting.len().min(READS_MAX)).collect();
        for slot in &slots {
            self.waiting.extend(self.feeds.remove(slot).map(|feed| (*slot, feed)));
            self.aside_at = Some(now + ASIDE_EVERY);
        }
        slots
    }

    /// Which partitions are to be read now, where so many are being read.
    pub(super) fn next_reads(&mut self, reads: usize, now: Instant) -> Vec<Slot> {
        self.feeds.values_mut().for_each(|feed| feed.wait_until(now));
        if self.never.is_some() {
            return Vec::new();
        }
        let failing = self.feeds.values().filter(|feed| feed.is_reading && feed.is_failing).count();
        // They may take long to fail again, and may not stop the others.
        let mut failing_max = FAILING_READS_MAX.saturating_sub(failing);
        let mut slots = turned(self.slots(), &mut self.read_turn);
        slots.retain(|slot| {
            let Some(feed) = self.feeds.get(slot).filter(|feed| feed.is_hungry()) else { return false };
            let may_read = !feed.is_failing || failing_max > 0;
            failing_max = failing_max.saturating_sub(usize::from(feed.is_failing));
            may_read
        });
        slots.truncate(READS_MAX.saturating_sub(reads));
        slots
    }

    /// The copy as it is now, to be told.
    pub(in crate::delivery::owner::replays) const fn telling(&self, now: Instant) -> Telling {
        Telling { changes: self.changes, at: now }
    }

    /// The table has what was told.
    pub(in crate::delivery::owner::replays) fn was_told(&mut self, telling: Telling) {
        self.told = Some(telling);
    }

    /// Whether the table is to be told: what has changed, or that this gateway still works on the job.
    pub(in crate::delivery::owner::replays) fn is_to_tell(&self, now: Instant) -> bool {
        self.has_changed() || self.told.is_some_and(|told| now.duration_since(told.at) >= SIGN_EVERY)
    }

    /// Whether the table knows less.
    pub(in crate::delivery::owner::replays) fn has_changed(&self) -> bool {
        self.told.is_none_or(|told| told.changes != self.changes)
    }

    /// Whether nothing is left.
    pub(in crate::delivery::owner::replays) fn is_done(&self) -> bool {
        self.copy.parts.is_empty()
    }

    /// Why it can never go on, if so.
    pub(in crate::delivery::owner::replays) fn failure(&self) -> Option<String> {
        self.never.clone()
    }

    /// So many more events were read.
    pub(super) fn matched(&mut self, count: u64) {
        self.changes += 1;
        self.copy.matched(count);
    }

    pub(in crate::delivery::owner::replays) fn delivered(&mut self) {
        self.changes += 1;
        self.copy.delivered();
    }

    pub(in crate::delivery::owner::replays) fn failed(&mut self) {
        self.changes += 1;
        self.copy.failed();
    }

    /// All of a partition before an offset is settled; whether nothing of it is left.
    pub(in crate::delivery::owner::replays) fn mark(
        &mut self,
        slot: Slot,
        offset: u64,
        metadata: String,
    ) -> bool {
        let Some(feed) = self.feeds.get(&slot) else { return false };
        self.changes += 1;
        let is_done = self.copy.mark(feed.place, Offset::new(offset), metadata);
        if is_done {
            self.feeds.remove(&slot);
        }
        is_done
    }

    /// How many more offsets had no event that is meant, since this was asked last. What is settled above the first unsettled
    /// event lowers the job's own count for a while.
    pub(in crate::delivery::owner::replays) fn newly_skipped(&mut self) -> u64 {
        let more = self.copy.told.counts.skipped.saturating_sub(self.skipped);
        self.skipped += more;
        more
    }

    pub(in crate::delivery::owner::replays) fn hold(&mut self, slot: Slot, is_held: bool) {
        if let Some(feed) = self.feeds.get_mut(&slot) {
            feed.is_held = is_held;
        }
    }

    pub(in crate::delivery::owner::replays) fn leave(&mut self, slot: Slot) {
        self.feeds.remove(&slot);
    }

    /// When the next event may be handed over, or read.
    pub(in crate::delivery::owner::replays) fn due(&self) -> Option<Instant> {
        let is_waiting = self.feeds.values().any(|feed| !feed.is_held && !feed.records.is_empty());
        let next = Some(self.rate.next()).filter(|_| is_waiting);
        // What can never go on is not read again.
        let again_at = self.feeds.values().filter_map(|feed| feed.again_at).min();
        [next, again_at.filter(|_| self.never.is_none())].into_iter().flatten().min()
    }
}

/// A part that is not begun.
fn feed(job: &Job, (slot, part): (Slot, &Part)) -> Option<(Slot, Feed)> {
    let feed = Feed {
        place: (part.topic, part.partition),
        topic: job.told.topics.get(part.topic)?.clone(),
        incarnation: job.incarnations.get(part.topic).copied().unwrap_or_default(),
        end: part.end.number(),
        settled: Vec::new(),
        reader: None,
        idle_since: Instant::now(),
        is_reading: false,
        records: VecDeque::new(),
        read: part.next.number(),
        is_held: false,
        is_failing: false,
        again_at: None,
        gone_since: None,
    };
    Some((slot, feed))
}

/// Another one first each time.
pub(super) fn turned(mut slots: Vec<Slot>, turn: &mut usize) -> Vec<Slot> {
    *turn = turn.wrapping_add(1);
    let first = turn.checked_rem(slots.len()).unwrap_or_default();
    slots.rotate_left(first);
    slots
}

#[cfg(test)]
mod tests;
