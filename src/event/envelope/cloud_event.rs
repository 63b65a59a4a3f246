//! CloudEvents 1.0: the JSON format and HTTP's binary mode, mapped to the envelope.
//!
//! `id` → eventId (a UUIDv5 of source and id where it is no UUID; the id stays in `ce_id`), `type` → eventType,
//! `time` → timestamp, `correlationid`, `causationid`, `eventversion` and `source` by their names, `partitionkey` → the
//! record's key; all others become record headers `ce_{name}`. Where the topic does not store CloudEvents,
//! `ce_specversion` is not written: with it, readers would take the record for the binary mode of the Kafka binding,
//! which it is not.

mod attribute;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use self::attribute::{check_name, invalid, is_media_type, is_uri, plain, text_of};
pub(in crate::event) use self::attribute::{check_text, is_json, is_uri_reference};
use super::member::{event_version, is_uuid};
use super::{Draft, Error};
use crate::event::json::{Node, Value};
use crate::event::{Catalogue, EventId, EventType, HeaderName, Timestamp};

/// The data of an event that has none.
const NO_DATA: &Value<'static> = &Value::Null;

/// What a draft keeps of a CloudEvent beside its members.
#[derive(Debug, Clone)]
pub(super) struct Received<'a> {
    /// The event in the JSON format as received, where it came so.
    pub(super) json: Option<&'a [u8]>,
    pub(super) has_data: bool,
    pub(super) content_type: Option<Cow<'a, str>>,
}

impl Received<'_> {
    /// Whether those who read the record in binary mode would see this event.
    pub(super) fn check_binary(&self) -> Result<(), Error> {
        if !self.has_data {
            let problem =
                "is required where the topic stores CloudEvents in binary mode: no value means deletion";
            return Err(invalid("data", problem));
        }
        if self.content_type.as_deref().is_some_and(is_structured) {
            let problem = "must not be a CloudEvent itself where the topic stores CloudEvents in binary mode";
            return Err(invalid("datacontenttype", problem));
        }
        Ok(())
    }
}

/// Whether a media type says that a CloudEvent lies in the value, rather than its data alone.
pub(in crate::event) fn is_structured(media_type: &str) -> bool {
    const STRUCTURED: &[u8] = b"application/cloudevents";
    let beginning = media_type.as_bytes().get(..STRUCTURED.len());
    beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(STRUCTURED))
}

/// The event's id for a CloudEvent whose own id is no UUID; the same id of the same source gives the same again.
pub(in crate::event) fn event_id_of(id: &str, source: &str) -> Option<EventId> {
    if is_uuid(id) {
        return None;
    }
    let of_source = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, source.as_bytes());
    Some(EventId::from_uuid(uuid::Uuid::new_v5(&of_source, id.as_bytes())))
}

/// An event's attributes by name, checked one by one.
#[derive(Default)]
struct Attributes<'a> {
    specversion: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    event_type: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    content_type: Option<Cow<'a, str>>,
    correlation_id: Option<Cow<'a, str>>,
    causation_id: Option<Cow<'a, str>>,
    event_version: Option<Cow<'a, str>>,
    partition_key: Option<Cow<'a, str>>,
    extensions: Vec<(HeaderName, Bytes)>,
}

impl<'a> Draft<'a> {
    /// Reads a CloudEvent 1.0 in the JSON format (structured mode, or an element of a batch). An event without data has
    /// the data `null`.
    ///
    /// # Errors
    /// [`Error::CloudEvent`] and [`Error::UnsupportedData`].
    pub fn from_cloud_event(event: Node<'a>, catalogue: &Catalogue) -> Result<Self, Error> {
        if event.value().as_object().is_none() {
            return Err(Error::CloudEvent {
                attribute: String::new(),
                problem: "the event must be a JSON object".to_owned(),
            });
        }
        let mut attributes = Attributes::default();
        let (mut data, mut encoded) = (None, None);
        for (name, member) in event.members() {
            match name {
                "data" => data = Some(member),
                "data_base64" => encoded = Some(base64_of(member.value())?),
                _ if member.value().is_null() => check_name(name)?,
                _ => attributes.set(name, text_of(name, member.value())?)?,
            }
        }
        if data.is_some() && encoded.is_some() {
            return Err(invalid("data_base64", "must not be given beside data"));
        }
        let draft = attributes.into_draft(data, Some(event.bytes()), catalogue)?;
        match encoded {
            Some(()) => Err(Error::UnsupportedData { problem: "data_base64 is not supported".to_owned() }),
            None => Ok(draft),
        }
    }

