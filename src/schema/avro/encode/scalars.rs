//! Values without parts: what JSON each type takes, and how it is written.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Number;

use super::super::tree::{Enum, Fixed, Meaning, Node, Octets, Unit};
use super::super::wire::{write_bytes, write_count, write_long};
use super::super::{decimal, time};
use crate::event::json::Value;

/// Doubles of greater whole numbers do not tell which one was meant.
const WHOLE_DOUBLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Why a value is not of a type.
pub(super) struct Refusal {
    pub(super) keyword: &'static str,
    pub(super) message: Cow<'static, str>,
}

const fn refusal(keyword: &'static str, message: &'static str) -> Refusal {
    Refusal { keyword, message: Cow::Borrowed(message) }
}

/// Numbers that JSON has only as strings.
pub(in super::super) fn is_named_number(text: &str) -> bool {
    named_number(text).is_some()
}

fn named_number(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Writes a value of a type without parts.
pub(super) fn write(node: &Node, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match (node, value) {
        (Node::Null, Value::Null) => {}
        (Node::Boolean, Value::Bool(truth)) => out.push(u8::from(*truth)),
        (Node::Int(meaning), Value::Number(number)) => {
            let whole = i32::try_from(whole(number)?);
            let whole = whole.map_err(|_| refusal("range", "must be from -2147483648 to 2147483647"))?;
            write_long(out, meant(*meaning, i64::from(whole))?);
        }
        (Node::Long(meaning), Value::Number(number)) => write_long(out, meant(*meaning, whole(number)?)?),
        (Node::Int(meaning) | Node::Long(meaning), Value::String(text)) if *meaning != Meaning::Number => {
            let number = time::parse(*meaning, text).ok_or_else(|| refusal("format", form_of(*meaning)))?;
            write_long(out, number);
        }
        (Node::Float, Value::Number(number)) => {
            #[expect(clippy::cast_possible_truncation, reason = "the nearest float is meant")]
            let float = float(number)? as f32;
            if float.is_infinite() {
                return Err(refusal("range", "is beyond what a float holds"));
            }
            out.extend_from_slice(&float.to_le_bytes());
        }
        (Node::Double, Value::Number(number)) => out.extend_from_slice(&float(number)?.to_le_bytes()),
        (Node::Float | Node::Double, Value::String(text)) => {
            let special = named_number(text)
                .ok_or(refusal("type", "must be a number, or \"NaN\", \"Infinity\" or \"-Infinity\""))?;
            #[expect(clippy::cast_possible_truncation, reason = "both have these values")]
            match node {
                Node::Float => out.extend_from_slice(&(special as f32).to_le_bytes()),
                _ => out.extend_from_slice(&special.to_le_bytes()),
            }
        }
        (Node::Text { is_uuid }, Value::String(text)) => {
            if *is_uuid {
                uuid(text)?;
            }
            write_bytes(out, text.as_bytes());
        }
        (Node::Bytes(octets), Value::String(text)) => write_bytes(out, &read_octets(*octets, None, text)?),
        (Node::Fixed(Fixed { size, octets, .. }), Value::String(text)) => {
            out.extend_from_slice(&read_octets(*octets, Some(*size), text)?);
        }
        (Node::Enum(symbols), Value::String(symbol)) => match symbols.by_symbol.get(&**symbol) {
            Some(index) => write_count(out, *index),
            None => return Err(not_a_symbol(symbols)),
        },
        (node, _) => return Err(refusal("type", wanted(node))),
    }
    Ok(())
}

/// A whole number, also where it is written with a fraction of nothing.
fn whole(number: &Number) -> Result<i64, Refusal> {
    if let Some(whole) = number.as_i64() {
        return Ok(whole);
    }
    if number.is_u64() {
        return Err(refusal("range", "must be from -9223372036854775808 to 9223372036854775807"));
    }
    let float = number.as_f64().unwrap_or(f64::NAN);
    if float.fract() == 0.0 && float.abs() <= WHOLE_DOUBLE_MAX {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and far within the range")]
        return Ok(float as i64);
    }
    Err(refusal("type", "must be a whole number"))
}

fn float(number: &Number) -> Result<f64, Refusal> {
    let float = number.as_f64().filter(|float| float.is_finite());
    float.ok_or(refusal("range", "is beyond what a double holds"))
}

/// A number, where what it stands for has it.
fn meant(meaning: Meaning, number: i64) -> Result<i64, Refusal> {
    let is_time = match meaning {
        Meaning::TimeOfDay(unit) => (0..unit.per_second() * 86_400).contains(&number),
        Meaning::Number | Meaning::Date | Meaning::Instant(_) | Meaning::Local(_) => true,
    };
    if is_time { Ok(number) } else { Err(refusal("range", "must be a time of the day")) }
}

const fn form_of(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Number => "must be a whole number",
        Meaning::Date => "must be a date such as 2026-11-21, or a whole number",
        Meaning::TimeOfDay(_) => "must be a time such as 10:15:30.123, or a whole number",
        Meaning::Instant(Unit::Nanos) => {
            "must be a time such as 2026-11-21T10:15:30Z between 1677 and 2262, or a whole number"
        }
        Meaning::Instant(_) => "must be a time such as 2026-11-21T10:15:30.123Z, or a whole number",
        Meaning::Local(_) => "must be a time such as 2026-11-21T10:15:30.123, or a whole number",
    }
}

fn uuid(text: &str) -> Result<uuid::Uuid, Refusal> {
    let uuid = uuid::Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
    uuid.ok_or(refusal("format", "must be a UUID such as 550e8400-e29b-41d4-a716-446655440000"))
}

/// The bytes that a text stands for; `size` of them where that is said.
fn read_octets(octets: Octets, size: Option<usize>, text: &str) -> Result<Vec<u8>, Refusal> {
    match octets {
        Octets::Decimal { precision, scale } => {
            decimal::parse(text, precision, scale, size).ok_or_else(|| Refusal {
                keyword: "format",
                message: format!(
                    "must be a decimal number as a string, such as \"{}\", of at most {precision} digits, {scale} after the point",
                    if scale > 0 { "12.5" } else { "12" }
                )
                .into(),
            })
        }
        Octets::Uuid => uuid(text).map(|uuid| uuid.as_bytes().to_vec()),
        Octets::Plain => {
            let bytes = STANDARD.decode(text.as_bytes());
            let bytes = bytes.map_err(|_| refusal("format", "must be bytes in base64"))?;
            match size {
                Some(size) if bytes.len() != size => Err(Refusal {
                    keyword: "size",
                    message: format!("must be {size} bytes in base64").into(),
                }),
                _ => Ok(bytes),
            }
        }
    }
}

fn not_a_symbol(symbols: &Enum) -> Refusal {
    let told: Vec<String> =
        symbols.symbols.iter().take(10).map(|symbol| symbol.chars().take(100).collect()).collect();
    let others = if symbols.symbols.len() > told.len() { " and others" } else { "" };
    Refusal { keyword: "enum", message: format!("must be one of {}{others}", told.join(", ")).into() }
}

/// What JSON a type takes.
const fn wanted(node: &Node) -> &'static str {
    match node {
        Node::Null => "must be null",
        Node::Boolean => "must be true or false",
        Node::Int(meaning) | Node::Long(meaning) => form_of(*meaning),
        Node::Float | Node::Double => "must be a number",
        Node::Bytes(_) | Node::Text { .. } | Node::Enum(_) | Node::Fixed(_) => "must be a string",
        Node::Array(_) => "must be an array",
        Node::Map(_) | Node::Record(_) => "must be an object",
        Node::Union(_) => "must be of one of the union's branches",
    }
}
