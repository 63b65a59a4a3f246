//! The room's limits and windows.

use std::time::Duration;

use crate::event::Pattern;

/// How the way in is bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How long an event id of a client is remembered.
    pub dedupe_window: Duration,
    /// How many event ids are remembered at most.
    pub dedupe_entries_max: usize,
    /// How long a request may hold its idempotency key.
    pub idempotency_lease: Duration,
    /// How long an idempotency key's answer is kept.
    pub idempotency_window: Duration,
    /// How many answers are kept at most.
    pub idempotency_entries_max: usize,
    /// How many bytes of answers are kept at most.
    pub idempotency_bytes_max: usize,
    /// How many bytes may be handed over to the log and not yet answered by it.
    pub queue_bytes_max: u64,
    /// How large an event may be: key, headers and value.
    pub event_bytes_max: usize,
    /// How many events a batch may hold.
    pub batch_items_max: usize,
    /// How deep JSON may nest.
    pub json_depth_max: usize,
    /// How fast principals may publish; the first whose pattern fits counts.
    pub quotas: Vec<Quota>,
    /// How topics come into being with their first event; `None` where they must exist.
    pub topics_auto_create: Option<TopicTemplate>,
    /// Whether an answer of the log means that the event is on disk; where not, publishes are answered as queued.
    pub answers_are_durable: bool,
}

/// How fast the principals of a pattern may publish, each for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Whom it binds.
    pub principal: Pattern,
    /// Events per second; bursts of one second's worth pass.
    pub events_per_second: Option<u64>,
    /// Bytes of values, keys and headers per second.
    pub bytes_per_second: Option<u64>,
}

/// What a topic made by its first event is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicTemplate {
    /// How many partitions.
    pub partitions: u32,
    /// How long records are kept; `None` is for ever.
    pub retention: Option<Duration>,
}
