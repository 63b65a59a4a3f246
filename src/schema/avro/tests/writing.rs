//! What JSON each type takes, and what is read of it.

use serde_json::{Value, json};

use super::{avro, back, read, refused, written};

fn field(schema: &Value) -> Value {
    json!({"type": "record", "name": "R", "fields": [{"name": "f", "type": schema}]})
}

fn logical(base: &str, logical: &str) -> Value {
    json!({"type": base, "logicalType": logical})
}

#[test]
fn each_type_takes_its_json_and_gives_it_back() {
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2});
    let fixed = json!({"type": "fixed", "name": "F", "size": 3, "logicalType": "decimal", "precision": 6, "scale": 2});
    let uuid = json!({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"});
    let id = "\"550e8400-e29b-41d4-a716-446655440000\"";
    for (schema, data, told) in [
        (json!("null"), "null", "null"),
        (json!("int"), "5.0", "5"),
        (json!("int"), "-0.0", "0"),
        (json!("long"), "9223372036854775807", "9223372036854775807"),
        (json!("float"), "1", "1.0"),
        (json!("float"), "1.1", "1.1"),
        (json!("float"), "\"NaN\"", "\"NaN\""),
        (json!("double"), "12", "12.0"),
        (json!("double"), "\"-Infinity\"", "\"-Infinity\""),
        (json!("string"), "\"a\\n\\\"é\\u0000\"", "\"a\\n\\\"é\\u0000\""),
        (json!("bytes"), "\"AP8=\"", "\"AP8=\""),
        (json!({"type": "enum", "name": "E", "symbols": ["A", "B"]}), "\"B\"", "\"B\""),
        (json!({"type": "array", "items": "int"}), "[1, 2]", "[1,2]"),
        (json!({"type": "map", "values": "int"}), "{\"b\": 1, \"a\": 2}", "{\"b\":1,\"a\":2}"),
        (logical("int", "date"), "\"2026-11-21\"", "\"2026-11-21\""),
        (logical("int", "date"), "0", "\"1970-01-01\""),
        (logical("int", "date"), "2147483647", "2147483647"),
        (logical("int", "time-millis"), "\"10:15:30\"", "\"10:15:30.000\""),
        (
            logical("long", "timestamp-millis"),
            "\"2026-11-21T11:15:30+01:00\"",
            "\"2026-11-21T10:15:30.000Z\"",
        ),
        (logical("long", "timestamp-micros"), "0", "\"1970-01-01T00:00:00.000000Z\""),
        (logical("long", "timestamp-nanos"), "-1", "\"1969-12-31T23:59:59.999999999Z\""),
        (
            logical("long", "local-timestamp-millis"),
            "\"2026-11-21T10:15:30.5\"",
            "\"2026-11-21T10:15:30.500\"",
        ),
        (decimal, "\"-1234.5\"", "\"-1234.50\""),
        (fixed, "\"0.01\"", "\"0.01\""),
        (uuid, id, id),
        (logical("string", "uuid"), id, id),
    ] {
        assert_eq!(back(&avro(&schema), data), told, "{schema}");
    }
}

#[test]
fn other_json_is_refused_by_its_place_and_never_told() {
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2});
    for (schema, data, keyword) in [
        (json!("null"), "0", "type"),
        (json!("boolean"), "\"true\"", "type"),
        (json!("int"), "1.5", "type"),
        (json!("int"), "2147483648", "range"),
        (json!("int"), "\"1\"", "type"),
        (json!("long"), "9223372036854775808", "range"),
        (json!("long"), "1e300", "type"),
        (json!("float"), "1e39", "range"),
        (json!("double"), "\"1\"", "type"),
        (json!("string"), "1", "type"),
        (json!("bytes"), "\"?\"", "format"),
        (json!({"type": "fixed", "name": "F", "size": 3}), "\"AP8=\"", "size"),
        (json!({"type": "enum", "name": "E", "symbols": ["A"]}), "\"secret\"", "enum"),
        (json!({"type": "array", "items": "int"}), "{}", "type"),
        (json!({"type": "map", "values": "int"}), "[]", "type"),
        (logical("int", "date"), "\"secret\"", "format"),
        (logical("int", "time-millis"), "86400000", "range"),
        (logical("long", "timestamp-millis"), "\"2026-11-21\"", "format"),
        (decimal, "12.5", "type"),
        (
            json!({"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 2}),
            "\"12.5\"",
            "format",
        ),
        (logical("string", "uuid"), "\"secret\"", "format"),
    ] {
        let avro = avro(&field(&schema));
        let violations = written(&avro, &format!("{{\"f\":{data}}}")).unwrap_err();
        let [violation] = &*violations else { panic!("{schema}: {violations:?}") };
        assert_eq!((&*violation.pointer, &*violation.keyword), ("/data/f", keyword), "{schema}");
        assert!(!violation.message.contains("secret"), "{}", violation.message);
    }
}

#[test]
fn fields_may_come_in_any_order_and_absent_ones_have_their_defaults() {
    let inner = json!({"type": "record", "name": "I", "fields": [
        {"name": "x", "type": "int", "default": 7}, {"name": "y", "type": "bytes", "default": "\u{ff}"}]});
    let fields = |count: usize| {
        let mut fields: Vec<Value> =
            (0..count).map(|at| json!({"name": format!("f{at}"), "type": "int"})).collect();
        fields.push(json!({"name": "inner", "type": inner, "default": {"x": 8}}));
        json!({"type": "record", "name": "R", "fields": fields})
    };
    for count in [2, 40] {
        let avro = avro(&fields(count));
        let members: Vec<String> = (0..count).map(|at| format!("\"f{at}\":{at}")).collect();
        let told = format!("{{{},\"inner\":{{\"x\":8,\"y\":\"/w==\"}}}}", members.join(","));
        let forward = format!("{{{}}}", members.join(","));
        assert_eq!(back(&avro, &forward), told);
        let backward: Vec<String> = members.into_iter().rev().collect();
        assert_eq!(back(&avro, &format!("{{\"inner\":{{\"x\":8}},{}}}", backward.join(","))), told);
        assert_eq!(refused(&avro, "{\"f0\":1,\"other/~\":1}").len(), if count > 20 { 20 } else { 2 });
    }
}

#[test]
fn each_place_that_breaks_the_schema_is_told() {
    let line = json!({"type": "record", "name": "L", "fields": [{"name": "sku", "type": "string"}, {"name": "n", "type": "int"}]});
    let avro = avro(&json!({"type": "record", "name": "R", "fields": [
        {"name": "id", "type": "string"}, {"name": "lines", "type": {"type": "array", "items": line}},
        {"name": "tags", "type": {"type": "map", "values": "string"}}]}));
    let data = r#"{"lines":[{"sku":"a","n":1},{"sku":1,"n":"x"}],"tags":{"a/b":1},"more":{}}"#;
    let told = |pointer: &str, keyword: &str| (pointer.to_owned(), keyword.to_owned());
    let expected = [
        told("/data/id", "required"),
        told("/data/lines/1/n", "type"),
        told("/data/lines/1/sku", "type"),
        told("/data/more", "additionalProperties"),
        told("/data/tags/a~1b", "type"),
    ];
    assert_eq!(refused(&avro, data), expected);
    let many = format!("{{\"id\":\"\",\"tags\":{{}},\"lines\":[{}0]}}", "0,".repeat(1_000));
    assert_eq!(refused(&avro, &many).len(), 20);
}

#[test]
fn bytes_that_are_not_all_of_the_data_are_refused() {
    let avro = avro(&json!({"type": "record", "name": "R", "fields": [
        {"name": "flag", "type": "boolean"}, {"name": "text", "type": "string"},
        {"name": "map", "type": {"type": "map", "values": ["null", "int"]}}]}));
    let bytes = written(&avro, r#"{"flag":true,"text":"é","map":{"a":{"int":5}}}"#).unwrap();
    assert_eq!(bytes, b"\x01\x04\xc3\xa9\x02\x02a\x02\x0a\x00");
    for length in 0..bytes.len() {
        assert_eq!(read(&avro, &bytes[..length], 1_000), None, "{length}");
    }
    assert_eq!(read(&avro, &[&*bytes, &[0]].concat(), 1_000), None);
    for bad in [
        &b"\x02\x00\x00"[..],
        b"\x01\x04\xc3\x00\x00",
        b"\x01\x01\x00",
        b"\x01\x00\x02\x02a\x04\x00",
        b"\x01\x00\x04\x02a\x00\x02a\x00\x00",
    ] {
        assert_eq!(read(&avro, bad, 1_000), None, "{bad:?}");
    }
    // A block that tells its size.
    assert_eq!(
        read(&avro, b"\x01\x00\x01\x06\x02a\x00\x00", 1_000).as_deref(),
        Some(r#"{"flag":true,"text":"","map":{"a":null}}"#)
    );
    let whole = read(&avro, &bytes, 1_000).unwrap().len();
    assert!(read(&avro, &bytes, whole).is_some() && read(&avro, &bytes, whole - 1).is_none());
}

#[test]
fn places_hold_names_of_the_schema_and_nothing_of_the_data() {
    let avro = avro(&json!({"type": "record", "name": "R", "fields": [
        {"name": "prices", "type": {"type": "map", "values": "int"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ]}));
    let data = r#"{"prices":{"jane@example.com":"x"},"tags":["a",1],"secret":1}"#;
    let violations = written(&avro, data).unwrap_err();
    let places: Vec<&str> = violations.iter().map(|one| one.place.as_str()).collect();
    assert_eq!(places, ["/data/prices/*", "/data/*", "/data/tags/*"]);
}
