//! A stored record as subscribers and filters see it, whatever the topic's storage.
//!
//! ```text
//! value is an envelope ─────────────► "event":{value as stored}          /eventType …, /data/… from the value
//! weirgate-* headers, value is data ► "meta":{known members},"data":…    /eventType … from headers, /data/… from the value
//! ce_* headers, value is data ──────► "meta":{known members},"data":…    the same, from the attributes
//! value is a CloudEvent ────────────► "meta":{known members},"data":…    /eventType …, /data/… from the value
//! neither (a native producer's) ────► "meta":{},"data":…                 /data/… only
//! decoded on the way out ───────────► as above, with what was decoded for the value
//! no JSON ──────────────────────────► "eventBase64":…,"undecodable":…    nothing
//! ```

mod cloud_event;
mod write;

use std::borrow::Cow;
use std::cell::OnceCell;

use self::write::Layout;
use super::envelope::HEADERS;
use super::json::{Document, Limits, Outline, Pointer, Value};
use super::{Headers, Partition, Record, Storage, Topic};

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
    envelope: Envelope<'a>,
    /// The attributes of a CloudEvent in the value, by the names of their headers in binary mode.
    attributes: Vec<(String, Cow<'a, str>)>,
    data: OnceCell<Option<Document<'a>>>,
}

/// The members of the envelope in the order of [`HEADERS`].
type Envelope<'a> = [Option<Cow<'a, str>>; 7];

/// What a record says beside its data that is an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Marks {
    /// Nothing.
    None,
    /// `weirgate-*` headers.
    Headers,
    /// The attributes of a CloudEvent, in headers or in the value.
    CloudEvent,
}

/// What the record's value is.
#[derive(Debug, Clone, Copy)]
enum Form<'a> {
    /// An envelope with this data.
    Envelope { value: &'a str, data: &'a str },
    /// Data, its envelope beside it or nowhere.
    Data { value: &'a str, marks: Marks },
    /// A CloudEvent without data.
    NoData,
    /// No value.
    Tombstone { marks: Marks },
    /// No JSON.
    Undecodable { problem: &'a str, marks: Marks },
}

impl<'a> RecordView<'a> {
    /// Reads the outline of a record; a record that is no event is all data, and never an error.
    ///
    /// A record of another storage than the topic's, from before a change or by another producer, is seen as what it is.
    /// Data that looks like an envelope is one where the topic stores envelopes, or where nothing else is said of it.
    #[must_use]
    pub fn parse(record: &'a Record, storage: Storage) -> Self {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "not UTF-8");
        let value = match record.text().map(|bytes| bytes.and_then(text)) {
            None => return Self::beside(record, |marks| Form::Tombstone { marks }),
            Some(Err(problem)) => return Self::beside(record, |marks| Form::Undecodable { problem, marks }),
            Some(Ok(value)) => value,
        };
        let outline = match Outline::parse(value, NAMES) {
            Err(problem) => return Self::beside(record, |marks| Form::Undecodable { problem, marks }),
            Ok(outline) => outline,
        };
        let envelope = || {
            let (envelope, data) = envelope_of(&outline)?;
            Some(Self::new(record, Form::Envelope { value, data }, envelope))
        };
        if storage == Storage::Native
            && let Some(view) = envelope()
        {
            return view;
        }
        if let Some(view) = Self::structured(record, value, storage) {
            return view;
        }
        let view = Self::beside(record, |marks| match marks {
            Marks::CloudEvent if record.decoded.is_none() && !cloud_event::has_json(&record.headers) => {
                Form::Undecodable { problem: "data that is said not to be JSON", marks }
            }
            Marks::None | Marks::Headers | Marks::CloudEvent => Form::Data { value, marks },
        });
        if let Form::Data { marks: Marks::None, .. } = view.form {
            return envelope().unwrap_or(view);
        }
        view
    }

    /// A record whose envelope is in headers, or nowhere.
    fn beside(record: &'a Record, form: impl FnOnce(Marks) -> Form<'a>) -> Self {
        let headers = &record.headers;
        if headers.is_empty() {
            return Self::new(record, form(Marks::None), [const { None }; 7]);
        }
        if headers.last_text("weirgate-event-type").is_some() {
            let envelope = HEADERS.map(|(_, header)| headers.last_text(header).map(Cow::Borrowed));
            return Self::new(record, form(Marks::Headers), envelope);
        }
        match cloud_event::binary(headers) {
            Some(envelope) => Self::new(record, form(Marks::CloudEvent), envelope),
            None => Self::new(record, form(Marks::None), [const { None }; 7]),
        }
    }

    /// A record whose value is a CloudEvent.
    fn structured(record: &'a Record, value: &'a str, storage: Storage) -> Option<Self> {
        let headers = &record.headers;
        if !cloud_event::may_be_structured(headers, storage) || headers.last("weirgate-event-type").is_some()
        {
            return None;
        }
        let found = cloud_event::structured(value, headers)?;
        let marks = Marks::CloudEvent;
        let form = match found.data {
            _ if found.is_encoded => Form::Undecodable { problem: "data in base64", marks },
            Some(value) => Form::Data { value, marks },
            None => Form::NoData,
        };
        Some(Self { attributes: found.attributes, ..Self::new(record, form, found.envelope) })
    }

    const fn new(record: &'a Record, form: Form<'a>, envelope: Envelope<'a>) -> Self {
        Self { record, form, envelope, attributes: Vec::new(), data: OnceCell::new() }
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
                Form::NoData => "null",
                Form::Tombstone { .. } | Form::Undecodable { .. } => return None,
            };
            Document::parse(text.as_bytes(), LIMITS).ok()
        });
        document.as_ref().map(Document::root)
    }

    /// The bytes of a header as subscribers see it: the last of this name; for a CloudEvent in the value an attribute too.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let attribute =
            || self.attributes.iter().find(|(have, _)| have == name).map(|(_, text)| text.as_bytes());
        self.record.headers.last(name).map(|value| &**value).or_else(attribute)
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

    /// Writes `"event":{…}` (or `"meta"` and `"data"`) alone, as [`Self::write_members`] does.
    pub fn write_event(&self, out: &mut Vec<u8>) {
        write::event(self, out, Layout::OneLine);
    }

    fn member(&self, name: &str) -> Option<&str> {
        let mut members = self.envelope.iter().zip(HEADERS);
        members.find(|(_, (have, _))| *have == name).and_then(|(text, _)| text.as_deref())
    }
}

/// The members and the data of a value that is an envelope: it says its id, its type and its data.
fn envelope_of<'a>(outline: &Outline<'a, 8>) -> Option<(Envelope<'a>, &'a str)> {
    let (data, id, event_type) = (outline.member(7)?, outline.text(0)?, outline.text(1)?);
    let [version, timestamp, source, correlation_id, causation_id] =
        [2, 3, 4, 5, 6].map(|at| outline.text(at));
    Some(([Some(id), Some(event_type), version, timestamp, source, correlation_id, causation_id], data))
}

/// The event type that a record's headers say, whatever its value is; `None` where they are no envelope.
#[must_use]
pub fn type_beside(headers: &Headers) -> Option<Cow<'_, str>> {
    if let Some(own) = headers.last_text("weirgate-event-type") {
        return Some(Cow::Borrowed(own));
    }
    let [_, event_type, ..] = cloud_event::binary(headers)?;
    event_type
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
mod round_trips;
#[cfg(test)]
mod tests;
