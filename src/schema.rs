//! Subjects and compiled validators: whether an event's data is what its type promises.
//!
//! Schemas come from a folder or from the registry in the log, are judged against budgets and compiled; checking takes
//! no lock. This room never follows a reference to a file or the network, and never puts a value of the data into a message.
//!
//! ```text
//! schemas/orders/placed/v1.json ── budgets ── compiled ──────────┬── check(event type, data) ── Checked | Violation
//! registry: orders.placed.v1-value, latest ── compiled when used ┘
//! ```

mod borrowed;
mod budget;
mod bundle;
pub mod compat;
mod compiled;
pub mod evolution;
pub mod examples;
mod explain;
mod folder;
pub mod registry;
mod samples;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use self::compiled::Set;
pub use self::compiled::{Dialect, Schema, Verdict};
use self::registry::Registry;
use crate::event::{EventType, json};

/// What events are judged by, and where that lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the schemas of events come from.
    pub store: Store,
    /// The folder: `{type without .vN, dots as /}/v{N}.json`.
    pub directory: PathBuf,
    /// What holds where there is no such folder.
    pub absent: Absent,
}

/// Where the schemas of events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The files of a folder.
    Folder,
    /// The registry that the gateway keeps in its log.
    Embedded,
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
    /// Data that satisfies it, where the folder has a valid example of at most 16 KiB: the first by name.
    pub example: Option<serde_json::Value>,
}

/// The outcome of a check that refuses nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The schema that the data satisfies; `None` when the type has none.
    pub schema: Option<SchemaId>,
    /// The subject, `{eventType}-value`, where the type has a schema.
    pub subject: Option<Arc<str>>,
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

/// One way in which data breaks its schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Violation {
    /// Where, as a pointer into the event (`/data/…`).
    pub pointer: String,
    /// The schema's keyword.
    pub keyword: String,
    /// Which rule is broken, without the value.
    pub message: String,
}

/// Why data is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The data breaks the schema.
    #[error("the data breaks the schema {subject}; places told: {}", errors.len())]
    Violation {
        /// The subject.
        subject: Arc<str>,
        /// The schema.
        schema_id: SchemaId,
        /// At most 20, by pointer.
        errors: Vec<Violation>,
    },
    /// A pattern of the schema took too many steps on the data; neither valid nor invalid.
    #[error("a pattern of the schema {subject} takes too many steps on the data")]
    PatternLimit {
        /// The subject.
        subject: Arc<str>,
        /// The schema.
        schema_id: SchemaId,
    },
    /// The registry has a schema that this gateway cannot judge by.
    #[error("this gateway cannot judge by the schema {schema_id} of {subject}")]
    Unusable {
        /// The subject.
        subject: Arc<str>,
        /// The schema.
        schema_id: SchemaId,
    },
    /// The registry is not read yet.
    #[error("the schemas are being loaded")]
    NotReady,
    /// The type has no schema and the topic wants one.
    #[error("the event type {event_type} has no schema")]
    Missing {
        /// The type.
        event_type: EventType,
    },
}

/// Why a schema of the folder is not taken.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct LoadError {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong and what can be done.
    pub problem: String,
}

/// The schemas in force. Cheap to clone; a reload and a registration are seen by all clones.
#[derive(Debug, Clone)]
pub struct Schemas(Source);

#[derive(Debug, Clone)]
enum Source {
    Folder { config: Arc<Config>, set: Arc<ArcSwap<Set>> },
    Registry(Registry),
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

    /// Reads the folder again and puts it in force, or leaves everything as it is; a registry needs none. Blocks.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn reload(&self) -> Result<(), Vec<LoadError>> {
        match &self.0 {
            Source::Folder { config, set } => set.store(Arc::new(Set::load(config)?)),
            Source::Registry(_) => {}
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
            Source::Registry(_) => Ok(()),
        }
    }

    /// Whether events can be judged.
    #[must_use]
    pub fn are_ready(&self) -> bool {
        match &self.0 {
            Source::Folder { .. } => true,
            Source::Registry(registry) => registry.is_ready(),
        }
    }

    /// Judges data by its type's schema; a type without one passes with `schema: None`.
    ///
    /// # Errors
    /// All but [`Error::Missing`].
    pub fn check(&self, event_type: &EventType, data: &json::Value<'_>) -> Result<Checked, Error> {
        let set = match &self.0 {
            Source::Folder { set, .. } => set.load(),
            Source::Registry(registry) => return registry.judge_event(event_type, data),
        };
        let Some(compiled) = set.find(event_type) else { return Ok(Checked { schema: None, subject: None }) };
        compiled.check(data)?;
        Ok(Checked { schema: Some(compiled.id), subject: Some(Arc::clone(&compiled.subject)) })
    }

    /// What the data of a type must satisfy, where it has a schema. The first call after a load or a change takes about 0.1 ms
    /// for each schema, and blocks on the file system for examples.
    #[must_use]
    pub fn contract(&self, event_type: &EventType) -> Option<Arc<Contract>> {
        match &self.0 {
            Source::Folder { config, set } => set.load().contract(&config.directory, event_type),
            Source::Registry(registry) => registry.contract(event_type),
        }
    }

    /// The event types that have a schema, sorted.
    #[must_use]
    pub fn event_types(&self) -> Vec<EventType> {
        match &self.0 {
            Source::Folder { set, .. } => set.load().event_types().to_vec(),
            Source::Registry(registry) => registry.event_types(),
        }
    }
}

#[cfg(test)]
mod tests;
