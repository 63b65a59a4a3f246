//! A subscription's places in one topic.

use std::sync::Arc;

use crate::event::{Filter, Offset, Positions, RecordView};

use super::backlog::{Backlog, Block};
use super::bell::Bell;
use super::entry::Entry;
use super::metrics::Metrics;
use super::partition::Partition;
use super::ring::{Budget, Generation, Read};
use super::stream::{Joined, Stream};
use super::{Error, GapReason, OnSlow, Push, SubscriptionId, start};

/// The places in one topic, and the filter it is read with. Leaves the topic when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) stream: Arc<Stream>,
    joined: Joined,
    pub(super) places: Vec<Place>,
    /// The topic is gone, and its successor is being opened.
    pub(super) is_moving: bool,
}

/// The next offset to read in one partition.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) partition: Arc<Partition>,
    pub(super) at: Offset,
    /// As of the last positions push.
    reported: Offset,
    pub(super) stand: Stand,
    /// The ring's changes already read.
    changes: u64,
}

/// How a place gets its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// From the log, until it stands within the ring.
    Behind,
    /// From the ring.
    Live(Generation),
    /// At the log's end, before the ring is open.
    Waiting,
}

/// What all of a subscription's seats share while they are read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) sub: SubscriptionId,
    pub(super) on_slow: OnSlow,
    pub(super) backlog: &'a Backlog,
    pub(super) metrics: &'a Metrics,
    pub(super) budget: Budget,
    pub(super) pushes: Vec<Push>,
    /// Records passed over because the filter did not want them.
    pub(super) skipped: u64,
    /// Whether a place moved by reading the log: there may be more at hand.
    pub(super) has_moved_behind: bool,
}

impl Place {
    fn new(partition: Arc<Partition>, at: Offset) -> Self {
        Self { partition, at, reported: at, stand: Stand::Behind, changes: 0 }
    }
}

impl Seat {
    pub(super) fn new(
        stream: Arc<Stream>,
        filter: Option<&Filter>,
        bell: &Arc<Bell>,
        at: Vec<Offset>,
    ) -> Self {
        let joined = stream.join(filter, bell);
        let places = stream.partitions().into_iter().zip(at).map(|(partition, at)| Place::new(partition, at));
        let places = places.collect();
        Self { stream, joined, places, is_moving: false }
    }

    /// Reads with this filter from now on.
    pub(super) fn select(&mut self, filter: Option<&Filter>, bell: &Arc<Bell>) {
        if self.joined.selection.filter() == filter {
            return;
        }
        let joined = self.stream.join(filter, bell);
        self.stream.leave(&self.joined);
        self.joined = joined;
        for place in &mut self.places {
            (place.stand, place.changes) = (Stand::Behind, 0);
        }
    }

    /// Takes partitions in that the topic has got since, from their beginning.
    pub(super) fn grow(&mut self) {
        let partitions = self.stream.partitions().into_iter().skip(self.places.len());
        self.places.extend(partitions.map(|partition| Place::new(partition, Offset::ZERO)));
    }

    /// Reads what is at hand, beginning with another partition each turn.
    pub(super) fn read(&mut self, turn: usize, reading: &mut Reading<'_>) -> Result<(), Error> {
        let Self { stream, joined, places, .. } = self;
        let first = turn.checked_rem(places.len()).unwrap_or_default();
        let (before, after) = places.split_at_mut(first);
        for (place, index) in after.iter_mut().zip(first..).chain(before.iter_mut().zip(0..)) {
            if reading.budget.is_spent() {
                break;
            }
            let view = View { stream, joined, index };
            view.read_ring(place, reading)?;
            if !matches!(place.stand, Stand::Live(_)) {
                view.read_block(place, reading)?;
            }
        }
        Ok(())
    }

    /// Something happened: whoever waited looks again.
    pub(super) fn wake(&mut self) {
        for place in &mut self.places {
            if place.stand == Stand::Waiting {
                place.stand = Stand::Behind;
            }
        }
    }

    /// Adds the positions, all or those that moved since they were last reported.
    pub(super) fn positions(&self, which: impl Fn(&Place) -> bool, positions: &mut Positions) {
        let places = self.places.iter().filter(|place| which(place));
        let mut places = places.map(|place| (place.partition.number, place.at)).peekable();
        if places.peek().is_some() {
            positions.entry(self.stream.topic.clone()).or_default().extend(places);
        }
    }

