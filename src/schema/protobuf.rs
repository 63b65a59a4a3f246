//! Protobuf: schemas as `.proto` texts or descriptors, and data written and read by them.
//!
//! ```text
//! text, references ── source (parsed within budgets) ──┬── plan ── encode: data (JSON) ── bytes
//!                                                      │       └── decode: bytes ── data (JSON)
//!                                                      └── canonical: what it is told by
//! ```
//! Data posted as JSON is the first message of a schema; data that others wrote may be any of its messages.

mod brackets;
mod canonical;
pub mod compat;
mod decode;
mod encode;
mod indexes;
mod json_schema;
mod names;
mod plan;
mod source;
mod text;
mod times;
mod wire;

use self::plan::{Message, Plan};
use self::source::Source;
use super::Violation;
use super::codec::{Codec, Undecodable};
use crate::event::json::Value;

/// A schema with all that it imports.
#[derive(Debug)]
pub struct Protobuf {
    plan: Plan,
    serialized: String,
}

impl Protobuf {
    /// Compiles a text, which is a `.proto` file or the base64 of a file's descriptor. `imports` are the schemas that it may
    /// import, by name; Google's well-known types need none. Nothing is fetched. Takes about 1 ms, and far below a second for
    /// what is as large as it may be.
    ///
    /// # Errors
    /// What is wrong with the text, or that it is beyond a budget.
    pub fn compile<'t>(
        text: &'t str,
        imports: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Result<Self, String> {
        let source = Source::compile(text, imports)?;
        Ok(Self { plan: Plan::of(&source.file), serialized: canonical::serialized(&source.file)? })
    }

    /// The file's descriptor in base64, without comments: equal for texts that mean the same.
    #[must_use]
    pub fn serialized(&self) -> &str {
        &self.serialized
    }

    /// The `.proto` text of a schema that was compiled from a descriptor; `None` where it is a text already, or says
    /// what has no text here, such as options of one's own.
    pub(in crate::schema) fn readable<'t>(
        &self,
        text: &'t str,
        imports: impl IntoIterator<Item = (&'t str, &'t str)> + Clone,
    ) -> Option<String> {
        if !source::is_encoded(text) {
            return None;
        }
        let source = Source::compile(text, imports.clone()).ok()?;
        let readable = text::text(source.file.file_descriptor_proto());
        let pairs: Vec<(&str, &str)> = imports.into_iter().collect();
        let again = Source::compile(&readable, pairs).ok()?;
        let says_same = canonical::serialized(&again.file).ok()? == self.serialized;
        says_same.then_some(readable)
    }

    /// What data posted as JSON must be, as a JSON Schema with all that it refers to.
    pub(in crate::schema) fn json_schema(&self) -> serde_json::Value {
        self.message(&[0]).map_or(serde_json::Value::Bool(false), |root| json_schema::of(&self.plan, root))
    }

    fn message(&self, place: &[u32]) -> Option<&Message> {
        self.plan.at(place).and_then(|index| self.plan.message(index))
    }
}

impl Codec for Protobuf {
    fn indexes(&self) -> &[u8] {
        indexes::FIRST
    }

    fn encode(&self, data: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Vec<Violation>> {
        let Some(message) = self.message(&[0]) else {
            let message = "cannot be written: the schema has no message".to_owned();
            let (pointer, place) = ("/data".to_owned(), "/data".to_owned());
            return Err(vec![Violation { pointer, place, keyword: "type".to_owned(), message }]);
        };
        encode::encode(&self.plan, message, data, out)
    }

    fn spelled(&self, data: &Value<'_>, path: &[&str]) -> Option<Vec<String>> {
        let spelled = names::spelled(&self.plan, self.message(&[0])?, data, path);
        (spelled != path).then_some(spelled)
    }

    fn split<'b>(&self, framed: &'b [u8]) -> Result<(&'b [u8], &'b [u8]), Undecodable> {
        let problem = "its message indexes name no message of the schema";
        let found = indexes::read(framed).filter(|(place, _)| self.message(place).is_some());
        let split = found.and_then(|(_, length)| framed.split_at_checked(length));
        split.ok_or_else(|| decode::undecodable(problem))
    }

    fn decode(
        &self,
        indexes: &[u8],
        encoded: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Undecodable> {
        let place = indexes::read(indexes).map(|(place, _)| place);
        let message = place.and_then(|place| self.message(&place));
        let message = message
            .ok_or_else(|| decode::undecodable("its message indexes name no message of the schema"))?;
        decode::decode(&self.plan, message, encoded, bytes_max, out)
    }
}

/// What a `.proto` text imports, but for Google's well-known types, which need no file.
pub(super) fn imports(text: &str) -> Result<Vec<String>, String> {
    source::imports(text)
}

#[cfg(test)]
mod tests;
