//! Dead letters as a list.

use crate::event::{GroupName, Offset, Partition, Timestamp, Topic};

/// Which letters to list.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterQuery {
    /// Only those of this source topic.
    pub topic: Option<Topic>,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// A dead letter, without its payload.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Its id; repeats of one failure are the same letter.
    pub id: String,
    /// The group that failed.
    pub group: GroupName,
    /// The source topic.
    pub topic: Topic,
    /// The source partition.
    pub partition: Partition,
    /// The source offset.
    pub offset: Offset,
    /// The record's key, where it is UTF-8.
    pub key: Option<String>,
    /// `open`.
    pub state: &'static str,
    /// Why it is dead.
    pub reason: String,
    /// In the consumer's words.
    pub error: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it failed first.
    pub first_failed_at: Option<Timestamp>,
    /// When it failed last.
    pub last_failed_at: Option<Timestamp>,
    /// How often it was redriven.
    pub redrives: u32,
    /// The record's headers, those of the letter itself left out.
    pub headers: serde_json::Map<String, serde_json::Value>,
    /// What people wrote to it.
    pub notes: Vec<String>,
}

/// A page of letters.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterPage {
    /// The letters, by topic, partition and offset.
    pub dead_letters: Vec<DeadLetter>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
