//! Avro: schemas parsed strictly and compiled once, data written and read by them, and whether one may follow another.
//!
//! Nothing is fetched: names that a text does not define itself are those of the schemas that it refers to. Whatever is
//! parsed, written or read is bounded. Our own parser knows where each part of a schema stands, and judges as Java's does.
//!
//! ```text
//! texts ── parsed, linked, budgets ── Tree (types by index, defaults written, names in maps)
//! JSON  ── encode by the tree ── bytes ── decode by the tree ── JSON in one line
//! Tree  ── json_schema: what JSON to post      Trees ── compare: who reads whose data, and data that shows it
//! ```

mod compare;
mod contract;
mod decimal;
mod decode;
mod defaults;
mod encode;
mod example;
mod form;
mod names;
mod parse;
mod read_as;
mod resolve;
mod sample;
mod sound;
mod time;
mod tree;
mod union;
mod wire;

use self::tree::Tree;
use super::Violation;
use super::codec::{Codec, Undecodable};
use crate::event::json::Value;

pub use self::compare::{compare, compare_within};
use self::parse::Outline;

/// A schema with all that it refers to.
#[derive(Debug)]
pub struct Avro {
    tree: Tree,
}

impl Avro {
    /// Parses a text; names that it does not define are those that `references` define, in any order.
    ///
    /// # Errors
    /// With what is wrong and where: the text is no schema, beyond a budget, or describes nothing that can be written.
    pub fn parse(text: &str, references: &[&str]) -> Result<Self, String> {
        let mut tree = parse::parse(text, references)?;
        sound::check(&tree)?;
        defaults::write(&mut tree)?;
        Ok(Self { tree })
    }

    /// The Parsing Canonical Form, with references written out: schemas that have one form write the same bytes.
    #[must_use]
    pub fn parsing_form(&self) -> String {
        form::write(&self.tree)
    }

    /// A JSON Schema of the data as it is posted and read. Types used more than once lie under `$defs`. Unions have only
    /// the forms in which they are read; [`Codec::encode`] takes more.
    #[must_use]
    pub fn json_schema(&self) -> serde_json::Value {
        contract::write(&self.tree, contract::Notes::Told)
    }
}

impl Codec for Avro {
    fn indexes(&self) -> &[u8] {
        &[]
    }

    fn encode(&self, data: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Vec<Violation>> {
        encode::encode(&self.tree, data, out)
    }

    fn split<'b>(&self, framed: &'b [u8]) -> Result<(&'b [u8], &'b [u8]), Undecodable> {
        Ok((&[], framed))
    }

    fn decode(
        &self,
        _indexes: &[u8],
        encoded: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Undecodable> {
        decode::decode(&self.tree, encoded, bytes_max, out)
            .map_err(|problem| Undecodable { problem: problem.to_owned() })
    }
}

/// The text in a form that leaves out white space and the order of members.
///
/// # Errors
/// When it is no JSON.
pub(super) fn canonical(text: &str) -> Result<String, String> {
    parse::read(text).map(|schema| schema.to_string())
}

/// What a text defines and what it leaves to others.
///
/// # Errors
/// When it is no schema.
pub(super) fn outline(text: &str) -> Result<Outline, String> {
    parse::outline(text)
}

#[cfg(test)]
mod tests;
