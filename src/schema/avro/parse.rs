//! Texts to types: strictly, each name defined once and before it is used, within budgets.
//!
//! A name that another text defines gets its place when it is met first, and its type when that text is parsed.

mod attributes;
mod named;

use std::collections::HashMap;

use serde_json::{Map, Value};

use self::attributes::{Attributes, count_meaning, octets};
use super::names;
use super::tree::{Branch, Form, Id, Meaning, Node, Octets, Tree, Union};
use super::union;
use crate::event::json::{Document, Error, Limits};

/// Types, fields, branches and symbols of a schema and all that it refers to.
const PARTS_MAX: usize = 10_000;
/// Types may be written within each other this deep.
const DEPTH_MAX: usize = 64;
/// A text's objects and arrays: two or three for a type.
const JSON_DEPTH_MAX: usize = 120;

/// Reads a text as JSON.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let limits = Limits { depth_max: JSON_DEPTH_MAX };
    let document = Document::parse(text.as_bytes(), limits).map_err(|error| match error {
        Error::Malformed { .. } => {
            format!("cannot be read as JSON, which Avro schemas are: {error}; other languages are named by schemaType")
        }
        Error::DuplicateMember { .. } | Error::TooDeep { .. } => error.to_string(),
    })?;
    Ok(document.root().to_owned_value())
}

/// Parses a text with those that it refers to.
pub(super) fn parse(text: &str, references: &[&str]) -> Result<Tree, String> {
    let mut parser = Parser::default();
    for (at, reference) in references.iter().enumerate() {
        // One version may be referred to by several names.
        if references.iter().take(at).any(|earlier| earlier == reference) {
            continue;
        }
        parser
            .document(reference)
            .map_err(|problem| format!("in a schema that is referred to: {problem}"))?;
    }
    let root = parser.document(text)?;
    parser.link(root)
}

/// What a text defines and what it leaves to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::schema) struct Outline {
    /// The full names of the types that it defines, the outermost first.
    pub(in crate::schema) defines: Vec<String>,
    /// The full names of the types that it names and does not define, in the order in which they are named.
    pub(in crate::schema) wants: Vec<String>,
}

/// Reads a text by itself.
pub(super) fn outline(text: &str) -> Result<Outline, String> {
    let mut parser = Parser::default();
    parser.document(text)?;
    let mut known: Vec<(Id, Box<str>, bool)> =
        parser.known.into_iter().map(|(name, known)| (known.id, name, known.is_defined)).collect();
    known.sort();
    let of = |wanted: bool| {
        known
            .iter()
            .filter(|(_, _, is_defined)| *is_defined == wanted)
            .map(|(_, name, _)| name.to_string())
            .collect()
    };
    Ok(Outline { defines: of(true), wants: of(false) })
}

/// A type that was parsed.
struct Parsed {
    id: Id,
    /// By which a union knows it.
    name: Box<str>,
    is_union: bool,
}

/// Where a name stands.
struct Known {
    id: Id,
    is_defined: bool,
    /// Where it is named first.
    place: String,
    /// The texts that use it before any defines it.
    wanted_by: Vec<usize>,
}

#[derive(Default)]
struct Parser {
    nodes: Vec<Option<Node>>,
    known: HashMap<Box<str>, Known>,
    /// Which text is being parsed.
    document: usize,
    /// Where in it.
    place: String,
    depth: usize,
    parts: usize,
}

impl Parser {
    fn document(&mut self, text: &str) -> Result<Id, String> {
        let schema = read(text)?;
        self.place.clear();
        self.document += 1;
        let parsed = self.parse(&schema, "");
        parsed.map(|parsed| parsed.id).map_err(|problem| format!("{problem} at #{}", self.place))
    }

    /// Gives each place its type.
    fn link(self, root: Id) -> Result<Tree, String> {
        let undefined = self.known.iter().filter(|(_, known)| !known.is_defined);
        if let Some((name, known)) = undefined.min_by_key(|(_, known)| known.id) {
            let own = known.wanted_by.first() == Some(&self.document);
            let within = if own { "" } else { ", in a schema that is referred to" };
            return Err(format!(
                "names {} at #{}{within}, which neither it nor a reference of it defines",
                shorten(name),
                known.place
            ));
        }
        let nodes: Option<Vec<Node>> = self.nodes.into_iter().collect();
        let nodes = nodes.ok_or("names a type that is not defined")?;
        let mut tree = Tree::new(nodes, root);
        union::choose_forms(&mut tree);
        Ok(tree)
    }

    /// Does something one step deeper in the text; where it fails, the place stays told.
    fn within<T>(
        &mut self,
        step: &str,
        parse: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let length = self.place.len();
        self.place.push('/');
        self.place.push_str(step);
        let parsed = parse(self)?;
        self.place.truncate(length);
        Ok(parsed)
    }

    fn spend(&mut self, parts: usize) -> Result<(), String> {
        self.parts += parts;
        if self.parts <= PARTS_MAX {
            return Ok(());
        }
        Err(format!("has more than {PARTS_MAX} types, fields, branches and symbols, references included"))
    }

    fn reserve(&mut self) -> Result<Id, String> {
        self.spend(1)?;
        let id = Id::new(self.nodes.len()).ok_or("has too many types")?;
        self.nodes.push(None);
        Ok(id)
    }

