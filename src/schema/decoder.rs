//! Records of topics whose data is written by its schema, read as JSON once where they enter the gateway.
//!
//! ```text
//! engine ── reader, membership ─┬─ frame taken off ── schema by id or GUID ─┬─ decoded ── feed, delivery, http
//!                               └─ nothing named ──── latest of the type ───┘
//!                                                       └─ unknown: the registry is read to its end, once
//! ```
//! Nothing here fails: a record that cannot be read says why, and goes on with the value it has. Records of other topics
//! pass by.

mod event_log;
mod groups;
mod known;
mod metrics;
mod plain;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use self::known::Known;
use self::metrics::{Metrics, Reason};
use super::SchemaId;
use super::codec::Codec;
use super::framing::{Frame, Writer};
use super::registry::Registry;
use super::registry::confluent::Confluent;
use crate::event::json::{Document, Limits};
use crate::event::{Catalogue, Decoded, EventType, Format, LiveCatalogue, Record, Topic, Wire};
use crate::log::{EventLog, Groups};
use crate::telemetry;

/// How long records wait for a schema that this gateway does not know: shorter than anybody waits for a read.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// One record's JSON may become so large.
const JSON_BYTES_MAX: usize = 16 << 20;
/// Deeper JSON is told to be none; as what subscribers are shown.
const DEPTH_MAX: usize = 120;
/// Where a dead letter came from.
const LETTERS_TOPIC: &str = "__dlq.errors.topic";

/// Reads records as JSON. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Decoder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    writers: Arc<dyn Writers>,
    catalogue: LiveCatalogue,
    /// Guards what is known of schemas; for single look-ups.
    known: Mutex<Known>,
    metrics: Metrics,
}

/// How data was written by a schema.
#[derive(Debug)]
pub(super) enum Language {
    /// As JSON.
    Json,
    /// As this codec does.
    Coded(Box<dyn Codec>),
    /// By a schema that cannot be used here.
    Unusable,
}

/// Who knows all schemas that ever wrote records.
#[async_trait]
pub(super) trait Writers: fmt::Debug + Send + Sync {
    /// A schema, compiled, and what it weighs in bytes; `None` where there is none as far as is known.
    fn find(&self, writer: Writer) -> Option<(Language, usize)>;

    /// The schema that data of a type is written by now; `None` where there is none as far as is known.
    fn latest(&self, event_type: &EventType) -> Option<SchemaId>;

    /// Finds out what there is of this, however long that takes.
    async fn learn(&self, wanted: &[Wanted]);
}

/// What records wait for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// A schema.
    Schema(Writer),
    /// The latest one of a type.
    Latest(EventType),
}

/// What becomes of a record whose schema nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// It waits.
    Waits,
    /// It is told to be unreadable.
    IsTold,
}

/// Where records lie, or lay before they were dead letters.
#[derive(Debug, Clone, Copy)]
struct Place<'c> {
    catalogue: &'c Catalogue,
    topic: &'c Topic,
    format: Format,
    wire: Wire,
}

/// Why a record is not read.
#[derive(Debug)]
enum Unread {
    /// It may be, once more is known.
    NotYet(Vec<Wanted>),
    /// It cannot be.
    Undecodable { reason: Reason, problem: String },
}

impl Decoder {
    /// One that knows the schemas of a registry, and by the catalogue which topics name them.
    #[must_use]
    pub fn new(registry: Registry, catalogue: LiveCatalogue, metrics: &telemetry::Registry) -> Self {
        Self::of(Arc::new(registry), catalogue, metrics)
    }

    /// One that asks a registry elsewhere for the schemas that it does not know.
    #[must_use]
    pub fn asking(confluent: Confluent, catalogue: LiveCatalogue, metrics: &telemetry::Registry) -> Self {
        Self::of(Arc::new(confluent), catalogue, metrics)
    }

    fn of(writers: Arc<dyn Writers>, catalogue: LiveCatalogue, metrics: &telemetry::Registry) -> Self {
        let metrics = Metrics::register(metrics);
        Self(Arc::new(Shared { writers, catalogue, known: Mutex::default(), metrics }))
    }

    /// The log whose records are read.
    #[must_use]
    pub fn log(&self, log: Arc<dyn EventLog>) -> Arc<dyn EventLog> {
        Arc::new(event_log::Decoding::new(log, self.clone()))
    }

    /// The groups whose records are read.
    #[must_use]
    pub fn groups(&self, groups: Arc<dyn Groups>) -> Arc<dyn Groups> {
        Arc::new(groups::Decoding::new(groups, self.clone()))
    }

    /// Reads records of a topic; whether none waits for its schema.
    fn read(&self, topic: &Topic, records: &mut [Record], unknown: Unknown) -> bool {
        self.read_known(topic, records, unknown).is_empty()
    }

