//! What the gateway says of itself: the metrics registry, the log's set-up, trace context.
//!
//! Rooms declare their metrics in one struct and register them here; nothing in this room knows what they mean.
//! Payloads, tokens and personal data never enter it.

mod logging;
mod registry;
mod trace_context;

pub use logging::{Config, LogFormat, start};
pub use registry::{Counter, CounterBy, Family, Gauge, GaugeBy, Histogram, HistogramBy, RatioBy, Registry};
pub use trace_context::TraceContext;
