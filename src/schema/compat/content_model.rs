//! What writers may send and readers must take, where members that the schema does not name are concerned.
//!
//! - *closed*: no member at any place that no keyword at that place names. What a `LENIENT` gateway lets in.
//! - *open*: `additionalProperties: false` is passed over. What a `LENIENT` reader takes.
//! - *filled*: members that are required but have a default need not be sent. What every reader takes.
//!
//! Only schemas that a value must satisfy are rewritten, those under `not`, `if` and `contains` stay; so a closed schema
//! never accepts what the schema refuses, and an open or filled one never refuses what it accepts, unless branches of a
//! `oneOf` then hold together. Where several schemas judge one value (`allOf`, `$ref`, branches) it is closed to all
//! members that any of them names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::members::{Known, count_parts, part_name};
use super::place::DEFINITIONS;

/// The parts of a value that several schemas of one place describe: they stay as they are.
type Left = BTreeSet<String>;

/// What a definition is referred to as.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Role {
    /// All that judges a value.
    Place,
    /// One of several schemas that judge a value.
    Beside(Left),
    /// A schema that stays.
    Written,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rewrite {
    Close,
    Open,
    Fill,
}

/// The schema of what may be written where every place is closed.
pub(super) fn close(bundle: &Value) -> Value {
    rewrite(bundle, Rewrite::Close)
}

/// The schema of what is read where every place is open and defaults fill in.
pub(super) fn open(bundle: &Value) -> Value {
    rewrite(bundle, Rewrite::Open)
}

/// The schema of what is read where defaults fill in.
pub(super) fn fill(bundle: &Value) -> Value {
    rewrite(bundle, Rewrite::Fill)
}

fn rewrite(bundle: &Value, rewrite: Rewrite) -> Value {
    let mut rewriter =
        Rewriter { bundle, rewrite, definitions: Map::new(), names: HashMap::new(), pending: Vec::new() };
    let mut schema = rewriter.place(bundle);
    while let Some((name, old, role)) = rewriter.pending.pop() {
        let definition = match (role, definition(bundle, &old)) {
            (_, None) => Value::Bool(true),
            (Role::Place, Some(schema)) => rewriter.place(schema),
            (Role::Beside(left), Some(schema)) => rewriter.judge(schema, &left, false),
            (Role::Written, Some(schema)) => rewriter.written(schema),
        };
        rewriter.definitions.insert(name, definition);
    }
    if let Some(members) = schema.as_object_mut() {
        members.remove("$defs");
        if !rewriter.definitions.is_empty() {
            members.insert("$defs".to_owned(), Value::Object(rewriter.definitions));
        }
    }
    schema
}

fn definition<'b>(bundle: &'b Value, name: &str) -> Option<&'b Value> {
    bundle.get("$defs").and_then(|definitions| definitions.get(name))
}

struct Rewriter<'b> {
    bundle: &'b Value,
    rewrite: Rewrite,
    definitions: Map<String, Value>,
    names: HashMap<(String, Role), String>,
    /// New name, old name and role of definitions that are referred to.
    pending: Vec<(String, String, Role)>,
}

