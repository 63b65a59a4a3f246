//! Filters: which events a subscriber wants, or may see.

use std::sync::Arc;

use crate::event::RecordView;
use crate::event::json::Pointer;

/// A condition on an event, checked and bounded. Cheap to clone; equal filters are one to the feed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter(Arc<str>);

/// Why a text or value is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} (at {pointer:?} in the filter)")]
pub struct FilterError {
    /// Where in the filter.
    pub pointer: String,
    /// What is wrong there.
    pub problem: String,
}

impl Filter {
    /// Reads a filter from JSON text.
    ///
    /// # Errors
    /// When it is no filter, or beyond its bounds.
    pub fn parse_text(_text: &str) -> Result<Self, FilterError> {
        unimplemented!()
    }

    /// Reads a filter from a JSON value.
    ///
    /// # Errors
    /// When it is no filter, or beyond its bounds.
    pub fn parse(_value: &serde_json::Value) -> Result<Self, FilterError> {
        unimplemented!()
    }

    /// The member at `pointer` is this string, or the integer written so: a grant's row filter.
    #[must_use]
    pub fn equals(_pointer: Pointer, _text: &str) -> Self {
        unimplemented!()
    }

    /// The record's key is these bytes.
    #[must_use]
    pub fn key_equals(_key: &str) -> Self {
        unimplemented!()
    }

    /// All of them hold.
    #[must_use]
    pub fn all(_filters: Vec<Self>) -> Self {
        unimplemented!()
    }

    /// One of them holds.
    #[must_use]
    pub fn any(_filters: Vec<Self>) -> Self {
        unimplemented!()
    }

    /// Whether the event is one of those meant.
    #[must_use]
    pub fn matches(&self, _view: &RecordView<'_>) -> bool {
        unimplemented!()
    }
}
