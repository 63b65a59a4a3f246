//! One partition as the feed holds it: the ring behind its lock, and what can be seen without.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{self, Offset};

use super::meter::Meter;
use super::ring::{Budget, Generation, Read, Ring, Wanted};

/// A partition's ring, shared by its tail and its readers.
#[derive(Debug)]
pub(super) struct Partition {
    /// Unlike any other in the life of the process, a recreated topic's included.
    pub(super) id: u64,
    pub(super) number: event::Partition,
    pub(super) meter: Arc<Meter>,
    /// Grows with every change of the ring, so that readers without news need not lock.
    changes: AtomicU64,
    /// Guards the ring.
    ring: Mutex<Ring>,
}

impl Partition {
    pub(super) fn new(id: u64, number: event::Partition, total: &Arc<AtomicUsize>) -> Self {
        let meter = Arc::new(Meter::sharing(total));
        Self { id, number, meter, changes: AtomicU64::new(0), ring: Mutex::default() }
    }

    /// The ring begins anew at this offset.
    pub(super) fn open(&self, at: Offset) {
        self.change(|ring| ring.open(at));
    }

    /// Changes the ring and lets readers see that.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Ring) -> T) -> T {
        let mut ring = self.lock();
        let changed = change(&mut ring);
        self.changes.fetch_add(1, Ordering::Release);
        changed
    }

    /// Lets old records go until the partition holds no more than this, or only one record.
    pub(super) fn shrink(&self, bytes_max: usize) {
        let mut ring = self.lock();
        while self.meter.own() > bytes_max && ring.evict() {}
    }

    pub(super) fn forget(&self, id: super::selection::SelectionId) {
        self.lock().forget(id);
    }

    pub(super) fn read(&self, wanted: Wanted<'_>, at: Offset, budget: &mut Budget) -> Read {
        self.lock().read(wanted, at, budget)
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The generation and the end of the ring now.
    pub(super) fn end(&self) -> (Generation, Offset) {
        let ring = self.lock();
        (ring.generation(), ring.end())
    }

    /// Where the tail goes on, once it has begun.
    pub(super) fn tail_position(&self) -> Option<Offset> {
        let ring = self.lock();
        ring.is_open().then(|| ring.end())
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
