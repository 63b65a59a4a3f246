//! A value a filter can compare: text, number, truth value or null.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::super::json::Value;

/// A JSON scalar. Numbers of equal value are equal however they are written (`42`, `42.0`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Scalar<'a> {
    Null,
    Bool(bool),
    Integer(i128),
    /// The bits of a double that is no integer.
    Double(u64),
    Text(Cow<'a, str>),
}

impl<'a> Scalar<'a> {
    pub(super) fn text(text: &str) -> Scalar<'static> {
        Scalar::Text(Cow::Owned(text.to_owned()))
    }

    pub(super) const fn borrowed(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// The integer whose decimal text this is, in the one way JSON writes it.
    pub(super) fn integer_written(text: &str) -> Option<Scalar<'static>> {
        let number: i128 = text.parse().ok()?;
        (number.to_string() == text).then_some(Scalar::Integer(number))
    }

    /// The scalar a JSON value is; `None` for arrays and objects.
    pub(super) fn of_value(value: &'a Value<'_>) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(truth) => Some(Self::Bool(*truth)),
            Value::Number(number) => Some(Self::number(number)),
            Value::String(text) => Some(Self::borrowed(text)),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// As [`Scalar::of_value`], for a filter's own values.
    pub(super) fn of_json(value: &serde_json::Value) -> Option<Scalar<'static>> {
        match value {
            serde_json::Value::Null => Some(Scalar::Null),
            serde_json::Value::Bool(truth) => Some(Scalar::Bool(*truth)),
            serde_json::Value::Number(number) => Some(Scalar::number(number)),
            serde_json::Value::String(text) => Some(Scalar::text(text)),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Integer(_) | Self::Double(_) => None,
        }
    }

    pub(super) const fn is_ordered(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Integer(_) | Self::Double(_))
    }

    /// Numbers by value, text by its bytes; nothing else has an order, nor have a text and a number.
    pub(super) fn compare(&self, other: &Scalar<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(left), Scalar::Text(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
            (Self::Integer(left), Scalar::Integer(right)) => Some(left.cmp(right)),
            (left, right) => left.as_double()?.partial_cmp(&right.as_double()?),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "an integer meets a double as the nearest double")]
    const fn as_double(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Double(bits) => Some(f64::from_bits(*bits)),
            Self::Null | Self::Bool(_) | Self::Text(_) => None,
        }
    }

    fn number(number: &serde_json::Number) -> Self {
        /// Up to here every integer is a double.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if let Some(number) = number.as_i128() {
            return Self::Integer(number);
        }
        let double = number.as_f64().unwrap_or(f64::NAN);
        if double.fract() == 0.0 && double.abs() <= EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "an integer within the exact range")]
            return Self::Integer(double as i128);
        }
        Self::Double(double.to_bits())
    }
}
