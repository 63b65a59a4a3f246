//! Whether one version of a JSON Schema may follow another: every value that a writer may write, a reader takes.
//!
//! Two engines must agree on a yes: containment of the sets of values, and our own differ, which also tells each
//! difference. A no comes with an event that shows it, tried with the real validator, where one can be made. Nothing
//! here is ever fetched, and everything is bounded, by a [`TimeBox`] too; [`Comparer`] lets nobody wait beyond it.
//!
//! ```text
//! versions ── bundled ── writer closed, reader open (LENIENT) ──┬── differ ──────── differences, examples
//!                                                               └── containment ─── yes, no, not proved
//! ```

mod bounded;
mod bundle;
mod containment;
mod content_model;
mod differ;
mod facts;
mod level;
mod members;
mod place;
mod sample;
mod text;
mod time_box;
mod types;
mod ways;
mod words;

use std::time::Duration;

use jsonschema::{Draft, PatternOptions, Registry, Validator};
use serde_json::Value;

pub use self::bounded::Comparer;
use self::bundle::{Bundle, bundle};
use self::containment::{Answer, Canonical, Containment};
use self::differ::{Finding, Wish, differ};
pub use self::level::{ChangeLevel, Direction, Level, Policy, UnknownName};
use self::place::Node;
pub use self::time_box::TimeBox;
use super::compiled::{BACKTRACK_MAX, Dialect, PATTERN_BYTES_MAX, registry};

/// The dialect of bundles.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Where a version stands that is no file.
const PLACE: &str = "weirgate:/schema.json";
/// So many findings are searched for an example.
const SEARCHED_MAX: usize = 8;
/// What making data that shows a schema may take.
const SAMPLE_TIME_MAX: Duration = Duration::from_secs(1);
/// In more ways than this a value may not satisfy a schema whose set is compared: what compares sets cannot be stopped, and
/// takes up to a second for so many.
const WAYS_MAX: u64 = 300;
/// Why nothing more is known when the time is over.
const LATE: &str = "could not be proved: it took too long";

/// A version of a schema with all that it refers to, ready to be compared.
#[derive(Debug, Clone)]
pub struct Version {
    bundle: Bundle,
}

/// The answer for a new version.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// Whether the new version may follow the earlier ones.
    pub compatible: bool,
    /// How much the new version changes the latest earlier one; `None` where there is none.
    pub change_level: Option<ChangeLevel>,
    /// What stands against it, by earlier version.
    pub breaks: Vec<Break>,
}

/// Why the new version may not follow one earlier version.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Break {
    /// Which of the earlier versions, counted from 0, the oldest.
    pub earlier: usize,
    /// Who cannot read whose data.
    pub direction: Direction,
    /// Why it could not be proved either way; `None` where it is certain to break.
    pub unproved: Option<String>,
    /// Each difference that stands against it.
    pub differences: Vec<Difference>,
    /// What a writer may write and a reader refuses.
    pub counter_example: Option<CounterExample>,
}

/// One difference that breaks readers, or may.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The rule's stable name.
    pub rule: &'static str,
    /// Who cannot read whose data.
    pub direction: Direction,
    /// Where in the reader's schema, such as `#/properties/amount/maximum`.
    pub pointer: String,
    /// Where in an event's data, as a pointer.
    pub path: String,
    /// What differs, in words.
    pub message: String,
    /// What can be done.
    pub fix: String,
}

/// What a writer may write and a reader refuses.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CounterExample {
    /// Data that the writer's schema takes and the reader's refuses, as was tried: JSON by the real validator, other
    /// languages by writing it and failing to read what was written.
    Data(Value),
    /// Data that the writer's schema takes, and that the reader's takes for something else, as was tried.
    Misread {
        /// As it is written.
        data: Value,
        /// As the reader reads it.
        read: Value,
    },
    /// A schema of data that the writer's takes and the reader's refuses.
    Schema(Value),
}

impl Break {
    /// One of which nothing more is known; whoever walks the versions says which it is of.
    pub(super) const fn new(direction: Direction) -> Self {
        Self { earlier: 0, direction, unproved: None, differences: Vec::new(), counter_example: None }
    }
}

impl Version {
    /// Reads a schema that may refer to `shared` ones by their URI or `$id`.
    ///
    /// # Errors
    /// When it names a dialect that is not known, or refers to what is not there.
    pub fn new(schema: &Value, otherwise: Dialect, shared: &[(String, Value)]) -> Result<Self, String> {
        let shared = shared.iter().map(|(uri, schema)| (uri.as_str(), schema));
        let schemas = registry(shared.chain([(PLACE, schema)]), otherwise)?;
        Self::within(&schemas, PLACE, Dialect::of(schema, otherwise)?)
    }

