//! What is remembered of each event type for people: when it was last stored, by whom, and which rules refused data broke.
//!
//! In memory, since the start, and bounded. Nothing of the data is kept: rules are told by the schema's own names. Types are
//! those that the catalogue binds.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::event::{EventType, Timestamp};
use crate::schema::{self, SchemaId, Violation};

/// So many types are remembered; a reload may bring others, but no gateway has that many at once.
const TYPES_MAX: usize = 10_000;
/// So many producers of a type are told by name.
const PRODUCERS_MAX: usize = 16;
/// A producer makes room for another one when it has published nothing for so long.
const QUIET: Duration = Duration::from_secs(60);
/// So many rules of a type have a counter of their own; all later ones share one.
const RULES_MAX: usize = 64;
/// So many of them are told.
const RULES_TOLD: usize = 16;
/// So much of a place is kept.
const PLACE_CHARACTERS_MAX: usize = 200;
const NEVER: i64 = i64::MIN;

/// One who published events of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Producer {
    /// The principal.
    pub principal: Arc<str>,
    /// When its last event was stored.
    pub last_stored: Timestamp,
}

/// A rule of a schema that data broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRule {
    /// Where, in the schema's own names.
    pub place: String,
    /// The keyword.
    pub keyword: String,
    /// The schema of the last event that broke it.
    pub schema_id: SchemaId,
    /// How many events broke it.
    pub count: u64,
}

/// What is remembered of a type since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sighting {
    /// When an event was last stored.
    pub last_stored: Option<Timestamp>,
    /// Who published, the latest first: at most 16.
    pub producers: Vec<Producer>,
    /// Whether there were others.
    pub has_more_producers: bool,
    /// The rules broken most, the worst first: at most 16.
    pub broken: Vec<BrokenRule>,
    /// How often other rules were broken.
    pub broken_others: u64,
}

/// What is remembered of all types.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    /// Guards which types there are; what is remembered of one guards itself.
    types: RwLock<HashMap<EventType, Arc<OfType>>>,
}

/// An event on its way, to be remembered once it is stored.
#[derive(Debug)]
pub(super) struct Expected {
    of_type: Arc<OfType>,
    producer: Arc<str>,
}

#[derive(Debug)]
struct OfType {
    /// In milliseconds.
    last_stored: AtomicI64,
    producers: RwLock<Producers>,
    rules: Mutex<Rules>,
}

#[derive(Debug, Default)]
struct Producers {
    /// Each with the time of its last event, in milliseconds.
    known: Vec<(Arc<str>, AtomicI64)>,
    has_more: bool,
}

#[derive(Debug, Default)]
struct Rules {
    known: HashMap<(String, String), (SchemaId, u64)>,
    others: u64,
}

impl Default for OfType {
    fn default() -> Self {
        Self { last_stored: AtomicI64::new(NEVER), producers: RwLock::default(), rules: Mutex::default() }
    }
}

impl Sightings {
    /// An event of a type that was judged good.
    pub(super) fn expect(&self, event_type: &EventType, producer: &Arc<str>) -> Option<Expected> {
        let of_type = self.of_type(event_type)?;
        Some(Expected { of_type, producer: Arc::clone(producer) })
    }

    /// Counts data that breaks the schema of its type.
    pub(super) fn count(&self, event_type: &EventType, error: &schema::Error) {
        match error {
            schema::Error::Violation { errors, schema_id, .. } => {
                let place = |one: &Violation| one.place.chars().take(PLACE_CHARACTERS_MAX).collect();
                let rules = errors.iter().map(|one| (place(one), one.keyword.clone()));
                self.count_rules(event_type, *schema_id, rules.collect());
            }
            schema::Error::PatternLimit { schema_id, .. } => {
                let rule = ("/data".to_owned(), "pattern_limit".to_owned());
                self.count_rules(event_type, *schema_id, BTreeSet::from([rule]));
            }
            schema::Error::Unusable { .. }
            | schema::Error::OtherFormat { .. }
            | schema::Error::Nameless { .. }
            | schema::Error::NotReady
            | schema::Error::Unavailable { .. }
            | schema::Error::Missing { .. } => {}
        }
    }

    /// What is remembered of a type.
    pub(super) fn look(&self, event_type: &EventType) -> Sighting {
        let found = self.types.read().unwrap_or_else(PoisonError::into_inner).get(event_type).cloned();
        found.map(|of_type| of_type.tell()).unwrap_or_default()
    }

