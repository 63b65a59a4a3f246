//! One schema as a type expression.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::names::{Taken, member, pascal};
use crate::event::json::Pointer;

/// Writes the schemas of one document; what they refer to gets a name and is written later.
#[derive(Debug)]
pub(super) struct Writer<'w> {
    document: &'w Value,
    prefix: &'w str,
    taken: &'w mut Taken,
    /// The names of what was referred to, by pointer.
    referred: BTreeMap<String, String>,
    rest: Vec<(String, &'w Value)>,
}

/// A type as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    text: String,
    /// Whether it is joined of others, so that it needs parentheses where something binds stronger.
    is_joined: bool,
}

impl<'w> Writer<'w> {
    /// A writer of a document whose own type has this name.
    pub(super) fn new(name: &'w str, document: &'w Value, taken: &'w mut Taken) -> Self {
        let referred = BTreeMap::from([(String::new(), name.to_owned())]);
        Self { document, prefix: name, taken, referred, rest: Vec::new() }
    }

    /// A schema that was referred to and is not written yet, with its name.
    pub(super) fn next_referred(&mut self) -> Option<(String, &'w Value)> {
        self.rest.pop()
    }

    /// A schema as a type, whose further lines begin at this depth.
    pub(super) fn expression(&mut self, schema: &Value, depth: usize) -> Type {
        let Some(members) = schema.as_object() else {
            return if schema == &Value::Bool(false) { Type::never() } else { Type::unknown() };
        };
        let mut parts: Vec<Type> = Vec::new();
        if let Some(target) = members.get("$ref").and_then(Value::as_str) {
            parts.push(self.reference(target));
        }
        if let Some(value) = members.get("const") {
            parts.push(Type::of(literal(value)));
        } else if let Some(Value::Array(values)) = members.get("enum") {
            parts.push(union(values.iter().map(|value| Type::of(literal(value))).collect()));
        } else {
            parts.extend(self.of_types(members, depth));
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(Value::Array(schemas)) = members.get(keyword) {
                parts.push(union(schemas.iter().map(|schema| self.expression(schema, depth)).collect()));
            }
        }
        if let Some(Value::Array(schemas)) = members.get("allOf") {
            parts.extend(schemas.iter().map(|schema| self.expression(schema, depth)));
        }
        intersection(parts)
    }

    fn reference(&mut self, target: &str) -> Type {
        let pointer = target.strip_prefix('#').unwrap_or_default();
        let pointer = percent_encoding::percent_decode_str(pointer).decode_utf8_lossy().into_owned();
        if let Some(name) = self.referred.get(&pointer) {
            return Type::of(name.clone());
        }
        let Some(schema) = self.document.pointer(&pointer) else { return Type::unknown() };
        let last = Pointer::parse(&pointer).ok().and_then(|parts| parts.parts().last().map(pascal));
        let name = self.taken.free(&format!("{}{}", self.prefix, last.unwrap_or_default()));
        self.referred.insert(pointer, name.clone());
        self.rest.push((name.clone(), schema));
        Type::of(name)
    }