    /// The schema that stands at a URI of a registry.
    pub(super) fn within(schemas: &Registry<'_>, uri: &str, dialect: Dialect) -> Result<Self, String> {
        bundle(schemas, uri, dialect.draft()).map(|bundle| Self { bundle })
    }

    /// What a `LENIENT` gateway judges by: this schema with no members but those that it names. It is one document
    /// of draft 2020-12.
    ///
    /// # Errors
    /// When the schema says what cannot be said there.
    pub fn closed(&self) -> Result<Value, String> {
        match self.bundle.unspoken {
            Some(keyword) => Err(format!("{keyword} cannot be closed; use the policy STRICT")),
            None => Ok(content_model::close(&self.bundle.schema)),
        }
    }

    /// Whether the other one says the same, notes apart.
    fn says_same(&self, other: &Self) -> bool {
        asserting(&self.bundle.schema) == asserting(&other.bundle.schema)
    }
}

/// Compares a new version with the earlier ones, oldest first, as far as the level asks. Takes as long as it takes.
#[must_use]
pub fn compare(earlier: &[Version], new: &Version, policy: Policy, level: Level) -> Report {
    compare_within(earlier, new, (policy, level), &TimeBox::endless())
}

/// As [`compare`], but what could not be shown before the time was over is not compatible.
#[must_use]
pub fn compare_within(
    earlier: &[Version],
    new: &Version,
    (policy, level): (Policy, Level),
    time: &TimeBox,
) -> Report {
    let judge = |old: &Version, direction| judge(old, new, policy, direction, time);
    compare_by(earlier, level, time, judge, |old| old.says_same(new) || accept_same(old, new, time))
}

/// As [`compare_within`], in any language: by what stands against one reader of one writer, one of which is an earlier
/// version, and by whether that takes and writes the same data. When the time is over, no more is looked for.
pub(super) fn compare_by<V>(
    earlier: &[V],
    level: Level,
    time: &TimeBox,
    judge: impl Fn(&V, Direction) -> Option<Break>,
    is_same: impl Fn(&V) -> bool,
) -> Report {
    let latest = earlier.len().saturating_sub(1);
    let first = if level.is_transitive() { 0 } else { latest };
    let mut breaks: Vec<Break> = Vec::new();
    for (index, old) in earlier.iter().enumerate().skip(first) {
        for direction in level.directions() {
            if breaks.is_empty() || !time.is_over() {
                breaks.extend(judge(old, *direction).map(|found| Break { earlier: index, ..found }));
            }
        }
    }
    let change_level = earlier.last().map(|old| {
        let breaks_latest = match level {
            Level::None => judge(old, Direction::Backward).is_some(),
            Level::Backward
            | Level::BackwardTransitive
            | Level::Forward
            | Level::ForwardTransitive
            | Level::Full
            | Level::FullTransitive => breaks.iter().any(|found: &Break| found.earlier == latest),
        };
        if breaks_latest || time.is_over() {
            ChangeLevel::Major
        } else if is_same(old) {
            ChangeLevel::Patch
        } else {
            ChangeLevel::Minor
        }
    });
    Report { compatible: breaks.is_empty(), change_level, breaks }
}

/// What stands against one reader of one writer.
fn judge(
    old: &Version,
    new: &Version,
    policy: Policy,
    direction: Direction,
    time: &TimeBox,
) -> Option<Break> {
    let (writer, reader) = match direction {
        Direction::Backward => (&old.bundle, &new.bundle),
        Direction::Forward => (&new.bundle, &old.bundle),
    };
    let is_spoken = old.bundle.unspoken.is_none() && new.bundle.unspoken.is_none();
    if old.says_same(new) && (is_spoken || old.bundle == new.bundle) {
        return None;
    }
    let found = Break::new(direction);
    if let Some(keyword) = writer.unspoken.or(reader.unspoken) {
        return Some(Break { unproved: Some(format!("{keyword} cannot be compared")), ..found });
    }
    let (written, read) = match policy {
        Policy::Strict => (writer.schema.clone(), content_model::fill(&reader.schema)),
        Policy::Lenient => (content_model::close(&writer.schema), content_model::open(&reader.schema)),
    };
    let sides = (Node::timed(&written, time), Node::timed(&read, time));
    let findings = differ(sides.0, sides.1, &reader.origins);
    let differences = findings.iter().map(|finding| words::difference(finding, direction)).collect();
    let found = Break { differences, ..found };
    if let Some(data) = example(sides, &findings) {
        return Some(Break { counter_example: Some(CounterExample::Data(data)), ..found });
    }
    if time.is_over() {
        return Some(Break { unproved: Some(LATE.to_owned()), ..found });
    }
    if ways::most(&written).max(ways::most(&read)) > WAYS_MAX {
        let reason = "it has too many alternatives that hold at once to be proved".to_owned();
        return Some(Break { unproved: Some(reason), ..found });
    }
    let unproved = match (Canonical.is_within(&written, &read), findings.is_empty()) {
        (Answer::Within, true) => return None,
        (Answer::Within, false) => Some("the rules for differences do not show it".to_owned()),
        (Answer::Unknown(reason), _) => Some(reason),
        (Answer::Beyond, _) => None,
    };
    let counter_example = if time.is_over() { None } else { beyond(sides) };
    let unproved = unproved.filter(|_| !matches!(counter_example, Some(CounterExample::Data(_))));
    Some(Break { unproved, counter_example, ..found })
}

