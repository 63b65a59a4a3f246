//! Subjects and compiled validators: whether an event's data is what its type promises.
//!
//! Schemas are read from a folder, judged against budgets and compiled once; checking takes no lock. This room never
//! follows a reference to a file or the network, and never puts a value of the data into a message.
//!
//! ```text
//! schemas/orders/placed/v1.json ── budgets ── compiled ── check(event type, data) ── Checked | Violation
//! ```

mod borrowed;
mod budget;
mod compiled;
pub mod examples;
mod explain;
mod folder;
mod samples;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;

use self::compiled::Set;
pub use self::compiled::{Dialect, Schema, Verdict};
use crate::event::{EventType, json};

/// Where the schemas lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder: `{type without .vN, dots as /}/v{N}.json`.
    pub directory: PathBuf,
    /// What holds where there is no such folder.
    pub absent: Absent,
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
        self.absent == Absent::Samples && !self.directory.exists()
    }
}

/// The number of a schema; equal content has an equal number on every gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
#[expect(clippy::module_name_repetitions, reason = "the design's word; an id alone would be an event's")]
pub struct SchemaId(i32);

impl SchemaId {
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

/// The schemas in force. Cheap to clone; a reload is seen by all clones.
#[derive(Debug, Clone)]
pub struct Schemas {
    config: Arc<Config>,
    set: Arc<ArcSwap<Set>>,
}

impl Schemas {
    /// Reads and compiles the whole folder. Blocks.
    ///
    /// # Errors
    /// All mistakes at once; nothing is loaded then.
    pub fn load(config: &Config) -> Result<Self, Vec<LoadError>> {
        let set = Set::load(config)?;
        Ok(Self { config: Arc::new(config.clone()), set: Arc::new(ArcSwap::from_pointee(set)) })
    }

    /// Reads the folder again and puts it in force, or leaves everything as it is. Blocks.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn reload(&self) -> Result<(), Vec<LoadError>> {
        self.set.store(Arc::new(Set::load(&self.config)?));
        Ok(())
    }

    /// Judges data by its type's schema; a type without one passes with `schema: None`.
    ///
    /// # Errors
    /// [`Error::Violation`] and [`Error::PatternLimit`].
    pub fn check(&self, event_type: &EventType, data: &json::Value<'_>) -> Result<Checked, Error> {
        let set = self.set.load();
        let Some(compiled) = set.find(event_type) else { return Ok(Checked { schema: None, subject: None }) };
        compiled.check(data)?;
        Ok(Checked { schema: Some(compiled.id), subject: Some(Arc::clone(&compiled.subject)) })
    }

    /// The event types that have a schema, sorted.
    #[must_use]
    pub fn event_types(&self) -> Vec<EventType> {
        self.set.load().event_types().to_vec()
    }
}

#[cfg(test)]
mod tests;
