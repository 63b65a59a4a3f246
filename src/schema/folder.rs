//! The schema files of a folder, read strictly and within bounds.
//!
//! `{directory}/{type without .vN, dots as /}/v{N}.json` is the schema of a type, and so are `v{N}.avsc` and `v{N}.proto`;
//! any other file of these kinds is a shared schema that others refer to: JSON Schemas by its relative path or its `$id`, the
//! other languages as [`super::coded`] says. Folders named `*.examples` hold examples, names that begin with a dot are passed over.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::LoadError;
use super::coded::{Coded, kind_of};
use super::registry::Kind;
use super::samples::SAMPLES;
use crate::event::EventType;
use crate::event::json::{Document, Limits};

/// A schema file may have this many bytes.
const SCHEMA_BYTES_MAX: u64 = 256 * 1_024;

/// A folder may hold this many schema files, and nest this deep.
const FILES_MAX: usize = 10_000;
const FOLDERS_DEPTH_MAX: usize = 32;

/// The schema files of a folder, by path.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// JSON Schemas.
    pub(super) files: Vec<File>,
    /// Those of other languages.
    pub(super) coded: Vec<Coded>,
}

/// A JSON Schema file, parsed.
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

impl Folder {
    /// Takes files with their bytes; mistakes are told one by one.
    pub(super) fn of(
        directory: &Path,
        files: impl IntoIterator<Item = (PathBuf, Result<Vec<u8>, String>)>,
    ) -> (Self, Vec<LoadError>) {
        let (mut folder, mut errors) = (Self::default(), Vec::new());
        let mut described = HashMap::new();
        for (path, bytes) in files {
            let taken = bytes.and_then(|bytes| folder.take(directory, &path, bytes, &mut described));
            errors.extend(taken.err().map(|problem| error(&path, problem)));
        }
        (folder, errors)
    }

    /// Takes a file; a type has one schema, in one language.
    fn take(
        &mut self,
        directory: &Path,
        path: &Path,
        bytes: Vec<u8>,
        described: &mut HashMap<EventType, PathBuf>,
    ) -> Result<(), String> {
        let mut describe = |event_type: Option<&EventType>| {
            let Some(event_type) = event_type else { return Ok(()) };
            match described.insert(event_type.clone(), path.to_owned()) {
                Some(other) => Err(format!("{event_type} has another schema, {}", other.display())),
                None => Ok(()),
            }
        };
        match kind_of(path).unwrap_or(Kind::Json) {
            Kind::Json => {
                let file = parse(directory, path, bytes)?;
                describe(file.event_type.as_ref())?;
                self.files.push(file);
            }
            kind @ (Kind::Avro | Kind::Protobuf) => {
                let file = parse_coded(kind, directory, path, bytes)?;
                describe(file.event_type.as_ref())?;
                self.coded.push(file);
            }
        }
        Ok(())
    }
}

/// Reads all schema files below `directory`, by path; mistakes are told one by one.
pub(super) fn read(directory: &Path) -> (Folder, Vec<LoadError>) {
    let (mut paths, mut errors) = (Vec::new(), Vec::new());
    walk(directory, 0, &mut paths, &mut errors);
    if paths.len() > FILES_MAX {
        errors.push(error(directory, format!("holds more than {FILES_MAX} schema files")));
        return (Folder::default(), errors);
    }
    paths.sort();
    let files = paths.into_iter().map(|path| (path.clone(), read_bytes(&path)));
    let (folder, mistakes) = Folder::of(directory, files);
    errors.extend(mistakes);
    (folder, errors)
}

/// The built-in schemas, as if they lay in `directory`.
pub(super) fn samples(directory: &Path) -> (Folder, Vec<LoadError>) {
    let files = SAMPLES.iter().map(|(relative, bytes)| (directory.join(relative), Ok(bytes.to_vec())));
    Folder::of(directory, files)
}

/// The bytes of a schema or example file.
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
        } else if kind_of(&path).is_some() {
            paths.push(path);
        }
    }
}

pub(super) fn parse(directory: &Path, path: &Path, bytes: Vec<u8>) -> Result<File, String> {
    let document = Document::parse(&bytes, Limits::default()).map_err(|error| error.to_string())?;
    let schema = document.root().to_owned_value();
    let segments = segments(directory, path);
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

/// A schema file of a language other than JSON.
pub(super) fn parse_coded(
    kind: Kind,
    directory: &Path,
    path: &Path,
    bytes: Vec<u8>,
) -> Result<Coded, String> {
    let segments = segments(directory, path);
    let event_type = event_type_of(&segments)?;
    let text = String::from_utf8(bytes).map_err(|_| "is no UTF-8")?;
    Ok(Coded { path: path.to_owned(), name: segments.join("/"), kind, event_type, text })
}

fn segments(directory: &Path, path: &Path) -> Vec<String> {
    let relative = path.strip_prefix(directory).unwrap_or(path);
    relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
}

/// `orders/placed/v1.json` is the type `orders.placed.v1`; a file not named so is shared.
fn event_type_of(segments: &[String]) -> Result<Option<EventType>, String> {
    let Some((file, folders)) = segments.split_last() else { return Ok(None) };
    let version = file.rsplit_once('.').map_or(file.as_str(), |(version, _)| version);
    let is_version = version.strip_prefix('v').is_some_and(|number| {
        !number.starts_with('0') && number.parse::<u32>().is_ok_and(|number| number > 0)
    });
    if !is_version || folders.is_empty() {
        return Ok(None);
    }
    let text = format!("{}.{version}", folders.join("."));
    EventType::parse(&text).map(Some).map_err(|error| error.to_string())
}
