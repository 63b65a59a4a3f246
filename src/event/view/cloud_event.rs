//! A record that is a CloudEvent by the Kafka binding, whoever wrote it: its attributes as members of the envelope.
//!
//! `id` → eventId (as on the way in: a UUIDv5 of source and id where it is no UUID), `type` → eventType, `eventversion` →
//! eventVersion (else by the type), `time` → timestamp, `source`, `correlationid`, `causationid`. `weirgate-*` headers go
//! first: they say what an attribute cannot.

use std::borrow::Cow;

use super::Envelope;
use crate::event::envelope::{HEADERS, default_version, event_id_of, is_structured};
use crate::event::json::{Members, read_text};
use crate::event::{EventType, Headers, Storage};

/// The attributes of the envelope's members, in their order.
const ATTRIBUTES: [&str; 7] =
    ["id", "type", "eventversion", "time", "source", "correlationid", "causationid"];

/// A CloudEvent found in a value.
pub(super) struct Structured<'a> {
    pub(super) envelope: Envelope<'a>,
    /// The attributes by the names of their headers in binary mode.
    pub(super) attributes: Vec<(String, Cow<'a, str>)>,
    pub(super) data: Option<&'a str>,
    /// Whether the data is there in base64, and so not as JSON.
    pub(super) is_encoded: bool,
}

/// Whether the value may hold a whole CloudEvent. Some writers leave the media type out, or give the data's.
pub(super) fn may_be_structured(headers: &Headers, storage: Storage) -> bool {
    let is_plain = || storage == Storage::CloudEventsStructured && headers.last("ce_specversion").is_none();
    headers.last_text("content-type").is_some_and(is_structured) || is_plain()
}

/// Reads a value that holds a whole CloudEvent in the JSON format.
pub(super) fn structured<'a>(value: &'a str, headers: &'a Headers) -> Option<Structured<'a>> {
    let (mut attributes, mut data, mut is_encoded) = (Vec::new(), None, false);
    for (name, json) in Members::parse(value)?.into_iter() {
        match &*name {
            "data" => data = Some(json),
            "data_base64" => is_encoded = json != "null",
            _ if json == "null" => {}
            _ => attributes.push((format!("ce_{name}"), attribute_text(json)?)),
        }
    }
    let find = |wanted: &str| {
        let mut named = attributes.iter().map(|(name, text)| (name.strip_prefix("ce_"), text));
        named.find(|(name, _)| *name == Some(wanted)).map(|(_, text)| text.clone())
    };
    let envelope = envelope(find, headers)?;
    Some(Structured { envelope, attributes, data, is_encoded })
}

/// The envelope of a record in binary mode.
pub(super) fn binary(headers: &Headers) -> Option<Envelope<'_>> {
    headers.last("ce_specversion")?;
    envelope(|name| headers.last_text(&format!("ce_{name}")).map(Cow::Borrowed), headers)
}

/// Whether the data of a record in binary mode is JSON, as far as the record says.
pub(super) fn has_json(headers: &Headers) -> bool {
    headers.last_text("content-type").is_none_or(crate::event::envelope::is_json)
}

/// Whether a member of the envelope says all that the header of an attribute does.
pub(super) fn is_told(header: &str, value: Option<&str>, envelope: &Envelope<'_>) -> bool {
    let Some(name) = header.strip_prefix("ce_") else {
        return HEADERS.iter().any(|(_, own)| *own == header);
    };
    let mut members = ATTRIBUTES.iter().zip(envelope);
    name == "specversion"
        || members.any(|(attribute, member)| *attribute == name && member.as_deref() == value)
}

/// What the attributes say, where they are those of a CloudEvent 1.0.
fn envelope<'a>(
    attribute: impl Fn(&str) -> Option<Cow<'a, str>>,
    headers: &'a Headers,
) -> Option<Envelope<'a>> {
    let required = |name: &str| attribute(name).filter(|text| !text.is_empty());
    if !required("specversion")?.starts_with("1.") {
        return None;
    }
    let (id, source, event_type) = (required("id")?, required("source")?, required("type")?);
    let version = attribute("eventversion").or_else(|| {
        let event_type = EventType::parse(&event_type).ok()?;
        Some(Cow::Owned(default_version(&event_type)))
    });
    let event_id = event_id_of(&id, &source).map_or(id, |derived| Cow::Owned(derived.as_str().to_owned()));
    let told = [
        Some(event_id),
        Some(event_type),
        version,
        attribute("time"),
        Some(source),
        attribute("correlationid"),
        attribute("causationid"),
    ];
    let mut own = HEADERS.iter().map(|(_, header)| headers.last_text(header).map(Cow::Borrowed));
    Some(told.map(|told| own.next().flatten().or(told)))
}

/// Strings, integers and booleans are attributes; nothing else is.
fn attribute_text(json: &str) -> Option<Cow<'_, str>> {
    if json.starts_with(['{', '[']) { None } else { read_text(json).or(Some(Cow::Borrowed(json))) }
}
