//! One topic as it is followed now: its partitions' rings and who reads them.

use std::collections::BTreeMap;
use std::iter;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio_util::sync::CancellationToken;

use crate::event::{self, Filter, RecordView, Storage, Topic};
use crate::log::{Fetched, Incarnation};

use super::bell::Bell;
use super::entry::Entry;
use super::partition::Partition;
use super::ring::Since;
use super::selection::{Selection, Selections};

/// A topic of one incarnation. A later topic of the same name is another stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) topic: Topic,
    pub(super) incarnation: Incarnation,
    /// Ends the tails.
    pub(super) stop: CancellationToken,
    /// The topic was deleted or made anew.
    is_gone: AtomicBool,
    /// Guards the list, which only grows.
    partitions: RwLock<Vec<Arc<Partition>>>,
    /// Guards who reads. Held by a tail from judging records until they are in the ring, so that a filter's place
    /// in each ring is exact. Taken before a ring's lock, never while one is held.
    selections: RwLock<Selections>,
    activity: Activity,
}

/// What the timers know of a stream.
#[derive(Debug, Default)]
struct Activity {
    /// Records read by all tails, and readers that caught up.
    moves: AtomicU64,
    /// As of the last turn.
    moves_reported: AtomicU64,
    /// As of the last time filtered readers were woken for what they skipped.
    moves_skipped: AtomicU64,
    turns_quiet: AtomicUsize,
    turns_unread: AtomicUsize,
}

/// So many records skipped by its filter, and a subscription says where it stands.
pub(super) const SKIPPED_MAX: u64 = 1_000;
/// A topic nobody reads is followed for so many turns, one a second.
const UNREAD_TURNS: usize = 60;

/// A reader's place in a stream's selections.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) selection: Arc<Selection>,
    place: usize,
}

impl Stream {
    pub(super) fn new(topic: Topic, incarnation: Incarnation, stop: CancellationToken) -> Self {
        Self {
            topic,
            incarnation,
            stop,
            is_gone: AtomicBool::new(false),
            partitions: RwLock::default(),
            selections: RwLock::default(),
            activity: Activity::default(),
        }
    }

    /// Adds a partition, the next by number.
    pub(super) fn grow(&self, id: u64, total: &Arc<AtomicUsize>) -> Option<Arc<Partition>> {
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        let number = u32::try_from(partitions.len()).ok()?;
        let partition = Arc::new(Partition::new(id, event::Partition::new(number), total));
        partitions.push(Arc::clone(&partition));
        Some(partition)
    }

    /// A reader joins with this filter.
    pub(super) fn join(&self, filter: Option<&Filter>, bell: &Arc<Bell>) -> Joined {
        let (selection, place) = self.write_selections().join(filter, Arc::clone(bell), || {
            let ends = self.partitions().into_iter().map(|partition| partition.end());
            ends.map(|(generation, offset)| Since { generation, offset }).collect()
        });
        Joined { selection, place }
    }

    /// A reader leaves.
    pub(super) fn leave(&self, joined: &Joined) {
        let mut selections = self.write_selections();
        if selections.leave(&joined.selection, joined.place) {
            for partition in self.partitions() {
                partition.forget(joined.selection.id);
            }
        }
    }

    /// Puts what the tail read into the ring and rings those who wait for it.
    pub(super) fn publish(&self, partition: &Partition, fetched: Fetched, storage: Storage) {
        let selections = self.selections();
        let mut touched = BTreeMap::new();
        let mut passed = Vec::new();
        let mut judged = Vec::with_capacity(fetched.records.len());
        for record in fetched.records {
            if selections.has_filters() {
                selections.matching(&RecordView::parse(&record, storage), &mut passed);
            }
            judged.push((Arc::new(Entry::new(record, storage, &partition.meter)), mem::take(&mut passed)));
        }
        let index = partition.number.index();
        self.activity.moves.fetch_add(judged.len() as u64, Ordering::Relaxed);
        let has_records = !judged.is_empty();
        partition.change(|ring| {
            for (entry, passed) in judged {
                ring.push(entry, passed.iter().map(|selection| (selection.id, selection.since(index))));
                touched.extend(passed.into_iter().map(|selection| (selection.id, selection)));
            }
            ring.advance(fetched.next);
        });
        if has_records {
            selections.everyone().ring();
        }
        drop(selections);
        touched.into_values().for_each(|selection| selection.ring());
    }

    /// Wakes everybody who reads this topic.
    pub(super) fn ring_all(&self) {
        let selections = self.selections();
        selections.everyone().ring();
        selections.filtered().for_each(|selection| selection.ring());
    }

    /// A reader has caught up, and shall be asked where it stands though the topic is quiet.
    pub(super) fn touch(&self) {
        self.activity.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks the readers whose turn it is where they stand, if there was any move since their last turn; and wakes
    /// the filtered ones that may have skipped many records, so that they say so.
    pub(super) fn ask_reports(&self, turn: usize, turns: usize) {
        let activity = &self.activity;
        let moves = activity.moves.load(Ordering::Relaxed);
        let quiet = match activity.moves_reported.swap(moves, Ordering::Relaxed) {
            before if before == moves => activity.turns_quiet.fetch_add(1, Ordering::Relaxed) + 1,
            _ => {
                activity.turns_quiet.store(0, Ordering::Relaxed);
                0
            }
        };
        let selections = self.selections();
        if quiet <= turns {
            for selection in iter::once(selections.everyone()).chain(selections.filtered()) {
                selection.ask_reports(turn, turns);
            }
        }
        if moves - activity.moves_skipped.load(Ordering::Relaxed) >= SKIPPED_MAX {
            activity.moves_skipped.store(moves, Ordering::Relaxed);
            selections.filtered().for_each(|selection| selection.ring());
        }
    }

    /// Counts a turn; answers whether nobody has read here for so many that the tails may end.
    pub(super) fn count_unread(&self) -> bool {
        let turns = &self.activity.turns_unread;
        if self.selections().is_unread() {
            turns.fetch_add(1, Ordering::Relaxed) >= UNREAD_TURNS
        } else {
            turns.store(0, Ordering::Relaxed);
            false
        }
    }

    /// The topic is no longer this one.
    pub(super) fn end(&self) {
        self.is_gone.store(true, Ordering::Release);
        self.stop.cancel();
        self.ring_all();
    }

    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    pub(super) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn partition_count(&self) -> usize {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn selections(&self) -> RwLockReadGuard<'_, Selections> {
        self.selections.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_selections(&self) -> RwLockWriteGuard<'_, Selections> {
        self.selections.write().unwrap_or_else(PoisonError::into_inner)
    }
}
