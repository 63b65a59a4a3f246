//! The latest records of one partition, and which of them each filter lets through.
//!
//! The ring covers `start..end` without a hole: every record the log has there is an entry. A filter's *lane* lists
//! the offsets that passed it, judged when the record came; readers of one filter share the lane, and each keeps
//! only the next offset to read. Whoever stands before `start` reads the log until it stands within.
//!
//! ```text
//!          start                    since                 end
//!   log ─────┬── entries ─────────────┬─────────────────────┐
//!   lane     └ judged on demand ──────┴ judged as they came ┘
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::event::{Filter, Offset, RecordView};

use super::entry::Entry;
use super::selection::SelectionId;

/// Which life of the ring: it begins anew when the tail had to jump. 0 is a ring not opened yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Generation(u32);

/// From which offset on a filter has been judged as records came, in which generation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    pub(super) generation: Generation,
    pub(super) offset: Offset,
}

/// How much one call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    bytes: usize,
    events: usize,
    is_fresh: bool,
}

/// What a read of the ring found.
#[derive(Debug)]
pub(super) enum Read {
    /// The reader stands in the ring, with what it may take now.
    Taken(Taken),
    /// The reader stands before the ring, or records it wanted have left it.
    Left {
        /// Where the ring ends.
        end: Offset,
    },
    /// The ring is not open, or began anew since.
    Anew,
}

#[derive(Debug)]
pub(super) struct Taken {
    pub(super) entries: Vec<Arc<Entry>>,
    /// The next offset to read.
    pub(super) at: Offset,
    pub(super) generation: Generation,
}

/// Who reads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    All,
    Matching { id: SelectionId, filter: &'a Filter, since: Option<Since> },
}

#[derive(Debug, Default)]
pub(super) struct Ring {
    generation: Generation,
    /// Where this generation began.
    origin: Offset,
    start: Offset,
    end: Offset,
    entries: VecDeque<Arc<Entry>>,
    lanes: HashMap<SelectionId, Lane>,
}

#[derive(Debug)]
struct Lane {
    /// Every record from here on has been judged.
    since: Offset,
    /// Records before this one passed and have left the ring.
    lost: Offset,
    matched: VecDeque<Offset>,
}

impl Budget {
    pub(super) const fn new(bytes: usize, events: usize) -> Self {
        // A budget of nothing would never move.
        let bytes = if bytes == 0 { 1 } else { bytes };
        Self { bytes, events, is_fresh: true }
    }

    /// Takes an entry out of the budget; the first one fits whatever its size.
    pub(super) fn admits(&mut self, entry: &Entry) -> bool {
        let bytes = entry.record.bytes();
        if self.events == 0 || (bytes > self.bytes && !self.is_fresh) {
            self.bytes = 0;
            return false;
        }
        self.events -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.is_fresh = false;
        true
    }

    pub(super) const fn is_spent(&self) -> bool {
        self.events == 0 || self.bytes == 0
    }
}

impl Ring {
    /// Begins anew at this offset.
    pub(super) fn open(&mut self, at: Offset) {
        for entry in self.entries.drain(..) {
            entry.release();
        }
        self.lanes.clear();
        self.generation = Generation(self.generation.0 + 1);
        (self.origin, self.start, self.end) = (at, at, at);
    }

    /// Adds the record the tail read next, and the filters it passed.
    pub(super) fn push(
        &mut self,
        entry: Arc<Entry>,
        passed: impl Iterator<Item = (SelectionId, Option<Since>)>,
    ) {
        let offset = entry.offset();
        for (id, since) in passed {
            let lane = self.lane(id, since);
            lane.matched.push_back(offset);
        }
        self.entries.push_back(entry);
        self.end = offset.next();
    }

    /// The tail has read up to here.
    pub(super) fn advance(&mut self, end: Offset) {
        self.end = self.end.max(end);
    }

    /// Lets the oldest record go, unless it is the only one.
    pub(super) fn evict(&mut self) -> bool {
        if self.entries.len() < 2 {
            return false;
        }
        if let Some(entry) = self.entries.pop_front() {
            self.start = entry.offset().next();
            entry.release();
        }
        true
    }

