//! Where a reader's schema refuses what a writer's schema accepts, found keyword by keyword and told with its place.
//!
//! Every schema of the reader must follow from what the writer's schemas say of the same value. What cannot be shown
//! to follow is a finding; what this has no rule for is said to be so. It errs on the side of a finding.
//!
//! ```text
//! writer's schemas of a value ── judged, alternative by alternative, for each keyword of the reader ── findings
//! ```

mod arrays;
mod branches;
mod objects;
mod scalars;
mod types;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::content_model::original_name;
use super::facts::{is_impossible, listed};
use super::place::{Node, flatten, target};
use super::types::Types;

/// So many schemas are held against each other before the answer is that there are too many ways.
const STEPS_MAX: usize = 10_000;
/// So many findings are told.
const FINDINGS_MAX: usize = 50;
/// So deep a value is followed.
const DEPTH_MAX: usize = 128;

/// What breaks a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    AdditionalNarrowed,
    BranchRemoved,
    ConditionChanged,
    ContainsChanged,
    DependencyAdded,
    EnumAdded,
    EnumValueRemoved,
    Forbidden,
    FormatChanged,
    MaximumLowered,
    MaxItemsLowered,
    MaxLengthLowered,
    MaxPropertiesLowered,
    MinimumRaised,
    MinItemsRaised,
    MinLengthRaised,
    MinPropertiesRaised,
    MultipleOfChanged,
    NamesNarrowed,
    NotChanged,
    OneOfChanged,
    PatternChanged,
    PropertyAddedToOpen,
    PropertyRefused,
    RequiredAdded,
    TypeNarrowed,
    UniqueItemsAdded,
    Unfollowed,
}

/// A step into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

/// What a value that shows a finding has at its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    /// Whatever the writer may write.
    Anything,
    /// This value.
    Exactly(Value),
    /// A text of so many characters.
    Characters(usize),
    /// So many elements.
    Elements(usize),
    /// So many members.
    Members(usize),
    /// No such member, though there is this other one.
    Without { name: String, beside: Option<String> },
}

/// A finding.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    /// In the reader's schema, as `#/properties/…` or `file.json#/…`.
    pub(super) pointer: String,
    /// In the value.
    pub(super) path: Vec<Step>,
    /// What the reader says, and what the writer says of the same.
    pub(super) reader: String,
    pub(super) writer: String,
    pub(super) wish: Wish,
}

/// A place in the reader's schema and the value it judges.
#[derive(Debug, Clone)]
struct At {
    pointer: String,
    path: Vec<Step>,
}

impl At {
    /// Below a keyword that judges the same value.
    fn keyword(&self, keyword: &str) -> Self {
        Self { pointer: format!("{}/{keyword}", self.pointer), path: self.path.clone() }
    }

    fn named(&self, keyword: &str, name: &str) -> Self {
        let name = name.replace('~', "~0").replace('/', "~1");
        Self { pointer: format!("{}/{keyword}/{name}", self.pointer), path: self.path.clone() }
    }

    fn step(mut self, step: Step) -> Self {
        self.path.push(step);
        self
    }
}

/// Compares one writer with one reader.
#[derive(Debug)]
pub(super) struct Differ<'b> {
    origins: &'b BTreeMap<String, String>,
    findings: Vec<Finding>,
    steps: usize,
    /// Questions that are open (`None`) or were answered with yes.
    answered: HashMap<(Vec<usize>, usize), Option<()>>,
    /// Whether an open question was met again and taken for a yes.
    is_assuming: bool,
}

/// The findings of a reader against a writer; none where everything was shown to follow.
pub(super) fn differ(writer: Node<'_>, reader: Node<'_>, origins: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut differ =
        Differ { origins, findings: Vec::new(), steps: 0, answered: HashMap::new(), is_assuming: false };
    let at = At { pointer: "#".to_owned(), path: Vec::new() };
    let follows = differ.follows(&[writer], reader, &at);
    if !follows && differ.findings.is_empty() {
        differ.find(Rule::Unfollowed, &at, "what it says", "", Wish::Anything);
    }
    differ.findings.truncate(FINDINGS_MAX);
    differ.findings
}

impl<'b> Differ<'b> {
    /// Whether every value of the writers is one of the reader; if not, there are findings.
    fn follows(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        if reader.is_anything() || writers.iter().any(|writer| is_same(*writer, reader)) {
            return true;
        }
        let writers = flatten(writers);
        if writers.iter().any(|writer| writer.is_nothing()) || Types::of(&writers).is_none() {
            return true;
        }
        let mut ids: Vec<usize> = writers.iter().map(|writer| writer.id()).collect();
        ids.sort_unstable();
        let question = (ids, reader.id());
        if let Some(answer) = self.answered.get(&question) {
            self.is_assuming |= answer.is_none();
            return true;
        }
        if !self.spend(reader, at) {
            return false;
        }
        self.answered.insert(question.clone(), None);
        let follows = self.follows_from(&writers, reader, at);
        if follows {
            self.answered.insert(question, Some(()));
        } else {
            self.answered.remove(&question);
            if self.is_assuming {
                self.answered.retain(|_, answer| answer.is_none());
            }
        }
        follows
    }

