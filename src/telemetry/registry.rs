//! The metrics registry, a thin door to `prometheus`.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::proto::MetricType;
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
pub struct Registry {
    registered: prometheus::Registry,
    /// What was registered: a family that counts nothing yet is not rendered.
    families: Arc<Mutex<Vec<Family>>>,
}

/// Metrics of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// The name, of a histogram without `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// Its labels, of a histogram without `le`.
    pub labels: Vec<String>,
    /// Whether it is a histogram.
    pub is_histogram: bool,
}

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
        if let Err(error) = TextEncoder::new().encode(&self.registered.gather(), &mut text) {
            tracing::error!(%error, "a metric cannot be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }

    /// All families, those too that count nothing yet.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[expect(clippy::expect_used, reason = "names are constants, and a test registers every room's at once")]
    fn register<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: Result<M, prometheus::Error>,
    ) -> M {
        let metric = metric.expect("a metric's name and labels are valid");
        self.registered.register(Box::new(metric.clone())).expect("a metric is registered once");
        let is_histogram =
            metric.collect().iter().any(|family| family.get_field_type() == MetricType::HISTOGRAM);
        let families = metric.desc().into_iter().map(|description| Family {
            name: description.fq_name.clone(),
            labels: description.variable_labels.clone(),
            is_histogram,
        });
        self.families.lock().unwrap_or_else(PoisonError::into_inner).extend(families);
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::{Family, Registry};

    #[test]
    fn registered_metrics_are_rendered_in_text_format() {
        let registry = Registry::new();
        registry.counter_by("weirgate_things_total", "Things.", &["kind"]).with_label_values(&["a"]).inc();
        let text = registry.render();
        assert!(text.contains("# HELP weirgate_things_total Things."), "{text}");
        assert!(text.contains("weirgate_things_total{kind=\"a\"} 1"), "{text}");
    }

    #[test]
    fn families_are_known_before_they_count_anything() {
        let registry = Registry::new();
        drop(registry.histogram_by("weirgate_things_seconds", "Things.", &["kind"], &[1.0]));
        drop(registry.gauge("weirgate_thing", "A thing."));
        assert!(!registry.render().contains("weirgate_things_seconds"));
        let family = |name: &str, labels: &[&str], is_histogram| Family {
            name: name.to_owned(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            is_histogram,
        };
        let expected =
            [family("weirgate_things_seconds", &["kind"], true), family("weirgate_thing", &[], false)];
        assert_eq!(registry.families(), expected);
    }
}
