//! Which letters are meant: by what their records say, and by what became of them.

use crate::event::{Record, RecordView, Timestamp, Topic};

use super::super::shared::Shared;
use super::{DeadLetterState, letter};

/// Which letters are meant: those that fit all that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterFilter {
    /// Only those of this source topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Topic>,
    /// Only those that are dead for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only those with this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only those of events with this correlation id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Only those that failed last at or after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Only those that failed last before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Only those in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<DeadLetterState>,
}

impl DeadLetterFilter {
    /// Whether of a key that has letters that fit all fit, but those that are held for a person.
    pub(super) fn takes_whole_keys(&self) -> bool {
        let Self { topic: _, reason, key: _, correlation_id, from, to, state } = self;
        let is_any = reason.is_none() && correlation_id.is_none() && from.is_none() && to.is_none();
        is_any && state.is_none_or(|state| state == DeadLetterState::Open)
    }

    /// Whether letters of a source topic can fit.
    pub(super) fn takes_topic(&self, source: &Topic) -> bool {
        self.topic.as_ref().is_none_or(|only| only == source)
    }

    /// Whether a letter of `source` fits, as far as its record says itself.
    pub(super) fn takes(&self, shared: &Shared, source: &Topic, record: &Record) -> bool {
        let is_or_any = |wanted: &Option<String>, have: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| have == Some(wanted))
        };
        let correlation_id = || {
            let storage = shared.catalogue.load().rule(source).storage;
            is_or_any(&self.correlation_id, RecordView::parse(record, storage).correlation_id())
        };
        let failed = letter::last_failed_at(record);
        is_or_any(&self.reason, letter::reason(record))
            && self.key.as_ref().is_none_or(|key| record.key.as_deref() == Some(key.as_bytes()))
            && self.from.is_none_or(|from| failed.is_some_and(|failed| failed >= from))
            && self.to.is_none_or(|to| failed.is_some_and(|failed| failed < to))
            // The last one: it takes a look into the record.
            && (self.correlation_id.is_none() || correlation_id())
    }
}
