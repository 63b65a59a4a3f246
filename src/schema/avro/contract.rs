//! A schema as JSON Schema, so that people and tools that know no Avro read what to post.
//!
//! It has the words that all drafts share, but for `contentEncoding`. Types that are used once stand where they are used.

use std::collections::{HashMap, HashSet};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::decode;
use super::names::Name;
use super::tree::{Branch, Field, Form, Id, Meaning, Node, Octets, Record, Tree, Union, Unit};

/// A default is told when it has at most this many bytes.
const DEFAULT_BYTES_MAX: usize = 4 << 10;

/// What is said beside what data must be: purposes and defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notes {
    Told,
    LeftOut,
}

/// Writes the schema.
pub(super) fn write(tree: &Tree, notes: Notes) -> Value {
    let (told, shared) = (HashSet::new(), Map::new());
    let mut contract = Contract { tree, notes, uses: uses(tree), told, shared };
    let mut schema = contract.node(tree.root());
    if !contract.shared.is_empty()
        && let Some(members) = schema.as_object_mut()
    {
        members.insert("$defs".to_owned(), Value::Object(contract.shared));
    }
    schema
}

/// How often each type is referred to.
fn uses(tree: &Tree) -> HashMap<Id, usize> {
    let mut uses: HashMap<Id, usize> = HashMap::new();
    for part in tree.nodes().flat_map(Node::parts) {
        *uses.entry(part).or_default() += 1;
    }
    uses
}

struct Contract<'t> {
    tree: &'t Tree,
    notes: Notes,
    uses: HashMap<Id, usize>,
    told: HashSet<Id>,
    /// What lies under `$defs`.
    shared: Map<String, Value>,
}

impl Contract<'_> {
    fn node(&mut self, id: Id) -> Value {
        let tree = self.tree;
        match tree.node(id) {
            Node::Null => json!({"type": "null"}),
            Node::Boolean => json!({"type": "boolean"}),
            Node::Int(meaning) => count(*meaning, i64::from(i32::MIN), i64::from(i32::MAX)),
            Node::Long(meaning) => count(*meaning, i64::MIN, i64::MAX),
            Node::Float | Node::Double => json!({"type": "number"}),
            Node::Bytes(octets) => self::octets(*octets, None),
            Node::Text { is_uuid: true } => json!({"type": "string", "format": "uuid"}),
            Node::Text { is_uuid: false } => json!({"type": "string"}),
            Node::Array(items) => json!({"type": "array", "items": self.node(*items)}),
            Node::Map(values) => json!({"type": "object", "additionalProperties": self.node(*values)}),
            Node::Union(union) => self.union(union),
            Node::Record(record) => self.named(id, &record.name, |contract| contract.record(record)),
            Node::Enum(symbols) => self.named(id, &symbols.name, |contract| {
                let schema = json!({"type": "string", "enum": symbols.symbols});
                contract.noted(schema, symbols.doc.as_deref())
            }),
            Node::Fixed(fixed) => self.named(id, &fixed.name, |_| octets(fixed.octets, Some(fixed.size))),
        }
    }

    /// A type where it stands, or a reference to it where it is used more than once.
    fn named(&mut self, id: Id, name: &Name, write: impl FnOnce(&mut Self) -> Value) -> Value {
        if id == self.tree.root() {
            if !self.told.insert(id) {
                return json!({"$ref": "#"});
            }
            return write(self);
        }
        if self.uses.get(&id).is_none_or(|uses| *uses < 2) {
            return write(self);
        }
        if self.told.insert(id) {
            let schema = write(self);
            self.shared.insert(name.full().to_owned(), schema);
        }
        // Names hold letters, digits, dots and underscores; letters may be any.
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii());
        let encoded = if is_plain(name.full()) {
            name.full().to_owned()
        } else {
            utf8_percent_encode(name.full(), NON_ALPHANUMERIC).to_string()
        };
        json!({"$ref": format!("#/$defs/{encoded}")})
    }

    fn record(&mut self, record: &Record) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in &record.fields {
            let schema = self.node(field.node);
            let mut schema = self.noted(schema, field.doc.as_deref());
            if field.default.is_none() {
                required.push(&*field.name);
            } else if let (Some(members), Some(default)) = (schema.as_object_mut(), self.default(field)) {
                members.insert("default".to_owned(), default);
            }
            properties.insert(field.name.to_string(), schema);
        }
        let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        if let Some(members) = schema.as_object_mut()
            && !required.is_empty()
        {
            members.insert("required".to_owned(), json!(required));
        }
        self.noted(schema, record.doc.as_deref())
    }

    /// What is read where the data has no such member.
    fn default(&self, field: &Field) -> Option<Value> {
        if self.notes == Notes::LeftOut {
            return None;
        }
        let written = &field.default.as_ref()?.written;
        let mut out = Vec::new();
        decode::decode_from(self.tree, field.node, written, DEFAULT_BYTES_MAX, &mut out).ok()?;
        serde_json::from_slice(&out).ok()
    }

    fn noted(&self, mut schema: Value, note: Option<&str>) -> Value {
        let note = note.filter(|_| self.notes == Notes::Told);
        if let (Some(members), Some(note)) = (schema.as_object_mut(), note) {
            members.insert("description".to_owned(), note.into());
        }
        schema
    }

    fn union(&mut self, union: &Union) -> Value {
        let branches: Vec<Value> = union.branches.iter().map(|branch| self.branch(branch)).collect();
        let word = |schema: &Value| {
            let members = schema.as_object().filter(|members| members.len() == 1)?;
            members.get("type").cloned()
        };
        match (&*branches, branches.iter().map(word).collect::<Option<Vec<Value>>>()) {
            ([], _) => json!({"not": {}}),
            ([only], _) => only.clone(),
            (_, Some(words)) => {
                let mut types: Vec<Value> = Vec::new();
                for word in words {
                    if !types.contains(&word) {
                        types.push(word);
                    }
                }
                json!({"type": types})
            }
            (_, None) => json!({"anyOf": branches}),
        }
    }

    fn branch(&mut self, branch: &Branch) -> Value {
        let schema = self.node(branch.node);
        match branch.form {
            Form::Plain => schema,
            Form::Tagged => json!({
                "type": "object",
                "properties": {&*branch.name: schema},
                "required": [&*branch.name],
                "additionalProperties": false,
            }),
        }
    }
}

