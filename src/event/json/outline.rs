//! The outline of a stored value: that it is JSON, and where its top level members lie.
//!
//! Cheaper than a document: nothing is built. Less strict too: values of native producers are shown as they are, as
//! long as every JSON reader can skip over them.

use std::borrow::Cow;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed as _, IgnoredAny};

use super::reader::offset_of;
use super::text::{TextSeed, read_text};
use super::{Document, Limits};

/// Deeper values are not shown: readers with a stack would fall.
const DEPTH_MAX: usize = 120;

/// A text that is JSON.
#[derive(Debug)]
pub(in crate::event) struct Outline<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Outline<'a> {
    /// Walks the text once.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(in crate::event) fn parse(text: &'a str) -> Result<Self, &'static str> {
        const NO_JSON: &str = "not JSON";
        if is_deep(text.as_bytes()) {
            return Err("nested too deep");
        }
        if may_hold_lone_surrogate(text)
            && Document::parse(text.as_bytes(), Limits { depth_max: DEPTH_MAX }).is_err()
        {
            return Err("escapes that are no text");
        }
        let mut members = Vec::new();
        let mut rest = text.trim_start_matches(is_space);
        let Some(mut inside) = rest.strip_prefix('{') else {
            let end = end_of(rest).ok_or(NO_JSON)?;
            rest = rest.get(end..).unwrap_or_default();
            let is_whole = rest.trim_start_matches(is_space).is_empty();
            return if is_whole { Ok(Self { members }) } else { Err(NO_JSON) };
        };
        loop {
            inside = inside.trim_start_matches(is_space);
            if let (Some(after), true) = (inside.strip_prefix('}'), members.is_empty()) {
                rest = after;
                break;
            }
            let (member, after) = member_of(inside).ok_or(NO_JSON)?;
            members.push(member);
            match (after.strip_prefix(','), after.strip_prefix('}')) {
                (Some(after), _) => inside = after,
                (None, Some(after)) => {
                    rest = after;
                    break;
                }
                (None, None) => return Err(NO_JSON),
            }
        }
        if rest.trim_start_matches(is_space).is_empty() { Ok(Self { members }) } else { Err(NO_JSON) }
    }

    /// The text of the only member of this name.
    pub(in crate::event) fn member(&self, name: &str) -> Option<&'a str> {
        let mut found = self.members.iter().filter(|(have, _)| have == name);
        let (_, text) = found.next()?;
        found.next().is_none().then_some(*text)
    }

    /// The text of a member that is a string.
    pub(in crate::event) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        read_text(self.member(name)?)
    }
}

fn member_of(text: &str) -> Option<((Cow<'_, str>, &str), &str)> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let name = TextSeed.deserialize(&mut deserializer).ok()?;
    let after = text.get(offset_of(deserializer)..)?.trim_start_matches(is_space);
    let value = after.strip_prefix(':')?.trim_start_matches(is_space);
    let (value, after) = value.split_at_checked(end_of(value)?)?;
    Some(((name, value), after.trim_start_matches(is_space)))
}

fn end_of(text: &str) -> Option<usize> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    IgnoredAny::deserialize(&mut deserializer).ok()?;
    Some(offset_of(deserializer))
}

fn is_deep(text: &[u8]) -> bool {
    let openings = text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if openings <= DEPTH_MAX {
        return false;
    }
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'[' | b'{' if !is_string => depth += 1,
            b']' | b'}' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

/// An escaped surrogate is rare, and skipping over it does not tell whether its other half follows.
fn may_hold_lone_surrogate(text: &str) -> bool {
    text.contains('\\') && (text.contains("\\ud") || text.contains("\\uD"))
}

const fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\n' | '\t' | '\r')
}
