//! The latest version of every subject, as events are judged by it: looked up without a lock, compiled when it is first
//! needed, and let go when others are needed more.
//!
//! ```text
//! event type ── slots (swapped as a whole) ── slot: id, compiled? ──yes── judge
//!                                                        └──no── texts ── compile ── kept, within a weight
//! ```
//! A check looks once, so that an event is judged by one version, the one before a change or the one after it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::event::json::{Pointer, Value};
use crate::event::{EventType, Format, Subject};
use crate::schema::codec::Rule;
use crate::schema::{self, Checked, Contract, SchemaId, Verdict};

use super::admission::{self, Whole};
use super::content::Guid;
use super::error::Error;
use super::level::Policy;
use super::reading::{self, Deleted};
use super::rows::{self, Entry, Rows};

mod slot;

use slot::{Compiled, Slot, Weighed};

/// All that was made of schemas may weigh this many bytes; what was used longest ago goes first.
const WEIGHT_MAX: usize = 64 << 20;
/// A compiled schema weighs so many times its text, and at least so much: a measured guess.
pub(super) const WEIGHT_FACTOR: usize = 30;
pub(super) const WEIGHT_MIN: usize = 16 << 10;
/// A contract weighs so many times its text, and at least so much; a guess again.
const CONTRACT_FACTOR: usize = 10;
const CONTRACT_MIN: usize = 4 << 10;
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
    /// How often something was made of a schema: the clock by which use is told.
    makings: AtomicU64,
}

type Slots = HashMap<Arc<str>, Arc<Slot>>;

/// Who has the texts of schemas.
pub(super) trait Texts {
    /// A schema with all that it refers to.
    fn whole(&self, id: SchemaId) -> Result<Whole, Lack>;
}

/// Why a schema's text is not to be had.
#[derive(Debug)]
pub(super) enum Lack {
    /// The schema is of no use.
    Broken(Error),
    /// It has to be fetched.
    Unfetched,
}

/// What the latest version of a subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Latest {
    pub(super) id: SchemaId,
    /// `None` where its registry gives none.
    pub(super) guid: Option<Guid>,
    pub(super) policy: Policy,
}

impl Default for Live {
    fn default() -> Self {
        Self::bounded(WEIGHT_MAX)
    }
}

