//! The bound on bytes handed over to the log and not yet answered, and the wait for them at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::metrics::Metrics;

/// The bytes in flight. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes_max: u64,
    /// Bytes of all tickets. A ticket counts at least one byte, so zero means that nothing is in flight.
    bytes: AtomicU64,
    emptied: Notify,
    metrics: Arc<Metrics>,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Queue {
    pub(super) fn new(bytes_max: u64, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared { bytes_max, bytes: AtomicU64::new(0), emptied: Notify::new(), metrics }))
    }

    /// Takes room for an event or a batch. An empty queue takes one of any size, since its size has been judged.
    pub(super) fn enter(&self, bytes: u64) -> Result<Ticket, Full> {
        let bytes = bytes.max(1);
        let entered = self.0.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| {
            let total = held.saturating_add(bytes);
            (held == 0 || total <= self.0.bytes_max).then_some(total)
        });
        if entered.is_err() {
            self.0.metrics.queue_refusals.inc();
            return Err(Full);
        }
        self.0.metrics.queue_bytes.add(as_gauge(bytes));
        Ok(Ticket { queue: self.clone(), bytes })
    }

    /// Waits until nothing is in flight.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            tokio::pin!(emptied);
            // Registered before the look, so that a ticket that ends between the two is not missed.
            emptied.as_mut().enable();
            if self.0.bytes.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// Room in the queue, given back when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    queue: Queue,
    bytes: u64,
}

impl Ticket {
    /// Cuts `bytes` off this ticket into one of their own, so that parts of a batch leave one by one.
    pub(super) fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { queue: self.queue.clone(), bytes }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let shared = &self.queue.0;
        shared.metrics.queue_bytes.sub(as_gauge(self.bytes));
        if self.bytes > 0 && shared.bytes.fetch_sub(self.bytes, Ordering::AcqRel) == self.bytes {
            shared.emptied.notify_waiters();
        }
    }
}

fn as_gauge(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Full, Metrics, Queue};
    use crate::telemetry::Registry;

    fn queue(bytes_max: u64) -> Queue {
        Queue::new(bytes_max, Arc::new(Metrics::register(&Registry::new())))
    }

    #[test]
    fn bytes_above_the_bound_are_refused_until_others_leave() {
        let queue = queue(100);
        let first = queue.enter(60).unwrap();
        let second = queue.enter(40).unwrap();
        assert_eq!(queue.enter(1).unwrap_err(), Full);
        assert_eq!(queue.0.metrics.queue_bytes.get(), 100);
        drop(first);
        let third = queue.enter(60).unwrap();
        drop((second, third));
        assert_eq!(queue.0.metrics.queue_bytes.get(), 0);
        assert_eq!(queue.0.metrics.queue_refusals.get(), 1);
    }

    #[test]
    fn an_empty_queue_takes_even_what_is_above_its_bound() {
        let queue = queue(10);
        let ticket = queue.enter(50).unwrap();
        assert_eq!(queue.enter(1).unwrap_err(), Full);
        drop(ticket);
    }

    #[tokio::test]
    async fn a_wait_for_the_end_lasts_until_the_last_part_has_left() {
        let queue = queue(100);
        let mut whole = queue.enter(50).unwrap();
        let part = whole.split(20);
        let mut wait = Box::pin(queue.emptied());
        assert!(futures_util::poll!(&mut wait).is_pending());
        drop(whole);
        assert!(futures_util::poll!(&mut wait).is_pending());
        drop(part);
        assert!(futures_util::poll!(&mut wait).is_ready());
    }
}
