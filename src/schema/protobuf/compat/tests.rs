//! The rules, one pair of schemas each, both ways.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Version, compare, compare_within};
use crate::schema::compat::{ChangeLevel, CounterExample, Direction, Level, Policy, TimeBox};

fn version(text: &str) -> Version {
    Version::compile(&format!("syntax = \"proto3\"; package p; {text}"), []).unwrap()
}

fn old_version(text: &str) -> Version {
    Version::compile(text, []).unwrap()
}

/// The rules that a new version breaks, with the level of the change.
fn rules(old: &Version, new: &Version, policy: Policy, level: Level) -> Vec<(Direction, &'static str)> {
    let report = compare(std::slice::from_ref(old), new, policy, level);
    assert_eq!(report.compatible, report.breaks.is_empty());
    let differences = report.breaks.iter().flat_map(|found| &found.differences);
    let told = differences.map(|one| {
        assert!(one.pointer.starts_with('#') && !one.message.is_empty() && !one.fix.is_empty(), "{one:?}");
        (one.direction, one.rule)
    });
    told.collect()
}

fn backward(old: &str, new: &str) -> Vec<&'static str> {
    let told = rules(&version(old), &version(new), Policy::Lenient, Level::Backward);
    told.into_iter().map(|(_, rule)| rule).collect()
}

#[test]
fn what_confluents_registry_allows_is_allowed() {
    for (old, new) in [
        ("message A { int32 a = 1; }", "message A { int32 a = 1; string b = 2; }"),
        ("message A { int32 a = 1; string b = 2; }", "message A { int32 a = 1; }"),
        ("message A { int32 a = 1; }", "message A { int32 b = 1; }"),
        ("message A { int32 a = 1; }", "message A { uint64 a = 1; }"),
        ("message A { int32 a = 1; }", "message A { bool a = 1; }"),
        ("message A { int32 a = 1; }", "message A { E a = 1; } enum E { X = 0; }"),
        ("message A { sint32 a = 1; }", "message A { sint64 a = 1; }"),
        ("message A { fixed32 a = 1; }", "message A { sfixed32 a = 1; }"),
        ("message A { string a = 1; }", "message A { bytes a = 1; }"),
        ("message A { string a = 1; }", "message A { repeated string a = 1; }"),
        ("message A { A a = 1; }", "message A { repeated A a = 1; }"),
        ("message A { }", "message A { } message B { }"),
        ("message A { } message B { }", "message B { } message A { }"),
        ("message A { }", "message A { } enum E { X = 0; }"),
        ("message A { } enum E { X = 0; }", "message A { }"),
        (
            "message A { E a = 1; } enum E { X = 0; Y = 1; }",
            "message A { E a = 1; } enum E { Z = 0; W = 2; }",
        ),
        ("message A { int32 a = 1; }", "message A { oneof o { int32 a = 1; } }"),
        ("message A { int32 a = 1; }", "message A { int32 a = 1; oneof o { int32 b = 2; int32 c = 3; } }"),
        ("message A { oneof o { int32 a = 1; } }", "message A { int32 a = 1; }"),
        ("message A { oneof o { int32 a = 1; int32 b = 2; } }", "message A { }"),
        ("message A { oneof o { int32 a = 1; } }", "message A { oneof o { int32 a = 1; int32 b = 2; } }"),
        ("message A { int32 a = 1; }", "message A { optional int32 a = 1; }"),
        ("message A { map<string, int32> a = 1; }", "message A { map<string, int64> a = 1; }"),
    ] {
        assert_eq!(backward(old, new), [""; 0], "{old} -> {new}");
    }
}

