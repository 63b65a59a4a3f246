//! Reads a tree section by section; what is missing or wrong is noted with its path and line, and reading goes on.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::reading::{Reading, nearest};
use super::secret::{MALFORMED, MISSING, Secret};
use super::tree::{Node, Origin, Value};
use super::{Environment, units};

/// A map of the tree being read. What is missing or wrong reads as a neutral value after the mistake was noted, so
/// that one reading finds them all.
#[derive(Debug)]
pub(super) struct Section<'a> {
    node: &'a Node,
    path: String,
    known: RefCell<BTreeSet<&'static str>>,
    reading: Rc<Reading>,
    environment: &'a Environment,
}

impl<'a> Section<'a> {
    pub(super) fn new(
        node: &'a Node,
        path: String,
        reading: Rc<Reading>,
        environment: &'a Environment,
    ) -> Self {
        let section = Self { node, path, known: RefCell::default(), reading, environment };
        if !section.is_map() {
            section.mistake_at(&section.path, section.node, "must be a map of keys");
        }
        section
    }

    fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// What `read` makes of the section; keys that it did not ask for are mistakes.
    pub(super) fn read<T>(self, read: impl FnOnce(&Self) -> T) -> T {
        let value = read(&self);
        self.finish();
        value
    }

    /// Notes the keys that nobody asked for; call when the section is read.
    pub(super) fn finish(self) {
        let Value::Map(members) = &self.node.value else { return };
        let known = self.known.borrow();
        for (key, node) in members {
            if !known.contains(key.as_str()) {
                let hint = nearest(key, known.iter().copied());
                self.mistake_at(&self.join(key), node, format!("unknown key{hint}"));
            }
        }
    }

    pub(super) fn section(&self, key: &'static str) -> Self {
        const EMPTY: &Node = &Node { value: Value::Map(Vec::new()), origin: Origin::Default };
        let (path, reading) = (self.join(key), Rc::clone(&self.reading));
        if !self.is_map() {
            let (node, environment, known) = (self.node, self.environment, RefCell::default());
            return Section { node, path, known, reading, environment };
        }
        Section::new(self.node(key).unwrap_or(EMPTY), path, reading, self.environment)
    }

    /// The sub-section, unless it is absent or null.
    pub(super) fn optional_section(&self, key: &'static str) -> Option<Self> {
        self.if_set(key, Self::section)
    }

