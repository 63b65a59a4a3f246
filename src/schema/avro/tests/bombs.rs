//! What is small and would become large, deep or endless.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::super::{Avro, compare};
use super::{avro, read, refused, written};
use crate::schema::compat::Level;

fn record(name: &str, fields: &Value) -> Value {
    json!({"type": "record", "name": name, "fields": fields})
}

/// Each of so many records has the one before twice, with this default.
fn doubling(levels: usize, default: Option<&Value>) -> Value {
    let mut schema = json!("int");
    for level in 0..levels {
        let mut second = json!({"name": "b", "type": if level == 0 { json!("int") } else { json!(format!("R{}", level - 1)) }});
        let mut first = json!({"name": "a", "type": schema});
        if let (Some(default), true) = (default, level > 0) {
            first["default"] = default.clone();
            second["default"] = default.clone();
        } else if default.is_some() {
            first["default"] = json!(1);
            second["default"] = json!(1);
        }
        schema = record(&format!("R{level}"), &json!([first, second]));
    }
    schema
}

#[test]
fn schemas_that_are_bombs_are_refused_at_once() {
    let began = SystemTime::now();
    let nested = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(80), "}".repeat(80));
    let deeper = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(9_000), "}".repeat(9_000));
    let wide: Vec<Value> =
        (0..12_000).map(|field| json!({"name": format!("f{field}"), "type": "int"})).collect();
    let endless = record("R", &json!([{"name": "r", "type": "R"}]));
    let around = record(
        "R",
        &json!([{"name": "s", "type": record("S", &json!([{"name": "r", "type": ["R", "S"]}]))}]),
    );
    let holding = record("R", &json!([{"name": "r", "type": ["R", "null"], "default": {}}]));
    for (what, text) in [
        ("nested", nested),
        ("deeper", deeper),
        ("wide", record("W", &json!(wide)).to_string()),
        ("endless", endless.to_string()),
        ("around", around.to_string()),
        ("holding", holding.to_string()),
        ("doubling defaults", doubling(20, Some(&json!({}))).to_string()),
    ] {
        let problem = Avro::parse(&text, &[]).err();
        assert!(problem.is_some(), "{what} was taken");
    }
    let chain: Vec<String> = (0..99)
        .map(|link| {
            let inner = (0..10).rev().fold(json!(format!("L{}_0", link + 1)), |inner, level| {
                record(&format!("L{link}_{level}"), &json!([{"name": "f", "type": ["null", inner]}]))
            });
            inner.to_string()
        })
        .collect();
    let links: Vec<&str> =
        chain.iter().map(String::as_str).chain([r#"{"type":"fixed","name":"L99_0","size":1}"#]).collect();
    let problem = Avro::parse("\"L0_0\"", &links).unwrap_err();
    assert!(problem.contains("deeper than"), "{problem}");
    assert!(began.elapsed().unwrap() < Duration::from_secs(10), "in a build that is not optimised");
}

#[test]
fn schemas_that_double_are_compared_at_once() {
    let began = SystemTime::now();
    let (old, mut new) = (avro(&doubling(20, None)), doubling(20, None).to_string());
    assert!(compare(&[avro(&doubling(20, None))], &old, Level::Full).compatible);
    new = new.replace("\"int\"", "\"string\"");
    let report = compare(&[old], &Avro::parse(&new, &[]).unwrap(), Level::Full);
    assert!(!report.compatible && report.breaks.iter().all(|found| found.differences.len() <= 20));
    assert!(began.elapsed().unwrap() < Duration::from_secs(5), "in a build that is not optimised");
}

#[test]
fn little_data_does_not_become_much() {
    let large = record("L", &json!([{"name": "f", "type": "string", "default": "x".repeat(60_000)}]));
    let list = avro(&json!({"type": "array", "items": large}));
    let data = format!("[{}{{}}]", "{},".repeat(2_000));
    assert_eq!(refused(&list, &data)[0].1, "size");
    let nothing = avro(&json!({"type": "array", "items": "null"}));
    let mut endless = vec![0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    endless.push(0);
    assert_eq!(read(&nothing, &endless, 10_000), None);
    let long = avro(&json!("string"));
    assert_eq!(read(&long, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], 10_000), None);
}

#[test]
fn branches_that_double_are_tried_within_bounds() {
    let began = SystemTime::now();
    let next = json!([{"name": "next", "type": ["null", "R", "S"]}, {"name": "end", "type": ["null", "int"], "default": null}]);
    let inner = record("S", &next);
    let schema = record(
        "R",
        &json!([{"name": "next", "type": ["null", "R", inner]}, {"name": "end", "type": ["null", "int"], "default": null}]),
    );
    let avro = avro(&schema);
    let depth = 60;
    let data = |end: &str| {
        format!("{}{{\"next\":null,\"end\":{end}}}{}", "{\"next\":".repeat(depth), "}".repeat(depth))
    };
    assert!(written(&avro, &data("1")).is_ok());
    assert!(!refused(&avro, &data("\"x\"")).is_empty());
    assert!(began.elapsed().unwrap() < Duration::from_secs(10), "in a build that is not optimised");
}
