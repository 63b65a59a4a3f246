//! The schema files of a folder, read strictly and within bounds.
//!
//! `{directory}/{type without .vN, dots as /}/v{N}.json` is the schema of a type; any other `.json` file is a shared
//! schema that others refer to by its relative path or its `$id`. Folders named `*.examples` hold examples, names
//! that begin with a dot are passed over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::LoadError;
use super::samples::SAMPLES;
use crate::event::EventType;
use crate::event::json::{Document, Limits};

/// A schema file may have this many bytes.
const SCHEMA_BYTES_MAX: u64 = 256 * 1_024;

/// A folder may hold this many schema files, and nest this deep.
const FILES_MAX: usize = 10_000;
const FOLDERS_DEPTH_MAX: usize = 32;

/// A schema file, parsed.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// Where relative references start.
    pub(super) uri: String,
    /// The type whose data it describes; `None` for a shared schema.
    pub(super) event_type: Option<EventType>,
    pub(super) schema: serde_json::Value,
    pub(super) bytes: Vec<u8>,
}

/// Reads all schema files below `directory`, by path; mistakes are told one by one.
pub(super) fn read(directory: &Path) -> (Vec<File>, Vec<LoadError>) {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    let mut paths = Vec::new();
    walk(directory, 0, &mut paths, &mut errors);
    if paths.len() > FILES_MAX {
        errors.push(error(directory, format!("holds more than {FILES_MAX} schema files")));
        return (files, errors);
    }
    paths.sort();
    for path in paths {
        match read_bytes(&path).and_then(|bytes| parse(directory, &path, bytes)) {
            Ok(file) => files.push(file),
            Err(problem) => errors.push(error(&path, problem)),
        }
    }
    (files, errors)
}

/// The built-in schemas, as if they lay in `directory`.
pub(super) fn samples(directory: &Path) -> (Vec<File>, Vec<LoadError>) {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for (relative, bytes) in SAMPLES {
        let path = directory.join(relative);
        match parse(directory, &path, bytes.to_vec()) {
            Ok(file) => files.push(file),
            Err(problem) => errors.push(error(&path, problem)),
        }
    }
    (files, errors)
}

/// A schema or example file as a strict JSON document.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let size = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > SCHEMA_BYTES_MAX {
        return Err(format!("has {size} bytes; at most {SCHEMA_BYTES_MAX} are allowed"));
    }
    fs::read(path).map_err(|error| format!("cannot be read: {error}"))
}

/// An error about a file or folder.
pub(super) fn error(path: &Path, problem: impl Into<String>) -> LoadError {
    LoadError { path: path.to_owned(), problem: problem.into() }
}

/// The entries of a folder by name, without hidden ones.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn walk(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>, errors: &mut Vec<LoadError>) {
    if depth > FOLDERS_DEPTH_MAX {
        errors.push(error(folder, format!("lies deeper than {FOLDERS_DEPTH_MAX} folders")));
        return;
    }
    let entries = match entries(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            errors.push(error(folder, "there is no such folder"));
            return;
        }
        Err(cause) => {
            errors.push(error(folder, format!("cannot be read: {cause}")));
            return;
        }
    };
    for path in entries {
        let has_extension = |wanted: &str| path.extension().is_some_and(|extension| extension == wanted);
        if path.is_dir() {
            if !has_extension("examples") && paths.len() <= FILES_MAX {
                walk(&path, depth + 1, paths, errors);
            }
        } else if has_extension("json") {
            paths.push(path);
        }
    }
}

pub(super) fn parse(directory: &Path, path: &Path, bytes: Vec<u8>) -> Result<File, String> {
    let document = Document::parse(&bytes, Limits::default()).map_err(|error| error.to_string())?;
    let schema = document.root().to_owned_value();
    let relative = path.strip_prefix(directory).unwrap_or(path);
    let segments: Vec<String> =
        relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let encoded: Vec<String> = segments
        .iter()
        .map(|segment| percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC))
        .map(|segment| segment.to_string().replace("%2E", ".").replace("%2D", "-").replace("%5F", "_"))
        .collect();
    let event_type = event_type_of(&segments)?;
    Ok(File {
        path: path.to_owned(),
        uri: format!("weirgate:/{}", encoded.join("/")),
        event_type,
        schema,
        bytes,
    })
}

/// `orders/placed/v1.json` is the type `orders.placed.v1`; a file not named so is shared.
fn event_type_of(segments: &[String]) -> Result<Option<EventType>, String> {
    let Some((file, folders)) = segments.split_last() else { return Ok(None) };
    let version = file.strip_suffix(".json").unwrap_or(file);
    let is_version = version.strip_prefix('v').is_some_and(|number| {
        !number.starts_with('0') && number.parse::<u32>().is_ok_and(|number| number > 0)
    });
    if !is_version || folders.is_empty() {
        return Ok(None);
    }
    let text = format!("{}.{version}", folders.join("."));
    EventType::parse(&text).map(Some).map_err(|error| error.to_string())
}
