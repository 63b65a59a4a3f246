//! Languages in which data is stored otherwise than as JSON: what every one of them must do, and what comes of it.
//!
//! ```text
//! data (JSON, borrowed) ── encode ── indexes, bytes ── framed with the schema's id ── record
//! record ── frame taken off ── decode by the schema that wrote it ── data (JSON)
//! ```
//! A codec holds one schema, compiled with all that it refers to. It fetches nothing, keeps nothing between calls, and
//! bounds what it makes of any input.

use std::fmt;

use bytes::Bytes;

use super::{Schema, Verdict, Violation};
use crate::event::json::Value;

/// Data that was written in the language of its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// What stands between the schema's id and the bytes; see [`Codec::indexes`].
    pub indexes: Bytes,
    /// The data.
    pub bytes: Bytes,
}

/// Why bytes cannot be read by a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Undecodable {
    /// What is wrong, without a value.
    pub problem: String,
}

/// One schema, as data is written and read by it.
pub trait Codec: fmt::Debug + Send + Sync {
    /// What says which of the schema's messages the data is, as Confluent's framing has it after the schema's id: Protobuf's
    /// message indexes in their encoded form. Empty in languages whose schemas describe one thing.
    fn indexes(&self) -> &[u8];

    /// Appends data in the language of the schema.
    ///
    /// # Errors
    /// At most 20 places that break the schema, by pointer (`/data/…`), never with the value. `out` is then as it was.
    fn encode(&self, data: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Vec<Violation>>;

    /// A path into data in the words of the data, where the language knows a member by more than one name; `None` where it
    /// leads to what it says.
    fn spelled(&self, _data: &Value<'_>, _path: &[&str]) -> Option<Vec<String>> {
        None
    }

    /// Takes the message indexes off the front: what they are, and the rest.
    ///
    /// # Errors
    /// When they are cut off, or name no message of the schema.
    fn split<'b>(&self, framed: &'b [u8]) -> Result<(&'b [u8], &'b [u8]), Undecodable>;

    /// Appends data as JSON in one line; `indexes` as [`Self::split`] gave them.
    ///
    /// # Errors
    /// When the bytes are not all of one message of the schema, or would become more than `bytes_max` of JSON. `out` is
    /// then as it was.
    fn decode(
        &self,
        indexes: &[u8],
        encoded: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Undecodable>;
}

/// What the data of a subject is held to.
#[derive(Debug)]
pub(super) enum Rule {
    /// A JSON Schema; the data is stored as it came.
    Json(Schema),
    /// A schema of another language: what it can write is what satisfies it.
    Coded(Box<dyn Codec>),
}

impl Rule {
    /// Judges data, and writes it where the language is not JSON.
    pub(super) fn judge(&self, data: &Value<'_>) -> (Verdict, Option<Encoded>) {
        match self {
            Self::Json(schema) => (schema.judge(data), None),
            Self::Coded(codec) => {
                let mut bytes = Vec::new();
                match codec.encode(data, &mut bytes) {
                    Ok(()) => {
                        let indexes = Bytes::copy_from_slice(codec.indexes());
                        (Verdict::Valid, Some(Encoded { indexes, bytes: bytes.into() }))
                    }
                    Err(violations) => (Verdict::Broken(violations), None),
                }
            }
        }
    }
}