#[test]
fn what_breaks_readers_is_told_by_its_rule() {
    for (old, new, rule) in [
        ("message A { } message B { }", "message A { }", "MESSAGE_REMOVED"),
        ("message A { message B { } }", "message A { }", "MESSAGE_REMOVED"),
        ("message A { int32 a = 1; }", "message A { string a = 1; }", "FIELD_SCALAR_KIND_CHANGED"),
        ("message A { int32 a = 1; }", "message A { sint32 a = 1; }", "FIELD_SCALAR_KIND_CHANGED"),
        ("message A { fixed32 a = 1; }", "message A { fixed64 a = 1; }", "FIELD_SCALAR_KIND_CHANGED"),
        ("message A { float a = 1; }", "message A { double a = 1; }", "FIELD_SCALAR_KIND_CHANGED"),
        ("message A { string a = 1; }", "message A { A a = 1; }", "FIELD_KIND_CHANGED"),
        ("message A { map<string, A> a = 1; }", "message A { repeated A a = 1; }", "FIELD_KIND_CHANGED"),
        (
            "message A { map<string, A> a = 1; }",
            "message A { map<int32, A> a = 1; }",
            "FIELD_SCALAR_KIND_CHANGED",
        ),
        (
            "message A { B a = 1; } message B { } message C { }",
            "message A { C a = 1; } message B { } message C { }",
            "FIELD_NAMED_TYPE_CHANGED",
        ),
        ("message A { int32 a = 1; }", "message A { repeated int32 a = 1; }", "FIELD_NUMERIC_LABEL_CHANGED"),
        ("message A { repeated bool a = 1; }", "message A { bool a = 1; }", "FIELD_NUMERIC_LABEL_CHANGED"),
        (
            "message A { int32 a = 1; int32 b = 2; }",
            "message A { oneof o { int32 a = 1; int32 b = 2; } }",
            "MULTIPLE_FIELDS_MOVED_TO_ONEOF",
        ),
        (
            "message A { oneof o { int32 a = 1; int32 b = 2; } }",
            "message A { oneof o { int32 a = 1; } }",
            "ONEOF_FIELD_REMOVED",
        ),
        (
            "message A { B b = 1; message B { int32 a = 1; } }",
            "message A { B b = 1; message B { string a = 1; } }",
            "FIELD_SCALAR_KIND_CHANGED",
        ),
    ] {
        assert_eq!(backward(old, new), [rule], "{old} -> {new}");
    }
    let packages = [old_version("package a; message A { }"), old_version("package b; message A { }")];
    assert_eq!(
        rules(&packages[0], &packages[1], Policy::Lenient, Level::Backward),
        [(Direction::Backward, "PACKAGE_CHANGED")]
    );
    for (old, new, rule) in [
        ("message A { }", "message A { required int32 a = 1; }", "REQUIRED_FIELD_ADDED"),
        ("message A { required int32 a = 1; }", "message A { }", "REQUIRED_FIELD_REMOVED"),
        (
            "message A { optional int32 a = 1; }",
            "message A { required int32 a = 1; }",
            "REQUIRED_FIELD_ADDED",
        ),
    ] {
        let told = rules(&old_version(old), &old_version(new), Policy::Lenient, Level::Backward);
        assert_eq!(told, [(Direction::Backward, rule)], "{old} -> {new}");
    }
}

#[test]
fn levels_say_which_way_and_with_which_versions() {
    let one = version("message A { int32 a = 1; }");
    let other = version("message A { int32 a = 1; } message B { }");
    let rules = |old, new, level| rules(old, new, Policy::Lenient, level);
    assert_eq!(rules(&one, &other, Level::Backward), []);
    assert_eq!(rules(&one, &other, Level::Forward), [(Direction::Forward, "MESSAGE_REMOVED")]);
    assert_eq!(rules(&other, &one, Level::Forward), []);
    assert_eq!(rules(&other, &one, Level::Full), [(Direction::Backward, "MESSAGE_REMOVED")]);
    assert_eq!(rules(&other, &one, Level::None), []);
    let third = version("message A { int32 a = 1; } message C { }");
    let earlier = [other, one];
    assert!(compare(&earlier, &third, Policy::Lenient, Level::Backward).compatible);
    let report = compare(&earlier, &third, Policy::Lenient, Level::BackwardTransitive);
    assert_eq!(report.breaks.iter().map(|found| found.earlier).collect::<Vec<_>>(), [0]);
}

