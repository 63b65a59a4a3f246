//! Subjects and compiled validators: whether an event's data is what its type promises.
//!
//! Schemas come from a folder or from a registry, are judged against budgets and compiled; checking waits for nothing. This
//! room never follows a reference to a file or the network, and never puts a value of the data into a message.
//!
//! ```text
//! schemas/orders/placed/v1.json (.avsc, .proto) ── compiled ─────┬── check(event type, data) ── Checked | Violation
//! registry: orders.placed.v1-value, latest ── compiled when used ┘
//!           any version by id or GUID ──────── Decoder ── records as JSON
//! ```
//! The registry is the gateway's own, in the log, or another one that is asked over HTTP.

pub mod avro;
mod borrowed;
mod budget;
mod bundle;
pub mod codec;
mod coded;
pub mod compat;
mod compiled;
mod decoder;
mod error;
pub mod evolution;
pub mod examples;
mod explain;
mod folder;
pub mod framing;
pub mod portable;
pub mod protobuf;
pub mod registry;
mod samples;
pub mod typescript;

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use self::codec::Encoded;
use self::compiled::Set;
pub use self::compiled::{Dialect, Schema, Verdict};
pub use self::decoder::Decoder;
pub use self::error::{Error, LoadError, Violation};
use self::registry::confluent::{self, Confluent};
use self::registry::{Guid, Registry};
use crate::event::{EventType, Format, json};

/// What events are judged by, and where that lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the schemas of events come from.
    pub store: Store,
    /// The folder: `{type without .vN, dots as /}/v{N}.json`, or `.avsc`, or `.proto`.
    pub directory: PathBuf,
    /// What holds where there is no such folder.
    pub absent: Absent,
}

/// Where the schemas of events come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// The files of a folder.
    Folder,
    /// The registry that the gateway keeps in its log.
    Embedded,
    /// A registry elsewhere that speaks Confluent's API.
    Confluent(confluent::Config),
}

/// What holds where there is no folder of schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Nothing: it is a mistake.
    Refused,
    /// The samples that are built in.
    Samples,
}

impl Config {
    /// Whether the built-in samples stand in for the folder now. Blocks on the file system.
    #[must_use]
    pub fn uses_samples(&self) -> bool {
        self.store == Store::Folder && self.absent == Absent::Samples && !self.directory.exists()
    }
}

/// The number of a schema; equal content has an equal number on every gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
#[expect(clippy::module_name_repetitions, reason = "the design's word; an id alone would be an event's")]
pub struct SchemaId(i32);

impl SchemaId {
    /// The id of this number, where it can be one.
    #[must_use]
    pub const fn new(number: i32) -> Option<Self> {
        if number >= 1 { Some(Self(number)) } else { None }
    }

    /// The number, from 1.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What the data of a type must satisfy, for people and tools to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// The subject, `{eventType}-value`.
    pub subject: Arc<str>,
    /// The schema's number.
    pub id: SchemaId,
    /// The schema with all that it refers to, which lies under `$defs`; references are pointers into it. It names no
    /// dialect, id or anchor.
    pub schema: serde_json::Value,
    /// What the schema is written in.
    pub dialect: Dialect,
    /// Data that satisfies it, where the folder has a valid example of at most 16 KiB: the first by name.
    pub example: Option<serde_json::Value>,
}

impl Contract {
    /// The schema as a text of its own, which names its dialect: a registry that is given it judges as this gateway does.
    #[must_use]
    pub fn standing_alone(&self) -> serde_json::Value {
        let mut schema = self.schema.clone();
        if let Some(members) = schema.as_object_mut() {
            members.insert("$schema".to_owned(), self.dialect.uri().into());
        }
        schema
    }

    /// Data that satisfies the schema: the example, or else what can be made of the schema, which takes up to some milliseconds.
    #[must_use]
    pub fn sample(&self) -> Option<serde_json::Value> {
        self.example.clone().or_else(|| compat::sample_of(&self.schema))
    }
}

/// The outcome of a check that refuses nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// The schema that the data satisfies; `None` when the type has none.
    pub schema: Option<SchemaId>,
    /// The schema's identity, where it is the registry's.
    pub guid: Option<Guid>,
    /// The subject, `{eventType}-value`, where the type has a schema.
    pub subject: Option<Arc<str>>,
    /// The data in the schema's language, where that is not JSON.
    pub encoded: Option<Encoded>,
}

impl Checked {
    /// Refuses a type without a schema.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn into_required(self, event_type: &EventType) -> Result<Self, Error> {
        if self.schema.is_some() { Ok(self) } else { Err(Error::Missing { event_type: event_type.clone() }) }
    }
}

/// The schemas in force. Cheap to clone; a reload and a registration are seen by all clones.
#[derive(Debug, Clone)]
pub struct Schemas(Source);

#[derive(Debug, Clone)]
enum Source {
    Folder { config: Arc<Config>, set: Arc<ArcSwap<Set>> },
    Registry(Registry),
    Confluent(Confluent),
}

