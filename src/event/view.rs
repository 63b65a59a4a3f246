//! A stored record as subscribers and filters see it, whatever the topic's storage.

use std::borrow::Cow;

use super::json::{Pointer, Value};
use super::{Partition, Record, Storage, Timestamp, Topic};

/// A stored record read as an event. Making one reads the envelope's outline; the whole document is parsed when a
/// pointer into `/data` asks for it first.
#[derive(Debug)]
pub struct RecordView<'a> {
    record: &'a Record,
    storage: Storage,
}

impl<'a> RecordView<'a> {
    /// Reads the outline of a record; a record that is no event is all data, and never an error.
    #[must_use]
    pub fn parse(record: &'a Record, storage: Storage) -> Self {
        Self { record, storage }
    }

    /// The record.
    #[must_use]
    pub const fn record(&self) -> &'a Record {
        self.record
    }

    /// The value a pointer of a filter leads to (`/eventType`, `/data/…`). `None` for what is not there, and for all of
    /// `/data` of a value that is no strict JSON.
    #[must_use]
    pub fn at(&self, pointer: &Pointer) -> Option<Cow<'_, Value<'_>>> {
        let _ = (pointer, self.storage);
        unimplemented!()
    }

    /// The event's id, where the record has an envelope.
    #[must_use]
    pub fn event_id(&self) -> Option<&str> {
        unimplemented!()
    }

    /// The event's type, where the record has an envelope.
    #[must_use]
    pub fn event_type(&self) -> Option<&str> {
        unimplemented!()
    }

    /// The correlation id, where the record has an envelope that has one.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        unimplemented!()
    }

    /// The event's own time, where the record has an envelope with a valid one.
    #[must_use]
    pub fn published_at(&self) -> Option<Timestamp> {
        unimplemented!()
    }

    /// Writes `"topic":…,"partition":…,"offset":…,"timestamp":…,"key":…,"headers":{…},` and `"event":{…}` (or `"meta"` and
    /// `"data"`) without braces, in one line.
    pub fn write_members(&self, out: &mut Vec<u8>, topic: &Topic, partition: Partition) {
        let _ = (out, topic, partition);
        unimplemented!()
    }
}

/// Writes the members of a record's push or answer; see [`RecordView::write_members`].
pub fn write_members(
    out: &mut Vec<u8>,
    topic: &Topic,
    partition: Partition,
    record: &Record,
    storage: Storage,
) {
    RecordView::parse(record, storage).write_members(out, topic, partition);
}

/// The event type of a stored record, for metrics and logs.
#[must_use]
pub fn event_type_of(record: &Record, storage: Storage) -> Option<String> {
    RecordView::parse(record, storage).event_type().map(str::to_owned)
}

/// The event id of a stored record, for logs.
#[must_use]
pub fn event_id_of(record: &Record, storage: Storage) -> Option<String> {
    RecordView::parse(record, storage).event_id().map(str::to_owned)
}

/// The correlation id of a stored record, for logs.
#[must_use]
pub fn correlation_id_of(record: &Record, storage: Storage) -> Option<String> {
    RecordView::parse(record, storage).correlation_id().map(str::to_owned)
}

/// The event's own time as its sender gave it, else the record's, for metrics.
#[must_use]
pub fn published_at(record: &Record, storage: Storage) -> Timestamp {
    RecordView::parse(record, storage).published_at().unwrap_or(record.timestamp)
}
