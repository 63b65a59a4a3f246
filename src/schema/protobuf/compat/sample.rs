//! Data of a message with something wanted at one place: counter-examples in the making.
//!
//! Nothing here is certain to be taken; whoever asks writes what comes.

use std::collections::{BTreeSet, VecDeque};

use prost_reflect::{FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::kinds::form;
use crate::schema::compat::Policy;

/// Values lie within each other this deep, beyond the way to what is wanted.
const DEPTH_MAX: usize = 3;
/// A message with all its fields has this many of them at most.
const FIELDS_MAX: usize = 40;
/// Messages that are looked at on the way to one.
const LOOKED_MAX: usize = 1_000;

/// What stands at the end of the way.
#[derive(Debug, Clone)]
pub(super) enum Leaf {
    /// All fields that a message may have together.
    All,
    /// This field.
    Field(FieldDescriptor),
    /// What a message must have.
    Least,
    /// This number of the field's enum.
    Number(FieldDescriptor, i32),
    /// This field and all that may stand beside it.
    With(FieldDescriptor),
}

/// The fields that lead from a message to another, and that one.
pub(super) fn trail_to_message(
    root: &MessageDescriptor,
    name: &str,
) -> Option<(Vec<FieldDescriptor>, MessageDescriptor)> {
    search(root, |message| (message.full_name() == name).then(|| message.clone()))
}

/// The fields that lead to a message with a field of this enum, and the field.
pub(super) fn trail_to_enum(
    root: &MessageDescriptor,
    name: &str,
) -> Option<(Vec<FieldDescriptor>, FieldDescriptor)> {
    search(root, |message| {
        let is_of =
            |field: &FieldDescriptor| value_kind(field).as_enum().is_some_and(|one| one.full_name() == name);
        message.fields().find(is_of)
    })
}

/// The nearest message in which something is found.
fn search<T>(
    root: &MessageDescriptor,
    find: impl Fn(&MessageDescriptor) -> Option<T>,
) -> Option<(Vec<FieldDescriptor>, T)> {
    let mut seen = BTreeSet::from([root.full_name().to_owned()]);
    let mut rest = VecDeque::from([(Vec::new(), root.clone())]);
    while let Some((trail, message)) = rest.pop_front() {
        if let Some(found) = find(&message) {
            return Some((trail, found));
        }
        for field in message.fields() {
            let Kind::Message(next) = value_kind(&field) else { continue };
            let is_new = seen.len() < LOOKED_MAX && seen.insert(next.full_name().to_owned());
            if is_new && !is_known(&next) {
                rest.push_back((trail.iter().cloned().chain([field]).collect(), next));
            }
        }
    }
    None
}

/// Makes data that one reader shall fail on.
#[derive(Debug)]
pub(super) struct Sampler<'r> {
    reader: &'r FileDescriptor,
    policy: Policy,
}

impl<'r> Sampler<'r> {
    pub(super) const fn new(reader: &'r FileDescriptor, policy: Policy) -> Self {
        Self { reader, policy }
    }

    /// Data of a message with a leaf at the end of a trail.
    pub(super) fn make(
        &self,
        message: &MessageDescriptor,
        trail: &[FieldDescriptor],
        leaf: &Leaf,
    ) -> Option<Value> {
        let Some((next, rest)) = trail.split_first() else { return self.leaf(message, leaf) };
        let mut members = least(message, Some(next), 0)?;
        let Kind::Message(inner) = value_kind(next) else { return None };
        let value = self.make(&inner, rest, leaf)?;
        members.insert(next.json_name().to_owned(), labelled(next, value));
        Some(Value::Object(members))
    }

    fn leaf(&self, message: &MessageDescriptor, leaf: &Leaf) -> Option<Value> {
        let mut members = match leaf {
            Leaf::All => return Some(Value::Object(self.all(message, None))),
            Leaf::Least => return Some(Value::Object(least(message, None, 0)?)),
            Leaf::Field(field) | Leaf::Number(field, _) => least(message, Some(field), 0)?,
            Leaf::With(field) => self.all(message, Some(field)),
        };
        let (field, value) = match leaf {
            Leaf::All | Leaf::Least => return None,
            Leaf::Field(field) | Leaf::With(field) => (field, value(&value_kind(field), 0)?),
            Leaf::Number(field, number) => {
                let kind = value_kind(field);
                let name = kind.as_enum()?.get_value(*number)?.name().to_owned();
                (field, Value::from(name))
            }
        };
        members.insert(field.json_name().to_owned(), labelled(field, value));
        Some(Value::Object(members))
    }

