//! The defaults of fields: held to their types, and written once.
//!
//! In a default bytes are text of which each character is a byte, and a union's value is of the first branch that it fits.

use std::collections::HashMap;

use serde_json::Value;

use super::tree::{Field, Id, Node, Tree, Union};
use super::wire::{write_bytes, write_count, write_long};

/// A default may have this many bytes when it is written, those within it included.
const BYTES_MAX: usize = 64 << 10;
/// All defaults of a schema together.
const ALL_BYTES_MAX: usize = 1 << 20;
/// Defaults may come of each other this deep.
const DEPTH_MAX: usize = 64;
/// Values tried for all defaults of a schema.
const STEPS_MAX: usize = 100_000;

/// Writes all defaults.
pub(super) fn write(tree: &mut Tree) -> Result<(), String> {
    let mut writer = Writer { tree, written: HashMap::new(), bytes: 0, steps: 0 };
    for (place, node) in tree.nodes().enumerate() {
        let (Node::Record(record), Some(id)) = (node, Id::new(place)) else { continue };
        for (index, field) in record.fields.iter().enumerate() {
            if field.default.is_some() {
                writer.field((id, index), field, 0)?;
            }
        }
    }
    let mut written = writer.written;
    for (place, node) in tree.nodes_mut().enumerate() {
        let (Node::Record(record), Some(id)) = (node, Id::new(place)) else { continue };
        for (index, field) in record.fields.iter_mut().enumerate() {
            if let (Some(default), Some(Some(bytes))) = (&mut field.default, written.remove(&(id, index))) {
                default.written = bytes.into();
            }
        }
    }
    Ok(())
}

struct Writer<'t> {
    tree: &'t Tree,
    /// By record and field; `None` while it is being written.
    written: HashMap<(Id, usize), Option<Vec<u8>>>,
    bytes: usize,
    steps: usize,
}

impl Writer<'_> {
    fn field(&mut self, key: (Id, usize), field: &Field, depth: usize) -> Result<Vec<u8>, String> {
        let name: String = field.name.chars().take(200).collect();
        match self.written.get(&key) {
            Some(Some(bytes)) => return Ok(bytes.clone()),
            Some(None) => return Err(format!("the default of the field {name} would hold itself")),
            None => {}
        }
        let default = field.default.as_ref().ok_or_else(|| format!("lacks the field {name}"))?;
        self.written.insert(key, None);
        let mut out = Vec::new();
        if let Err(problem) = self.value(field.node, &default.told, depth, &mut out) {
            self.written.remove(&key);
            return Err(format!("the default of the field {name} does not fit its type: {problem}"));
        }
        self.bytes += out.len();
        if self.bytes > ALL_BYTES_MAX {
            return Err(format!("has defaults of more than {ALL_BYTES_MAX} bytes"));
        }
        self.written.insert(key, Some(out.clone()));
        Ok(out)
    }

    fn value(&mut self, id: Id, told: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), String> {
        self.steps += 1;
        if self.steps > STEPS_MAX || out.len() > BYTES_MAX || depth > DEPTH_MAX {
            return Err(format!(
                "has defaults that are too large: {BYTES_MAX} bytes, {DEPTH_MAX} levels and {STEPS_MAX} values are allowed"
            ));
        }
        let tree = self.tree;
        match (tree.node(id), told) {
            (Node::Null, Value::Null) => Ok(()),
            (Node::Boolean, Value::Bool(truth)) => {
                out.push(u8::from(*truth));
                Ok(())
            }
            (Node::Int(_) | Node::Long(_) | Node::Float | Node::Double, Value::Number(number)) => {
                write_number(tree.node(id), number, out)
            }
            (Node::Text { .. }, Value::String(text)) => {
                write_bytes(out, text.as_bytes());
                Ok(())
            }
            (Node::Bytes(_), Value::String(text)) => {
                write_bytes(out, &latin(text)?);
                Ok(())
            }
            (Node::Fixed(fixed), Value::String(text)) => {
                let bytes = latin(text)?;
                if bytes.len() != fixed.size {
                    return Err(format!("it must have {} characters", fixed.size));
                }
                out.extend_from_slice(&bytes);
                Ok(())
            }
            (Node::Enum(symbols), Value::String(symbol)) => {
                let index = symbols.by_symbol.get(&**symbol).ok_or("it is no symbol of the enum")?;
                write_count(out, *index);
                Ok(())
            }
            (Node::Array(items), Value::Array(elements)) => {
                self.block(elements.iter().map(|element| (None, element)), *items, depth, out)
            }
            (Node::Map(values), Value::Object(members)) => {
                let entries = members.iter().map(|(name, value)| (Some(name.as_str()), value));
                self.block(entries, *values, depth, out)
            }
            (Node::Union(union), told) => self.union(union, told, depth, out),
            (Node::Record(record), Value::Object(members)) => {
                for (index, field) in record.fields.iter().enumerate() {
                    match members.get(&*field.name) {
                        Some(told) => self.value(field.node, told, depth + 1, out)?,
                        None => out.extend(self.field((id, index), field, depth + 1)?),
                    }
                }
                Ok(())
            }
            _ => Err("it is of another JSON type".to_owned()),
        }
    }

    /// An array's elements or a map's entries.
    fn block<'v>(
        &mut self,
        entries: impl ExactSizeIterator<Item = (Option<&'v str>, &'v Value)>,
        node: Id,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if entries.len() > 0 {
            write_count(out, entries.len());
        }
        for (name, value) in entries {
            if let Some(name) = name {
                write_bytes(out, name.as_bytes());
            }
            self.value(node, value, depth + 1, out)?;
        }
        write_count(out, 0);
        Ok(())
    }

    fn union(&mut self, union: &Union, told: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let length = out.len();
        for (index, branch) in union.branches.iter().enumerate() {
            write_count(out, index);
            if self.value(branch.node, told, depth + 1, out).is_ok() {
                return Ok(());
            }
            out.truncate(length);
        }
        Err("it fits no branch of the union".to_owned())
    }
}

fn write_number(node: &Node, number: &serde_json::Number, out: &mut Vec<u8>) -> Result<(), String> {
    let float = number.as_f64();
    match (node, number.as_i64(), float) {
        (Node::Int(_), Some(whole), _) if i32::try_from(whole).is_ok() => write_long(out, whole),
        (Node::Long(_), Some(whole), _) => write_long(out, whole),
        #[expect(clippy::cast_possible_truncation, reason = "the nearest float is meant")]
        (Node::Float, _, Some(float)) => out.extend_from_slice(&(float as f32).to_le_bytes()),
        (Node::Double, _, Some(float)) => out.extend_from_slice(&float.to_le_bytes()),
        _ => return Err("it is no whole number of that size".to_owned()),
    }
    Ok(())
}

/// The bytes that a text of a default means.
fn latin(text: &str) -> Result<Vec<u8>, String> {
    let bytes = text.chars().map(u8::try_from).collect::<Result<_, _>>();
    bytes.map_err(|_| "each character must be a byte, from U+0000 to U+00FF".to_owned())
}