impl<R: Rows> Texts for R {
    fn whole(&self, id: SchemaId) -> Result<Whole, Lack> {
        let content = rows::content(self, id).ok_or(Lack::Broken(Error::SchemaNotFound))?;
        // What is referred to may have been deleted since, though never for good.
        let named = admission::resolve(self, &content.references, Deleted::Shown).map_err(Lack::Broken)?;
        Ok(Whole { kind: content.kind, text: content.text, named })
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
            makings: AtomicU64::new(0),
        }
    }

    /// Takes over what the table has of all subjects.
    pub(super) fn fill(&self, rows: &dyn Rows) {
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.slots.load();
        let mut slots = Slots::new();
        for (subject, (_, entry)) in reading::subjects(rows, Deleted::Hidden) {
            let Some(event_type) = event_type_of(&subject) else { continue };
            let latest = latest(rows, &subject, entry);
            let (name, slot) = match before.get_key_value(event_type) {
                // What is as it was keeps what it compiled.
                Some((name, slot)) if slot.latest == latest => (Arc::clone(name), Arc::clone(slot)),
                Some(_) | None => (Arc::from(event_type), Arc::new(Slot::new(&subject, latest))),
            };
            slots.insert(name, slot);
        }
        self.slots.store(Arc::new(slots));
    }

    /// Takes over what the table has of some subjects.
    pub(super) fn fill_some(&self, rows: &dyn Rows, subjects: &BTreeSet<Subject>) {
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.slots.load();
        let changed = subjects.iter().filter_map(|subject| {
            let event_type = event_type_of(subject)?;
            let last = reading::entries(rows, subject, Deleted::Hidden).last().map(|(_, entry)| *entry);
            let latest = last.map(|entry| latest(rows, subject, entry));
            let is_as_it_was = before.get(event_type).map(|slot| slot.latest) == latest;
            (!is_as_it_was).then_some((event_type, subject, latest))
        });
        let mut changed = changed.peekable();
        if changed.peek().is_none() {
            return;
        }
        let mut slots = Slots::clone(&before);
        for (event_type, subject, latest) in changed {
            match latest {
                Some(latest) => slots.insert(event_type.into(), Arc::new(Slot::new(subject, latest))),
                None => slots.remove(event_type),
            };
        }
        self.slots.store(Arc::new(slots));
    }

    /// Takes over a type's latest version, compiled before anything is judged by it. Blocks for as long as that takes.
    pub(super) fn take(
        &self,
        texts: &dyn Texts,
        (event_type, subject): (&EventType, &Subject),
        latest: Option<Latest>,
    ) {
        let before = self.slots.load_full();
        if before.get(event_type.as_str()).map(|slot| slot.latest) == latest {
            return;
        }
        let slot = latest.map(|latest| Arc::new(Slot::new(subject, latest)));
        if let Some(slot) = &slot {
            // A schema that cannot be compiled is told by those who are judged by it.
            drop(self.compile(texts, &before, slot, event_type));
        }
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = Slots::clone(&self.slots.load());
        match slot {
            Some(slot) => slots.insert(event_type.as_str().into(), slot),
            None => slots.remove(event_type.as_str()),
        };
        self.slots.store(Arc::new(slots));
    }

    /// Whether a type has a subject of its own.
    pub(super) fn has(&self, event_type: &EventType) -> bool {
        self.slots.load().contains_key(event_type.as_str())
    }

    /// The latest version of a type's subject.
    pub(super) fn latest(&self, event_type: &EventType) -> Option<SchemaId> {
        find(&self.slots.load(), event_type).map(|slot| slot.latest.id)
    }

    /// Judges an event's data by the latest version of its type's subject, which must be of the topic's format; a type
    /// without one passes.
    pub(super) fn check(
        &self,
        texts: &dyn Texts,
        event_type: &EventType,
        format: Format,
        data: &Value<'_>,
    ) -> Result<Checked, schema::Error> {
        let slots = self.slots.load();
        let Some(slot) = find(&slots, event_type) else { return Ok(Checked::default()) };
        let now = self.makings.load(Ordering::Relaxed);
        if slot.used.load(Ordering::Relaxed) != now {
            slot.used.store(now, Ordering::Relaxed);
        }
        let compiled = self.compiled(texts, &slots, slot, event_type)?;
        let Compiled { kind, rule } = &compiled.made;
        let (subject, schema_id, kind) = (Arc::clone(&slot.subject), slot.latest.id, *kind);
        if kind.format() != format {
            return Err(schema::Error::OtherFormat { subject, schema_id, kind, format });
        }
        match rule.judge(data) {
            (Verdict::Valid, encoded) => Ok(Checked {
                schema: Some(schema_id),
                guid: slot.latest.guid,
                subject: Some(subject),
                encoded,
            }),
            (Verdict::Broken(errors), _) => Err(schema::Error::Violation { subject, schema_id, errors }),
            (Verdict::PatternLimit, _) => Err(schema::Error::PatternLimit { subject, schema_id }),
        }
    }

    /// A pointer into an event of a type in the words of its data, where those are others.
    pub(super) fn spelled(
        &self,
        texts: &dyn Texts,
        event_type: &EventType,
        data: &Value<'_>,
        pointer: &Pointer,
    ) -> Option<Pointer> {
        let parts: Vec<&str> = pointer.parts().collect();
        let path = parts.strip_prefix(&["data"])?;
        let slots = self.slots.load();
        let compiled = self.compiled(texts, &slots, find(&slots, event_type)?, event_type).ok()?;
        match &compiled.made.rule {
            Rule::Json(_) => None,
            Rule::Coded(codec) => {
                let spelled = codec.spelled(data, path)?;
                Some(Pointer::of(std::iter::once("data".to_owned()).chain(spelled)))
            }
        }
    }

    /// What the data of a type must satisfy, where it has a schema.
    pub(super) fn contract(&self, texts: &dyn Texts, event_type: &EventType) -> Option<Arc<Contract>> {
        let slots = self.slots.load();
        let slot = find(&slots, event_type)?;
        if let Some(kept) = &*slot.contract.load() {
            return kept.made.clone();
        }
        let (contract, weight) = match texts.whole(slot.latest.id) {
            Ok(Whole { kind, text, named }) => {
                let written = admission::contract(kind, &text, &named).map(|(schema, dialect)| {
                    let (subject, id) = (Arc::clone(&slot.subject), slot.latest.id);
                    Arc::new(Contract { subject, id, schema, dialect, example: None })
                });
                (written, (text.len() * CONTRACT_FACTOR).max(CONTRACT_MIN))
            }
            Err(Lack::Broken(_)) => (None, 0),
            Err(Lack::Unfetched) => return None,
        };
        slot.contract.store(Some(Weighed::new(contract.clone(), weight, &self.weight)));
        self.made(&slots, slot);
        contract
    }

    /// The event types that have a schema, sorted.
    pub(super) fn event_types(&self) -> Vec<EventType> {
        let slots = self.slots.load();
        let mut types: Vec<EventType> = slots.keys().filter_map(|name| EventType::parse(name).ok()).collect();
        types.sort();
        types
    }

    /// What all that was made of schemas weighs together, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.weight.load(Ordering::Relaxed)
    }

    fn compiled(
        &self,
        texts: &dyn Texts,
        slots: &Slots,
        slot: &Slot,
        event_type: &EventType,
    ) -> Result<Arc<Weighed<Compiled>>, schema::Error> {
        match &*slot.compiled.load() {
            Some(compiled) => Ok(Arc::clone(compiled)),
            None => self.compile(texts, slots, slot, event_type),
        }
    }

    fn compile(
        &self,
        texts: &dyn Texts,
        slots: &Slots,
        slot: &Slot,
        event_type: &EventType,
    ) -> Result<Arc<Weighed<Compiled>>, schema::Error> {
        if slot.is_unusable.load(Ordering::Relaxed) {
            return Err(slot.unusable());
        }
        let compiled = texts.whole(slot.latest.id).and_then(|whole| {
            let rule = match slot.latest.policy {
                Policy::Strict => whole.admit().map(|admitted| admitted.rule),
                Policy::Lenient => admission::admit_closed(&whole),
            };
            Ok((rule.map_err(Lack::Broken)?, whole))
        });
        let (rule, Whole { kind, text, .. }) = compiled.map_err(|lack| match lack {
            Lack::Broken(error) => {
                slot.is_unusable.store(true, Ordering::Relaxed);
                tracing::error!(subject = %slot.subject, %error, "a registered schema cannot be compiled");
                slot.unusable()
            }
            Lack::Unfetched => schema::Error::Unavailable { event_type: event_type.clone() },
        })?;
        let weight = (text.len() * WEIGHT_FACTOR).max(WEIGHT_MIN);
        let compiled = Weighed::new(Compiled { kind, rule }, weight, &self.weight);
        slot.compiled.store(Some(Arc::clone(&compiled)));
        self.made(slots, slot);
        Ok(compiled)
    }

    /// Notes that something was made for a slot just now, and lets go of other things for it.
    fn made(&self, slots: &Slots, slot: &Slot) {
        let now = self.makings.fetch_add(1, Ordering::Relaxed) + 1;
        slot.used.store(now, Ordering::Relaxed);
        self.lighten(slots);
    }

    /// Lets go of what was used longest ago, where all of it weighs too much.
    fn lighten(&self, slots: &Slots) {
        if self.weight() <= self.weight_max {
            return;
        }
        let mut held: Vec<(u64, &Arc<Slot>)> = slots
            .values()
            .filter(|slot| slot.compiled.load().is_some() || slot.contract.load().is_some())
            .map(|slot| (slot.used.load(Ordering::Relaxed), slot))
            .collect();
        held.sort_unstable_by_key(|(used, _)| *used);
        let mut excess = self.weight().saturating_sub(self.weight_max / 4 * 3);
        for (_, slot) in held {
            let compiled = slot.compiled.swap(None).map_or(0, |compiled| compiled.weight);
            let contract = slot.contract.swap(None).map_or(0, |contract| contract.weight);
            excess = excess.saturating_sub(compiled + contract);
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

/// What the table has of a subject's latest version. A lenient policy holds writers to the members that are named.
fn latest(rows: &dyn Rows, subject: &Subject, entry: Entry) -> Latest {
    let policy = reading::effective_settings(rows, Some(subject)).policy.unwrap_or_default();
    Latest { id: entry.id, guid: Some(entry.guid), policy }
}

/// The event type whose data a subject describes.
fn event_type_of(subject: &Subject) -> Option<&str> {
    subject.as_str().strip_suffix(SUFFIX)
}

#[cfg(test)]
mod tests;
