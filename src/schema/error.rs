//! Why data is refused, and why a schema is not taken.

use std::path::PathBuf;
use std::sync::Arc;

use crate::event::{EventType, Format};

use super::SchemaId;
use super::registry::Kind;

/// One way in which data breaks its schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Violation {
    /// Where, as a pointer into the event (`/data/…`).
    pub pointer: String,
    /// The same place in the schema's own names, with `*` for what the schema does not name: elements, and members of any
    /// name. It holds nothing of the data.
    #[serde(skip)]
    pub place: String,
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
    /// The type's schema is of another format than the topic's data.
    #[error("the schema {schema_id} of {subject} is {}, and the topic holds {}", kind.as_str(), format.as_str())]
    OtherFormat {
        /// The subject.
        subject: Arc<str>,
        /// The schema.
        schema_id: SchemaId,
        /// Its language.
        kind: Kind,
        /// The topic's.
        format: Format,
    },
    /// The topic's records name schemas by GUID, and the registry gives this one none.
    #[error(
        "the registry gives the schema {schema_id} of {subject} no GUID, by which the topic's records name schemas"
    )]
    Nameless {
        /// The subject.
        subject: Arc<str>,
        /// The schema.
        schema_id: SchemaId,
    },
    /// The registry is not read yet.
    #[error("the schemas are being loaded")]
    NotReady,
    /// Another registry has to be asked, or cannot be.
    #[error("the schema of the event type {event_type} cannot be fetched from its registry now")]
    Unavailable {
        /// The type.
        event_type: EventType,
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
