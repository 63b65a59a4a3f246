//! What may follow what, and how it is told.

mod bombs;
mod bundles;
mod generated;

use serde_json::{Value, json};

use super::place::Node;
use super::{
    ChangeLevel, CounterExample, Direction, Level, Policy, Report, Version, compare, content_model, validator,
};
use crate::schema::Dialect;

fn version(schema: &Value) -> Version {
    Version::new(schema, Dialect::Draft202012, &[]).unwrap()
}

/// Whether the data of a counter-example is what it says.
fn assert_shown(old: &Version, new: &Version, policy: Policy, report: &Report) {
    for found in &report.breaks {
        let (writer, reader) = match found.direction {
            Direction::Backward => (old, new),
            Direction::Forward => (new, old),
        };
        let (written, read) = match policy {
            Policy::Strict => (writer.bundle.schema.clone(), content_model::fill(&reader.bundle.schema)),
            Policy::Lenient => (writer.closed().unwrap(), content_model::open(&reader.bundle.schema)),
        };
        if let Some(CounterExample::Data(data)) = &found.counter_example {
            assert!(validator(Node::root(&written)).unwrap().is_valid(data), "{data} is not written");
            assert!(!validator(Node::root(&read)).unwrap().is_valid(data), "{data} is read");
        }
    }
}

#[test]
fn a_schema_follows_itself_and_reads_what_was_written_by_it_also_where_opening_would_not() {
    let schema = version(&json!({"oneOf": [{"type": "object", "additionalProperties": false}, true]}));
    let data = json!({"member": 1});
    assert!(compare(std::slice::from_ref(&schema), &schema, Policy::Lenient, Level::Full).compatible);
    let takes = |schema: &Value| validator(Node::root(schema)).unwrap().is_valid(&data);
    assert!(takes(&schema.closed().unwrap()) && takes(&schema.bundle.schema));
    assert!(!takes(&content_model::open(&schema.bundle.schema)), "both parts take it then");
}