/// A whole number, or the text of what it stands for.
fn count(meaning: Meaning, least: i64, greatest: i64) -> Value {
    const CLOCK: &str = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]+)?";
    match meaning {
        Meaning::Number => json!({"type": "integer", "minimum": least, "maximum": greatest}),
        Meaning::Date => json!({"type": ["string", "integer"], "format": "date"}),
        Meaning::Instant(_) => json!({"type": ["string", "integer"], "format": "date-time"}),
        Meaning::TimeOfDay(unit) => {
            let below = day(unit);
            json!({"type": ["string", "integer"], "pattern": format!("^{CLOCK}$"), "minimum": 0, "maximum": below - 1})
        }
        Meaning::Local(_) => {
            let pattern = format!("^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{CLOCK}$");
            json!({"type": ["string", "integer"], "pattern": pattern})
        }
    }
}

const fn day(unit: Unit) -> i64 {
    unit.per_second() * 86_400
}

fn octets(octets: Octets, size: Option<usize>) -> Value {
    match (octets, size) {
        (Octets::Plain, None) => json!({"type": "string", "contentEncoding": "base64"}),
        (Octets::Plain, Some(size)) => {
            let length = size.div_ceil(3).saturating_mul(4);
            json!({"type": "string", "contentEncoding": "base64", "minLength": length, "maxLength": length})
        }
        (Octets::Uuid, _) => json!({"type": "string", "format": "uuid"}),
        (Octets::Decimal { precision, scale }, _) => {
            let (whole, fraction) = (precision - scale, format!("(\\.[0-9]{{1,{scale}}})?"));
            let fraction = if scale > 0 { &*fraction } else { "" };
            json!({"type": "string", "pattern": format!("^-?0*[0-9]{{1,{}}}{fraction}$", whole.max(1))})
        }
    }
}