#[test]
fn by_the_policy_strict_data_keeps_its_form_as_json() {
    for (old, new, rule) in [
        ("message A { int32 a = 1; }", "message A { int32 b = 1; }", "FIELD_NAME_CHANGED"),
        ("message A { int32 a = 1; }", "message A { int64 a = 1; }", "FIELD_JSON_TYPE_CHANGED"),
        ("message A { string a = 1; }", "message A { bytes a = 1; }", "FIELD_JSON_TYPE_CHANGED"),
        ("message A { int32 a = 1; }", "message A { }", "FIELD_REMOVED"),
        ("message A { int32 a = 1; }", "message A { reserved 1; }", "FIELD_REMOVED"),
        (
            "message A { string a = 1; }",
            "message A { repeated string a = 1; }",
            "FIELD_STRING_OR_BYTES_LABEL_CHANGED",
        ),
        ("message A { } message B { }", "message B { } message A { }", "FIRST_MESSAGE_CHANGED"),
        (
            "message A { E a = 1; } enum E { X = 0; Y = 1; }",
            "message A { E a = 1; } enum E { X = 0; }",
            "ENUM_CONST_REMOVED",
        ),
        (
            "message A { E a = 1; } enum E { X = 0; }",
            "message A { E a = 1; } enum E { Z = 0; }",
            "ENUM_CONST_CHANGED",
        ),
        (
            "message A { int32 a = 1; oneof o { int32 b = 2; } }",
            "message A { oneof o { int32 b = 2; int32 a = 1; } }",
            "FIELD_MOVED_TO_ONEOF",
        ),
    ] {
        let told = rules(&version(old), &version(new), Policy::Strict, Level::Backward);
        assert_eq!(told, [(Direction::Backward, rule)], "{old} -> {new}");
        assert_eq!(backward(old, new), [""; 0], "{old} -> {new}");
    }
    for (old, new) in [
        ("message A { int32 a = 1; }", "message A { reserved 1; reserved \"a\"; }"),
        ("message A { int32 a = 1; }", "message A { int32 b = 1 [json_name = \"a\"]; }"),
        ("message A { int32 a = 1; }", "message A { uint32 a = 1; int32 b = 2; }"),
    ] {
        assert_eq!(
            rules(&version(old), &version(new), Policy::Strict, Level::Backward),
            [],
            "{old} -> {new}"
        );
    }
}

#[test]
fn the_level_of_a_change_is_that_of_those_who_read_json() {
    let old = version("message A { int32 a = 1; }");
    let level = |new: &str| {
        compare(std::slice::from_ref(&old), &version(new), Policy::Lenient, Level::Backward).change_level
    };
    assert_eq!(level("message A { /* a */ int32 a = 1; }"), Some(ChangeLevel::Patch));
    assert_eq!(level("message A { int32 a = 1; int32 b = 2; }"), Some(ChangeLevel::Minor));
    assert_eq!(level("message A { int32 b = 1; }"), Some(ChangeLevel::Major));
    assert_eq!(level("message A { string a = 1; }"), Some(ChangeLevel::Major));
    assert_eq!(compare(&[], &old, Policy::Lenient, Level::Full).change_level, None);
}

#[test]
fn differences_are_told_with_their_place_and_what_to_do() {
    let (old, new) = (
        version("message A { repeated B items = 3; } message B { int32 count = 2; }"),
        version("message A { repeated B items = 3; } message B { string count = 2; }"),
    );
    let report = compare(&[old], &new, Policy::Lenient, Level::Backward);
    let told = &report.breaks[0].differences[0];
    assert_eq!((told.pointer.as_str(), told.path.as_str()), ("#/p.B/2", "/items/0/count"));
    assert_eq!(told.message, "the new schema takes string under this number, the old one has int32");
    assert_eq!(told.fix, "add a field with a new number, and leave this one as it was");
}

#[test]
fn messages_that_hold_each_other_are_compared_once() {
    let text =
        "message A { A a = 1; B b = 2; repeated B c = 3; } message B { A a = 1; map<string, B> b = 2; }";
    assert_eq!(backward(text, text), [""; 0]);
}

/// The example for a pair: the data, and what the reader of the new version makes of it where that is something.
fn shown(old: &Version, new: &Version, policy: Policy) -> Option<(Value, Option<Value>)> {
    let report = compare(std::slice::from_ref(old), new, policy, Level::Backward);
    assert!(!report.compatible);
    match report.breaks[0].counter_example.clone()? {
        CounterExample::Data(data) => Some((data, None)),
        CounterExample::Misread { data, read } => Some((data, Some(read))),
        other @ CounterExample::Schema(_) => panic!("{other:?}"),
    }
}

