//! One schema with all that it refers to, as a single document of one dialect: what the comparison works on.
//!
//! References become `#/$defs/{name}`, keywords of older drafts become those of 2020-12, and what asserts nothing goes
//! (but for `default` and `examples`). It accepts the same values as what it was made from, with one exception that it
//! names: keywords that 2020-12 cannot say.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jsonschema::{Draft, Registry};
use referencing::Resolver;
use serde_json::{Map, Value, json};

use super::DIALECT;

/// Keywords that hold one schema.
const ONE: [&str; 5] = ["additionalProperties", "propertyNames", "not", "contains", "if"];
/// Keywords that hold one schema, since 2019-09.
const ONE_SINCE_2019: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];
const LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const MAPS: [&str; 2] = ["properties", "patternProperties"];
/// Keywords whose values are no schemas and mean the same in all drafts.
const PLAIN: [&str; 20] = [
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "required",
    "default",
    "examples",
    "format",
];
const PLAIN_SINCE_2019: [&str; 3] = ["minContains", "maxContains", "dependentRequired"];
/// Formats that draft 7 does not know.
const FORMATS_SINCE_2019: [&str; 2] = ["uuid", "duration"];

/// A schema in one document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bundle {
    /// The document, of draft 2020-12.
    pub(super) schema: Value,
    /// Where each of its definitions stood: `#/$defs/amount`, `shop/common.json#/$defs/amount`.
    pub(super) origins: BTreeMap<String, String>,
    /// A keyword of the original that 2020-12 cannot say, or that depends on who refers to it.
    pub(super) unspoken: Option<&'static str>,
}

struct Task<'r> {
    name: String,
    schema: &'r Value,
    resolver: Resolver<'r>,
    draft: Draft,
}

struct Bundler<'r> {
    root_uri: String,
    names: HashMap<usize, String>,
    tasks: VecDeque<Task<'r>>,
    origins: BTreeMap<String, String>,
    unspoken: Option<&'static str>,
}

/// Bundles the schema that stands at `uri` of a registry.
///
/// # Errors
/// When a reference leads nowhere.
pub(super) fn bundle(registry: &Registry<'_>, uri: &str, draft: Draft) -> Result<Bundle, String> {
    let place = jsonschema::uri::from_str(uri).map_err(|error| error.to_string())?;
    let (root, resolver, _) =
        registry.resolver(place).lookup(uri).map_err(|error| error.to_string())?.into_inner();
    let mut bundler = Bundler {
        root_uri: uri.to_owned(),
        names: HashMap::new(),
        tasks: VecDeque::new(),
        origins: BTreeMap::new(),
        unspoken: None,
    };
    let mut schema = bundler.schema(root, &resolver, draft)?;
    let mut definitions = Map::new();
    while let Some(Task { name, schema, resolver, draft }) = bundler.tasks.pop_front() {
        definitions.insert(name, bundler.schema(schema, &resolver, draft)?);
    }
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), json!(DIALECT));
        if !definitions.is_empty() {
            members.insert("$defs".to_owned(), Value::Object(definitions));
        }
    }
    Ok(Bundle { schema, origins: bundler.origins, unspoken: bundler.unspoken })
}

