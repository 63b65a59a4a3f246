//! Reading the ranges of a replay and handing them to the machine, at its rate and as far as the machine takes them.
//!
//! Some partitions at a time, each in its order; the others wait until one of them is done, so that a replay of many costs
//! no more than one of a few.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::event::{Filter, Offset, Partition, Record, RecordView, Topic};
use crate::log::{self, Fetched, Purpose, Reader};

use super::super::super::group::{Beginning, Slot};
use super::super::super::jobs::{JobId, Rate};
use super::super::super::metadata;
use super::super::super::replays::{Job, Part};
use super::super::super::shared::Shared;
use super::super::{Owner, Phase};

/// Partitions that are replayed at once.
const FEEDS_MAX: usize = 16;
/// Partitions that are read at once.
const READS_MAX: usize = 4;
const READ_BYTES_MAX: usize = 64 << 10;
/// A read below the end that takes longer has failed: it may not be taken for the end.
const READ_MAX: Duration = Duration::from_secs(10);
/// After the log refused.
const AGAIN: Duration = Duration::from_secs(1);
/// A topic that is not there for so long was deleted. Before, this gateway may not have heard of it yet.
const GONE_MAX: Duration = Duration::from_secs(20);

/// A replay that this gateway works on.
pub(super) struct Run {
    /// This gateway's copy.
    copy: Job,
    filter: Option<Filter>,
    rate: Rate,
    /// What is not begun.
    waiting: VecDeque<(Slot, Part)>,
    feeds: BTreeMap<Slot, Feed>,
    /// Which of them is first now.
    turn: usize,
    /// Nothing is read before.
    again_at: Option<Instant>,
    /// Why it cannot go on, and since when.
    gone: Option<(String, Instant)>,
    /// Why it never can.
    never: Option<String>,
}

/// A partition that is replayed.
struct Feed {
    /// Which part of the job.
    place: (usize, Partition),
    topic: Topic,
    incarnation: u64,
    end: u64,
    /// Settled before this gateway took it, above the place where it began.
    settled: Vec<Range<u64>>,
    reader: Option<Box<dyn Reader>>,
    is_reading: bool,
    /// Read and meant, and not handed over.
    records: VecDeque<Record>,
    /// With no `records` all before it is handed over.
    read: u64,
    is_held: bool,
}

/// What was read of a range, and who reads on.
#[derive(Debug)]
pub(in crate::delivery::owner) struct Read {
    slot: Slot,
    reader: Option<Box<dyn Reader>>,
    fetched: Result<Fetched, Stop>,
}

/// Why a range cannot be read now.
#[derive(Debug)]
enum Stop {
    /// The topic is not the one that it was.
    Gone(String),
    Log(log::Error),
}

impl Owner {
    /// Begins ranges, hands over what was read, and reads on.
    pub(in crate::delivery::owner) fn feed_replay(&mut self) {
        self.replays.is_stirred = false;
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        self.begin_ranges();
        self.hand_over();
        self.read_on();
    }

    fn begin_ranges(&mut self) {
        let now = self.now();
        let Some(run) = &mut self.replays.run else { return };
        let mut beginnings = Vec::new();
        while run.feeds.len() < FEEDS_MAX
            && let Some((slot, part)) = run.waiting.pop_front()
        {
            let Some(topic) = run.copy.told.topics.get(part.topic) else { continue };
            let position = part.next.number();
            let progress = metadata::decode(position, &part.metadata);
            let feed = Feed {
                place: (part.topic, part.partition),
                topic: topic.clone(),
                incarnation: run.copy.incarnations.get(part.topic).copied().unwrap_or_default(),
                end: part.end.number(),
                settled: progress.settled.clone(),
                reader: None,
                is_reading: false,
                records: VecDeque::new(),
                read: position,
                is_held: false,
            };
            run.feeds.insert(slot, feed);
            beginnings.push(Beginning { slot, position, committed: Some(position), progress });
        }
        if !beginnings.is_empty() {
            self.machine.assign(beginnings, now);
        }
    }

