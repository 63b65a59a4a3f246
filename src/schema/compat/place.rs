//! What judges one value: the schemas of a place, references and `allOf` followed.

use std::collections::BTreeSet;

use jsonschema::PatternOptions;
use serde_json::Value;

use super::TimeBox;

/// Where a bundle keeps what it refers to.
pub(super) const DEFINITIONS: &str = "#/$defs/";

/// A schema within its document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'b> {
    pub(super) bundle: &'b Value,
    pub(super) schema: &'b Value,
    /// What looking at it may take; no time at all is counted where there is none.
    time: Option<&'b TimeBox>,
}

impl<'b> Node<'b> {
    /// The root of a bundle.
    pub(super) const fn root(bundle: &'b Value) -> Self {
        Self { bundle, schema: bundle, time: None }
    }

    /// The root of a bundle that is looked at for as long as the time box lets it.
    pub(super) const fn timed(bundle: &'b Value, time: &'b TimeBox) -> Self {
        Self { bundle, schema: bundle, time: Some(time) }
    }

    /// Takes a step; whether the time is over.
    pub(super) fn is_late(self) -> bool {
        self.time.is_some_and(|time| !time.step())
    }

    /// Whether the time is over now, where the next step is a long one.
    pub(super) fn is_over(self) -> bool {
        self.time.is_some_and(TimeBox::is_over)
    }

    /// Whether a name matches a pattern; none does when the time is over.
    pub(super) fn is_match(self, pattern: &str, name: &str) -> bool {
        !self.is_over() && is_match(pattern, name)
    }

    /// Another schema of the document.
    pub(super) const fn at(self, schema: &'b Value) -> Self {
        Self { schema, ..self }
    }

    pub(super) fn get(self, keyword: &str) -> Option<&'b Value> {
        self.schema.get(keyword)
    }

    /// The schemas of a keyword that holds a list.
    pub(super) fn list(self, keyword: &str) -> impl Iterator<Item = Node<'b>> + use<'b> {
        let schemas = self.schema.get(keyword).and_then(Value::as_array).into_iter().flatten();
        schemas.map(move |schema| self.at(schema))
    }

    /// The schemas of a keyword that holds a map, with their names.
    pub(super) fn map(self, keyword: &str) -> impl Iterator<Item = (&'b str, Node<'b>)> + use<'b> {
        let schemas = self.schema.get(keyword).and_then(Value::as_object).into_iter().flatten();
        schemas.map(move |(name, schema)| (name.as_str(), self.at(schema)))
    }

    /// Its address, which tells it from all other schemas.
    pub(super) fn id(self) -> usize {
        std::ptr::from_ref(self.schema).addr()
    }

    /// Whether the schema asserts nothing.
    pub(super) fn is_anything(self) -> bool {
        match self.schema {
            Value::Object(members) => {
                let is_note = |keyword: &String| {
                    matches!(keyword.as_str(), "default" | "examples" | "$schema" | "$defs")
                };
                members.keys().all(is_note)
            }
            schema => *schema == Value::Bool(true),
        }
    }

    pub(super) fn is_nothing(self) -> bool {
        *self.schema == Value::Bool(false)
    }

    /// The schemas of the part of an object that has this name.
    pub(super) fn property(self, name: &str) -> Vec<Self> {
        let mut nodes: Vec<Self> =
            self.map("properties").filter(|(known, _)| *known == name).map(|(_, node)| node).collect();
        for (pattern, node) in self.map("patternProperties") {
            if self.is_match(pattern, name) {
                nodes.push(node);
            }
        }
        if nodes.is_empty() {
            nodes.extend(self.get("additionalProperties").map(|schema| self.at(schema)));
        }
        nodes
    }

    /// The schema of the element at this index.
    pub(super) fn element(self, index: usize) -> Option<Self> {
        self.list("prefixItems").nth(index).or_else(|| self.get("items").map(|schema| self.at(schema)))
    }
}

/// The definition that a reference of a bundle names.
pub(super) fn target<'b>(bundle: &'b Value, reference: &Value) -> Option<(&'b str, &'b Value)> {
    let name = reference.as_str()?.strip_prefix(DEFINITIONS)?;
    let (name, schema) = bundle.get("$defs")?.as_object()?.get_key_value(name)?;
    Some((name, schema))
}

/// All schemas that judge the value these judge, whatever it is: themselves, what they refer to and their `allOf`.
pub(super) fn flatten<'b>(nodes: &[Node<'b>]) -> Vec<Node<'b>> {
    let (mut flat, mut seen) = (Vec::new(), BTreeSet::new());
    let mut rest: Vec<Node<'b>> = nodes.iter().rev().copied().collect();
    while let Some(node) = rest.pop() {
        if !seen.insert(node.id()) {
            continue;
        }
        flat.push(node);
        let all: Vec<Node<'b>> = node.list("allOf").collect();
        rest.extend(all.into_iter().rev());
        if let Some((_, schema)) = node.get("$ref").and_then(|reference| target(node.bundle, reference)) {
            rest.push(node.at(schema));
        }
    }
    flat
}

/// Whether a name matches a pattern; where that takes too many steps it does not.
fn is_match(pattern: &str, name: &str) -> bool {
    let schema = serde_json::json!({"pattern": pattern});
    let options = jsonschema::options().with_pattern_options(
        PatternOptions::fancy_regex()
            .backtrack_limit(super::BACKTRACK_MAX)
            .size_limit(super::PATTERN_BYTES_MAX),
    );
    options.build(&schema).is_ok_and(|validator| validator.is_valid(&Value::String(name.to_owned())))
}