#[test]
fn fixtures_are_answered_as_they_say() {
    let mut wrong = Vec::new();
    for line in include_str!("fixtures.jsonl").lines() {
        let fixture: Value = serde_json::from_str(line).unwrap();
        let dialect = if fixture["dialect"] == 7 { Dialect::Draft7 } else { Dialect::Draft202012 };
        let of = |name: &str| Version::new(&fixture[name], dialect, &[]).unwrap();
        let (old, new) = (of("old"), of("new"));
        for (policy, name) in [(Policy::Strict, "strict"), (Policy::Lenient, "lenient")] {
            for (level, letter) in [(Level::Backward, 'B'), (Level::Forward, 'F')] {
                let report = compare(std::slice::from_ref(&old), &new, policy, level);
                let expected = fixture[name].as_str().unwrap().contains(letter);
                if report.compatible != expected {
                    wrong.push(format!("{} {policy} {level}: {report:#?}", fixture["about"]));
                }
                for found in &report.breaks {
                    let is_shown = matches!(found.counter_example, Some(CounterExample::Data(_)));
                    if is_shown == found.unproved.is_some() {
                        wrong.push(format!("{} {policy} {level} is not shown: {found:#?}", fixture["about"]));
                    }
                }
                assert_shown(&old, &new, policy, &report);
                let is_told =
                    |rule: &Value| report.breaks[0].differences.iter().any(|told| told.rule == rule);
                if !report.compatible && !fixture["rule"].is_null() && !is_told(&fixture["rule"]) {
                    wrong.push(format!("{} {policy} {level} lacks its rule: {report:#?}", fixture["about"]));
                }
                if let (true, Some(change)) = (expected, fixture["level"].as_str()) {
                    assert_eq!(report.change_level.unwrap().as_str(), change, "{}", fixture["about"]);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn levels_choose_the_versions_and_the_way() {
    let versions =
        [json!({"type": "integer"}), json!({"type": ["integer", "string"]}), json!({"type": "string"})];
    let [first, second, third] = versions.map(|schema| version(&schema));
    let earlier = [first, second];
    for (level, broken) in [
        (Level::None, vec![]),
        (Level::Backward, vec![(1, Direction::Backward)]),
        (Level::BackwardTransitive, vec![(0, Direction::Backward), (1, Direction::Backward)]),
        (Level::Forward, vec![]),
        (Level::ForwardTransitive, vec![(0, Direction::Forward)]),
        (Level::Full, vec![(1, Direction::Backward)]),
        (
            Level::FullTransitive,
            vec![(0, Direction::Backward), (0, Direction::Forward), (1, Direction::Backward)],
        ),
    ] {
        let report = compare(&earlier, &third, Policy::Strict, level);
        let told: Vec<_> = report.breaks.iter().map(|found| (found.earlier, found.direction)).collect();
        assert_eq!(told, broken, "{level}");
        assert_eq!(report.compatible, broken.is_empty(), "{level}");
    }
    let level = |level: Level| compare(&earlier, &third, Policy::Strict, level).change_level.unwrap();
    assert_eq!(level(Level::None), ChangeLevel::Major);
    assert_eq!(level(Level::Forward), ChangeLevel::Minor);
    assert_eq!(level(Level::ForwardTransitive), ChangeLevel::Minor);
    assert_eq!(level(Level::Full), ChangeLevel::Major);
    assert_eq!(compare(&[], &third, Policy::Strict, Level::Full).change_level, None);
}

#[test]
fn a_refusal_names_the_place_the_fix_and_an_event() {
    let shared = |least: u8| {
        let common = json!({"$defs": {"amount": {"type": "integer", "minimum": least}}});
        vec![("weirgate:/shop/common.json".to_owned(), common)]
    };
    let schema = json!({
        "type": "object",
        "properties": {"lines": {"type": "array", "items": {"$ref": "/shop/common.json#/$defs/amount"}}},
        "required": ["lines"],
    });
    let of = |least| Version::new(&schema, Dialect::Draft202012, &shared(least)).unwrap();
    let report = compare(&[of(0)], &of(5), Policy::Lenient, Level::Backward);
    let [found] = report.breaks.as_slice() else { panic!("{report:#?}") };
    assert_eq!(found.unproved, None);
    assert_eq!(found.counter_example, Some(CounterExample::Data(json!({"lines": [0]}))));
    let told = serde_json::to_value(&found.differences).unwrap();
    assert_eq!(
        told,
        json!([{
            "rule": "minimum_raised",
            "direction": "backward",
            "pointer": "shop/common.json#/$defs/amount/minimum",
            "path": "/lines/0",
            "message": "the new schema wants at least 5, the old one 0",
            "fix": "keep what the old schema allows; else it is a new version of the type (v2)",
        }])
    );
}

#[test]
fn what_cannot_be_compared_is_compatible_only_with_itself() {
    let of = |least: u8| {
        let schema = json!({"type": "string", "contentEncoding": "base64", "minLength": least});
        Version::new(&schema, Dialect::Draft7, &[]).unwrap()
    };
    assert!(compare(&[of(1)], &of(1), Policy::Lenient, Level::Full).compatible);
    let report = compare(&[of(1)], &of(0), Policy::Lenient, Level::Backward);
    assert_eq!(report.breaks[0].unproved.as_deref(), Some("contentEncoding of draft 7 cannot be compared"));
    assert!(of(1).closed().unwrap_err().contains("use the policy STRICT"));
}

#[test]
fn a_reference_that_leads_nowhere_is_no_version() {
    for reference in ["#/$defs/absent", "other.json", "http://169.254.169.254/x", "file:///etc/passwd"] {
        let problem = Version::new(&json!({"$ref": reference}), Dialect::Draft202012, &[]).unwrap_err();
        assert!(!problem.is_empty());
    }
    assert!(Version::new(&json!({"$schema": "https://example.com/mine"}), Dialect::Draft7, &[]).is_err());
}

#[test]
fn a_closed_schema_takes_the_members_that_any_of_its_parts_names() {
    for (schema, taken, refused) in [
        (json!({"properties": {"a": {}}}), json!({"a": 1}), json!({"b": 1})),
        (json!({"type": "object"}), json!({"b": 1}), Value::Null),
        (json!({"properties": {"a": {}}, "additionalProperties": true}), json!({"b": 1}), Value::Null),
        (
            json!({"allOf": [{"properties": {"a": {}}}, {"$ref": "#/$defs/x"}], "$defs": {"x": {"properties": {"b": {}}}}}),
            json!({"a": 1, "b": 1}),
            json!({"a": 1, "c": 1}),
        ),
        (
            json!({"properties": {"a": {"properties": {"b": {}}}}, "allOf": [{"properties": {"a": {"properties": {"c": {}}}}}]}),
            json!({"a": {"b": 1, "c": 1}}),
            json!({"d": 1}),
        ),
        (
            json!({"properties": {"n": {"$ref": "#"}}, "patternProperties": {"^x-": {}}}),
            json!({"n": {"x-1": 1}}),
            json!({"n": {"n": {"y": 1}}}),
        ),
        (
            json!({"properties": {"k": {}}, "oneOf": [{"properties": {"k": {"const": 1}, "a": {}}}, {"properties": {"k": {"const": 2}, "b": {}}}]}),
            json!({"k": 1, "a": 1}),
            json!({"k": 1, "b": 1}),
        ),
        (
            json!({"if": {"properties": {"k": {"const": 1}}}, "then": {"properties": {"a": {}}}}),
            json!({"k": 1, "a": 1}),
            json!({"k": 1, "b": 1}),
        ),
    ] {
        let closed = version(&schema).closed().unwrap();
        let judge = validator(Node::root(&closed)).unwrap();
        assert!(judge.is_valid(&taken), "{closed} refuses {taken}");
        assert!(refused.is_null() || !judge.is_valid(&refused), "{closed} takes {refused}");
    }
}