    /// Reads a CloudEvent 1.0 in binary mode: attributes without their prefix, percent-decoded, names in lower case;
    /// `data` is `None` for an empty body, `content_type` for plain JSON.
    ///
    /// # Errors
    /// [`Error::CloudEvent`] and [`Error::UnsupportedData`].
    pub fn from_cloud_event_binary(
        attributes: &'a [(String, String)],
        content_type: Option<&'a str>,
        data: Option<Node<'a>>,
        catalogue: &Catalogue,
    ) -> Result<Self, Error> {
        let mut found = Attributes::default();
        for (at, (name, value)) in attributes.iter().enumerate() {
            if attributes.iter().take(at).any(|(before, _)| before == name) {
                return Err(invalid(name, "is given twice"));
            }
            if matches!(name.as_str(), "data" | "datacontenttype") {
                return Err(invalid(name, "is no attribute of binary mode"));
            }
            found.set(name, Cow::Borrowed(value))?;
        }
        if let (Some(content_type), Some(_)) = (content_type, data) {
            found.set("datacontenttype", Cow::Borrowed(content_type))?;
        }
        found.into_draft(data, None, catalogue)
    }
}

impl<'a> Attributes<'a> {
    fn set(&mut self, name: &str, text: Cow<'a, str>) -> Result<(), Error> {
        check_name(name)?;
        check_text(name, &text)?;
        match name {
            "specversion" => self.specversion = Some(text),
            "id" => self.id = Some(text),
            "source" => self.source = Some(plain(name, text, 200)?),
            "type" => self.event_type = Some(text),
            "time" => self.time = Some(text),
            "correlationid" => self.correlation_id = Some(plain(name, text, 128)?),
            "causationid" => self.causation_id = Some(plain(name, text, 128)?),
            "eventversion" => {
                event_version(&text)
                    .map_err(|_| invalid(name, "must be a version such as 1, 1.2 or 1.2.0"))?;
                self.event_version = Some(text);
            }
            "partitionkey" => self.partition_key = Some(plain(name, text, 1_024)?),
            "datacontenttype" => {
                self.extend(name, &text);
                self.content_type = Some(text);
            }
            "dataschema" if !is_uri(&text) => return Err(invalid(name, "must be an absolute URI")),
            "subject" if text.is_empty() => return Err(invalid(name, "must not be empty")),
            _ => self.extend(name, &text),
        }
        Ok(())
    }

    fn extend(&mut self, name: &str, text: &str) {
        let header = format!("ce_{name}");
        self.extensions.push((header.into(), Bytes::copy_from_slice(text.as_bytes())));
    }

    fn into_draft(
        mut self,
        data: Option<Node<'a>>,
        json: Option<&'a [u8]>,
        catalogue: &Catalogue,
    ) -> Result<Draft<'a>, Error> {
        match self.specversion.as_deref() {
            Some("1.0") => {}
            Some(_) => return Err(invalid("specversion", "must be 1.0")),
            None => return Err(invalid("specversion", "is required")),
        }
        let id = required("id", self.id.take())?;
        let source = required("source", self.source.take())?;
        if !is_uri_reference(&source) {
            return Err(invalid("source", "must be a URI reference"));
        }
        let event_type = event_type(&required("type", self.event_type.take())?, catalogue)?;
        let time =
            |text: &Cow<'_, str>| Timestamp::parse(text).map_err(|error| invalid("time", error.to_string()));
        let timestamp = self.time.as_ref().map(time).transpose()?;
        let event_id = self.event_id(&id, &source)?;
        self.check_content_type()?;
        Ok(Draft {
            event_id: Some(event_id),
            event_type,
            event_version: self.event_version,
            timestamp,
            source: Some(source),
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            data: data.map_or(NO_DATA, |data| data.value()),
            data_bytes: data.map_or(b"null", |data| data.bytes()),
            raw: None,
            extensions: self.extensions,
            key: self.partition_key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            timestamp_text: self.time,
            cloud_event: Some(Received { json, has_data: data.is_some(), content_type: self.content_type }),
        })
    }

    fn event_id(&mut self, id: &str, source: &str) -> Result<EventId, Error> {
        let Some(event_id) = event_id_of(id, source) else {
            return EventId::parse(id).map_err(|error| invalid("id", error.to_string()));
        };
        self.extend("id", id);
        Ok(event_id)
    }

    fn check_content_type(&self) -> Result<(), Error> {
        match self.content_type.as_deref() {
            Some(given) if !is_media_type(given) => {
                Err(invalid("datacontenttype", "must be a media type such as application/json"))
            }
            Some(given) if !is_json(given) => Err(Error::UnsupportedData {
                problem: "datacontenttype must be application/json or end in +json".to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

fn required<'a>(name: &str, text: Option<Cow<'a, str>>) -> Result<Cow<'a, str>, Error> {
    let text = text.ok_or_else(|| invalid(name, "is required"))?;
    if text.is_empty() { Err(invalid(name, "must not be empty")) } else { Ok(text) }
}

fn event_type(text: &str, catalogue: &Catalogue) -> Result<EventType, Error> {
    super::member::event_type("type", text, catalogue).map_err(|error| match error {
        Error::Invalid { problem, .. } => invalid("type", problem),
        Error::VersionMismatch { .. } | Error::CloudEvent { .. } | Error::UnsupportedData { .. } => error,
    })
}

fn base64_of(value: &Value<'_>) -> Result<(), Error> {
    let text = value.as_str().ok_or_else(|| invalid("data_base64", "must be a string"))?;
    STANDARD.decode(text).map(|_| ()).map_err(|_| invalid("data_base64", "must be base64 with padding"))
}
