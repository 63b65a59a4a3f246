//! JSON to Avro: the tree and the value are walked together, and what breaks the schema is told by its place.
//!
//! Data is written while it is judged; where it breaks the schema, what was written is taken back. A value that may mean
//! several branches of a union is tried; what trials cost in vain is bounded.

mod place;
mod scalars;

use std::borrow::Cow;
use std::fmt;

use self::place::{Place, Step};
pub(super) use self::scalars::is_named_number;
use super::tree::{Branch, Field, Id, Node, Record, Tree, Union};
use super::union;
use super::wire::{write_bytes, write_count};
use crate::event::json::Value;
use crate::schema::Violation;

/// At most this many violations are told.
const VIOLATIONS_MAX: usize = 20;
/// Values may lie within each other this deep.
const DEPTH_MAX: usize = 128;
/// What is written may have this many bytes: defaults can make much of little.
const BYTES_MAX: usize = 16 << 20;
/// So many values may be tried in vain.
const WASTE_MAX: usize = 1_000_000;
/// In records of more fields a member is found by a map, else by looking.
const LOOKED_MAX: usize = 16;

/// Appends data in the language of the schema.
pub(super) fn encode(tree: &Tree, data: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Vec<Violation>> {
    let start = out.len();
    let mut encoder =
        Encoder { tree, out, start, violations: Vec::new(), failed: 0, muted: 0, visits: 0, wasted: 0 };
    encoder.write(tree.root(), data, &Place::DATA);
    let Encoder { mut violations, failed, .. } = encoder;
    if failed == 0 {
        return Ok(());
    }
    out.truncate(start);
    violations.sort();
    violations.dedup();
    Err(violations)
}

struct Encoder<'t, 'o> {
    tree: &'t Tree,
    out: &'o mut Vec<u8>,
    start: usize,
    violations: Vec<Violation>,
    /// How many violations there were, those that are not told included.
    failed: usize,
    /// How many trials are under way.
    muted: usize,
    visits: usize,
    wasted: usize,
}

impl<'t> Encoder<'t, '_> {
    fn refuse(&mut self, at: &Place<'_>, keyword: &str, message: fmt::Arguments<'_>) {
        self.failed += 1;
        if self.muted == 0 && self.violations.len() < VIOLATIONS_MAX {
            let (pointer, place) = (at.pointer(), at.in_schemas_names());
            let (keyword, message) = (keyword.to_owned(), message.to_string());
            self.violations.push(Violation { pointer, place, keyword, message });
        }
    }

    /// Whether there is nothing left to find out.
    const fn is_done(&self) -> bool {
        self.failed >= VIOLATIONS_MAX || (self.muted > 0 && self.failed > 0)
    }

    fn write(&mut self, id: Id, value: &Value<'_>, at: &Place<'_>) {
        self.visits += 1;
        if at.depth() > DEPTH_MAX {
            return self.refuse(at, "depth", format_args!("lies deeper than {DEPTH_MAX} values"));
        }
        let tree = self.tree;
        match (tree.node(id), value) {
            (Node::Union(union), value) => self.union(union, value, at),
            (Node::Record(record), Value::Object(members)) => self.record(record, members, at),
            (Node::Array(items), Value::Array(elements)) => {
                if !elements.is_empty() {
                    write_count(self.out, elements.len());
                }
                for (index, element) in elements.iter().enumerate() {
                    if self.is_done() {
                        return;
                    }
                    self.write(*items, element, &at.below(Step::Element(index)));
                }
                write_count(self.out, 0);
            }
            (Node::Map(values), Value::Object(members)) => {
                if !members.is_empty() {
                    write_count(self.out, members.len());
                }
                for (name, value) in members {
                    if self.is_done() {
                        return;
                    }
                    write_bytes(self.out, name.as_bytes());
                    self.write(*values, value, &at.below(Step::Entry(name)));
                }
                write_count(self.out, 0);
            }
            (node, value) => {
                if let Err(refusal) = scalars::write(node, value, self.out) {
                    self.refuse(at, refusal.keyword, format_args!("{}", refusal.message));
                }
            }
        }
    }

    fn record(&mut self, record: &'t Record, members: &[(Cow<'_, str>, Value<'_>)], at: &Place<'_>) {
        let members = Members::of(record, members);
        let (mut next, mut found) = (0, 0);
        for (index, field) in record.fields.iter().enumerate() {
            if self.is_done() {
                return;
            }
            if let Some((place, value)) = members.find(index, field, next) {
                (next, found) = (place + 1, found + 1);
                self.write(field.node, value, &at.below(Step::Member(&field.name)));
            } else if let Some(default) = &field.default {
                self.out.extend_from_slice(&default.written);
                if self.out.len() - self.start > BYTES_MAX {
                    return self.refuse(at, "size", format_args!("becomes more than {BYTES_MAX} bytes"));
                }
            } else {
                let at = at.below(Step::Member(&field.name));
                self.refuse(&at, "required", format_args!("is required"));
            }
        }
        if found < members.all.len() {
            self.refuse_unknown(record, members.all, at);
        }
    }

    fn refuse_unknown(&mut self, record: &Record, members: &[(Cow<'_, str>, Value<'_>)], at: &Place<'_>) {
        let unknown = members.iter().filter(|(name, _)| !record.by_name.contains_key(&**name));
        for (name, _) in unknown.take(VIOLATIONS_MAX) {
            let at = at.below(Step::Entry(name));
            self.refuse(&at, "additionalProperties", format_args!("is not a member that the schema knows"));
        }
    }

    fn union(&mut self, union: &'t Union, value: &Value<'_>, at: &Place<'_>) {
        let tree = self.tree;
        let tagged = union::tagged(union, value);
        let is_of = |(_, branch): &(usize, &Branch)| {
            let node = tree.node(branch.node);
            let is_other = tagged.is_some_and(|(_, named, _)| union::lacks_member(node, &named.name));
            !is_other && union::rank(node, value).is_some()
        };
        let mut fitting = union.branches.iter().enumerate().filter(is_of);
        let (first, is_only) = (fitting.next(), fitting.next().is_none());
        if let Some((index, branch, inner)) = tagged {
            let at = at.below(Step::Member(&branch.name));
            if first.is_none() {
                return self.branch(index, branch, inner, &at);
            }
            if self.attempt(index, branch, inner, &at) {
                return;
            }
        }
        match first {
            None => self.refuse_all(union, value, at),
            Some((index, branch)) if is_only => self.branch(index, branch, value, at),
            Some(_) if self.try_all(union, value, at) => {}
            Some(_) => {
                let (names, hint) = (Names(union), "{\"branch\": …} says which is meant");
                self.refuse(at, "union", format_args!("fits none of {names}; {hint}"));
            }
        }
    }

    /// Tells what a value would have to be; where only one branch has its JSON type, by that branch.
    fn refuse_all(&mut self, union: &'t Union, value: &Value<'_>, at: &Place<'_>) {
        let tree = self.tree;
        let is_near = |(_, branch): &(usize, &Branch)| union::is_near(tree.node(branch.node), value);
        let mut near = union.branches.iter().enumerate().filter(is_near);
        if let (Some((index, branch)), None) = (near.next(), near.next()) {
            return self.branch(index, branch, value, at);
        }
        self.refuse(at, "type", format_args!("must be one of {}", Names(union)));
    }

    /// Tries the branches, the nearest first; whether one took the value.
    fn try_all(&mut self, union: &'t Union, value: &Value<'_>, at: &Place<'_>) -> bool {
        for wanted in union::RANKS {
            for (index, branch) in union.branches.iter().enumerate() {
                let node = self.tree.node(branch.node);
                if union::rank(node, value) != Some(wanted) {
                    continue;
                }
                let has_members = match (node, value) {
                    (Node::Record(record), Value::Object(members)) => union::has_members(record, members),
                    _ => true,
                };
                if has_members && self.attempt(index, branch, value, at) {
                    return true;
                }
            }
        }
        false
    }

    fn branch(&mut self, index: usize, branch: &Branch, value: &Value<'_>, at: &Place<'_>) {
        write_count(self.out, index);
        self.write(branch.node, value, at);
    }

    /// Writes a value as one of a branch, or nothing; whether it was one.
    fn attempt(&mut self, index: usize, branch: &Branch, value: &Value<'_>, at: &Place<'_>) -> bool {
        if self.wasted > WASTE_MAX {
            return false;
        }
        let (length, visits, failed) = (self.out.len(), self.visits, self.failed);
        (self.muted, self.failed) = (self.muted + 1, 0);
        self.branch(index, branch, value, at);
        let is_taken = self.failed == 0;
        (self.muted, self.failed) = (self.muted - 1, failed);
        if !is_taken {
            self.out.truncate(length);
            self.wasted += self.visits - visits;
        }
        is_taken
    }
}

