//! What operators see of sockets.

use crate::problem::CloseCode;
use crate::telemetry::{Counter, CounterBy, Gauge, Registry};

/// The room's metrics.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) connections: Gauge,
    pub(super) subscriptions_broadcast: Gauge,
    pub(super) subscriptions_group: Gauge,
    pub(super) messages_in: Counter,
    pub(super) messages_out: Counter,
    pub(super) unsent_bytes: Gauge,
    closes: CounterBy,
}

/// How a connection that ended without a close frame is counted: RFC 6455 gives it this number and never sends it.
const ABNORMAL: &str = "1006";

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let messages = registry.counter_by(
            "weirgate_ws_messages_total",
            "Messages over sockets, by direction.",
            &["direction"],
        );
        let subscriptions = registry.gauge_by(
            "weirgate_ws_subscriptions",
            "Open subscriptions of sockets, by kind (broadcast or group).",
            &["kind"],
        );
        Self {
            connections: registry.gauge("weirgate_ws_connections", "Open sockets."),
            subscriptions_broadcast: subscriptions.with_label_values(&["broadcast"]),
            subscriptions_group: subscriptions.with_label_values(&["group"]),
            messages_in: messages.with_label_values(&["in"]),
            messages_out: messages.with_label_values(&["out"]),
            unsent_bytes: registry.gauge(
                "weirgate_ws_unsent_bytes",
                "Bytes that wait in the gateway for clients to read them.",
            ),
            closes: registry.counter_by(
                "weirgate_ws_closes_total",
                "Sockets that ended, by close code; 1006 went without a close frame.",
                &["code"],
            ),
        }
    }

    /// Counts an end; `None` is one without a close frame.
    pub(super) fn count_close(&self, code: Option<CloseCode>) {
        match code {
            Some(code) => self.closes.with_label_values(&[&code.number().to_string()]).inc(),
            None => self.closes.with_label_values(&[ABNORMAL]).inc(),
        }
    }
}
