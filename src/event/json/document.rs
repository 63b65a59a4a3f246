//! A parsed body and the bytes of its parts.

use std::borrow::Cow;

use super::names::Names;
use super::reader::{Reader, Span, pointer_of, position_of};
use super::{Error, Value, number};

/// How many elements of a top level array keep their bytes; a batch is far smaller.
const ELEMENTS_MAX: usize = 10_000;

/// Depths that serde_json's own guard of 128 leaves room for.
const DEPTH_MAX: usize = 120;

/// Bounds on what a body may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How deep arrays and objects may nest; at most 120 is honoured.
    pub depth_max: usize,
}

impl Default for Limits {
    /// 64 levels.
    fn default() -> Self {
        Self { depth_max: 64 }
    }
}

/// A body parsed in one pass, with the bytes of its top level members and elements.
#[derive(Debug)]
pub struct Document<'a> {
    body: &'a [u8],
    root: Value<'a>,
    parts: Parts,
}

/// A value together with the bytes it was read from.
#[derive(Debug, Clone, Copy)]
pub struct Node<'d> {
    value: &'d Value<'d>,
    bytes: &'d [u8],
    body: &'d [u8],
    members: &'d [Span],
}

/// Where the parts of the top level lie, in the order of the value's own members or elements.
#[derive(Debug)]
enum Parts {
    None,
    Members(Vec<Span>),
    Elements(Vec<Element>),
}

/// Where an element lies, and its members where it is an object.
type Element = (Span, Vec<Span>);

impl<'a> Document<'a> {
    /// Parses a whole body; it must hold exactly one JSON value.
    ///
    /// # Errors
    /// When the body is no JSON, names a member twice, nests too deep or holds a number out of range.
    pub fn parse(body: &'a [u8], limits: Limits) -> Result<Self, Error> {
        let text = std::str::from_utf8(body)
            .map_err(|error| malformed(body, error.valid_up_to(), "text that is not UTF-8"))?;
        if let Some(at) = number::first_too_long(body) {
            return Err(malformed(body, at, "a number of more than 1,000 characters"));
        }
        let mut walk =
            Walk { text, at: 0, reader: Reader::new(limits.depth_max.min(DEPTH_MAX)), path: Vec::new() };
        let (root, parts) = walk.root()?;
        match walk.peek() {
            None => Ok(Self { body, root, parts }),
            Some(_) => Err(walk.malformed("trailing characters")),
        }
    }

    /// The value of the body.
    #[must_use]
    pub const fn root(&self) -> &Value<'a> {
        &self.root
    }

    /// The value of the body with all bytes of the body.
    #[must_use]
    pub fn node(&self) -> Node<'_> {
        let members: &[Span] = if let Parts::Members(spans) = &self.parts { spans } else { &[] };
        Node { value: &self.root, bytes: self.body, body: self.body, members }
    }

    /// The elements with their bytes, where the body is an array (a batch) of at most 10,000 elements.
    #[must_use]
    pub fn elements(&self) -> Option<Vec<Node<'_>>> {
        let (Some(elements), Parts::Elements(spans)) = (self.root.as_array(), &self.parts) else {
            return None;
        };
        (elements.len() == spans.len()).then(|| {
            let zipped = elements.iter().zip(spans);
            zipped
                .map(|(value, (span, members))| Node {
                    value,
                    bytes: slice(self.body, *span),
                    body: self.body,
                    members,
                })
                .collect()
        })
    }
}

impl<'d> Node<'d> {
    /// The value.
    #[must_use]
    pub const fn value(&self) -> &'d Value<'d> {
        self.value
    }

    /// The bytes as received, the space around a whole body included.
    #[must_use]
    pub const fn bytes(&self) -> &'d [u8] {
        self.bytes
    }

    /// The member of this name with its bytes, where the value is an object that has it and lies at the top level of
    /// the body or of a batch.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Self> {
        self.members().find(|(have, _)| *have == name).map(|(_, member)| member)
    }

    /// The members with their bytes; none but at the top level of the body or of a batch.
    pub fn members(&self) -> impl Iterator<Item = (&'d str, Self)> {
        let (body, members) = (self.body, self.value.as_object().unwrap_or_default());
        members.iter().zip(self.members).map(move |((name, value), span)| {
            (name.as_ref(), Self { value, bytes: slice(body, *span), body, members: &[] })
        })
    }
}

/// The walk over the top level.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    reader: Reader<'a>,
    path: Vec<String>,
}

