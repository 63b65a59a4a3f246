//! Which members and other parts of a value the schemas of one place describe.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::place::target;

/// How a part that is no single member is counted.
pub(super) fn part_name(keyword: &str) -> String {
    format!("/{keyword}")
}

/// How many schemas that may hold at once describe each part of the value.
pub(super) fn count_parts(
    bundle: &Value,
    schema: &Value,
    seen: &mut BTreeSet<String>,
    counts: &mut BTreeMap<String, usize>,
) {
    let Some(members) = schema.as_object() else { return };
    for (keyword, value) in members {
        match keyword.as_str() {
            "properties" => {
                for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
                    *counts.entry(name.clone()).or_default() += 1;
                }
            }
            "items" | "prefixItems" | "patternProperties" | "additionalProperties" => {
                // Patterns may match names that stand alone.
                let weight = if keyword == "patternProperties" { 2 } else { 1 };
                *counts.entry(part_name(keyword)).or_default() += weight;
            }
            "allOf" => {
                for schema in value.as_array().into_iter().flatten() {
                    count_parts(bundle, schema, seen, counts);
                }
            }
            "dependentSchemas" => {
                for (_, schema) in value.as_object().into_iter().flatten() {
                    count_parts(bundle, schema, seen, counts);
                }
            }
            "anyOf" | "oneOf" => {
                count_most(bundle, value.as_array().into_iter().flatten(), seen, counts);
            }
            "then" => count_most(bundle, [value].into_iter().chain(members.get("else")), seen, counts),
            "else" if !members.contains_key("then") => count_parts(bundle, value, seen, counts),
            "$ref" => {
                if let Some((name, schema)) = target(bundle, value)
                    && seen.insert(name.to_owned())
                {
                    count_parts(bundle, schema, seen, counts);
                    seen.remove(name);
                }
            }
            _ => {}
        }
    }
}

/// Branches do not hold at once; the one that describes most counts.
fn count_most<'v>(
    bundle: &Value,
    branches: impl Iterator<Item = &'v Value>,
    seen: &mut BTreeSet<String>,
    counts: &mut BTreeMap<String, usize>,
) {
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for branch in branches {
        let mut own = BTreeMap::new();
        count_parts(bundle, branch, seen, &mut own);
        for (part, count) in own {
            let before = most.entry(part).or_default();
            *before = count.max(*before);
        }
    }
    for (part, count) in most {
        *counts.entry(part).or_default() += count;
    }
}

/// The members that the schemas of a place name.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    names: BTreeSet<String>,
    patterns: BTreeSet<String>,
    /// Whether some schema says itself what holds for other members.
    is_explicit: bool,
}

impl Known {
    /// Of a schema and all others that judge the same value through it.
    pub(super) fn of(bundle: &Value, schema: &Value) -> Self {
        let mut known = Self::default();
        known.collect(bundle, schema, &mut BTreeSet::new());
        known
    }

    fn collect(&mut self, bundle: &Value, schema: &Value, seen: &mut BTreeSet<String>) {
        let Some(members) = schema.as_object() else { return };
        for (keyword, value) in members {
            match keyword.as_str() {
                "properties" => self.names.extend(value.as_object().into_iter().flatten().map(own_name)),
                "patternProperties" => {
                    self.patterns.extend(value.as_object().into_iter().flatten().map(own_name));
                }
                "additionalProperties" | "unevaluatedProperties" => self.is_explicit = true,
                "allOf" | "anyOf" | "oneOf" => {
                    for schema in value.as_array().into_iter().flatten() {
                        self.collect(bundle, schema, seen);
                    }
                }
                "dependentSchemas" => {
                    for (_, schema) in value.as_object().into_iter().flatten() {
                        self.collect(bundle, schema, seen);
                    }
                }
                "if" | "then" | "else" => self.collect(bundle, value, seen),
                "$ref" => {
                    if let Some((name, schema)) = target(bundle, value)
                        && seen.insert(name.to_owned())
                    {
                        self.collect(bundle, schema, seen);
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether there is something to close, and nothing said of it.
    pub(super) fn is_closable(&self) -> bool {
        !self.is_explicit && !self.names.is_empty()
    }

    /// Together with those of a schema beside it.
    pub(super) fn beside(mut self, other: &Self) -> Self {
        self.names.extend(other.names.iter().cloned());
        self.patterns.extend(other.patterns.iter().cloned());
        self.is_explicit |= other.is_explicit;
        self
    }

    /// Adds to a schema that there are no other members than these.
    pub(super) fn close(&self, members: &mut Map<String, Value>) {
        if !self.is_closable() {
            return;
        }
        let has_all = |keyword: &str, names: &BTreeSet<String>| {
            let own = members.get(keyword).and_then(Value::as_object);
            own.map_or(0, Map::len) == names.len()
        };
        if has_all("properties", &self.names) && has_all("patternProperties", &self.patterns) {
            members.insert("additionalProperties".to_owned(), Value::Bool(false));
            return;
        }
        let any = |names: &BTreeSet<String>| -> Map<String, Value> {
            names.iter().map(|name| (name.clone(), Value::Bool(true))).collect()
        };
        let mut closure = json!({"properties": any(&self.names), "additionalProperties": false});
        if let (false, Some(closure)) = (self.patterns.is_empty(), closure.as_object_mut()) {
            closure.insert("patternProperties".to_owned(), Value::Object(any(&self.patterns)));
        }
        let all = members.entry("allOf").or_insert_with(|| json!([]));
        if let Some(all) = all.as_array_mut() {
            all.push(closure);
        }
    }
}

fn own_name((name, _): (&String, &Value)) -> String {
    name.clone()
}
