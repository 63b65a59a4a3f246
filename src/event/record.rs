//! A record as it lies in the log, and its headers.

use std::sync::Arc;

use bytes::Bytes;

use super::{Offset, Timestamp};

/// A record header's name: UTF-8 text, compared byte for byte, as Kafka does.
pub type HeaderName = Arc<str>;

type HeaderList = [(HeaderName, Option<Bytes>)];

/// A record's headers in order; names may repeat and values may be absent, as in Kafka. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Option<Arc<HeaderList>>);

impl Headers {
    /// The headers in this order.
    #[must_use]
    pub fn new(headers: Vec<(HeaderName, Option<Bytes>)>) -> Self {
        Self((!headers.is_empty()).then(|| headers.into()))
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, Option<&Bytes>)> {
        self.as_slice().iter().map(|(name, value)| (name, value.as_ref()))
    }

    /// The value of the last header of this name, as Kafka's `lastHeader`; `None` when absent or null.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&Bytes> {
        self.as_slice().iter().rev().find(|(have, _)| &**have == name).and_then(|(_, value)| value.as_ref())
    }

    /// The value of the last header of this name where it is UTF-8.
    #[must_use]
    pub fn last_text(&self, name: &str) -> Option<&str> {
        self.last(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// How many headers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.as_slice().iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Bytes::len)).sum()
    }

    fn as_slice(&self) -> &HeaderList {
        self.0.as_deref().unwrap_or_default()
    }
}

impl FromIterator<(HeaderName, Option<Bytes>)> for Headers {
    fn from_iter<I: IntoIterator<Item = (HeaderName, Option<Bytes>)>>(headers: I) -> Self {
        Self::new(headers.into_iter().collect())
    }
}

/// What a value that says by which schema it was written comes to for those who read JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// The JSON is the rest of the value, from this byte on.
    Rest(usize),
    /// The JSON.
    Json(Bytes),
    /// There is none, for this reason.
    Undecodable(Arc<str>),
}

/// One record of a partition, as read back. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: Offset,
    /// When it was appended, or the producer's time where a native producer set one.
    pub timestamp: Timestamp,
    /// The key; `None` is Kafka's null key, which has no order and no table entry.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
    /// What was made of the value on the way out; `None` where the value is read as it is. Never stored.
    pub decoded: Option<Decoded>,
}

impl Record {
    /// Bytes of key, value, headers and what was made of the value: what counts against every byte bound.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len)
            + self.value.as_ref().map_or(0, Bytes::len)
            + self.headers.bytes()
            + self.decoded.as_ref().map_or(0, Decoded::bytes)
    }

    /// The bytes that are to be read as JSON; `None` for a tombstone.
    pub(super) fn text(&self) -> Option<Result<&[u8], &str>> {
        let value = self.value.as_deref()?;
        Some(match &self.decoded {
            None => Ok(value),
            Some(Decoded::Rest(from)) => Ok(value.get(*from..).unwrap_or_default()),
            Some(Decoded::Json(json)) => Ok(json),
            Some(Decoded::Undecodable(problem)) => Err(problem),
        })
    }
}

impl Decoded {
    /// The bytes it holds beside the value.
    fn bytes(&self) -> usize {
        match self {
            Self::Json(json) => json.len(),
            Self::Rest(_) | Self::Undecodable(_) => 0,
        }
    }
}
