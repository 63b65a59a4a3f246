//! Budgets of schemas at load: what is small on disk must not be large, endless or deep when it validates.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::folder::File;

const SUBSCHEMAS_MAX: usize = 2_000;
const PATTERNS_MAX: usize = 200;
/// A chain of schemas, each within the other or referred to by it, may be this long.
const CHAIN_MAX: usize = 128;
/// All subschemas that a value may meet, references followed, counted as often as they are met.
const MEETINGS_MAX: u64 = 100_000;

/// Keywords whose schemas judge the same value as the schema they stand in.
const SAME_VALUE: [&str; 10] =
    ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies", "extends"];
/// Keywords whose schemas judge parts of the value.
const PART_OF_VALUE: [&str; 13] = [
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "items",
    "additionalItems",
    "prefixItems",
    "contains",
    "unevaluatedItems",
    "contentSchema",
    "additional",
    "union",
];
/// Keywords that only keep schemas.
const KEPT: [&str; 2] = ["$defs", "definitions"];

/// Counts a schema's parts, without following references.
pub(super) fn check_size(schema: &Value) -> Result<(), String> {
    let (mut subschemas, mut patterns) = (0, 0);
    let mut rest = vec![schema];
    while let Some(schema) = rest.pop() {
        subschemas += 1;
        let Some(members) = schema.as_object() else { continue };
        patterns += usize::from(members.contains_key("pattern"));
        patterns += members.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
        for keyword in SAME_VALUE.iter().chain(&PART_OF_VALUE).chain(&KEPT) {
            rest.extend(members.get(*keyword).into_iter().flat_map(|value| below(keyword, value)));
        }
    }
    if subschemas > SUBSCHEMAS_MAX {
        return Err(format!("has {subschemas} subschemas; at most {SUBSCHEMAS_MAX} are allowed"));
    }
    if patterns > PATTERNS_MAX {
        return Err(format!("has {patterns} patterns; at most {PATTERNS_MAX} are allowed"));
    }
    Ok(())
}

/// Follows references between the schemas of a folder.
pub(super) struct References<'f> {
    files: &'f [File],
    by_uri: HashMap<String, usize>,
    anchors: Vec<HashMap<&'f str, &'f Value>>,
    seen: HashMap<usize, Seen>,
}

#[derive(Clone, Copy)]
enum Seen {
    /// On the way down, this many steps into parts of the value from the root.
    Open {
        parts: usize,
    },
    Done(Weight),
}

/// What a schema becomes once its references are followed.
#[derive(Clone, Copy)]
struct Weight {
    /// How many subschemas a value may meet.
    meetings: u64,
    /// How long the longest chain of them is.
    height: usize,
    /// Whether some schema is met again within a part of the value.
    is_recursive: bool,
}

impl<'f> References<'f> {
    pub(super) fn new(files: &'f [File]) -> Self {
        let mut by_uri = HashMap::new();
        for (at, file) in files.iter().enumerate() {
            by_uri.insert(file.uri.clone(), at);
            if let Some(id) = file.schema.get("$id").and_then(Value::as_str) {
                by_uri.insert(id.trim_end_matches('#').to_owned(), at);
            }
        }
        let anchors = files.iter().map(|file| anchors_of(&file.schema)).collect();
        Self { files, by_uri, anchors, seen: HashMap::new() }
    }

    /// Refuses a file whose schema is endless, too deep or too large once its references are followed; tells whether
    /// it is recursive.
    pub(super) fn check(&mut self, at: usize) -> Result<bool, String> {
        let Some(file) = self.files.get(at) else { return Ok(false) };
        let weight = self.visit(at, &file.schema, 0, 0)?;
        if weight.meetings > MEETINGS_MAX {
            return Err(format!(
                "grows to more than {MEETINGS_MAX} subschemas when its references are followed"
            ));
        }
        Ok(weight.is_recursive)
    }

    fn visit(
        &mut self,
        file: usize,
        schema: &'f Value,
        depth: usize,
        parts: usize,
    ) -> Result<Weight, String> {
        let one = |is_recursive| Weight { meetings: 1, height: 1, is_recursive };
        let Some(members) = schema.as_object() else { return Ok(one(false)) };
        let id = std::ptr::from_ref(schema).addr();
        match self.seen.get(&id) {
            Some(Seen::Done(weight)) if depth + weight.height <= CHAIN_MAX => return Ok(*weight),
            Some(Seen::Open { parts: before }) if *before == parts => {
                return Err("refers to itself without ever looking into the value".to_owned());
            }
            Some(Seen::Open { .. }) => return Ok(one(true)),
            Some(Seen::Done(_)) => return Err(too_long()),
            None if depth >= CHAIN_MAX => return Err(too_long()),
            None => {}
        }
        self.seen.insert(id, Seen::Open { parts });
        let mut weight = one(false);
        for (next_file, next, is_part) in self.steps(file, members) {
            let below = self.visit(next_file, next, depth + 1, parts + usize::from(is_part))?;
            weight.meetings = weight.meetings.saturating_add(below.meetings);
            weight.height = weight.height.max(below.height + 1);
            weight.is_recursive |= below.is_recursive;
        }
        self.seen.insert(id, Seen::Done(weight));
        Ok(weight)
    }

