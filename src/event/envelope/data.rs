//! Data posted to a topic as it is.

use std::borrow::Cow;

use super::member::{event_id, event_type, invalid, plain, timestamp};
use super::{DataMembers, Draft, Error};
use crate::event::json::Node;
use crate::event::{Catalogue, Topic};

impl<'a> Draft<'a> {
    /// Makes an event of data alone, posted to a topic. Without a type given, it is the topic's only event type, else
    /// one named as the topic.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn from_data(
        topic: &Topic,
        members: &'a DataMembers,
        data: Node<'a>,
        catalogue: &Catalogue,
    ) -> Result<Self, Error> {
        let event_type = match &members.event_type {
            Some(given) => event_type("eventType", given, catalogue)?,
            None => catalogue.default_type(topic).map_err(|error| invalid("eventType", error.to_string()))?,
        };
        let id = |given: &String| event_id("eventId", given, &event_type, catalogue);
        let text = |name, given: &'a Option<String>, min, max| {
            given.as_deref().map(|given| plain(name, given, min, max)).transpose()
        };
        let time = members.timestamp.as_deref();
        Ok(Self {
            event_id: members.event_id.as_ref().map(id).transpose()?,
            event_version: None,
            timestamp: time.map(|given| timestamp("timestamp", given)).transpose()?,
            source: text("source", &members.source, 1, 200)?,
            correlation_id: text("correlationId", &members.correlation_id, 0, 128)?,
            causation_id: None,
            data: data.value(),
            data_bytes: data.bytes(),
            raw: None,
            extensions: Vec::new(),
            key: None,
            timestamp_text: time.map(Cow::Borrowed),
            cloud_event: None,
            event_type,
        })
    }
}
