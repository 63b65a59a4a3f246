//! The latest version of every subject, as events are judged by it: looked up without a lock, compiled when it is first
//! needed, and let go when others are needed more.
//!
//! ```text
//! event type ── slots (swapped as a whole) ── slot: id, compiled? ──yes── judge
//!                                                        └──no── table ── compile ── kept, within a weight
//! ```
//! A check looks once, so that an event is judged by one version, the one before a change or the one after it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::event::json::Value;
use crate::event::{EventType, Subject};
use crate::schema::{self, Checked, Contract, Schema, SchemaId, Verdict};

use super::admission;
use super::level::Policy;
use super::reading::{self, Deleted};
use super::rows::{self, Rows};

/// All compiled schemas together may weigh this many bytes; what was used longest ago goes first.
const WEIGHT_MAX: usize = 64 << 20;
/// A compiled schema weighs so many times its text, and at least so much: a measured guess.
const WEIGHT_FACTOR: usize = 30;
const WEIGHT_MIN: usize = 16 << 10;
/// What a subject of data ends with.
const SUFFIX: &str = "-value";

/// The latest versions. Empty until it was filled once.
#[derive(Debug)]
pub(super) struct Live {
    /// By event type.
    slots: ArcSwap<Slots>,
    /// Held while slots are made anew, so that nothing older comes after.
    filling: Mutex<()>,
    weight: Arc<AtomicUsize>,
    weight_max: usize,
    /// How often something was compiled: the clock by which use is told.
    compilations: AtomicU64,
}

type Slots = HashMap<Box<str>, Arc<Slot>>;

/// The latest version of one subject.
#[derive(Debug)]
struct Slot {
    subject: Arc<str>,
    id: SchemaId,
    policy: Policy,
    compiled: ArcSwapOption<Compiled>,
    used: AtomicU64,
    /// As people and tools read it, once somebody asked.
    contract: OnceLock<Option<Arc<Contract>>>,
}

/// A schema, and what it weighs for as long as anybody has it.
#[derive(Debug)]
struct Compiled {
    schema: Schema,
    weight: usize,
    total: Arc<AtomicUsize>,
}

impl Default for Live {
    fn default() -> Self {
        Self::bounded(WEIGHT_MAX)
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        self.total.fetch_sub(self.weight, Ordering::Relaxed);
    }
}

impl Live {
    /// One whose compiled schemas weigh no more than this together, but for one.
    fn bounded(weight_max: usize) -> Self {
        Self {
            slots: ArcSwap::default(),
            filling: Mutex::new(()),
            weight: Arc::default(),
            weight_max,
            compilations: AtomicU64::new(0),
        }
    }

    /// Takes over what the table has of all subjects.
    pub(super) fn fill(&self, rows: &dyn Rows) {
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.slots.load();
        let mut slots = Slots::new();
        for (subject, (_, entry)) in reading::subjects(rows, Deleted::Hidden) {
            put(&mut slots, &before, (&subject, policy(rows, &subject)), Some(entry.id));
        }
        self.slots.store(Arc::new(slots));
    }

    /// Takes over what the table has of one subject.
    pub(super) fn fill_one(&self, rows: &dyn Rows, subject: &Subject) {
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.slots.load();
        let mut slots = Slots::clone(&before);
        let latest = reading::entries(rows, subject, Deleted::Hidden).last().map(|(_, entry)| entry.id);
        put(&mut slots, &before, (subject, policy(rows, subject)), latest);
        self.slots.store(Arc::new(slots));
    }

    /// Judges an event's data by the latest version of its type's subject; a type without one passes.
    pub(super) fn check(
        &self,
        rows: &dyn Rows,
        event_type: &EventType,
        data: &Value<'_>,
    ) -> Result<Checked, schema::Error> {
        let slots = self.slots.load();
        let Some(slot) = find(&slots, event_type) else { return Ok(Checked { schema: None, subject: None }) };
        let now = self.compilations.load(Ordering::Relaxed);
        if slot.used.load(Ordering::Relaxed) != now {
            slot.used.store(now, Ordering::Relaxed);
        }
        let held = slot.compiled.load();
        let compiled = match &*held {
            Some(compiled) => Arc::clone(compiled),
            None => self.compile(rows, &slots, slot)?,
        };
        let (subject, schema_id) = (Arc::clone(&slot.subject), slot.id);
        match compiled.schema.judge(data) {
            Verdict::Valid => Ok(Checked { schema: Some(schema_id), subject: Some(subject) }),
            Verdict::Broken(errors) => Err(schema::Error::Violation { subject, schema_id, errors }),
            Verdict::PatternLimit => Err(schema::Error::PatternLimit { subject, schema_id }),
        }
    }

