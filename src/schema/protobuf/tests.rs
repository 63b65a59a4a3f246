//! Schemas as they are compiled, and data as it is written and read by them.

mod bombs;
mod generated;

use super::Protobuf;
use crate::event::json::{Document, Limits};
use crate::schema::Violation;
use crate::schema::codec::Codec as _;

const ALL: &str = include_str!("tests/all.proto");

fn compiled(text: &str) -> Protobuf {
    Protobuf::compile(text, []).unwrap()
}

fn encode(codec: &Protobuf, json: &str) -> Result<Vec<u8>, Vec<Violation>> {
    let document = Document::parse(json.as_bytes(), Limits { depth_max: 120 }).unwrap();
    let mut out = b"before".to_vec();
    let encoded = codec.encode(document.root(), &mut out);
    assert!(out.starts_with(b"before"));
    let rest = out.split_off(6);
    assert!(encoded.is_ok() || rest.is_empty(), "what fails leaves nothing");
    encoded.map(|()| rest)
}

fn decode(codec: &Protobuf, encoded: &[u8]) -> Result<String, String> {
    let mut out = b"before".to_vec();
    let decoded = codec.decode(&[0], encoded, 1 << 20, &mut out);
    let text = String::from_utf8(out.split_off(6)).unwrap();
    assert!(decoded.is_ok() || text.is_empty(), "what fails leaves nothing");
    decoded.map(|()| text).map_err(|error| error.problem)
}

/// JSON as it is after it was written and read; must itself come back as it is.
fn round(codec: &Protobuf, json: &str) -> String {
    let told = decode(codec, &encode(codec, json).unwrap()).unwrap();
    assert_eq!(decode(codec, &encode(codec, &told).unwrap()).unwrap(), told);
    told
}

/// Only what is not told of absent values.
fn without_defaults(json: &str) -> serde_json::Value {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    let is_default = |value: &serde_json::Value| {
        value == 0
            || value.as_f64() == Some(0.0)
            || value == "0"
            || value == ""
            || value == false
            || value == "COLOR_UNKNOWN"
            || value.is_null()
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty)
    };
    let members = value.as_object().unwrap().clone();
    members.into_iter().filter(|(_, value)| !is_default(value)).collect()
}

fn violations(codec: &Protobuf, json: &str) -> Vec<(String, String)> {
    encode(codec, json).unwrap_err().into_iter().map(|one| (one.pointer, one.keyword)).collect()
}

