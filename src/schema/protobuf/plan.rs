//! The messages of a schema, laid out so that data is written and read without asking the descriptors again.

use std::collections::HashMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor};

use super::wire::{Layout, key};

/// All messages and enums that a file has or reaches.
#[derive(Debug, Default)]
pub(super) struct Plan {
    messages: Vec<Message>,
    enums: Vec<Enumeration>,
    /// Those of the file itself, by their place in it.
    places: HashMap<Vec<u32>, usize>,
}

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: Box<str>,
    /// By number.
    pub(super) fields: Vec<Field>,
    /// By the name in JSON and the name in the schema.
    names: HashMap<Box<str>, usize>,
    pub(super) required: Vec<usize>,
    pub(super) oneofs: usize,
    pub(super) known: Option<Known>,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// The name in JSON.
    pub(super) name: Box<str>,
    /// The name in the schema, which is accepted too.
    pub(super) original: Box<str>,
    /// What stands before each value.
    pub(super) key: Box<[u8]>,
    pub(super) shape: Shape,
    /// Of an element of a list, a value of a map.
    pub(super) kind: Kind,
    /// Which of the message's oneofs it belongs to.
    pub(super) oneof: Option<usize>,
}

/// How often a field has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Once or not at all, which is told apart from the default value only where it has presence.
    One { has_presence: bool },
    /// Any number of times, numbers perhaps in one run.
    List { is_packed: bool },
    /// By key.
    Map { keys: Scalar },
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar(Scalar),
    /// An enum of the plan.
    Enum(usize),
    /// A message of the plan.
    Message(usize),
    /// A message of the plan between a group's marks.
    Group(usize),
}

/// A value without parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
}

/// A message that JSON has a form of its own for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Any,
    Duration,
    FieldMask,
    List,
    Struct,
    Timestamp,
    Value,
    Wrapper(Scalar),
}

/// An enum.
#[derive(Debug)]
pub(super) struct Enumeration {
    /// By name.
    pub(super) numbers: HashMap<Box<str>, i32>,
    /// By number; the first name of each.
    pub(super) names: HashMap<i32, Box<str>>,
    /// As the schema lists them.
    pub(super) listed: Vec<Box<str>>,
    /// What an absent value is.
    pub(super) default: i32,
    /// Whether it takes only the numbers that have names.
    pub(super) is_closed: bool,
    /// Whether it is the one whose only value is JSON's `null`.
    pub(super) is_null: bool,
}

impl Plan {
    /// The messages of a file and all that they reach.
    pub(super) fn of(file: &FileDescriptor) -> Self {
        let mut builder = Builder::default();
        let mut rest: Vec<(Vec<u32>, MessageDescriptor)> = numbered(&[], file.messages());
        while let Some((place, message)) = rest.pop() {
            let index = builder.message(&message);
            rest.extend(numbered(&place, message.child_messages()));
            builder.plan.places.insert(place, index);
        }
        builder.finish()
    }

    pub(super) fn message(&self, index: usize) -> Option<&Message> {
        self.messages.get(index)
    }

    pub(super) fn enumeration(&self, index: usize) -> Option<&Enumeration> {
        self.enums.get(index)
    }

    /// The message at a place in the file: the number of a message of the file, then of a message within that, and so on.
    pub(super) fn at(&self, place: &[u32]) -> Option<usize> {
        self.places.get(place).copied()
    }

    /// Whether a value of this kind may be JSON's `null`.
    pub(super) fn takes_null(&self, kind: Kind) -> bool {
        match kind {
            Kind::Scalar(_) | Kind::Group(_) => false,
            Kind::Enum(index) => self.enumeration(index).is_some_and(|one| one.is_null),
            Kind::Message(index) => self.message(index).is_some_and(|one| one.known == Some(Known::Value)),
        }
    }
}

impl Message {
    /// The field of a name, as JSON or the schema has it; looks at `near` first, since members often come in order.
    pub(super) fn find(&self, name: &str, near: usize) -> Option<usize> {
        let is_near = |field: &Field| *field.name == *name || *field.original == *name;
        if self.fields.get(near).is_some_and(is_near) {
            return Some(near);
        }
        self.names.get(name).copied()
    }