    /// What the data of a type must satisfy, where it has a schema.
    pub(super) fn contract(&self, rows: &dyn Rows, event_type: &EventType) -> Option<Arc<Contract>> {
        let slots = self.slots.load();
        let slot = find(&slots, event_type)?;
        let write = || {
            let content = rows::content(rows, slot.id)?;
            let named = admission::resolve(rows, &content.references, Deleted::Shown).ok()?;
            let schema = admission::bundle(&content.text, &named)?;
            Some(Arc::new(Contract {
                subject: Arc::clone(&slot.subject),
                id: slot.id,
                schema,
                example: None,
            }))
        };
        slot.contract.get_or_init(write).clone()
    }

    /// The event types that have a schema, sorted.
    pub(super) fn event_types(&self) -> Vec<EventType> {
        let slots = self.slots.load();
        let mut types: Vec<EventType> = slots.keys().filter_map(|name| EventType::parse(name).ok()).collect();
        types.sort();
        types
    }

    /// What all compiled schemas weigh together, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.weight.load(Ordering::Relaxed)
    }

    fn compile(&self, rows: &dyn Rows, slots: &Slots, slot: &Slot) -> Result<Arc<Compiled>, schema::Error> {
        let unusable = || schema::Error::Unusable { subject: Arc::clone(&slot.subject), schema_id: slot.id };
        let content = rows::content(rows, slot.id).ok_or_else(unusable)?;
        // What is referred to may have been deleted since, though never for good.
        let schema = admission::resolve(rows, &content.references, Deleted::Shown)
            .and_then(|named| match slot.policy {
                Policy::Strict => {
                    admission::admit(content.kind, &content.text, &named).map(|admitted| admitted.schema)
                }
                Policy::Lenient => admission::admit_closed(&content, &named),
            })
            .map_err(|error| {
                tracing::error!(subject = %slot.subject, %error, "a registered schema cannot be compiled");
                unusable()
            })?;
        let weight = (content.text.len() * WEIGHT_FACTOR).max(WEIGHT_MIN);
        self.weight.fetch_add(weight, Ordering::Relaxed);
        let compiled = Compiled { schema, weight, total: Arc::clone(&self.weight) };
        let compiled = Arc::new(compiled);
        self.compilations.fetch_add(1, Ordering::Relaxed);
        slot.used.store(self.compilations.load(Ordering::Relaxed), Ordering::Relaxed);
        slot.compiled.store(Some(Arc::clone(&compiled)));
        self.lighten(slots);
        Ok(compiled)
    }

    /// Lets go of what was used longest ago, where all of it weighs too much.
    fn lighten(&self, slots: &Slots) {
        if self.weight() <= self.weight_max {
            return;
        }
        let mut held: Vec<(u64, &Arc<Slot>)> = slots
            .values()
            .filter(|slot| slot.compiled.load().is_some())
            .map(|slot| (slot.used.load(Ordering::Relaxed), slot))
            .collect();
        held.sort_unstable_by_key(|(used, _)| *used);
        let mut excess = self.weight().saturating_sub(self.weight_max / 4 * 3);
        for (_, slot) in held {
            let Some(compiled) = slot.compiled.swap(None) else { continue };
            excess = excess.saturating_sub(compiled.weight);
            if excess == 0 {
                return;
            }
        }
    }
}

/// The slot of a type; one without a version has that of version 1.
fn find<'s>(slots: &'s Slots, event_type: &EventType) -> Option<&'s Arc<Slot>> {
    let found = slots.get(event_type.as_str());
    if found.is_some() || event_type.major().is_some() {
        return found;
    }
    slots.get(format!("{event_type}.v1").as_str())
}

/// The policy by which a subject's events are judged: a lenient one holds writers to the members that are named.
fn policy(rows: &dyn Rows, subject: &Subject) -> Policy {
    reading::effective_settings(rows, Some(subject)).policy.unwrap_or_default()
}

/// Puts a subject's latest version in its place; a slot that is as it was keeps what it compiled.
fn put(slots: &mut Slots, before: &Slots, (subject, policy): (&Subject, Policy), latest: Option<SchemaId>) {
    let Some(event_type) = subject.as_str().strip_suffix(SUFFIX) else { return };
    let Some(id) = latest else {
        slots.remove(event_type);
        return;
    };
    let slot =
        before.get(event_type).filter(|slot| slot.id == id && slot.policy == policy).cloned().unwrap_or_else(
            || {
                let subject = Arc::from(subject.as_str());
                let (compiled, used) = (ArcSwapOption::empty(), AtomicU64::new(0));
                Arc::new(Slot { subject, id, policy, compiled, used, contract: OnceLock::new() })
            },
        );
    slots.insert(event_type.into(), slot);
}

