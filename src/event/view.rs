//! A stored record as subscribers and filters see it, whatever the topic's storage.
//!
//! ```text
//! value is an envelope ─────────────► "event":{value as stored}          /eventType …, /data/… from the value
//! weirgate-* headers, value is data ► "meta":{known members},"data":…    /eventType … from headers, /data/… from the value
//! neither (a native producer's) ────► "meta":{},"data":…                 /data/… only
//! no JSON ──────────────────────────► "eventBase64":…,"undecodable":…    nothing
//! ```

mod write;

use std::borrow::Cow;
use std::cell::OnceCell;

use self::write::Layout;
use super::envelope::HEADERS;
use super::json::{Document, Limits, Outline, Pointer, Value};
use super::{Partition, Record, Storage, Topic};

/// Deeper than any body the gateway takes, so that whatever it stored is found.
const LIMITS: Limits = Limits { depth_max: 120 };

/// The envelope's members in the order of [`HEADERS`], then `data`.
const NAMES: [&str; 8] =
    ["eventId", "eventType", "eventVersion", "timestamp", "source", "correlationId", "causationId", "data"];

/// A stored record read as an event. Making one reads the envelope's outline; the whole of `data` is parsed when a
/// pointer into it asks first.
#[derive(Debug)]
pub struct RecordView<'a> {
    record: &'a Record,
    form: Form<'a>,
    envelope: [Option<Cow<'a, str>>; 7],
    data: OnceCell<Option<Document<'a>>>,
}

/// What the record's value is.
#[derive(Debug, Clone, Copy)]
enum Form<'a> {
    /// An envelope with this data.
    Envelope { value: &'a str, data: &'a str },
    /// Data alone, its envelope in headers or nowhere.
    Data { value: &'a str, has_headers: bool },
    /// No value.
    Tombstone { has_headers: bool },
    /// No JSON.
    Undecodable { problem: &'static str, has_headers: bool },
}

impl<'a> RecordView<'a> {
    /// Reads the outline of a record; a record that is no event is all data, and never an error.
    ///
    /// A record of the other storage than the topic's, from before a change, is seen as what it is.
    #[must_use]
    pub fn parse(record: &'a Record, storage: Storage) -> Self {
        let headers = || HEADERS.map(|(_, header)| record.headers.last_text(header).map(Cow::Borrowed));
        let has_headers =
            !record.headers.is_empty() && record.headers.last_text("weirgate-event-type").is_some();
        let is_preferred = has_headers && storage == Storage::Headers;
        let form = match record.value.as_deref().map(std::str::from_utf8) {
            None => Form::Tombstone { has_headers },
            Some(Err(_)) => Form::Undecodable { problem: "not UTF-8", has_headers },
            Some(Ok(value)) => match Outline::parse(value, NAMES) {
                Err(problem) => Form::Undecodable { problem, has_headers },
                Ok(outline) if !is_preferred => match envelope_of(&outline) {
                    Some((envelope, data)) => {
                        return Self::new(record, Form::Envelope { value, data }, envelope);
                    }
                    None => Form::Data { value, has_headers },
                },
                Ok(_) => Form::Data { value, has_headers },
            },
        };
        Self::new(record, form, if has_headers { headers() } else { [const { None }; 7] })
    }

    const fn new(record: &'a Record, form: Form<'a>, envelope: [Option<Cow<'a, str>>; 7]) -> Self {
        Self { record, form, envelope, data: OnceCell::new() }
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
        let mut parts = pointer.parts();
        let name = parts.next()?;
        if name == "data" {
            return self.data()?.follow(parts).map(Cow::Borrowed);
        }
        let text = self.member(name)?;
        parts.next().is_none().then_some(Cow::Owned(Value::String(Cow::Borrowed(text))))
    }

    /// The event's data; `None` for a tombstone and for what is no strict JSON.
    #[must_use]
    pub fn data(&self) -> Option<&Value<'a>> {
        let document = self.data.get_or_init(|| {
            let text = match self.form {
                Form::Envelope { data, .. } => data,
                Form::Data { value, .. } => value,
                Form::Tombstone { .. } | Form::Undecodable { .. } => return None,
            };
            Document::parse(text.as_bytes(), LIMITS).ok()
        });
        document.as_ref().map(Document::root)
    }

    /// The event's id, where the record has an envelope.
    #[must_use]
    pub fn event_id(&self) -> Option<&str> {
        self.member("eventId")
    }

    /// The event's type, where the record has an envelope.
    #[must_use]
    pub fn event_type(&self) -> Option<&str> {
        self.member("eventType")
    }

    /// The correlation id, where the record has an envelope that has one.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.member("correlationId")
    }

    /// Writes `"topic":…,"partition":…,"offset":…,"timestamp":…,"key":…,"headers":{…},` and `"event":{…}` (or `"meta"` and
    /// `"data"`) without braces, in one line.
    pub fn write_members(&self, out: &mut Vec<u8>, topic: &Topic, partition: Partition) {
        write::members(self, out, topic, partition, Layout::OneLine);
    }

    /// As [`Self::write_members`], the stored value byte for byte: line breaks between its tokens stay.
    pub fn write_members_as_stored(&self, out: &mut Vec<u8>, topic: &Topic, partition: Partition) {
        write::members(self, out, topic, partition, Layout::AsStored);
    }

    fn member(&self, name: &str) -> Option<&str> {
        let mut members = self.envelope.iter().zip(HEADERS);
        members.find(|(_, (have, _))| *have == name).and_then(|(text, _)| text.as_deref())
    }
}

/// The members and the data of a value that is an envelope: it says its id, its type and its data.
fn envelope_of<'a>(outline: &Outline<'a, 8>) -> Option<([Option<Cow<'a, str>>; 7], &'a str)> {
    let (data, id, event_type) = (outline.member(7)?, outline.text(0)?, outline.text(1)?);
    let [version, timestamp, source, correlation_id, causation_id] =
        [2, 3, 4, 5, 6].map(|at| outline.text(at));
    Some(([Some(id), Some(event_type), version, timestamp, source, correlation_id, causation_id], data))
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

#[cfg(test)]
mod tests;
