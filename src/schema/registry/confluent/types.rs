//! What is known of event types: which subject judges each, and how long ago the registry said so.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::EventType;

/// After so long the registry is asked again, while what it said goes on.
pub(super) const FRESH: Duration = Duration::from_secs(30);
/// After so long a type is asked again of which it had nothing.
pub(super) const ABSENT_FRESH: Duration = Duration::from_secs(5);
/// After so long it is no longer believed that it still has nothing, unless it cannot be asked.
pub(super) const ABSENT_MAX: Duration = Duration::from_secs(30);
/// So many types that it has something for are known at most.
pub(super) const PRESENT_MAX: usize = 20_000;
/// So many that it has nothing for.
pub(super) const ABSENT_TYPES_MAX: usize = 1_000;

/// What the registry has for a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A subject of its own.
    Own,
    /// None of its own, but one of its first version.
    First,
    /// Nothing.
    Nothing,
}

/// What is believed of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    /// What was found holds.
    Holds,
    /// It holds, and should be asked again.
    Due,
    /// Nothing is known that holds.
    Open,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Types {
    /// Guards what is known; for single look-ups.
    known: Mutex<HashMap<EventType, (Found, Instant)>>,
}

impl Types {
    /// Notes what the registry said now. Where there is no room, nothing is noted.
    pub(super) fn note(&self, event_type: &EventType, found: Found) {
        let mut known = self.known();
        if !known.contains_key(event_type) && !has_room(&mut known, found) {
            return;
        }
        known.insert(event_type.clone(), (found, Instant::now()));
    }

    /// Asks of a type only after a while again, though the registry said nothing new.
    pub(super) fn put_off(&self, event_type: &EventType) {
        if let Some((_, at)) = self.known().get_mut(event_type) {
            *at = Instant::now();
        }
    }

    /// What is believed of a type; `is_reachable` is whether the registry could be asked.
    pub(super) fn belief(&self, event_type: &EventType, is_reachable: bool) -> Belief {
        let known = self.known();
        match known.get(event_type) {
            None => Belief::Open,
            Some((Found::Own | Found::First, _)) => Belief::Holds,
            Some((Found::Nothing, at)) if at.elapsed() < ABSENT_FRESH => Belief::Holds,
            Some((Found::Nothing, at)) if at.elapsed() < ABSENT_MAX || !is_reachable => Belief::Due,
            Some((Found::Nothing, _)) => Belief::Open,
        }
    }

    /// Whether the registry was asked of a type lately.
    pub(super) fn is_fresh(&self, event_type: &EventType) -> bool {
        self.known().get(event_type).is_some_and(|(_, at)| at.elapsed() < FRESH)
    }

    /// The types that it has something for, and which have to be asked again; those asked longest ago first.
    pub(super) fn due(&self) -> Vec<EventType> {
        let known = self.known();
        let mut due: Vec<(Instant, EventType)> = known
            .iter()
            .filter(|(_, (found, at))| *found != Found::Nothing && at.elapsed() >= FRESH)
            .map(|(event_type, (_, at))| (*at, event_type.clone()))
            .collect();
        drop(known);
        due.sort();
        due.into_iter().map(|(_, event_type)| event_type).collect()
    }

    /// How many types are known.
    pub(super) fn len(&self) -> usize {
        self.known().len()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<EventType, (Found, Instant)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_room(known: &mut HashMap<EventType, (Found, Instant)>, found: Found) -> bool {
    if found != Found::Nothing {
        return known.len() < PRESENT_MAX + ABSENT_TYPES_MAX;
    }
    let absent = |known: &HashMap<EventType, (Found, Instant)>| {
        known.values().filter(|(found, _)| *found == Found::Nothing).count()
    };
    // Callers may name types without end.
    if absent(known) >= ABSENT_TYPES_MAX {
        known.retain(|_, (found, at)| *found != Found::Nothing || at.elapsed() < ABSENT_FRESH);
    }
    absent(known) < ABSENT_TYPES_MAX
}

#[cfg(test)]
mod tests {
    use super::{ABSENT_FRESH, ABSENT_MAX, ABSENT_TYPES_MAX, Belief, FRESH, Found, Types};
    use crate::event::EventType;

    fn event_type(text: &str) -> EventType {
        EventType::parse(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_there_is_holds_for_ever_and_what_there_is_not_for_a_while() {
        let types = Types::default();
        let (some, none) = (event_type("a.b.v1"), event_type("c.d.v1"));
        assert_eq!(types.belief(&some, true), Belief::Open);
        types.note(&some, Found::Own);
        types.note(&none, Found::Nothing);
        assert_eq!((types.belief(&some, true), types.belief(&none, true)), (Belief::Holds, Belief::Holds));
        tokio::time::advance(ABSENT_FRESH).await;
        assert_eq!((types.belief(&some, true), types.belief(&none, true)), (Belief::Holds, Belief::Due));
        assert!(types.due().is_empty());
        tokio::time::advance(ABSENT_MAX - ABSENT_FRESH).await;
        assert_eq!((types.belief(&some, true), types.belief(&none, true)), (Belief::Holds, Belief::Open));
        assert_eq!(types.belief(&none, false), Belief::Due, "a registry that is away takes nothing back");
        assert_eq!(types.due(), std::slice::from_ref(&some));
        types.note(&some, Found::First);
        assert!(types.due().is_empty());
        tokio::time::advance(FRESH).await;
        assert_eq!(types.due(), [some]);
    }

    #[tokio::test(start_paused = true)]
    async fn types_that_callers_make_up_are_bounded() {
        let types = Types::default();
        for number in 0..2 * ABSENT_TYPES_MAX {
            types.note(&event_type(&format!("a.b{number}.v1")), Found::Nothing);
        }
        assert_eq!(types.len(), ABSENT_TYPES_MAX);
        types.note(&event_type("c.d.v1"), Found::Own);
        assert!(types.is_fresh(&event_type("c.d.v1")));
        tokio::time::advance(ABSENT_FRESH).await;
        types.note(&event_type("e.f.v1"), Found::Nothing);
        assert!(types.is_fresh(&event_type("e.f.v1")) && types.len() == 2);
    }
}
