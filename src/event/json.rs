//! The borrowed JSON document: parsed once, strictly, and read in place.
//!
//! A [`Document`] is read from the body in one pass. It knows each value and, for the top level of the body (and
//! of each element of a batch), the bytes it was read from, so that `data` is validated and stored without a
//! second look at the text. JSON that parsers read differently (duplicate members, lone surrogates) is refused.
//!
//! ```text
//! body ── reader (serde_json, borrowed) ── Document ── Node (value + bytes) ── Draft
//! ```

mod document;
mod error;
mod members;
mod names;
mod number;
mod outline;
mod pointer;
mod reader;
mod text;
mod value;

pub use document::{Document, Limits, Node};
pub use error::Error;
pub(super) use members::Members;
pub(super) use outline::Outline;
pub use pointer::{Pointer, PointerError};
pub(super) use text::read_text;
pub(crate) use text::write_text;
pub use value::Value;

#[cfg(test)]
mod tests;