#[test]
fn data_is_written_by_the_json_mapping_and_read_back() {
    let codec = compiled(ALL);
    for (posted, told) in [
        (r#"{"aDouble":1.5,"a_float":-2.5}"#, r#"{"aDouble":1.5,"aFloat":-2.5}"#),
        (r#"{"aDouble":"NaN","aFloat":"-Infinity"}"#, r#"{"aDouble":"NaN","aFloat":"-Infinity"}"#),
        (
            r#"{"anInt32":-5,"anInt64":"-6","aUint32":"7","aUint64":8}"#,
            r#"{"anInt32":-5,"anInt64":"-6","aUint32":7,"aUint64":"8"}"#,
        ),
        (
            r#"{"aSint32":-9,"aSint64":-10,"aFixed32":11,"aFixed64":12,"aSfixed32":-13,"aSfixed64":-14}"#,
            r#"{"aSint32":-9,"aSint64":"-10","aFixed32":11,"aFixed64":"12","aSfixed32":-13,"aSfixed64":"-14"}"#,
        ),
        (
            r#"{"anInt32":1.0,"anInt64":1e3,"aUint64":"18446744073709551615"}"#,
            r#"{"anInt32":1,"anInt64":"1000","aUint64":"18446744073709551615"}"#,
        ),
        (
            r#"{"aBool":true,"aString":"ä\n\"","someBytes":"-_8"}"#,
            r#"{"aBool":true,"aString":"ä\n\"","someBytes":"+/8="}"#,
        ),
        (r#"{"color":"RED","colors":["GREEN",1,7]}"#, r#"{"color":"RED","colors":["GREEN","RED",7]}"#),
        (r#"{"color":"BELOW"}"#, r#"{"color":"BELOW"}"#),
        (
            r#"{"maybe":0,"numbers":[1,-1,0],"texts":["","b"]}"#,
            r#"{"maybe":0,"numbers":[1,-1,0],"texts":["","b"]}"#,
        ),
        (
            r#"{"parts":[{"sku":"a","quantity":2},{}]}"#,
            r#"{"parts":[{"sku":"a","quantity":2},{"sku":"","quantity":0}]}"#,
        ),
        (
            r#"{"byName":{"b":2,"a":1},"byNumber":{"-1":{"sku":"x"}},"byTruth":{"true":"y"}}"#,
            r#"{"byName":{"a":1,"b":2},"byNumber":{"-1":{"sku":"x","quantity":0}},"byTruth":{"true":"y"}}"#,
        ),
        (r#"{"number":0}"#, r#"{"number":0}"#),
        (r#"{"part":{"sku":"z"},"text":null}"#, r#"{"part":{"sku":"z","quantity":0}}"#),
        (r#"{"unpacked":["-1",2],"other":"o"}"#, r#"{"unpacked":["-1","2"],"other":"o"}"#),
        (r#"{"renamed":"o"}"#, r#"{"other":"o"}"#),
        (
            r#"{"at":"2026-11-22T11:15:30.5+01:00","took":"-1.5s"}"#,
            r#"{"at":"2026-11-22T10:15:30.500Z","took":"-1.500s"}"#,
        ),
        (r#"{"note":"n","count":7,"empty":{}}"#, r#"{"note":"n","count":"7","empty":{}}"#),
        (
            r#"{"extra":{"a":[1,null,{"b":true}]},"anything":null,"list":["x"],"mask":"a,bC.d"}"#,
            r#"{"extra":{"a":[1.0,null,{"b":true}]},"anything":null,"list":["x"],"mask":"a,bC.d"}"#,
        ),
        (r#"{"values":[null,1,"a",false,{},[]]}"#, r#"{"values":[null,1.0,"a",false,{},[]]}"#),
    ] {
        let (read, expected) =
            (round(&codec, posted), serde_json::from_str::<serde_json::Value>(told).unwrap());
        for (name, value) in expected.as_object().unwrap() {
            let read: serde_json::Value = serde_json::from_str(&read).unwrap();
            assert_eq!(read.get(name), Some(value), "{posted}: {name}");
        }
        assert!(
            without_defaults(&read).as_object().unwrap().keys().all(|name| expected.get(name).is_some()),
            "{posted}: {read}"
        );
        assert!(!read.contains('\u{a}'), "one line");
    }
}

#[test]
fn fields_without_presence_are_told_and_others_are_not() {
    let codec = compiled(
        "syntax = \"proto3\"; message A { int32 a = 1; optional int32 b = 2; repeated A c = 3; map<string, string> d = 4;
         A e = 5; int64 f = 6; E g = 7; bytes h = 8; oneof o { string i = 9; } bool j = 10; } enum E { NONE = 0; }",
    );
    let told = r#"{"a":0,"c":[],"d":{},"f":"0","g":"NONE","h":"","j":false}"#;
    assert_eq!(round(&codec, "{}"), told);
    assert_eq!(round(&codec, told), told);
    assert!(encode(&codec, told).unwrap().is_empty(), "defaults take no room");
}

#[test]
fn what_breaks_a_schema_is_told_by_place_and_keyword_and_without_the_value() {
    let codec = compiled(ALL);
    for (posted, pointer, keyword) in [
        ("7", "", "type"),
        (r#"{"unknown":"secret"}"#, "/unknown", "additionalProperties"),
        (r#"{"a/b~c":"secret"}"#, "/a~1b~0c", "additionalProperties"),
        (r#"{"aString":7}"#, "/aString", "type"),
        (r#"{"anInt32":2147483648}"#, "/anInt32", "maximum"),
        (r#"{"an_int32":-2147483649}"#, "/an_int32", "minimum"),
        (r#"{"aUint64":18446744073709551616}"#, "/aUint64", "maximum"),
        (r#"{"aUint32":-1}"#, "/aUint32", "minimum"),
        (r#"{"anInt64":"9223372036854775808"}"#, "/anInt64", "maximum"),
        (r#"{"anInt32":1.5}"#, "/anInt32", "type"),
        (r#"{"anInt32":"+1"}"#, "/anInt32", "type"),
        (r#"{"anInt32":""}"#, "/anInt32", "type"),
        (r#"{"anInt32":true}"#, "/anInt32", "type"),
        (r#"{"aFloat":1e39}"#, "/aFloat", "maximum"),
        (r#"{"aDouble":"secret"}"#, "/aDouble", "type"),
        (r#"{"aBool":"true"}"#, "/aBool", "type"),
        (r#"{"someBytes":"*"}"#, "/someBytes", "contentEncoding"),
        (r#"{"color":"secret"}"#, "/color", "enum"),
        (r#"{"colors":["RED",true]}"#, "/colors/1", "type"),
        (r#"{"numbers":7}"#, "/numbers", "type"),
        (r#"{"numbers":[null]}"#, "/numbers/0", "type"),
        (r#"{"parts":[{},{"sku":1}]}"#, "/parts/1/sku", "type"),
        (r#"{"byName":[]}"#, "/byName", "type"),
        (r#"{"byName":{"a":null}}"#, "/byName/a", "type"),
        (r#"{"byNumber":{"secret":{}}}"#, "/byNumber/secret", "propertyNames"),
        (r#"{"byTruth":{"secret":"a"}}"#, "/byTruth/secret", "propertyNames"),
        (r#"{"text":"secret","number":1}"#, "/number", "oneOf"),
        (r#"{"aString":"secret","a_string":"b"}"#, "/a_string", "additionalProperties"),
        (r#"{"at":"secret"}"#, "/at", "format"),
        (r#"{"at":7}"#, "/at", "type"),
        (r#"{"took":"1"}"#, "/took", "format"),
        (r#"{"mask":"a_b"}"#, "/mask", "format"),
        (r#"{"count":"secret"}"#, "/count", "type"),
        (r#"{"extra":[]}"#, "/extra", "type"),
        (r#"{"list":{}}"#, "/list", "type"),
        (r#"{"empty":{"secret":1}}"#, "/empty/secret", "additionalProperties"),
        (r#"{"any":{"@type":"secret"}}"#, "/any", "type"),
        (r#"{"inner":{"inner":{"aBool":1}}}"#, "/inner/inner/aBool", "type"),
    ] {
        let told = encode(&codec, posted).unwrap_err();
        let places: Vec<_> = told.iter().map(|one| (one.pointer.as_str(), one.keyword.as_str())).collect();
        assert_eq!(places, [(format!("/data{pointer}").as_str(), keyword)], "{posted}");
        assert!(told.iter().all(|one| !one.message.contains("secret")), "{told:?}");
    }
}

#[test]
fn all_that_is_wrong_is_told_up_to_a_bound() {
    let codec = compiled(ALL);
    assert_eq!(
        violations(&codec, r#"{"b":1,"aBool":1,"parts":[{"sku":1},{"x":1}]}"#),
        [
            ("/data/aBool", "type"),
            ("/data/b", "additionalProperties"),
            ("/data/parts/0/sku", "type"),
            ("/data/parts/1/x", "additionalProperties")
        ]
        .map(|(pointer, keyword)| (pointer.to_owned(), keyword.to_owned()))
    );
    let many = format!(r#"{{"numbers":[{}]}}"#, vec!["\"x\""; 1_000].join(","));
    assert_eq!(violations(&codec, &many).len(), 20);
    let long = format!("{{\"{}\":1}}", "a".repeat(10_000));
    assert!(encode(&codec, &long).unwrap_err().iter().all(|one| one.pointer.len() < 300));
}

#[test]
fn older_schemas_have_required_fields_closed_enums_and_groups() {
    let codec = compiled(
        "message A { required string id = 1; optional E e = 2; optional group Part = 3 { required int32 n = 1; }
         repeated int32 runs = 4; } enum E { X = 1; Y = 2; }",
    );
    let posted = r#"{"id":"a","e":"Y","part":{"n":7},"runs":[1,2]}"#;
    assert_eq!(round(&codec, posted), posted);
    assert_eq!(encode(&codec, posted).unwrap(), b"\x0a\x01a\x10\x02\x1b\x08\x07\x1c\x20\x01\x20\x02");
    assert_eq!(
        violations(&codec, r#"{"part":{}}"#),
        [("/data/id".to_owned(), "required".to_owned()), ("/data/part/n".to_owned(), "required".to_owned())]
    );
    assert_eq!(violations(&codec, r#"{"id":"a","e":3}"#), [("/data/e".to_owned(), "enum".to_owned())]);
    assert_eq!(decode(&codec, b"\x0a\x01a\x20\x01\x22\x02\x02\x03").unwrap(), r#"{"id":"a","runs":[1,2,3]}"#);
}

#[test]
fn what_comes_twice_counts_as_protobuf_says() {
    let codec = compiled(
        "syntax = \"proto3\"; message A { B b = 1; map<string, int32> m = 2; oneof o { int32 x = 3; int32 y = 4; } }
         message B { optional int32 c = 1; repeated int32 d = 2; }",
    );
    // b{c: 1, d: 1}, b{d: 2}, b{c: 3}
    let pieces = b"\x0a\x04\x08\x01\x10\x01\x0a\x02\x10\x02\x0a\x02\x08\x03";
    assert_eq!(decode(&codec, pieces).unwrap(), r#"{"b":{"c":3,"d":[1,2]},"m":{}}"#);
    // m[a] = 1, m[b] = 2, m[a] = 3, m[""] = 0
    let entries = b"\x12\x05\x0a\x01a\x10\x01\x12\x05\x0a\x01b\x10\x02\x12\x05\x0a\x01a\x10\x03\x12\x00";
    assert_eq!(decode(&codec, entries).unwrap(), r#"{"m":{"":0,"a":3,"b":2}}"#);
    assert_eq!(decode(&codec, b"\x20\x05\x18\x06").unwrap(), r#"{"m":{},"x":6}"#);
    assert_eq!(decode(&codec, b"\x98\x06\x07\x18\x06").unwrap(), r#"{"m":{},"x":6}"#, "99 is unknown");
}

#[test]
fn other_messages_of_the_schema_are_read_by_their_indexes() {
    let codec = compiled(
        "syntax = \"proto3\"; message A { string a = 1; } message B { message C { string c = 1; } message D { string d = 1; } }",
    );
    assert_eq!(codec.indexes(), [0]);
    for (indexes, name) in
        [(&b"\x00"[..], "a"), (b"\x02\x00", "a"), (b"\x04\x02\x00", "c"), (b"\x04\x02\x02", "d")]
    {
        let framed = [indexes, b"\x0a\x01x"].concat();
        let (split, rest) = codec.split(&framed).unwrap();
        assert_eq!((split, rest), (indexes, &b"\x0a\x01x"[..]));
        let mut out = Vec::new();
        codec.decode(split, rest, 100, &mut out).unwrap();
        assert_eq!(out, format!("{{\"{name}\":\"x\"}}").as_bytes());
    }
    for indexes in [&b""[..], b"\x04\x02\x04", b"\x02\x04", b"\x04\x02", b"\xfe\xff\xff\xff\x0f"] {
        assert!(codec.split(indexes).is_err(), "{indexes:?}");
        assert!(codec.decode(indexes, b"", 100, &mut Vec::new()).is_err(), "{indexes:?}");
    }
}

#[test]
fn texts_that_mean_the_same_have_one_form_and_a_descriptor_is_a_text_too() {
    let form = |text: &str| compiled(text).serialized().to_owned();
    let first = form(
        "syntax = \"proto3\";\npackage a;\n// About A.\nmessage A {\n  B b = 1; /* b */\n}\nmessage B { }\n",
    );
    assert_eq!(first, form("syntax=\"proto3\";package a;message A{.a.B b=1;}message B{}"));
    assert_eq!(first, form(&first), "a descriptor is a schema");
    assert_ne!(first, form("syntax = \"proto3\"; package a; message A { B c = 1; } message B { }"));
    assert_eq!(
        form("message A { optional int32 a = 1; }"),
        form("syntax = \"proto2\"; message A { optional int32 a = 1 [json_name = \"a\"]; }")
    );
}

#[test]
fn only_what_is_given_can_be_imported() {
    let text = "syntax = \"proto3\"; import \"o.proto\"; message A { o.O o = 1; }";
    let given = "syntax = \"proto3\"; package o; message O { string x = 1; }";
    let codec = Protobuf::compile(text, [("o.proto", given)]).unwrap();
    assert_eq!(round(&codec, r#"{"o":{"x":"y"}}"#), r#"{"o":{"x":"y"}}"#);
    let encoded = compiled(given).serialized().to_owned();
    assert!(Protobuf::compile(text, [("o.proto", encoded.as_str())]).is_ok());
    for path in [
        "o.proto",
        "/etc/passwd",
        "../Cargo.toml",
        "file:///etc/passwd",
        "http://169.254.169.254/a.proto",
        "default",
    ] {
        let text = format!("syntax = \"proto3\"; import \"{path}\"; message A {{}}");
        assert!(Protobuf::compile(&text, [("b.proto", "")]).is_err(), "{path}");
    }
    let problem = Protobuf::compile(text, []).unwrap_err();
    assert!(problem.contains("o.proto"), "{problem}");
    let own = "package google.protobuf; message Timestamp { optional string a = 1; }";
    let text =
        "import \"google/protobuf/timestamp.proto\"; message A { optional google.protobuf.Timestamp t = 1; }";
    let codec = Protobuf::compile(text, [("google/protobuf/timestamp.proto", own)]).unwrap();
    assert!(
        encode(&codec, r#"{"t":"2026-11-22T10:15:30Z"}"#).is_ok(),
        "those that are built in stay what they are"
    );
}

#[test]
fn what_is_no_schema_is_refused_with_its_place() {
    for text in [
        "{",
        "message",
        "message A { string a = 1; string b = 1; }",
        "AAAA",
        "bWVzc2FnZQ==",
        "message A { B b = 1; }",
    ] {
        assert!(Protobuf::compile(text, []).is_err(), "{text}");
    }
    let problem =
        Protobuf::compile("syntax = \"proto3\";\nmessage A {\n  Missing m = 1;\n}", []).unwrap_err();
    assert!(problem.contains("line 3:3") && problem.contains("Missing"), "{problem}");
    let empty = compiled("syntax = \"proto3\"; enum E { A = 0; }");
    assert!(encode(&empty, "{}").unwrap_err()[0].message.contains("no message"));
}

#[test]
fn the_json_schema_takes_what_is_told() {
    let codec = compiled(ALL);
    let schema = codec.json_schema();
    let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&schema).unwrap();
    let inner = r#"{"anInt64":"-6","colors":["RED"],"byNumber":{"-1":{"sku":"x"}},"at":"2026-11-22T10:15:30Z","text":"a"}"#;
    let told = round(
        &codec,
        &format!(r#"{{"inner":{inner},"took":"1s","note":"n","extra":{{}},"number":1,"aDouble":"NaN"}}"#),
    );
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert!(
        validator.is_valid(&told),
        "{:?}",
        validator.iter_errors(&told).map(|error| error.to_string()).collect::<Vec<_>>()
    );
    for refused in [
        r#"{"x":1}"#,
        r#"{"anInt32":"a"}"#,
        r#"{"inner":{"text":"a","number":1}}"#,
        r#"{"any":{}}"#,
        r#"{"color":"BLUE"}"#,
    ] {
        assert!(!validator.is_valid(&serde_json::from_str(refused).unwrap()), "{refused}");
    }
}

#[test]
fn places_hold_names_of_the_schema_and_nothing_of_the_data() {
    let codec = compiled(
        "syntax = \"proto3\"; message M { map<string, int32> prices = 1; repeated string tags = 2; }",
    );
    let violations =
        encode(&codec, r#"{"prices":{"jane@example.com":"x"},"tags":["a",1],"secret":1}"#).unwrap_err();
    let places: Vec<&str> = violations.iter().map(|one| one.place.as_str()).collect();
    assert_eq!(places, ["/data/prices/*", "/data/*", "/data/tags/*"]);
}
