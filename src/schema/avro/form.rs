//! The Parsing Canonical Form: what of a schema decides how data is written, in one order and without white space.

use std::collections::HashSet;

use super::names::Name;
use super::tree::{Id, Node, Tree};
use crate::event::json::write_text;

/// Writes the form; each named type in full where it is met first.
pub(super) fn write(tree: &Tree) -> String {
    let mut form = Form { tree, out: Vec::new(), told: HashSet::new() };
    form.node(tree.root());
    String::from_utf8(form.out).unwrap_or_default()
}

struct Form<'t> {
    tree: &'t Tree,
    out: Vec<u8>,
    told: HashSet<Id>,
}

impl Form<'_> {
    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn node(&mut self, id: Id) {
        let tree = self.tree;
        match tree.node(id) {
            Node::Null => self.put("\"null\""),
            Node::Boolean => self.put("\"boolean\""),
            Node::Int(_) => self.put("\"int\""),
            Node::Long(_) => self.put("\"long\""),
            Node::Float => self.put("\"float\""),
            Node::Double => self.put("\"double\""),
            Node::Bytes(_) => self.put("\"bytes\""),
            Node::Text { .. } => self.put("\"string\""),
            Node::Array(items) => {
                self.put("{\"type\":\"array\",\"items\":");
                self.node(*items);
                self.put("}");
            }
            Node::Map(values) => {
                self.put("{\"type\":\"map\",\"values\":");
                self.node(*values);
                self.put("}");
            }
            Node::Union(union) => {
                self.put("[");
                self.list(union.branches.iter(), |form, branch| form.node(branch.node));
                self.put("]");
            }
            Node::Record(record) => self.named(id, &record.name, "record", |form| {
                form.put(",\"fields\":[");
                form.list(record.fields.iter(), |form, field| {
                    form.put("{\"name\":");
                    write_text(&mut form.out, &field.name);
                    form.put(",\"type\":");
                    form.node(field.node);
                    form.put("}");
                });
                form.put("]");
            }),
            Node::Enum(symbols) => self.named(id, &symbols.name, "enum", |form| {
                form.put(",\"symbols\":[");
                form.list(symbols.symbols.iter(), |form, symbol| write_text(&mut form.out, symbol));
                form.put("]");
            }),
            Node::Fixed(fixed) => self.named(id, &fixed.name, "fixed", |form| {
                form.put(&format!(",\"size\":{}", fixed.size));
            }),
        }
    }

    fn named(&mut self, id: Id, name: &Name, kind: &str, write: impl FnOnce(&mut Self)) {
        if !self.told.insert(id) {
            return write_text(&mut self.out, name.full());
        }
        self.put("{\"name\":");
        write_text(&mut self.out, name.full());
        self.put(&format!(",\"type\":\"{kind}\""));
        write(self);
        self.put("}");
    }

    fn list<T>(&mut self, parts: impl Iterator<Item = T>, write: impl Fn(&mut Self, T)) {
        for (index, part) in parts.enumerate() {
            if index > 0 {
                self.put(",");
            }
            write(self, part);
        }
    }
}
