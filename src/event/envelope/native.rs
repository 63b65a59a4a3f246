//! The native envelope as received.

use std::borrow::Cow;

use super::member::{event_id, event_type, event_version, invalid, plain, text, timestamp};
use super::{Draft, Error};
use crate::event::Catalogue;
use crate::event::json::Node;

/// The members as found, before they are checked against each other.
#[derive(Default)]
struct Found<'a> {
    event_id: Option<&'a str>,
    event_type: Option<&'a str>,
    event_version: Option<&'a str>,
    timestamp: Option<&'a str>,
    source: Option<Cow<'a, str>>,
    correlation_id: Option<Cow<'a, str>>,
    causation_id: Option<Cow<'a, str>>,
    data: Option<Node<'a>>,
}

impl<'a> Draft<'a> {
    /// Reads a native envelope. A type outside the native grammar is taken where the catalogue binds it.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn from_native(envelope: Node<'a>, catalogue: &Catalogue) -> Result<Self, Error> {
        let found = find(envelope)?;
        let type_text = found.event_type.ok_or_else(|| invalid("eventType", "is required"))?;
        let event_type = event_type("eventType", type_text, catalogue)?;
        let data = found.data.ok_or_else(|| invalid("data", "is required"))?;
        if let Some(version) = found.event_version {
            event_version(version)?;
        }
        let id = |given| event_id("eventId", given, &event_type, catalogue);
        Ok(Self {
            event_id: found.event_id.map(id).transpose()?,
            event_version: found.event_version.map(Cow::Borrowed),
            timestamp: found.timestamp.map(|given| timestamp("timestamp", given)).transpose()?,
            source: found.source,
            correlation_id: found.correlation_id,
            causation_id: found.causation_id,
            data: data.value(),
            data_bytes: data.bytes(),
            raw: Some(envelope.bytes()),
            extensions: Vec::new(),
            key: None,
            timestamp_text: found.timestamp.map(Cow::Borrowed),
            cloud_event: None,
            event_type,
        })
    }
}

fn find(envelope: Node<'_>) -> Result<Found<'_>, Error> {
    if envelope.value().as_object().is_none() {
        let problem = "the event must be a JSON object".to_owned();
        return Err(Error::Invalid { pointer: String::new(), problem });
    }
    let mut found = Found::default();
    for (name, member) in envelope.members() {
        let given = || text(name, member.value());
        match name {
            "eventId" => found.event_id = Some(given()?),
            "eventType" => found.event_type = Some(given()?),
            "eventVersion" => found.event_version = Some(given()?),
            "timestamp" => found.timestamp = Some(given()?),
            "source" => found.source = Some(plain(name, given()?, 1, 200)?),
            "correlationId" => found.correlation_id = Some(plain(name, given()?, 0, 128)?),
            "causationId" => found.causation_id = Some(plain(name, given()?, 0, 128)?),
            "data" => found.data = Some(member),
            _ => return Err(invalid(name, "is no member of the envelope; put what is yours into data")),
        }
    }
    Ok(found)
}
