//! What the schemas of one place say together.

use std::collections::BTreeSet;

use serde_json::Value;

use super::place::{Node, flatten};
use super::types::Types;

/// The values that schemas list, fewest first.
pub(super) fn listed(nodes: &[Node<'_>]) -> Option<Vec<Value>> {
    let of = |node: &Node<'_>| {
        let constant = node.get("const").map(|value| vec![value.clone()]);
        constant.or_else(|| node.get("enum").and_then(Value::as_array).cloned())
    };
    nodes.iter().filter_map(of).min_by_key(Vec::len)
}

/// The greatest number that a node has for a keyword.
pub(super) fn greatest(nodes: &[Node<'_>], keyword: &str) -> Option<u64> {
    nodes.iter().filter_map(|node| whole(node.get(keyword)?)).max()
}

/// The least number that a node has for a keyword.
pub(super) fn least(nodes: &[Node<'_>], keyword: &str) -> Option<u64> {
    nodes.iter().filter_map(|node| whole(node.get(keyword)?)).min()
}

/// A size, which may be written as `2.0`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes are small; others saturate"
)]
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().map(|size| size as u64))
}

/// The schemas of a member by all of them.
pub(super) fn member<'b>(nodes: &[Node<'b>], name: &str) -> Vec<Node<'b>> {
    nodes.iter().flat_map(|node| node.property(name)).collect()
}

/// The members that must be there.
pub(super) fn required<'b>(nodes: &[Node<'b>]) -> BTreeSet<&'b str> {
    let lists = nodes.iter().filter_map(|node| node.get("required").and_then(Value::as_array));
    lists.flatten().filter_map(Value::as_str).collect()
}

/// Whether one of them accepts nothing.
pub(super) fn is_refused(nodes: &[Node<'_>]) -> bool {
    nodes.iter().any(|node| node.is_nothing())
}

/// A number as JSON says it: whole ones without a fraction.
#[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number within the range")]
pub(super) fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9.0e15 { Value::from(value as i64) } else { Value::from(value) }
}

/// Whether no value satisfies all of these; `false` also where that is not seen.
pub(super) fn is_impossible(nodes: &[Node<'_>], depth: usize) -> bool {
    if nodes.first().is_some_and(|node| node.is_late()) {
        return false;
    }
    let nodes = flatten(nodes);
    if nodes.iter().any(|node| node.is_nothing()) || Types::of(&nodes).is_none() || share_no_value(&nodes) {
        return true;
    }
    let is_object = Types::of(&nodes).is_some_and(|types| types.is_disjoint(Types::OBJECT.complement()));
    is_object
        && depth > 0
        && required(&nodes).into_iter().any(|name| is_impossible(&member(&nodes, name), depth - 1))
}

/// Whether lists of values have none in common.
fn share_no_value(nodes: &[Node<'_>]) -> bool {
    let lists = nodes.iter().filter_map(|node| {
        let constant = node.get("const").map(|value| vec![value]);
        constant.or_else(|| Some(node.get("enum")?.as_array()?.iter().collect()))
    });
    let common = lists.reduce(|common: Vec<&Value>, list| {
        common.into_iter().filter(|value| list.contains(value)).collect()
    });
    common.is_some_and(|common| common.is_empty())
}
