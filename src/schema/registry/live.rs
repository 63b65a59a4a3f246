//! The latest version of every subject, as events are judged by it: looked up without a lock, compiled when it is first
//! needed, and let go when others are needed more.
//!
//! ```text
//! event type ── slots (swapped as a whole) ── slot: id, compiled? ──yes── judge
//!                                                        └──no── texts ── compile ── kept, within a weight
//! ```
//! A check looks once, so that an event is judged by one version, the one before a change or the one after it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::event::json::{Pointer, Value};
use crate::event::{EventType, Format, Subject};
use crate::schema::codec::Rule;
use crate::schema::{self, Checked, Contract, SchemaId, Verdict};

use super::admission::{self, Whole};
use super::content::{Guid, Kind};
use super::error::Error;
use super::level::Policy;
use super::reading::{self, Deleted};
use super::rows::{self, Entry, Rows};

/// All compiled schemas together may weigh this many bytes; what was used longest ago goes first.
const WEIGHT_MAX: usize = 64 << 20;
/// A compiled schema weighs so many times its text, and at least so much: a measured guess.
pub(super) const WEIGHT_FACTOR: usize = 30;
pub(super) const WEIGHT_MIN: usize = 16 << 10;
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

/// The latest version of one subject.
#[derive(Debug)]
struct Slot {
    subject: Arc<str>,
    latest: Latest,
    compiled: ArcSwapOption<Compiled>,
    /// Whether it was found that it cannot be compiled, which is told once.
    is_unusable: AtomicBool,
    used: AtomicU64,
    /// As people and tools read it, once somebody asked.
    contract: OnceLock<Option<Arc<Contract>>>,
}

/// A schema, and what it weighs for as long as anybody has it.
#[derive(Debug)]
struct Compiled {
    kind: Kind,
    rule: Rule,
    weight: usize,
    total: Arc<AtomicUsize>,
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

impl Slot {
    fn new(subject: &Subject, latest: Latest) -> Self {
        Self {
            subject: Arc::from(subject.as_str()),
            latest,
            compiled: ArcSwapOption::empty(),
            is_unusable: AtomicBool::new(false),
            used: AtomicU64::new(0),
            contract: OnceLock::new(),
        }
    }

    fn unusable(&self) -> schema::Error {
        schema::Error::Unusable { subject: Arc::clone(&self.subject), schema_id: self.latest.id }
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
            put(&mut slots, &before, &subject, Some(latest(rows, &subject, entry)));
        }
        self.slots.store(Arc::new(slots));
    }

    /// Takes over what the table has of one subject.
    pub(super) fn fill_one(&self, rows: &dyn Rows, subject: &Subject) {
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.slots.load();
        let mut slots = Slots::clone(&before);
        let last = reading::entries(rows, subject, Deleted::Hidden).last().map(|(_, entry)| *entry);
        put(&mut slots, &before, subject, last.map(|entry| latest(rows, subject, entry)));
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
        let now = self.compilations.load(Ordering::Relaxed);
        if slot.used.load(Ordering::Relaxed) != now {
            slot.used.store(now, Ordering::Relaxed);
        }
        let compiled = self.compiled(texts, &slots, slot, event_type)?;
        let (subject, schema_id, kind) = (Arc::clone(&slot.subject), slot.latest.id, compiled.kind);
        if kind.format() != format {
            return Err(schema::Error::OtherFormat { subject, schema_id, kind, format });
        }
        match compiled.rule.judge(data) {
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
        match &compiled.rule {
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
        if let Some(written) = slot.contract.get() {
            return written.clone();
        }
        let whole = match texts.whole(slot.latest.id) {
            Ok(whole) => Some(whole),
            Err(Lack::Broken(_)) => None,
            Err(Lack::Unfetched) => return None,
        };
        let write = || {
            let Whole { kind, text, named } = whole?;
            let (schema, dialect) = admission::contract(kind, &text, &named)?;
            let (subject, id) = (Arc::clone(&slot.subject), slot.latest.id);
            Some(Arc::new(Contract { subject, id, schema, dialect, example: None }))
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

    fn compiled(
        &self,
        texts: &dyn Texts,
        slots: &Slots,
        slot: &Slot,
        event_type: &EventType,
    ) -> Result<Arc<Compiled>, schema::Error> {
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
    ) -> Result<Arc<Compiled>, schema::Error> {
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
        self.weight.fetch_add(weight, Ordering::Relaxed);
        let compiled = Compiled { kind, rule, weight, total: Arc::clone(&self.weight) };
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

/// What the table has of a subject's latest version. A lenient policy holds writers to the members that are named.
fn latest(rows: &dyn Rows, subject: &Subject, entry: Entry) -> Latest {
    let policy = reading::effective_settings(rows, Some(subject)).policy.unwrap_or_default();
    Latest { id: entry.id, guid: Some(entry.guid), policy }
}

/// Puts a subject's latest version in its place; a slot that is as it was keeps what it compiled.
fn put(slots: &mut Slots, before: &Slots, subject: &Subject, latest: Option<Latest>) {
    let Some(event_type) = subject.as_str().strip_suffix(SUFFIX) else { return };
    let Some(latest) = latest else {
        slots.remove(event_type);
        return;
    };
    let slot = before
        .get(event_type)
        .filter(|slot| slot.latest == latest)
        .cloned()
        .unwrap_or_else(|| Arc::new(Slot::new(subject, latest)));
    slots.insert(event_type.into(), slot);
}

#[cfg(test)]
mod tests;
