//! A parsed body and the bytes of its parts.

use super::{Error, Value};

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
}

/// A value together with the bytes it was read from.
#[derive(Debug, Clone, Copy)]
pub struct Node<'d> {
    value: &'d Value<'d>,
    bytes: &'d [u8],
}

impl<'a> Document<'a> {
    /// Parses a whole body; it must hold exactly one JSON value.
    ///
    /// # Errors
    /// When the body is no JSON, names a member twice, nests too deep or holds a number out of range.
    pub fn parse(body: &'a [u8], limits: Limits) -> Result<Self, Error> {
        let _ = (body, limits);
        unimplemented!()
    }

    /// The value of the body.
    #[must_use]
    pub const fn root(&self) -> &Value<'a> {
        &self.root
    }

    /// The value of the body with all bytes of the body.
    #[must_use]
    pub const fn node(&self) -> Node<'_> {
        Node { value: &self.root, bytes: self.body }
    }

    /// The elements with their bytes, where the body is an array (a batch).
    #[must_use]
    pub fn elements(&self) -> Option<Vec<Node<'_>>> {
        unimplemented!()
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

    /// The member of this name with its bytes, where the value is an object that has it.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Node<'d>> {
        let _ = name;
        unimplemented!()
    }
}