    fn steps(&self, file: usize, members: &'f Map<String, Value>) -> Vec<(usize, &'f Value, bool)> {
        let mut steps = Vec::new();
        for (keywords, is_part) in [(&SAME_VALUE[..], false), (&PART_OF_VALUE[..], true)] {
            for keyword in keywords {
                let schemas = members.get(*keyword).into_iter().flat_map(|value| below(keyword, value));
                steps.extend(schemas.map(|schema| (file, schema, is_part)));
            }
        }
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let target =
                members.get(keyword).and_then(Value::as_str).and_then(|text| self.target(file, text));
            steps.extend(target.map(|(file, schema)| (file, schema, false)));
        }
        steps
    }

    /// In which file what a reference leads to lies, and the pointer to it there.
    pub(super) fn place(&self, file: usize, reference: &str) -> Option<(usize, String)> {
        let (at, schema) = self.target(file, reference)?;
        Some((at, pointer_to(&self.files.get(at)?.schema, schema)?))
    }

    /// The schema a reference leads to, where that lies in the folder; the validator itself refuses all others.
    fn target(&self, file: usize, reference: &str) -> Option<(usize, &'f Value)> {
        let (place, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let at = if place.is_empty() { file } else { self.file_of(file, place)? };
        let root = &self.files.get(at)?.schema;
        let fragment = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
        let schema = if fragment.is_empty() {
            root
        } else if fragment.starts_with('/') {
            root.pointer(&fragment)?
        } else {
            self.anchors.get(at)?.get(&*fragment)?
        };
        Some((at, schema))
    }

    fn file_of(&self, from: usize, place: &str) -> Option<usize> {
        let file = self.files.get(from)?;
        let base = file.schema.get("$id").and_then(Value::as_str).unwrap_or(&file.uri);
        let candidates = [place.to_owned(), join(base, place), join(&file.uri, place)];
        candidates.iter().find_map(|uri| self.by_uri.get(uri)).copied()
    }
}

/// The pointer that leads from a schema to this very part of it.
fn pointer_to(root: &Value, part: &Value) -> Option<String> {
    if std::ptr::eq(root, part) {
        return Some(String::new());
    }
    let escape = |name: &String| name.replace('~', "~0").replace('/', "~1");
    match root {
        Value::Object(members) => members
            .iter()
            .find_map(|(name, value)| Some(format!("/{}{}", escape(name), pointer_to(value, part)?))),
        Value::Array(elements) => {
            let mut places = elements.iter().enumerate();
            places.find_map(|(index, value)| Some(format!("/{index}{}", pointer_to(value, part)?)))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn too_long() -> String {
    format!("has a chain of more than {CHAIN_MAX} schemas within each other")
}

/// The schemas directly below a keyword: itself, or those of a list or map.
fn below<'f>(keyword: &str, value: &'f Value) -> Vec<&'f Value> {
    let is_map = matches!(
        keyword,
        "properties" | "patternProperties" | "dependentSchemas" | "dependencies" | "$defs" | "definitions"
    );
    match value {
        Value::Array(schemas) => schemas.iter().collect(),
        Value::Object(schemas) if is_map => schemas.values().collect(),
        Value::Object(_) | Value::Bool(_) => vec![value],
        Value::Null | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn anchors_of(root: &Value) -> HashMap<&str, &Value> {
    let mut anchors = HashMap::new();
    let mut rest = vec![root];
    while let Some(value) = rest.pop() {
        if let Some(members) = value.as_object() {
            for keyword in ["$anchor", "$dynamicAnchor", "$id"] {
                if let Some(name) = members.get(keyword).and_then(Value::as_str) {
                    anchors.insert(name.trim_start_matches('#'), value);
                }
            }
            rest.extend(members.values());
        }
        rest.extend(value.as_array().into_iter().flatten());
    }
    anchors
}

/// A relative reference against a base, by path segments.
pub(super) fn join(base: &str, place: &str) -> String {
    if place.contains(':') {
        return place.to_owned();
    }
    let (scheme, path) = base.split_once(":/").unwrap_or(("", base));
    let mut segments: Vec<&str> = path.split('/').collect();
    segments.pop();
    if place.starts_with('/') {
        segments.clear();
    }
    for part in place.trim_start_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(part),
        }
    }
    format!("{scheme}:/{}", segments.join("/"))
}
