//! Counter-examples: what the writer writes and the reader cannot read, which the Apache project's reader confirms.

use serde_json::{Value, json};

use super::super::read_as::{Outcome, read_as};
use super::super::{Avro, compare};
use super::{avro, written};
use crate::schema::compat::{CounterExample, Level};

fn record(fields: &Value) -> Value {
    json!({"type": "record", "name": "R", "fields": fields})
}

fn field(schema: &Value) -> Value {
    record(&json!([{"name": "a", "type": schema}]))
}

fn symbols(symbols: &[&str]) -> Value {
    json!({"type": "enum", "name": "E", "symbols": symbols})
}

/// The example for a pair, data of the old schema for a reader of the new one.
fn example(old: &Value, new: &Value) -> Option<Value> {
    let report = compare(&[avro(old)], &avro(new), Level::Backward);
    assert!(!report.compatible, "{new}");
    match report.breaks[0].counter_example.clone()? {
        CounterExample::Data(data) => Some(data),
        other @ (CounterExample::Misread { .. } | CounterExample::Schema(_)) => panic!("{other:?}"),
    }
}

/// Whether the Apache project's reader reads it.
fn is_read_by_others(old: &Value, new: &Value, data: &Value) -> bool {
    let bytes = written(&avro(old), &data.to_string()).unwrap();
    let schema = |schema| apache_avro::Schema::parse(schema).unwrap();
    let (old, new) = (schema(old), schema(new));
    let reader =
        apache_avro::reader::datum::GenericDatumReader::builder(&old).reader_schema(&new).build().unwrap();
    reader.read_value(&mut bytes.as_slice()).is_ok()
}

#[test]
fn each_difference_is_shown_by_the_least_data_that_shows_it() {
    let lines = |inner: &Value| field(&json!({"type": "array", "items": {"type": "map", "values": inner}}));
    let named = |name: &str, size: usize| json!({"type": "fixed", "name": name, "size": size});
    for (old, new, expected) in [
        (symbols(&["A", "B"]), symbols(&["A"]), json!("B")),
        (json!(["null", "string"]), json!("null"), json!("text")),
        (json!(["null", "string"]), json!(["null", "int"]), json!("text")),
        (json!(["int", "long"]), json!(["int", "null"]), json!(10_000_000_000_i64)),
        (json!("long"), json!("int"), json!(10_000_000_000_i64)),
        (json!("int"), json!(["string", "null"]), json!(1)),
        (record(&json!([])), field(&json!("int")), json!({})),
        (field(&json!("string")), field(&json!("int")), json!({"a": "text"})),
        (lines(&symbols(&["A", "B"])), lines(&symbols(&["B"])), json!({"a": [{"key": "A"}]})),
        (field(&named("F", 2)), field(&named("F", 3)), json!({"a": "//8="})),
        (
            json!({"type": "record", "name": "R", "fields": [{"name": "n", "type": ["null", "R"]}, {"name": "b", "type": ["null", "double"]}]}),
            json!({"type": "record", "name": "R", "fields": [{"name": "n", "type": ["null", "R"]}, {"name": "b", "type": ["null", "string"]}]}),
            json!({"b": 1.5, "n": null}),
        ),
        (
            json!(["null", {"type": "array", "items": "string"}]),
            json!(["null", {"type": "array", "items": "int"}]),
            json!(["text"]),
        ),
        (
            field(&json!("string")),
            record(&json!([{"name": "b", "aliases": ["a"], "type": "int"}])),
            json!({"a": "text"}),
        ),
    ] {
        let found = example(&old, &new);
        assert_eq!(found.as_ref(), Some(&expected), "{old} -> {new}");
        let is_aliased = new.to_string().contains("aliases");
        assert!(is_aliased || !is_read_by_others(&old, &new, &expected), "{expected}: {old} -> {new}");
    }
}

#[test]
fn names_that_differ_are_shown_by_any_data() {
    let renamed = json!({"type": "record", "name": "S", "fields": []});
    assert_eq!(example(&record(&json!([])), &renamed), Some(json!({})));
}

#[test]
fn none_is_given_where_no_data_shows_it() {
    // Nobody can write a symbol of an enum that has none, so the array is always empty.
    let old = json!({"type": "array", "items": symbols(&[])});
    let new = json!({"type": "array", "items": "int"});
    assert_eq!(example(&old, &new), None);
    let large = |size: usize| json!({"type": "fixed", "name": "F", "size": size});
    assert_eq!(example(&large(1 << 20), &large(3)), None, "nobody would read it");
}

#[test]
fn what_bytes_hold_decides_whether_they_are_read() {
    let outcome = |old: &Value, new: &Value, data: &str| {
        let (old, new) = (avro(old), avro(new));
        read_as(&new.tree, &old.tree, &written(&old, data).unwrap())
    };
    let list = |items: &str| json!({"type": "array", "items": items});
    assert_eq!(outcome(&list("string"), &list("int"), "[]"), Outcome::Read);
    assert_eq!(outcome(&list("string"), &list("int"), "[\"x\"]"), Outcome::Refused);
    assert_eq!(outcome(&symbols(&["A", "B"]), &symbols(&["A"]), "\"A\""), Outcome::Read);
    let lenient = json!({"type": "enum", "name": "E", "symbols": ["A"], "default": "A"});
    assert_eq!(outcome(&symbols(&["A", "B"]), &lenient, "\"B\""), Outcome::Read);
    let more = record(
        &json!([{"name": "a", "type": "int"}, {"name": "b", "type": {"type": "map", "values": ["null", "bytes"]}}]),
    );
    let less = record(&json!([{"name": "a", "type": "double"}, {"name": "c", "type": "int", "default": 1}]));
    assert_eq!(outcome(&more, &less, r#"{"a":1,"b":{"x":null,"y":"AAA="}}"#), Outcome::Read);
    let both: Avro = avro(&json!("int"));
    assert_eq!(read_as(&both.tree, &both.tree, &[]), Outcome::Unknown);
    assert_eq!(read_as(&both.tree, &both.tree, &[2, 2]), Outcome::Unknown);
}
