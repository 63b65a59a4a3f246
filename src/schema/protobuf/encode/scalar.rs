//! Values without parts, as JSON says them.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::number::{float, whole};
use crate::event::json::Value;
use crate::schema::protobuf::plan::{Enumeration, Scalar};
use crate::schema::protobuf::wire::{begin, end, write_varint, zigzag};

/// So many names of an enum are told.
const NAMES_TOLD_MAX: usize = 10;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Which rule a value breaks, without the value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) keyword: &'static str,
    pub(super) words: String,
}

impl Broken {
    pub(super) fn new(keyword: &'static str, words: &str) -> Self {
        Self { keyword, words: words.to_owned() }
    }
}

/// Appends a value; answers whether it is what an absent one is.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a float is what was asked for, and its range is checked"
)]
pub(super) fn write(out: &mut Vec<u8>, scalar: Scalar, value: &Value<'_>) -> Result<bool, Broken> {
    match scalar {
        Scalar::Double => {
            let number = float(value)?;
            out.extend_from_slice(&number.to_le_bytes());
            Ok(number.to_bits() == 0)
        }
        Scalar::Float => {
            let number = float(value)?;
            let short = number as f32;
            if number.is_finite() && short.is_infinite() {
                return Err(Broken::new("maximum", "must be within the range of a float"));
            }
            out.extend_from_slice(&short.to_le_bytes());
            Ok(short.to_bits() == 0)
        }
        Scalar::Bool => {
            let truth = value.as_bool().ok_or_else(|| Broken::new("type", "must be of type boolean"))?;
            out.push(u8::from(truth));
            Ok(!truth)
        }
        Scalar::String => {
            let text = value.as_str().ok_or_else(|| Broken::new("type", "must be of type string"))?;
            write_varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
            Ok(text.is_empty())
        }
        Scalar::Bytes => {
            let text = value.as_str().ok_or_else(|| Broken::new("type", "must be a string of base64"))?;
            let start = begin(out);
            let is_url_safe = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
            let engine = if is_url_safe { &URL_SAFE } else { &STANDARD };
            let decoded = engine.decode_vec(text, out);
            decoded.map_err(|_| Broken::new("contentEncoding", "must be base64"))?;
            end(out, start);
            Ok(text.is_empty())
        }
        Scalar::Int32
        | Scalar::Int64
        | Scalar::Uint32
        | Scalar::Uint64
        | Scalar::Sint32
        | Scalar::Sint64
        | Scalar::Fixed32
        | Scalar::Fixed64
        | Scalar::Sfixed32
        | Scalar::Sfixed64 => {
            let number = whole(value)?;
            write_whole(out, scalar, number)?;
            Ok(number == 0)
        }
    }
}

fn write_whole(out: &mut Vec<u8>, scalar: Scalar, number: i128) -> Result<(), Broken> {
    match scalar {
        Scalar::Int32 => write_varint(out, i64::from(within::<i32>(number)?).cast_unsigned()),
        Scalar::Int64 => write_varint(out, within::<i64>(number)?.cast_unsigned()),
        Scalar::Uint32 => write_varint(out, u64::from(within::<u32>(number)?)),
        Scalar::Uint64 => write_varint(out, within::<u64>(number)?),
        Scalar::Sint32 => write_varint(out, zigzag(i64::from(within::<i32>(number)?)) & u64::from(u32::MAX)),
        Scalar::Sint64 => write_varint(out, zigzag(within::<i64>(number)?)),
        Scalar::Fixed32 => out.extend_from_slice(&within::<u32>(number)?.to_le_bytes()),
        Scalar::Fixed64 => out.extend_from_slice(&within::<u64>(number)?.to_le_bytes()),
        Scalar::Sfixed32 => out.extend_from_slice(&within::<i32>(number)?.to_le_bytes()),
        Scalar::Sfixed64 => out.extend_from_slice(&within::<i64>(number)?.to_le_bytes()),
        Scalar::Double | Scalar::Float | Scalar::Bool | Scalar::String | Scalar::Bytes => {}
    }
    Ok(())
}

/// The number as one of this range.
fn within<N: TryFrom<i128> + num::Bounds>(number: i128) -> Result<N, Broken> {
    N::try_from(number).map_err(|_| {
        if number < 0 {
            Broken { keyword: "minimum", words: format!("must be at least {}", N::LEAST) }
        } else {
            Broken { keyword: "maximum", words: format!("must be at most {}", N::MOST) }
        }
    })
}

mod num {
    /// The range of a type of numbers.
    pub(super) trait Bounds {
        const LEAST: i128;
        const MOST: i128;
    }

    impl Bounds for i32 {
        const LEAST: i128 = Self::MIN as i128;
        const MOST: i128 = Self::MAX as i128;
    }

    impl Bounds for i64 {
        const LEAST: i128 = Self::MIN as i128;
        const MOST: i128 = Self::MAX as i128;
    }

    impl Bounds for u32 {
        const LEAST: i128 = 0;
        const MOST: i128 = Self::MAX as i128;
    }

    impl Bounds for u64 {
        const LEAST: i128 = 0;
        const MOST: i128 = Self::MAX as i128;
    }
}

/// Appends the name of a member as the key of a map's entry.
pub(super) fn write_map_key(out: &mut Vec<u8>, scalar: Scalar, name: &str) -> Result<(), String> {
    let value = match (scalar, name) {
        (Scalar::Bool, "true") => Value::Bool(true),
        (Scalar::Bool, "false") => Value::Bool(false),
        (Scalar::Bool, _) => return Err("must be true or false".to_owned()),
        (_, name) => Value::String(name.into()),
    };
    write(out, scalar, &value).map(drop).map_err(|broken| broken.words)
}

/// Appends a value of an enum, which is a name or a number.
pub(super) fn write_enum(out: &mut Vec<u8>, one: &Enumeration, value: &Value<'_>) -> Result<bool, Broken> {
    let number = match value {
        Value::Null if one.is_null => 0,
        Value::String(name) => *one.numbers.get(&**name).ok_or_else(|| unknown(one))?,
        Value::Number(_) => {
            let number = within::<i32>(whole(value)?)?;
            if one.is_closed && !one.names.contains_key(&number) {
                return Err(unknown(one));
            }
            number
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(Broken::new("type", "must be a name of the enum, or its number"));
        }
    };
    write_varint(out, i64::from(number).cast_unsigned());
    Ok(number == one.default)
}

fn unknown(one: &Enumeration) -> Broken {
    let told: Vec<&str> = one.listed.iter().take(NAMES_TOLD_MAX).map(|name| &**name).collect();
    let more = if one.listed.len() > NAMES_TOLD_MAX { ", …" } else { "" };
    Broken { keyword: "enum", words: format!("must be one of {}{more}", told.join(", ")) }
}
