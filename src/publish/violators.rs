//! Who breaks which schema: a bounded number of pairs of producer and subject, each with a counter of its own.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::schema;

use super::metrics::Metrics;

/// How many pairs have a counter of their own; all later ones share one.
const PAIRS_MAX: usize = 1_000;
const OTHER: &str = "other";

/// Counts violations by producer and subject.
#[derive(Debug)]
pub(super) struct Violators {
    /// Guards the pairs that have a counter.
    pairs: Mutex<HashSet<(Box<str>, Arc<str>)>>,
    metrics: Arc<Metrics>,
}

impl Violators {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { pairs: Mutex::default(), metrics }
    }

    /// Counts data of a producer that its schema refuses.
    pub(super) fn count(&self, producer: &str, error: &schema::Error) {
        let (schema::Error::Violation { subject, .. } | schema::Error::PatternLimit { subject, .. }) = error
        else {
            return;
        };
        let (producer, subject) =
            if self.is_told(producer, subject) { (producer, &**subject) } else { (OTHER, OTHER) };
        self.metrics.schema_violators.with_label_values(&[producer, subject]).inc();
    }

    fn is_told(&self, producer: &str, subject: &Arc<str>) -> bool {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = (Box::from(producer), Arc::clone(subject));
        pairs.contains(&pair) || (pairs.len() < PAIRS_MAX && pairs.insert(pair))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{PAIRS_MAX, Violators};
    use crate::publish::metrics::Metrics;
    use crate::schema::{Error, SchemaId};
    use crate::telemetry::Registry;

    #[test]
    fn pairs_beyond_the_bound_share_a_counter() {
        let registry = Registry::new();
        let violators = Violators::new(Arc::new(Metrics::register(&registry)));
        let error = |subject: &str| Error::PatternLimit {
            subject: subject.into(),
            schema_id: SchemaId::new(1).unwrap(),
        };
        for number in 0..PAIRS_MAX + 7 {
            violators.count(&format!("service:{number}"), &error("orders.placed.v1-value"));
        }
        violators.count("service:0", &error("orders.placed.v1-value"));
        let text = registry.render();
        let name = "weirgate_schema_violations_by_producer_total";
        let count = |producer: &str, subject: &str| {
            let line = format!("{name}{{producer=\"{producer}\",subject=\"{subject}\"}} ");
            text.lines().find_map(|one| one.strip_prefix(&*line)).unwrap_or("absent").to_owned()
        };
        assert_eq!(count("service:0", "orders.placed.v1-value"), "2");
        assert_eq!(count("other", "other"), "7");
        assert_eq!(text.lines().filter(|line| line.starts_with(name)).count(), PAIRS_MAX + 1);
    }
}