    /// Hands over what was read, as far as rate and bounds allow.
    fn hand_over(&mut self) {
        let (moment, now) = (self.now(), Instant::now());
        let Some(run) = &mut self.replays.run else { return };
        run.turn = run.turn.wrapping_add(1);
        let mut slots = run.slots();
        if !slots.is_empty() {
            let first = run.turn % slots.len();
            slots.rotate_left(first);
        }
        for slot in slots {
            let Some(feed) = run.feeds.get_mut(&slot) else { continue };
            while !feed.is_held && !feed.records.is_empty() && run.rate.ready_at(now) <= now {
                let count = feed.records.len().min(run.rate.batch_max());
                let records: Vec<Record> = feed.records.drain(..count).collect();
                run.rate.take(count);
                let is_new = |record: &&Record| {
                    !feed.settled.iter().any(|settled| settled.contains(&record.offset.number()))
                };
                run.copy.matched(u64::try_from(records.iter().filter(is_new).count()).unwrap_or(0));
                self.machine.records(slot, records, moment);
                feed.is_held = self.machine.is_held(slot);
            }
            // What was read and not meant is passed over.
            let is_behind = self.machine.next_of(slot).is_some_and(|next| next < feed.read);
            if feed.records.is_empty() && is_behind {
                self.machine.gap(slot, feed.read, moment);
            }
        }
    }

    fn read_on(&mut self) {
        let now = Instant::now();
        let Some(run) = &mut self.replays.run else { return };
        if run.again_at.is_some_and(|at| now < at) || run.never.is_some() {
            return;
        }
        run.again_at = None;
        for (slot, feed) in &mut run.feeds {
            if self.replays.reads.len() >= READS_MAX {
                return;
            }
            if feed.is_hungry() {
                feed.is_reading = true;
                let (shared, slot, from) = (Arc::clone(&self.shared), *slot, feed.read);
                let (topic, incarnation, reader) = (feed.topic.clone(), feed.incarnation, feed.reader.take());
                self.replays.reads.push(Box::pin(async move {
                    let (reader, fetched) = read(&shared, &topic, incarnation, slot, from, reader).await;
                    Read { slot, reader, fetched }
                }));
            }
        }
    }

    /// Takes in what was read.
    pub(in crate::delivery::owner) fn replay_read(&mut self, read: Read) {
        let Some(run) = &mut self.replays.run else { return };
        let Some(feed) = run.feeds.get_mut(&read.slot) else { return };
        (feed.reader, feed.is_reading) = (read.reader, false);
        match read.fetched {
            Ok(fetched) => {
                run.gone = None;
                let storage = self.shared.catalogue.load().rule(&feed.topic).storage;
                let (range, filter) = (feed.read..feed.end, &run.filter);
                let is_meant = |record: &Record| {
                    range.contains(&record.offset.number())
                        && filter.as_ref().is_none_or(|one| one.matches(&RecordView::parse(record, storage)))
                };
                feed.read = fetched.next.number().clamp(feed.read, feed.end);
                feed.records.extend(fetched.records.into_iter().filter(is_meant));
            }
            // Retention was faster.
            Err(Stop::Log(log::Error::OffsetOutOfRange { start, .. })) if start.number() > feed.read => {
                feed.read = start.number().min(feed.end);
            }
            Err(Stop::Gone(reason)) => run.wait(reason),
            Err(Stop::Log(error @ (log::Error::UnknownTopic(_) | log::Error::UnknownPartition { .. }))) => {
                run.wait(error.to_string());
            }
            Err(Stop::Log(error)) if error.is_temporary() => {
                tracing::debug!(group = %self.group, topic = %feed.topic, %error, "a replay cannot read on yet");
                run.again_at = Some(Instant::now() + AGAIN);
            }
            Err(Stop::Log(error)) => run.never = Some(error.to_string()),
        }
    }
}

impl Run {
    /// A run of a job whose parts are these partitions; none where one of them is no longer the group's.
    pub(super) fn new(job: Job, slots: Vec<Slot>, filter: Option<Filter>) -> Self {
        let is_whole = slots.len() == job.parts.len() && filter.is_some() == job.told.filter.is_some();
        let never = "the group does not read all of its topics any more".to_owned();
        Self {
            filter,
            rate: Rate::new(job.told.rate_per_second, Instant::now()),
            waiting: slots.into_iter().zip(job.parts.iter().cloned()).collect(),
            feeds: BTreeMap::new(),
            turn: 0,
            again_at: None,
            gone: None,
            never: (!is_whole).then_some(never),
            copy: job,
        }
    }

    pub(super) const fn id(&self) -> &JobId {
        &self.copy.told.id
    }

    pub(super) const fn copy(&self) -> &Job {
        &self.copy
    }

    /// The partitions that were begun.
    pub(super) fn slots(&self) -> Vec<Slot> {
        self.feeds.keys().copied().collect()
    }

    /// Whether nothing is left.
    pub(super) fn is_done(&self) -> bool {
        self.copy.parts.is_empty()
    }