    /// As one, else alternative by alternative of what the writer may write.
    fn follows_from(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        let before = self.findings.len();
        if self.judge(writers, reader, at) {
            return true;
        }
        if is_impossible(writers, 1) {
            self.findings.truncate(before);
            return true;
        }
        let ids: Vec<usize> = writers.iter().map(|writer| writer.id()).collect();
        let unsplit = |alternatives: &Vec<Node<'b>>| {
            !alternatives.is_empty() && !alternatives.iter().any(|node| ids.contains(&node.id()))
        };
        let alternatives = writers
            .iter()
            .flat_map(|writer| ["anyOf", "oneOf"].map(|keyword| writer.list(keyword).collect()))
            .find(unsplit);
        let Some(alternatives) = alternatives else { return false };
        let whole = self.findings.split_off(before);
        let mut follows = true;
        for alternative in alternatives {
            let mut narrower = writers.to_vec();
            narrower.push(alternative);
            follows &= self.follows(&narrower, reader, at);
        }
        if !follows && self.findings.len() == before {
            self.findings.extend(whole);
        }
        follows
    }

    /// Keyword by keyword.
    fn judge(&mut self, writers: &[Node<'b>], reader: Node<'b>, at: &At) -> bool {
        if reader.is_nothing() {
            return self.find(Rule::Forbidden, at, "nothing at all", "something", Wish::Anything);
        }
        if let Some(values) = listed(writers) {
            return self.judge_listed(writers, &values, reader, at);
        }
        let Some(members) = reader.schema.as_object() else { return true };
        let Some(types) = Types::of(writers) else { return true };
        let mut follows = true;
        for (keyword, value) in members {
            follows &= match keyword.as_str() {
                "$ref" => self.refer(writers, reader.at(value), at),
                "allOf" => self.all_of(writers, reader, at),
                "anyOf" => self.any_of(writers, reader, at),
                "oneOf" => self.one_of(writers, reader, at),
                "not" => self.not(writers, reader.at(value), at),
                "if" => self.condition(writers, reader, at),
                "type" => self.types(types, value, at),
                "enum" | "const" => self.values(writers, keyword, value, at),
                _ if types.has_numbers() && scalars::is_numeric(keyword) => {
                    self.number(writers, types, keyword, value, at)
                }
                _ if types.has(Types::STRING) && scalars::is_textual(keyword) => {
                    self.text(writers, keyword, value, at)
                }
                _ if types.has(Types::ARRAY) && arrays::is_about_arrays(keyword) => {
                    self.array(writers, keyword, reader, at)
                }
                _ if types.has(Types::OBJECT) && objects::is_about_objects(keyword) => {
                    self.object(writers, keyword, reader, at)
                }
                _ => true,
            };
        }
        follows
    }

    fn refer(&mut self, writers: &[Node<'b>], reference: Node<'b>, at: &At) -> bool {
        let Some((name, schema)) = target(reference.bundle, reference.schema) else { return false };
        let pointer = self.origins.get(original_name(name)).cloned().unwrap_or_else(|| name.to_owned());
        self.follows(writers, reference.at(schema), &At { pointer, path: at.path.clone() })
    }

    /// Records a finding; always `false`, as the answer is then.
    fn find(&mut self, rule: Rule, at: &At, reader: &str, writer: &str, wish: Wish) -> bool {
        let finding = Finding {
            rule,
            pointer: at.pointer.clone(),
            path: at.path.clone(),
            reader: reader.to_owned(),
            writer: writer.to_owned(),
            wish,
        };
        // What is beyond the bound is not told, and looking through more would take too long.
        if self.findings.len() < FINDINGS_MAX && !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
        false
    }

    /// Asks without recording why not.
    fn quietly(&mut self, ask: impl FnOnce(&mut Self) -> bool) -> bool {
        let before = self.findings.len();
        let answer = ask(self);
        self.findings.truncate(before);
        answer
    }

    fn spend(&mut self, reader: Node<'b>, at: &At) -> bool {
        self.steps += 1;
        if self.steps > STEPS_MAX || reader.is_late() || at.path.len() > DEPTH_MAX {
            // Room for it, however much else was found.
            self.findings.truncate(FINDINGS_MAX - 1);
            return self.find(Rule::Unfollowed, at, "too many alternatives to follow", "", Wish::Anything);
        }
        true
    }
}

/// Whether two schemas say the same in the same words, references apart.
fn is_same(writer: Node<'_>, reader: Node<'_>) -> bool {
    writer.schema == reader.schema && !has_reference(reader.schema)
}

fn has_reference(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => {
            members.contains_key("$ref")
                || members.contains_key("$defs")
                || members.values().any(has_reference)
        }
        Value::Array(values) => values.iter().any(has_reference),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A value as shown in a message.
fn shown(value: &Value) -> String {
    const SHOWN_MAX: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
