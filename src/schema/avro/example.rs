//! Data that a writer may write and a reader cannot read, shown by doing both.

use serde_json::Value;

use super::encode;
use super::read_as::{Outcome, read_as};
use super::resolve::{Finding, Step, written_field};
use super::sample::{Sampler, VARIANTS, Wish};
use super::tree::{Id, Node, Tree};
use crate::event::json::{Document, Limits};
use crate::schema::compat::TimeBox;

/// So many findings are searched for an example.
const SEARCHED_MAX: usize = 8;

/// The shortest data that shows a finding.
pub(super) fn example(reader: &Tree, writer: &Tree, findings: &[Finding], time: &TimeBox) -> Option<Value> {
    let shown = findings.iter().take(SEARCHED_MAX).filter_map(|finding| {
        let (way, end) = way(reader, writer, &finding.place)?;
        let unknown = unknown_symbol(reader.node(end.0), writer.node(end.1));
        let wish = unknown.map_or(Wish::Anything, Wish::Symbol);
        let made = (0..VARIANTS).take_while(|_| !time.is_over());
        made.filter_map(|variant| Sampler::new(writer, variant).make(&way, wish))
            .find(|data| is_shown(reader, writer, data))
    });
    shown.min_by_key(|data| data.to_string().len())
}

/// Whether the writer writes the data and the reader cannot read what was written.
fn is_shown(reader: &Tree, writer: &Tree, data: &Value) -> bool {
    let text = data.to_string();
    let Ok(document) = Document::parse(text.as_bytes(), Limits::default()) else { return false };
    let mut bytes = Vec::new();
    encode::encode(writer, document.root(), &mut bytes).is_ok()
        && read_as(reader, writer, &bytes) == Outcome::Refused
}

/// The way to a place of the reader in the names of the writer, and the types of both at its end.
fn way(reader: &Tree, writer: &Tree, place: &[Step]) -> Option<(Vec<Step>, (Id, Id))> {
    let (mut read, mut written, mut way) = (reader.root(), writer.root(), Vec::new());
    for step in place {
        let mut own = step.clone();
        match (step, reader.node(read), writer.node(written)) {
            (Step::FieldType(index, _), Node::Record(record), Node::Record(other)) => {
                let field = record.fields.get(*index)?;
                let source = written_field(field, other)?;
                own = Step::FieldType(*index, source.name.clone());
                (read, written) = (field.node, source.node);
            }
            (Step::Items, Node::Array(items), Node::Array(other))
            | (Step::Values, Node::Map(items), Node::Map(other)) => (read, written) = (*items, *other),
            (Step::Branch(index), _, Node::Union(union)) => written = union.branches.get(*index)?.node,
            (Step::Field(..) | Step::Attribute(_), ..) => {}
            (Step::FieldType(..) | Step::Items | Step::Values | Step::Branch(_), ..) => return None,
        }
        way.push(own);
    }
    Some((way, (read, written)))
}

/// A symbol that the reader's enum does not know.
fn unknown_symbol<'w>(read: &Node, written: &'w Node) -> Option<&'w str> {
    let (Node::Enum(read), Node::Enum(written)) = (read, written) else { return None };
    let mut symbols = written.symbols.iter();
    symbols.find(|symbol| !read.by_symbol.contains_key(*symbol)).map(|symbol| &**symbol)
}
