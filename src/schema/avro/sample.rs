//! Data that a schema takes, as it is posted, with something wanted at one place: counter-examples in the making.
//!
//! Nothing here is certain to be taken; whoever asks writes what comes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::resolve::Step;
use super::tree::{Branch, Enum, Field, Fixed, Form, Id, Meaning, Node, Octets, Record, Tree, Union};
use super::union::{self, Class};

/// So many variants are worth trying.
pub(super) const VARIANTS: usize = 8;
/// Values lie within each other this deep, beyond what is asked for.
const DEPTH_MAX: usize = 24;
/// Below this, what may be left out is.
const RICH_DEPTH: usize = 4;
/// Examples stay small enough to read.
const VALUES_MAX: usize = 500;
const FIXED_BYTES_MAX: usize = 1_000;

/// What stands at the end of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish<'w> {
    /// Whatever the schema takes.
    Anything,
    /// This symbol of an enum.
    Symbol(&'w str),
}

/// Makes data of one schema.
#[derive(Debug)]
pub(super) struct Sampler<'t> {
    tree: &'t Tree,
    variant: usize,
    values: usize,
}

impl<'t> Sampler<'t> {
    /// The first variant has as little as may be; others have elements, entries and other branches.
    pub(super) const fn new(tree: &'t Tree, variant: usize) -> Self {
        Self { tree, variant, values: 0 }
    }

    /// Data with a wish at the end of a way from the root.
    pub(super) fn make(&mut self, way: &[Step], wish: Wish<'_>) -> Option<Value> {
        self.along(self.tree.root(), way, wish, 0)
    }

    fn along(&mut self, id: Id, way: &[Step], wish: Wish<'_>, depth: usize) -> Option<Value> {
        let tree = self.tree;
        self.spend(depth)?;
        let Some((step, rest)) = way.split_first() else { return self.granted(id, wish, depth) };
        match (tree.node(id), step) {
            (Node::Record(record), Step::FieldType(_, name)) => {
                let mut members = self.members(record, Some(name), depth)?;
                let field = record.fields.get(*record.by_name.get(name)?)?;
                members.insert(name.to_string(), self.along(field.node, rest, wish, depth + 1)?);
                Some(Value::Object(members))
            }
            (Node::Array(items), Step::Items) => Some(json!([self.along(*items, rest, wish, depth + 1)?])),
            (Node::Map(values), Step::Values) => {
                Some(json!({"key": self.along(*values, rest, wish, depth + 1)?}))
            }
            (Node::Union(union), Step::Branch(index)) => {
                let branch = union.branches.get(*index)?;
                let value = self.along(branch.node, rest, wish, depth + 1)?;
                // Numbers of several branches are told apart by name only.
                let is_number = union::class(tree.node(branch.node)) == Class::Number;
                let is_named = branch.form == Form::Tagged || (is_number && self.variant % 2 == 1);
                Some(if is_named { tagged(branch, value) } else { value })
            }
            // A field that is absent, a name, a size: whatever the type takes shows it.
            (_, Step::Field(..) | Step::Attribute(_)) => self.granted(id, wish, depth),
            (_, Step::FieldType(..) | Step::Items | Step::Values | Step::Branch(_)) => None,
        }
    }

    fn granted(&mut self, id: Id, wish: Wish<'_>, depth: usize) -> Option<Value> {
        match wish {
            Wish::Anything => self.any(id, depth),
            Wish::Symbol(symbol) => Some(symbol.into()),
        }
    }

    fn any(&mut self, id: Id, depth: usize) -> Option<Value> {
        let tree = self.tree;
        self.spend(depth)?;
        Some(match tree.node(id) {
            Node::Null => Value::Null,
            Node::Boolean => Value::Bool(true),
            // No int.
            Node::Long(Meaning::Number) => json!(10_000_000_000_i64),
            Node::Int(_) | Node::Long(_) => json!(1),
            Node::Float | Node::Double => json!(1.5),
            Node::Bytes(octets) => octets_of(*octets, None)?,
            Node::Text { is_uuid: true } => uuid(),
            Node::Text { is_uuid: false } => json!("text"),
            Node::Array(items) if self.is_rich() => json!([self.any(*items, depth + 1)?]),
            Node::Map(values) if self.is_rich() => json!({"key": self.any(*values, depth + 1)?}),
            Node::Array(_) => json!([]),
            Node::Map(_) => json!({}),
            Node::Union(union) => self.union(union, depth)?,
            Node::Record(record) => Value::Object(self.members(record, None, depth)?),
            Node::Enum(Enum { symbols, .. }) => {
                let at = self.variant.checked_rem(symbols.len())?;
                Value::from(symbols.get(at)?.to_string())
            }
            Node::Fixed(Fixed { size, octets, .. }) => octets_of(*octets, Some(*size))?,
        })
    }

    /// The members that must be there, but one; all of them in rich variants.
    fn members(&mut self, record: &Record, but: Option<&str>, depth: usize) -> Option<Map<String, Value>> {
        let is_rich = self.is_rich() && depth < RICH_DEPTH;
        let is_wanted = |field: &&Field| Some(&*field.name) != but && (is_rich || field.default.is_none());
        let mut members = Map::new();
        for field in record.fields.iter().filter(is_wanted) {
            let value = self.any(field.node, depth + 1)?;
            members.insert(field.name.to_string(), value);
        }
        Some(members)
    }

    /// One branch; the simplest where it lies deep, since the others may go on for ever.
    fn union(&mut self, union: &Union, depth: usize) -> Option<Value> {
        let is_simple = |branch: &&Branch| !matches!(self.tree.node(branch.node), Node::Record(_));
        let simplest = union.branches.iter().find(is_simple);
        let branch = match simplest {
            Some(simplest) if depth >= RICH_DEPTH => simplest,
            _ => union.branches.get(self.variant.checked_rem(union.branches.len())?)?,
        };
        let value = self.any(branch.node, depth + 1)?;
        Some(if branch.form == Form::Tagged { tagged(branch, value) } else { value })
    }

    const fn is_rich(&self) -> bool {
        self.variant > 0
    }

    fn spend(&mut self, depth: usize) -> Option<()> {
        self.values += 1;
        (self.values <= VALUES_MAX && depth <= DEPTH_MAX).then_some(())
    }
}

fn tagged(branch: &Branch, value: Value) -> Value {
    Value::Object(Map::from_iter([(branch.name.to_string(), value)]))
}

fn uuid() -> Value {
    json!("00000000-0000-4000-8000-000000000000")
}

/// Bytes of nothing, so many of them where that is said.
fn octets_of(octets: Octets, size: Option<usize>) -> Option<Value> {
    match octets {
        Octets::Plain => {
            let length = size.unwrap_or(1);
            (length <= FIXED_BYTES_MAX).then(|| STANDARD.encode(vec![0xff; length]).into())
        }
        Octets::Decimal { precision, scale } => Some(if precision > scale { json!("1") } else { json!("0") }),
        Octets::Uuid => Some(uuid()),
    }
}