#[cfg(test)]
mod tests {
    use super::{Live, SUFFIX, WEIGHT_MIN};
    use crate::event::json::{Document, Limits};
    use crate::event::{EventType, Subject};
    use crate::schema::registry::change::{self, Wanted};
    use crate::schema::registry::content::{Content, Kind};
    use crate::schema::registry::model::Memory;
    use crate::schema::registry::reading;
    use crate::schema::{Error, SchemaId};

    /// Registers a schema that takes only a number as data, and answers its id.
    fn register(rows: &mut Memory, subject: &str, number: usize) -> SchemaId {
        let (subject, text) = (Subject::parse(subject).unwrap(), format!(r#"{{"const":{number}}}"#));
        let content = Content::new(Kind::Json, text.clone(), &text, vec![]);
        let fits = Some(reading::comparison(rows, &subject));
        let wanted = Wanted { content, id: None, version: None, fits, referred: vec![] };
        change::register(rows, &subject, &wanted).unwrap().id
    }

    fn check(live: &Live, rows: &Memory, event_type: &str, data: usize) -> Result<Option<SchemaId>, Error> {
        let text = data.to_string();
        let document = Document::parse(text.as_bytes(), Limits::default()).unwrap();
        let checked = live.check(rows, &EventType::parse(event_type).unwrap(), document.root());
        checked.map(|checked| checked.schema)
    }

    #[test]
    fn a_type_is_judged_by_its_subject_or_by_its_first_version() {
        let (mut rows, live) = (Memory::default(), Live::default());
        let (plain, first) = (register(&mut rows, "a.b-value", 1), register(&mut rows, "c.d.v1-value", 2));
        register(&mut rows, "e.f.v1-key", 3);
        live.fill(&rows);
        assert_eq!(check(&live, &rows, "a.b", 1), Ok(Some(plain)));
        assert!(
            matches!(check(&live, &rows, "a.b", 2), Err(Error::Violation { schema_id, .. }) if schema_id == plain)
        );
        assert_eq!(check(&live, &rows, "c.d.v1", 2), Ok(Some(first)));
        assert_eq!(check(&live, &rows, "c.d", 2), Ok(Some(first)));
        for without in ["c.d.v2", "a.b.v1", "e.f.v1", "a"] {
            assert_eq!(check(&live, &rows, without, 9), Ok(None), "{without}");
        }
        assert_eq!(live.event_types().len(), 2);
    }

    #[test]
    fn one_subjects_change_is_taken_over_alone() {
        let (mut rows, live) = (Memory::default(), Live::default());
        register(&mut rows, "a.b-value", 1);
        live.fill(&rows);
        let second = register(&mut rows, "a.b-value", 2);
        assert!(check(&live, &rows, "a.b", 1).is_ok());
        let subject = Subject::parse("a.b-value").unwrap();
        live.fill_one(&rows, &subject);
        assert_eq!(check(&live, &rows, "a.b", 2), Ok(Some(second)));
        change::delete_subject(&mut rows, &subject).unwrap();
        live.fill_one(&rows, &subject);
        assert_eq!(check(&live, &rows, "a.b", 7), Ok(None));
    }

    #[test]
    fn what_is_compiled_is_bounded_and_what_is_used_stays() {
        let bound = 20;
        let (mut rows, live) = (Memory::default(), Live::bounded(bound * WEIGHT_MIN));
        let name = |number: usize| format!("type.{number}");
        for number in 0..bound + bound / 2 {
            register(&mut rows, &format!("{}{SUFFIX}", name(number)), number);
        }
        live.fill(&rows);
        assert_eq!(live.weight(), 0);
        for number in 0..bound + bound / 2 {
            assert!(check(&live, &rows, &name(number), number).unwrap().is_some());
            assert!(check(&live, &rows, &name(0), 0).unwrap().is_some());
            assert!(live.weight() <= bound * WEIGHT_MIN);
        }
        let slots = live.slots.load();
        assert!(slots["type.0"].compiled.load().is_some());
        assert!(slots["type.1"].compiled.load().is_none());
        drop(slots);
        live.fill(&Memory::default());
        assert_eq!(live.weight(), 0, "what nobody has weighs nothing");
    }
}
