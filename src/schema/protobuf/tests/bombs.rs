//! What is small and would become large, deep or endless: refused, and soon.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use super::{ALL, Protobuf, compiled, encode};
use crate::schema::codec::Codec as _;

/// Generous, since tests run without optimisation and beside each other.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn schemas_that_are_too_much_are_refused_soon() {
    let repeated = |count: usize, part: &dyn Fn(usize) -> String| (0..count).map(part).collect::<String>();
    let nested = |depth: usize| format!("{}{}", "message A {".repeat(depth), "}".repeat(depth));
    let bombs = [
        nested(33),
        nested(20_000),
        format!("message A {{ {} }}", repeated(5_001, &|at| format!("optional int32 f{at}={};", at + 1))),
        repeated(1_001, &|at| format!("message M{at} {{}}")),
        format!("enum E {{ {} }}", repeated(10_001, &|at| format!("V{at}={at};"))),
        format!("message A {{ {} }}", repeated(1_001, &|at| format!("reserved {};", at + 1))),
        format!("option (a) = {}{};", "{ b ".repeat(5_000), "}".repeat(5_000)),
        format!("message A {{ optional string a = 1 [(b) = {}{}]; }}", "[".repeat(9_000), "]".repeat(9_000)),
        format!("/*{}", "/*".repeat(100_000)),
        format!("\"{}", "\\".repeat(200_000)),
        "{".repeat(200_000),
        "A".repeat(200_000),
    ];
    for bomb in &bombs {
        let begun = Instant::now();
        assert!(Protobuf::compile(bomb, []).is_err(), "{}", &bomb[..40]);
        assert!(begun.elapsed() < SOON, "{}: {:?}", &bomb[..40], begun.elapsed());
    }
    let large = format!("message A{{}}{}", " ".repeat(400_000));
    assert!(Protobuf::compile(&large, [("a.proto", large.as_str())]).unwrap_err().contains("bytes"));
}

#[test]
fn the_most_that_is_allowed_is_compiled_soon() {
    let mut text = "syntax = \"proto3\"; package a;".to_owned();
    for at in 0..1_000 {
        write!(
            text,
            "message M{at} {{ M{} a = 1; repeated M{} b = 2; string c = 3; map<string, string> d = 4; }}",
            (at + 1) % 1_000,
            at / 2
        )
        .unwrap();
    }
    // A map is a message of its own.
    assert!(Protobuf::compile(&text, []).unwrap_err().contains("messages"));
    let text = text.replace("map<string, string> d", "int32 d");
    let begun = Instant::now();
    let codec = Protobuf::compile(&text, []).unwrap();
    assert!(codec.json_schema().to_string().len() < 2 << 20);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn imports_that_go_in_circles_are_refused() {
    let (one, other) = ("import \"b\"; message A {}", "import \"a\"; message B {}");
    assert!(Protobuf::compile("import \"a\";", [("a", one), ("b", other)]).is_err());
    assert!(Protobuf::compile("import \"default\";", []).is_err());
    assert!(Protobuf::compile("", [("default", "")]).is_err(), "the name is taken");
}

#[test]
fn data_that_nests_too_deep_is_neither_written_nor_read() {
    let codec = compiled(ALL);
    let nested = |depth: usize| format!("{}{}", "{\"inner\":".repeat(depth) + "{}", "}".repeat(depth));
    assert!(encode(&codec, &nested(64)).is_ok());
    assert_eq!(encode(&codec, &nested(65)).unwrap_err()[0].keyword, "maxDepth");
    let list = |depth: usize| format!("{{\"list\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(encode(&codec, &list(100)).unwrap_err()[0].keyword, "maxDepth");
    for written in
        (1..70)
            .filter_map(|depth| encode(&codec, &list(depth)).ok())
            .chain([encode(&codec, &nested(64)).unwrap()])
    {
        codec.decode(&[0], &written, 1 << 20, &mut Vec::new()).unwrap();
    }
    // 28 is `inner`: a message within a message, again and again.
    let mut bytes = Vec::new();
    for _ in 0..10_000 {
        let mut outer = vec![0xe2, 0x01];
        crate::schema::protobuf::wire::write_varint(&mut outer, bytes.len() as u64);
        outer.extend_from_slice(&bytes);
        bytes = outer;
    }
    assert!(codec.decode(&[0], &bytes, 1 << 20, &mut Vec::new()).unwrap_err().problem.contains("deeper"));
}

#[test]
fn what_is_read_becomes_no_more_than_it_may() {
    let codec = compiled(ALL);
    // Empty parts, two bytes of key and one of length each, that are told with all their defaults.
    let parts = [0xaa, 0x01, 0x00].repeat(100_000);
    let mut out = Vec::new();
    let error = codec.decode(&[0], &parts, 50_000, &mut out).unwrap_err();
    assert!(error.problem.contains("too much") && out.is_empty() && out.capacity() < 1 << 18);
    assert!(codec.decode(&[0], &parts[..300], 50_000, &mut out).is_ok());
    // Pieces of one message, each with pieces of one message.
    let pieces = [0xe2, 0x01, 0x03, 0xe2, 0x01, 0x00].repeat(50_000);
    let begun = Instant::now();
    out.clear();
    codec.decode(&[0], &pieces, 50_000, &mut out).unwrap();
    assert!(begun.elapsed() < SOON && out.len() < 5_000);
}
