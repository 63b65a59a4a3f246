//! Whether a text is a schema that can be taken: parsed strictly, judged against the budgets, and compiled with what it
//! refers to. Nothing is ever fetched. Blocks for as long as that takes.

use serde_json::Value;

use crate::event::json::{self, Document, Limits};
use crate::schema::avro::{self, Avro};
use crate::schema::budget::{References, check_size, join};
use crate::schema::bundle;
use crate::schema::codec::Rule;
use crate::schema::compiled::SCHEMA_URI;
use crate::schema::folder::File;
use crate::schema::protobuf::Protobuf;
use crate::schema::{Dialect, Schema, compat};

use super::content::{Content, Kind, Reference};
use super::error::Error;
use super::reading::{self, Deleted, Which};
use super::rows::Rows;

/// A schema's text may have this many bytes.
pub(super) const TEXT_BYTES_MAX: usize = 256 << 10;
/// A schema may refer to this many others, theirs included.
const REFERENCES_MAX: usize = 100;
/// A name in a reference may have this many bytes.
const NAME_BYTES_MAX: usize = 512;
/// So much is told of why a schema is refused.
const REASON_CHARACTERS_MAX: usize = 600;

/// A schema that others refer to, by the name under which they know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    name: String,
    text: String,
}

impl Named {
    /// The name, and the text.
    pub(super) fn as_pair(&self) -> (&str, &str) {
        (&self.name, &self.text)
    }
}

/// A schema that can be taken.
#[derive(Debug)]
pub(super) struct Admitted {
    /// The text in a form that leaves out white space and the order of members.
    pub(super) canonical: String,
    /// What is kept in the text's place, where that is for machines only.
    pub(super) readable: Option<String>,
    pub(super) rule: Rule,
}

/// A schema with all that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) named: Vec<Named>,
}

impl Whole {
    /// Judges it.
    pub(super) fn admit(&self) -> Result<Admitted, Error> {
        admit(self.kind, &self.text, &self.named)
    }
}

/// All that a schema of the registry's own refers to, itself or through others, each name once.
pub(super) fn resolve(
    rows: &dyn Rows,
    references: &[Reference],
    deleted: Deleted,
) -> Result<Vec<Named>, Error> {
    resolve_by(references, |reference| {
        let content = content_of(rows, reference, deleted)?;
        Ok((content.text, content.references))
    })
}

/// All that a schema refers to, itself or through others, each name once; `find` has the text of each, and what that refers
/// to in turn.
pub(super) fn resolve_by<E: From<Error>>(
    references: &[Reference],
    mut find: impl FnMut(&Reference) -> Result<(String, Vec<Reference>), E>,
) -> Result<Vec<Named>, E> {
    let mut found: Vec<Named> = Vec::new();
    let mut rest: Vec<Reference> = references.to_vec();
    while let Some(reference) = rest.pop() {
        if reference.name.is_empty() || reference.name.len() > NAME_BYTES_MAX {
            let problem = format!("the name of a reference must have 1 to {NAME_BYTES_MAX} bytes");
            return Err(Error::InvalidSchema(problem).into());
        }
        if found.iter().any(|named| named.name == reference.name) {
            continue;
        }
        if found.len() >= REFERENCES_MAX {
            let problem = format!("refers to more than {REFERENCES_MAX} schemas");
            return Err(Error::InvalidSchema(problem).into());
        }
        let (text, references) = find(&reference)?;
        found.push(Named { name: reference.name, text });
        rest.extend(references);
    }
    Ok(found)
}

fn content_of(rows: &dyn Rows, reference: &Reference, deleted: Deleted) -> Result<Content, Error> {
    reading::version(rows, &reference.subject, Which::Number(reference.version), deleted)
        .map(|version| version.content)
        .map_err(|_| Error::ReferenceNotFound(reference.clone()))
}