impl<'r> Bundler<'r> {
    fn schema(&mut self, schema: &'r Value, outer: &Resolver<'r>, draft: Draft) -> Result<Value, String> {
        let Some(members) = schema.as_object() else { return Ok(schema.clone()) };
        let (is_old, is_7) = (draft < Draft::Draft202012, draft < Draft::Draft201909);
        let resolver =
            outer.in_subresource(draft.create_resource_ref(schema)).map_err(|error| error.to_string())?;
        let mut out = Map::new();
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            let bases = if is_7 { [outer, outer] } else { [&resolver, outer] };
            out.insert("$ref".to_owned(), self.reference(reference, bases)?);
            if is_7 {
                return Ok(Value::Object(out));
            }
        }
        for (keyword, value) in members {
            let keyword = keyword.as_str();
            let is_schema = ONE.contains(&keyword) || (!is_7 && ONE_SINCE_2019.contains(&keyword));
            let is_branch = matches!(keyword, "then" | "else") && members.contains_key("if");
            if is_schema || is_branch {
                out.insert(keyword.to_owned(), self.schema(value, &resolver, draft)?);
            } else if LISTS.contains(&keyword) || (!is_old && keyword == "prefixItems") {
                out.insert(keyword.to_owned(), self.list(value, &resolver, draft)?);
            } else if MAPS.contains(&keyword) || (!is_7 && keyword == "dependentSchemas") {
                let map = self.map(value, &resolver, draft)?;
                merge(&mut out, keyword, map);
            } else if PLAIN.contains(&keyword) || (!is_7 && PLAIN_SINCE_2019.contains(&keyword)) {
                let is_unknown = is_7 && FORMATS_SINCE_2019.iter().any(|format| value == format);
                if keyword == "dependentRequired" {
                    merge(&mut out, keyword, value.as_object().cloned().unwrap_or_default());
                } else if !is_unknown {
                    out.insert(keyword.to_owned(), value.clone());
                }
            } else if keyword == "dependencies" {
                self.dependencies(value, &resolver, draft, &mut out)?;
            } else {
                self.note(keyword, draft);
            }
        }
        self.items(members, &resolver, draft, &mut out)?;
        if draft == Draft::Draft201909
            && out.contains_key("unevaluatedItems")
            && members.contains_key("contains")
        {
            self.unspoken = Some("unevaluatedItems beside contains of draft 2019-09");
        }
        Ok(Value::Object(out))
    }

    /// `items` and `additionalItems` of older drafts are `prefixItems` and `items` where `items` is a list.
    fn items(
        &mut self,
        members: &'r Map<String, Value>,
        resolver: &Resolver<'r>,
        draft: Draft,
        out: &mut Map<String, Value>,
    ) -> Result<(), String> {
        match members.get("items") {
            Some(list @ Value::Array(schemas)) => {
                if !schemas.is_empty() {
                    out.insert("prefixItems".to_owned(), self.list(list, resolver, draft)?);
                }
                if let Some(rest) = members.get("additionalItems") {
                    out.insert("items".to_owned(), self.schema(rest, resolver, draft)?);
                }
            }
            Some(schema) => {
                out.insert("items".to_owned(), self.schema(schema, resolver, draft)?);
            }
            None => {}
        }
        Ok(())
    }

    fn dependencies(
        &mut self,
        value: &'r Value,
        resolver: &Resolver<'r>,
        draft: Draft,
        out: &mut Map<String, Value>,
    ) -> Result<(), String> {
        let (mut required, mut schemas) = (Map::new(), Map::new());
        for (name, dependency) in value.as_object().into_iter().flatten() {
            if dependency.is_array() {
                required.insert(name.clone(), dependency.clone());
            } else {
                schemas.insert(name.clone(), self.schema(dependency, resolver, draft)?);
            }
        }
        for (keyword, map) in [("dependentRequired", required), ("dependentSchemas", schemas)] {
            if !map.is_empty() {
                merge(out, keyword, map);
            }
        }
        Ok(())
    }

    fn list(&mut self, value: &'r Value, resolver: &Resolver<'r>, draft: Draft) -> Result<Value, String> {
        let schemas = value.as_array().into_iter().flatten();
        schemas.map(|schema| self.schema(schema, resolver, draft)).collect()
    }

    fn map(
        &mut self,
        value: &'r Value,
        resolver: &Resolver<'r>,
        draft: Draft,
    ) -> Result<Map<String, Value>, String> {
        let schemas = value.as_object().into_iter().flatten();
        schemas.map(|(name, schema)| Ok((name.clone(), self.schema(schema, resolver, draft)?))).collect()
    }

    /// The new place of what a reference leads to, from the first base that it leads anywhere from.
    fn reference(&mut self, reference: &str, bases: [&Resolver<'r>; 2]) -> Result<Value, String> {
        let [near, far] = bases;
        let resolved = near.lookup(reference).or_else(|_| far.lookup(reference));
        let (schema, resolver, draft) =
            resolved.map_err(|error| format!("the reference {reference}: {error}"))?.into_inner();
        let key = std::ptr::from_ref(schema).addr();
        if let Some(name) = self.names.get(&key) {
            return Ok(json!(format!("#/$defs/{name}")));
        }
        let name = self.free_name(reference);
        self.names.insert(key, name.clone());
        let fragment = reference.split_once('#').map_or("", |(_, fragment)| fragment);
        let uri = resolver.base_uri();
        let place = if uri.as_str() == self.root_uri { "" } else { uri.as_str() };
        let place = place.trim_start_matches("weirgate:/");
        self.origins.insert(name.clone(), format!("{place}#{fragment}"));
        let pointer = format!("#/$defs/{name}");
        self.tasks.push_back(Task { name, schema, resolver, draft });
        Ok(json!(pointer))
    }

    /// The last part of a reference, as a name that is not taken.
    fn free_name(&self, reference: &str) -> String {
        let last = reference.rsplit(['/', '#']).find(|part| !part.is_empty()).unwrap_or("root");
        let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        let stem: String = last.chars().filter(is_plain).take(64).collect();
        let stem = if stem.is_empty() { "part".to_owned() } else { stem };
        let is_taken = |name: &String| self.origins.contains_key(name);
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        std::iter::once(stem.clone()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
    }

    fn note(&mut self, keyword: &str, draft: Draft) {
        let unspoken = match keyword {
            "$dynamicRef" if draft == Draft::Draft202012 => "$dynamicRef",
            "$recursiveRef" if draft == Draft::Draft201909 => "$recursiveRef",
            "contentEncoding" if draft == Draft::Draft7 => "contentEncoding of draft 7",
            "contentMediaType" if draft == Draft::Draft7 => "contentMediaType of draft 7",
            _ => return,
        };
        self.unspoken = Some(unspoken);
    }
}

/// Adds to a map that `dependencies` and its successors both may have begun.
fn merge(out: &mut Map<String, Value>, keyword: &str, map: Map<String, Value>) {
    let Some(before) = out.get_mut(keyword).and_then(Value::as_object_mut) else {
        out.insert(keyword.to_owned(), Value::Object(map));
        return;
    };
    for (name, value) in map {
        match before.get_mut(&name) {
            Some(Value::Array(names)) => {
                for required in value.as_array().into_iter().flatten() {
                    if !names.contains(required) {
                        names.push(required.clone());
                    }
                }
            }
            Some(schema) => *schema = json!({"allOf": [schema.clone(), value]}),
            None => {
                before.insert(name, value);
            }
        }
    }
}
