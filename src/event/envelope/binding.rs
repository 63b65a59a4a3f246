//! The Kafka binding of CloudEvents 1.0: a draft as a record that is a CloudEvent to whoever reads the topic.
//!
//! ```text
//! binary:     attributes ─► headers ce_*, in UTF-8     data ─► value           datacontenttype ─► content-type
//! structured: {attributes, data} ─► value              content-type: application/cloudevents+json
//! ```
//!
//! A CloudEvent keeps its attributes: none is added, none changed. What is filled in for it, and what an attribute
//! cannot say of a native event, are `weirgate-*` headers, which are no attributes.

use std::borrow::Cow;

use bytes::Bytes;

use super::cloud_event::{check_text, is_uri_reference};
use super::member::is_uuid;
use super::seal::{HEADERS, Member};
use super::{Draft, Sealed, Stored};
use crate::event::HeaderName;
use crate::event::json::write_text;

/// The header that tells the data's media type in binary mode, and in structured mode that there is an event.
const CONTENT_TYPE: &str = "content-type";
const STRUCTURED: &str = "application/cloudevents+json; charset=UTF-8";
const DATA: &str = "application/json";
/// Extensions hold what has no place in the envelope under these names.
const PREFIX: &str = "ce_";
const ID: &str = "ce_id";
const DATA_CONTENT_TYPE: &str = "ce_datacontenttype";

/// The attributes of the envelope's members, in their order.
const ATTRIBUTES: [&str; 7] =
    ["id", "type", "eventversion", "time", "source", "correlationid", "causationid"];

type Headers = Vec<(HeaderName, Option<Bytes>)>;

/// An event in the words of CloudEvents.
struct Told<'s> {
    attributes: Vec<(&'s str, Cow<'s, str>)>,
    /// What the attributes do not say.
    headers: Headers,
}

/// Where a member of the envelope goes.
enum Place<'s> {
    /// Into the attribute.
    Attribute(Cow<'s, str>),
    /// Into the header, since it was not in the CloudEvent or cannot be an attribute.
    Header,
    /// Into both: the attribute says it in other words.
    Both(Cow<'s, str>),
    /// Nowhere: readers derive it.
    Nowhere,
}

impl Draft<'_> {
    /// The record of the event in binary mode; `data` stands for what was received of it.
    pub(super) fn cloud_event_in_headers(&self, members: &[Member<'_>; 7], data: Option<Stored>) -> Sealed {
        let Told { attributes, headers } = self.told(members);
        let named = attributes.iter().map(|(name, text)| header(&format!("{PREFIX}{name}"), text));
        let mut all: Headers = [header("ce_specversion", "1.0")].into_iter().chain(named).collect();
        let stored_type = data.as_ref().and_then(|data| data.content_type);
        all.push(header(CONTENT_TYPE, stored_type.or_else(|| self.content_type()).unwrap_or(DATA)));
        all.extend(headers);
        (data.map_or_else(|| Bytes::copy_from_slice(self.data_bytes), |data| data.value), all)
    }

    /// The record of the event in structured mode: as received, where it was received so.
    pub(super) fn cloud_event_in_value(&self, members: &[Member<'_>; 7]) -> Sealed {
        let Told { attributes, headers } = self.told(members);
        let received = self.cloud_event.as_ref().and_then(|received| received.json);
        let value = received.map_or_else(|| self.written(&attributes), Bytes::copy_from_slice);
        (value, [header(CONTENT_TYPE, STRUCTURED)].into_iter().chain(headers).collect())
    }

    fn written(&self, attributes: &[(&str, Cow<'_, str>)]) -> Bytes {
        let has_data = self.cloud_event.as_ref().is_none_or(|received| received.has_data);
        let content_type = self.content_type().or_else(|| has_data.then_some(DATA));
        let mut value = Vec::with_capacity(self.data_bytes.len() + 320);
        value.extend_from_slice(b"{\"specversion\":\"1.0\"");
        let given = attributes.iter().map(|(name, text)| (*name, &**text));
        for (name, text) in given.chain(content_type.map(|text| ("datacontenttype", text))) {
            value.push(b',');
            write_text(&mut value, name);
            value.push(b':');
            write_text(&mut value, text);
        }
        if has_data {
            value.extend_from_slice(b",\"data\":");
            value.extend_from_slice(self.data_bytes);
        }
        value.push(b'}');
        Bytes::from(value)
    }

    fn told<'s>(&'s self, members: &'s [Member<'_>; 7]) -> Told<'s> {
        let mut told = Told { attributes: Vec::with_capacity(12), headers: Vec::new() };
        for ((member, attribute), (_, own)) in members.iter().zip(ATTRIBUTES).zip(HEADERS) {
            let Some((text, is_given)) = member else { continue };
            match self.place(attribute, text, *is_given) {
                Place::Attribute(said) => told.attributes.push((attribute, said)),
                Place::Header => told.headers.push(header(own, text)),
                Place::Both(said) => {
                    told.attributes.push((attribute, said));
                    told.headers.push(header(own, text));
                }
                Place::Nowhere => {}
            }
        }
        let key = self.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        told.attributes.extend(key.map(|key| ("partitionkey", Cow::Borrowed(key))));
        for (name, value) in &self.extensions {
            if let (false, Some(name), Ok(text)) = (
                matches!(&**name, ID | DATA_CONTENT_TYPE),
                name.strip_prefix(PREFIX),
                std::str::from_utf8(value),
            ) {
                told.attributes.push((name, Cow::Borrowed(text)));
            }
        }
        told
    }

    fn place<'s>(&'s self, attribute: &str, text: &'s str, is_given: bool) -> Place<'s> {
        let said = || Place::Attribute(Cow::Borrowed(text));
        let is_cloud_event = self.cloud_event.is_some();
        match attribute {
            "id" if is_cloud_event => Place::Attribute(Cow::Borrowed(self.own_id().unwrap_or(text))),
            "id" if !is_uuid(text) => Place::Both(Cow::Borrowed(text)),
            "source" if !is_uri_reference(text) => Place::Both(Cow::Owned(uri_reference(text))),
            "eventversion" if !is_given => Place::Nowhere,
            "time" if is_cloud_event && !is_given => Place::Header,
            "correlationid" | "causationid"
                if (is_cloud_event && !is_given)
                    || text.is_empty()
                    || check_text(attribute, text).is_err() =>
            {
                Place::Header
            }
            _ => said(),
        }
    }

    /// The id of a CloudEvent that is no UUID.
    fn own_id(&self) -> Option<&str> {
        let (_, id) = self.extensions.iter().find(|(name, _)| **name == *ID)?;
        std::str::from_utf8(id).ok()
    }

    fn content_type(&self) -> Option<&str> {
        self.cloud_event.as_ref().and_then(|received| received.content_type.as_deref())
    }
}

fn header(name: &str, text: &str) -> (HeaderName, Option<Bytes>) {
    (name.into(), Some(Bytes::copy_from_slice(text.as_bytes())))
}

/// A text as a relative reference: all but what a path's segment takes as it is in percent-encoding.
fn uri_reference(text: &str) -> String {
    let mut reference = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=@/".contains(&byte) {
            reference.push(char::from(byte));
        } else {
            reference.push_str(&format!("%{byte:02X}"));
        }
    }
    reference
}