    /// Why it cannot go on, if so.
    pub(super) fn failure(&self) -> Option<String> {
        let gone = self.gone.as_ref().filter(|(_, since)| since.elapsed() >= GONE_MAX);
        self.never.clone().or_else(|| gone.map(|(reason, _)| reason.clone()))
    }

    pub(super) fn delivered(&mut self) {
        self.copy.delivered();
    }

    pub(super) fn failed(&mut self) {
        self.copy.failed();
    }

    /// All of a partition before an offset is settled; whether nothing of it is left.
    pub(super) fn mark(&mut self, slot: Slot, offset: u64, metadata: String) -> bool {
        let Some(feed) = self.feeds.get(&slot) else { return false };
        let is_done = self.copy.mark(feed.place, Offset::new(offset), metadata);
        if is_done {
            self.feeds.remove(&slot);
        }
        is_done
    }

    pub(super) fn hold(&mut self, slot: Slot, is_held: bool) {
        if let Some(feed) = self.feeds.get_mut(&slot) {
            feed.is_held = is_held;
        }
    }

    pub(super) fn leave(&mut self, slot: Slot) {
        self.feeds.remove(&slot);
    }

    /// When the next event may be handed over, or read.
    pub(super) fn due(&self) -> Option<Instant> {
        let is_waiting = self.feeds.values().any(|feed| !feed.is_held && !feed.records.is_empty());
        let next = Some(self.rate.next()).filter(|_| is_waiting);
        // What can never be read is not read again.
        let again_at = self.again_at.filter(|_| self.never.is_none());
        [next, again_at].into_iter().flatten().min()
    }

    /// The topic is not there, or not the one that it was.
    fn wait(&mut self, reason: String) {
        let now = Instant::now();
        self.gone.get_or_insert((reason, now));
        self.again_at = Some(now + AGAIN);
    }
}

impl Feed {
    fn is_hungry(&self) -> bool {
        !self.is_held && !self.is_reading && self.records.is_empty() && self.read < self.end
    }
}

/// The next records of a topic that is still the one that it was.
async fn read(
    shared: &Shared,
    topic: &Topic,
    incarnation: u64,
    slot: Slot,
    from: u64,
    reader: Option<Box<dyn Reader>>,
) -> (Option<Box<dyn Reader>>, Result<Fetched, Stop>) {
    match shared.log.topic(topic) {
        Some(info) if info.incarnation.0 == incarnation => {}
        Some(_) => return (None, Err(Stop::Gone(format!("topic '{topic}' was deleted and made anew")))),
        None => {
            let known = shared.log.topics_known();
            let gone = || Stop::Gone(format!("topic '{topic}' was deleted"));
            return (None, Err(known.err().map_or_else(gone, Stop::Log)));
        }
    }
    let opened = match reader {
        Some(reader) => Ok(reader),
        None => {
            let place = (Partition::new(slot.partition), Offset::new(from));
            let opening = shared.log.reader(topic, place.0, place.1, Purpose::CatchUp);
            timeout(READ_MAX, opening).await.unwrap_or(Err(log::Error::OutcomeUnknown))
        }
    };
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => return (None, Err(Stop::Log(error))),
    };
    match timeout(READ_MAX, reader.next(READ_BYTES_MAX)).await.unwrap_or(Err(log::Error::OutcomeUnknown)) {
        Ok(fetched) => (Some(reader), Ok(fetched)),
        Err(error) => (None, Err(Stop::Log(error))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run() -> Run {
        let job = json!({
            "told": {
                "id": "inventory-sync.7", "group": "inventory-sync", "state": "running", "events": 9,
                "examined": 0, "matched": 0, "delivered": 0, "failed": 0, "skipped": 0,
                "topics": ["orders.v1"], "from": "earliest", "ratePerSecond": null,
                "by": "anna", "createdAt": "2026-11-21T10:00:00Z",
            },
            "incarnations": [1],
            "parts": [{"t": 0, "p": 0, "o": 0, "e": 9}],
            "owner": "g1",
            "beat": 0,
        });
        let slots = vec![Slot { topic: 0, partition: 0 }.replayed()];
        Run::new(serde_json::from_value(job).unwrap(), slots, None)
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_never_be_read_wakes_nobody() {
        let mut run = run();
        assert_eq!(run.due(), None);
        run.wait("topic 'orders.v1' was deleted".to_owned());
        assert_eq!(run.due(), Some(Instant::now() + AGAIN));
        run.never = Some("no right to read".to_owned());
        assert_eq!(run.due(), None);
    }
}
