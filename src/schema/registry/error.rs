//! Why the registry does not do what it is asked.

use crate::event::Subject;
use crate::log;

use super::content::{Reference, Version};

/// Why a request is refused or fails. Texts are for the caller.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no such subject, or nothing is said of it that could be taken back.
    #[error("there is no subject '{0}'")]
    SubjectNotFound(Subject),
    /// The subject has no such version.
    #[error("there is no version {version} of '{subject}'")]
    VersionNotFound {
        /// The subject.
        subject: Subject,
        /// As the caller named it.
        version: String,
    },
    /// There is no such schema.
    #[error("there is no such schema")]
    SchemaNotFound,
    /// The subject was deleted before.
    #[error("subject '{0}' was deleted already; permanent=true removes it for good")]
    SubjectDeleted(Subject),
    /// Only what was deleted can be removed for good.
    #[error("subject '{0}' must be deleted before it is removed for good")]
    SubjectNotDeleted(Subject),
    /// The version was deleted before.
    #[error("version {version} of '{subject}' was deleted already; permanent=true removes it for good")]
    VersionDeleted {
        /// The subject.
        subject: Subject,
        /// The version.
        version: Version,
    },
    /// Only what was deleted can be removed for good.
    #[error("version {version} of '{subject}' must be deleted before it is removed for good")]
    VersionNotDeleted {
        /// The subject.
        subject: Subject,
        /// The version.
        version: Version,
    },
    /// The subject has no settings of its own.
    #[error("subject '{0}' has no compatibility level of its own")]
    NoSettings(Subject),
    /// The subject has no mode of its own.
    #[error("subject '{0}' has no mode of its own")]
    NoMode(Subject),
    /// The schema does not fit earlier versions.
    #[error("the schema does not fit earlier versions: {}", .0.join("; "))]
    Incompatible(Vec<String>),
    /// What was sent is no schema that can be taken.
    #[error("{0}")]
    InvalidSchema(String),
    /// A version that a schema refers to is not there.
    #[error("the schema refers to version {} of '{}' as '{}', and there is none", .0.version, .0.subject, .0.name)]
    ReferenceNotFound(Reference),
    /// The text names no version.
    #[error("'{0}' is no version: a number from 1 to 2147483647, or 'latest'")]
    InvalidVersion(String),
    /// The mode does not allow it, or the registry is full.
    #[error("{0}")]
    NotPermitted(String),
    /// Others refer to it.
    #[error("version {version} of '{subject}' is referred to by other schemas")]
    Referred {
        /// The subject.
        subject: Subject,
        /// The version.
        version: Version,
    },
    /// The id is another schema's, or the schema has another id.
    #[error("id {0} does not belong to this schema")]
    IdMismatch(i32),
    /// The schema is too large.
    #[error("the schema has {bytes} bytes; at most {bytes_max} are taken")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The gateway judges by a registry elsewhere.
    #[error(
        "this gateway keeps no schemas: it judges by the registry of its setting schemas.confluent; ask that one"
    )]
    Elsewhere,
    /// The table is not read yet.
    #[error("the schema registry is being loaded")]
    NotReady,
    /// Others changed what the decision was about, again and again, or too many schemas are being judged.
    #[error("too much changes at once; try again")]
    Busy,
    /// The log failed.
    #[error("the schema registry cannot reach its log")]
    Log(#[from] log::Error),
}
