//! The record's key: given with the request, by the CloudEvent, or by the catalogue's rule.

use std::borrow::Cow;

use bytes::Bytes;

use crate::event::json::Value;
use crate::event::{Draft, Fill, TopicRule};
use crate::schema::Schemas;

use super::{Error, Part};

/// How long a key may be.
pub(super) const KEY_BYTES_MAX: usize = 1_024;

/// The key of an event; `None` is the null key, while an empty one is a key.
pub(super) fn key_of(
    schemas: &Schemas,
    draft: &Draft<'_>,
    fill: &Fill,
    rule: &TopicRule,
    given: Option<&Bytes>,
) -> Result<Option<Bytes>, Error> {
    if let Some(key) = given {
        return check("Weirgate-Key", key.clone()).map(Some);
    }
    if let Some(key) = &draft.key {
        return check("/partitionkey", key.clone()).map(Some);
    }
    let Some(key_rule) = &rule.key else { return Ok(None) };
    let invalid = |problem| {
        if key_rule.is_optional { Ok(None) } else { Err(invalid(&key_rule.pointer.to_string(), problem)) }
    };
    let pointer = schemas.spelled(&draft.event_type, rule.format, draft.data, &key_rule.pointer);
    let Some(value) = draft.view_filled_at(fill, &pointer) else { return invalid("is missing") };
    let Some(text) = text_of(&value) else { return invalid("must be a string, an integer or a boolean") };
    if text.contains('\0') {
        return invalid("must not hold U+0000");
    }
    let key = Bytes::copy_from_slice(text.as_bytes());
    check_size(&key)?;
    Ok(Some(key))
}

/// A string as it is, an integer or a boolean as its JSON text; nothing else names anything.
pub(super) fn text_of<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(truth) => Some(Cow::Borrowed(if *truth { "true" } else { "false" })),
        Value::Number(number) if number.is_f64() => None,
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn check(place: &str, key: Bytes) -> Result<Bytes, Error> {
    if key.contains(&0) {
        return Err(invalid(place, "must not hold U+0000"));
    }
    check_size(&key)?;
    Ok(key)
}

const fn check_size(key: &Bytes) -> Result<(), Error> {
    let (bytes, bytes_max) = (key.len(), KEY_BYTES_MAX);
    if bytes > bytes_max {
        return Err(Error::TooLarge { part: Part::Key, bytes, bytes_max });
    }
    Ok(())
}

fn invalid(pointer: &str, problem: &'static str) -> Error {
    Error::InvalidKey { pointer: pointer.to_owned(), problem }
}
