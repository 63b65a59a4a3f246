//! How a folder's schemas follow those that it held before, and how one schema file follows another.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonschema::Registry;

use super::LoadError;
use super::compat::{Comparer, Level, Policy, Report, Version};
use super::compiled::{Dialect, registry};
use super::folder::{File, error, parse, read, read_bytes};
use crate::event::EventType;

/// What became of the schema of a type that the folder described before.
#[derive(Debug)]
pub struct Change {
    /// The type.
    pub event_type: EventType,
    /// Where its schema stands, or stood.
    pub path: PathBuf,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a schema.
#[derive(Debug)]
pub enum Outcome {
    /// It is still there, and was compared.
    Compared(Report),
    /// There is none any more.
    Gone,
}

/// Compares the schemas of a folder with what its files held before: paths below the folder, with their bytes. Types
/// that are new are no change.
///
/// # Errors
/// Files, now or before, that hold no schemas; all at once.
pub async fn compare_folder(
    directory: &Path,
    before: Vec<(PathBuf, Vec<u8>)>,
    policy: Policy,
    level: Level,
) -> Result<Vec<Change>, Vec<LoadError>> {
    let (now, mut errors) = read(directory);
    let mut earlier = Vec::new();
    for (relative, bytes) in before {
        let path = directory.join(relative);
        match parse(directory, &path, bytes) {
            Ok(file) => earlier.push(file),
            Err(problem) => errors.push(error(&path, format!("as it was before: {problem}"))),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let (old, new) = (Schemas::of(directory, &earlier)?, Schemas::of(directory, &now)?);
    let mut changes = Vec::new();
    for file in &earlier {
        let Some(event_type) = &file.event_type else { continue };
        let outcome = match now.iter().find(|new| new.uri == file.uri) {
            Some(successor) => {
                let (old, new) = (old.version(file)?, new.version(successor)?);
                Outcome::Compared(compare(old, new, policy, level).await)
            }
            None => Outcome::Gone,
        };
        changes.push(Change { event_type: event_type.clone(), path: file.path.clone(), outcome });
    }
    Ok(changes)
}

/// Compares one schema file with another. Each may refer to the schemas of the folder; one that lies elsewhere is
/// read as if it lay where the other does.
///
/// # Errors
/// Files that hold no schemas; all at once.
pub async fn compare_files(
    directory: &Path,
    old: &Path,
    new: &Path,
    policy: Policy,
    level: Level,
) -> Result<Report, Vec<LoadError>> {
    let (files, errors) = if directory.is_dir() { read(directory) } else { (Vec::new(), Vec::new()) };
    if !errors.is_empty() {
        return Err(errors);
    }
    let of = |path: &Path, other: &Path| -> Result<Version, Vec<LoadError>> {
        let here = |path: &Path| place(directory, path);
        let stands = here(path).or_else(|| here(other)).unwrap_or_else(|| directory.join("schema.json"));
        let read = read_bytes(path).and_then(|bytes| parse(directory, &stands, bytes));
        let own = read.map_err(|problem| vec![error(path, problem)])?;
        let schemas = files.iter().filter(|file| file.uri != own.uri).chain([&own]);
        Schemas::of(path, schemas)?.version(&own)
    };
    Ok(compare(of(old, new)?, of(new, old)?, policy, level).await)
}

/// The path of a file below the folder, as the folder is named.
fn place(directory: &Path, path: &Path) -> Option<PathBuf> {
    let (root, path) = (directory.canonicalize().ok()?, path.canonicalize().ok()?);
    path.strip_prefix(root).ok().map(|relative| directory.join(relative))
}

async fn compare(old: Version, new: Version, policy: Policy, level: Level) -> Report {
    Comparer::new().compare(Arc::from([old]), Arc::new(new), policy, level).await
}

/// The schemas of a folder that may refer to each other.
struct Schemas {
    registry: Registry<'static>,
}

impl Schemas {
    fn of<'f>(blamed: &Path, files: impl IntoIterator<Item = &'f File>) -> Result<Self, Vec<LoadError>> {
        let schemas = files.into_iter().map(|file| (file.uri.as_str(), &file.schema));
        let registry =
            registry(schemas, Dialect::Draft202012).map_err(|problem| vec![error(blamed, problem)])?;
        Ok(Self { registry })
    }

    fn version(&self, file: &File) -> Result<Version, Vec<LoadError>> {
        Dialect::of(&file.schema, Dialect::Draft202012)
            .and_then(|dialect| Version::within(&self.registry, &file.uri, dialect))
            .map_err(|problem| vec![error(&file.path, problem)])
    }
}
