//! The envelope: from what was received to what is stored.
//!
//! ```text
//! native, CloudEvent, data ── Draft (given members checked) ── + Fill (absent members) ── seal ── record value and headers
//! ```

mod binding;
mod cloud_event;
mod data;
mod member;
mod native;
mod seal;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use self::cloud_event::Received;
pub(super) use self::cloud_event::{event_id_of, is_json, is_structured};
pub(super) use self::seal::HEADERS;
use super::json::{Pointer, Value};
use super::{EventId, EventType, HeaderName, Storage, Timestamp};

/// Why something received is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A member of the envelope is missing, unknown or not as it must be.
    #[error("{pointer} {problem}")]
    Invalid {
        /// The member, as a pointer into the envelope; empty for the envelope itself.
        pointer: String,
        /// What is wrong, without the value.
        problem: String,
    },
    /// The major of `eventVersion` is not the N of the event type.
    #[error("eventVersion {event_version} does not agree with the event type {event_type}")]
    VersionMismatch {
        /// The type.
        event_type: EventType,
        /// The version given.
        event_version: String,
    },
    /// An attribute of a CloudEvent is missing or not as it must be.
    #[error("attribute {attribute:?} {problem}")]
    CloudEvent {
        /// The attribute's name.
        attribute: String,
        /// What is wrong, without the value.
        problem: String,
    },
    /// A CloudEvent whose data is not JSON.
    #[error("{problem}")]
    UnsupportedData {
        /// What is not supported.
        problem: String,
    },
}

/// An event as received: members given are found and checked, absent ones are `None` until [`Fill`].
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// The event's id: a UUID, unless the catalogue's rule takes the id from `/eventId`.
    pub event_id: Option<EventId>,
    /// What happened.
    pub event_type: EventType,
    /// The version as given; [`Draft::check_version`] says whether it agrees with the type.
    pub event_version: Option<Cow<'a, str>>,
    /// When it happened.
    pub timestamp: Option<Timestamp>,
    /// Who says so, 1 to 200 characters.
    pub source: Option<Cow<'a, str>>,
    /// The correlation id, at most 128 characters.
    pub correlation_id: Option<Cow<'a, str>>,
    /// The id of the causing event, at most 128 characters.
    pub causation_id: Option<Cow<'a, str>>,
    /// The data.
    pub data: &'a Value<'a>,
    /// The bytes of the data as received.
    pub data_bytes: &'a [u8],
    /// The envelope's bytes as received, where a native envelope was received.
    pub raw: Option<&'a [u8]>,
    /// Record headers of CloudEvents attributes without a place in the envelope (`ce_{name}`).
    pub extensions: Vec<(HeaderName, Bytes)>,
    /// The record key a CloudEvent asks for (`partitionkey`).
    pub key: Option<Bytes>,
    timestamp_text: Option<Cow<'a, str>>,
    /// What only a CloudEvent has, where one was received.
    cloud_event: Option<Received<'a>>,
}

/// Envelope members that the sender of raw data gave beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataMembers {
    /// `Weirgate-Event-Id`.
    pub event_id: Option<String>,
    /// `Weirgate-Event-Type`; by default the topic's only event type, else the topic's name.
    pub event_type: Option<String>,
    /// `Weirgate-Source`.
    pub source: Option<String>,
    /// `Weirgate-Correlation-Id`.
    pub correlation_id: Option<String>,
    /// `Weirgate-Timestamp`.
    pub timestamp: Option<String>,
}

/// What stands in for members that were not given; a member given is never replaced.
/// An absent `eventVersion` becomes `N.0.0` (`1.0.0` for a type without N) by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fill {
    /// The id.
    pub event_id: EventId,
    /// The time.
    pub timestamp: Timestamp,
    /// The source.
    pub source: Arc<str>,
    /// The correlation id; `None` leaves it absent.
    pub correlation_id: Option<Arc<str>>,
}

