//! How a dead letter stands: what became of it, who decided that, and what people wrote to it.

use crate::event::Timestamp;

/// What became of a dead letter.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterState {
    /// Nothing yet.
    #[default]
    Open,
    /// It is on its way back to its group.
    Redriving,
    /// Its group has it again and has not settled it.
    Redriven,
    /// Its group acknowledged it after all.
    Resolved,
    /// Somebody decided that it is not needed.
    Discarded,
    /// It failed too often to be redriven without a person's look.
    Held,
}

impl DeadLetterState {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Redriving, Self::Redriven, Self::Resolved, Self::Discarded, Self::Held];

    /// Its name in answers and filters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriving => "redriving",
            Self::Redriven => "redriven",
            Self::Resolved => "resolved",
            Self::Discarded => "discarded",
            Self::Held => "held",
        }
    }
}

/// A note that a person wrote to a letter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// How a letter left the open ones.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settled {
    /// When.
    #[serde(rename = "settledAt")]
    pub at: Timestamp,
    /// Who decided it.
    #[serde(rename = "settledBy")]
    pub by: String,
}

/// All that is known of a letter beside its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// What became of it.
    pub state: DeadLetterState,
    /// Since when it is no longer open, and who decided that.
    #[serde(flatten)]
    pub settled: Option<Settled>,
    /// What people wrote to it, the oldest first.
    #[serde(default)]
    pub notes: Vec<Note>,
}
