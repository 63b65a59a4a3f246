//! Schemas that would keep a comparison busy for ever end within its limit.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::differ::differ;
use super::super::{Comparer, Level, Policy, Version};
use super::version;

/// Half a second, so that the test ends soon; what is given up goes on until the test's process ends.
const LIMIT: Duration = Duration::from_millis(500);

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

#[tokio::test]
async fn bombs_end_within_the_limit() {
    let pairs = [
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
    for (name, old, new) in pairs {
        let comparer = Comparer::with_bounds(1, LIMIT);
        for policy in [Policy::Strict, Policy::Lenient] {
            let earlier: Arc<[Version]> = Arc::from([version(&old)]);
            let new = Arc::new(version(&new));
            let started = Instant::now();
            let report = comparer.compare(earlier, new, policy, Level::Full).await;
            let elapsed = started.elapsed();
            assert!(!report.compatible, "{name} is compatible");
            assert!(elapsed < Duration::from_secs(10), "{name} took {elapsed:?}");
        }
    }
}

#[test]
fn the_differ_ends_by_itself_however_many_ways_there_are() {
    for (old, new) in [
        (overlapping(24, "string"), overlapping(24, "integer")),
        (doubling(24, &json!({"type": "string"})), doubling(24, &json!({"type": "integer"}))),
    ] {
        let (old, new) = (version(&old), version(&new));
        let found = differ(&old.bundle.schema, &new.bundle.schema, &new.bundle.origins);
        assert!((1..=50).contains(&found.len()), "{} findings", found.len());
    }
}
