//! Values that a schema accepts, made to have something wanted at some place: counter-examples in the making.
//!
//! Nothing here is certain to be accepted; whoever asks lets the validator judge what comes.

use serde_json::{Map, Value, json};

use super::differ::{Step, Wish};
use super::facts::{greatest, is_impossible, listed, number as number_value, required};
use super::place::{Node, flatten};
use super::text;
use super::types::Types;

/// So many variants of a wish are tried.
pub(super) const VARIANTS: usize = 16;
const DEPTH_MAX: usize = 24;
/// Counter-examples stay small enough to read.
const ELEMENTS_MAX: usize = 2_000;
const CHARACTERS_MAX: usize = 20_000;

/// A value for the writer's schema with a wish at a place; another one for each variant.
pub(super) fn sample(root: Node<'_>, path: &[Step], wish: &Wish, variant: usize) -> Option<Value> {
    make(&[root], path, wish, variant, 0)
}

fn make(nodes: &[Node<'_>], path: &[Step], wish: &Wish, variant: usize, depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX || nodes.first().is_some_and(|node| node.is_late()) {
        return None;
    }
    let nodes = chosen(nodes, variant);
    let inner = |nodes: &[Node<'_>], rest: &[Step]| make(nodes, rest, wish, variant, depth + 1);
    match path {
        [Step::Member(name), rest @ ..] => {
            let mut members = object(&nodes, depth, 0)?;
            let own: Vec<Node<'_>> = nodes.iter().flat_map(|node| node.property(name)).collect();
            members.insert(name.clone(), inner(&own, rest)?);
            Some(Value::Object(members))
        }
        [Step::Element(index), rest @ ..] => {
            let mut elements = array(&nodes, depth, index + 1)?;
            let own: Vec<Node<'_>> = nodes.iter().filter_map(|node| node.element(*index)).collect();
            *elements.get_mut(*index)? = inner(&own, rest)?;
            Some(Value::Array(elements))
        }
        [] => granted(&nodes, wish, variant, depth),
    }
}

fn granted(nodes: &[Node<'_>], wish: &Wish, variant: usize, depth: usize) -> Option<Value> {
    match wish {
        Wish::Anything => any(nodes, variant, depth),
        Wish::Exactly(value) => Some(value.clone()),
        Wish::Characters(count) => text::of_length(nodes, (*count).min(CHARACTERS_MAX)).map(Value::String),
        Wish::Elements(count) => array(nodes, depth, (*count).min(ELEMENTS_MAX)).map(Value::Array),
        Wish::Members(count) => object(nodes, depth, (*count).min(ELEMENTS_MAX)).map(Value::Object),
        Wish::Without { name, beside } => {
            let mut members = object(nodes, depth, 0)?;
            if let Some(beside) = beside {
                let own: Vec<Node<'_>> = nodes.iter().flat_map(|node| node.property(beside)).collect();
                members.insert(beside.clone(), any(&chosen(&own, 0), 0, depth + 1)?);
            }
            members.remove(name);
            Some(Value::Object(members))
        }
    }
}

/// The schemas of a place with one alternative of each choice that it leaves.
fn chosen<'b>(nodes: &[Node<'b>], variant: usize) -> Vec<Node<'b>> {
    let mut flat = flatten(nodes);
    let mut at = 0;
    while let Some(node) = flat.get(at).copied() {
        for keyword in ["oneOf", "anyOf"] {
            let possible: Vec<Node<'b>> = node
                .list(keyword)
                .filter(|branch| {
                    let mut all = flat.clone();
                    all.push(*branch);
                    !is_impossible(&all, 2)
                })
                .collect();
            if let Some(branch) = possible.get(variant % possible.len().max(1)) {
                let known: Vec<usize> = flat.iter().map(|node| node.id()).collect();
                flat.extend(flatten(&[*branch]).into_iter().filter(|node| !known.contains(&node.id())));
            }
        }
        at += 1;
    }
    flat
}