/// Judges a text.
pub(super) fn admit(kind: Kind, text: &str, references: &[Named]) -> Result<Admitted, Error> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::TooLarge { bytes: text.len(), bytes_max: TEXT_BYTES_MAX });
    }
    let admitted = match kind {
        Kind::Avro => admit_avro(text, references),
        Kind::Json => admit_json(text, references),
        Kind::Protobuf => admit_protobuf(text, references),
    };
    admitted.map_err(|problem| {
        let problem: String = problem.chars().take(REASON_CHARACTERS_MAX).collect();
        Error::InvalidSchema(format!("the schema cannot be taken: {problem}"))
    })
}

/// A schema of data that has no members but those it names, where it lets that be said; else the schema itself.
pub(super) fn admit_closed(whole: &Whole) -> Result<Rule, Error> {
    let as_it_is = || whole.admit().map(|admitted| admitted.rule);
    // Other languages name all members there may be.
    if whole.kind != Kind::Json {
        return as_it_is();
    }
    let Ok(closed) = comparable(&whole.text, &whole.named).and_then(|version| version.closed()) else {
        return as_it_is();
    };
    // One document, which was within the budgets before it was closed.
    let closed = Schema::compile_at(SCHEMA_URI, &closed, Dialect::Draft202012, &[], true);
    closed.map(Rule::Json).or_else(|_| as_it_is())
}

/// A schema as it is compared with others.
pub(super) fn comparable(text: &str, references: &[Named]) -> Result<compat::Version, String> {
    let Parsed { schema, shared } = parse_all(text, references)?;
    compat::Version::new(&schema, Dialect::Draft7, &shared)
}

/// A schema and what it refers to, by URI.
struct Parsed {
    schema: Value,
    shared: Vec<(String, Value)>,
}

fn admit_json(text: &str, references: &[Named]) -> Result<Admitted, String> {
    let Parsed { schema, shared } = parse_all(text, references)?;
    let canonical = schema.to_string();
    check_size(&schema)?;
    let is_recursive = References::new(&files(&schema, &shared)).check(0)?;
    let schema = Schema::compile_at(SCHEMA_URI, &schema, Dialect::Draft7, &shared, is_recursive)?;
    Ok(Admitted { canonical, readable: None, rule: Rule::Json(schema) })
}

fn admit_protobuf(text: &str, references: &[Named]) -> Result<Admitted, String> {
    let codec = protobuf(text, references)?;
    let readable = codec.readable(text, references.iter().map(Named::as_pair));
    let readable = readable.filter(|readable| readable.len() <= TEXT_BYTES_MAX);
    let canonical = codec.serialized().to_owned();
    Ok(Admitted { canonical, readable, rule: Rule::Coded(Box::new(codec)) })
}

pub(super) fn protobuf(text: &str, references: &[Named]) -> Result<Protobuf, String> {
    Protobuf::compile(text, references.iter().map(Named::as_pair))
}

fn admit_avro(text: &str, references: &[Named]) -> Result<Admitted, String> {
    let codec = avro(text, references)?;
    let canonical = avro::canonical(text)?;
    Ok(Admitted { canonical, readable: None, rule: Rule::Coded(Box::new(codec)) })
}

pub(super) fn avro(text: &str, references: &[Named]) -> Result<Avro, String> {
    let references: Vec<&str> = references.iter().map(|named| named.as_pair().1).collect();
    Avro::parse(text, &references)
}

fn parse_all(text: &str, references: &[Named]) -> Result<Parsed, String> {
    let schema = parse(text)?;
    let base = schema.get("$id").and_then(Value::as_str).unwrap_or(SCHEMA_URI);
    let mut shared: Vec<(String, Value)> = Vec::new();
    for named in references {
        let value = parse(&named.text).map_err(|problem| format!("{}: {problem}", named.name))?;
        for uri in [join(SCHEMA_URI, &named.name), join(base, &named.name)] {
            if shared.iter().all(|(have, _)| *have != uri) {
                shared.push((uri, value.clone()));
            }
        }
    }
    Ok(Parsed { schema, shared })
}

