//! Schemas that wrote records, compiled, within a weight; and those that nobody knows, for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Language, Wanted};
use crate::schema::framing::Writer;

/// All together may weigh this many bytes; what was used longest ago goes first.
const WEIGHT_MAX: usize = 32 << 20;
/// Names that no schema has are remembered, so many of them.
const MISSES_MAX: usize = 1_000;
/// And so long: records that name them again need not wait.
pub(super) const MISS: Duration = Duration::from_secs(10);

/// What is known of schemas.
#[derive(Debug, Default)]
pub(super) struct Known {
    schemas: HashMap<Writer, Entry>,
    misses: HashMap<Wanted, Instant>,
    weight: usize,
    /// How often something was looked up: the clock by which use is told.
    lookups: u64,
}

#[derive(Debug)]
struct Entry {
    language: Arc<Language>,
    weight: usize,
    used: u64,
}

impl Known {
    /// Takes a schema in, and lets others go for it.
    pub(super) fn put(&mut self, writer: Writer, language: Arc<Language>, weight: usize) -> Arc<Language> {
        self.misses.remove(&Wanted::Schema(writer));
        self.lookups += 1;
        let entry = Entry { language: Arc::clone(&language), weight, used: self.lookups };
        self.weight += weight;
        if let Some(before) = self.schemas.insert(writer, entry) {
            self.weight = self.weight.saturating_sub(before.weight);
        }
        while self.weight > WEIGHT_MAX && self.schemas.len() > 1 {
            let oldest = self.schemas.iter().min_by_key(|(_, entry)| entry.used).map(|(writer, _)| *writer);
            let Some(gone) = oldest.and_then(|oldest| self.schemas.remove(&oldest)) else { break };
            self.weight = self.weight.saturating_sub(gone.weight);
        }
        language
    }

    /// Notes that there is no such schema, or none that helps. When that was first found counts, however often it is again.
    pub(super) fn miss(&mut self, wanted: Wanted) {
        if !self.is_missed(&wanted) && self.has_room() {
            self.misses.insert(wanted, Instant::now());
        }
    }

    /// A schema that was compiled before.
    pub(super) fn find(&mut self, writer: Writer) -> Option<Arc<Language>> {
        self.lookups += 1;
        let entry = self.schemas.get_mut(&writer)?;
        entry.used = self.lookups;
        Some(Arc::clone(&entry.language))
    }

    /// Whether it was not just found that there is no such schema.
    pub(super) fn is_worth_a_wait(&mut self, wanted: &Wanted) -> bool {
        // Without room, somebody writes names without end that no registry knows.
        !self.is_missed(wanted) && self.has_room()
    }

    fn is_missed(&self, wanted: &Wanted) -> bool {
        self.misses.get(wanted).is_some_and(|since| since.elapsed() < MISS)
    }

    fn has_room(&mut self) -> bool {
        if self.misses.len() >= MISSES_MAX {
            self.misses.retain(|_, since| since.elapsed() < MISS);
        }
        self.misses.len() < MISSES_MAX
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Known, Language, MISSES_MAX, WEIGHT_MAX, Wanted, Writer};
    use crate::schema::SchemaId;

    fn writer(number: usize) -> Writer {
        Writer::Id(SchemaId::new(i32::try_from(number + 1).unwrap()).unwrap())
    }

    fn wanted(number: usize) -> Wanted {
        Wanted::Schema(writer(number))
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes_by_weight() {
        let mut known = Known::default();
        for number in 0..20 {
            known.put(writer(number), Arc::new(Language::Json), WEIGHT_MAX / 10);
            assert!(known.find(writer(0)).is_some());
            assert!(known.weight <= WEIGHT_MAX);
        }
        assert_eq!(known.schemas.len(), 10);
        assert!(known.find(writer(1)).is_none() && known.find(writer(19)).is_some());
        known.put(writer(0), Arc::new(Language::Json), 2 * WEIGHT_MAX);
        assert_eq!((known.schemas.len(), known.weight), (1, 2 * WEIGHT_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_name_is_waited_for_once_in_a_while() {
        let mut known = Known::default();
        assert!(known.is_worth_a_wait(&wanted(0)));
        known.miss(wanted(0));
        assert!(!known.is_worth_a_wait(&wanted(0)));
        for number in 0..2 * MISSES_MAX {
            known.miss(wanted(number));
        }
        assert_eq!(known.misses.len(), MISSES_MAX);
        assert!(!known.is_worth_a_wait(&wanted(2 * MISSES_MAX)), "names without end are not waited for");
        tokio::time::advance(super::MISS).await;
        assert!(known.is_worth_a_wait(&wanted(0)));
        known.miss(wanted(2 * MISSES_MAX));
        assert!(known.misses.len() <= MISSES_MAX);
        assert!(known.is_worth_a_wait(&wanted(3)) && !known.is_worth_a_wait(&wanted(2 * MISSES_MAX)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_is_missed_all_the_time_is_waited_for_again() {
        let mut known = Known::default();
        for _ in 0..4 {
            known.miss(wanted(0));
            assert!(!known.is_worth_a_wait(&wanted(0)));
            tokio::time::advance(super::MISS / 4).await;
        }
        assert!(known.is_worth_a_wait(&wanted(0)));
    }
}
