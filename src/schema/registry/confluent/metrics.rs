//! The metrics of a registry elsewhere.

use crate::telemetry::{CounterBy, Gauge, Registry};

/// All of them.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub(super) requests: CounterBy,
    pub(super) is_up: Gauge,
    pub(super) event_types: Gauge,
    pub(super) text_bytes: Gauge,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            requests: registry.counter_by(
                "weirgate_schema_registry_requests_total",
                "Requests to the schema registry of schemas.confluent, by result (ok, absent, refused, unusable, failed).",
                &["result"],
            ),
            is_up: registry.gauge(
                "weirgate_schema_registry_up",
                "Whether the schema registry of schemas.confluent answered last (1) or not (0).",
            ),
            event_types: registry.gauge(
                "weirgate_schema_registry_event_types",
                "Event types of which it is known what the schema registry of schemas.confluent has for them.",
            ),
            text_bytes: registry.gauge(
                "weirgate_schema_registry_text_bytes",
                "Bytes of schemas that were fetched from the registry of schemas.confluent and are kept.",
            ),
        }
    }
}
