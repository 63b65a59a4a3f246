//! The fields that a schema names, in words: a row for each, with its type, what it must be, and what it means. Pure.
//!
//! A place of the data may be judged by several schemas at once (what it refers to, `allOf`); a row tells all of them. Branches
//! (`oneOf`, `anyOf`) are told one after the other. What has no words here is left to the schema itself, which stands beside it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rules;

/// A larger schema is told as far as this.
const ROWS_MAX: usize = 400;
const DEPTH_MAX: usize = 12;
/// So many schemas may judge one place.
const PARTS_MAX: usize = 64;

/// The fields of a schema.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) rows: Vec<Field>,
    /// Whether there are more than are told.
    pub(super) is_cut: bool,
    /// What the data as a whole must be, beyond its fields.
    pub(super) rules: Vec<String>,
}

/// A field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Where it is, from the data: `items[].sku`.
    pub(super) path: String,
    /// What it is: `string (date-time)`.
    pub(super) kind: String,
    pub(super) is_required: bool,
    pub(super) is_deprecated: bool,
    /// What its value must be.
    pub(super) rules: Vec<String>,
    pub(super) description: Option<String>,
}

/// The fields of a schema whose references are pointers into it.
pub(super) fn of(schema: &Value) -> Fields {
    within(schema, schema)
}

/// The fields of a schema whose references are pointers into the document that holds it.
pub(super) fn within<'s>(document: &'s Value, schema: &'s Value) -> Fields {
    let mut walk = Walk { root: document, fields: Fields::default(), within: Vec::new() };
    let parts = walk.parts(schema);
    walk.fields.rules = rules::of(&parts);
    walk.members("", schema, 0);
    walk.fields
}

struct Walk<'s> {
    root: &'s Value,
    fields: Fields,
    /// The schemas on the way here, by address, so that one within itself ends.
    within: Vec<*const Value>,
}

impl<'s> Walk<'s> {
    /// A schema with all those that judge the same place.
    fn parts(&self, schema: &'s Value) -> Vec<&'s Value> {
        let mut parts: Vec<&'s Value> = vec![schema];
        let mut at = 0;
        while let Some(part) = parts.get(at).copied() {
            let referred = part.get("$ref").and_then(Value::as_str).and_then(|target| self.at(target));
            let all = part.get("allOf").and_then(Value::as_array).into_iter().flatten();
            for next in referred.into_iter().chain(all) {
                if parts.len() < PARTS_MAX && !parts.iter().any(|have| std::ptr::eq(*have, next)) {
                    parts.push(next);
                }
            }
            at += 1;
        }
        parts
    }

    fn at(&self, target: &str) -> Option<&'s Value> {
        let pointer = percent_encoding::percent_decode_str(target.strip_prefix('#')?).decode_utf8().ok()?;
        self.root.pointer(&pointer)
    }

    /// The rows of what lies below a place.
    fn members(&mut self, path: &str, schema: &'s Value, depth: usize) {
        let parts = self.parts(schema);
        let is_within = parts.iter().any(|part| self.within.iter().any(|outer| std::ptr::eq(*outer, *part)));
        if depth > DEPTH_MAX || is_within {
            return;
        }
        let entered = self.within.len();
        self.within.extend(parts.iter().map(|part| std::ptr::from_ref(*part)));
        let required: BTreeSet<&str> = texts(&parts, "required").collect();
        let mut told = BTreeSet::new();
        for (name, _) in objects(&parts, "properties") {
            if told.insert(name) {
                let same = objects(&parts, "properties").filter(|(other, _)| *other == name);
                let schemas: Vec<&'s Value> = same.map(|(_, schema)| schema).collect();
                self.field(&join(path, name), &schemas, required.contains(name), depth);
            }
        }
        for (pattern, schema) in objects(&parts, "patternProperties") {
            self.field(&join(path, &format!("<{pattern}>")), &[schema], false, depth);
        }
        for part in &parts {
            if let Some(schema) = part.get("additionalProperties").filter(|schema| schema.is_object()) {
                self.field(&join(path, "*"), &[schema], false, depth);
            }
            if let Some(schema) = part.get("items").filter(|schema| schema.is_object()) {
                self.members(&format!("{path}[]"), schema, depth + 1);
            }
            for (index, schema) in
                part.get("prefixItems").and_then(Value::as_array).into_iter().flatten().enumerate()
            {
                self.field(&format!("{path}[{index}]"), &[schema], false, depth);
            }
        }
        let branches = ["oneOf", "anyOf"]
            .into_iter()
            .flat_map(|keyword| parts.iter().filter_map(move |part| part.get(keyword)?.as_array()).flatten());
        for branch in branches.collect::<Vec<_>>() {
            self.members(path, branch, depth + 1);
        }
        self.within.truncate(entered);
    }

