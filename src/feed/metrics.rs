//! The feed's metrics.

use crate::telemetry::{Counter, CounterBy, Gauge, Histogram, Registry};

use super::{GapReason, OnSlow};

/// What the feed counts.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) ring_bytes: Gauge,
    pub(super) catch_up_bytes: Gauge,
    pub(super) subscriptions: Gauge,
    pub(super) tails: Gauge,
    pub(super) catch_up_readers: Gauge,
    pub(super) catch_up_reads: Counter,
    pub(super) tail_failures: Counter,
    pub(super) tail_delay: Histogram,
    gaps: CounterBy,
    overruns: CounterBy,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            ring_bytes: registry.gauge(
                "weirgate_feed_ring_bytes",
                "Bytes of recent records and their frames held in memory for broadcast subscribers.",
            ),
            catch_up_bytes: registry.gauge(
                "weirgate_feed_catch_up_bytes",
                "Bytes of older records and their frames held for subscribers that catch up.",
            ),
            subscriptions: registry
                .gauge("weirgate_feed_subscriptions", "Broadcast subscriptions, sockets and streams alike."),
            tails: registry.gauge("weirgate_feed_tails", "Partitions followed at their end."),
            catch_up_readers: registry
                .gauge("weirgate_feed_catch_up_readers", "Readers at work behind the rings."),
            catch_up_reads: registry.counter(
                "weirgate_feed_catch_up_reads_total",
                "Blocks read from the log for subscribers that catch up; one block serves many.",
            ),
            tail_failures: registry.counter(
                "weirgate_feed_tail_failures_total",
                "Times a tail had to begin again after an error.",
            ),
            tail_delay: registry.histogram(
                "weirgate_feed_tail_delay_seconds",
                "Time from a record's timestamp until its subscribers are woken.",
                &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0],
            ),
            gaps: registry.counter_by(
                "weirgate_feed_gaps_total",
                "Gaps told to broadcast subscribers, by reason.",
                &["reason"],
            ),
            overruns: registry.counter_by(
                "weirgate_feed_overruns_total",
                "Times a subscriber fell out of a ring, by what it asked for then.",
                &["on_slow"],
            ),
        }
    }

    pub(super) fn gap(&self, reason: GapReason) {
        self.gaps.with_label_values(&[reason.as_str()]).inc();
    }

    pub(super) fn overrun(&self, on_slow: OnSlow) {
        self.overruns.with_label_values(&[on_slow.as_str()]).inc();
    }
}
