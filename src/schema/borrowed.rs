//! How the validator reads our borrowed values in place.

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp, unique};

use crate::event::json::Value;

/// The representation: values of [`crate::event::json`].
#[derive(Debug)]
pub(super) struct Borrowed;

/// An object's members as the validator walks them.
pub(super) struct Members<'a>(std::slice::Iter<'a, (Cow<'a, str>, Value<'a>)>);

impl Json for Borrowed {
    type Node<'a> = &'a Value<'a>;
    type PreparedKey = Box<str>;
    type StringBuffer = Text;

    /// A lookup walks the members, so that one walk for all names is better from the second name on.
    const KEYS_PER_LOOKUP: usize = 8;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>(buffer: &mut Text, string: &str, f: impl FnOnce(Self::Node<'_>) -> T) -> T {
        buffer.0 = Value::String(Cow::Owned(string.to_owned()));
        f(&buffer.0)
    }
}

/// Room for one string.
pub(super) struct Text(Value<'static>);

impl Default for Text {
    fn default() -> Self {
        Self(Value::Null)
    }
}

impl<'a> Node<'a, Borrowed> for &'a Value<'a> {
    type Object = &'a [(Cow<'a, str>, Value<'a>)];
    type Array = &'a [Value<'a>];
    type Number = &'a serde_json::Number;

    fn as_object(&self) -> Option<Self::Object> {
        Value::as_object(self)
    }

    fn as_array(&self) -> Option<Self::Array> {
        Value::as_array(self)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        Value::as_str(self).map(Cow::Borrowed)
    }

    fn as_number(&self) -> Option<Self::Number> {
        Value::as_number(self)
    }

    fn as_boolean(&self) -> Option<bool> {
        Value::as_bool(self)
    }

    fn is_null(&self) -> bool {
        Value::is_null(self)
    }

    fn json_type(&self) -> JsonType {
        match self {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &serde_json::Value) -> bool {
        match (self, expected) {
            (Value::Null, serde_json::Value::Null) => true,
            (Value::Bool(have), serde_json::Value::Bool(expected)) => have == expected,
            (Value::Number(have), serde_json::Value::Number(expected)) => cmp::equal_numbers(have, expected),
            (Value::String(have), serde_json::Value::String(expected)) => have == expected,
            (Value::Array(have), serde_json::Value::Array(expected)) => {
                have.len() == expected.len()
                    && have.iter().zip(expected).all(|(have, expected)| have.equals_value(expected))
            }
            (Value::Object(have), serde_json::Value::Object(expected)) => {
                have.len() == expected.len()
                    && have.iter().all(|(name, value)| {
                        expected.get(name.as_ref()).is_some_and(|expected| value.equals_value(expected))
                    })
            }
            _ => false,
        }
    }

    /// Only errors ask for it, and no error may hold the value; comparisons are done in place.
    fn to_value(&self) -> Cow<'a, serde_json::Value> {
        Cow::Owned(serde_json::Value::Null)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref::<Value<'a>>(self).addr()))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (name.as_ref(), value))
    }
}

impl<'a> Object<'a, Borrowed> for &'a [(Cow<'a, str>, Value<'a>)] {
    type Node = &'a Value<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        <[_]>::len(self)
    }

    fn get(&self, key: &Box<str>) -> Option<&'a Value<'a>> {
        self.iter().find(|(name, _)| **name == **key).map(|(_, value)| value)
    }

    fn members(&self) -> Members<'a> {
        Members(self.iter())
    }
}

impl<'a> Array<'a, Borrowed> for &'a [Value<'a>] {
    type Node = &'a Value<'a>;
    type ElementsIter = std::slice::Iter<'a, Value<'a>>;

    fn len(&self) -> usize {
        <[_]>::len(self)
    }

    fn elements(&self) -> Self::ElementsIter {
        self.iter()
    }

    fn is_unique(&self) -> bool {
        let values: Vec<serde_json::Value> = self.iter().map(Value::to_owned_value).collect();
        unique::is_unique(&values)
    }
}