    /// All positions count as reported.
    pub(super) fn mark_reported(&mut self) {
        self.places.iter_mut().for_each(|place| place.reported = place.at);
    }
}

impl Place {
    pub(super) fn has_moved(&self) -> bool {
        self.at != self.reported
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.stream.leave(&self.joined);
    }
}

/// One partition of a seat, while it is read.
struct View<'a> {
    stream: &'a Stream,
    joined: &'a Joined,
    index: usize,
}

impl View<'_> {
    fn read_ring(&self, place: &mut Place, reading: &mut Reading<'_>) -> Result<(), Error> {
        let changes = place.partition.changes();
        let is_live = matches!(place.stand, Stand::Live(_));
        if is_live && place.changes == changes {
            return Ok(());
        }
        let found =
            place.partition.read(self.joined.selection.wanted(self.index), place.at, &mut reading.budget);
        match (found, place.stand) {
            (Read::Taken(taken), Stand::Live(generation)) if taken.generation != generation => {
                // The log lost its end or the tail its place: only the log can tell what is missing.
                place.stand = Stand::Behind;
            }
            (Read::Taken(taken), _) => {
                if !is_live {
                    self.stream.touch();
                }
                place.stand = Stand::Live(taken.generation);
                // A reader that took all it may has not seen all changes yet.
                place.changes = if reading.budget.is_spent() { 0 } else { changes };
                self.give(place, &taken.entries, taken.at, reading);
            }
            (Read::Left { end }, Stand::Live(_)) => self.fall_behind(place, end, reading)?,
            (Read::Anew, Stand::Live(_)) => place.stand = Stand::Behind,
            (Read::Left { .. } | Read::Anew, Stand::Behind | Stand::Waiting) => {}
        }
        Ok(())
    }

    fn fall_behind(&self, place: &mut Place, end: Offset, reading: &mut Reading<'_>) -> Result<(), Error> {
        reading.metrics.overrun(reading.on_slow);
        match reading.on_slow {
            OnSlow::Resume => place.stand = Stand::Behind,
            OnSlow::Skip => {
                self.jump(place, end, GapReason::Overrun, reading);
                place.changes = 0;
            }
            OnSlow::Close => {
                let (topic, partition) = (self.stream.topic.clone(), place.partition.number);
                return Err(Error::Slow { topic, partition });
            }
        }
        Ok(())
    }

    fn jump(&self, place: &mut Place, to: Offset, reason: GapReason, reading: &mut Reading<'_>) {
        let gap = start::gap(&self.stream.topic, place.partition.number, place.at, to, reason);
        place.at = to;
        reading.metrics.gap(reason);
        reading.pushes.push(Push::Gap(gap));
    }

    /// Reads the block the place lies in, if it is at hand.
    fn read_block(&self, place: &mut Place, reading: &mut Reading<'_>) -> Result<(), Error> {
        let Some(block) = reading.backlog.block(place.partition.id, place.at) else { return Ok(()) };
        let Block { entries, next, .. } = &*block;
        let first = entries.partition_point(|entry| entry.offset() < place.at);
        let (mut taken, mut at) = (Vec::new(), *next);
        for entry in entries.iter().skip(first) {
            if !self.wants(entry) {
                continue;
            }
            if !reading.budget.admits(entry) {
                at = entry.offset();
                break;
            }
            taken.push(Arc::clone(entry));
        }
        self.give(place, &taken, at, reading);
        (place.stand, reading.has_moved_behind) = (Stand::Behind, true);
        // The place may stand within the ring by now, with nothing to wake it.
        if at == *next { self.read_ring(place, reading) } else { Ok(()) }
    }

    fn wants(&self, entry: &Entry) -> bool {
        let judge = |filter: &Filter| filter.matches(&RecordView::parse(&entry.record, entry.storage));
        self.joined.selection.filter().is_none_or(judge)
    }

    fn give(&self, place: &mut Place, entries: &[Arc<Entry>], at: Offset, reading: &mut Reading<'_>) {
        let (topic, partition) = (&self.stream.topic, place.partition.number);
        let frames = entries.iter().map(|entry| Push::Event(entry.frame(reading.sub, topic, partition)));
        reading.pushes.extend(frames);
        if self.joined.selection.filter().is_some() {
            reading.skipped += at.since(place.at).saturating_sub(entries.len() as u64);
        }
        place.at = at;
    }
}