/// The shortest data that shows a finding, or anything else that the writer may write and the reader refuses.
fn example((written, read): (Node<'_>, Node<'_>), findings: &[Finding]) -> Option<Value> {
    if findings.is_empty() {
        return None;
    }
    let (writer, reader) = (validator(written)?, validator(read)?);
    let is_shown = |data: &Value| writer.is_valid(data) && !reader.is_valid(data);
    let shown = findings.iter().take(SEARCHED_MAX).filter_map(|finding| {
        let wishes = [finding.wish.clone(), Wish::Anything];
        wishes.iter().find_map(|wish| {
            let mut variants = 0..sample::VARIANTS;
            variants
                .find_map(|variant| sample::sample(written, &finding.path, wish, variant).filter(is_shown))
        })
    });
    shown.min_by_key(|data| data.to_string().len())
}

/// From the difference of the sets: data where some can be made of it, else its schema.
fn beyond((written, read): (Node<'_>, Node<'_>)) -> Option<CounterExample> {
    let rest = Canonical.beyond(written.schema, read.schema)?;
    let (writer, reader) = (validator(written)?, validator(read)?);
    let data = (0..sample::VARIANTS)
        .filter_map(|variant| sample::sample(Node::root(&rest), &[], &Wish::Anything, variant))
        .find(|data| writer.is_valid(data) && !reader.is_valid(data));
    Some(data.map_or(CounterExample::Schema(rest), CounterExample::Data))
}

/// Data that a schema takes by the real validator, where some can be made of it.
pub(super) fn sample_of(schema: &Value) -> Option<Value> {
    let version = Version::new(schema, Dialect::Draft202012, &[]).ok()?;
    let time = TimeBox::new(SAMPLE_TIME_MAX);
    let root = Node::timed(&version.bundle.schema, &time);
    let validator = validator(root)?;
    (0..sample::VARIANTS)
        .filter_map(|variant| sample::sample(root, &[], &Wish::Anything, variant))
        .find(|data| validator.is_valid(data))
}

/// Whether each takes what the other takes, shown by the differ alone.
fn accept_same(old: &Version, new: &Version, time: &TimeBox) -> bool {
    let is_within = |writer: &Bundle, reader: &Bundle| {
        let sides = (Node::timed(&writer.schema, time), Node::timed(&reader.schema, time));
        differ(sides.0, sides.1, &reader.origins).is_empty()
    };
    let is_spoken = old.bundle.unspoken.is_none() && new.bundle.unspoken.is_none();
    is_spoken && is_within(&old.bundle, &new.bundle) && is_within(&new.bundle, &old.bundle)
}

/// A schema without its notes.
fn asserting(schema: &Value) -> Value {
    let strip = |(name, schema): (&String, &Value)| (name.clone(), asserting(schema));
    match schema {
        Value::Object(members) => members
            .iter()
            .filter(|(keyword, _)| !matches!(keyword.as_str(), "default" | "examples" | "$schema"))
            .map(|(keyword, value)| {
                let value = match keyword.as_str() {
                    "properties" | "patternProperties" | "dependentSchemas" | "$defs" => {
                        value.as_object().into_iter().flatten().map(strip).collect()
                    }
                    "enum" | "const" | "required" | "dependentRequired" => value.clone(),
                    _ => asserting(value),
                };
                (keyword.clone(), value)
            })
            .collect(),
        Value::Array(schemas) => schemas.iter().map(asserting).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => schema.clone(),
    }
}

/// The real validator of a schema of a bundle, with the definitions that it refers to; none when the time is over.
fn validator(node: Node<'_>) -> Option<Validator> {
    if node.is_over() {
        return None;
    }
    let mut schema = node.schema.clone();
    if let (Some(members), Some(definitions)) = (schema.as_object_mut(), node.bundle.get("$defs")) {
        members.entry("$defs").or_insert_with(|| definitions.clone());
    }
    let patterns = PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX).size_limit(PATTERN_BYTES_MAX);
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(patterns)
        .build(&schema)
        .ok()
}

#[cfg(test)]
mod tests;
