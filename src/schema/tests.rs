//! What schemas are taken, what they judge, and what they say of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{Absent, Config, Dialect, Error, Schema, Schemas, Store, Verdict, Violation};
use crate::event::json::{Document, Limits};
use crate::event::{EventType, Format};

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn load(files: &[(&str, &str)]) -> Result<Schemas, String> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    let errors =
        |errors: Vec<super::LoadError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Schemas::load(&Config {
        store: Store::Folder,
        directory: folder.path().to_owned(),
        absent: Absent::Refused,
    })
    .map_err(errors)
}

fn check(schemas: &Schemas, event_type: &str, data: &str) -> Result<Option<String>, Error> {
    let document = Document::parse(data.as_bytes(), Limits::default()).unwrap();
    let checked = schemas.check(&EventType::parse(event_type).unwrap(), Format::Json, document.root())?;
    Ok(checked.subject.map(|subject| subject.to_string()))
}

fn judge(schema: &str, data: &str) -> Verdict {
    let schema = Schema::compile(&serde_json::from_str(schema).unwrap(), Dialect::Draft202012, &[]).unwrap();
    schema.judge(Document::parse(data.as_bytes(), Limits::default()).unwrap().root())
}

fn broken(schema: &str, data: &str) -> Vec<(String, String, String)> {
    match judge(schema, data) {
        Verdict::Broken(violations) => violations
            .into_iter()
            .map(|Violation { pointer, keyword, message, .. }| (pointer, keyword, message))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn types_are_named_by_their_path() {
    let schemas = load(&[
        ("orders/placed/v1.json", r#"{"type":"object"}"#),
        ("orders/placed/v2.json", r#"{"type":"array"}"#),
        ("ORDER_CREATED/v1.json", r#"{"type":"string"}"#),
        ("orders/placed/v1.examples/valid/x.json", "not JSON"),
        (".hidden/v1.json", "not JSON"),
        ("orders/v0.json", "{}"),
    ])
    .unwrap();
    let types: Vec<String> = schemas.event_types().iter().map(ToString::to_string).collect();
    assert_eq!(types, ["ORDER_CREATED.v1", "orders.placed.v1", "orders.placed.v2"]);
    assert_eq!(check(&schemas, "orders.placed.v1", "{}").unwrap().as_deref(), Some("orders.placed.v1-value"));
    assert!(check(&schemas, "orders.placed.v2", "{}").is_err());
    assert_eq!(check(&schemas, "ORDER_CREATED", "\"x\"").unwrap().as_deref(), Some("ORDER_CREATED-value"));
    assert_eq!(check(&schemas, "orders.placed.v3", "{}").unwrap(), None);
}

#[test]
fn schemas_refer_to_each_other_within_the_folder_only() {
    let schemas = load(&[
        ("a/b/v1.json", r##"{"properties":{"m":{"$ref":"../../common/money.json#/$defs/amount"}}}"##),
        ("a/c/v1.json", r#"{"$ref":"https://example.com/money"}"#),
        ("a/d/v1.json", r#"{"$ref":"../b/v1.json"}"#),
        (
            "common/money.json",
            r#"{"$id":"https://example.com/money","type":"object","$defs":{"amount":{"type":"integer"}}}"#,
        ),
    ])
    .unwrap();
    assert!(check(&schemas, "a.b.v1", r#"{"m":1}"#).is_ok());
    assert!(check(&schemas, "a.b.v1", r#"{"m":"1"}"#).is_err());
    assert!(check(&schemas, "a.c.v1", "1").is_err());
    assert!(check(&schemas, "a.d.v1", r#"{"m":"1"}"#).is_err());
    for reference in ["http://169.254.169.254/x", "file:///etc/passwd", "../../absent.json"] {
        let schema = format!(r#"{{"$ref":"{reference}"}}"#);
        let problem =
            load(&[("a/b/v1.json", &schema), ("a/c/v1.json", r#"{"$ref":"../b/v1.json"}"#)]).unwrap_err();
        assert!(problem.contains("a/b/v1.json: "), "{problem}");
    }
}

#[test]
fn every_mistake_of_the_folder_is_told_at_once() {
    let problem = load(&[
        ("a/a/v1.json", "{"),
        ("a/b/v1.json", r#"{"a":1,"a":2}"#),
        ("a/c/v1.json", "{}"),
        ("a/d/v1.json", &format!("{{\"description\":\"{}\"}}", "x".repeat(300_000))),
        ("a/e/v1.json", &format!("{}1{}", "[".repeat(65), "]".repeat(65))),
    ])
    .unwrap_err();
    assert_eq!(problem.lines().count(), 4, "{problem}");
    let problem = load(&[
        ("a/f/v1.json", r#"{"type":"strange"}"#),
        ("a/g/v1.json", r#"{"pattern":"("}"#),
        ("a/h/v1.json", r#"{"pattern":"\\p{L}{1,2000}"}"#),
    ])
    .unwrap_err();
    assert_eq!(problem.lines().count(), 3, "{problem}");
    assert!(load(&[("a/b/v1.json", r#"{"$schema":"http://json-schema.org/draft-04/schema#"}"#)]).is_err());
    assert!(
        Schemas::load(&Config {
            store: Store::Folder,
            directory: "/nowhere".into(),
            absent: Absent::Refused
        })
        .is_err()
    );
}

#[test]
fn schemas_that_grow_or_never_end_are_refused() {
    let refused = |schema: &str| {
        let problem = load(&[("a/b/v1.json", schema), ("a/c/v1.json", r#"{"$ref":"../b/v1.json"}"#)]);
        problem.err().unwrap_or_else(|| panic!("taken: {schema:.200}"))
    };
    assert!(refused(r##"{"$ref":"#"}"##).contains("refers to itself"));
    assert!(
        refused(r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"not":{"$ref":"#"}}}}"##)
            .contains("itself")
    );
    assert!(
        refused(r##"{"$defs":{"a":{"$anchor":"x","$ref":"#x"}},"properties":{"p":{"$ref":"#x"}}}"##)
            .contains("itself")
    );
    assert!(refused(r#"{"$ref":"../c/v1.json"}"#).contains("itself"));
    let bomb: Vec<String> = (0..20)
        .map(|at| {
            format!(
                r##""d{at}":{{"allOf":[{{"$ref":"#/$defs/d{}"}},{{"$ref":"#/$defs/d{}"}}]}}"##,
                at + 1,
                at + 1
            )
        })
        .collect();
    assert!(
        refused(&format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d20":{{}}}}}}"##, bomb.join(",")))
            .contains("grows")
    );
    let chain: Vec<String> =
        (0..200).map(|at| format!(r##""d{at}":{{"$ref":"#/$defs/d{}"}}"##, at + 1)).collect();
    assert!(
        refused(&format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d200":{{}}}}}}"##, chain.join(",")))
            .contains("chain")
    );
    let properties = |count: usize, schema: &str| {
        let members: Vec<String> = (0..count).map(|at| format!("\"p{at}\":{schema}")).collect();
        format!("{{\"properties\":{{{}}}}}", members.join(","))
    };
    assert!(refused(&properties(2_000, "true")).contains("subschemas"));
    assert!(refused(&properties(201, "{\"pattern\":\"a\"}")).contains("patterns"));
    assert!(load(&[("a/b/v1.json", &properties(1_999, "true"))]).is_ok());
}

#[test]
fn a_recursive_schema_judges_recursive_data() {
    let tree = r##"{"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#"}}},"required":["name"]}"##;
    let schemas = load(&[("a/tree/v1.json", tree)]).unwrap();
    assert!(check(&schemas, "a.tree.v1", r#"{"name":1,"children":[{"name":2,"children":[]}]}"#).is_ok());
    assert!(check(&schemas, "a.tree.v1", r#"{"name":1,"children":[{"children":[]}]}"#).is_err());
}

#[test]
fn a_recursive_schema_that_doubles_its_work_ends_soon() {
    let twice = r##"{"required":["x"],"properties":{"c":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}"##;
    let schemas = load(&[("a/b/v1.json", twice)]).unwrap();
    for inner in ["{}", r#"{"x":1}"#] {
        let data = r#"{"c":"#.repeat(60) + inner + &"}".repeat(60);
        assert!(
            matches!(check(&schemas, "a.b.v1", &data), Err(Error::Violation { errors, .. }) if errors.len() == 1)
        );
    }
    let valid = r#"{"x":1,"c":"#.repeat(60) + r#"{"x":1}"# + &"}".repeat(60);
    assert!(check(&schemas, "a.b.v1", &valid).is_ok());
}

#[test]
fn violations_name_the_field_and_the_rule_never_the_value() {
    let schema = r#"{"type":"object","required":["id"],"additionalProperties":false,"properties":{
        "id":{"type":"string"},"n":{"type":"integer","maximum":9},"s":{"pattern":"^a+$","maxLength":3},
        "e":{"enum":["x","y"]},"c":{"const":1},"f":{"format":"email"},"u":{"uniqueItems":true},"a/b":{"type":["null","boolean"]},
        "any":{"anyOf":[{"type":"null"},{"minLength":90}]},"k":{"propertyNames":{"maxLength":1}}}}"#;
    let data = r#"{"n":4711,"s":"secret","e":"secret","c":"secret","f":"secret","u":["secret","secret"],"a/b":"secret","any":"secret",
        "k":{"secret":1},"z":"secret"}"#;
    let told = broken(schema, data);
    let pointers: Vec<&str> = told.iter().map(|(pointer, ..)| pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/data/any",
            "/data/a~1b",
            "/data/c",
            "/data/e",
            "/data/f",
            "/data/id",
            "/data/k",
            "/data/n",
            "/data/s",
            "/data/s",
            "/data/u",
            "/data/z"
        ]
    );
    for (pointer, keyword, message) in &told {
        assert!(!message.contains("secret") && !message.contains("4711"), "{pointer} {keyword} {message}");
        assert!(!keyword.is_empty());
    }
    assert!(told.contains(&("/data/id".to_owned(), "required".to_owned(), "is required".to_owned())));
    assert!(told.contains(&("/data/n".to_owned(), "maximum".to_owned(), "must be at most 9".to_owned())));
}

#[test]
fn places_hold_names_of_the_schema_and_nothing_of_the_data() {
    let schema = r##"{
        "properties": {
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
            "prices": {"type": "object", "additionalProperties": {"type": "integer"}},
            "tags": {"patternProperties": {"^x": {"properties": {"a/b": {"type": "string"}}}}},
            "properties": {"required": ["name"]}
        },
        "additionalProperties": false,
        "$defs": {"item": {"properties": {"sku": {"type": "string"}}, "required": ["sku"]}}
    }"##;
    let data = r#"{"items":[{"sku":1},{}],"prices":{"jane@example.com":"x","items":""},"tags":{"x1":{"a/b":1}},
        "properties":{},"secret":1}"#;
    let Verdict::Broken(violations) = judge(schema, data) else { panic!() };
    let places: Vec<&str> = violations.iter().map(|one| one.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "/data/items/*/sku",
            "/data/items/*/sku",
            "/data/prices/*",
            "/data/prices/*",
            "/data/properties/name",
            "/data/*",
            "/data/tags/*/a~1b",
        ]
    );
}

#[test]
fn violations_are_few_and_sorted() {
    let list = format!("[{}]", vec!["\"x\""; 1_000].join(","));
    let told = broken(r#"{"items":{"type":"integer"}}"#, &list);
    assert_eq!(told.len(), 20);
    assert!(told.is_sorted());
    let list = format!("[{}]", vec!["\"x\""; 20_000].join(","));
    assert_eq!(broken(r#"{"items":{"type":"integer"}}"#, &list).len(), 1);
}

#[test]
fn a_pattern_that_gives_up_is_neither_valid_nor_broken() {
    let schema = r#"{"pattern":"^(?:(a+)\\1?)+$"}"#;
    assert_eq!(judge(schema, "\"aaa\""), Verdict::Valid);
    assert_eq!(judge(schema, &format!("\"{}!\"", "a".repeat(40))), Verdict::PatternLimit);
    let schemas = load(&[("a/b/v1.json", schema)]).unwrap();
    let error = check(&schemas, "a.b.v1", &format!("\"{}!\"", "a".repeat(40))).unwrap_err();
    assert!(matches!(error, Error::PatternLimit { .. }));
}

#[test]
fn the_dialect_decides_and_formats_are_asserted_in_all() {
    let with = |dialect, schema: &str, data: &str| {
        let schema = Schema::compile(&serde_json::from_str(schema).unwrap(), dialect, &[]).unwrap();
        schema.judge(Document::parse(data.as_bytes(), Limits::default()).unwrap().root()) == Verdict::Valid
    };
    let tuple = r#"{"prefixItems":[{"type":"string"}]}"#;
    assert!(!with(Dialect::Draft202012, tuple, "[1]"));
    assert!(with(Dialect::Draft201909, tuple, "[1]"));
    assert!(with(Dialect::Draft7, r#"{"dependentRequired":{"a":["b"]}}"#, r#"{"a":1}"#));
    assert!(!with(Dialect::Draft201909, r#"{"dependentRequired":{"a":["b"]}}"#, r#"{"a":1}"#));
    let named = r#"{"$schema":"http://json-schema.org/draft-07/schema#","prefixItems":[false]}"#;
    assert!(with(Dialect::Draft202012, named, "[1]"));
    for dialect in [Dialect::Draft7, Dialect::Draft201909, Dialect::Draft202012] {
        assert!(!with(dialect, r#"{"format":"date-time"}"#, "\"yesterday\""));
        assert!(with(dialect, r#"{"format":"of-our-own"}"#, "\"yesterday\""));
    }
}

#[test]
fn a_reload_is_seen_by_all_handles_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("a/b/v1.json", r#"{"type":"string"}"#)]);
    let schemas = Schemas::load(&Config {
        store: Store::Folder,
        directory: folder.path().to_owned(),
        absent: Absent::Refused,
    })
    .unwrap();
    let other = schemas.clone();
    write(folder.path(), &[("a/b/v1.json", r#"{"type":"integer"}"#)]);
    schemas.reload().unwrap();
    assert!(check(&other, "a.b.v1", "1").is_ok());
    write(folder.path(), &[("a/b/v1.json", "{")]);
    assert!(schemas.reload().is_err());
    assert!(check(&other, "a.b.v1", "1").is_ok());
}

#[test]
fn ids_depend_on_the_content_alone() {
    let schemas = load(&[
        ("a/b/v1.json", r#"{"type":"string"}"#),
        ("a/c/v1.json", r#"{"type":"string"}"#),
        ("a/d/v1.json", r#"{"type": "string"}"#),
    ])
    .unwrap();
    let id = |event_type: &str| {
        let document = Document::parse(b"\"x\"", Limits::default()).unwrap();
        schemas
            .check(&EventType::parse(event_type).unwrap(), Format::Json, document.root())
            .unwrap()
            .schema
            .unwrap()
    };
    assert_eq!(id("a.b.v1"), id("a.c.v1"));
    assert_ne!(id("a.b.v1"), id("a.d.v1"));
    assert!(id("a.b.v1").number() > 0);
}

#[test]
fn contracts_stand_alone() {
    let schemas = load(&[
        (
            "orders/placed/v1.json",
            r#"{"properties":{"amount":{"$ref":"../../shop/common.json#/$defs/amount"}}}"#,
        ),
        ("orders/cancelled/v1.json", r#"{"type":"object"}"#),
        ("shop/common.json", r#"{"$defs":{"amount":{"minimum":0}}}"#),
    ])
    .unwrap();
    let contract = |name: &str| schemas.contract(&EventType::parse(name).unwrap());
    assert_eq!(contract("orders.lost.v1"), None);
    let placed = contract("orders.placed.v1").unwrap();
    assert_eq!(&*placed.subject, "orders.placed.v1-value");
    assert_eq!(
        contract("orders.placed"),
        Some(Arc::clone(&placed)),
        "a type without a version has that of version 1"
    );
    let alone = Schema::compile(&placed.schema, Dialect::Draft202012, &[]).unwrap();
    let judge = |data: &str| alone.judge(Document::parse(data.as_bytes(), Limits::default()).unwrap().root());
    assert_eq!(judge(r#"{"amount":1}"#), Verdict::Valid);
    assert!(matches!(judge(r#"{"amount":-1}"#), Verdict::Broken(_)));
}

#[test]
fn a_reference_may_begin_at_the_folder() {
    let recursive = [("a/v1.json", r#"{"$ref":"/b.json"}"#), ("b.json", r#"{"$ref":"/a/v1.json"}"#)];
    assert!(load(&recursive).unwrap_err().contains("refers to itself without ever looking into the value"));
}

#[test]
fn files_of_other_languages_judge_what_is_posted_and_it_stays_json() {
    let order = r#"{"type":"record","name":"shop.Order","doc":"What is bought.","fields":[
        {"name":"id","type":"string"},{"name":"total","type":"Money"},{"name":"note","type":["null","string"],"default":null}]}"#;
    let money = r#"{"type":"record","name":"shop.Money","fields":[{"name":"cents","type":"long"}]}"#;
    let paid = "import \"shop/money.proto\"; message Paid { required string id = 1; optional shop.Money total = 2; } message Other { }";
    let schemas = load(&[
        ("orders/placed/v1.avsc", order),
        ("shop/money.avsc", money),
        ("orders/paid/v1.proto", paid),
        ("shop/money.proto", "package shop; message Money { optional int64 cents = 1; }"),
        ("orders/gone/v1.json", r#"{"type":"object"}"#),
    ])
    .unwrap();
    for (event_type, data, broken) in [
        ("orders.placed.v1", r#"{"id":"a","total":{"cents":5}}"#, ""),
        ("orders.placed", r#"{"id":"a","total":{"cents":5},"note":"x"}"#, ""),
        ("orders.placed.v1", r#"{"id":"a","total":{"cents":"5"}}"#, "/data/total/cents"),
        ("orders.placed.v1", r#"{"id":"a","total":{"cents":5},"more":1}"#, "/data/more"),
        ("orders.paid.v1", r#"{"id":"a","total":{"cents":"5"}}"#, ""),
        ("orders.paid.v1", r#"{"total":{"cents":5}}"#, "/data/id"),
        ("orders.gone.v1", "{}", ""),
    ] {
        match check(&schemas, event_type, data) {
            Ok(_) => assert_eq!(broken, "", "{data}"),
            Err(Error::Violation { errors, .. }) => assert_eq!(errors[0].pointer, broken, "{data}"),
            Err(error) => panic!("{data}: {error}"),
        }
    }
    let contract = schemas.contract(&EventType::parse("orders.placed.v1").unwrap()).unwrap();
    assert_eq!(
        (&*contract.subject, &contract.schema["description"]),
        ("orders.placed.v1-value", &"What is bought.".into())
    );
    let contract = schemas.contract(&EventType::parse("orders.paid.v1").unwrap()).unwrap();
    assert_eq!(contract.schema["required"][0], "id");
}

#[test]
fn mistakes_in_files_of_other_languages_are_told_with_their_paths() {
    let problem = load(&[
        ("a/a/v1.avsc", r#"{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}"#),
        ("a/b/v1.avsc", "\"Nowhere\""),
        ("a/c/v1.proto", "import \"elsewhere.proto\"; message A { }"),
        ("a/d/v1.proto", "message A {"),
        ("shared.avsc", "{"),
    ])
    .unwrap_err();
    assert_eq!(problem.lines().count(), 5, "{problem}");
    for part in ["a/a/v1.avsc: ", "names Nowhere", "imports elsewhere.proto", "shared.avsc: "] {
        assert!(problem.contains(part), "{problem}");
    }
    let problem = load(&[("a/b/v1.json", "{}"), ("a/b/v1.avsc", "\"int\"")]).unwrap_err();
    assert!(problem.contains("a/b/v1.json: a.b.v1 has another schema, "), "{problem}");
}
