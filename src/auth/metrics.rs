//! The room's metrics.

use crate::telemetry::{Counter, CounterBy, Gauge, Registry};

/// All metrics of the room.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub(super) attempts: CounterBy,
    pub(super) denials: CounterBy,
    pub(super) jwks_fetches: CounterBy,
    pub(super) tickets_issued: Counter,
    pub(super) tickets_used_entries: Gauge,
    pub(super) token_cache_entries: Gauge,
    pub(super) token_cache_hits: Counter,
    pub(super) token_cache_misses: Counter,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            attempts: registry.counter_by(
                "weirgate_auth_attempts_total",
                "Credentials shown, by kind (bearer, api_key, ticket, certificate) and result (ok, refused, expired, unavailable).",
                &["kind", "result"],
            ),
            denials: registry.counter_by(
                "weirgate_auth_denials_total",
                "Decisions that denied, by operation.",
                &["operation"],
            ),
            jwks_fetches: registry.counter_by(
                "weirgate_auth_jwks_fetches_total",
                "Fetches of issuers' key sets, by issuer and result (ok, failed).",
                &["issuer", "result"],
            ),
            tickets_issued: registry.counter("weirgate_auth_tickets_issued_total", "Tickets given out."),
            tickets_used_entries: registry.gauge(
                "weirgate_auth_tickets_used_entries",
                "Used tickets that are remembered until their time is over.",
            ),
            token_cache_entries: registry.gauge(
                "weirgate_auth_token_cache_entries",
                "Verified tokens that are remembered by their hash.",
            ),
            token_cache_hits: registry.counter(
                "weirgate_auth_token_cache_hits_total",
                "Tokens that were not verified again because they are remembered.",
            ),
            token_cache_misses: registry.counter(
                "weirgate_auth_token_cache_misses_total",
                "Tokens that had to be verified.",
            ),
        }
    }
}