    pub(super) fn numbered(&self, number: u32) -> Option<usize> {
        let near = usize::try_from(number).ok()?.checked_sub(1)?;
        if self.fields.get(near).is_some_and(|field| field.number == number) {
            return Some(near);
        }
        self.fields.binary_search_by_key(&number, |field| field.number).ok()
    }
}

impl Scalar {
    pub(super) const fn layout(self) -> Layout {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => Layout::Fixed64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => Layout::Fixed32,
            Self::Int32
            | Self::Int64
            | Self::Uint32
            | Self::Uint64
            | Self::Sint32
            | Self::Sint64
            | Self::Bool => Layout::Varint,
            Self::String | Self::Bytes => Layout::Length,
        }
    }
}

impl Kind {
    pub(super) const fn layout(self) -> Layout {
        match self {
            Self::Scalar(scalar) => scalar.layout(),
            Self::Enum(_) => Layout::Varint,
            Self::Message(_) => Layout::Length,
            Self::Group(_) => Layout::GroupBegin,
        }
    }
}

fn numbered(
    place: &[u32],
    messages: impl Iterator<Item = MessageDescriptor>,
) -> Vec<(Vec<u32>, MessageDescriptor)> {
    (0..).zip(messages).map(|(index, message)| ([place, &[index]].concat(), message)).collect()
}

/// Messages and enums get their numbers when they are first met; messages are laid out one after the other, so that
/// those that hold themselves end.
#[derive(Default)]
struct Builder {
    plan: Plan,
    messages: HashMap<String, usize>,
    enums: HashMap<String, usize>,
    rest: Vec<MessageDescriptor>,
}

impl Builder {
    fn finish(mut self) -> Plan {
        let mut done = 0;
        while let Some(descriptor) = self.rest.get(done).cloned() {
            let message = self.lay_out(&descriptor);
            self.plan.messages.push(message);
            done += 1;
        }
        self.plan
    }

    fn message(&mut self, descriptor: &MessageDescriptor) -> usize {
        if let Some(index) = self.messages.get(descriptor.full_name()) {
            return *index;
        }
        let index = self.rest.len();
        self.messages.insert(descriptor.full_name().to_owned(), index);
        self.rest.push(descriptor.clone());
        index
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) -> usize {
        if let Some(index) = self.enums.get(descriptor.full_name()) {
            return *index;
        }
        let index = self.plan.enums.len();
        self.enums.insert(descriptor.full_name().to_owned(), index);
        let mut names = HashMap::new();
        for value in descriptor.values() {
            names.entry(value.number()).or_insert_with(|| value.name().into());
        }
        self.plan.enums.push(Enumeration {
            numbers: descriptor.values().map(|value| (value.name().into(), value.number())).collect(),
            names,
            listed: descriptor.values().map(|value| value.name().into()).collect(),
            default: descriptor.default_value().number(),
            is_closed: descriptor.parent_file().syntax() == prost_reflect::Syntax::Proto2,
            is_null: descriptor.full_name() == "google.protobuf.NullValue"
                && descriptor.parent_file().name() == "google/protobuf/struct.proto",
        });
        index
    }

    fn lay_out(&mut self, descriptor: &MessageDescriptor) -> Message {
        let mut oneofs: HashMap<String, usize> = HashMap::new();
        let mut fields: Vec<Field> =
            descriptor.fields().map(|field| self.field(&field, &mut oneofs)).collect();
        fields.sort_by_key(|field| field.number);
        let mut names = HashMap::new();
        for (index, field) in fields.iter().enumerate() {
            names.entry(field.original.clone()).or_insert(index);
        }
        for (index, field) in fields.iter().enumerate() {
            names.insert(field.name.clone(), index);
        }
        let is_required = |field: &Field| {
            descriptor.get_field(field.number).is_some_and(|descriptor| descriptor.is_required())
        };
        let required =
            (0..fields.len()).filter(|index| fields.get(*index).is_some_and(is_required)).collect();
        let (name, known) = (descriptor.full_name().into(), known(descriptor));
        Message { name, fields, names, required, oneofs: oneofs.len(), known }
    }

