//! What the HTTP side counts.

use std::time::Duration;

use crate::telemetry::{Counter, CounterBy, Gauge, HistogramBy, Registry};

/// The room's metrics.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    requests: CounterBy,
    durations: HistogramBy,
    /// Connections open now, sockets included.
    pub(super) connections: Gauge,
    refusals: CounterBy,
    /// Requests being served now.
    pub(super) in_flight: Gauge,
    /// Bytes of request bodies read and not yet let go.
    pub(super) bodies_bytes: Gauge,
    /// Handlers that panicked.
    pub(super) panics: Counter,
}

impl Metrics {
    /// Registers them.
    pub(super) fn register(registry: &Registry) -> Self {
        const SECONDS: &[f64] =
            &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0];
        Self {
            requests: registry.counter_by(
                "weirgate_http_requests_total",
                "Requests answered, by route and status.",
                &["route", "status"],
            ),
            durations: registry.histogram_by(
                "weirgate_http_request_duration_seconds",
                "Time from a request's head to its answer's head, by route.",
                &["route"],
                SECONDS,
            ),
            connections: registry
                .gauge("weirgate_http_connections", "Connections open now, sockets included."),
            refusals: registry.counter_by(
                "weirgate_http_connections_refused_total",
                "Connections turned away, by the limit met.",
                &["reason"],
            ),
            in_flight: registry.gauge("weirgate_http_requests_in_flight", "Requests being served now."),
            bodies_bytes: registry.gauge(
                "weirgate_http_bodies_bytes",
                "Bytes of request bodies read and not yet let go; http.limits.bodies_bytes_max bounds them.",
            ),
            panics: registry
                .counter("weirgate_http_panics_total", "Requests ended by a mistake of the gateway."),
        }
    }

    /// A connection was turned away.
    pub(super) fn refused(&self, reason: &str) {
        self.refusals.with_label_values(&[reason]).inc();
    }

    /// A request was answered.
    pub(super) fn answered(&self, route: &str, status: &str, took: Duration) {
        self.requests.with_label_values(&[route, status]).inc();
        self.durations.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}
