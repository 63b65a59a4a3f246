//! The types of a folder's schemas, told as TypeScript.

use std::path::Path;

use serde_json::{Value, json};

use super::write;
use crate::event::EventType;
use crate::schema::{Absent, Config, Contract, Dialect, SchemaId, Store};

fn types(name: &str, schema: Value) -> String {
    let (event_type, id) = (EventType::parse(name).unwrap(), SchemaId::new(1).unwrap());
    let contract = Contract { subject: "s".into(), id, schema, dialect: Dialect::Draft202012, example: None };
    write(std::iter::once((&event_type, &contract)))
}

/// What is written of the data of one type.
fn data(schema: Value) -> String {
    let text = types("a.b.v1", schema);
    let (_, rest) = text.split_once(" */\nexport ").unwrap();
    rest.split_once("\n\n/** The data of each").unwrap().0.trim_end().to_owned()
}

#[test]
fn members_are_there_or_may_be_and_keep_their_notes() {
    let schema = json!({"type": "object", "required": ["id"], "properties": {
        "id": {"type": "string", "description": "The key,\n of */ it."},
        "odd name": {"type": ["integer", "null"]},
        "nested": {"type": "object", "properties": {"deep": {"type": "boolean"}}},
    }});
    assert_eq!(
        data(schema),
        "interface ABV1 {\n  /** The key, of *\\/ it. */\n  id: string;\n  nested?: {\n    deep?: boolean;\n  };\n  \
         \"odd name\"?: number | null;\n}"
    );
}

#[test]
fn what_typescript_can_say_is_said() {
    for (schema, written) in [
        (json!(true), "unknown"),
        (json!(false), "never"),
        (json!({}), "unknown"),
        (json!({"format": "uuid"}), "unknown"),
        (json!({"enum": ["a", 1, null, {"x": [true]}]}), "\"a\" | 1 | null | { x: [true] }"),
        (json!({"const": "{"}), "\"{\""),
        (json!({"type": "array"}), "unknown[]"),
        (json!({"items": {"enum": ["{", "b"]}}), "(\"{\" | \"b\")[]"),
        (json!({"type": "array", "items": false}), "[]"),
        (
            json!({"prefixItems": [{"type": "string"}, {"type": "number"}], "minItems": 1}),
            "[string, number?, ...unknown[]]",
        ),
        (json!({"type": "array", "items": [{"type": "string"}], "additionalItems": false}), "[string?]"),
        (json!({"oneOf": [{"type": "string"}, {"type": "string", "minLength": 1}]}), "string"),
        (json!({"anyOf": [{"type": "string"}, {}]}), "unknown"),
        (
            json!({"allOf": [{"anyOf": [{"type": "string"}, {"type": "null"}]}, {"enum": ["a", null]}]}),
            "(string | null) & (\"a\" | null)",
        ),
        (json!({"type": "object"}), "{ [name: string]: unknown }"),
        (json!({"type": "object", "additionalProperties": false}), "Record<string, never>"),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "patternProperties": {"^n": {"type": "number"}}}),
            "{ [name: string]: number | string }",
        ),
        (
            json!({"properties": {"a": true}, "additionalProperties": {"type": "string"}}),
            "{\n  a?: unknown;\n} & { [name: string]: unknown }",
        ),
    ] {
        assert_eq!(data(schema.clone()), format!("type ABV1 = {written};"), "{schema}");
    }
}

#[test]
fn what_is_referred_to_has_a_name_even_where_it_refers_to_itself() {
    let schema = json!({
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/shop~1common.json/$defs/node"}, "self": {"$ref": "#"}},
        "$defs": {"shop/common.json": {"$defs": {"node": {
            "description": "A node.",
            "type": "array",
            "items": {"$ref": "#/$defs/shop~1common.json/$defs/node"},
        }}}},
    });
    assert_eq!(
        data(schema),
        "interface ABV1 {\n  self?: ABV1;\n  tree?: ABV1Node;\n}\n\n/** A node. */\nexport type ABV1Node = ABV1Node[];"
    );
    assert_eq!(
        data(json!({"properties": {"a": {"$ref": "#/$defs/absent"}}})),
        "interface ABV1 {\n  a?: unknown;\n}"
    );
}

#[test]
fn names_are_names_and_no_two_are_equal() {
    assert!(types("event", json!({})).contains("export type Event2 = unknown;"));
    assert!(types("9.a-b.v1", json!({})).contains("export type T9ABV1 = unknown;"));
}

#[test]
fn the_samples_are_one_module() {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas")).to_owned();
    let config = Config { store: Store::Folder, directory, absent: Absent::Refused };
    let text = super::of_folder(&config).unwrap();
    assert!(text.contains("  \"orders.placed.v1\": OrdersPlacedV1;\n"), "{text}");
    assert!(text.contains("  shippingAddress?: OrdersPlacedV1Address;\n"), "{text}");
    let empty = tempfile::tempdir().unwrap();
    let errors = super::of_folder(&Config { directory: empty.path().to_owned(), ..config }).unwrap_err();
    assert!(errors[0].to_string().ends_with("holds no schema of an event type"));
}
