//! What the engine counts.

use crate::telemetry::{Counter, Gauge, Histogram, Registry};

const SECONDS: [f64; 11] = [0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5];
const RECORDS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 2048.0, 4096.0];

#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) commit_duration: Histogram,
    pub(super) commit_records: Histogram,
    pub(super) commit_failures: Counter,
    pub(super) records: Counter,
    pub(super) bytes: Counter,
    pub(super) overloads: Counter,
    pub(super) queue_bytes: Gauge,
    pub(super) read_duration: Histogram,
    pub(super) reads_waiting: Gauge,
    pub(super) compactions_waiting: Gauge,
    pub(super) damages: Counter,
    pub(super) trimmed_bytes: Counter,
    pub(super) compacted_batches: Counter,
    pub(super) writable: Gauge,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            commit_duration: registry.histogram(
                "weirgate_log_commit_duration_seconds",
                "Time from the first encoded record of a group to its durable commit.",
                &SECONDS,
            ),
            commit_records: registry.histogram(
                "weirgate_log_commit_records",
                "Records and entries that shared one commit.",
                &RECORDS,
            ),
            commit_failures: registry.counter("weirgate_log_commit_failures_total", "Commits that failed."),
            records: registry.counter("weirgate_log_records_total", "Records committed."),
            bytes: registry.counter("weirgate_log_bytes_total", "Bytes of batches committed."),
            overloads: registry
                .counter("weirgate_log_overloads_total", "Requests refused because the queue was full."),
            queue_bytes: registry
                .gauge("weirgate_log_queue_bytes", "Bytes handed over and not yet committed."),
            read_duration: registry.histogram(
                "weirgate_log_read_duration_seconds",
                "Time of a read from the database.",
                &SECONDS,
            ),
            reads_waiting: registry
                .gauge("weirgate_log_reads_waiting", "Reads that wait for a connection to the database."),
            compactions_waiting: registry
                .gauge("weirgate_log_compactions_waiting", "Partitions of tables that wait for compaction."),
            damages: registry.counter(
                "weirgate_log_damages_total",
                "Reads that met bytes which are not what was written.",
            ),
            trimmed_bytes: registry.counter(
                "weirgate_log_trimmed_bytes_total",
                "Bytes given up by retention and delete-records.",
            ),
            compacted_batches: registry.counter(
                "weirgate_log_compacted_batches_total",
                "Batches rewritten or dropped by compaction.",
            ),
            writable: registry.gauge("weirgate_log_writable", "1 while the log takes writes."),
        }
    }
}
