//! Schemas that would keep a comparison busy for ever end within its limit.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::differ::differ;
use super::super::place::Node;
use super::super::{ChangeLevel, Comparer, Level, Policy, TimeBox, Version, compare, compare_within};
use super::version;

/// Half a second, so that the test ends soon.
const LIMIT: Duration = Duration::from_millis(500);
/// A comparison must have ended by itself so long after, where it is not optimised and shares its processor.
const END_MAX: Duration = Duration::from_secs(120);

fn nested(depth: usize, inner: Value) -> Value {
    (0..depth)
        .fold(inner, |schema, _| json!({"type": "object", "properties": {"a": schema}, "required": ["a"]}))
}

fn overlapping(count: usize, last: &str) -> Value {
    let branch = |number: usize| json!({"properties": {format!("p{number}"): {"type": "string"}}, "minProperties": number % 3});
    let mut branches: Vec<Value> = (0..count).map(branch).collect();
    branches.push(json!({"type": last}));
    json!({"oneOf": branches})
}

/// Each definition uses the next one twice.
fn doubling(count: usize, last: &Value) -> Value {
    let mut definitions = serde_json::Map::new();
    for number in 0..count {
        let next = json!({"$ref": format!("#/$defs/d{}", number + 1)});
        let schema = json!({"anyOf": [
            {"type": "object", "properties": {"l": next, "r": next}},
            {"type": "array", "items": next, "prefixItems": [next]},
        ]});
        definitions.insert(format!("d{number}"), schema);
    }
    definitions.insert(format!("d{count}"), last.clone());
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

/// Alternatives that hold at once, as many ways of each as there are branches.
fn multiplying(factors: usize, branches: usize, least: u8) -> Value {
    let branch = |factor: usize, branch: usize| {
        let name = format!("p{factor}_{branch}");
        json!({"properties": {&name: {"type": "string", "minLength": branch}}, "required": [name]})
    };
    let any = |factor: usize| {
        let branches: Vec<Value> = (0..branches).map(|number| branch(factor, number)).collect();
        json!({"anyOf": branches})
    };
    json!({"type": "object", "minProperties": least, "allOf": (0..factors).map(any).collect::<Vec<Value>>()})
}

/// Conditions within each other.
fn conditional(depth: usize, least: u8) -> Value {
    (0..depth).fold(json!({"minProperties": least}), |inner, at| {
        let condition = json!({"if": {"properties": {format!("c{at}"): {"const": at}}}, "then": {"required": [format!("d{at}")]}, "else": {"properties": {format!("e{at}"): {"type": "string"}}}});
        json!({"type": "object", "allOf": [inner, condition]})
    })
}

/// Many names beside many patterns, each to be tried on each.
fn patterned(least: u8) -> Value {
    let patterns: Value = (0..190)
        .map(|number| {
            (format!("^a{number}.*(x|y)+$"), json!({"type": "string", "pattern": format!("^a{number}")}))
        })
        .collect();
    let names: Value = (0..1_300).map(|number| (format!("a{number}x"), json!({"type": "string"}))).collect();
    json!({"type": "object", "minProperties": least, "patternProperties": patterns, "properties": names})
}

/// A schema that holds itself in many places.
fn recursive(least: u8) -> Value {
    let place = |number: usize| {
        let inner = json!({"anyOf": [{"$ref": "#/$defs/a"}, {"type": "array", "items": {"$ref": "#/$defs/a"}}, {"minimum": number}]});
        (format!("p{number}"), inner)
    };
    let inner = json!({"type": "object", "minProperties": least, "properties": (0..40).map(place).collect::<Value>()});
    json!({"$ref": "#/$defs/a", "$defs": {"a": inner}})
}

#[tokio::test]
async fn bombs_end_within_the_limit_and_leave_no_thread_behind() {
    let pairs = [
        // Where the new version only takes more, the differ sees so at once and the sets are compared.
        ("what multiplies", multiplying(8, 6, 1), multiplying(8, 6, 0)),
        ("as much as is multiplied", multiplying(3, 6, 1), multiplying(3, 6, 0)),
        ("conditions", conditional(14, 1), conditional(14, 0)),
        ("as many conditions as are taken together", conditional(7, 1), conditional(7, 0)),
        ("names and patterns", patterned(1), patterned(0)),
        ("what holds itself", recursive(1), recursive(0)),
        ("deep", nested(60, json!({"type": "string"})), nested(60, json!({"type": "integer"}))),
        (
            "a cycle",
            json!({"properties": {"a": {"$ref": "#"}}}),
            json!({"properties": {"a": {"$ref": "#"}, "b": {"type": "null"}}}),
        ),
        (
            "two cycles through each other",
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/b"}}}, "b": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "array", "items": {"$ref": "#/$defs/b"}}]}}}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/b"}}, "minProperties": 1}, "b": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "array", "items": {"$ref": "#/$defs/b"}}]}}}),
        ),
        ("a reference to itself", json!({"$ref": "#"}), json!({"allOf": [{"$ref": "#"}], "type": "string"})),
        ("overlapping alternatives", overlapping(24, "string"), overlapping(24, "integer")),
        (
            "doubling references",
            doubling(24, &json!({"type": "string"})),
            doubling(24, &json!({"type": "integer"})),
        ),
        (
            "wide",
            json!({"properties": (0..1_500).map(|number| (format!("p{number}"), json!({"type": "string", "pattern": format!("^a{number}")}))).collect::<Value>()}),
            json!({"properties": (0..1_500).map(|number| (format!("p{number}"), json!({"type": "string", "pattern": format!("^b{number}")}))).collect::<Value>()}),
        ),
        (
            "patterns without end",
            json!({"patternProperties": (0..100).map(|number| (format!("^(?:(a+)\\1?)+{number}$"), json!({"type": "string"}))).collect::<Value>()}),
            json!({"patternProperties": (0..100).map(|number| (format!("^(?:(a+)\\1?)+{number}$"), json!({"type": "integer"}))).collect::<Value>(), "propertyNames": {"pattern": "^(?:(a+)\\1?)+$"}}),
        ),
    ];
    let provable = ["as much as is multiplied", "as many conditions as are taken together"];
    for (name, old, new) in pairs {
        let comparer = Comparer::with_bounds(1, LIMIT);
        for policy in [Policy::Strict, Policy::Lenient] {
            let earlier: Arc<[Version]> = Arc::from([version(&old)]);
            let new = Arc::new(version(&new));
            let started = Instant::now();
            let report = comparer.compare(earlier, new, policy, Level::Full).await;
            let elapsed = started.elapsed();
            // What holds is proved where the processor is quick enough.
            assert!(!report.compatible || provable.contains(&name), "{name} is compatible");
            assert!(elapsed < Duration::from_secs(10), "{name} took {elapsed:?}");
            assert!(comparer.is_idle_within(END_MAX).await, "{name} goes on");
        }
    }
}

#[test]
fn what_would_multiply_without_end_is_not_compared_as_sets() {
    for (old, new) in [(multiplying(8, 6, 1), multiplying(8, 6, 0)), (conditional(14, 1), conditional(14, 0))]
    {
        let report = compare(&[version(&old)], &version(&new), Policy::Strict, Level::Backward);
        let reason = report.breaks[0].unproved.clone().unwrap();
        assert_eq!(reason, "it has too many alternatives that hold at once to be proved");
    }
}

#[test]
fn a_walk_ends_when_the_time_is_over() {
    let time = TimeBox::new(Duration::ZERO);
    let pairs = [
        (doubling(24, &json!({"type": "string"})), doubling(24, &json!({"type": "integer"}))),
        (patterned(1), patterned(0)),
        (nested(60, json!({"type": "string"})), nested(60, json!({"type": "integer"}))),
    ];
    for (old, new) in pairs {
        let earlier = [version(&old), version(&old)];
        let terms = (Policy::Lenient, Level::FullTransitive);
        let report = compare_within(&earlier, &version(&new), terms, &time);
        assert_eq!((report.compatible, report.breaks.len()), (false, 1), "no more is looked for");
        assert_eq!(report.change_level, Some(ChangeLevel::Major));
        assert!(report.breaks[0].counter_example.is_none() && report.breaks[0].unproved.is_some());
    }
}

#[test]
fn the_differ_ends_by_itself_however_many_ways_there_are() {
    for (old, new) in [
        (overlapping(24, "string"), overlapping(24, "integer")),
        (doubling(24, &json!({"type": "string"})), doubling(24, &json!({"type": "integer"}))),
    ] {
        let (old, new) = (version(&old), version(&new));
        let found =
            differ(Node::root(&old.bundle.schema), Node::root(&new.bundle.schema), &new.bundle.origins);
        assert!((1..=50).contains(&found.len()), "{} findings", found.len());
    }
}
