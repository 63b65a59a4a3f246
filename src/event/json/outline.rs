//! The outline of a stored value: that it is JSON, and where some of its top level members lie.
//!
//! Cheaper than a document: nothing is built. Less strict too: values of native producers are shown as they are, as
//! long as every JSON reader can skip over them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::text::{TextSeed, read_text};
use super::{Document, Limits};

/// Deeper values are not shown: readers with a stack would fall.
const DEPTH_MAX: usize = 120;

/// A text that is JSON, and the texts of the members asked for where it is an object.
#[derive(Debug)]
pub(in crate::event) struct Outline<'a, const N: usize> {
    /// By the order of the names asked for.
    members: [Option<&'a str>; N],
    /// Whether one of them occurs twice.
    is_repeated: bool,
}

impl<'a, const N: usize> Outline<'a, N> {
    /// Walks the text once, looking for the members of these names.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(in crate::event) fn parse(text: &'a str, names: [&str; N]) -> Result<Self, &'static str> {
        if is_deep(text.as_bytes()) {
            return Err("nested too deep");
        }
        let is_text = || Document::parse(text.as_bytes(), Limits { depth_max: DEPTH_MAX }).is_ok();
        if may_hold_lone_surrogate(text) && !is_text() {
            return Err("escapes that are no text");
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let outline = OutlineSeed(names).deserialize(&mut deserializer).map_err(|_| "not JSON")?;
        deserializer.end().map_err(|_| "not JSON")?;
        Ok(outline)
    }

    /// The text of a member by its place in the names asked for; none at all where one of them occurs twice.
    pub(in crate::event) fn member(&self, at: usize) -> Option<&'a str> {
        if self.is_repeated { None } else { self.members.get(at).copied().flatten() }
    }

    /// The text of a member that is a string.
    pub(in crate::event) fn text(&self, at: usize) -> Option<Cow<'a, str>> {
        read_text(self.member(at)?)
    }
}

struct OutlineSeed<'n, const N: usize>([&'n str; N]);

impl<'a, const N: usize> DeserializeSeed<'a> for OutlineSeed<'_, N> {
    type Value = Outline<'a, N>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, const N: usize> Visitor<'a> for OutlineSeed<'_, N> {
    type Value = Outline<'a, N>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut outline = nothing();
        while let Some(name) = members.next_key_seed(TextSeed)? {
            let Some(at) = self.0.iter().position(|wanted| *wanted == name) else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let text = members.next_value::<&'a RawValue>()?.get();
            if let Some(slot) = outline.members.get_mut(at) {
                outline.is_repeated |= slot.replace(text).is_some();
            }
        }
        Ok(outline)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(nothing())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(nothing())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(nothing())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(nothing())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(nothing())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(nothing())
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(nothing())
    }
}

const fn nothing<'a, const N: usize>() -> Outline<'a, N> {
    Outline { members: [None; N], is_repeated: false }
}

fn is_deep(text: &[u8]) -> bool {
    // Counted in bytes for each chunk, which the compiler turns into vector instructions.
    let count = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(matches!(byte, b'[' | b'{'))).sum::<u8>();
    let openings: usize = text.chunks(128).map(|chunk| usize::from(count(chunk))).sum();
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