/// Some value; variants differ in type, size and digits.
fn any(nodes: &[Node<'_>], variant: usize, depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    if let Some(values) = listed(nodes) {
        return values.get(variant % values.len().max(1)).cloned();
    }
    if variant == 0 {
        let shown = nodes.iter().filter_map(|node| node.get("examples")?.as_array()?.first()).next();
        if let Some(value) = shown {
            return Some(value.clone());
        }
    }
    let names: Vec<&str> = Types::of(nodes)?.described().into_iter().map(|(name, _)| name).rev().collect();
    let name = names.get(variant % names.len().max(1))?;
    let variant = variant / names.len().max(1);
    match *name {
        "object" => object(nodes, depth, variant).map(Value::Object),
        "array" => array(nodes, depth, variant).map(Value::Array),
        "string" => text::some(nodes, variant).map(Value::String),
        "integer" => number(nodes, variant, true),
        "number" => number(nodes, variant, false),
        "boolean" => Some(Value::Bool(variant.is_multiple_of(2))),
        _ => Some(Value::Null),
    }
}

/// An object with what must be there, and at least so many members.
fn object(nodes: &[Node<'_>], depth: usize, count: usize) -> Option<Map<String, Value>> {
    let mut members = Map::new();
    let named = nodes.iter().flat_map(|node| node.map("properties").map(|(name, _)| name));
    let fresh: Vec<String> = (1..=count).map(|number| format!("member{number}")).collect();
    let least = greatest(nodes, "minProperties").and_then(|least| usize::try_from(least).ok());
    let count = count.max(least.unwrap_or(0));
    let wanted = required(nodes);
    let optional = named.filter(|name| !wanted.contains(name)).chain(fresh.iter().map(String::as_str));
    for (name, is_wanted) in wanted.iter().map(|name| (*name, true)).chain(optional.map(|name| (name, false)))
    {
        if !is_wanted && members.len() >= count {
            break;
        }
        let own: Vec<Node<'_>> = nodes.iter().flat_map(|node| node.property(name)).collect();
        let value = any(&chosen(&own, 0), 0, depth + 1);
        match value {
            Some(value) => drop(members.insert(name.to_owned(), value)),
            None if is_wanted => return None,
            None => {}
        }
    }
    Some(members)
}

/// An array of at least so many elements; where they must differ they are of different variants.
fn array(nodes: &[Node<'_>], depth: usize, count: usize) -> Option<Vec<Value>> {
    let least = greatest(nodes, "minItems").and_then(|least| usize::try_from(least).ok());
    let is_unique = nodes.iter().any(|node| node.get("uniqueItems") == Some(&json!(true)));
    let mut elements: Vec<Value> = Vec::new();
    for index in 0..count.max(least.unwrap_or(0)).min(ELEMENTS_MAX) {
        let mut own: Vec<Node<'_>> = nodes.iter().filter_map(|node| node.element(index)).collect();
        if index == 0 {
            own.extend(nodes.iter().filter_map(|node| Some(node.at(node.get("contains")?))));
        }
        let own = chosen(&own, 0);
        let mut variants = (if is_unique { index } else { 0 }..).take(VARIANTS);
        let value = variants.find_map(|variant| {
            let value = any(&own, variant, depth + 1)?;
            (!is_unique || !elements.contains(&value)).then_some(value)
        })?;
        elements.push(value);
    }
    if count == 0 && elements.is_empty() {
        let contained = nodes.iter().find_map(|node| Some(node.at(node.get("contains")?)));
        elements.extend(contained.and_then(|node| any(&chosen(&[node], 0), 0, depth + 1)));
    }
    Some(elements)
}

/// A number between the bounds: the lower, the upper, then others.
fn number(nodes: &[Node<'_>], variant: usize, is_whole: bool) -> Option<Value> {
    let of = |keyword: &str| nodes.iter().filter_map(|node| node.get(keyword)?.as_f64()).collect::<Vec<_>>();
    let step = of("multipleOf").into_iter().fold(if is_whole { 1.0 } else { 0.25 }, f64::max);
    let lows = of("minimum").into_iter().chain(of("exclusiveMinimum").into_iter().map(|low| low + step));
    let highs = of("maximum").into_iter().chain(of("exclusiveMaximum").into_iter().map(|high| high - step));
    let (low, high) = (lows.reduce(f64::max), highs.reduce(f64::min));
    let up = |value: f64| (value / step).ceil() * step;
    let down = |value: f64| (value / step).floor() * step;
    let first = low.map_or_else(|| high.map_or(0.0, |high| down(high.min(0.0))), up);
    let value = match (variant, high) {
        (0, _) => first,
        (1, Some(high)) => down(high),
        (1, None) => first + 1_000_000.0 * step,
        (2, _) if low.is_none() => -step,
        (3, _) if low.is_none() => -1_000_000.0 * step,
        (_, _) => first + f64::from(u32::try_from(variant).ok()?) * step,
    };
    Some(number_value(value))
}