fn parse(text: &str) -> Result<Value, String> {
    let document = Document::parse(text.as_bytes(), Limits::default()).map_err(|error| match error {
        json::Error::Malformed { .. } => format!("cannot be read as JSON: {error}"),
        json::Error::DuplicateMember { .. } | json::Error::TooDeep { .. } => error.to_string(),
    })?;
    Ok(document.root().to_owned_value())
}

/// What data must be as JSON: one JSON Schema with all that it refers to, to be read alone, and what it is written in.
pub(super) fn contract(kind: Kind, text: &str, references: &[Named]) -> Option<(Value, Dialect)> {
    let ours = |schema| (schema, Dialect::Draft202012);
    match kind {
        Kind::Avro => avro(text, references).ok().map(|codec| ours(codec.json_schema())),
        Kind::Json => bundle(text, references),
        Kind::Protobuf => protobuf(text, references).ok().map(|codec| ours(codec.json_schema())),
    }
}

fn bundle(text: &str, references: &[Named]) -> Option<(Value, Dialect)> {
    let Parsed { schema, shared } = parse_all(text, references).ok()?;
    let dialect = Dialect::of(&schema, Dialect::Draft7).ok()?;
    let files = files(&schema, &shared);
    Some((bundle::bundle(&files, &References::new(&files), 0)?, dialect))
}