    fn field(&mut self, path: &str, schemas: &[&'s Value], is_required: bool, depth: usize) {
        if self.fields.rows.iter().any(|row| row.path == path) {
            return;
        }
        if self.fields.rows.len() == ROWS_MAX {
            self.fields.is_cut = true;
            return;
        }
        let mut parts: Vec<&Value> = schemas.iter().flat_map(|schema| self.parts(schema)).collect();
        parts.dedup_by(|left, right| std::ptr::eq(*left, *right));
        let elements: Vec<&Value> =
            parts.iter().filter_map(|part| part.get("items")).flat_map(|items| self.parts(items)).collect();
        self.fields.rows.push(Field {
            path: path.to_owned(),
            kind: rules::kind(&parts, &elements),
            is_required,
            is_deprecated: parts.iter().any(|part| part.get("deprecated") == Some(&Value::Bool(true))),
            rules: rules::of(&parts).into_iter().chain(rules::of_elements(&elements)).collect(),
            description: parts
                .iter()
                .find_map(|part| part.get("description").or_else(|| part.get("title"))?.as_str())
                .map(ToOwned::to_owned),
        });
        for schema in schemas {
            self.members(path, schema, depth + 1);
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn texts<'s>(parts: &[&'s Value], keyword: &'static str) -> impl Iterator<Item = &'s str> {
    let lists = parts.iter().filter_map(move |part| part.get(keyword)?.as_array());
    lists.flatten().filter_map(Value::as_str)
}

fn objects<'s>(parts: &[&'s Value], keyword: &'static str) -> impl Iterator<Item = (&'s str, &'s Value)> {
    let maps = parts.iter().filter_map(move |part| part.get(keyword)?.as_object());
    maps.flatten().map(|(name, schema)| (name.as_str(), schema))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ROWS_MAX, of};

    fn rows(schema: &Value) -> Vec<(String, String, bool, String)> {
        let rows = of(schema).rows.into_iter();
        rows.map(|row| (row.path, row.kind, row.is_required, row.rules.join("; "))).collect()
    }

    fn row(path: &str, kind: &str, is_required: bool, rules: &str) -> (String, String, bool, String) {
        (path.to_owned(), kind.to_owned(), is_required, rules.to_owned())
    }

    #[test]
    fn fields_are_told_with_what_they_refer_to_and_what_lies_in_them() {
        let schema = json!({
            "type": "object",
            "required": ["at", "items"],
            "properties": {
                "at": {"type": "string", "format": "date-time"},
                "items": {"type": "array", "minItems": 1, "maxItems": 5, "items": {
                    "type": "object", "required": ["price"], "properties": {"price": {"$ref": "#/$defs/amount"}}}},
                "tags": {"type": "array", "items": {"type": "string", "maxLength": 9}},
                "more": {"type": "object", "additionalProperties": {"type": ["integer", "null"]}},
            },
            "$defs": {"amount": {"type": "integer", "minimum": 0, "description": "In cents."}},
        });
        assert_eq!(
            rows(&schema),
            [
                row("at", "string (date-time)", true, ""),
                row("items", "array of object", true, "1 to 5 elements"),
                row("items[].price", "integer", true, "at least 0"),
                row("more", "object", false, ""),
                row("more.*", "integer or null", false, ""),
                row("tags", "array of string", false, "each: at most 9 characters"),
            ]
        );
        assert_eq!(of(&schema).rows[2].description.as_deref(), Some("In cents."));
    }

    #[test]
    fn all_schemas_of_a_place_and_all_branches_are_told() {
        let schema = json!({
            "properties": {"card": {"type": "string"}},
            "allOf": [{"required": ["card"], "properties": {"card": {"pattern": "^4"}}}],
            "oneOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"enum": ["x", "y"]}}}],
        });
        let told = [
            row("card", "string", true, "matches ^4"),
            row("a", "any", false, "always 1"),
            row("b", "any", false, "x or y"),
        ];
        assert_eq!(rows(&schema), told);
        assert_eq!(of(&schema).rules, ["exactly one of 2 forms"]);
    }

    #[test]
    fn a_schema_within_itself_or_of_any_size_ends() {
        let tree = json!({"properties": {"left": {"$ref": "#"}, "name": {"type": "string"}}});
        assert_eq!(rows(&tree), [row("left", "any", false, ""), row("name", "string", false, "")]);
        let many: serde_json::Map<String, Value> =
            (0..=ROWS_MAX).map(|number| (format!("f{number}"), json!(true))).collect();
        let cut = of(&json!({"properties": many}));
        assert_eq!((cut.rows.len(), cut.is_cut), (ROWS_MAX, true));
        assert_eq!(of(&json!(true)).rows.len(), 0);
        assert_eq!(of(&json!({"$ref": "#/absent", "properties": 7})).rows.len(), 0);
    }
}
