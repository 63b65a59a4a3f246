//! YAML as a tree of nodes that know their line, and the overlay of one tree on another.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A node of a configuration, and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// Numbers stay text too, so that `1` can be read as a size or a name.
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Where a node was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// In the built-in defaults.
    Default,
    /// On this line of the file.
    Line(u64),
    /// In an environment variable or a flag.
    Environment,
}

impl Node {
    /// Reads YAML; an empty text is an empty map.
    pub(super) fn parse(text: &str) -> Result<Self, serde_saphyr::Error> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self { value: Value::Map(Vec::new()), origin: Origin::Line(1) });
        }
        serde_saphyr::from_str::<Spanned<Tree>>(text).map(Self::from)
    }

    /// The node with another origin, all the way down.
    pub(super) fn with_origin(self, origin: Origin) -> Self {
        let value = match self.value {
            Value::List(nodes) => {
                Value::List(nodes.into_iter().map(|node| node.with_origin(origin)).collect())
            }
            Value::Map(members) => {
                Value::Map(members.into_iter().map(|(key, node)| (key, node.with_origin(origin))).collect())
            }
            plain @ (Value::Null | Value::Bool(_) | Value::Text(_)) => plain,
        };
        Self { value, origin }
    }

    /// Lays `over` on this tree: maps merge member by member, everything else is replaced, and so is where a secret is
    /// read from.
    pub(super) fn overlay(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Map(mine), Value::Map(theirs)) if !(is_reference(mine) && is_reference(&theirs)) => {
                self.origin = over.origin;
                for (key, node) in theirs {
                    match mine.iter_mut().find(|(have, _)| *have == key) {
                        Some((_, have)) => have.overlay(node),
                        None => mine.push((key, node)),
                    }
                }
            }
            (_, value) => *self = Self { value, origin: over.origin },
        }
    }

    /// Sets the node at a path of keys, making maps on the way.
    pub(super) fn set(&mut self, path: &[String], node: Self) {
        let wrapped = path.iter().rev().fold(node, |inner, key| Self {
            origin: inner.origin,
            value: Value::Map(vec![(key.clone(), inner)]),
        });
        self.overlay(wrapped);
    }
}

/// Whether a map is `{env: NAME}` or `{file: path}`.
fn is_reference(members: &[(String, Node)]) -> bool {
    matches!(members, [(kind, Node { value: Value::Text(_), .. })] if kind == "env" || kind == "file")
}

#[derive(Debug)]
enum Tree {
    Null,
    Bool(bool),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(String, Spanned<Self>)>),
}

impl From<Spanned<Tree>> for Node {
    fn from(tree: Spanned<Tree>) -> Self {
        let origin = Origin::Line(tree.referenced.line());
        let value = match tree.value {
            Tree::Null => Value::Null,
            Tree::Bool(flag) => Value::Bool(flag),
            Tree::Text(text) => Value::Text(text),
            Tree::List(items) => Value::List(items.into_iter().map(Self::from).collect()),
            Tree::Map(members) => {
                Value::Map(members.into_iter().map(|(key, tree)| (key, Self::from(tree))).collect())
            }
        };
        Self { value, origin }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Text(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Text(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(Tree::Text(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(member) = members.next_entry()? {
            map.push(member);
        }
        Ok(Tree::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Origin, Value};

    fn member<'a>(node: &'a Node, key: &str) -> &'a Node {
        let Value::Map(members) = &node.value else { panic!("not a map") };
        &members.iter().find(|(have, _)| have == key).unwrap().1
    }

    #[test]
    fn nodes_know_their_line() {
        let node = Node::parse("a: 1\nb:\n  c: [x, {d: true}]\n").unwrap();
        assert_eq!(member(&node, "a").origin, Origin::Line(1));
        assert_eq!(member(&node, "a").value, Value::Text("1".to_owned()));
        let list = member(member(&node, "b"), "c");
        assert_eq!(list.origin, Origin::Line(3));
        assert!(matches!(&list.value, Value::List(items) if items.len() == 2));
    }

    #[test]
    fn maps_merge_and_lists_are_replaced() {
        let mut node = Node::parse("a: {b: 1, c: [1, 2]}").unwrap().with_origin(Origin::Default);
        node.overlay(Node::parse("a: {c: [3], d: x}").unwrap());
        let a = member(&node, "a");
        assert_eq!(member(a, "b").origin, Origin::Default);
        assert!(matches!(&member(a, "c").value, Value::List(items) if items.len() == 1));
        assert_eq!(member(a, "d").value, Value::Text("x".to_owned()));
    }

    #[test]
    fn where_a_secret_is_read_from_is_replaced() {
        let mut node = Node::parse("key: {env: NAME}").unwrap();
        node.overlay(Node::parse("key: {file: path}").unwrap());
        assert_eq!(node, Node::parse("key: {file: path}").unwrap());
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        assert_eq!(Node::parse("# nothing\n\n").unwrap().value, Value::Map(Vec::new()));
    }
}
