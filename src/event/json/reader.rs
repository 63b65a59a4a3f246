//! From text to values: serde_json's reader below, our rules above it.
//!
//! The top level of the body, and of each element of a top level array, is walked by hand, because serde_json tells
//! byte offsets only between whole values; everything deeper is read by one visitor. Finished members lie on one
//! stack until their object ends and get one allocation of the exact size then, so that many small objects cost little.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use super::names::Names;
use super::text::TextSeed;
use super::{Error, Value};

/// Bytes of the body from `start` up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What the visitor found wrong, beside serde_json's own complaints. Path parts are innermost first.
enum Fault {
    Duplicate { path: Vec<String> },
    TooDeep,
}

/// The state of one reading.
pub(super) struct Reader<'a> {
    depth_max: usize,
    members: Vec<(Cow<'a, str>, Value<'a>)>,
    elements: Vec<Value<'a>>,
    fault: Option<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(depth_max: usize) -> Self {
        Self { depth_max, members: Vec::new(), elements: Vec::new(), fault: None }
    }

    /// Reads the value that begins at `start`, `depth` containers deep; gives it and its end.
    pub(super) fn value(
        &mut self,
        text: &'a str,
        start: usize,
        depth: usize,
    ) -> Result<(Value<'a>, usize), Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text.get(start..).unwrap_or_default());
        match (ValueSeed { reader: self, depth }).deserialize(&mut deserializer) {
            Ok(value) => Ok((value, start + offset_of(deserializer))),
            Err(error) => Err(self.explain(text, start, &error)),
        }
    }

    /// Reads the member name that begins at `start`; gives it and its end.
    pub(super) fn name(&mut self, text: &'a str, start: usize) -> Result<(Cow<'a, str>, usize), Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text.get(start..).unwrap_or_default());
        match TextSeed.deserialize(&mut deserializer) {
            Ok(name) => Ok((name, start + offset_of(deserializer))),
            Err(error) => Err(self.explain(text, start, &error)),
        }
    }

    /// Refuses a container that would lie deeper than the limit.
    pub(super) const fn check_depth(&self, depth: usize) -> Result<(), Error> {
        if depth < self.depth_max { Ok(()) } else { Err(Error::TooDeep { depth_max: self.depth_max }) }
    }

    fn explain(&mut self, text: &str, start: usize, error: &serde_json::Error) -> Error {
        let (line, column) = position_within(text, start, error.line(), error.column());
        match self.fault.take() {
            Some(Fault::Duplicate { path }) => {
                Error::DuplicateMember { pointer: pointer_of(path.iter().rev()), line, column }
            }
            Some(Fault::TooDeep) => Error::TooDeep { depth_max: self.depth_max },
            None => Error::Malformed { line, column, problem: problem_of(error) },
        }
    }

    /// Ends an error's way up: the part of the path at this level joins a duplicate's pointer.
    fn rise(&mut self, part: impl FnOnce() -> String) {
        if let Some(Fault::Duplicate { path }) = &mut self.fault {
            path.push(part());
        }
    }
}

/// A pointer made of these names.
pub(super) fn pointer_of<'p>(parts: impl Iterator<Item = &'p String>) -> String {
    parts.fold(String::new(), |mut pointer, part| {
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        pointer
    })
}

/// The line and column of a byte of the text.
pub(super) fn position_of(text: &[u8], at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let lines = before.iter().filter(|&&byte| byte == b'\n').count();
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count();
    (lines + 1, column + 1)
}

/// How far a deserializer has read.
fn offset_of<'a>(deserializer: serde_json::Deserializer<serde_json::de::StrRead<'a>>) -> usize {
    deserializer.into_iter::<serde::de::IgnoredAny>().byte_offset()
}

fn position_within(text: &str, start: usize, line: usize, column: usize) -> (usize, usize) {
    let (start_line, start_column) = position_of(text.as_bytes(), start);
    if line <= 1 {
        (start_line, start_column - 1 + column.max(1))
    } else {
        (start_line - 1 + line, column.max(1))
    }
}

/// The complaint without its position, which is relative to a part of the body.
fn problem_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or_else(|| text.clone(), |(problem, _)| problem.to_owned())
}

struct ValueSeed<'r, 'a> {
    reader: &'r mut Reader<'a>,
    depth: usize,
}

impl<'a> ValueSeed<'_, 'a> {
    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth < self.reader.depth_max {
            return Ok(());
        }
        self.reader.fault = Some(Fault::TooDeep);
        Err(E::custom("nested too deep"))
    }

    fn inside(&mut self) -> ValueSeed<'_, 'a> {
        ValueSeed { reader: self.reader, depth: self.depth + 1 }
    }
}

impl<'a> DeserializeSeed<'a> for ValueSeed<'_, 'a> {
    type Value = Value<'a>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Value<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for ValueSeed<'_, 'a> {
    type Value = Value<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'a>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value<'a>, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'a>, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'a>, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value<'a>, E> {
        serde_json::Number::from_f64(number)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Value<'a>, E> {
        Ok(Value::String(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'a>, E> {
        Ok(Value::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut elements: A) -> Result<Value<'a>, A::Error> {
        self.enter()?;
        let start = self.reader.elements.len();
        loop {
            match elements.next_element_seed(self.inside()) {
                Ok(Some(element)) => self.reader.elements.push(element),
                Ok(None) => break,
                Err(error) => {
                    let index = self.reader.elements.len() - start;
                    self.reader.rise(|| index.to_string());
                    return Err(error);
                }
            }
        }
        Ok(Value::Array(self.reader.elements.drain(start..).collect()))
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut members: A) -> Result<Value<'a>, A::Error> {
        self.enter()?;
        let start = self.reader.members.len();
        let mut names = Names::default();
        while let Some(name) = members.next_key_seed(TextSeed)? {
            if names.is_repeated(&name, self.reader.members.get(start..).unwrap_or_default()) {
                self.reader.fault = Some(Fault::Duplicate { path: vec![name.into_owned()] });
                return Err(A::Error::custom("duplicate member"));
            }
            match members.next_value_seed(self.inside()) {
                Ok(value) => self.reader.members.push((name, value)),
                Err(error) => {
                    self.reader.rise(|| name.into_owned());
                    return Err(error);
                }
            }
        }
        Ok(Value::Object(self.reader.members.drain(start..).collect()))
    }
}