/// Data in the form in which it is stored, where that is not the one it was received in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The record's value.
    pub value: Bytes,
    /// Its media type, where that is not the one received.
    pub content_type: Option<&'static str>,
}

/// What goes to the log: the value, and the headers that belong to the envelope and its extensions.
pub type Sealed = (Bytes, Vec<(HeaderName, Option<Bytes>)>);

impl Draft<'_> {
    /// Whether the major of a version given is the N of the type: a check of its own, since who may not publish the
    /// type at all is told that first.
    ///
    /// # Errors
    /// [`Error::VersionMismatch`].
    pub fn check_version(&self) -> Result<(), Error> {
        let given = self.event_version.as_deref();
        given.map_or(Ok(()), |given| member::version_of_type(given, &self.event_type))
    }

    /// Whether the event can be stored in this way.
    ///
    /// # Errors
    /// [`Error::CloudEvent`] for one that readers of CloudEvents in binary mode would take for something else.
    pub fn check_storage(&self, storage: Storage) -> Result<(), Error> {
        match (storage, &self.cloud_event) {
            (Storage::CloudEventsBinary, Some(received)) => received.check_binary(),
            (Storage::CloudEventsBinary, None)
            | (Storage::Native | Storage::Headers | Storage::CloudEventsStructured, _) => Ok(()),
        }
    }

    /// The version as given, else `N.0.0` by the type, `1.0.0` for a type without N.
    #[must_use]
    pub fn version(&self) -> Cow<'_, str> {
        let given = self.event_version.as_deref();
        given.map_or_else(|| Cow::Owned(default_version(&self.event_type)), Cow::Borrowed)
    }

    /// The value a pointer of a key rule leads to (`/eventType`, `/data/…`); absent members are not there.
    #[must_use]
    pub fn view_at(&self, pointer: &Pointer) -> Option<Cow<'_, Value<'_>>> {
        let mut parts = pointer.parts();
        let name = parts.next()?;
        if name == "data" {
            return self.data.follow(parts).map(Cow::Borrowed);
        }
        let text: &str = match name {
            "eventId" => self.event_id.as_ref()?.as_str(),
            "eventType" => self.event_type.as_str(),
            "eventVersion" => return Some(text_value(self.version())).filter(|_| parts.next().is_none()),
            "timestamp" => self.timestamp_text.as_deref()?,
            "source" => self.source.as_deref()?,
            "correlationId" => self.correlation_id.as_deref()?,
            "causationId" => self.causation_id.as_deref()?,
            _ => return None,
        };
        parts.next().is_none().then(|| text_value(Cow::Borrowed(text)))
    }

    /// As [`Draft::view_at`], with absent members as they will be filled in.
    #[must_use]
    pub fn view_filled_at<'s>(&'s self, fill: &'s Fill, pointer: &Pointer) -> Option<Cow<'s, Value<'s>>> {
        self.view_at(pointer).or_else(|| {
            let mut parts = pointer.parts();
            let (name, rest) = (parts.next()?, parts.next());
            let text = match name {
                _ if rest.is_some() => return None,
                "eventId" => Cow::Borrowed(fill.event_id.as_str()),
                "timestamp" => Cow::Owned(fill.timestamp.to_string()),
                "source" => Cow::Borrowed(&*fill.source),
                "correlationId" => Cow::Borrowed(&**fill.correlation_id.as_ref()?),
                _ => return None,
            };
            Some(text_value(text))
        })
    }
}

/// The version of an event that tells none: `N.0.0` by its type, `1.0.0` for a type without N.
pub(super) fn default_version(event_type: &EventType) -> String {
    format!("{}.0.0", event_type.major().unwrap_or(1))
}

fn text_value(text: Cow<'_, str>) -> Cow<'_, Value<'_>> {
    Cow::Owned(Value::String(text))
}

#[cfg(test)]
mod tests;
