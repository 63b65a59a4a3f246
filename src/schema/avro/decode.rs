//! Avro to JSON in one line. Every byte is looked at once; what is made of them is bounded, whatever they say.
//!
//! Bytes come as base64, times, decimals and UUIDs as text, 64-bit numbers as numbers. JSON has no number that is none or
//! endless: those are `"NaN"`, `"Infinity"` and `"-Infinity"`, which are taken back as such.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::tree::{Branch, Form, Id, Meaning, Node, Octets, Record, Tree, Union};
use super::union::{self, Class};
use super::wire::read_long;
use super::{decimal, time};
use crate::event::json::write_text;

/// Values may lie within each other this deep.
const DEPTH_MAX: usize = 128;

const CUT_OFF: &str = "the data is cut off";
const TOO_LARGE: &str = "the data becomes too large";

/// Appends the data as JSON, or nothing.
pub(super) fn decode(
    tree: &Tree,
    encoded: &[u8],
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    decode_from(tree, tree.root(), encoded, bytes_max, out)
}

/// Appends data of one of the types.
pub(super) fn decode_from(
    tree: &Tree,
    id: Id,
    encoded: &[u8],
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let start = out.len();
    let limit = start.saturating_add(bytes_max);
    let mut decoder = Decoder { tree, rest: encoded, out, limit };
    let decoded = match decoder.value(id, 0) {
        Ok(()) if !decoder.rest.is_empty() => Err("there are bytes after the data"),
        decoded => decoded,
    };
    if decoded.is_err() {
        out.truncate(start);
    }
    decoded
}

type Decoded<T> = Result<T, &'static str>;

struct Decoder<'t, 'b, 'o> {
    tree: &'t Tree,
    rest: &'b [u8],
    out: &'o mut Vec<u8>,
    limit: usize,
}