#[test]
fn what_breaks_readers_of_bytes_is_shown_by_data() {
    for (old, new, data, read) in [
        ("message A { int32 a = 1; }", "message A { string a = 1; }", json!({"a": 1}), None),
        (
            "message A { int32 a = 1; }",
            "message A { sint32 a = 1; }",
            json!({"a": 1}),
            Some(json!({"a": -1})),
        ),
        ("message A { fixed32 a = 1; }", "message A { fixed64 a = 1; }", json!({"a": 1}), None),
        ("message A { string a = 1; }", "message A { A a = 1; }", json!({"a": "text"}), None),
        (
            "message A { B b = 1; } message B { repeated float c = 7; }",
            "message A { B b = 1; } message B { repeated bool c = 7; }",
            json!({"b": {"c": [1.5]}}),
            Some(json!({"b": {"c": [false, false, true]}})),
        ),
        (
            "message A { map<string, double> a = 1; }",
            "message A { map<string, string> a = 1; }",
            json!({"a": {"key": 1.5}}),
            None,
        ),
        (
            "message A { string x = 1; int32 a = 2; int32 b = 3; }",
            "message A { string x = 1; oneof o { int32 a = 2; int32 b = 3; } }",
            json!({"a": 1, "b": 1, "x": "text"}),
            Some(json!({"b": 1, "x": "text"})),
        ),
    ] {
        let found = shown(&version(old), &version(new), Policy::Lenient);
        assert_eq!(found, Some((data, read)), "{old} -> {new}");
    }
}

#[test]
fn what_breaks_readers_of_json_is_shown_by_what_they_read() {
    let other = |enumeration: &str| format!("message A {{ E e = 1; }} enum E {{ {enumeration} }}");
    for (old, new, data, read) in [
        (
            "message A { int32 a = 1; }".to_owned(),
            "message A { int32 b = 1; }".to_owned(),
            json!({"a": 1}),
            json!({"b": 1}),
        ),
        ("message A { int32 a = 1; }".to_owned(), "message A { }".to_owned(), json!({"a": 1}), json!({})),
        (
            "message A { int64 a = 1; }".to_owned(),
            "message A { int32 a = 1; }".to_owned(),
            json!({"a": "1"}),
            json!({"a": 1}),
        ),
        (other("X = 0; Y = 1;"), other("X = 0;"), json!({"e": "Y"}), json!({"e": 1})),
        (other("X = 0; Y = 1;"), other("X = 0; Z = 1;"), json!({"e": "Y"}), json!({"e": "Z"})),
    ] {
        let found = shown(&version(&old), &version(&new), Policy::Strict);
        assert_eq!(found, Some((data, Some(read))), "{old} -> {new}");
    }
}

#[test]
fn what_a_reader_requires_is_missing_and_no_example_stands_for_what_is_not_in_the_bytes() {
    let old = old_version("package p; message A { optional int32 a = 1; }");
    let new = old_version("package p; message A { optional int32 a = 1; required int32 b = 2; }");
    let report = compare(std::slice::from_ref(&old), &new, Policy::Lenient, Level::Backward);
    assert_eq!(report.breaks[0].differences[0].rule, "REQUIRED_FIELD_ADDED");
    for (old, new) in [
        ("message A { } message B { }", "message A { }"),
        ("message C { } message A { int32 a = 1; }", "message C { } message A { string a = 1; }"),
    ] {
        assert_eq!(shown(&version(old), &version(new), Policy::Lenient), None, "{old} -> {new}");
    }
    let package = |name: &str| old_version(&format!("syntax = \"proto3\"; package {name}; message A {{ }}"));
    assert_eq!(shown(&package("p"), &package("q"), Policy::Lenient), None);
}

#[test]
fn a_comparison_whose_time_is_over_ends_and_is_not_proved() {
    let text = |kind: &str| {
        (0..900)
            .map(|at| format!("message M{at} {{ M{} next = 1; {kind} a = 2; }}", (at + 1) % 900))
            .collect::<String>()
    };
    let terms = (Policy::Lenient, Level::FullTransitive);
    for (kind, is_proved) in [("uint32", false), ("string", true)] {
        let (old, new) = (version(&text("int32")), version(&text(kind)));
        let time = TimeBox::new(Duration::ZERO);
        let report = compare_within(&[old.clone(), old], &new, terms, &time);
        assert_eq!((report.compatible, report.change_level), (false, Some(ChangeLevel::Major)));
        assert_eq!(report.breaks.len(), 1, "no more is looked for");
        let found = &report.breaks[0];
        assert_eq!((found.unproved.is_none(), &found.counter_example), (is_proved, &None), "{kind}");
        assert!(found.differences.len() < 100, "{} of 900", found.differences.len());
    }
}
