//! Numbers as JSON says them: as such, or as text.

use super::scalar::Broken;
use crate::event::json::Value;

/// Beyond this, whole numbers that have a fraction's form are out of every range.
const WHOLE_MAX: f64 = 1e30;

/// A whole number, also as text, and also with a fraction or an exponent that keeps it whole.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within the range")]
pub(super) fn whole(value: &Value<'_>) -> Result<i128, Broken> {
    let of_float = |number: f64| {
        if number.fract() != 0.0 || !number.is_finite() {
            return Err(Broken::new("type", "must be a whole number"));
        }
        Ok(number.clamp(-WHOLE_MAX, WHOLE_MAX) as i128)
    };
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Ok(i128::from(number)),
            (None, Some(number)) => Ok(i128::from(number)),
            (None, None) => of_float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) if is_number(text) => match text.parse::<i128>() {
            Ok(number) => Ok(number),
            Err(_) => of_float(text.parse().unwrap_or(f64::NAN)),
        },
        Value::String(_) => Err(Broken::new("type", "must be a whole number, or the text of one")),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(Broken::new("type", "must be of type integer"))
        }
    }
}

/// A number, also as text, and also one that JSON has no number for.
pub(super) fn float(value: &Value<'_>) -> Result<f64, Broken> {
    let broken = || Broken::new("type", "must be a number, or the text of one");
    match value {
        Value::Number(number) => number.as_f64().ok_or_else(broken),
        Value::String(text) => match &**text {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            text if is_number(text) => {
                let number: f64 = text.parse().map_err(|_| broken())?;
                if number.is_finite() {
                    Ok(number)
                } else {
                    Err(Broken::new("maximum", "must be within the range of a double"))
                }
            }
            _ => Err(broken()),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(Broken::new("type", "must be of type number"))
        }
    }
}

/// Whether a text can be a JSON number, so far as its characters tell.
fn is_number(text: &str) -> bool {
    let begins =
        text.strip_prefix('-').unwrap_or(text).bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    let is_part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    begins && text.bytes().all(is_part)
}
