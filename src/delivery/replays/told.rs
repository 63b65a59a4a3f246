//! What people are told of a replay.

use serde_json::Value;

use crate::event::{GroupName, Timestamp, Topic};

use super::super::ResetTo;
use super::super::jobs::JobId;

/// How a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// No gateway that has members of the group has taken it.
    Waiting,
    /// A gateway delivers it.
    Running,
    /// All of it is settled.
    Done,
    /// Somebody ended it.
    Cancelled,
    /// It cannot go on, for the reason given.
    Failed,
}

impl ReplayState {
    /// Its name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Whether it has not ended.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::Waiting | Self::Running => true,
            Self::Done | Self::Cancelled | Self::Failed => false,
        }
    }
}

/// What became of a replay's events so far. What a gateway that died had not written down counts again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayCounts {
    /// Offsets of the range before which all is settled or passed over.
    pub examined: u64,
    /// Events that are meant and were read.
    pub matched: u64,
    /// Acknowledged.
    pub delivered: u64,
    /// Dead letters now.
    pub failed: u64,
    /// Examined offsets without an event that is meant: kept back by the filter, compacted, or gone with retention.
    pub skipped: u64,
}

/// A range that is delivered to a group once more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// Which one it is.
    pub id: JobId,
    /// For whom.
    pub group: GroupName,
    /// How it stands.
    pub state: ReplayState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Offsets of the range; there may be fewer events.
    pub events: u64,
    /// What became of them so far.
    #[serde(flatten)]
    pub counts: ReplayCounts,
    /// The topics.
    pub topics: Vec<Topic>,
    /// The first event, as it was asked for.
    pub from: ResetTo,
    /// The first one that is not meant, where one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ResetTo>,
    /// Which events are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// How many are handed to members in a second; `None` for as many as they take.
    pub rate_per_second: Option<u32>,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Who cancelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
}