    /// Forgets a filter nobody reads with any more.
    pub(super) fn forget(&mut self, id: SelectionId) {
        self.lanes.remove(&id);
    }

    pub(super) fn read(&mut self, wanted: Wanted<'_>, at: Offset, budget: &mut Budget) -> Read {
        if self.generation == Generation::default() {
            return Read::Anew;
        }
        match wanted {
            Wanted::All if at < self.start => Read::Left { end: self.end },
            Wanted::All => Read::Taken(self.take_all(at, budget)),
            Wanted::Matching { id, filter, since } => self.read_lane(id, filter, since, at, budget),
        }
    }

    pub(super) const fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) const fn end(&self) -> Offset {
        self.end
    }

    pub(super) fn is_open(&self) -> bool {
        self.generation != Generation::default()
    }

    fn take_all(&self, at: Offset, budget: &mut Budget) -> Taken {
        let first = self.entries.partition_point(|entry| entry.offset() < at);
        let mut entries = Vec::new();
        for entry in self.entries.range(first..) {
            if !budget.admits(entry) {
                return Taken { entries, at: entry.offset(), generation: self.generation };
            }
            entries.push(Arc::clone(entry));
        }
        Taken { entries, at: at.max(self.end), generation: self.generation }
    }

    fn read_lane(
        &mut self,
        id: SelectionId,
        filter: &Filter,
        since: Option<Since>,
        at: Offset,
        budget: &mut Budget,
    ) -> Read {
        let (start, end, generation) = (self.start, self.end, self.generation);
        let judged_since = self.lanes.get(&id).map_or_else(|| self.since(since), |lane| lane.since);
        if at < judged_since && at < start {
            return Read::Left { end };
        }
        if at < judged_since {
            self.judge_back(id, filter, since, at);
        }
        let Some(lane) = self.lanes.get_mut(&id) else {
            return Read::Taken(Taken { entries: Vec::new(), at: at.max(end), generation });
        };
        lane.prune(start);
        if at < lane.lost {
            return Read::Left { end };
        }
        let mut entries = Vec::new();
        let first = lane.matched.partition_point(|matched| *matched < at);
        for matched in lane.matched.range(first..) {
            let found = self.entries.binary_search_by_key(matched, |entry| entry.offset());
            let Some(entry) = found.ok().and_then(|index| self.entries.get(index)) else { continue };
            if !budget.admits(entry) {
                return Read::Taken(Taken { entries, at: *matched, generation });
            }
            entries.push(Arc::clone(entry));
        }
        Read::Taken(Taken { entries, at: at.max(end), generation })
    }

    /// Judges what came before the filter did, from `at` on, so that all its readers can share the answer.
    fn judge_back(&mut self, id: SelectionId, filter: &Filter, since: Option<Since>, at: Offset) {
        let until = self.lane(id, since).since;
        let first = self.entries.partition_point(|entry| entry.offset() < at);
        let judged = self.entries.range(first..).take_while(|entry| entry.offset() < until);
        let passed: Vec<Offset> = judged
            .filter(|entry| filter.matches(&RecordView::parse(&entry.record, entry.storage)))
            .map(|entry| entry.offset())
            .collect();
        let lane = self.lane(id, since);
        for offset in passed.into_iter().rev() {
            lane.matched.push_front(offset);
        }
        lane.since = at;
    }

    fn lane(&mut self, id: SelectionId, since: Option<Since>) -> &mut Lane {
        let (since, start) = (self.since(since), self.start);
        let lane = self.lanes.entry(id).or_insert_with(|| Lane {
            since,
            lost: Offset::ZERO,
            matched: VecDeque::new(),
        });
        lane.prune(start);
        lane
    }

    /// A filter that came in an earlier generation, or before the partition, has judged all of this one.
    fn since(&self, since: Option<Since>) -> Offset {
        since.filter(|since| since.generation == self.generation).map_or(self.origin, |since| since.offset)
    }
}

impl Lane {
    /// Forgets what has left the ring.
    fn prune(&mut self, start: Offset) {
        while let Some(&first) = self.matched.front()
            && first < start
        {
            self.lost = first.next();
            self.matched.pop_front();
        }
    }
}