    fn count_rules(&self, event_type: &EventType, schema_id: SchemaId, rules: BTreeSet<(String, String)>) {
        let Some(of_type) = self.of_type(event_type) else { return };
        let mut kept = of_type.rules.lock().unwrap_or_else(PoisonError::into_inner);
        for rule in rules {
            if let Some((id, count)) = kept.known.get_mut(&rule) {
                (*id, *count) = (schema_id, *count + 1);
            } else if kept.known.len() < RULES_MAX {
                kept.known.insert(rule, (schema_id, 1));
            } else {
                kept.others += 1;
            }
        }
    }

    /// What is remembered of a type; `None` where that is of too many.
    fn of_type(&self, event_type: &EventType) -> Option<Arc<OfType>> {
        if let Some(of_type) = self.types.read().unwrap_or_else(PoisonError::into_inner).get(event_type) {
            return Some(Arc::clone(of_type));
        }
        let mut types = self.types.write().unwrap_or_else(PoisonError::into_inner);
        if types.len() >= TYPES_MAX && !types.contains_key(event_type) {
            return None;
        }
        Some(Arc::clone(types.entry(event_type.clone()).or_default()))
    }
}

impl Expected {
    /// Remembers that the event was stored.
    pub(super) fn stored(self, at: Timestamp) {
        self.of_type.last_stored.fetch_max(at.millis(), Ordering::Relaxed);
        let known = self.of_type.producers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, last)) = known.known.iter().find(|(name, _)| *name == self.producer) {
            last.fetch_max(at.millis(), Ordering::Relaxed);
            return;
        }
        // Where all places are taken by others who publish now, nothing is written, so that many producers do not wait for one
        // another.
        let is_settled = known.has_more && known.place(at).is_none();
        drop(known);
        if !is_settled {
            let mut known = self.of_type.producers.write().unwrap_or_else(PoisonError::into_inner);
            known.add(self.producer, at);
        }
    }
}

impl Producers {
    /// Where another producer may be noted.
    fn place(&self, now: Timestamp) -> Option<usize> {
        if self.known.len() < PRODUCERS_MAX {
            return Some(self.known.len());
        }
        let last = |(_, last): &(Arc<str>, AtomicI64)| last.load(Ordering::Relaxed);
        let (index, oldest) = self.known.iter().map(last).enumerate().min_by_key(|(_, last)| *last)?;
        let quiet = i64::try_from(QUIET.as_millis()).unwrap_or(i64::MAX);
        (now.millis().saturating_sub(oldest) >= quiet).then_some(index)
    }

    fn add(&mut self, producer: Arc<str>, at: Timestamp) {
        if let Some((_, last)) = self.known.iter().find(|(name, _)| *name == producer) {
            last.fetch_max(at.millis(), Ordering::Relaxed);
            return;
        }
        self.has_more |= self.known.len() >= PRODUCERS_MAX;
        let place = self.place(at);
        let noted = (producer, AtomicI64::new(at.millis()));
        match place.and_then(|index| self.known.get_mut(index)) {
            Some(quiet) => *quiet = noted,
            None if place.is_some() => self.known.push(noted),
            None => {}
        }
    }
}