    fn put(&mut self, node: Node) -> Result<Id, String> {
        let id = self.reserve()?;
        self.fill(id, node);
        Ok(id)
    }

    fn fill(&mut self, id: Id, node: Node) {
        if let Some(place) = self.nodes.get_mut(id.place()) {
            *place = Some(node);
        }
    }

    fn parse(&mut self, schema: &Value, namespace: &str) -> Result<Parsed, String> {
        if self.depth >= DEPTH_MAX {
            return Err(format!("has types within each other deeper than {DEPTH_MAX}"));
        }
        self.depth += 1;
        let parsed = match schema {
            Value::String(name) => self.by_name(name, &Map::new(), namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(members) => self.object(members, namespace),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                Err("a schema is a name, an array of branches, or an object with a type".to_owned())
            }
        };
        self.depth -= 1;
        parsed
    }

    fn object(&mut self, members: &Map<String, Value>, namespace: &str) -> Result<Parsed, String> {
        let attributes = Attributes(members);
        match attributes.text("type")? {
            "record" | "error" => self.record(attributes, namespace),
            "enum" => self.enumeration(attributes, namespace),
            "fixed" => self.fixed(attributes, namespace),
            "array" => {
                let items = attributes.required("items")?;
                let items = self.within("items", |parser| parser.parse(items, namespace))?;
                self.unnamed(Node::Array(items.id), "array")
            }
            "map" => {
                let values = attributes.required("values")?;
                let values = self.within("values", |parser| parser.parse(values, namespace))?;
                self.unnamed(Node::Map(values.id), "map")
            }
            name => self.by_name(name, members, namespace),
        }
    }

    fn by_name(
        &mut self,
        name: &str,
        members: &Map<String, Value>,
        namespace: &str,
    ) -> Result<Parsed, String> {
        let attributes = Attributes(members);
        let meaning = || count_meaning(attributes, name);
        let node = match name {
            "null" => Node::Null,
            "boolean" => Node::Boolean,
            "int" => Node::Int(meaning()),
            "long" => Node::Long(meaning()),
            "float" => Node::Float,
            "double" => Node::Double,
            "bytes" => Node::Bytes(octets(attributes, None)?),
            "string" => Node::Text { is_uuid: attributes.logical() == Some("uuid") },
            _ => return self.reference(name, namespace),
        };
        self.unnamed(node, name)
    }

    fn unnamed(&mut self, node: Node, name: &str) -> Result<Parsed, String> {
        Ok(Parsed { id: self.put(node)?, name: name.into(), is_union: false })
    }

    /// The type of a name: that of the namespace, else the one without.
    fn reference(&mut self, name: &str, namespace: &str) -> Result<Parsed, String> {
        if !name.split('.').all(names::is_name) {
            return Err(format!(
                "there is no type '{}': a type is one of Avro's, or named by letters, digits, _ and dots and defined here or in a reference",
                shorten(name)
            ));
        }
        let within = names::full(name, namespace);
        let full = if !self.known.contains_key(within.as_str()) && self.known.contains_key(name) {
            name
        } else {
            &within
        };
        let document = self.document;
        if let Some(known) = self.known.get_mut(full) {
            if !known.is_defined && !known.wanted_by.contains(&document) {
                known.wanted_by.push(document);
            }
            return Ok(Parsed { id: known.id, name: full.into(), is_union: false });
        }
        let id = self.reserve()?;
        self.known.insert(
            full.into(),
            Known { id, is_defined: false, place: self.place.clone(), wanted_by: vec![document] },
        );
        Ok(Parsed { id, name: full.into(), is_union: false })
    }

    /// The place of a type that is defined here.
    fn define(&mut self, name: &names::Name) -> Result<Id, String> {
        if let Some(known) = self.known.get_mut(name.full()) {
            if known.is_defined {
                return Err(format!("defines {} twice", shorten(name.full())));
            }
            if known.wanted_by.contains(&self.document) {
                return Err(format!("uses {} before it is defined", shorten(name.full())));
            }
            known.is_defined = true;
            return Ok(known.id);
        }
        let id = self.reserve()?;
        self.known.insert(
            name.full().into(),
            Known { id, is_defined: true, place: String::new(), wanted_by: Vec::new() },
        );
        Ok(id)
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<Parsed, String> {
        let mut union = Union { branches: Vec::new(), by_name: HashMap::new() };
        for (index, branch) in branches.iter().enumerate() {
            self.within(&index.to_string(), |parser| {
                parser.spend(1)?;
                let Parsed { id, name, is_union } = parser.parse(branch, namespace)?;
                if is_union {
                    return Err("a union may not hold another".to_owned());
                }
                if union.by_name.insert(name.clone(), index).is_some() {
                    return Err(format!("a union may hold only one {}", shorten(&name)));
                }
                union.branches.push(Branch { node: id, name, form: Form::Plain });
                Ok(())
            })?;
        }
        Ok(Parsed { id: self.put(Node::Union(union))?, name: "union".into(), is_union: true })
    }
}

/// As much of a name as is told.
fn shorten(name: &str) -> String {
    name.chars().take(200).collect()
}
