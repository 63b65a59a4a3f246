//! A JSON value that borrows its text.

use std::borrow::Cow;

use super::Pointer;

/// A JSON value that borrows its text from the body.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as serde_json reads it.
    Number(serde_json::Number),
    /// A string; borrowed unless it held an escape.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Self>),
    /// An object: members in order, names unique.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Value<'a> {
    /// The member of this name, where the value is an object that has it.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.as_object()?.iter().find(|(have, _)| have == name).map(|(_, value)| value)
    }

    /// The value a pointer leads to; array elements are named by their index without leading zeros.
    #[must_use]
    pub fn at(&self, pointer: &Pointer) -> Option<&Self> {
        self.follow(pointer.parts())
    }

    /// The value to which these parts of a pointer lead.
    pub(crate) fn follow<'p>(&self, mut parts: impl Iterator<Item = &'p str>) -> Option<&Self> {
        parts.try_fold(self, |value, part| match value {
            Self::Object(_) => value.member(part),
            Self::Array(elements) => index(part).and_then(|index| elements.get(index)),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => None,
        })
    }

    /// The text, where the value is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, where the value is one.
    #[must_use]
    pub const fn as_number(&self) -> Option<&serde_json::Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    /// The truth value, where the value is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// The members in order, where the value is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&[(Cow<'a, str>, Self)]> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// The elements, where the value is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(elements) = self { Some(elements) } else { None }
    }

    /// Whether the value is `null`.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value as `serde_json`'s own, which owns its text; for cold paths.
    #[must_use]
    pub fn to_owned_value(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(truth) => serde_json::Value::Bool(*truth),
            Self::Number(number) => serde_json::Value::Number(number.clone()),
            Self::String(text) => serde_json::Value::String(text.clone().into_owned()),
            Self::Array(elements) => elements.iter().map(Self::to_owned_value).collect(),
            Self::Object(members) => members
                .iter()
                .map(|(name, value)| (name.clone().into_owned(), value.to_owned_value()))
                .collect(),
        }
    }
}

impl serde::Serialize for Value<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(elements) => serializer.collect_seq(elements),
            Self::Object(members) => {
                serializer.collect_map(members.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

fn index(part: &str) -> Option<usize> {
    let is_plain = part == "0" || (!part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit()));
    if is_plain { part.parse().ok() } else { None }
}
