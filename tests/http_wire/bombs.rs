//! Registrations that are bombs, that look outside, or that are no schemas: refused soon, while other work goes on.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::request;
use crate::gateway::{Gateway, SHOP, envelope};
use crate::registry::{V1, ask};

/// A second is what is promised of a build that is optimised, on a machine that does nothing else.
const SOON: Duration = Duration::from_secs(30);
/// What anybody else waits meanwhile, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// A text of a language that must not be taken.
type Bomb = (&'static str, &'static str, String);

/// Registers a text, and answers the status and the number of the fault.
fn register(gateway: &Gateway, (what, kind, text): &Bomb) -> (u16, u64) {
    let body = json!({"schemaType": kind, "schema": text}).to_string();
    let began = Instant::now();
    let answer = ask(gateway, "POST", "/subjects/bomb-value/versions", &[SHOP], &body);
    assert!(began.elapsed() < SOON, "{what} took {:?}", began.elapsed());
    let told = answer.json();
    assert!(answer.body.len() < 4_096, "{what} is told of at length: {}", answer.body.len());
    (answer.status, told["error_code"].as_u64().unwrap_or_else(|| panic!("{what} was taken: {told}")))
}

fn json_schemas() -> Vec<Bomb> {
    let chain = |depth: usize| {
        let links = (0..depth).map(|at| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)})));
        json!({"$ref": "#/$defs/d0", "$defs": links.collect::<Value>()})
    };
    let mut doubling: serde_json::Map<String, Value> = (0..40)
        .map(|at| {
            let next = json!({"$ref": format!("#/$defs/d{}", at + 1)});
            (format!("d{at}"), json!({"allOf": [next, next], "properties": {"a": next, "b": next}}))
        })
        .collect();
    doubling.insert("d40".to_owned(), json!({"type": "string"}));
    let doubling = json!({"$ref": "#/$defs/d0", "$defs": doubling});
    let loops = json!({"allOf": [{"$ref": "#/definitions/a"}], "definitions": {"a": {"anyOf": [{"$ref": "#/definitions/a"}]}}});
    let wide: Value = (0..5_000).map(|at| (format!("p{at}"), json!({"type": "string"}))).collect();
    let patterns: Value = (0..500).map(|at| (format!("^p{at}"), json!(true))).collect();
    let texts = [
        ("JSON that nests deep", format!("{}true{}", r#"{"not":"#.repeat(50_000), "}".repeat(50_000))),
        ("JSON of lists that nest deep", "[".repeat(200_000)),
        ("references that double", doubling.to_string()),
        ("a long chain of references", chain(1_000).to_string()),
        ("a loop that never looks into the value", loops.to_string()),
        ("a reference to itself", json!({"$ref": "#"}).to_string()),
        ("too many parts", json!({"properties": wide}).to_string()),
        ("too many patterns", json!({"patternProperties": patterns}).to_string()),
        (
            "a pattern that is huge when compiled",
            json!({"pattern": r"\p{L}{1,2000}\p{L}{1,2000}"}).to_string(),
        ),
        ("a pattern that is long", json!({"pattern": "(a|b)?".repeat(40_000)}).to_string()),
        (
            "a pattern that repeats what repeats",
            json!({"pattern": "(((a{1,200}){1,200}){1,200}){1,200}"}).to_string(),
        ),
        ("no pattern", json!({"pattern": "("}).to_string()),
        ("no JSON", "type: object".to_owned()),
        ("no schema", "[]".to_owned()),
        ("a type that there is not", json!({"type": "strange"}).to_string()),
        ("a member twice", r#"{"type":"string","type":"null"}"#.to_owned()),
        ("more bytes than a schema may have", json!({"title": "a".repeat(300 << 10)}).to_string()),
    ];
    texts.map(|(what, text)| (what, "JSON", text)).into()
}

fn avro_schemas() -> Vec<Bomb> {
    let record = |name: &str, fields: Value| json!({"type": "record", "name": name, "fields": fields});
    let mut doubling = json!("int");
    for level in 0..20 {
        let (inner, default) = match level {
            0 => (json!("int"), json!(1)),
            level => (json!(format!("R{}", level - 1)), json!({})),
        };
        let first = json!({"name": "a", "type": doubling, "default": default});
        let second = json!({"name": "b", "type": inner, "default": default});
        doubling = record(&format!("R{level}"), json!([first, second]));
    }
    let wide: Vec<Value> = (0..12_000).map(|at| json!({"name": format!("f{at}"), "type": "int"})).collect();
    let nested = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(9_000), "}".repeat(9_000));
    let texts = [
        ("arrays that nest deep", nested),
        ("defaults that double", doubling.to_string()),
        ("a record that holds itself", record("R", json!([{"name": "r", "type": "R"}])).to_string()),
        ("too many fields", record("W", json!(wide)).to_string()),
        ("a name that nobody defines", json!("http.example.Type").to_string()),
        ("no Avro", json!({"type": "strange"}).to_string()),
        ("no JSON", "record R {}".to_owned()),
        (
            "more bytes than a schema may have",
            json!({"type": "string", "doc": "a".repeat(300 << 10)}).to_string(),
        ),
    ];
    texts.map(|(what, text)| (what, "AVRO", text)).into()
}

fn protobuf_schemas() -> Vec<Bomb> {
    let nested = |depth: usize| format!("{}{}", "message A {".repeat(depth), "}".repeat(depth));
    let fields: String = (1..=5_001).map(|at| format!("optional int32 f{at}={at};")).collect();
    let texts = [
        ("messages that nest deep", nested(10_000)),
        ("options that nest deep", format!("option (a) = {}{};", "{ b ".repeat(5_000), "}".repeat(5_000))),
        ("too many fields", format!("message A {{ {fields} }}")),
        ("brackets without end", "{".repeat(200_000)),
        ("a string without end", format!("\"{}", "\\".repeat(200_000))),
        ("base64 of nothing", "A".repeat(200_000)),
        ("an import of itself", "import \"default\"; message A { }".to_owned()),
        ("no Protobuf", "{}".to_owned()),
        ("more bytes than a schema may have", format!("message A {{ }} //{}", "a".repeat(300 << 10))),
    ];
    texts.map(|(what, text)| (what, "PROTOBUF", text)).into()
}

/// Texts that refer to what lies outside, this address among it.
fn outside(address: &str) -> Vec<Bomb> {
    let places = [
        format!("http://{address}/schema.json"),
        format!("https://{address}/schema.json"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        "/etc/passwd".to_owned(),
        "../../../../etc/passwd".to_owned(),
    ];
    let of = |place: &String| {
        [
            ("a reference outside", "JSON", json!({"properties": {"a": {"$ref": place}}}).to_string()),
            ("a dialect outside", "JSON", json!({"$schema": place}).to_string()),
            ("a base outside", "JSON", json!({"$id": place, "items": {"$ref": "other.json"}}).to_string()),
            ("an import outside", "PROTOBUF", format!("import \"{place}\"; message A {{ }}")),
            ("a type outside", "AVRO", json!({"type": "array", "items": place}).to_string()),
        ]
    };
    places.iter().flat_map(of).collect()
}

#[test]
fn bombs_and_what_is_no_schema_are_refused_soon_while_others_are_answered() {
    let gateway = Gateway::with(|setup| setup.limits.body_bytes_max = 1 << 20);
    let bombs: Vec<Bomb> = [json_schemas(), avro_schemas(), protobuf_schemas()].concat();
    let left = AtomicUsize::new(bombs.len());
    std::thread::scope(|scope| {
        for half in bombs.chunks(bombs.len().div_ceil(2)) {
            let (gateway, left) = (&gateway, &left);
            scope.spawn(move || {
                for bomb in half {
                    let refused = register(gateway, bomb);
                    left.fetch_sub(1, Ordering::SeqCst);
                    let is_large = bomb.2.len() > 256 << 10;
                    let expected = if is_large { 42_209 } else { 42_201 };
                    assert_eq!(refused, (422, expected), "{} {}", bomb.1, bomb.0);
                }
            });
        }
        let mut answered = 0;
        while left.load(Ordering::SeqCst) > 0 && answered < 10_000 {
            let began = Instant::now();
            assert_eq!(gateway.post("?dryRun=true", &[], &envelope("")).status, 200);
            assert_eq!(gateway.send("GET", "/livez", &[], "").status, 200);
            assert!(began.elapsed() < PATIENCE, "others wait {:?}", began.elapsed());
            answered += 1;
        }
    });
    assert_eq!(ask(&gateway, "GET", "/subjects", &[SHOP], "").json(), json!([]));
}

#[test]
fn what_lies_outside_is_never_asked_for() {
    let gateway = Gateway::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    for bomb in outside(&listener.local_addr().unwrap().to_string()) {
        assert_eq!(register(&gateway, &bomb), (422, 42_201), "{}", bomb.2);
    }
    let asked = listener.accept();
    assert!(asked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "somebody asked");
    assert_eq!(ask(&gateway, "GET", "/subjects", &[SHOP], "").json(), json!([]));
}

#[test]
fn ten_megabytes_are_refused_before_they_are_sent() {
    let gateway = Gateway::start();
    let headers = [SHOP, ("content-type", V1), ("content-length", "10485760")];
    let announced = request("POST", "/registry/subjects/a/versions", &headers, b"");
    let answer = gateway.client().write(announced).answer();
    assert_eq!((answer.status, &answer.json()["error_code"]), (422, &json!(42_209)), "{}", answer.text());
}