    /// What `type` and the keywords of arrays and objects say; nothing where they say nothing.
    fn of_types(&mut self, members: &Map<String, Value>, depth: usize) -> Option<Type> {
        let named: Vec<&str> = match members.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ if members.contains_key("properties") => vec!["object"],
            _ if members.contains_key("items") || members.contains_key("prefixItems") => vec!["array"],
            _ => return None,
        };
        let of_type = |name: &&str| match *name {
            "object" => self.object(members, depth),
            "array" => self.array(members, depth),
            "integer" | "number" => Type::of("number"),
            name @ ("string" | "boolean" | "null") => Type::of(name),
            _ => Type::unknown(),
        };
        Some(union(named.iter().map(of_type).collect()))
    }

    fn array(&mut self, members: &Map<String, Value>, depth: usize) -> Type {
        let (first, rest) = match (members.get("prefixItems"), members.get("items")) {
            (Some(Value::Array(first)), rest) => (first.as_slice(), rest),
            (_, Some(Value::Array(first))) => (first.as_slice(), members.get("additionalItems")),
            (_, rest) => (&[][..], rest),
        };
        let rest = rest.map_or_else(Type::unknown, |rest| self.expression(rest, depth));
        if first.is_empty() {
            return if rest == Type::never() { Type::of("[]") } else { rest.listed() };
        }
        let least = members.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        let mut elements = Vec::new();
        for (at, schema) in (0_u64..).zip(first) {
            let optional = if at < least { "" } else { "?" };
            elements.push(format!("{}{optional}", self.expression(schema, depth).enclosed()));
        }
        if rest != Type::never() {
            elements.push(format!("...{}", rest.listed().text));
        }
        Type::of(format!("[{}]", elements.join(", ")))
    }

    fn object(&mut self, members: &Map<String, Value>, depth: usize) -> Type {
        let named = members.get("properties").and_then(Value::as_object);
        let required = members.get("required").and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
        let indent = "  ".repeat(depth + 1);
        let mut lines = String::new();
        for (name, schema) in named.into_iter().flatten() {
            let optional = if is_required(name) { "" } else { "?" };
            let written = self.expression(schema, depth + 1).text;
            let notes = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            lines.push_str(&comment(notes, depth + 1));
            lines.push_str(&format!("{indent}{}{optional}: {written};\n", member(name)));
        }
        let own = (!lines.is_empty()).then(|| format!("{{\n{lines}{}}}", "  ".repeat(depth)));
        match (own, self.others(members, depth)) {
            // An index beside members holds for those too, and TypeScript has no word for all the others.
            (Some(own), Some(_)) => Type::joined(format!("{own} & {{ [name: string]: unknown }}")),
            (Some(own), None) => Type::of(own),
            (None, Some(others)) => Type::of(format!("{{ [name: string]: {} }}", others.text)),
            (None, None) if members.get("additionalProperties") == Some(&Value::Bool(false)) => {
                Type::of("Record<string, never>")
            }
            (None, None) => Type::of("{ [name: string]: unknown }"),
        }
    }

    /// What members may be that have no name in the schema, where it describes them.
    fn others(&mut self, members: &Map<String, Value>, depth: usize) -> Option<Type> {
        let patterns = members.get("patternProperties").and_then(Value::as_object);
        let described = patterns.into_iter().flat_map(Map::values).chain(members.get("additionalProperties"));
        let described = described.filter(|schema| schema.is_object());
        let written: Vec<Type> = described.map(|schema| self.expression(schema, depth)).collect();
        (!written.is_empty()).then(|| union(written))
    }
}

impl Type {
    fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_joined: false }
    }

    const fn joined(text: String) -> Self {
        Self { text, is_joined: true }
    }

    fn unknown() -> Self {
        Self::of("unknown")
    }

    fn never() -> Self {
        Self::of("never")
    }

    fn listed(&self) -> Self {
        Self::of(format!("{}[]", self.enclosed()))
    }

    /// In parentheses where something binds stronger than what it is joined by.
    fn enclosed(&self) -> String {
        if self.is_joined { format!("({})", self.text) } else { self.text.clone() }
    }

    /// As a declaration of this name.
    pub(super) fn declare(&self, name: &str) -> String {
        if self.text.starts_with("{\n") && !self.is_joined {
            format!("export interface {name} {}\n", self.text)
        } else {
            format!("export type {name} = {};\n", self.text)
        }
    }
}

fn union(parts: Vec<Type>) -> Type {
    if parts.contains(&Type::unknown()) { Type::unknown() } else { join(parts, &Type::never(), " | ") }
}

fn intersection(parts: Vec<Type>) -> Type {
    join(parts, &Type::unknown(), " & ")
}

/// Different parts as one; what changes nothing is left out, and stands where nothing else does.
fn join(parts: Vec<Type>, nothing: &Type, by: &str) -> Type {
    let mut different: Vec<Type> = Vec::new();
    for part in parts {
        if part != *nothing && !different.contains(&part) {
            different.push(part);
        }
    }
    match different.as_slice() {
        [] => nothing.clone(),
        [one] => one.clone(),
        _ => Type::joined(different.iter().map(Type::enclosed).collect::<Vec<_>>().join(by)),
    }
}

/// A comment of one line, or nothing.
pub(super) fn comment(text: &str, depth: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return String::new();
    }
    format!("{}/** {} */\n", "  ".repeat(depth), words.join(" ").replace("*/", "*\\/"))
}

/// A value as a type that has no other value.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            format!("[{}]", values.iter().map(literal).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{}: {}", member(name), literal(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join("; "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
