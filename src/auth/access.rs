//! The words of a decision: what is asked, of what, and what is given.

use crate::event::{GroupName, Pattern, Subject, Topic, json};

/// What a principal wants to do; the names in a grant's `allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Append events to a topic.
    Publish,
    /// Read a topic without a group.
    Subscribe,
    /// Be a member of a group.
    Consume,
    /// List dead letters of a group.
    DeadLetterRead,
    /// See the event inside a dead letter.
    DeadLetterPayload,
    /// Redrive, discard and annotate dead letters.
    DeadLetterRedrive,
    /// Read a range of a group's topics again.
    Replay,
    /// Read the schema registry.
    SchemaRead,
    /// Change the schema registry.
    SchemaWrite,
    /// Create, change and delete topics.
    TopicAdmin,
    /// Create, change, reset and resume groups.
    GroupAdmin,
    /// Read the audit trail.
    AuditRead,
    /// See the configuration and reload it.
    Admin,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Publish,
        Self::Subscribe,
        Self::Consume,
        Self::DeadLetterRead,
        Self::DeadLetterPayload,
        Self::DeadLetterRedrive,
        Self::Replay,
        Self::SchemaRead,
        Self::SchemaWrite,
        Self::TopicAdmin,
        Self::GroupAdmin,
        Self::AuditRead,
        Self::Admin,
    ];

    /// Its name in a grant's `allow`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Consume => "consume",
            Self::DeadLetterRead => "deadletter.read",
            Self::DeadLetterPayload => "deadletter.payload",
            Self::DeadLetterRedrive => "deadletter.redrive",
            Self::Replay => "replay",
            Self::SchemaRead => "schema.read",
            Self::SchemaWrite => "schema.write",
            Self::TopicAdmin => "topic.admin",
            Self::GroupAdmin => "group.admin",
            Self::AuditRead => "audit.read",
            Self::Admin => "admin",
        }
    }
}

impl serde::Serialize for Operation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What an operation is about.
#[derive(Debug, Clone, Copy)]
pub enum Object<'a> {
    /// A topic.
    Topic(&'a Topic),
    /// A group and, for dead letters and replays, all its topics.
    Group(&'a GroupName),
    /// A group's part in one topic.
    GroupTopic(&'a GroupName, &'a Topic),
    /// A subject of the schema registry.
    Subject(&'a Subject),
    /// All subjects there are and may ever be.
    AllSubjects,
    /// The gateway as a whole.
    Nothing,
}

/// What a decision gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The rows of the object that may be seen.
    pub rows: Rows,
}

/// Which records of a topic a principal may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rows {
    /// All of them.
    All,
    /// Those that any of these filters lets through; never empty.
    Only(Vec<KeyFilter>),
}

/// A row filter with its claim already filled in: the member at `pointer` must be the text `equals`, or an
/// integer with that decimal text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyFilter {
    /// Where in the event's view (`/data/…`, `/eventType`, …).
    pub pointer: json::Pointer,
    /// What must be there.
    pub equals: String,
}

/// A grant as its holder sees it in `whoami`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantView {
    /// The operations.
    pub allow: Vec<Operation>,
    /// The topics; absent where the grant does not restrict or reach them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<Pattern>,
    /// The groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Pattern>,
    /// The sources a publisher may name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Pattern>,
    /// The subjects of the schema registry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Pattern>,
    /// The row filter as configured, `/data/customerId == ${sub}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_filter: Option<String>,
}