    /// The sections of a list of maps.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Self> {
        self.items(key)
            .into_iter()
            .map(|(path, node)| Section::new(node, path, Rc::clone(&self.reading), self.environment))
            .collect()
    }

    /// The sections of a map whose keys are the operator's own names.
    pub(super) fn named_sections(&self, key: &'static str) -> Vec<(String, Self)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        match &node.value {
            Value::Map(members) => members
                .iter()
                .map(|(name, node)| {
                    let path = format!("{}.{name}", self.join(key));
                    (name.clone(), Section::new(node, path, Rc::clone(&self.reading), self.environment))
                })
                .collect(),
            Value::Null => Vec::new(),
            Value::Bool(_) | Value::Text(_) | Value::List(_) => {
                self.mistake(key, "must be a map of names");
                Vec::new()
            }
        }
    }

    /// Whether nobody has said anything of a key but the built-in defaults.
    pub(super) fn is_default(&self, key: &'static str) -> bool {
        self.node(key).is_none_or(|node| node.origin == Origin::Default)
    }

    pub(super) fn is_set(&self, key: &'static str) -> bool {
        self.node(key).is_some_and(|node| node.value != Value::Null)
    }

    /// What `read` makes of a key, unless it is absent or null.
    pub(super) fn if_set<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Self, &'static str) -> T,
    ) -> Option<T> {
        self.is_set(key).then(|| read(self, key))
    }

    pub(super) fn text(&self, key: &'static str) -> String {
        self.parse(key, "a text", |text| Some(text.to_owned())).unwrap_or_default()
    }

    pub(super) fn optional_text(&self, key: &'static str) -> Option<String> {
        self.if_set(key, Self::text)
    }

    pub(super) fn path(&self, key: &'static str) -> PathBuf {
        self.text(key).into()
    }

    pub(super) fn duration(&self, key: &'static str) -> Duration {
        self.parse(key, "a duration such as 100ms, 30s or 7d", units::duration).unwrap_or_default()
    }

    pub(super) fn bytes(&self, key: &'static str) -> usize {
        let read = |text: &str| units::bytes(text).and_then(|bytes| usize::try_from(bytes).ok());
        self.parse(key, "a size such as 64KiB or 1MiB", read).unwrap_or_default()
    }

    pub(super) fn number<N: std::str::FromStr + Default>(&self, key: &'static str) -> N {
        self.parse(key, "a whole number", |text| text.parse().ok()).unwrap_or_default()
    }

    pub(super) fn decimal(&self, key: &'static str) -> f64 {
        let read = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
        self.parse(key, "a number", read).unwrap_or_default()
    }

    pub(super) fn flag(&self, key: &'static str) -> bool {
        match self.node(key).map(|node| &node.value) {
            Some(Value::Bool(flag)) => return *flag,
            Some(Value::Text(text)) if text == "true" || text == "false" => return text == "true",
            Some(_) => self.mistake(key, "must be true or false"),
            None => self.missing(key, "true or false"),
        }
        false
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let expected = format!("one of {}", names.join(", "));
        self.parse(key, &expected, |text| {
            choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
        })
    }

    /// A text that `read` understands; `expected` says what that would be.
    pub(super) fn parse<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(node) = self.node(key) else {
            self.missing(key, expected);
            return None;
        };
        let parsed = match &node.value {
            Value::Text(text) => read(text),
            Value::Bool(flag) => read(if *flag { "true" } else { "false" }),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        };
        if parsed.is_none() {
            self.mistake(key, format!("must be {expected}"));
        }
        parsed
    }

    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        if self.is_set(key) { self.parse(key, expected, read) } else { None }
    }

    /// The texts of a list, each as `read` understands it; absent is empty.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let mut list = Vec::new();
        for (path, node) in self.items(key) {
            match &node.value {
                Value::Text(text) => match read(text) {
                    Some(value) => list.push(value),
                    None => self.mistake_at(&path, node, format!("must be {expected}")),
                },
                Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
                    self.mistake_at(&path, node, format!("must be {expected}"));
                }
            }
        }
        list
    }

    pub(super) fn texts(&self, key: &'static str) -> Vec<String> {
        self.list(key, "a text", |text| Some(text.to_owned()))
    }

    /// A map of texts under the operator's own names.
    pub(super) fn named_texts(&self, key: &'static str) -> Vec<(String, String)> {
        self.named(key, |path, node| match &node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.mistake_at(path, node, "must be a text");
                None
            }
        })
    }

    /// A map of secrets under the operator's own names.
    pub(super) fn named_secrets(&self, key: &'static str) -> Vec<(String, String)> {
        self.named(key, |path, node| {
            if let Value::Bool(flag) = &node.value {
                return Some(flag.to_string());
            }
            match self.secret_at(path, node) {
                Secret::Given(text) => Some(text),
                Secret::Absent => {
                    self.mistake_at(path, node, MISSING);
                    None
                }
                Secret::Unreadable(_) | Secret::Malformed => None,
            }
        })
    }

    fn named(
        &self,
        key: &'static str,
        read: impl Fn(&str, &Node) -> Option<String>,
    ) -> Vec<(String, String)> {
        match self.node(key).map(|node| &node.value) {
            Some(Value::Map(members)) => {
                let path = |name: &str| format!("{}.{name}", self.join(key));
                let member = |(name, node): &(String, Node)| Some((name.clone(), read(&path(name), node)?));
                members.iter().filter_map(member).collect()
            }
            Some(Value::Null) | None => Vec::new(),
            Some(_) => {
                self.mistake(key, "must be a map of names");
                Vec::new()
            }
        }
    }

    /// A secret. An environment variable that is not set is no mistake but an absent secret.
    pub(super) fn secret(&self, key: &'static str) -> Option<String> {
        match self.secret_at(&self.join(key), self.node(key)?) {
            Secret::Given(text) => Some(text),
            Secret::Absent | Secret::Unreadable(_) | Secret::Malformed => None,
        }
    }

    fn secret_at(&self, path: &str, node: &Node) -> Secret {
        let secret = Secret::read(node, self.environment);
        match &secret {
            Secret::Given(_) | Secret::Absent => {}
            Secret::Unreadable(cause) => self.reading.mistake_in_file(path, node, cause.clone()),
            Secret::Malformed => self.mistake_at(path, node, MALFORMED),
        }
        secret
    }

    /// Notes that a key is absent, unless the section is no map: that was said, and everything is absent then.
    fn missing(&self, key: &str, expected: &str) {
        if self.is_map() {
            self.mistake(key, format!("is missing: {expected}"));
        }
    }

    /// Notes a mistake in the value of `key`.
    pub(super) fn mistake(&self, key: &str, problem: impl Into<String>) {
        let node = self.members().find(|(have, _)| have == key).map_or(self.node, |(_, node)| node);
        self.mistake_at(&self.join(key), node, problem);
    }

    /// Notes a mistake at a path below this section, such as `grants[2].allow`.
    pub(super) fn mistake_below(&self, path: &str, problem: &str) {
        self.mistake_at(&self.join(path), self.find(path).unwrap_or(self.node), problem);
    }

    /// As [`Self::mistake_below`], in the file that the value names.
    pub(super) fn mistake_in_file_below(&self, path: &str, cause: &str) {
        let node = self.find(path).unwrap_or(self.node);
        self.reading.mistake_in_file(&self.join(path), node, cause.to_owned());
    }

    /// The deepest node on a path that was written.
    fn find(&self, path: &str) -> Option<&'a Node> {
        let mut node = self.node;
        for part in path.split(['.', '[']).map(|part| part.trim_end_matches(']')) {
            let next = match &node.value {
                Value::Map(members) => members.iter().find(|(key, _)| key == part).map(|(_, node)| node),
                Value::List(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
                Value::Null | Value::Bool(_) | Value::Text(_) => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        Some(node)
    }

    fn mistake_at(&self, path: &str, node: &Node, problem: impl Into<String>) {
        self.reading.mistake(path, node, problem.into());
    }

    fn items(&self, key: &'static str) -> Vec<(String, &'a Node)> {
        match self.node(key).map(|node| &node.value) {
            Some(Value::List(nodes)) => nodes
                .iter()
                .enumerate()
                .map(|(index, node)| (format!("{}[{index}]", self.join(key)), node))
                .collect(),
            Some(Value::Null) | None => Vec::new(),
            Some(Value::Bool(_) | Value::Text(_) | Value::Map(_)) => {
                self.mistake(key, "must be a list");
                Vec::new()
            }
        }
    }

    fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.known.borrow_mut().insert(key);
        self.members().find(|(have, _)| have == key).map(|(_, node)| node)
    }

    fn members(&self) -> impl Iterator<Item = &'a (String, Node)> {
        match &self.node.value {
            Value::Map(members) => members.as_slice(),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) => &[],
        }
        .iter()
    }

    fn join(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }
}
