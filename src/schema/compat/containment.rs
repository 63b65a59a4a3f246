//! Whether one schema accepts every value that another accepts, decided on their sets of values.
//!
//! The library that decides calls this experimental; it stands behind a trait, and never decides alone.

use jsonschema::canonical::{CanonicalSchema, Containment as Covers, options};
use jsonschema::{Draft, PatternOptions};
use serde_json::Value;

use super::{BACKTRACK_MAX, PATTERN_BYTES_MAX};

/// What is known of one schema's values being within another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// All are.
    Within,
    /// Some are not.
    Beyond,
    /// Neither could be shown, for this reason.
    Unknown(String),
}

/// Decides whether all values of one schema are values of another.
pub(super) trait Containment {
    /// Whether all values of `inner` are values of `outer`.
    fn is_within(&self, inner: &Value, outer: &Value) -> Answer;

    /// A schema of values of `inner` that are none of `outer`.
    fn beyond(&self, inner: &Value, outer: &Value) -> Option<Value>;
}

/// By canonical forms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Canonical;

impl Canonical {
    fn read(schema: &Value) -> Result<CanonicalSchema, String> {
        let patterns =
            PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX).size_limit(PATTERN_BYTES_MAX);
        options()
            .with_draft(Draft::Draft202012)
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(patterns)
            .canonicalize(schema)
            .map_err(|error| error.to_string())
    }
}

impl Containment for Canonical {
    fn is_within(&self, inner: &Value, outer: &Value) -> Answer {
        let answer = || Self::read(outer)?.covers(&Self::read(inner)?).map_err(|error| error.to_string());
        match answer() {
            Ok(Covers::Yes) => Answer::Within,
            Ok(Covers::No) => Answer::Beyond,
            Ok(Covers::Unknown) => Answer::Unknown("the sets of values could not be compared".to_owned()),
            Err(problem) => Answer::Unknown(problem),
        }
    }

    fn beyond(&self, inner: &Value, outer: &Value) -> Option<Value> {
        let rest = Self::read(inner).ok()?.subtract(&Self::read(outer).ok()?).ok()?;
        Some(rest.to_json_schema()).filter(|schema| !schema.is_boolean())
    }
}
