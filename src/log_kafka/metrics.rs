//! What the engine counts.

use crate::telemetry::{Counter, CounterBy, Gauge, GaugeBy, Registry};

use super::statistics::Series;

#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) up: Gauge,
    pub(super) records: Counter,
    pub(super) bytes: Counter,
    pub(super) overloads: Counter,
    pub(super) queue_bytes: Gauge,
    pub(super) producer_recreations: Counter,
    pub(super) undecodable_headers: Counter,
    pub(super) reading_clients: Gauge,
    pub(super) members: Gauge,
    pub(super) clients_left_behind: Gauge,
    pub(super) refusals: Counter,
    /// By outcome.
    pub(super) transactions: CounterBy,
    /// What librdkafka says of itself.
    pub(super) statistics: Series,
    pub(super) topic_drift: GaugeBy,
    pub(super) partitions_out_of_sync: Gauge,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            up: registry.gauge("weirgate_kafka_up", "1 while the cluster answers."),
            records: registry.counter("weirgate_log_records_total", "Records stored."),
            bytes: registry.counter("weirgate_log_bytes_total", "Bytes of records stored."),
            overloads: registry
                .counter("weirgate_log_overloads_total", "Requests refused because the queue was full."),
            queue_bytes: registry
                .gauge("weirgate_log_queue_bytes", "Bytes handed over and not yet answered."),
            producer_recreations: registry
                .counter("weirgate_producer_recreations_total", "Producers made anew after a fatal error."),
            undecodable_headers: registry.counter(
                "weirgate_kafka_undecodable_headers_total",
                "Headers left out because their name is not UTF-8.",
            ),
            reading_clients: registry.gauge(
                "weirgate_kafka_reading_clients",
                "Clients that read partitions for feeds and tables.",
            ),
            members: registry.gauge("weirgate_kafka_members", "Groups this gateway is a member of."),
            clients_left_behind: registry.gauge(
                "weirgate_kafka_clients_left_behind",
                "Clients of memberships that ended which do not close, and keep their threads and connections.",
            ),
            refusals: registry.counter(
                "weirgate_kafka_refused_joins_total",
                "Times a group did not let this gateway in because its other members have no assignor in common with it.",
            ),
            transactions: registry.counter_by(
                "weirgate_kafka_transactions_total",
                "Transactions by outcome: committed, aborted (nothing was stored), overtaken (another writer was first), unknown.",
                &["outcome"],
            ),
            statistics: Series::register(registry),
            topic_drift: registry.gauge_by(
                "weirgate_topic_drift",
                "Settings in which a configured topic of the cluster is not as configured.",
                &["topic"],
            ),
            partitions_out_of_sync: registry.gauge(
                "weirgate_kafka_partitions_under_min_insync",
                "Partitions that store nothing because too few of their replicas are in sync.",
            ),
        }
    }
}
