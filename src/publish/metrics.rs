//! What the room counts.

use crate::event::{Enforcement, EventType, Topic};
use crate::telemetry::{Counter, CounterBy, Gauge, Histogram, Registry};

/// The room's metrics. Labels come from the catalogue, so their number is bounded by configuration, or are counted.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub(super) events_published: CounterBy,
    pub(super) requests: CounterBy,
    pub(super) duration: Histogram,
    pub(super) duplicates: Counter,
    pub(super) conflicts: Counter,
    pub(super) unconfirmed_lost: Counter,
    pub(super) queue_bytes: Gauge,
    pub(super) queue_refusals: Counter,
    pub(super) quota_refusals: CounterBy,
    pub(super) quota_principals: Gauge,
    pub(super) schema_violations: CounterBy,
    pub(super) quarantined: CounterBy,
    pub(super) schema_violators: CounterBy,
    pub(super) topics_created: Counter,
    pub(super) dedupe_entries: Gauge,
    pub(super) dedupe_evictions: Counter,
    pub(super) dedupe_window: Gauge,
    pub(super) dedupe_learned: Counter,
    pub(super) dedupe_told: Counter,
    pub(super) dedupe_untold: Counter,
    pub(super) dedupe_unknown: Counter,
    pub(super) dedupe_resolved: CounterBy,
    pub(super) idempotency_entries: Gauge,
    pub(super) idempotency_bytes: Gauge,
    pub(super) idempotency_evictions: Counter,
    pub(super) idempotency_replays: Counter,
    pub(super) idempotency_untold: Counter,
}

/// What became of the events of one type, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Stored.
    pub stored: u64,
    /// Found to break their schema when they were to be published, whatever was done about it; dry runs are not counted.
    pub broken: u64,
}

const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Metrics {
    /// Reads the counters of a type; those that are not there yet are made.
    pub(super) fn counts(&self, event_type: &EventType, topic: &Topic) -> Counts {
        let labels = [event_type.as_str(), topic.as_str()];
        let broken = Enforcement::ALL.map(|enforcement| {
            let [event_type, topic] = labels;
            self.schema_violations.with_label_values(&[event_type, topic, enforcement.as_str()]).get()
        });
        Counts { stored: self.events_published.with_label_values(&labels).get(), broken: broken.iter().sum() }
    }

    #[expect(clippy::too_many_lines, reason = "it is a list")]
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            events_published: registry.counter_by(
                "events_published_total",
                "Events stored, by type and topic; types the catalogue does not name are 'other'.",
                &["event_type", "topic"],
            ),
            requests: registry.counter_by(
                "weirgate_publish_requests_total",
                "Events offered, by topic and by what became of them.",
                &["topic", "outcome"],
            ),
            duration: registry.histogram(
                "weirgate_publish_duration_seconds",
                "Time from an event's arrival to the log's answer.",
                SECONDS,
            ),
            duplicates: registry.counter(
                "weirgate_publish_duplicates_total",
                "Repeated events that were recognised and not stored again.",
            ),
            conflicts: registry.counter(
                "weirgate_dedupe_conflicts_total",
                "Events refused because their id was used for other bytes.",
            ),
            unconfirmed_lost: registry.counter(
                "weirgate_publish_unconfirmed_lost_total",
                "Events answered 202 that the log then did not confirm.",
            ),
            queue_bytes: registry.gauge(
                "weirgate_publish_queue_bytes",
                "Bytes of events handed over to the log and not yet answered by it.",
            ),
            queue_refusals: registry.counter(
                "weirgate_publish_queue_refusals_total",
                "Requests refused because the queue was full.",
            ),
            quota_refusals: registry.counter_by(
                "weirgate_publish_quota_rejections_total",
                "Requests refused by a quota.",
                &["quota"],
            ),
            quota_principals: registry
                .gauge("weirgate_publish_quota_principals", "Principals whose rate is measured now."),
            schema_violations: registry.counter_by(
                "weirgate_schema_violations_total",
                "Events whose data broke their schema, by what was done about it.",
                &["event_type", "topic", "enforcement"],
            ),
            schema_violators: registry.counter_by(
                "weirgate_schema_violations_by_producer_total",
                "Events whose data broke their schema, by who offered them and the subject; after 1,000 pairs 'other'.",
                &["producer", "subject"],
            ),
            quarantined: registry.counter_by(
                "weirgate_quarantine_events_total",
                "Refused events of topics that keep such, by whether they were kept.",
                &["topic", "state"],
            ),
            topics_created: registry.counter(
                "weirgate_publish_topics_created_total",
                "Topics created by the first event for them.",
            ),
            dedupe_entries: registry.gauge("weirgate_dedupe_entries", "Event ids remembered."),
            dedupe_evictions: registry.counter(
                "weirgate_dedupe_evictions_total",
                "Event ids forgotten before their window was over, because the bound was reached.",
            ),
            dedupe_window: registry.gauge(
                "weirgate_dedupe_window_seconds",
                "How long event ids are remembered now: the configured window, or less since the bound was reached.",
            ),
            dedupe_learned: registry.counter(
                "weirgate_dedupe_learned_total",
                "Event ids of other gateways, and of this one before its start, learned from the log.",
            ),
            dedupe_told: registry.counter(
                "weirgate_dedupe_told_total",
                "Event ids written to the log, for other gateways and the next start.",
            ),
            dedupe_untold: registry.counter(
                "weirgate_dedupe_untold_total",
                "Event ids not written to the log because it could not take them in time: only this gateway knows them.",
            ),
            dedupe_unknown: registry.counter(
                "weirgate_dedupe_unknown_total",
                "Appends with an event id of the client's whose outcome stayed unknown.",
            ),
            dedupe_resolved: registry.counter_by(
                "weirgate_dedupe_resolved_total",
                "Unknown outcomes looked up in the log, by what was found.",
                &["result"],
            ),
            idempotency_entries: registry
                .gauge("weirgate_idempotency_entries", "Answers kept for idempotency keys."),
            idempotency_bytes: registry
                .gauge("weirgate_idempotency_bytes", "Bytes of answers kept for idempotency keys."),
            idempotency_evictions: registry.counter(
                "weirgate_idempotency_evictions_total",
                "Answers forgotten before their window was over, because a bound was reached.",
            ),
            idempotency_replays: registry
                .counter("weirgate_idempotency_replays_total", "Requests answered from a kept answer."),
            idempotency_untold: registry.counter(
                "weirgate_idempotency_untold_total",
                "Answers not written to the log, being too long or because it could not take them: only this gateway has them.",
            ),
        }
    }
}
