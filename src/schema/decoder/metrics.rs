//! What is counted of records that cannot be read.

use crate::event::Topic;
use crate::telemetry::{CounterBy, Registry};

/// Stands for topics that the catalogue does not list, so that the labels are bounded by configuration.
const OTHER: &str = "other";

/// Why a record cannot be read as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its bytes are not what its schema describes.
    BrokenData,
    /// Nobody knows the schema that it names.
    UnknownSchema,
    /// It names no schema, or not as it should, and is no JSON.
    Unnamed,
    /// Its schema cannot be compiled here.
    UnusableSchema,
}

/// The metrics.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    undecodable: CounterBy,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::BrokenData => "broken_data",
            Self::UnknownSchema => "unknown_schema",
            Self::Unnamed => "unnamed",
            Self::UnusableSchema => "unusable_schema",
        }
    }
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Self {
        Self {
            undecodable: registry.counter_by(
                "weirgate_undecodable_records_total",
                "Records that could not be shown as JSON, by topic and reason, each time they are read from the log.",
                &["topic", "reason"],
            ),
        }
    }

    /// Counts a record; `topic` where the catalogue lists it.
    pub(super) fn count(&self, topic: Option<&Topic>, reason: Reason) {
        let topic = topic.map_or(OTHER, Topic::as_str);
        self.undecodable.with_label_values(&[topic, reason.as_str()]).inc();
    }
}