    fn field(&mut self, field: &FieldDescriptor, oneofs: &mut HashMap<String, usize>) -> Field {
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        let oneof = oneof.map(|oneof| {
            let next = oneofs.len();
            *oneofs.entry(oneof.name().to_owned()).or_insert(next)
        });
        let mut kind = self.kind(field);
        let entry = field.kind();
        let shape = match entry.as_message().filter(|_| field.is_map()) {
            Some(entry) => {
                kind = self.kind(&entry.map_entry_value_field());
                let keys = scalar(&entry.map_entry_key_field().kind()).unwrap_or(Scalar::String);
                Shape::Map { keys }
            }
            None if field.is_list() => Shape::List { is_packed: field.is_packed() },
            None => Shape::One { has_presence: field.supports_presence() },
        };
        let layout = match shape {
            Shape::One { .. } | Shape::List { is_packed: false } => kind.layout(),
            Shape::List { is_packed: true } | Shape::Map { .. } => Layout::Length,
        };
        Field {
            number: field.number(),
            name: field.json_name().into(),
            original: field.name().into(),
            key: key(field.number(), layout),
            shape,
            kind,
            oneof,
        }
    }

    fn kind(&mut self, field: &FieldDescriptor) -> Kind {
        match field.kind() {
            prost_reflect::Kind::Enum(descriptor) => Kind::Enum(self.enumeration(&descriptor)),
            prost_reflect::Kind::Message(descriptor) if field.is_group() => {
                Kind::Group(self.message(&descriptor))
            }
            prost_reflect::Kind::Message(descriptor) => Kind::Message(self.message(&descriptor)),
            kind => Kind::Scalar(scalar(&kind).unwrap_or(Scalar::Bytes)),
        }
    }
}

const fn scalar(kind: &prost_reflect::Kind) -> Option<Scalar> {
    use prost_reflect::Kind;
    Some(match kind {
        Kind::Double => Scalar::Double,
        Kind::Float => Scalar::Float,
        Kind::Int32 => Scalar::Int32,
        Kind::Int64 => Scalar::Int64,
        Kind::Uint32 => Scalar::Uint32,
        Kind::Uint64 => Scalar::Uint64,
        Kind::Sint32 => Scalar::Sint32,
        Kind::Sint64 => Scalar::Sint64,
        Kind::Fixed32 => Scalar::Fixed32,
        Kind::Fixed64 => Scalar::Fixed64,
        Kind::Sfixed32 => Scalar::Sfixed32,
        Kind::Sfixed64 => Scalar::Sfixed64,
        Kind::Bool => Scalar::Bool,
        Kind::String => Scalar::String,
        Kind::Bytes => Scalar::Bytes,
        Kind::Message(_) | Kind::Enum(_) => return None,
    })
}

/// The well-known types, which only the files that are built in may define.
fn known(message: &MessageDescriptor) -> Option<Known> {
    let file = message.parent_file();
    match (file.name(), message.full_name()) {
        ("google/protobuf/any.proto", "google.protobuf.Any") => Some(Known::Any),
        ("google/protobuf/duration.proto", "google.protobuf.Duration") => Some(Known::Duration),
        ("google/protobuf/field_mask.proto", "google.protobuf.FieldMask") => Some(Known::FieldMask),
        ("google/protobuf/struct.proto", "google.protobuf.ListValue") => Some(Known::List),
        ("google/protobuf/struct.proto", "google.protobuf.Struct") => Some(Known::Struct),
        ("google/protobuf/struct.proto", "google.protobuf.Value") => Some(Known::Value),
        ("google/protobuf/timestamp.proto", "google.protobuf.Timestamp") => Some(Known::Timestamp),
        ("google/protobuf/wrappers.proto", _) => scalar(&message.get_field(1)?.kind()).map(Known::Wrapper),
        _ => None,
    }
}
