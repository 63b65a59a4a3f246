//! What groups count.

use crate::telemetry::{Counter, CounterBy, Gauge, GaugeBy, Histogram, HistogramBy, RatioBy, Registry};

const PROCESSING: [f64; 7] = [0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0];
const LATENCY: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 300.0];
const ATTEMPTS: [f64; 8] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 11.0];

/// The room's metrics.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub(super) events_consumed: CounterBy,
    pub(super) processing: HistogramBy,
    pub(super) deliveries: CounterBy,
    pub(super) redeliveries: CounterBy,
    pub(super) attempts: Histogram,
    pub(super) delivery_latency: Histogram,
    pub(super) ack_latency: Histogram,
    pub(super) in_flight: GaugeBy,
    pub(super) blocked_seconds: RatioBy,
    pub(super) incomplete: GaugeBy,
    pub(super) span: GaugeBy,
    pub(super) metadata_ratio: RatioBy,
    pub(super) metadata_cut: Counter,
    pub(super) paused: GaugeBy,
    pub(super) standing: Standing,
    pub(super) gaps: CounterBy,
    pub(super) dead_letters: CounterBy,
    pub(super) dead_letter_failures: Counter,
    pub(super) letters: Letters,
    pub(super) replays: Replays,
    pub(super) lag: Lag,
}

/// What tells that groups stand still.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) breaker: GaugeBy,
    pub(super) breaker_opened: CounterBy,
    pub(super) halted: GaugeBy,
    pub(super) keys_closing: GaugeBy,
    pub(super) keys_parked: GaugeBy,
}

/// What dead letters there are.
#[derive(Debug, Clone)]
pub(super) struct Letters {
    pub(super) open: GaugeBy,
    pub(super) oldest_open: RatioBy,
    pub(super) states: Gauge,
    pub(super) state_bytes: Gauge,
    pub(super) state_bytes_max: Gauge,
    pub(super) redriven: CounterBy,
    /// That run here.
    pub(super) redrives: Gauge,
}

/// What replays do.
#[derive(Debug, Clone)]
pub(super) struct Replays {
    pub(super) events: CounterBy,
    /// That run here.
    pub(super) running: Gauge,
}

/// How far groups are behind.
#[derive(Debug, Clone)]
pub(super) struct Lag {
    pub(super) events: GaugeBy,
    pub(super) seconds: RatioBy,
    pub(super) current: GaugeBy,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let place = ["group", "topic", "partition"];
        Self {
            events_consumed: registry.counter_by(
                "events_consumed_total",
                "Events acknowledged by consumer groups.",
                &["event_type", "topic", "consumer_group"],
            ),
            processing: registry.histogram_by(
                "event_processing_duration_seconds",
                "From sending an event to a consumer until its acknowledgement.",
                &["event_type"],
                &PROCESSING,
            ),
            deliveries: registry.counter_by(
                "weirgate_deliveries_total",
                "Deliveries by how they ended: ack, nack, reject, timeout or lost.",
                &["group", "topic", "outcome"],
            ),
            redeliveries: registry.counter_by(
                "weirgate_redeliveries_total",
                "Deliveries that were a second or later attempt.",
                &["group", "topic"],
            ),
            attempts: registry.histogram(
                "weirgate_delivery_attempts",
                "Attempts an event took until it was acknowledged or dead.",
                &ATTEMPTS,
            ),
            delivery_latency: registry.histogram(
                "weirgate_delivery_latency_seconds",
                "From the append of an event to its first delivery.",
                &LATENCY,
            ),
            ack_latency: registry.histogram(
                "weirgate_ack_latency_seconds",
                "From a delivery to its acknowledgement.",
                &LATENCY,
            ),
            in_flight: registry.gauge_by("weirgate_inflight", "Unsettled deliveries.", &["group"]),
            blocked_seconds: registry.ratio_by(
                "weirgate_lane_blocked_seconds_max",
                "Age of the lane of a partition that has been blocked longest.",
                &place,
            ),
            incomplete: registry.gauge_by(
                "weirgate_incomplete_offsets",
                "Records taken and not settled.",
                &place,
            ),
            span: registry.gauge_by(
                "weirgate_offset_span",
                "Highest offset taken less the committed one.",
                &place,
            ),
            metadata_ratio: registry.ratio_by(
                "weirgate_commit_metadata_ratio",
                "Length of the commit metadata as a part of its limit.",
                &place,
            ),
            metadata_cut: registry.counter(
                "weirgate_commit_metadata_cut_total",
                "Commits whose metadata did not fit and was left out.",
            ),
            paused: registry.gauge_by(
                "weirgate_partitions_paused",
                "Partitions whose reading is held, by the bound that holds it.",
                &["group", "reason"],
            ),
            standing: Standing::register(registry, &place),
            gaps: registry.counter_by(
                "weirgate_group_gaps_total",
                "Times that records were gone before a group had read them.",
                &["group", "topic"],
            ),
            dead_letters: registry.counter_by(
                "weirgate_dlq_messages_total",
                "Dead letters written.",
                &["group", "topic", "reason"],
            ),
            dead_letter_failures: registry.counter(
                "weirgate_dlq_write_failures_total",
                "Failed attempts to write a dead letter; each is tried again.",
            ),
            letters: Letters::register(registry),
            replays: Replays::register(registry),
            lag: Lag::register(registry),
        }
    }
}

