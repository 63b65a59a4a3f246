//! The envelope: from what was received to what is stored.
//!
//! ```text
//! native, CloudEvent, data ── Draft (given members checked) ── + Fill (absent members) ── seal ── record value and headers
//! ```

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::json::{Node, Pointer, Value};
use super::{Catalogue, EventId, EventType, HeaderName, Storage, Timestamp, Topic};

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
    /// The version as given; its major agrees with the type.
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

/// What goes to the log: the value, and the headers that belong to the envelope and its extensions.
pub type Sealed = (Bytes, Vec<(HeaderName, Option<Bytes>)>);

impl<'a> Draft<'a> {
    /// Reads a native envelope. A type outside the native grammar is taken where the catalogue binds it.
    ///
    /// # Errors
    /// [`Error::Invalid`] and [`Error::VersionMismatch`].
    pub fn from_native(envelope: Node<'a>, catalogue: &Catalogue) -> Result<Self, Error> {
        let _ = (envelope, catalogue);
        unimplemented!()
    }

    /// Reads a CloudEvent 1.0 in the JSON format (structured mode, or an element of a batch).
    ///
    /// # Errors
    /// [`Error::CloudEvent`] and [`Error::UnsupportedData`].
    pub fn from_cloud_event(event: Node<'a>, catalogue: &Catalogue) -> Result<Self, Error> {
        let _ = (event, catalogue);
        unimplemented!()
    }

    /// Reads a CloudEvent 1.0 in binary mode: attributes without their prefix, percent-decoded, names in lower case;
    /// `data` is `None` for an empty body.
    ///
    /// # Errors
    /// [`Error::CloudEvent`] and [`Error::UnsupportedData`].
    pub fn from_cloud_event_binary(
        attributes: &'a [(String, String)],
        data: Option<Node<'a>>,
        catalogue: &Catalogue,
    ) -> Result<Self, Error> {
        let _ = (attributes, data, catalogue);
        unimplemented!()
    }

    /// Makes an event of data alone, posted to a topic.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn from_data(
        topic: &Topic,
        members: &'a DataMembers,
        data: Node<'a>,
        catalogue: &Catalogue,
    ) -> Result<Self, Error> {
        let _ = (topic, members, data, catalogue);
        unimplemented!()
    }

    /// The value a pointer of a key rule leads to (`/eventType`, `/data/…`); absent members are not there.
    #[must_use]
    pub fn view_at(&self, pointer: &Pointer) -> Option<Cow<'_, Value<'_>>> {
        let _ = (pointer, &self.timestamp_text);
        unimplemented!()
    }

    /// As [`Draft::view_at`], with absent members as they will be filled in.
    #[must_use]
    pub fn view_filled_at<'s>(&'s self, fill: &'s Fill, pointer: &Pointer) -> Option<Cow<'s, Value<'s>>> {
        let _ = (pointer, fill);
        unimplemented!()
    }

    /// The stored form: bytes as received with absent members put in, nothing given changed.
    #[must_use]
    pub fn seal(&self, fill: &Fill, storage: Storage) -> Sealed {
        let _ = (fill, storage);
        unimplemented!()
    }
}
