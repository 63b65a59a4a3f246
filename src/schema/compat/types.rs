//! Types of JSON, integers and other numbers apart.

use serde_json::Value;

use super::place::Node;

/// A set of types; integers and other numbers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(2);
    pub(super) const INTEGER: Self = Self(4);
    pub(super) const FRACTION: Self = Self(8);
    pub(super) const STRING: Self = Self(16);
    pub(super) const ARRAY: Self = Self(32);
    pub(super) const OBJECT: Self = Self(64);
    pub(super) const ALL: Self = Self(127);

    /// What all these schemas together allow; `None` where that is no type at all.
    pub(super) fn of(nodes: &[Node<'_>]) -> Option<Self> {
        let all = nodes.iter().fold(Self::ALL, |types, node| Self(types.0 & Self::of_schema(node.schema).0));
        (all.0 != 0).then_some(all)
    }

    fn of_schema(schema: &Value) -> Self {
        let named = schema.get("type").map_or(Self::ALL, Self::named);
        let of_values =
            |values: &[Value]| Self(values.iter().fold(0, |types, value| types | Self::of_value(value).0));
        let listed =
            schema.get("enum").and_then(Value::as_array).map_or(Self::ALL, |values| of_values(values));
        let constant = schema.get("const").map_or(Self::ALL, Self::of_value);
        Self(named.0 & listed.0 & constant.0)
    }

    /// What the keyword `type` allows.
    pub(super) fn named(value: &Value) -> Self {
        match value {
            Value::Array(names) => Self(names.iter().fold(0, |types, name| types | Self::named(name).0)),
            Value::String(name) => match name.as_str() {
                "null" => Self::NULL,
                "boolean" => Self::BOOLEAN,
                "integer" => Self::INTEGER,
                "number" => Self(Self::INTEGER.0 | Self::FRACTION.0),
                "string" => Self::STRING,
                "array" => Self::ARRAY,
                "object" => Self::OBJECT,
                _ => Self(0),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Self::ALL,
        }
    }

    fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => {
                Self::INTEGER
            }
            Value::Number(_) => Self::FRACTION,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn has_numbers(self) -> bool {
        self.has(Self::INTEGER) || self.has(Self::FRACTION)
    }

    /// What this has and the other lacks.
    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn complement(self) -> Self {
        Self(Self::ALL.0 & !self.0)
    }

    pub(super) const fn is_disjoint(self, other: Self) -> bool {
        self.0 & other.0 == 0
    }

    /// All values of these types, where they have few.
    pub(super) fn values(self) -> Option<Vec<Value>> {
        let few = [(Self::NULL, Value::Null), (Self::BOOLEAN, false.into()), (Self::BOOLEAN, true.into())];
        let is_few = self.without(Self(Self::NULL.0 | Self::BOOLEAN.0)).0 == 0;
        let own = few.into_iter().filter(|(types, _)| self.has(*types)).map(|(_, value)| value);
        is_few.then(|| own.collect())
    }

    /// Whether there is none.
    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its types by name, and a value of each.
    pub(super) fn described(self) -> Vec<(&'static str, Value)> {
        let known = [
            (Self::NULL, "null", Value::Null),
            (Self::BOOLEAN, "boolean", Value::Bool(true)),
            (Self::INTEGER, "integer", Value::from(1)),
            (Self::FRACTION, "number", Value::from(0.5)),
            (Self::STRING, "string", Value::from("text")),
            (Self::ARRAY, "array", Value::Array(Vec::new())),
            (Self::OBJECT, "object", Value::Object(serde_json::Map::new())),
        ];
        let own = known.into_iter().filter(|(types, ..)| self.has(*types));
        own.map(|(_, name, value)| (name, value)).collect()
    }
}
