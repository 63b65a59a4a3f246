//! The well-known types, each in the form that JSON has for it.

use super::Encoder;
use super::scalar::{self, Broken};
use crate::event::json::Value;
use crate::schema::protobuf::plan::{Known, Message, Scalar};
use crate::schema::protobuf::times;
use crate::schema::protobuf::wire::{Layout, key, write_varint};

impl<'p, 'v> Encoder<'p, 'v> {
    pub(super) fn known(&mut self, message: &'p Message, known: Known, value: &'v Value<'v>) {
        let written = match known {
            Known::Any => Err(Broken::new(
                "type",
                "must not be there: google.protobuf.Any holds messages that the schema does not name",
            )),
            Known::Duration => self.time(value, times::parse_duration, "a duration such as \"1.5s\""),
            Known::FieldMask => self.field_mask(value),
            Known::List => {
                self.list(message, value);
                Ok(())
            }
            Known::Struct => {
                self.structure(message, value);
                Ok(())
            }
            Known::Timestamp => {
                self.time(value, times::parse_timestamp, "a time such as \"2026-11-22T10:15:30Z\"")
            }
            Known::Value => {
                self.any_json(message, value);
                Ok(())
            }
            Known::Wrapper(scalar) => self.wrapper(scalar, value),
        };
        if let Err(broken) = written {
            self.violation(broken.keyword, broken.words);
        }
    }

    fn time(
        &mut self,
        value: &Value<'_>,
        parse: impl Fn(&str) -> Option<(i64, i32)>,
        what: &str,
    ) -> Result<(), Broken> {
        let broken = |keyword| Broken { keyword, words: format!("must be {what}") };
        let text = value.as_str().ok_or_else(|| broken("type"))?;
        let (seconds, nanos) = parse(text).ok_or_else(|| broken("format"))?;
        for (number, part) in [(1, seconds), (2, i64::from(nanos))] {
            if part != 0 {
                self.out.extend_from_slice(&key(number, Layout::Varint));
                write_varint(self.out, part.cast_unsigned());
            }
        }
        Ok(())
    }

    fn field_mask(&mut self, value: &Value<'_>) -> Result<(), Broken> {
        let broken =
            |keyword| Broken::new(keyword, "must be names of fields such as \"name,address.zipCode\"");
        let text = value.as_str().ok_or_else(|| broken("type"))?;
        for path in text.split(',').filter(|_| !text.is_empty()) {
            let path = times::snake_case(path).ok_or_else(|| broken("format"))?;
            self.out.extend_from_slice(&key(1, Layout::Length));
            write_varint(self.out, path.len() as u64);
            self.out.extend_from_slice(path.as_bytes());
        }
        Ok(())
    }

    fn wrapper(&mut self, scalar: Scalar, value: &Value<'_>) -> Result<(), Broken> {
        let before = self.out.len();
        self.out.extend_from_slice(&key(1, scalar.layout()));
        if scalar::write(self.out, scalar, value)? {
            self.out.truncate(before);
        }
        Ok(())
    }

    /// Any object: a map from names to values.
    fn structure(&mut self, message: &'p Message, value: &'v Value<'v>) {
        let (Some(members), Some(field)) = (value.as_object(), message.fields.first()) else {
            return self.wrong_type("object");
        };
        self.map(field, Scalar::String, members);
    }

    /// Any array: elements of any kind.
    fn list(&mut self, message: &'p Message, value: &'v Value<'v>) {
        let (Some(elements), Some(field)) = (value.as_array(), message.fields.first()) else {
            return self.wrong_type("array");
        };
        self.elements(field, elements);
    }

    /// Any value: one of the fields null, number, text, truth, object and array, 1 to 6.
    fn any_json(&mut self, message: &'p Message, value: &'v Value<'v>) {
        let number = match value {
            Value::Null => 1,
            Value::Number(_) => 2,
            Value::String(_) => 3,
            Value::Bool(_) => 4,
            Value::Object(_) => 5,
            Value::Array(_) => 6,
        };
        let Some(field) = message.numbered(number).and_then(|index| message.fields.get(index)) else {
            return;
        };
        self.out.extend_from_slice(&field.key);
        self.value(field.kind, field.number, value);
    }
}