impl Letters {
    fn register(registry: &Registry) -> Self {
        Self {
            open: registry.gauge_by(
                "weirgate_dlq_open",
                "Dead letters nobody has settled or redriven, counted every 5 to 60 seconds; of more than 1,000 about.",
                &["group", "topic"],
            ),
            oldest_open: registry.ratio_by(
                "weirgate_dlq_oldest_open_seconds",
                "Since the last failure of the open dead letter that failed first; 0 without one.",
                &["group", "topic"],
            ),
            states: registry
                .gauge("weirgate_dlq_states", "Dead letters with a state or notes, and parked keys."),
            state_bytes: registry.gauge(
                "weirgate_dlq_states_bytes",
                "Bytes of memory of what is known of dead letters, bounded by dead_letters.states_bytes_max; without parked keys.",
            ),
            state_bytes_max: registry
                .gauge("weirgate_dlq_states_bytes_max", "What dead_letters.states_bytes_max says."),
            redriven: registry.counter_by(
                "weirgate_redrive_messages_total",
                "Dead letters that redrives sent back, by outcome: moved, failed or skipped.",
                &["group", "outcome"],
            ),
            redrives: registry
                .gauge("weirgate_redrives_running", "Redrives that this gateway carries out now."),
        }
    }
}

impl Replays {
    fn register(registry: &Registry) -> Self {
        Self {
            events: registry.counter_by(
                "weirgate_replay_events_total",
                "Events of replays, by outcome: delivered, failed or skipped.",
                &["group", "outcome"],
            ),
            running: registry.gauge("weirgate_replays_running", "Replays that this gateway carries out now."),
        }
    }
}

impl Lag {
    fn register(registry: &Registry) -> Self {
        let consumer = ["consumergroup", "topic", "partition"];
        Self {
            events: registry.gauge_by(
                "kafka_consumergroup_lag",
                "Events a group has not settled, measured every 5 to 60 seconds.",
                &consumer,
            ),
            seconds: registry.ratio_by(
                "kafka_consumergroup_lag_seconds",
                "Age of the oldest event a group has not settled, measured every 5 to 60 seconds.",
                &consumer,
            ),
            current: registry.gauge_by(
                "kafka_consumergroup_current_offset",
                "Where a group goes on: what it committed, before that where its policy has it begin.",
                &consumer,
            ),
        }
    }
}

impl Standing {
    fn register(registry: &Registry, place: &[&str]) -> Self {
        Self {
            breaker: registry.gauge_by(
                "weirgate_breaker_state",
                "Whether a group's deliveries are paused since its consumer seems to be down (1) or not (0).",
                &["group"],
            ),
            breaker_opened: registry.counter_by(
                "weirgate_breaker_opened_total",
                "Times that a group's deliveries were paused, by why: its consumer fails nearly everything (failures) or its connections break (connections_lost).",
                &["group", "reason"],
            ),
            halted: registry.gauge_by(
                "weirgate_partition_halted",
                "Whether a partition stands still at a record without attempts (1) or not (0).",
                place,
            ),
            keys_closing: registry.gauge_by(
                "weirgate_keys_closing",
                "Parked keys whose events wait here until their last letters, which a redrive sent back, are settled.",
                &["group"],
            ),
            keys_parked: registry.gauge_by(
                "weirgate_keys_parked",
                "Keys whose events become dead letters untried until those they have are settled, measured every 5 to 60 seconds.",
                &["group", "topic"],
            ),
        }
    }
}
