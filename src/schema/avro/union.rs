//! Which branch of a union a JSON value means, and in which form each branch's values are read.
//!
//! A value says its branch by itself, or within an object by the branch's name: `{"string": "x"}`. What is read is plain
//! where its JSON type leaves no doubt; a number is always plain, since equal numbers mean the same in every branch. Times
//! are no such numbers: they are read as text, and a number means one of them only where nothing nearer is a number.

use std::borrow::Cow;

use super::encode::is_named_number;
use super::time;
use super::tree::{Branch, Form, Meaning, Node, Octets, Record, Tree, Union};
use crate::event::json::Value;

/// What a value of a type is in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Null,
    Boolean,
    Number,
    Text,
    Array,
    Object,
}

/// The ways in which a value can mean a branch, the nearest first.
pub(super) const RANKS: std::ops::RangeInclusive<u8> = 0..=3;

/// Says of each branch of each union how its values are read.
pub(super) fn choose_forms(tree: &mut Tree) {
    let forms: Vec<Option<Vec<Form>>> = tree.nodes().map(|node| forms(tree, node)).collect();
    for (node, forms) in tree.nodes_mut().zip(forms) {
        let (Node::Union(union), Some(forms)) = (node, forms) else { continue };
        for (branch, form) in union.branches.iter_mut().zip(forms) {
            branch.form = form;
        }
    }
}

fn forms(tree: &Tree, node: &Node) -> Option<Vec<Form>> {
    let Node::Union(union) = node else { return None };
    let class = |branch: &Branch| class(tree.node(branch.node));
    let form = |branch: &Branch| {
        let own = class(branch);
        let is_contested = match own {
            Class::Null | Class::Boolean | Class::Number => false,
            Class::Text | Class::Array | Class::Object => {
                union.branches.iter().filter(|other| class(other) == own).count() > 1
            }
        };
        // An object of one member that is called as a branch would be taken for a tagged value.
        let looks_tagged = match tree.node(branch.node) {
            Node::Record(Record { fields, .. }) => {
                matches!(&**fields, [field] if union.by_name.contains_key(&field.name))
            }
            _ => false,
        };
        if is_contested || looks_tagged { Form::Tagged } else { Form::Plain }
    };
    Some(union.branches.iter().map(form).collect())
}

/// What a value of this type is when it is read.
pub(super) const fn class(node: &Node) -> Class {
    match node {
        Node::Null => Class::Null,
        Node::Boolean => Class::Boolean,
        Node::Int(Meaning::Number) | Node::Long(Meaning::Number) | Node::Float | Node::Double => {
            Class::Number
        }
        Node::Int(_)
        | Node::Long(_)
        | Node::Bytes(_)
        | Node::Text { .. }
        | Node::Enum(_)
        | Node::Fixed(_) => Class::Text,
        Node::Array(_) => Class::Array,
        Node::Map(_) | Node::Record(_) => Class::Object,
        // None within another.
        Node::Union(_) => Class::Null,
    }
}

/// Whether some branch's values are read as this.
pub(super) fn has_class(tree: &Tree, union: &Union, wanted: Class) -> bool {
    union.branches.iter().any(|branch| class(tree.node(branch.node)) == wanted)
}

/// The branch that an object of one member names, and its value.
pub(super) fn tagged<'u, 'v, 'd>(
    union: &'u Union,
    value: &'v Value<'d>,
) -> Option<(usize, &'u Branch, &'v Value<'d>)> {
    let Some([(name, value)]) = value.as_object() else { return None };
    let index = *union.by_name.get(&**name)?;
    union.branches.get(index).map(|branch| (index, branch, value))
}

/// How near a value is to a type, by the value alone; `None` where it cannot be of it.
pub(super) fn rank(node: &Node, value: &Value<'_>) -> Option<u8> {
    match (value, node) {
        (Value::Null, Node::Null) | (Value::Bool(_), Node::Boolean) | (Value::Array(_), Node::Array(_)) => {
            Some(0)
        }
        (Value::Number(number), node) => rank_of_number(node, number.is_f64()),
        (Value::String(text), node) => rank_of_text(node, text),
        (Value::Object(_), Node::Map(_) | Node::Record(_)) => Some(0),
        (Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_), _) => None,
    }
}

/// Whether a value, though not of a type, has its JSON type.
pub(super) fn is_near(node: &Node, value: &Value<'_>) -> bool {
    match value {
        Value::String(_) => class(node) == Class::Text,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            rank(node, value).is_some()
        }
    }
}

/// Whether an object with this member cannot be of a type, where it could be a tagged value.
pub(super) fn lacks_member(node: &Node, name: &str) -> bool {
    matches!(node, Node::Record(record) if !record.by_name.contains_key(name))
}

const fn rank_of_number(node: &Node, is_fraction: bool) -> Option<u8> {
    match (node, is_fraction) {
        (Node::Int(Meaning::Number) | Node::Long(Meaning::Number), false) | (Node::Double, true) => Some(0),
        (Node::Double, false) | (Node::Float, true) => Some(1),
        (Node::Float, false) => Some(2),
        (Node::Int(_) | Node::Long(_), _) => Some(3),
        _ => None,
    }
}

fn rank_of_text(node: &Node, text: &str) -> Option<u8> {
    match node {
        Node::Text { .. } => Some(0),
        Node::Enum(symbols) => symbols.by_symbol.contains_key(text).then_some(0),
        Node::Int(meaning) | Node::Long(meaning) => time::parse(*meaning, text).map(|_| 0),
        Node::Bytes(octets) => Some(rank_of_octets(*octets)),
        Node::Fixed(fixed) => Some(rank_of_octets(fixed.octets)),
        Node::Float | Node::Double => is_named_number(text).then_some(3),
        Node::Null | Node::Boolean | Node::Array(_) | Node::Map(_) | Node::Union(_) | Node::Record(_) => None,
    }
}

const fn rank_of_octets(octets: Octets) -> u8 {
    match octets {
        Octets::Decimal { .. } | Octets::Uuid => 0,
        Octets::Plain => 1,
    }
}

/// Whether an object has the members of a record: all that it must have, and none that it does not know.
pub(super) fn has_members(record: &Record, members: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    let knows = |(name, _): &(Cow<'_, str>, Value<'_>)| record.by_name.contains_key(&**name);
    let required = record.fields.iter().filter(|field| field.default.is_none()).count();
    members.len() >= required
        && members.iter().all(knows)
        && members
            .iter()
            .filter(|(name, _)| {
                let field = record.by_name.get(&**name).and_then(|index| record.fields.get(*index));
                field.is_some_and(|field| field.default.is_none())
            })
            .count()
            == required
}
