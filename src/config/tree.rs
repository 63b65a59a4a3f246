//! A configuration as a tree of nodes that know where they were written, and the overlay of one tree on another.

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

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::{Node, Origin, Value};

    fn parse(text: &str) -> Node {
        yaml::parse(text).unwrap().0
    }

    fn member<'a>(node: &'a Node, key: &str) -> &'a Node {
        let Value::Map(members) = &node.value else { panic!("not a map") };
        &members.iter().find(|(have, _)| have == key).unwrap().1
    }

    #[test]
    fn nodes_know_their_line() {
        let node = parse("a: 1\nb:\n  c: [x, {d: true}]\n");
        assert_eq!(member(&node, "a").origin, Origin::Line(1));
        assert_eq!(member(&node, "a").value, Value::Text("1".to_owned()));
        let list = member(member(&node, "b"), "c");
        assert_eq!(list.origin, Origin::Line(3));
        assert!(matches!(&list.value, Value::List(items) if items.len() == 2));
    }

    #[test]
    fn maps_merge_and_lists_are_replaced() {
        let mut node = parse("a: {b: 1, c: [1, 2]}").with_origin(Origin::Default);
        node.overlay(parse("a: {c: [3], d: x}"));
        let a = member(&node, "a");
        assert_eq!(member(a, "b").origin, Origin::Default);
        assert!(matches!(&member(a, "c").value, Value::List(items) if items.len() == 1));
        assert_eq!(member(a, "d").value, Value::Text("x".to_owned()));
    }

    #[test]
    fn where_a_secret_is_read_from_is_replaced() {
        let mut node = parse("key: {env: NAME}");
        node.overlay(parse("key: {file: path}"));
        assert_eq!(node, parse("key: {file: path}"));
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        assert_eq!(parse("# nothing\n\n").value, Value::Map(Vec::new()));
    }
}
