//! Bounds on requests and connections, and the handle by which a reload changes them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

/// Bounds on requests and connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole request body.
    pub body_bytes_max: usize,
    /// Bytes of all request bodies being read or in work.
    pub bodies_bytes_max: usize,
    /// Bytes of one event, and so of one line of a stream.
    pub event_bytes_max: usize,
    /// Events in a batch.
    pub batch_items_max: usize,
    /// Nesting of arrays and objects.
    pub json_depth_max: usize,
    /// Bytes of a request's header block.
    pub header_bytes_max: usize,
    /// Header fields of a request.
    pub headers_max: usize,
    /// Bytes of a request's URI.
    pub uri_bytes_max: usize,
    /// How long a request head may take, from its first byte (the first one of a connection: from the accept).
    pub header_timeout: Duration,
    /// How long a body may pause.
    pub body_idle_timeout: Duration,
    /// How long a client may refuse to take bytes of an answer.
    pub write_timeout: Duration,
    /// How long a connection may idle between requests.
    pub keep_alive: Duration,
    /// Connections at once, sockets included.
    pub connections_max: usize,
    /// Connections at once from one address.
    pub connections_per_address_max: usize,
    /// New connections a second.
    pub connections_new_per_second_max: u32,
}

#[cfg(test)]
impl Limits {
    /// The reference configuration's.
    pub(super) const fn for_tests() -> Self {
        Self {
            body_bytes_max: 8 << 20,
            bodies_bytes_max: 256 << 20,
            event_bytes_max: 960 << 10,
            batch_items_max: 1000,
            json_depth_max: 64,
            header_bytes_max: 32 << 10,
            headers_max: 100,
            uri_bytes_max: 8 << 10,
            header_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
            keep_alive: Duration::from_secs(75),
            connections_max: 20_000,
            connections_per_address_max: 200,
            connections_new_per_second_max: 100,
        }
    }
}

/// The limits in force. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub struct LiveLimits(Arc<ArcSwap<Limits>>);

impl LiveLimits {
    /// These limits, until others are put in force.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(limits)))
    }

    /// Puts other limits in force: for requests from now on, for time limits and buffers of connections from now on.
    pub fn replace(&self, limits: Limits) {
        self.0.store(Arc::new(limits));
    }

    /// The limits now. Not to be held across a wait, since the guard is one of few.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Limits>> {
        self.0.load()
    }

    /// The limits now, for what lasts longer.
    #[must_use]
    pub fn load_full(&self) -> Arc<Limits> {
        self.0.load_full()
    }
}
