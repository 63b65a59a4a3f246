//! Which branch a value means, and how it is read.

use serde_json::{Value, json};

use super::{avro, back, refused, written};

fn record(name: &str, fields: &[&str]) -> Value {
    let fields: Vec<Value> = fields.iter().map(|name| json!({"name": name, "type": "int"})).collect();
    json!({"type": "record", "name": name, "fields": fields})
}

#[test]
fn a_value_may_say_its_branch_by_itself_or_by_name() {
    for (schema, data, told) in [
        (json!(["null", "string"]), "null", "null"),
        (json!(["null", "string"]), "\"x\"", "\"x\""),
        (json!(["null", "string"]), "{\"string\":\"x\"}", "\"x\""),
        (json!(["int", "long"]), "5", "5"),
        (json!(["int", "long"]), "3000000000", "3000000000"),
        (json!(["int", "double"]), "5.5", "5.5"),
        (json!(["double", "int"]), "5", "5"),
        (json!(["int", "double"]), "5.0", "5.0"),
        (json!(["float", "double"]), "0.1", "0.1"),
        (json!(["string", "bytes"]), "\"AA==\"", "{\"string\":\"AA==\"}"),
        (json!(["string", "bytes"]), "{\"bytes\":\"AA==\"}", "{\"bytes\":\"AA==\"}"),
        (json!(["double", "string"]), "{\"double\":\"NaN\"}", "{\"double\":\"NaN\"}"),
        (json!(["null", "double"]), "\"NaN\"", "\"NaN\""),
        (json!([record("a.A", &["x"]), record("a.B", &["y"])]), "{\"y\":1}", "{\"a.B\":{\"y\":1}}"),
        (
            json!(["null", {"type": "map", "values": "string"}]),
            "{\"map\":\"x\"}",
            "{\"map\":{\"map\":\"x\"}}",
        ),
        (json!(["null", {"type": "map", "values": "string"}]), "{\"k\":\"x\"}", "{\"k\":\"x\"}"),
        (json!(["null", record("x", &["x"])]), "{\"x\":1}", "{\"x\":{\"x\":1}}"),
        (json!(["null", {"type": "int", "logicalType": "date"}, "long"]), "\"2026-11-21\"", "\"2026-11-21\""),
        (json!([{"type": "long", "logicalType": "timestamp-millis"}, "int"]), "{\"int\":0}", "0"),
        (
            json!([{"type": "long", "logicalType": "timestamp-millis"}, "int"]),
            "{\"long\":9000000000000000}",
            "{\"long\":9000000000000000}",
        ),
        (
            json!(["null", {"type": "long", "logicalType": "timestamp-millis"}]),
            "0",
            "\"1970-01-01T00:00:00.000Z\"",
        ),
    ] {
        assert_eq!(back(&avro(&schema), data), told, "{schema} {data}");
    }
}

#[test]
fn the_nearest_branch_is_written() {
    for (schema, data, branch) in [
        (json!(["double", "int"]), "5", 1),
        (json!([{"type": "int", "logicalType": "date"}, "long"]), "5", 1),
        (json!([{"type": "int", "logicalType": "date"}, "null"]), "5", 0),
        (json!(["float", "double"]), "5.5", 1),
        (json!(["bytes", "string"]), "\"AA==\"", 1),
        (json!(["string", {"type": "enum", "name": "E", "symbols": ["A"]}]), "\"A\"", 0),
        (json!([record("A", &["x", "y"]), record("B", &["x"])]), "{\"x\":1}", 1),
    ] {
        assert_eq!(written(&avro(&schema), data).unwrap()[0], branch * 2, "{schema} {data}");
    }
}

#[test]
fn a_value_of_no_branch_is_told_by_the_branch_it_is_near_to() {
    let told = |pointer: &str, keyword: &str| vec![(pointer.to_owned(), keyword.to_owned())];
    for (schema, data, expected) in [
        (json!(["null", "string"]), "5", told("/data", "type")),
        (json!(["null", {"type": "enum", "name": "E", "symbols": ["A"]}]), "\"B\"", told("/data", "enum")),
        (json!(["null", {"type": "int", "logicalType": "date"}]), "\"B\"", told("/data", "format")),
        (json!(["null", record("A", &["x"])]), "{\"x\":\"\"}", told("/data/x", "type")),
        (json!(["null", record("A", &["x"])]), "{\"A\":{}}", told("/data/A/x", "required")),
        (json!([record("A", &["x"]), record("B", &["y"])]), "{\"z\":1}", told("/data", "union")),
        (json!([]), "null", told("/data", "type")),
    ] {
        assert_eq!(refused(&avro(&schema), data), expected, "{schema} {data}");
    }
}
