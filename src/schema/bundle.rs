//! One schema out of several: what it refers to comes with it, so that it can be read alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::budget::References;
use super::folder::File;

/// Keywords that hold data, in which nothing is a reference.
const DATA: [&str; 4] = ["const", "default", "enum", "examples"];
/// Keywords by which others refer to a schema; in a bundle all references are pointers.
const NAMES: [&str; 5] = ["$anchor", "$dynamicAnchor", "$id", "$recursiveAnchor", "$schema"];
const REFERENCES: [&str; 3] = ["$dynamicRef", "$recursiveRef", "$ref"];

/// The schema of a file with all that it refers to, under `$defs` by the files' names; every reference is a pointer into the
/// result. `None` where a reference leads nowhere, which the validator would have refused.
pub(super) fn bundle(files: &[File], references: &References<'_>, at: usize) -> Option<Value> {
    let mut bundle = Bundle { files, references, root: at, names: BTreeMap::new(), rest: Vec::new() };
    let mut schema = bundle.copy(at, &files.get(at)?.schema)?;
    let mut definitions = Map::new();
    while let Some(other) = bundle.rest.pop() {
        let copy = bundle.copy(other, &files.get(other)?.schema)?;
        definitions.insert(bundle.names.get(&other)?.clone(), copy);
    }
    if let (Some(members), false) = (schema.as_object_mut(), definitions.is_empty()) {
        let own = members.entry("$defs").or_insert_with(|| Value::Object(Map::new()));
        own.as_object_mut()?.extend(definitions);
    }
    Some(schema)
}

struct Bundle<'f> {
    files: &'f [File],
    references: &'f References<'f>,
    root: usize,
    /// Under which name a file other than the root lies in the bundle.
    names: BTreeMap<usize, String>,
    /// Files that are referred to and not yet copied.
    rest: Vec<usize>,
}

impl Bundle<'_> {
    fn copy(&mut self, file: usize, value: &Value) -> Option<Value> {
        Some(match value {
            Value::Object(members) => {
                let mut copy = Map::new();
                for (name, value) in members {
                    match value {
                        Value::String(_) if NAMES.contains(&name.as_str()) => {}
                        Value::String(target) if REFERENCES.contains(&name.as_str()) => {
                            copy.insert("$ref".to_owned(), self.pointer(file, target)?.into());
                        }
                        _ if DATA.contains(&name.as_str()) => {
                            copy.insert(name.clone(), value.clone());
                        }
                        _ => {
                            copy.insert(name.clone(), self.copy(file, value)?);
                        }
                    }
                }
                Value::Object(copy)
            }
            Value::Array(elements) => {
                Value::Array(elements.iter().map(|one| self.copy(file, one)).collect::<Option<_>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        })
    }

    /// Where what a file's reference leads to lies in the bundle.
    fn pointer(&mut self, file: usize, reference: &str) -> Option<String> {
        let (target, place) = self.references.place(file, reference)?;
        if target == self.root {
            return Some(format!("#{place}"));
        }
        if !self.names.contains_key(&target) {
            let name = self.name(target)?;
            self.names.insert(target, name);
            self.rest.push(target);
        }
        Some(format!("#/$defs/{}{place}", self.names.get(&target)?))
    }

    /// A name that needs no escape in a pointer, and that neither the root's own definitions nor other files have.
    fn name(&self, file: usize) -> Option<String> {
        let (_, path) = self.files.get(file)?.uri.split_once(":/")?;
        let letter = |one: char| if one.is_ascii_alphanumeric() || one == '_' { one } else { '-' };
        let stem: String = path.trim_end_matches(".json").chars().map(letter).collect();
        let own = self.files.get(self.root)?.schema.get("$defs");
        let is_free = |name: &String| {
            own.and_then(|own| own.get(name)).is_none() && !self.names.values().any(|taken| taken == name)
        };
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        std::iter::once(stem.clone()).chain(numbered).find(is_free)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::budget::References;
    use super::super::folder::File;

    fn bundle(files: &[File], at: usize) -> Option<Value> {
        super::bundle(files, &References::new(files), at)
    }

    fn file(uri: &str, schema: Value) -> File {
        let uri = format!("weirgate:/{uri}");
        File { path: uri.clone().into(), uri, event_type: None, bytes: Vec::new(), schema }
    }

    #[test]
    fn what_is_referred_to_comes_with_it() {
        let files = [
            file(
                "orders/placed/v1.json",
                json!({"$schema": "https://json-schema.org/draft/2020-12/schema",
                       "properties": {"amount": {"$ref": "../../shop/common.json#/$defs/amount"},
                                      "note": {"const": {"$ref": "data"}}, "next": {"$ref": "#"}}}),
            ),
            file(
                "shop/common.json",
                json!({"$defs": {"amount": {"$ref": "#money"}, "euro": {"$anchor": "money", "minimum": 0}}}),
            ),
        ];
        let expected = json!({
            "properties": {"amount": {"$ref": "#/$defs/shop-common/$defs/amount"}, "note": {"const": {"$ref": "data"}},
                           "next": {"$ref": "#"}},
            "$defs": {"shop-common": {"$defs": {"amount": {"$ref": "#/$defs/shop-common/$defs/euro"}, "euro": {"minimum": 0}}}},
        });
        assert_eq!(bundle(&files, 0), Some(expected));
    }

    #[test]
    fn names_do_not_collide() {
        let files = [
            file(
                "a/v1.json",
                json!({"$defs": {"b-c": {}}, "allOf": [{"$ref": "/b/c.json"}, {"$ref": "/b-c.json"}]}),
            ),
            file("b/c.json", json!({"type": "object"})),
            file("b-c.json", json!({"$ref": "/a/v1.json#/$defs/b-c"})),
        ];
        let expected = json!({
            "$defs": {"b-c": {}, "b-c-2": {"type": "object"}, "b-c-3": {"$ref": "#/$defs/b-c"}},
            "allOf": [{"$ref": "#/$defs/b-c-2"}, {"$ref": "#/$defs/b-c-3"}],
        });
        assert_eq!(bundle(&files, 0), Some(expected));
    }

    #[test]
    fn a_reference_that_leads_nowhere_makes_no_bundle() {
        assert_eq!(bundle(&[file("a/v1.json", json!({"$ref": "#/$defs/none"}))], 0), None);
    }
}
