//! The JSON Schema of an Avro schema takes what is written and read by it.

use serde_json::json;

use super::avro;
use crate::event::json::{Document, Limits};
use crate::schema::{Dialect, Schema, Verdict};

#[test]
fn people_read_what_to_post() {
    let placed = avro(&json!({
        "type": "record", "name": "OrderPlaced", "namespace": "shop", "doc": "An order was placed.",
        "fields": [
            {"name": "orderId", "type": "string", "doc": "Unique."},
            {"name": "amount", "type": "double"},
            {"name": "note", "type": ["null", "string"], "default": null},
            {"name": "raw", "type": "bytes", "default": "\u{ff}"},
            {"name": "from", "type": {"type": "record", "name": "Place", "fields": [{"name": "city", "type": "string"}]}},
            {"name": "to", "type": "Place"},
            {"name": "after", "type": ["null", "OrderPlaced"], "default": null},
        ],
    }));
    let expected = json!({
        "type": "object", "description": "An order was placed.", "additionalProperties": false,
        "required": ["orderId", "amount", "from", "to"],
        "properties": {
            "orderId": {"type": "string", "description": "Unique."},
            "amount": {"type": "number"},
            "note": {"type": ["null", "string"], "default": null},
            "raw": {"type": "string", "contentEncoding": "base64", "default": "/w=="},
            "from": {"$ref": "#/$defs/shop.Place"},
            "to": {"$ref": "#/$defs/shop.Place"},
            "after": {"anyOf": [{"type": "null"}, {"$ref": "#"}], "default": null},
        },
        "$defs": {"shop.Place": {
            "type": "object", "additionalProperties": false, "required": ["city"],
            "properties": {"city": {"type": "string"}},
        }},
    });
    assert_eq!(placed.json_schema(), expected);
}

#[test]
fn it_judges_as_the_schema_does() {
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2});
    for (schema, taken, refused) in [
        (json!("int"), "5", "2147483648"),
        (json!({"type": "int", "logicalType": "date"}), "\"2026-11-21\"", "\"2026-11\""),
        (
            json!({"type": "long", "logicalType": "local-timestamp-millis"}),
            "\"2026-11-21T10:15:30.123\"",
            "\"2026-11-21T10:15:30Z\"",
        ),
        (json!({"type": "long", "logicalType": "time-micros"}), "\"23:59:59.000001\"", "\"24:00:00\""),
        (decimal, "\"-12.34\"", "\"123.4\""),
        (json!({"type": "fixed", "name": "F", "size": 4}), "\"AAAAAA==\"", "\"AAAA\""),
        (json!(["string", "bytes"]), "{\"bytes\":\"AA==\"}", "{\"int\":5}"),
        (
            json!({"type": "record", "name": "Ä", "fields": [
            {"name": "a", "type": {"type": "enum", "name": "Ö", "symbols": ["ü"]}}, {"name": "b", "type": "Ö"}]}),
            "{\"a\":\"ü\",\"b\":\"ü\"}",
            "{\"a\":\"ü\",\"b\":\"u\"}",
        ),
    ] {
        let avro = avro(&schema);
        let contract = Schema::compile(&avro.json_schema(), Dialect::Draft202012, &[]).unwrap();
        for (data, is_taken) in [(taken, true), (refused, false)] {
            let document = Document::parse(data.as_bytes(), Limits::default()).unwrap();
            assert_eq!(contract.judge(document.root()) == Verdict::Valid, is_taken, "{schema} {data}");
            assert_eq!(super::written(&avro, data).is_ok(), is_taken, "{schema} {data}");
        }
    }
}