impl<'t, 'b> Decoder<'t, 'b, '_> {
    fn value(&mut self, id: Id, depth: usize) -> Decoded<()> {
        if depth > DEPTH_MAX {
            return Err("the data lies too deep");
        }
        let tree = self.tree;
        match tree.node(id) {
            Node::Null => self.out.extend_from_slice(b"null"),
            Node::Boolean => match self.take(1)? {
                [0] => self.out.extend_from_slice(b"false"),
                [1] => self.out.extend_from_slice(b"true"),
                _ => return Err("a boolean is neither 0 nor 1"),
            },
            Node::Int(meaning) => {
                let number = self.long()?;
                i32::try_from(number).map_err(|_| "an int is out of its range")?;
                self.number(*meaning, number);
            }
            Node::Long(meaning) => {
                let number = self.long()?;
                self.number(*meaning, number);
            }
            Node::Float => {
                let number = f32::from_le_bytes(self.array()?);
                let special = f64::from(number);
                self.float(special, |out| serde_json::to_writer(out, &number))?;
            }
            Node::Double => {
                let number = f64::from_le_bytes(self.array()?);
                self.float(number, |out| serde_json::to_writer(out, &number))?;
            }
            Node::Bytes(octets) => {
                let bytes = self.bytes()?;
                self.octets(*octets, bytes)?;
            }
            Node::Fixed(fixed) => {
                let bytes = self.take(fixed.size)?;
                self.octets(fixed.octets, bytes)?;
            }
            Node::Text { .. } => {
                let text = self.text()?;
                write_text(self.out, text);
            }
            Node::Enum(symbols) => {
                let index = self.long()?;
                let symbol = usize::try_from(index).ok().and_then(|index| symbols.symbols.get(index));
                write_text(self.out, symbol.ok_or("an enum has a symbol that the schema does not know")?);
            }
            Node::Array(items) => self.array_of(*items, depth)?,
            Node::Map(values) => {
                self.map(*values, depth)?;
            }
            Node::Union(union) => self.union(union, depth)?,
            Node::Record(record) => self.record(record, depth)?,
        }
        if self.out.len() > self.limit { Err(TOO_LARGE) } else { Ok(()) }
    }

    fn number(&mut self, meaning: Meaning, number: i64) {
        match time::write(meaning, number) {
            Some(text) => write_text(self.out, &text),
            None => self.out.extend_from_slice(number.to_string().as_bytes()),
        }
    }

    fn float(
        &mut self,
        number: f64,
        write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> Decoded<()> {
        if number.is_finite() {
            return write(self.out).map_err(|_| "a number cannot be written");
        }
        let name = match number {
            number if number.is_nan() => "NaN",
            number if number > 0.0 => "Infinity",
            _ => "-Infinity",
        };
        write_text(self.out, name);
        Ok(())
    }

    fn octets(&mut self, octets: Octets, bytes: &[u8]) -> Decoded<()> {
        match octets {
            Octets::Plain => {
                self.room(bytes.len() / 3 * 4)?;
                write_text(self.out, &STANDARD.encode(bytes));
            }
            Octets::Decimal { precision, scale } => {
                let text = decimal::write(bytes, precision, scale);
                write_text(self.out, &text.ok_or("a decimal has more digits than its precision")?);
            }
            Octets::Uuid => {
                let uuid = uuid::Uuid::from_slice(bytes).map_err(|_| "a UUID has not 16 bytes")?;
                write_text(self.out, uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
            }
        }
        Ok(())
    }

    fn record(&mut self, record: &'t Record, depth: usize) -> Decoded<()> {
        self.out.push(b'{');
        for (index, field) in record.fields.iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write_text(self.out, &field.name);
            self.out.push(b':');
            self.value(field.node, depth + 1)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn array_of(&mut self, items: Id, depth: usize) -> Decoded<()> {
        self.out.push(b'[');
        let mut is_first = true;
        while let Some(count) = self.block()? {
            for _ in 0..count {
                if !is_first {
                    self.out.push(b',');
                }
                is_first = false;
                self.value(items, depth + 1)?;
            }
        }
        self.out.push(b']');
        Ok(())
    }

    /// Answers the key, where there is exactly one.
    fn map(&mut self, values: Id, depth: usize) -> Decoded<Option<&'b str>> {
        self.out.push(b'{');
        let mut keys: HashSet<&'b str> = HashSet::new();
        let mut first = None;
        while let Some(count) = self.block()? {
            for _ in 0..count {
                let key = self.text()?;
                if !keys.insert(key) {
                    return Err("a map has a key twice");
                }
                if keys.len() > 1 {
                    self.out.push(b',');
                }
                first.get_or_insert(key);
                write_text(self.out, key);
                self.out.push(b':');
                self.value(values, depth + 1)?;
            }
        }
        self.out.push(b'}');
        Ok(first.filter(|_| keys.len() == 1))
    }

    /// How many elements follow at once; `None` at the end.
    fn block(&mut self) -> Decoded<Option<u64>> {
        let count = self.long()?;
        if count < 0 {
            // The block's size in bytes, for those who pass over it.
            let size = self.long()?;
            if usize::try_from(size).is_ok_and(|size| size > self.rest.len()) || size < 0 {
                return Err(CUT_OFF);
            }
        }
        Ok(Some(count.unsigned_abs()).filter(|count| *count > 0))
    }

    fn union(&mut self, union: &'t Union, depth: usize) -> Decoded<()> {
        let index = self.long()?;
        let branch = usize::try_from(index).ok().and_then(|index| union.branches.get(index));
        let branch = branch.ok_or("a union has a branch that the schema does not know")?;
        if branch.form == Form::Tagged {
            return self.tagged(branch, depth);
        }
        let (start, tree) = (self.out.len(), self.tree);
        let is_taken_for_other = match tree.node(branch.node) {
            Node::Map(values) => {
                let lone = self.map(*values, depth + 1)?;
                lone.is_some_and(|key| union.by_name.contains_key(key))
            }
            Node::Float | Node::Double => {
                self.value(branch.node, depth + 1)?;
                self.out.get(start) == Some(&b'"') && union::has_class(tree, union, Class::Text)
            }
            // A time that no text says is a number.
            Node::Int(meaning) | Node::Long(meaning) if *meaning != Meaning::Number => {
                self.value(branch.node, depth + 1)?;
                self.out.get(start) != Some(&b'"') && union::has_class(tree, union, Class::Number)
            }
            _ => {
                self.value(branch.node, depth + 1)?;
                false
            }
        };
        if is_taken_for_other {
            let mut tag = vec![b'{'];
            write_text(&mut tag, &branch.name);
            tag.push(b':');
            self.out.splice(start..start, tag);
            self.out.push(b'}');
        }
        Ok(())
    }

    fn tagged(&mut self, branch: &Branch, depth: usize) -> Decoded<()> {
        self.out.push(b'{');
        write_text(self.out, &branch.name);
        self.out.push(b':');
        self.value(branch.node, depth + 1)?;
        self.out.push(b'}');
        Ok(())
    }

    fn long(&mut self) -> Decoded<i64> {
        let (number, rest) = read_long(self.rest).ok_or("a number is cut off or too long")?;
        self.rest = rest;
        Ok(number)
    }

    fn take(&mut self, length: usize) -> Decoded<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const LENGTH: usize>(&mut self) -> Decoded<[u8; LENGTH]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn bytes(&mut self) -> Decoded<&'b [u8]> {
        let length = usize::try_from(self.long()?).map_err(|_| "a length is negative")?;
        self.take(length)
    }

    fn text(&mut self) -> Decoded<&'b str> {
        let bytes = self.bytes()?;
        self.room(bytes.len())?;
        std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")
    }

    /// Whether so much more may be written.
    fn room(&self, bytes: usize) -> Decoded<()> {
        if self.out.len().saturating_add(bytes) > self.limit { Err(TOO_LARGE) } else { Ok(()) }
    }
}
