//! Waking subscriptions cheaply.
//!
//! Waking a task of another runtime costs a system call each. So whoever has news only lists the bell with its
//! runtime's *shard* and wakes one task there, which then wakes the subscriptions of its own runtime for next to
//! nothing.
//!
//! ```text
//! tail ── ring ──> shard's list ── one wake ──> shard's task ── local wakes ──> subscriptions
//! ```

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

/// The bells of one runtime.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// Guards the bells rung since the shard's task last looked.
    rung: Mutex<Vec<Arc<Bell>>>,
    wake: Notify,
}

/// A subscription's bell.
#[derive(Debug)]
pub(super) struct Bell {
    shard: Arc<Shard>,
    is_listed: AtomicBool,
    is_report_due: AtomicBool,
    is_rung: AtomicBool,
    subscription: AtomicWaker,
}

/// Bells in numbered places, so that one leaves in constant time.
#[derive(Debug, Default)]
pub(super) struct Bells {
    places: Vec<Option<Arc<Bell>>>,
    free: Vec<usize>,
}

impl Shard {
    /// Wakes the subscriptions of this runtime; never ends by itself.
    pub(super) async fn run(&self) {
        loop {
            self.wake.notified().await;
            self.wake_rung();
        }
    }

    /// Wakes those rung so far.
    pub(super) fn wake_rung(&self) {
        let rung = mem::take(&mut *self.rung.lock().unwrap_or_else(PoisonError::into_inner));
        for bell in rung {
            // Before the wake: what comes from now on rings again.
            bell.is_listed.store(false, Ordering::Release);
            bell.is_rung.store(true, Ordering::Release);
            bell.subscription.wake();
        }
    }
}

impl Bell {
    pub(super) fn new(shard: &Arc<Shard>) -> Self {
        Self {
            shard: Arc::clone(shard),
            is_listed: AtomicBool::new(false),
            is_report_due: AtomicBool::new(false),
            is_rung: AtomicBool::new(false),
            subscription: AtomicWaker::new(),
        }
    }

    /// Wakes the subscription soon. Many rings before it wakes are one.
    pub(super) fn ring(self: &Arc<Self>) {
        if self.is_listed.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut rung = self.shard.rung.lock().unwrap_or_else(PoisonError::into_inner);
        rung.push(Arc::clone(self));
        if rung.len() == 1 {
            self.shard.wake.notify_one();
        }
    }

    /// The subscription shall say where it stands, at its next wake.
    pub(super) fn ask_report(&self) {
        self.is_report_due.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_report_due(&self) -> bool {
        self.is_report_due.load(Ordering::Relaxed) && self.is_report_due.swap(false, Ordering::Relaxed)
    }

    /// Whether it has rung since it was last asked.
    pub(super) fn take_rung(&self) -> bool {
        self.is_rung.load(Ordering::Relaxed) && self.is_rung.swap(false, Ordering::Acquire)
    }

    /// Waits for a ring since it was last asked. The waker stays until the next ring, whoever drops what.
    pub(super) fn poll_rung(&self, context: &Context<'_>) -> Poll<()> {
        self.subscription.register(context.waker());
        if self.take_rung() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Bells {
    /// Adds a bell; answers its place.
    pub(super) fn add(&mut self, bell: Arc<Bell>) -> usize {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.places.get_mut(index)
        {
            *place = Some(bell);
            return index;
        }
        self.places.push(Some(bell));
        self.places.len() - 1
    }

    pub(super) fn remove(&mut self, index: usize) {
        if let Some(place) = self.places.get_mut(index)
            && place.take().is_some()
        {
            self.free.push(index);
        }
        if self.is_empty() {
            *self = Self::default();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Bell>> {
        self.places.iter().flatten()
    }

    /// The bells whose turn it is when all take turns over `phases`.
    pub(super) fn of_phase(&self, phase: usize, phases: usize) -> impl Iterator<Item = &Arc<Bell>> {
        self.places.iter().skip(phase).step_by(phases).flatten()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }
}
