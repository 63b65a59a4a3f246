//! Values without parts, as JSON says them.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::undecodable;
use crate::event::json::write_text;
use crate::schema::codec::Undecodable;
use crate::schema::protobuf::plan::{Enumeration, Scalar};
use crate::schema::protobuf::wire::{Wire, unzigzag};

/// A value as it is read.
enum Read<'b> {
    Float(f64),
    Short(f32),
    Whole(i128),
    Truth(bool),
    Text(&'b str),
    Bytes(&'b [u8]),
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "numbers of 32 bits are read from the lower half of a varint"
)]
fn read(scalar: Scalar, wire: Option<Wire<'_>>) -> Result<Read<'_>, Undecodable> {
    let (bits, bytes): (u64, &[u8]) = match wire {
        Some(Wire::Varint(bits) | Wire::Fixed64(bits)) => (bits, &[]),
        Some(Wire::Fixed32(bits)) => (u64::from(bits), &[]),
        Some(Wire::Bytes(bytes) | Wire::Group(bytes)) => (0, bytes),
        None => (0, &[]),
    };
    let short = bits as u32;
    Ok(match scalar {
        Scalar::Double => Read::Float(f64::from_bits(bits)),
        Scalar::Float => Read::Short(f32::from_bits(short)),
        Scalar::Int32 | Scalar::Sfixed32 => Read::Whole(i128::from(short.cast_signed())),
        Scalar::Int64 | Scalar::Sfixed64 => Read::Whole(i128::from(bits.cast_signed())),
        Scalar::Uint32 | Scalar::Fixed32 => Read::Whole(i128::from(short)),
        Scalar::Uint64 | Scalar::Fixed64 => Read::Whole(i128::from(bits)),
        Scalar::Sint32 => Read::Whole(i128::from(unzigzag(u64::from(short)))),
        Scalar::Sint64 => Read::Whole(i128::from(unzigzag(bits))),
        Scalar::Bool => Read::Truth(bits != 0),
        Scalar::String => Read::Text(
            std::str::from_utf8(bytes).map_err(|_| undecodable("a string holds bytes that are no UTF-8"))?,
        ),
        Scalar::Bytes => Read::Bytes(bytes),
    })
}

const fn is_wide(scalar: Scalar) -> bool {
    match scalar {
        Scalar::Int64 | Scalar::Uint64 | Scalar::Sint64 | Scalar::Fixed64 | Scalar::Sfixed64 => true,
        Scalar::Double
        | Scalar::Float
        | Scalar::Int32
        | Scalar::Uint32
        | Scalar::Sint32
        | Scalar::Fixed32
        | Scalar::Sfixed32
        | Scalar::Bool
        | Scalar::String
        | Scalar::Bytes => false,
    }
}

/// Appends a value, or the default where there is none.
pub(super) fn write(out: &mut Vec<u8>, scalar: Scalar, wire: Option<Wire<'_>>) -> Result<(), Undecodable> {
    match read(scalar, wire)? {
        Read::Float(number) => write_float(out, number, |out| serde_json::to_writer(out, &number)),
        Read::Short(number) => write_float(out, number.into(), |out| serde_json::to_writer(out, &number)),
        Read::Whole(number) if is_wide(scalar) => write_text(out, &number.to_string()),
        Read::Whole(number) => write_number(out, number),
        Read::Truth(truth) => out.extend_from_slice(if truth { b"true" } else { b"false" }),
        Read::Text(text) => write_text(out, text),
        Read::Bytes(bytes) => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.push(b'"');
        }
    }
    Ok(())
}

/// Appends a number; those that JSON has none for are text.
fn write_float(out: &mut Vec<u8>, number: f64, write: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>) {
    if number.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if number.is_infinite() {
        out.extend_from_slice(if number > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else {
        write(out).unwrap_or_default();
    }
}

/// Text in memory can be written.
pub(super) fn write_number(out: &mut Vec<u8>, number: i128) {
    write!(out, "{number}").unwrap_or_default();
}

/// The key of a map as the name of a member.
pub(super) fn map_key(scalar: Scalar, wire: Option<Wire<'_>>) -> Result<String, Undecodable> {
    Ok(match read(scalar, wire)? {
        Read::Whole(number) => number.to_string(),
        Read::Truth(truth) => truth.to_string(),
        Read::Text(text) => text.to_owned(),
        Read::Float(_) | Read::Short(_) | Read::Bytes(_) => String::new(),
    })
}

/// Appends a value of an enum: its name, or the number where it has none.
#[expect(clippy::cast_possible_truncation, reason = "enums have the lower half of a varint")]
pub(super) fn write_enum(out: &mut Vec<u8>, one: &Enumeration, wire: Option<Wire<'_>>) {
    let number = match wire {
        Some(Wire::Varint(bits)) => (bits as u32).cast_signed(),
        Some(Wire::Fixed64(_) | Wire::Bytes(_) | Wire::Group(_) | Wire::Fixed32(_)) | None => one.default,
    };
    match one.names.get(&number) {
        _ if one.is_null => out.extend_from_slice(b"null"),
        Some(name) => write_text(out, name),
        None => write_number(out, i128::from(number)),
    }
}
