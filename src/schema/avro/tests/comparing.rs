//! How much a version changes, and what rests on what where types hold each other.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{compare, compare_within};
use super::avro;
use crate::schema::compat::{ChangeLevel, CounterExample, Level, Report, TimeBox};

fn record(fields: &Value) -> Value {
    json!({"type": "record", "name": "R", "doc": "Of it.", "fields": fields})
}

fn report(old: &Value, new: &Value, level: Level) -> Report {
    compare(&[avro(old)], &avro(new), level)
}

#[test]
fn a_version_is_a_patch_a_minor_or_a_major_one() {
    let old = record(&json!([{"name": "a", "type": "int"}, {"name": "b", "type": "string", "default": "x"}]));
    for (new, level, expected) in [
        (
            json!([{"name": "a", "type": "int", "doc": "A."}, {"name": "b", "type": "string", "default": "y"}]),
            Level::Full,
            ChangeLevel::Patch,
        ),
        (
            json!([{"name": "a", "type": "int"}, {"name": "b", "type": "string"}]),
            Level::Full,
            ChangeLevel::Minor,
        ),
        (json!([{"name": "a", "type": "long"}]), Level::Backward, ChangeLevel::Minor),
        (json!([{"name": "a", "type": "long"}]), Level::Full, ChangeLevel::Major),
        (
            json!([{"name": "a", "type": {"type": "int", "logicalType": "date"}}, {"name": "b", "type": "string", "default": "x"}]),
            Level::Full,
            ChangeLevel::Minor,
        ),
        (json!([{"name": "c", "type": "int"}]), Level::None, ChangeLevel::Major),
    ] {
        let report = report(&old, &record(&new), level);
        assert_eq!(report.change_level, Some(expected), "{new}");
        assert_eq!(report.compatible, expected != ChangeLevel::Major || level == Level::None, "{new}");
    }
    assert_eq!(compare(&[], &avro(&old), Level::Full).change_level, None);
}

#[test]
fn all_earlier_versions_count_where_the_level_says_so() {
    let version = |fields: Value| avro(&record(&fields));
    let earlier = [version(json!([])), version(json!([{"name": "a", "type": "int", "default": 1}]))];
    let new = version(json!([{"name": "a", "type": "int"}]));
    assert!(compare(&earlier, &new, Level::Backward).compatible);
    let report = compare(&earlier, &new, Level::BackwardTransitive);
    assert_eq!(report.breaks.iter().map(|found| found.earlier).collect::<Vec<_>>(), [0]);
}

#[test]
fn a_comparison_whose_time_is_over_ends_and_is_not_proved() {
    let of = |kind: &str| {
        let field = |at: usize| json!({"name": format!("f{at}"), "type": kind});
        avro(&record(&(0..2_000).map(field).collect()))
    };
    let (earlier, new) = ([of("int"), of("int")], of("string"));
    let time = TimeBox::new(Duration::ZERO);
    let report = compare_within(&earlier, &new, Level::FullTransitive, &time);
    assert_eq!((report.compatible, report.change_level), (false, Some(ChangeLevel::Major)));
    assert_eq!(report.breaks.len(), 1, "no more is looked for");
    assert!(report.breaks[0].unproved.is_some() && report.breaks[0].counter_example.is_none());
}

#[test]
fn each_difference_has_its_place_in_the_schema_and_in_the_data() {
    let of = |symbols: Value| {
        let lines = json!({"type": "array", "items": {"type": "record", "name": "L", "fields": [
            {"name": "state", "type": ["null", {"type": "enum", "name": "S", "symbols": symbols}]}]}});
        record(&json!([{"name": "lines", "type": {"type": "map", "values": lines}}]))
    };
    let report = report(&of(json!(["A", "B"])), &of(json!(["A"])), Level::Backward);
    let one = &report.breaks[0].differences[0];
    assert_eq!(one.rule, "MISSING_UNION_BRANCH");
    assert_eq!(one.pointer, "#/fields/0/type/values/items/fields/0/type/1");
    assert_eq!(one.path, "/lines/*/*/state");
}

