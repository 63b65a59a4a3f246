//! From a draft to the bytes that are stored.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::{Draft, Fill, Sealed, Stored};
use crate::event::{HeaderName, Storage};

/// Header names of the envelope's members, in the order of [`Draft::envelope`].
pub(in crate::event) const HEADERS: [(&str, &str); 7] = [
    ("eventId", "weirgate-event-id"),
    ("eventType", "weirgate-event-type"),
    ("eventVersion", "weirgate-event-version"),
    ("timestamp", "weirgate-timestamp"),
    ("source", "weirgate-source"),
    ("correlationId", "weirgate-correlation-id"),
    ("causationId", "weirgate-causation-id"),
];

/// A member's text, and whether it was given rather than filled in.
pub(super) type Member<'s> = Option<(Cow<'s, str>, bool)>;

impl Draft<'_> {
    /// The stored form: bytes as received with absent members put in, nothing given changed. Where the topic stores the
    /// data alone, `data` stands for what was received of it.
    #[must_use]
    pub fn seal(&self, fill: &Fill, storage: Storage, data: Option<Stored>) -> Sealed {
        let members = self.envelope(fill);
        let extensions =
            || self.extensions.iter().map(|(name, value)| (Arc::clone(name), Some(value.clone())));
        match storage {
            Storage::Native => (self.sealed_value(&members), extensions().collect()),
            Storage::Headers => {
                let headers = members.iter().zip(HEADERS).filter_map(|(member, (_, header))| {
                    let (text, _) = member.as_ref()?;
                    Some((HeaderName::from(header), Some(Bytes::copy_from_slice(text.as_bytes()))))
                });
                let value = data.map_or_else(|| Bytes::copy_from_slice(self.data_bytes), |data| data.value);
                (value, headers.chain(extensions()).collect())
            }
            Storage::CloudEventsBinary => self.cloud_event_in_headers(&members, data),
            Storage::CloudEventsStructured => self.cloud_event_in_value(&members),
        }
    }

    fn envelope<'s>(&'s self, fill: &'s Fill) -> [Member<'s>; 7] {
        let given = |text: &'s str| Some((Cow::Borrowed(text), true));
        let filled = |text: Cow<'s, str>| Some((text, false));
        [
            match &self.event_id {
                Some(id) => given(id.as_str()),
                None => filled(Cow::Borrowed(fill.event_id.as_str())),
            },
            given(self.event_type.as_str()),
            match &self.event_version {
                Some(version) => given(version),
                None => filled(self.version()),
            },
            match &self.timestamp_text {
                Some(time) => given(time),
                None => filled(Cow::Owned(fill.timestamp.to_string())),
            },
            match &self.source {
                Some(source) => given(source),
                None => filled(Cow::Borrowed(&fill.source)),
            },
            match (&self.correlation_id, &fill.correlation_id) {
                (Some(id), _) => given(id),
                (None, Some(id)) => filled(Cow::Borrowed(id)),
                (None, None) => None,
            },
            self.causation_id.as_deref().and_then(given),
        ]
    }

    fn sealed_value(&self, members: &[Member<'_>; 7]) -> Bytes {
        let Some(raw) = self.raw else { return self.made_value(members) };
        let missing = |member: &Member<'_>| matches!(member, Some((_, false)));
        if !members.iter().any(missing) {
            return Bytes::copy_from_slice(raw);
        }
        let opening = raw.iter().position(|&byte| byte == b'{').map_or(0, |at| at + 1);
        let (opening, rest) = raw.split_at(opening);
        let mut value = Vec::with_capacity(raw.len() + 256);
        value.extend_from_slice(opening);
        for (member, (name, _)) in members.iter().zip(HEADERS) {
            if let Some((text, false)) = member {
                write_member(&mut value, name, text);
            }
        }
        value.extend_from_slice(rest);
        Bytes::from(value)
    }

    fn made_value(&self, members: &[Member<'_>; 7]) -> Bytes {
        let mut value = Vec::with_capacity(self.data_bytes.len() + 320);
        value.push(b'{');
        for (member, (name, _)) in members.iter().zip(HEADERS) {
            if let Some((text, _)) = member {
                write_member(&mut value, name, text);
            }
        }
        value.extend_from_slice(b"\"data\":");
        value.extend_from_slice(self.data_bytes);
        value.push(b'}');
        Bytes::from(value)
    }
}

fn write_member(out: &mut Vec<u8>, name: &str, text: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    crate::event::json::write_text(out, text);
    out.push(b',');
}
