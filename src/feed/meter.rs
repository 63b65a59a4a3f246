//! Counting the bytes held in memory, by holder and in total.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes held by one holder, and by all that share its total.
#[derive(Debug, Default)]
pub(super) struct Meter {
    own: AtomicUsize,
    total: Arc<AtomicUsize>,
}

impl Meter {
    pub(super) fn sharing(total: &Arc<AtomicUsize>) -> Self {
        Self { own: AtomicUsize::new(0), total: Arc::clone(total) }
    }

    pub(super) fn add(&self, bytes: usize) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn own(&self) -> usize {
        self.own.load(Ordering::Relaxed)
    }
}