    /// One field of each oneof and all others, but for those that take a reader by surprise in a way that is allowed.
    fn all(&self, message: &MessageDescriptor, beside: Option<&FieldDescriptor>) -> Map<String, Value> {
        let now = self.reader.parent_pool().get_message_by_name(message.full_name());
        let is_same = |field: &FieldDescriptor| {
            let now = now.as_ref().and_then(|now| now.get_field(field.number()));
            now.is_some_and(|now| {
                now.json_name() == field.json_name() && form(&now.kind()) == form(&field.kind())
            })
        };
        let real_oneof =
            |field: &FieldDescriptor| field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let mut taken: BTreeSet<String> =
            beside.and_then(real_oneof).map(|oneof| oneof.name().to_owned()).into_iter().collect();
        let mut members = Map::new();
        for field in message.fields().take(FIELDS_MAX) {
            let is_allowed = self.policy == Policy::Strict || field.is_required() || is_same(&field);
            let is_own = beside.is_some_and(|beside| beside.number() == field.number());
            let oneof = real_oneof(&field).map(|oneof| oneof.name().to_owned());
            if !is_allowed || is_own || oneof.is_some_and(|oneof| !taken.insert(oneof)) {
                continue;
            }
            if let Some(value) = value(&value_kind(&field), 1) {
                members.insert(field.json_name().to_owned(), labelled(&field, value));
            }
        }
        members
    }
}

/// What a message must have, but for one field.
fn least(
    message: &MessageDescriptor,
    but: Option<&FieldDescriptor>,
    depth: usize,
) -> Option<Map<String, Value>> {
    let is_wanted =
        |field: &FieldDescriptor| field.is_required() && but.is_none_or(|but| but.number() != field.number());
    let mut members = Map::new();
    for field in message.fields().filter(is_wanted) {
        members.insert(field.json_name().to_owned(), value(&field.kind(), depth + 1)?);
    }
    Some(members)
}

/// A value that is not the default.
fn value(kind: &Kind, depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match kind {
        Kind::Double | Kind::Float => json!(1.5),
        Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Fixed32 | Kind::Sfixed32 => json!(1),
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => json!("1"),
        Kind::Bool => json!(true),
        Kind::String => json!("text"),
        // No UTF-8.
        Kind::Bytes => json!("/w=="),
        Kind::Enum(one) => {
            let other = one.values().find(|value| value.number() != 0);
            other.or_else(|| one.values().next())?.name().to_owned().into()
        }
        Kind::Message(message) if is_known(message) => known(message)?,
        Kind::Message(message) => {
            let mut members = least(message, None, depth)?;
            // Something to be told by; an empty message looks like any other.
            for field in message.fields().filter(|field| !matches!(field.kind(), Kind::Message(_))).take(1) {
                let own = value(&field.kind(), depth + 1)?;
                members.insert(field.json_name().to_owned(), labelled(&field, own));
            }
            Value::Object(members)
        }
    })
}

/// The kind of a field's value; of a map's values.
fn value_kind(field: &FieldDescriptor) -> Kind {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    }
}

/// A value as its field has it: alone, in a list, under a key.
fn labelled(field: &FieldDescriptor, value: Value) -> Value {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let key = match entry.map_entry_key_field().kind() {
                Kind::String => "key",
                Kind::Bool => "true",
                _ => "1",
            };
            json!({key: value})
        }
        _ if field.is_list() => json!([value]),
        _ => value,
    }
}

/// Messages that JSON has forms of its own for.
fn is_known(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

fn known(message: &MessageDescriptor) -> Option<Value> {
    Some(match message.name() {
        "Timestamp" => json!("2020-01-01T00:00:00Z"),
        "Duration" => json!("1s"),
        "Struct" | "Empty" => json!({}),
        "Value" | "StringValue" => json!("text"),
        "ListValue" => json!([]),
        "BoolValue" => json!(true),
        "BytesValue" => json!("/w=="),
        "DoubleValue" | "FloatValue" => json!(1.5),
        "Int32Value" | "UInt32Value" => json!(1),
        "Int64Value" | "UInt64Value" => json!("1"),
        _ => return None,
    })
}