impl Rewriter<'_> {
    /// A schema that judges a value by itself, with whatever else it brings in.
    fn place(&mut self, schema: &Value) -> Value {
        if self.rewrite != Rewrite::Close {
            return self.judge(schema, &Left::new(), true);
        }
        if let Some(reference) = only_reference(schema) {
            return json!({"$ref": self.reference(reference, Role::Place)});
        }
        let mut counts = BTreeMap::new();
        count_parts(self.bundle, schema, &mut BTreeSet::new(), &mut counts);
        let left: Left = counts.into_iter().filter(|(_, count)| *count > 1).map(|(part, _)| part).collect();
        let mut out = self.judge(schema, &left, true);
        let known = Known::of(self.bundle, schema);
        if let Some(members) = out.as_object_mut() {
            known.close(members);
        }
        out
    }

    /// A schema that may stand beside others that judge the same value.
    fn judge(&mut self, schema: &Value, left: &Left, is_whole: bool) -> Value {
        let Some(members) = schema.as_object() else { return schema.clone() };
        let mut out = Map::new();
        for (keyword, value) in members {
            let value = match keyword.as_str() {
                "$defs" => continue,
                "$ref" if self.rewrite == Rewrite::Close => self.reference(value, Role::Beside(left.clone())),
                "$ref" => self.reference(value, Role::Place),
                "oneOf" if self.rewrite == Rewrite::Close => {
                    self.close_branches(value, schema, left, is_whole, &mut out);
                    self.written_list(value)
                }
                "allOf" | "anyOf" | "oneOf" => {
                    self.list(value, |rewriter, schema| rewriter.judge(schema, left, false))
                }
                "then" | "else" => self.judge(value, left, false),
                "dependentSchemas" => {
                    self.map(value, |rewriter, _, schema| rewriter.judge(schema, left, false))
                }
                "properties" => self.map(value, |rewriter, name, schema| {
                    if left.contains(name) { rewriter.written(schema) } else { rewriter.place(schema) }
                }),
                "items" | "prefixItems" | "patternProperties" | "additionalProperties"
                    if left.contains(&part_name(keyword)) =>
                {
                    self.written_part(keyword, value)
                }
                "additionalProperties" if self.rewrite == Rewrite::Open && *value == Value::Bool(false) => {
                    continue;
                }
                "patternProperties" => self.map(value, |rewriter, _, schema| rewriter.place(schema)),
                "prefixItems" => self.list(value, Self::place),
                "items" | "additionalProperties" => self.place(value),
                "required" if self.rewrite != Rewrite::Close => without_defaults(value, members),
                _ => self.written_part(keyword, value),
            };
            // A branch's closing may have begun the list.
            match out.get_mut(keyword).and_then(Value::as_array_mut) {
                Some(begun) => begun.extend(value.as_array().into_iter().flatten().cloned()),
                None => {
                    out.insert(keyword.clone(), value);
                }
            }
        }
        Value::Object(out)
    }

    /// Beside `oneOf`, the branch that holds must hold closed too: to its own members and those named outside it.
    fn close_branches(
        &mut self,
        branches: &Value,
        schema: &Value,
        left: &Left,
        is_whole: bool,
        out: &mut Map<String, Value>,
    ) {
        let mut outside = schema.clone();
        if let Some(members) = outside.as_object_mut() {
            members.remove("oneOf");
        }
        let around = Known::of(self.bundle, &outside);
        let closed: Vec<Value> = branches
            .as_array()
            .into_iter()
            .flatten()
            .map(|branch| {
                let mut closed = self.judge(branch, left, false);
                let known = Known::of(self.bundle, branch);
                if let (true, true, Some(members)) = (is_whole, known.is_closable(), closed.as_object_mut()) {
                    known.beside(&around).close(members);
                }
                closed
            })
            .collect();
        let is_changed = self.written_list(branches).as_array().is_some_and(|branches| *branches != closed);
        if is_changed {
            let all = out.entry("allOf").or_insert_with(|| json!([]));
            if let Some(all) = all.as_array_mut() {
                all.push(json!({"anyOf": closed}));
            }
        }
    }

    /// A schema as it is; only its references lead to definitions as they are.
    fn written(&mut self, schema: &Value) -> Value {
        let Some(members) = schema.as_object() else { return schema.clone() };
        let mut out = Map::new();
        for (keyword, value) in members {
            if keyword != "$defs" {
                out.insert(keyword.clone(), self.written_part(keyword, value));
            }
        }
        Value::Object(out)
    }

    fn written_part(&mut self, keyword: &str, value: &Value) -> Value {
        match keyword {
            "$ref" => self.reference(value, Role::Written),
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => self.written_list(value),
            "properties" | "patternProperties" | "dependentSchemas" => {
                self.map(value, |rewriter, _, schema| rewriter.written(schema))
            }
            "items"
            | "additionalProperties"
            | "propertyNames"
            | "not"
            | "contains"
            | "if"
            | "then"
            | "else"
            | "unevaluatedItems"
            | "unevaluatedProperties" => self.written(value),
            _ => value.clone(),
        }
    }

    fn written_list(&mut self, value: &Value) -> Value {
        self.list(value, Self::written)
    }

    fn list(&mut self, value: &Value, mut each: impl FnMut(&mut Self, &Value) -> Value) -> Value {
        value.as_array().into_iter().flatten().map(|schema| each(self, schema)).collect()
    }

    fn map(&mut self, value: &Value, mut each: impl FnMut(&mut Self, &str, &Value) -> Value) -> Value {
        let schemas = value.as_object().into_iter().flatten();
        schemas.map(|(name, schema)| (name.clone(), each(self, name, schema))).collect()
    }

    /// Where the definition stands in that role.
    fn reference(&mut self, reference: &Value, role: Role) -> Value {
        let Some(old) = reference.as_str().and_then(|text| text.strip_prefix(DEFINITIONS)) else {
            return reference.clone();
        };
        let key = (old.to_owned(), role);
        if let Some(name) = self.names.get(&key) {
            return json!(format!("{DEFINITIONS}{name}"));
        }
        let name = match &key.1 {
            Role::Place => old.to_owned(),
            Role::Beside(_) => format!("beside{}.{old}", self.names.len()),
            Role::Written => format!("written.{old}"),
        };
        self.pending.push((name.clone(), old.to_owned(), key.1.clone()));
        let pointer = json!(format!("{DEFINITIONS}{name}"));
        self.names.insert(key, name);
        pointer
    }
}

/// The name of a definition before it was rewritten; names of bundles have no dot.
pub(super) fn original_name(name: &str) -> &str {
    name.split_once('.').map_or(name, |(_, old)| old)
}

/// The reference of a schema that says nothing else.
fn only_reference(schema: &Value) -> Option<&Value> {
    let members = schema.as_object()?;
    let is_note = |keyword: &String| matches!(keyword.as_str(), "$ref" | "default" | "examples");
    members.get("$ref").filter(|_| members.keys().all(is_note))
}

/// What is required without a default that could stand in.
fn without_defaults(required: &Value, members: &Map<String, Value>) -> Value {
    let has_default = |name: &Value| {
        let property = members.get("properties").and_then(|properties| properties.get(name.as_str()?));
        property.is_some_and(|schema| schema.get("default").is_some())
    };
    required.as_array().into_iter().flatten().filter(|name| !has_default(name)).cloned().collect()
}
