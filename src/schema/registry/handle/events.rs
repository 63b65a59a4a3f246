//! The registry as the judge of events: each by the latest version of its type's subject.

use std::sync::Arc;

use crate::event::{EventType, Format, json};
use crate::schema::{self, Checked, Contract};

use super::Registry;

impl Registry {
    /// Judges an event's data by the latest version of `{event type}-value`, without a lock or a wait.
    pub(in crate::schema) fn judge_event(
        &self,
        event_type: &EventType,
        format: Format,
        data: &json::Value<'_>,
    ) -> Result<Checked, schema::Error> {
        let table = self.0.table.load();
        let table = table.as_ref().ok_or(schema::Error::NotReady)?;
        self.0.live.check(&**table, event_type, format, data)
    }

    /// A pointer into an event in the words of its data, where its type's schema has others.
    pub(in crate::schema) fn spelled(
        &self,
        event_type: &EventType,
        data: &json::Value<'_>,
        pointer: &json::Pointer,
    ) -> Option<json::Pointer> {
        self.0.live.spelled(&**self.0.table.load().as_ref()?, event_type, data, pointer)
    }

    /// What the data of a type must satisfy, where it has a schema.
    pub(in crate::schema) fn contract(&self, event_type: &EventType) -> Option<Arc<Contract>> {
        self.0.live.contract(&**self.0.table.load().as_ref()?, event_type)
    }

    /// The event types that events are judged of, sorted.
    pub(in crate::schema) fn event_types(&self) -> Vec<EventType> {
        self.0.live.event_types()
    }
}