impl Schemas {
    /// Reads and compiles the whole folder. Blocks.
    ///
    /// # Errors
    /// All mistakes at once; nothing is loaded then.
    pub fn load(config: &Config) -> Result<Self, Vec<LoadError>> {
        let set = Set::load(config)?;
        let (config, set) = (Arc::new(config.clone()), Arc::new(ArcSwap::from_pointee(set)));
        Ok(Self(Source::Folder { config, set }))
    }

    /// The latest versions of a registry.
    #[must_use]
    pub const fn registered(registry: Registry) -> Self {
        Self(Source::Registry(registry))
    }

    /// The latest versions of a registry elsewhere.
    #[must_use]
    pub const fn fetched(confluent: Confluent) -> Self {
        Self(Source::Confluent(confluent))
    }

    /// Reads the folder again and puts it in force, or leaves everything as it is; a registry needs none. Blocks.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn reload(&self) -> Result<(), Vec<LoadError>> {
        match &self.0 {
            Source::Folder { config, set } => set.store(Arc::new(Set::load(config)?)),
            Source::Registry(_) | Source::Confluent(_) => {}
        }
        Ok(())
    }

    /// Whether a reload would find all schemas good. Blocks.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn check_reload(&self) -> Result<(), Vec<LoadError>> {
        match &self.0 {
            Source::Folder { config, .. } => Set::load(config).map(drop),
            Source::Registry(_) | Source::Confluent(_) => Ok(()),
        }
    }

    /// Whether events can be judged.
    #[must_use]
    pub fn are_ready(&self) -> bool {
        match &self.0 {
            Source::Folder { .. } => true,
            Source::Registry(registry) => registry.is_ready(),
            Source::Confluent(confluent) => confluent.is_ready(),
        }
    }

    /// Whether they come from where they can be had now. Where not, what is known of them goes on.
    #[must_use]
    pub fn are_reachable(&self) -> bool {
        match &self.0 {
            Source::Folder { .. } | Source::Registry(_) => true,
            Source::Confluent(confluent) => confluent.is_reachable(),
        }
    }

    /// Waits until it is known what judges a type, a few seconds at most; after [`Error::Unavailable`].
    pub async fn learn(&self, event_type: &EventType) {
        match &self.0 {
            Source::Folder { .. } | Source::Registry(_) => {}
            Source::Confluent(confluent) => confluent.learn(event_type).await,
        }
    }

    /// Judges data by its type's schema, which must be of the topic's format; a type without one passes with `schema: None`.
    /// A folder's schemas judge whatever language they are of, and the data stays JSON.
    ///
    /// # Errors
    /// All but [`Error::Missing`].
    pub fn check(
        &self,
        event_type: &EventType,
        format: Format,
        data: &json::Value<'_>,
    ) -> Result<Checked, Error> {
        let set = match &self.0 {
            Source::Folder { set, .. } => set.load(),
            Source::Registry(registry) => return registry.judge_event(event_type, format, data),
            Source::Confluent(confluent) => return confluent.judge_event(event_type, format, data),
        };
        let Some(compiled) = set.find(event_type) else { return Ok(Checked::default()) };
        compiled.check(data)?;
        let subject = Some(Arc::clone(&compiled.subject));
        Ok(Checked { schema: Some(compiled.id), guid: None, subject, encoded: None })
    }

    /// A pointer into an event (`/data/…`) in the words of its data: Protobuf knows a member by its name in JSON and by that in
    /// the schema, and a key is a key under both.
    #[must_use]
    pub fn spelled<'p>(
        &self,
        event_type: &EventType,
        format: Format,
        data: &json::Value<'_>,
        pointer: &'p json::Pointer,
    ) -> Cow<'p, json::Pointer> {
        let spelled = match (&self.0, format) {
            (Source::Registry(registry), Format::Protobuf) => registry.spelled(event_type, data, pointer),
            (Source::Confluent(confluent), Format::Protobuf) => confluent.spelled(event_type, data, pointer),
            (Source::Registry(_) | Source::Confluent(_), Format::Json | Format::Avro)
            | (Source::Folder { .. }, _) => None,
        };
        spelled.map_or(Cow::Borrowed(pointer), Cow::Owned)
    }

    /// Whether files judge events, whatever a registry holds.
    #[must_use]
    pub const fn are_files(&self) -> bool {
        matches!(self.0, Source::Folder { .. })
    }

    /// What the data of a type must satisfy, where it has a schema. The first call after a load or a change takes about 0.1 ms
    /// for each schema, and blocks on the file system for examples.
    #[must_use]
    pub fn contract(&self, event_type: &EventType) -> Option<Arc<Contract>> {
        match &self.0 {
            Source::Folder { config, set } => set.load().contract(&config.directory, event_type),
            Source::Registry(registry) => registry.contract(event_type),
            Source::Confluent(confluent) => confluent.contract(event_type),
        }
    }

    /// The event types that have a schema, sorted.
    #[must_use]
    pub fn event_types(&self) -> Vec<EventType> {
        match &self.0 {
            Source::Folder { set, .. } => set.load().event_types().to_vec(),
            Source::Registry(registry) => registry.event_types(),
            Source::Confluent(confluent) => confluent.event_types(),
        }
    }
}

#[cfg(test)]
mod tests;