/// A schema, and those that it refers to, as if they lay in a folder.
fn files(schema: &Value, shared: &[(String, Value)]) -> Vec<File> {
    let own = (SCHEMA_URI.to_owned(), schema.clone());
    let file = |(uri, schema): &(String, Value)| File {
        path: uri.into(),
        uri: uri.clone(),
        event_type: None,
        schema: schema.clone(),
        bytes: Vec::new(),
    };
    std::iter::once(&own).chain(shared).map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::{Kind, Named, TEXT_BYTES_MAX, admit};
    use crate::event::json::{Document, Limits};
    use crate::schema::Verdict;
    use crate::schema::registry::error::Error;

    fn named(name: &str, text: &str) -> Named {
        Named { name: name.to_owned(), text: text.to_owned() }
    }

    fn refusal(text: &str, references: &[Named]) -> String {
        admit(Kind::Json, text, references).unwrap_err().to_string()
    }

    #[test]
    fn texts_that_differ_in_white_space_and_order_only_have_one_form() {
        let form = |text| admit(Kind::Json, text, &[]).unwrap().canonical;
        assert_eq!(
            form(r#"{"type":"object","title":"a"}"#),
            form("{ \"title\": \"a\",\n \"type\": \"object\" }")
        );
        assert_ne!(form(r#"{"enum":[1,2]}"#), form(r#"{"enum":[2,1]}"#));
    }

    #[test]
    fn languages_are_told_apart_and_keep_what_is_not_white_space() {
        let form = |text| admit(Kind::Avro, text, &[]).unwrap().canonical;
        let (plain, noted) = (r#"{"type":"string"}"#, r#"{"type": "string", "doc": "a"}"#);
        assert_eq!(form(plain), form("{ \"type\" :\n\"string\" }"));
        assert_ne!(form(plain), form(noted));
        let rule = admit(Kind::Avro, plain, &[]).unwrap().rule;
        let document = Document::parse(b"\"x\"", Limits::default()).unwrap();
        let (verdict, encoded) = rule.judge(document.root());
        assert_eq!((verdict, &*encoded.unwrap().bytes), (Verdict::Valid, &b"\x02x"[..]));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for text in [
            "",
            "{",
            "[]",
            "7",
            r#"{"type":"record"}"#,
            r#"{"type":"object","type":"array"}"#,
            r#"{"pattern":"("}"#,
        ] {
            assert!(matches!(admit(Kind::Json, text, &[]), Err(Error::InvalidSchema(_))), "{text}");
        }
        assert!(
            refusal(r#"{"$schema":"http://json-schema.org/draft-03/schema#"}"#, &[])
                .contains("must name draft 7")
        );
        assert!(matches!(admit(Kind::Avro, "\"text\"", &[]), Err(Error::InvalidSchema(_))));
        assert!(matches!(admit(Kind::Protobuf, "{}", &[]), Err(Error::InvalidSchema(_))));
        let large = format!("{{\"title\":\"{}\"}}", "a".repeat(TEXT_BYTES_MAX));
        assert!(matches!(admit(Kind::Json, &large, &[]), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn a_descriptor_is_kept_as_the_text_that_says_the_same() {
        let text = "syntax = \"proto3\";\npackage a;\n\nmessage A {\n  B b = 1;\n}\n\nmessage B {\n}\n";
        let written = admit(Kind::Protobuf, text, &[]).unwrap();
        assert_eq!(written.readable, None);
        let sent = admit(Kind::Protobuf, &written.canonical, &[]).unwrap();
        assert_eq!((sent.readable.as_deref(), sent.canonical), (Some(text), written.canonical));
    }

    #[test]
    fn nothing_outside_is_reached() {
        for uri in [
            "http://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "https://example.com/x.json",
            "customer.json",
        ] {
            let text = format!(r#"{{"properties":{{"a":{{"$ref":"{uri}"}}}}}}"#);
            assert!(matches!(admit(Kind::Json, &text, &[]), Err(Error::InvalidSchema(_))), "{uri}");
        }
    }

    #[test]
    fn references_are_known_by_their_names() {
        let customer = r#"{"type":"object","required":["id"]}"#;
        for (name, uri, id) in [
            ("customer.json", "customer.json", ""),
            ("https://shop.example/customer.json", "https://shop.example/customer.json", ""),
            ("customer.json", "customer.json", r#""$id":"https://shop.example/order.json","#),
            (
                "customer.json",
                "https://shop.example/customer.json",
                r#""$id":"https://shop.example/order.json","#,
            ),
        ] {
            let text = format!(r#"{{{id}"properties":{{"customer":{{"$ref":"{uri}"}}}}}}"#);
            let admitted = admit(Kind::Json, &text, &[named(name, customer)]).unwrap();
            for (data, is_valid) in [(r#"{"customer":{"id":1}}"#, true), (r#"{"customer":{}}"#, false)] {
                let document = Document::parse(data.as_bytes(), Limits::default()).unwrap();
                let verdict = admitted.rule.judge(document.root()).0;
                assert_eq!(verdict == Verdict::Valid, is_valid, "{name} as {uri}: {data}");
            }
        }
    }

    #[test]
    fn bombs_are_refused_at_once() {
        let began = std::time::SystemTime::now();
        let nested = format!("{}true{}", r#"{"not":"#.repeat(2_000), "}".repeat(2_000));
        let doubling: String = (0..40)
            .map(|at| format!(r##""d{at}":{{"allOf":[{{"$ref":"#/definitions/d{next}"}},{{"$ref":"#/definitions/d{next}"}}]}},"##, next = at + 1))
            .collect();
        let doubling = format!(r##"{{"$ref":"#/definitions/d0","definitions":{{{doubling}"d40":true}}}}"##);
        let endless = r##"{"definitions":{"a":{"allOf":[{"$ref":"#/definitions/a"}]}},"allOf":[{"$ref":"#/definitions/a"}]}"##;
        let wide = format!(r#"{{"anyOf":[{}true]}}"#, "true,".repeat(3_000));
        let pattern = r#"{"pattern":"\\p{L}{1,2000}\\p{L}{1,2000}"}"#;
        let (named, text) = (named("d.json", &doubling), r#"{"$ref":"d.json"}"#.to_owned());
        for (what, text) in [
            ("nested", nested),
            ("doubling", doubling),
            ("endless", endless.to_owned()),
            ("wide", wide),
            ("pattern", pattern.to_owned()),
            ("referred", text),
        ] {
            let refused = admit(Kind::Json, &text, std::slice::from_ref(&named));
            assert!(matches!(refused, Err(Error::InvalidSchema(_))), "{what}");
        }
        assert!(
            began.elapsed().unwrap() < std::time::Duration::from_secs(10),
            "in a build that is not optimised"
        );
    }
}
