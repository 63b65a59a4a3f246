//! Checks of single members of the envelope.

use std::borrow::Cow;

use super::Error;
use crate::event::json::Value;
use crate::event::{Catalogue, EventId, EventType, Timestamp, Topic};

/// The error of a member of the envelope.
pub(super) fn invalid(name: &str, problem: impl Into<String>) -> Error {
    let name = name.replace('~', "~0").replace('/', "~1");
    Error::Invalid { pointer: format!("/{name}"), problem: problem.into() }
}

/// The member as text.
pub(super) fn text<'a>(name: &str, value: &'a Value<'a>) -> Result<&'a str, Error> {
    value.as_str().ok_or_else(|| invalid(name, "must be a string"))
}

/// Text of `min` to `max` characters without control characters.
pub(super) fn plain<'t>(name: &str, text: &'t str, min: usize, max: usize) -> Result<Cow<'t, str>, Error> {
    let count = if text.len() <= max { text.len() } else { text.chars().count() };
    if count < min || count > max {
        return Err(invalid(name, format!("must have {min} to {max} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(name, "must not hold control characters"));
    }
    Ok(Cow::Borrowed(text))
}

/// An event type of the native grammar, or one that the catalogue binds to a topic.
pub(super) fn event_type(name: &str, text: &str, catalogue: &Catalogue) -> Result<EventType, Error> {
    let event_type = EventType::parse(text).map_err(|error| invalid(name, error.to_string()))?;
    if event_type.is_native() || catalogue.rule_of_type(text).is_some() {
        return Ok(event_type);
    }
    Err(invalid(
        name,
        "must be {domain}.{action}.v{N} in lower case, or a type that the catalogue binds to a topic",
    ))
}

/// A UUID as hex with hyphens, or any text where the catalogue takes the type's ids from the envelope.
pub(super) fn event_id(
    name: &str,
    text: &str,
    event_type: &EventType,
    catalogue: &Catalogue,
) -> Result<EventId, Error> {
    if !is_uuid(text) && !is_id_free(event_type, catalogue) {
        return Err(invalid(name, "must be a UUID such as 550e8400-e29b-41d4-a716-446655440000"));
    }
    EventId::parse(text).map_err(|error| invalid(name, error.to_string()))
}

/// Whether the text is a UUID as hex with hyphens.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// An RFC 3339 time.
pub(super) fn timestamp(name: &str, text: &str) -> Result<Timestamp, Error> {
    Timestamp::parse(text).map_err(|error| invalid(name, error.to_string()))
}

/// `1`, `1.2` or `1.2.0`.
pub(super) fn event_version(text: &str) -> Result<(), Error> {
    let is_number = |part: &str| {
        matches!(part.len(), 1..=9)
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    if text.split('.').count() > 3 || !text.split('.').all(is_number) {
        return Err(invalid("eventVersion", "must be a version such as 1, 1.2 or 1.2.0"));
    }
    Ok(())
}

/// A version's major is the N of the type, where that has one.
pub(super) fn version_of_type(text: &str, event_type: &EventType) -> Result<(), Error> {
    let major = text.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match event_type.major() {
        Some(expected) if major != Some(expected) => {
            Err(Error::VersionMismatch { event_type: event_type.clone(), event_version: text.to_owned() })
        }
        Some(_) | None => Ok(()),
    }
}

fn is_id_free(event_type: &EventType, catalogue: &Catalogue) -> bool {
    let is_own = |pointer: &crate::event::json::Pointer| pointer.parts().eq(["eventId"]);
    match catalogue.rule_of_type(event_type.as_str()) {
        Some(rule) => rule.event_id.as_ref().is_some_and(is_own),
        None => Topic::parse(event_type.as_str())
            .is_ok_and(|topic| catalogue.rule(&topic).event_id.as_ref().is_some_and(is_own)),
    }
}
