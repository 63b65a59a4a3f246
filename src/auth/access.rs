//! The words of a decision: what is asked, of what, and what is given.

use crate::event::{GroupName, Pattern, Topic, json};

/// What a principal wants to do; the names in a grant's `allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize)]
pub enum Operation {
    /// Append events to a topic.
    #[serde(rename = "publish")]
    Publish,
    /// Read a topic without a group.
    #[serde(rename = "subscribe")]
    Subscribe,
    /// Be a member of a group.
    #[serde(rename = "consume")]
    Consume,
    /// List dead letters of a group.
    #[serde(rename = "deadletter.read")]
    DeadLetterRead,
    /// See the event inside a dead letter.
    #[serde(rename = "deadletter.payload")]
    DeadLetterPayload,
    /// Redrive, discard and annotate dead letters.
    #[serde(rename = "deadletter.redrive")]
    DeadLetterRedrive,
    /// Read a range of a group's topics again.
    #[serde(rename = "replay")]
    Replay,
    /// Read the schema registry.
    #[serde(rename = "schema.read")]
    SchemaRead,
    /// Change the schema registry.
    #[serde(rename = "schema.write")]
    SchemaWrite,
    /// Create, change and delete topics.
    #[serde(rename = "topic.admin")]
    TopicAdmin,
    /// Create, change, reset and resume groups.
    #[serde(rename = "group.admin")]
    GroupAdmin,
    /// Read the audit trail.
    #[serde(rename = "audit.read")]
    AuditRead,
    /// See the configuration and reload it.
    #[serde(rename = "admin")]
    Admin,
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
    /// The row filter as configured, `/data/customerId == ${sub}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_filter: Option<String>,
}