#[test]
fn a_decimal_is_read_by_its_own_scale_and_precision_only() {
    let bytes = |precision: u8, scale: u8| json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale});
    let fixed = |precision: u8, scale: u8| json!({"type": "fixed", "name": "F", "size": 8, "logicalType": "decimal", "precision": precision, "scale": scale});
    let of = |amount: &Value| record(&json!([{"name": "amount", "type": amount}]));
    for (old, new, pointer) in [
        (bytes(10, 2), bytes(10, 3), "#/fields/0/type/scale"),
        (bytes(10, 2), bytes(12, 2), "#/fields/0/type/precision"),
        (fixed(10, 2), fixed(10, 0), "#/fields/0/type/scale"),
        (fixed(10, 2), fixed(9, 2), "#/fields/0/type/precision"),
    ] {
        for level in [Level::Backward, Level::Forward] {
            let report = report(&of(&old), &of(&new), level);
            let found = &report.breaks[0];
            let one = &found.differences[0];
            assert_eq!((one.rule, &*one.pointer, &*one.path), ("DECIMAL_MISMATCH", pointer, "/amount"));
            assert_eq!(found.counter_example, Some(CounterExample::Data(json!({"amount": "1"}))), "{new}");
        }
    }
    let told = &report(&of(&bytes(10, 2)), &of(&bytes(10, 3)), Level::Backward).breaks[0].differences[0];
    let expected = "the decimals in the new schema and the old one have 10 digits, 3 after the point, and 10 digits, 2 after the point";
    assert_eq!(told.message, expected);
    let unioned = |amount: Value| of(&json!(["null", amount]));
    let one = &report(&unioned(bytes(10, 2)), &unioned(bytes(10, 3)), Level::Backward).breaks[0];
    assert_eq!(one.differences[0].rule, "MISSING_UNION_BRANCH");
    assert_eq!(one.counter_example, Some(CounterExample::Data(json!({"amount": "1"}))));
}

#[test]
fn logical_types_other_than_two_decimals_take_no_part() {
    let of = |kind: &str, logical: Value| {
        let mut amount = logical;
        amount.as_object_mut().unwrap().insert("type".to_owned(), json!(kind));
        record(&json!([{"name": "amount", "type": amount}]))
    };
    let decimal = json!({"logicalType": "decimal", "precision": 10, "scale": 2});
    for (old, new) in [
        (of("bytes", decimal.clone()), of("bytes", decimal.clone())),
        (of("bytes", decimal.clone()), of("bytes", json!({}))),
        (of("bytes", decimal), of("string", json!({}))),
        (
            of("long", json!({"logicalType": "timestamp-millis"})),
            of("long", json!({"logicalType": "timestamp-micros"})),
        ),
    ] {
        assert!(report(&old, &new, Level::Full).compatible, "{old} {new}");
    }
}

#[test]
fn what_holds_only_while_something_else_does_is_not_kept_beyond_it() {
    // While A is compared with A, B seems to be read; then A turns out not to be, and with it B.
    let schema = |kind: &str| {
        let b = json!({"type": "record", "name": "B", "fields": [{"name": "a", "type": ["null", "A"]}]});
        let a = json!({"type": "record", "name": "A", "fields": [{"name": "b", "type": b}, {"name": "c", "type": kind}]});
        record(&json!([{"name": "first", "type": ["null", a]}, {"name": "second", "type": "B"}]))
    };
    let found = report(&schema("string"), &schema("int"), Level::Backward);
    let places: Vec<&str> = found.breaks[0].differences.iter().map(|one| one.pointer.as_str()).collect();
    assert_eq!(places, ["#/fields/0/type/1", "#/fields/1/type/fields/0/type/1"]);
}