impl OfType {
    fn tell(&self) -> Sighting {
        let last_stored = self.last_stored.load(Ordering::Relaxed);
        let producers = self.producers.read().unwrap_or_else(PoisonError::into_inner);
        let mut told: Vec<Producer> = producers
            .known
            .iter()
            .map(|(principal, last)| Producer {
                principal: Arc::clone(principal),
                last_stored: Timestamp::from_millis(last.load(Ordering::Relaxed)),
            })
            .collect();
        told.sort_by(|left, right| {
            right.last_stored.cmp(&left.last_stored).then_with(|| left.principal.cmp(&right.principal))
        });
        let has_more_producers = producers.has_more;
        drop(producers);
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let mut broken: Vec<BrokenRule> = rules
            .known
            .iter()
            .map(|((place, keyword), (schema_id, count))| BrokenRule {
                place: place.clone(),
                keyword: keyword.clone(),
                schema_id: *schema_id,
                count: *count,
            })
            .collect();
        let others = rules.others;
        drop(rules);
        broken.sort_by(|left, right| {
            let by_name = || (&left.place, &left.keyword).cmp(&(&right.place, &right.keyword));
            right.count.cmp(&left.count).then_with(by_name)
        });
        let untold: u64 = broken.iter().skip(RULES_TOLD).map(|rule| rule.count).sum();
        broken.truncate(RULES_TOLD);
        Sighting {
            last_stored: (last_stored != NEVER).then(|| Timestamp::from_millis(last_stored)),
            producers: told,
            has_more_producers,
            broken,
            broken_others: others + untold,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{PRODUCERS_MAX, RULES_MAX, RULES_TOLD, Sighting, Sightings, TYPES_MAX};
    use crate::event::{EventType, Timestamp};
    use crate::schema::{Error, SchemaId, Violation};

    fn orders() -> EventType {
        EventType::parse("orders.placed.v1").unwrap()
    }

    fn store(sightings: &Sightings, producer: &str, second: i64) {
        let expected = sightings.expect(&orders(), &Arc::from(producer)).unwrap();
        expected.stored(Timestamp::from_millis(second * 1_000));
    }

    fn broken(places: &[&str]) -> Error {
        let violation = |place: &&str| Violation {
            pointer: format!("{place}/secret"),
            place: (*place).to_owned(),
            keyword: "type".to_owned(),
            message: String::new(),
        };
        let errors = places.iter().map(violation).collect();
        Error::Violation { subject: "s".into(), schema_id: SchemaId::new(7).unwrap(), errors }
    }

    #[test]
    fn nothing_is_remembered_before_something_is_stored() {
        let sightings = Sightings::default();
        drop(sightings.expect(&orders(), &Arc::from("service:shop")));
        assert_eq!(sightings.look(&orders()), Sighting::default());
    }

    #[test]
    fn producers_are_told_latest_first_and_a_quiet_one_makes_room() {
        let sightings = Sightings::default();
        for number in 0..PRODUCERS_MAX {
            store(&sightings, &format!("service:{number:02}"), 100 + i64::try_from(number).unwrap());
        }
        store(&sightings, "service:00", 130);
        assert!(!sightings.look(&orders()).has_more_producers);
        store(&sightings, "service:late", 131);
        let told = sightings.look(&orders());
        assert!(told.has_more_producers && told.producers.len() == PRODUCERS_MAX);
        assert!(told.producers.iter().all(|producer| &*producer.principal != "service:late"));
        store(&sightings, "service:late", 170);
        let told = sightings.look(&orders());
        let names: Vec<&str> = told.producers.iter().map(|producer| &*producer.principal).collect();
        assert_eq!((names.len(), &names[..2]), (PRODUCERS_MAX, &["service:late", "service:00"][..]));
        assert!(!names.contains(&"service:01"), "the one that was quiet for longest: {names:?}");
        assert_eq!(told.last_stored, Some(Timestamp::from_millis(170_000)));
    }

    #[test]
    fn the_worst_rules_are_told_and_all_others_counted_together() {
        let sightings = Sightings::default();
        // Two elements of one array break one rule of one event.
        sightings.count(&orders(), &broken(&["/data/items/*/sku", "/data/items/*/sku"]));
        sightings.count(&orders(), &broken(&["/data/items/*/sku", "/data/id"]));
        let told = sightings.look(&orders()).broken;
        let told: Vec<_> = told.iter().map(|rule| (rule.place.as_str(), rule.count)).collect();
        assert_eq!(told, [("/data/items/*/sku", 2), ("/data/id", 1)]);
        for number in 0..RULES_MAX {
            sightings.count(&orders(), &broken(&[&format!("/data/{number}")]));
        }
        let told = sightings.look(&orders());
        assert_eq!((told.broken.len(), told.broken[0].count), (RULES_TOLD, 2));
        let all: u64 = told.broken.iter().map(|rule| rule.count).sum::<u64>() + told.broken_others;
        assert_eq!(all, 3 + RULES_MAX as u64);
    }

    #[test]
    fn types_are_bounded() {
        let sightings = Sightings::default();
        for number in 0..=TYPES_MAX {
            let event_type = EventType::parse(&format!("a.b{number}.v1")).unwrap();
            assert_eq!(sightings.expect(&event_type, &Arc::from("p")).is_some(), number < TYPES_MAX);
        }
    }
}