impl<'a> Walk<'a> {
    fn root(&mut self) -> Result<(Value<'a>, Parts), Error> {
        match self.peek() {
            Some(b'{') => {
                let (value, spans) = self.object(0)?;
                Ok((value, Parts::Members(spans)))
            }
            Some(b'[') => {
                let (value, spans) = self.array()?;
                Ok((value, Parts::Elements(spans)))
            }
            _ => {
                let (value, end) = self.reader.value(self.text, self.at, 0)?;
                self.at = end;
                Ok((value, Parts::None))
            }
        }
    }

    fn array(&mut self) -> Result<(Value<'a>, Vec<Element>), Error> {
        self.reader.check_depth(0)?;
        self.at += 1;
        let (mut elements, mut spans) = (Vec::new(), Vec::new());
        while !self.is_closed(b']', elements.is_empty())? {
            let start = self.at;
            let (is_object, has_span) = (self.peek() == Some(b'{'), elements.len() < ELEMENTS_MAX);
            self.path = vec![elements.len().to_string()];
            let (element, members) =
                if is_object && has_span { self.object(1)? } else { (self.value(1)?, Vec::new()) };
            if has_span {
                spans.push((Span { start, end: self.at }, members));
            }
            elements.push(element);
        }
        Ok((Value::Array(elements), spans))
    }

    fn object(&mut self, depth: usize) -> Result<(Value<'a>, Vec<Span>), Error> {
        self.reader.check_depth(depth)?;
        self.at += 1;
        let (mut members, mut spans) = (Vec::with_capacity(8), Vec::with_capacity(8));
        let mut names = Names::default();
        while !self.is_closed(b'}', members.is_empty())? {
            let name = self.name()?;
            if names.is_repeated(&name, &members) {
                self.path.push(name.into_owned());
                let (line, column) = position_of(self.text.as_bytes(), self.at);
                return Err(Error::DuplicateMember { pointer: pointer_of(self.path.iter()), line, column });
            }
            if self.peek() != Some(b':') {
                return Err(self.malformed("expected `:`"));
            }
            self.at += 1;
            self.peek();
            let start = self.at;
            let value = match self.reader.value(self.text, start, depth + 1) {
                Ok((value, end)) => {
                    self.at = end;
                    value
                }
                Err(error) => {
                    self.path.push(name.into_owned());
                    return Err(self.below(error));
                }
            };
            members.push((name, value));
            spans.push(Span { start, end: self.at });
        }
        Ok((Value::Object(members), spans))
    }

    fn name(&mut self) -> Result<Cow<'a, str>, Error> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed("expected a member's name in quotes"));
        }
        let (name, end) = self.reader.name(self.text, self.at)?;
        self.at = end;
        Ok(name)
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Error> {
        match self.reader.value(self.text, self.at, depth) {
            Ok((value, end)) => {
                self.at = end;
                Ok(value)
            }
            Err(error) => Err(self.below(error)),
        }
    }

    /// Takes the comma or the end of a container; true at the end. Stops at the next element.
    fn is_closed(&mut self, end: u8, is_first: bool) -> Result<bool, Error> {
        match self.peek() {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(true)
            }
            Some(b',') if !is_first => {
                self.at += 1;
                self.peek();
                Ok(false)
            }
            Some(_) if is_first => Ok(false),
            Some(_) => Err(self.malformed("expected `,` or the end of the array or object")),
            None => Err(self.malformed("the text ends within an array or object")),
        }
    }

    /// Skips space and tells the byte after it.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let space = rest.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\t' | b'\r'));
        self.at += space.unwrap_or(rest.len());
        rest.get(space?).copied()
    }

    /// A repeated member below the walked level gets the whole pointer.
    fn below(&self, error: Error) -> Error {
        match error {
            Error::DuplicateMember { pointer, line, column } => {
                Error::DuplicateMember { pointer: pointer_of(self.path.iter()) + &pointer, line, column }
            }
            Error::Malformed { .. } | Error::TooDeep { .. } => error,
        }
    }

    fn malformed(&self, problem: &str) -> Error {
        malformed(self.text.as_bytes(), self.at, problem)
    }
}

fn malformed(body: &[u8], at: usize, problem: &str) -> Error {
    let (line, column) = position_of(body, at);
    Error::Malformed { line, column, problem: problem.to_owned() }
}

fn slice(body: &[u8], span: Span) -> &[u8] {
    body.get(span.start..span.end).unwrap_or_default()
}
