//! What the document takes, refuses, and gives back.

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::{Document, Error, Limits, Pointer, Value};

fn parse(text: &str) -> Result<serde_json::Value, Error> {
    Document::parse(text.as_bytes(), Limits::default()).map(|document| document.root().to_owned_value())
}

fn duplicate(text: &str) -> String {
    match parse(text) {
        Err(Error::DuplicateMember { pointer, .. }) => pointer,
        other => panic!("{text}: {other:?}"),
    }
}

fn problem(body: &[u8]) -> (usize, usize, String) {
    match Document::parse(body, Limits::default()) {
        Err(Error::Malformed { line, column, problem }) => (line, column, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn duplicates_are_refused_at_every_depth_with_their_pointer() {
    assert_eq!(duplicate(r#"{"a":1,"a":2}"#), "/a");
    assert_eq!(duplicate(r#"{"a":1,"\u0061":2}"#), "/a");
    assert_eq!(duplicate(r#"{"d":{"x/y":[0,{"b":1,"b":1}]}}"#), "/d/x~1y/1/b");
    assert_eq!(duplicate(r#"[1,{"a":1,"a":2}]"#), "/1/a");
    assert_eq!(duplicate(r#"[1,{"a":{"b":0,"b":0}}]"#), "/1/a/b");
    assert_eq!(duplicate(r#"[[{"a":1,"a":2}]]"#), "/0/0/a");
    assert_eq!(duplicate(r#"{"":1,"":2}"#), "/");
}

#[test]
fn duplicates_are_noticed_among_many_members() {
    for count in [10, 31, 32, 33, 1_000] {
        let members = (0..count).map(|index| format!("\"m{index}\":0")).collect::<Vec<_>>().join(",");
        assert!(parse(&format!("{{{members}}}")).is_ok());
        for again in [0, count / 2, count - 1] {
            assert_eq!(duplicate(&format!("{{{members},\"m{again}\":0}}")), format!("/m{again}"));
            assert_eq!(duplicate(&format!("{{\"x\":{{{members},\"m{again}\":0}}}}")), format!("/x/m{again}"));
        }
    }
}

#[test]
fn depth_is_bounded_at_the_limit() {
    let nested = |open: &str, close: &str, levels: usize| open.repeat(levels) + "1" + &close.repeat(levels);
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let levels = if open.len() > 5 { 32 } else { 64 };
        assert!(parse(&nested(open, close, levels)).is_ok(), "{open}");
        let error = parse(&nested(open, close, levels + 1)).unwrap_err();
        assert_eq!(error, Error::TooDeep { depth_max: 64 }, "{open}");
    }
    assert_eq!(parse(&"[".repeat(100_000)).unwrap_err(), Error::TooDeep { depth_max: 64 });
    assert_eq!(parse(&"{\"a\":".repeat(100_000)).unwrap_err(), Error::TooDeep { depth_max: 64 });
}

#[test]
fn what_parsers_read_differently_is_refused_with_its_place() {
    assert_eq!(problem(b"\xef\xbb\xbf{}").0, 1);
    assert_eq!(problem(b"{} {}"), (1, 4, "trailing characters".to_owned()));
    assert_eq!(problem(b"").0, 1);
    assert_eq!(problem(b"{\"a\":\n \"\xff\"}"), (2, 3, "text that is not UTF-8".to_owned()));
    for text in [r#"{"a":"\ud800"}"#, r#"["\udc00"]"#, r#""\ud83d\u0041""#, r#"{"\ud800":1}"#] {
        assert!(matches!(parse(text), Err(Error::Malformed { .. })), "{text}");
    }
    for text in ["{\"a\":1,}", "[1,]", "{,}", "[,1]", "{\"a\" 1}", "{a:1}", "[1 2]", "truex", "[", "{\"a\":1"]
    {
        assert!(matches!(parse(text), Err(Error::Malformed { .. })), "{text}");
    }
    assert_eq!(problem(b"{\n  \"a\": {\n    \"b\": tru }\n}").0, 3);
    assert_eq!(problem(b"{\n  \"a\": nul }").0, 2);
}

#[test]
fn numbers_that_cannot_be_kept_are_refused() {
    for text in ["1e400", "-1e400", "{\"data\":{\"n\":1e999}}"] {
        assert_eq!(problem(text.as_bytes()).2, "number out of range");
    }
    let digits = |count: usize| format!("{{\"a\":{{\"n\":0.{}}}}}", "1".repeat(count - 2));
    assert!(parse(&digits(1_000)).is_ok());
    assert_eq!(problem(digits(1_001).as_bytes()).2, "a number of more than 1,000 characters");
    assert_eq!(problem(digits(100_000).as_bytes()).1, 11);
    assert!(parse(&format!("\"{}\"", "1".repeat(100_000))).is_ok());
    assert!(parse(&format!("[\"\\\"{}\"]", "1".repeat(5_000))).is_ok());
    assert_eq!(parse("18446744073709551615").unwrap(), serde_json::json!(u64::MAX));
    assert_eq!(parse("123456789012345678901234567890").unwrap(), serde_json::json!(1.2345678901234568e29));
}

#[test]
fn parts_of_the_top_level_keep_their_bytes() {
    let body = br#" { "a" : {"x": [1, 2]} , "data":  1.50e1 ,"n\u0061me":"\u0000"} "#;
    let document = Document::parse(body, Limits::default()).unwrap();
    assert_eq!(document.node().bytes(), body);
    let bytes = |name| document.node().member(name).unwrap().bytes();
    assert_eq!(bytes("a"), br#"{"x": [1, 2]}"#);
    assert_eq!(bytes("data"), b"1.50e1");
    assert_eq!(bytes("name"), br#""\u0000""#);
    assert!(document.elements().is_none());
}

#[test]
fn elements_of_a_batch_keep_their_bytes() {
    let body = br#"[ {"data": {"a":1} } , 7, [ 1 ], {"data":"x"}]"#;
    let document = Document::parse(body, Limits::default()).unwrap();
    let elements = document.elements().unwrap();
    let bytes: Vec<&[u8]> = elements.iter().map(super::Node::bytes).collect();
    assert_eq!(bytes, [&br#"{"data": {"a":1} }"#[..], b"7", b"[ 1 ]", br#"{"data":"x"}"#]);
    assert_eq!(elements[0].member("data").unwrap().bytes(), br#"{"a":1}"#);
    assert_eq!(elements[3].member("data").unwrap().bytes(), br#""x""#);
    assert!(elements[1].member("data").is_none());
}

#[test]
fn a_huge_array_is_read_without_bytes_of_its_elements() {
    let body = format!("[{}0]", "{\"a\":1},".repeat(10_000));
    let document = Document::parse(body.as_bytes(), Limits::default()).unwrap();
    assert_eq!(document.root().as_array().unwrap().len(), 10_001);
    assert!(document.elements().is_none());
}

#[test]
fn pointers_lead_through_objects_and_arrays() {
    let document = Document::parse(br#"{"a":[{"b~/":7}],"01":1}"#, Limits::default()).unwrap();
    let at = |pointer: &str| document.root().at(&Pointer::parse(pointer).unwrap()).cloned();
    assert_eq!(at("/a/0/b~0~1"), Some(Value::Number(7.into())));
    assert_eq!(at("/a/00"), None);
    assert_eq!(at("/a/1"), None);
    assert_eq!(at("/01"), Some(Value::Number(1.into())));
    assert_eq!(at("").as_ref(), Some(document.root()));
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(serde_json::Value::Array),
            proptest::collection::btree_map(".{0,4}", inner, 0..40)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn the_document_equals_serde_jsons_value(value in json(), is_pretty: bool) {
        let text = if is_pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.unwrap();
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parse(&text).unwrap(), expected);
        let document = Document::parse(text.as_bytes(), Limits::default()).unwrap();
        for (name, member) in document.node().members() {
            let again: serde_json::Value = serde_json::from_slice(member.bytes()).unwrap();
            assert_eq!(&again, &expected[name]);
        }
    }

    #[test]
    fn any_text_is_judged_as_serde_json_does_or_stricter(text in r#"[\[\]{}:,"\\a0-9.eE+\- \n]{0,24}"#) {
        let strict: Result<serde_json::Value, _> = serde_json::from_str(&text);
        match (parse(&text), strict) {
            (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
            (Ok(_), Err(error)) => panic!("{text:?} was taken, but {error}"),
            (Err(Error::Malformed { .. }), Ok(_)) => panic!("{text:?} was refused"),
            (Err(_), _) => {}
        }
    }

    #[test]
    fn a_repeated_member_is_refused_wherever_it_lies(value in json(), depth in 0_usize..20, name in ".{0,3}") {
        let name = serde_json::Value::from(name);
        let inner = format!("{{{name}:{value},{name}:0}}");
        let text = "[{\"a\":".repeat(depth) + &inner + &"}]".repeat(depth);
        let is_refused = matches!(parse(&text), Err(Error::DuplicateMember { .. }));
        assert!(is_refused, "{text}");
    }
}