/// An object's members, found by the fields of a record.
struct Members<'v, 'd> {
    all: &'v [(Cow<'d, str>, Value<'d>)],
    /// By field, where there are many and they are in another order.
    by_field: Option<Vec<Option<usize>>>,
}

impl<'v, 'd> Members<'v, 'd> {
    fn of(record: &Record, all: &'v [(Cow<'d, str>, Value<'d>)]) -> Self {
        let is_in_order = all.len() == record.fields.len()
            && all.iter().zip(&record.fields).all(|((name, _), field)| **name == *field.name);
        if is_in_order || record.fields.len().min(all.len()) <= LOOKED_MAX {
            return Self { all, by_field: None };
        }
        let mut by_field = vec![None; record.fields.len()];
        for (place, (name, _)) in all.iter().enumerate() {
            let slot = record.by_name.get(&**name).and_then(|index| by_field.get_mut(*index));
            if let Some(slot) = slot {
                *slot = Some(place);
            }
        }
        Self { all, by_field: Some(by_field) }
    }

    /// The member of a field and its place; it is looked for first where the order of fields has it.
    fn find(&self, index: usize, field: &Field, next: usize) -> Option<(usize, &'v Value<'d>)> {
        let at = |place: usize| self.all.get(place).map(|(_, value)| (place, value));
        if self.all.get(next).is_some_and(|(name, _)| **name == *field.name) {
            return at(next);
        }
        match &self.by_field {
            Some(by_field) => at((*by_field.get(index)?)?),
            None => at(self.all.iter().position(|(name, _)| **name == *field.name)?),
        }
    }
}

/// The branches of a union, as many as are told.
struct Names<'u>(&'u Union);

impl fmt::Display for Names<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, branch) in self.0.branches.iter().take(8).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let name: String = branch.name.chars().take(100).collect();
            write!(formatter, "{comma}{name}")?;
        }
        if self.0.branches.len() > 8 { formatter.write_str(" and others") } else { Ok(()) }
    }
}