    /// Reads records of a topic; answers for what some wait.
    fn read_known(&self, topic: &Topic, records: &mut [Record], unknown: Unknown) -> Vec<Wanted> {
        let catalogue = self.0.catalogue.load();
        let by_schema = catalogue.by_schema(topic);
        let holds_letters = topic.is_dead_letters() || topic.is_redrives();
        if by_schema.is_none() && !(holds_letters && catalogue.has_by_schema()) {
            return Vec::new();
        }
        let mut waited_for = Vec::new();
        for record in records.iter_mut().filter(|record| record.decoded.is_none()) {
            let letter_of = if holds_letters { letter_of(record) } else { None };
            let by_schema = match &letter_of {
                Some(source) => catalogue.by_schema(source),
                None if holds_letters => None,
                None => by_schema,
            };
            let Some((format, wire)) = by_schema else { continue };
            let source = letter_of.as_ref().unwrap_or(topic);
            match self.read_one(Place { catalogue: &catalogue, topic: source, format, wire }, record, unknown)
            {
                Ok(decoded) => record.decoded = decoded,
                Err(Unread::NotYet(wanted)) => {
                    for one in wanted {
                        if !waited_for.contains(&one) {
                            waited_for.push(one);
                        }
                    }
                }
                Err(Unread::Undecodable { reason, problem }) => {
                    self.0.metrics.count(Some(source).filter(|source| catalogue.lists(source)), reason);
                    record.decoded = Some(Decoded::Undecodable(problem.into()));
                }
            }
        }
        waited_for
    }

    /// Reads all records, those of unknown schemas after the registry was asked for them, `until` then at the latest.
    /// Cancel safe: what was read stays so.
    async fn settle(&self, topic: &Topic, records: &mut [Record], until: Instant) {
        let waited_for = self.read_known(topic, records, Unknown::Waits);
        if waited_for.is_empty() {
            return;
        }
        // Late or not, what is known by then counts.
        drop(timeout_at(until, self.0.writers.learn(&waited_for)).await);
        self.read(topic, records, Unknown::IsTold);
    }

    fn read_one(
        &self,
        place: Place<'_>,
        record: &Record,
        unknown: Unknown,
    ) -> Result<Option<Decoded>, Unread> {
        let Some(value) = &record.value else { return Ok(None) };
        let frame = match Frame::beside(value, &record.headers) {
            Ok(None) if !place.wire.is_framed() => return self.read_plain(place, record, value, unknown),
            Ok(None) => Frame::before(value),
            found => found,
        };
        match frame {
            Ok(Some(frame)) => self.read_framed(place.format, &frame, value, unknown),
            // A value that names no schema is JSON, or nothing: also where the topic held JSON before.
            Ok(None) if place.format == Format::Json || is_json(value) => Ok(None),
            Ok(None) => undecodable(Reason::Unnamed, "names no schema, and is not JSON"),
            Err(_) if is_json(value) => Ok(None),
            Err(problem) => undecodable(Reason::Unnamed, problem),
        }
    }

    /// Reads a value by the schema that is named.
    fn read_framed(
        &self,
        format: Format,
        frame: &Frame<'_>,
        value: &[u8],
        unknown: Unknown,
    ) -> Result<Option<Decoded>, Unread> {
        let json = || (frame.begin(value) > 0).then(|| Decoded::Rest(frame.begin(value)));
        match self.language(frame.writer) {
            Some(language) => match &*language {
                Language::Json => Ok(json()),
                Language::Coded(codec) => decode(frame, &**codec).map(Some),
                Language::Unusable => unusable(frame.writer),
            },
            // Whatever schema that is, the topic holds JSON.
            None if format == Format::Json => Ok(json()),
            None => {
                self.wait_for(Wanted::Schema(frame.writer), unknown)?;
                undecodable(Reason::UnknownSchema, format!("no schema has {}", frame.writer))
            }
        }
    }

    /// Lets a record wait for what is not known, or notes that it is not known still.
    fn wait_for(&self, wanted: Wanted, unknown: Unknown) -> Result<(), Unread> {
        let mut known = self.known();
        if unknown == Unknown::Waits && known.is_worth_a_wait(&wanted) {
            return Err(Unread::NotYet(vec![wanted]));
        }
        known.miss(wanted);
        Ok(())
    }

    fn language(&self, writer: Writer) -> Option<Arc<Language>> {
        let known = self.known().find(writer);
        if known.is_some() {
            return known;
        }
        // Compiled without the lock, now and then by two at once.
        let (language, weight) = self.0.writers.find(writer)?;
        Some(self.known().put(writer, Arc::new(language), weight))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The topic that a dead letter came from.
fn letter_of(record: &Record) -> Option<Topic> {
    Topic::parse(record.headers.last_text(LETTERS_TOPIC)?).ok()
}

fn decode(frame: &Frame<'_>, codec: &dyn Codec) -> Result<Decoded, Unread> {
    let mut json = Vec::new();
    match frame.decode(codec, JSON_BYTES_MAX, &mut json) {
        Ok(()) => Ok(Decoded::Json(json.into())),
        Err(error) => undecodable(Reason::BrokenData, error.problem),
    }
}

fn unusable<T>(writer: Writer) -> Result<T, Unread> {
    undecodable(Reason::UnusableSchema, format!("the schema with {writer} cannot be used here"))
}

fn is_json(value: &[u8]) -> bool {
    Document::parse(value, Limits { depth_max: DEPTH_MAX }).is_ok()
}

fn undecodable<T>(reason: Reason, problem: impl Into<String>) -> Result<T, Unread> {
    Err(Unread::Undecodable { reason, problem: problem.into() })
}

#[cfg(test)]
mod tests;
