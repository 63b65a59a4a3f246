//! What is parsed and refused, written and read; each of the greater properties has a file.

mod bombs;
mod comparing;
mod contract;
mod examples;
mod parsing;
mod random;
mod unions;
mod writing;

use serde_json::Value;

use super::Avro;
use crate::event::json::{Document, Limits};
use crate::schema::Violation;
use crate::schema::codec::Codec as _;

fn avro(schema: &Value) -> Avro {
    Avro::parse(&schema.to_string(), &[]).unwrap_or_else(|problem| panic!("{schema}: {problem}"))
}

/// The bytes of data.
fn written(avro: &Avro, data: &str) -> Result<Vec<u8>, Vec<Violation>> {
    let document = Document::parse(data.as_bytes(), Limits { depth_max: 120 }).unwrap();
    let mut out = b"before".to_vec();
    let encoded = avro.encode(document.root(), &mut out);
    let bytes = out.strip_prefix(b"before").unwrap().to_vec();
    assert!(encoded.is_ok() || bytes.is_empty(), "{data}");
    encoded.map(|()| bytes)
}

/// The data of bytes, which must be JSON in one line.
fn read(avro: &Avro, bytes: &[u8], bytes_max: usize) -> Option<String> {
    let mut out = b"before".to_vec();
    let decoded = avro.decode(&[], bytes, bytes_max, &mut out);
    let text = String::from_utf8(out.strip_prefix(b"before").unwrap().to_vec()).unwrap();
    match decoded {
        Ok(()) => {
            assert!(text.len() <= bytes_max && !text.contains('\n'), "{text}");
            Document::parse(text.as_bytes(), Limits { depth_max: 120 }).unwrap();
            Some(text)
        }
        Err(_) => {
            assert!(text.is_empty());
            None
        }
    }
}

/// What data is when it was written and read.
fn back(avro: &Avro, data: &str) -> String {
    let bytes = written(avro, data).unwrap_or_else(|violations| panic!("{data}: {violations:?}"));
    let text = read(avro, &bytes, 1 << 20).unwrap();
    assert_eq!(written(avro, &text).as_ref(), Ok(&bytes), "{data} as {text}");
    text
}

/// Where and why data is refused.
fn refused(avro: &Avro, data: &str) -> Vec<(String, String)> {
    let violations = written(avro, data).unwrap_err();
    violations.into_iter().map(|violation| (violation.pointer, violation.keyword)).collect()
}
