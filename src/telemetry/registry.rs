//! The metrics registry, a thin door to `prometheus`.

use prometheus::{Encoder, HistogramOpts, Opts, TextEncoder};

/// A count that only grows.
pub type Counter = prometheus::IntCounter;
/// Counters by label values.
pub type CounterBy = prometheus::IntCounterVec;
/// A number that goes up and down.
pub type Gauge = prometheus::IntGauge;
/// Gauges by label values.
pub type GaugeBy = prometheus::IntGaugeVec;
/// Numbers with a fraction, by label values.
pub type RatioBy = prometheus::GaugeVec;
/// A distribution over fixed buckets.
pub type Histogram = prometheus::Histogram;
/// Histograms by label values.
pub type HistogramBy = prometheus::HistogramVec;

/// Where every room registers its metrics. Cheap to clone; one per gateway, so that two in one process (tests)
/// stay apart.
#[derive(Debug, Clone, Default)]
pub struct Registry(prometheus::Registry);

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a counter.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register(Counter::new(name, help))
    }

    /// Registers counters by labels.
    #[must_use]
    pub fn counter_by(&self, name: &str, help: &str, labels: &[&str]) -> CounterBy {
        self.register(CounterBy::new(Opts::new(name, help), labels))
    }

    /// Registers a gauge.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help))
    }

    /// Registers gauges by labels.
    #[must_use]
    pub fn gauge_by(&self, name: &str, help: &str, labels: &[&str]) -> GaugeBy {
        self.register(GaugeBy::new(Opts::new(name, help), labels))
    }

    /// Registers numbers with a fraction, by labels.
    #[must_use]
    pub fn ratio_by(&self, name: &str, help: &str, labels: &[&str]) -> RatioBy {
        self.register(RatioBy::new(Opts::new(name, help), labels))
    }

    /// Registers a histogram with these upper bounds.
    #[must_use]
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    /// Registers histograms by labels with these upper bounds.
    #[must_use]
    pub fn histogram_by(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramBy {
        self.register(HistogramBy::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }

    /// All metrics in Prometheus's text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0.gather(), &mut text) {
            tracing::error!(%error, "a metric cannot be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }

    #[expect(clippy::expect_used, reason = "names are constants, and a test registers every room's at once")]
    fn register<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: Result<M, prometheus::Error>,
    ) -> M {
        let metric = metric.expect("a metric's name and labels are valid");
        self.0.register(Box::new(metric.clone())).expect("a metric is registered once");
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::Registry;

    #[test]
    fn registered_metrics_are_rendered_in_text_format() {
        let registry = Registry::new();
        registry.counter_by("weirgate_things_total", "Things.", &["kind"]).with_label_values(&["a"]).inc();
        let text = registry.render();
        assert!(text.contains("# HELP weirgate_things_total Things."), "{text}");
        assert!(text.contains("weirgate_things_total{kind=\"a\"} 1"), "{text}");
    }
}
