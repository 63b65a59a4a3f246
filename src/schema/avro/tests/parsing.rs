//! Schemas that refer to others, and what Java's parser does not refuse.

use serde_json::json;

use super::super::Avro;
use super::{back, refused};

const CUSTOMER: &str =
    r#"{"type":"record","name":"Customer","namespace":"shop","fields":[{"name":"id","type":"string"}]}"#;
const ADDRESS: &str =
    r#"{"type":"record","name":"shop.Address","fields":[{"name":"of","type":["null","Customer"]}]}"#;

#[test]
fn references_are_known_by_the_names_they_define_in_any_order() {
    let order = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
        {"name":"customer","type":"Customer"},{"name":"to","type":["null","shop.Address"]}]}"#;
    for references in [[CUSTOMER, ADDRESS, CUSTOMER], [ADDRESS, CUSTOMER, ADDRESS]] {
        let avro = Avro::parse(order, &references).unwrap();
        let data = r#"{"customer":{"id":"c"},"to":{"of":{"id":"d"}}}"#;
        assert_eq!(back(&avro, data), data);
        assert_eq!(refused(&avro, r#"{"customer":{"id":1},"to":null}"#).len(), 1);
    }
    let alone = Avro::parse(order, &[CUSTOMER]).unwrap_err();
    assert!(alone.contains("shop.Address"), "{alone}");
}

#[test]
fn names_are_looked_for_in_their_namespace_and_then_without() {
    let plain = r#"{"type":"fixed","name":"Two","size":2}"#;
    let schema = r#"{"type":"record","name":"a.R","fields":[{"name":"f","type":"Two"}]}"#;
    assert!(Avro::parse(schema, &[plain]).is_ok());
    assert!(Avro::parse(schema, &[r#"{"type":"fixed","name":"b.Two","size":2}"#]).is_err());
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    for (schema, reason) in [
        ("", ""),
        ("string", ""),
        (r#"{"type":"record","type":"enum"}"#, ""),
        (r#""text""#, "text"),
        (r#"{"name":"R"}"#, "lacks type"),
        (r#"{"type":{"type":"string"}}"#, "type must be a string"),
        (r#"{"type":"record","name":"int","fields":[]}"#, "no type may be named int"),
        (r#"{"type":"record","name":"a..b","fields":[]}"#, "a name must be"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"a","type":"S"},{"name":"b","type":{"type":"fixed","name":"S","size":1}}]}"#,
            "uses S before it is defined at #/fields/1/type",
        ),
        (r#"{"type":"record","name":"R","fields":[{"name":"f","type":{"type":"map"}}]}"#, "#/fields/0/type"),
        (r#"["null",{"type":"enum","name":"E","symbols":["A",1]}]"#, "a symbol must be"),
        (r#"{"type":"enum","name":"E","symbols":["A"],"default":"B"}"#, "the default of an enum"),
        (r#"{"type":"fixed","name":"F","size":4294967296}"#, "size must be"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"f","type":"bytes","default":"€"}]}"#,
            "must be a byte",
        ),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"f","type":{"type":"fixed","name":"F","size":2},"default":"a"}]}"#,
            "must have 2 characters",
        ),
    ] {
        let problem = Avro::parse(schema, &[]).unwrap_err();
        assert!(problem.contains(reason), "{schema}: {problem}");
    }
}

#[test]
fn a_logical_type_that_makes_no_sense_means_nothing() {
    for schema in [
        json!({"type": "bytes", "logicalType": "decimal"}),
        json!({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3}),
        json!({"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": -1}),
        json!({"type": "bytes", "logicalType": "uuid"}),
        json!({"type": "bytes", "logicalType": "date"}),
        json!({"type": "bytes", "logicalType": "something"}),
    ] {
        assert_eq!(back(&super::avro(&schema), r#""AAE=""#), r#""AAE=""#, "{schema}");
    }
}
