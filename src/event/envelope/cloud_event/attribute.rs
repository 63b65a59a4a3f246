//! Checks of single attributes of a CloudEvent.

use std::borrow::Cow;

use super::Error;
use crate::event::json::Value;

/// The error of an attribute.
pub(super) fn invalid(attribute: &str, problem: impl Into<String>) -> Error {
    Error::CloudEvent { attribute: attribute.to_owned(), problem: problem.into() }
}

/// Names have lower-case letters and digits; the specification's 20 characters are advice.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !name.is_empty() && name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(invalid(name, "must have a name of lower-case letters and digits"))
}

/// Strings hold neither control characters nor noncharacters.
pub(in crate::event) fn check_text(name: &str, text: &str) -> Result<(), Error> {
    let is_bad = |char: char| {
        let code = u32::from(char);
        char.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
    };
    if text.chars().any(is_bad) {
        return Err(invalid(name, "must not hold control characters or noncharacters"));
    }
    Ok(())
}

/// Text of 1 to `max` characters.
pub(super) fn plain<'a>(name: &str, text: Cow<'a, str>, max: usize) -> Result<Cow<'a, str>, Error> {
    if text.is_empty() || text.chars().count() > max {
        return Err(invalid(name, format!("must have 1 to {max} characters")));
    }
    Ok(text)
}

/// The text of an attribute in the JSON format: a string; for extensions an integer of 32 bits or a boolean too.
pub(super) fn text_of<'a>(name: &str, value: &'a Value<'a>) -> Result<Cow<'a, str>, Error> {
    const TEXT: [&str; 8] =
        ["specversion", "id", "source", "type", "time", "subject", "dataschema", "datacontenttype"];
    if let Value::String(text) = value {
        return Ok(Cow::Borrowed(text));
    }
    check_name(name)?;
    if TEXT.contains(&name) {
        return Err(invalid(name, "must be a string"));
    }
    let integer =
        value.as_number().and_then(serde_json::Number::as_i64).and_then(|number| i32::try_from(number).ok());
    match (integer, value.as_bool()) {
        (Some(integer), _) => Ok(Cow::Owned(integer.to_string())),
        (None, Some(truth)) => Ok(Cow::Borrowed(if truth { "true" } else { "false" })),
        (None, None) => Err(invalid(name, "must be a string, an integer of 32 bits or a boolean")),
    }
}

/// Whether the text is `type/subtype`, perhaps with parameters.
pub(super) fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    essence(text).split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// Whether a media type means JSON.
pub(in crate::event) fn is_json(media_type: &str) -> bool {
    let (kind, subtype) = essence(media_type).split_once('/').unwrap_or_default();
    let subtype = subtype.to_ascii_lowercase();
    !kind.is_empty() && (subtype == "json" || subtype.ends_with("+json"))
}

/// Whether the text is a URI (RFC 3986) with a scheme.
pub(super) fn is_uri(text: &str) -> bool {
    is_uri_reference(text) && scheme(text).is_some()
}

/// Whether the text is a URI reference (RFC 3986), not empty.
pub(in crate::event) fn is_uri_reference(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let is_encoded =
        |after: &str| after.len() >= 2 && after.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    !text.is_empty()
        && text.bytes().all(is_allowed)
        && text.split('%').skip(1).all(is_encoded)
        && text.matches('#').count() <= 1
        && (!first.contains(':') || scheme(text).is_some())
}

fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some(scheme)
}

fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}
