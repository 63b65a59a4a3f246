//! Conformance suites of others, read from `../shared/suites`; where that folder is absent the tests are ignored.
//!
//! Each module holds one list of known differences with their reasons; everything not in it must pass.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite that cannot be read must fail")]

/// Apache Avro: schemas, canonical forms, compatibility and data.
mod avro;
/// CloudEvents 1.0: events taken and refused, in structured and binary mode.
mod cloud_events;
/// JSONTestSuite: texts that a parser must take, refuse, or may do either with.
mod json;
/// JSON Schema drafts 2020-12 and 7, through the borrowed document.
mod json_schema;
/// Kafka's murmur2: keys, hashes and partitions of the Java client.
mod murmur2;

use std::path::{Path, PathBuf};

/// A file or folder of the suites.
fn suite(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/suites").join(path)
}

/// The files below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// The JSON values of a file that holds one on each line.
fn json_lines(path: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(suite(path)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
