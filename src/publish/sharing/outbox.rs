//! Event ids that the log has and the table has not yet.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::identity::Stored;
use super::super::metrics::Metrics;
use super::ids::ENTRIES_MAX;

/// So many wait at most while the table cannot be written; more stay this gateway's own.
const WAITING_MAX: usize = 64 * ENTRIES_MAX;
/// So many are written at once.
const TAKEN_MAX: usize = 16 * ENTRIES_MAX;

/// What waits to be told. Nothing does before somebody opens it.
#[derive(Debug)]
pub(in crate::publish) struct Outbox {
    is_open: AtomicBool,
    /// Guards what waits.
    waiting: Mutex<Vec<Stored>>,
    /// Told when the first comes, and when there are enough for a record.
    filled: Notify,
    metrics: Arc<Metrics>,
}

impl Outbox {
    pub(in crate::publish) fn new(metrics: Arc<Metrics>) -> Self {
        Self { is_open: AtomicBool::new(false), waiting: Mutex::default(), filled: Notify::new(), metrics }
    }

    /// Keeps what comes from now on.
    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    pub(in crate::publish) fn put(&self, stored: Stored) {
        if !self.is_open.load(Ordering::Relaxed) {
            return;
        }
        let mut waiting = self.waiting();
        if waiting.len() >= WAITING_MAX {
            drop(waiting);
            self.metrics.dedupe_untold.inc();
            return;
        }
        waiting.push(stored);
        let count = waiting.len();
        drop(waiting);
        if count == 1 || count == ENTRIES_MAX {
            self.filled.notify_one();
        }
    }

    /// The oldest of what waits.
    pub(super) fn take(&self) -> Vec<Stored> {
        let mut waiting = self.waiting();
        let count = waiting.len().min(TAKEN_MAX);
        waiting.drain(..count).collect()
    }

    /// Waits until so many wait: one, or enough for a record. For one waiter at a time.
    pub(super) async fn holds(&self, count: usize) {
        while self.waiting().len() < count {
            self.filled.notified().await;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Stored>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;

    use super::super::super::identity::{EventKey, Fingerprint, Place, Stored};
    use super::super::super::metrics::Metrics;
    use super::{ENTRIES_MAX, Outbox, TAKEN_MAX, WAITING_MAX};
    use crate::event::{Offset, Partition, Timestamp};
    use crate::telemetry::Registry;

    fn stored(number: usize) -> Stored {
        let (partition, offset) = (Partition::new(0), Offset::new(number as u64));
        let place = Place { partition, offset, timestamp: Timestamp::from_millis(0) };
        Stored { key: EventKey::from_bytes([0; 16]), fingerprint: Fingerprint::from_bytes([0; 16]), place }
    }

    fn outbox() -> Outbox {
        Outbox::new(Arc::new(Metrics::register(&Registry::new())))
    }

    #[test]
    fn what_nobody_will_tell_is_not_kept() {
        let outbox = outbox();
        outbox.put(stored(0));
        assert!(outbox.is_empty());
    }

    #[test]
    fn at_its_bound_what_comes_is_counted_and_what_waits_keeps_its_order() {
        let outbox = outbox();
        outbox.open();
        (0..WAITING_MAX + 3).for_each(|number| outbox.put(stored(number)));
        assert_eq!(outbox.metrics.dedupe_untold.get(), 3);
        let (mut next, mut takes) = (0, 0);
        while !outbox.is_empty() {
            for stored in outbox.take() {
                assert_eq!(stored.place.offset.number(), next);
                next += 1;
            }
            takes += 1;
        }
        assert_eq!((next, takes), (WAITING_MAX as u64, WAITING_MAX / TAKEN_MAX));
    }

    #[test]
    fn one_who_waits_is_told_of_the_first_and_of_enough() {
        let outbox = outbox();
        outbox.open();
        assert!(outbox.holds(1).now_or_never().is_none());
        outbox.put(stored(0));
        assert!(outbox.holds(1).now_or_never().is_some());
        let mut enough = Box::pin(outbox.holds(ENTRIES_MAX));
        assert!((&mut enough).now_or_never().is_none());
        (1..ENTRIES_MAX).for_each(|number| outbox.put(stored(number)));
        assert!(enough.now_or_never().is_some());
    }
}
