//! How a folder's schemas follow those that it held before, and how one schema file follows another.

mod beside;
mod version;

use std::path::{Path, PathBuf};

use super::LoadError;
use super::coded::kind_of;
use super::compat::{Level, Policy, Report};
use super::folder::{Folder, error, parse, parse_coded, read, read_bytes};
use super::registry::Kind;
use crate::event::EventType;

use self::version::{Versions, compare};

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

/// A schema file that is compared by itself.
#[derive(Debug, Clone, Copy)]
pub struct Single<'p> {
    /// Where it is.
    pub path: &'p Path,
    /// Its language; as its name says where it is not given.
    pub kind: Option<Kind>,
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
    let before = before.into_iter().map(|(relative, bytes)| (directory.join(relative), Ok(bytes)));
    let (earlier, mistakes) = Folder::of(directory, before);
    let told = |mistake: LoadError| error(&mistake.path, format!("as it was before: {}", mistake.problem));
    errors.extend(mistakes.into_iter().map(told));
    if !errors.is_empty() {
        return Err(errors);
    }
    let (old, new) = (Versions::of(directory, &earlier)?, Versions::of(directory, &now)?);
    let mut changes = Vec::new();
    for (event_type, path) in old.event_types() {
        let (path, outcome) = match new.find(event_type)? {
            Some((path, version)) => {
                let (_, before) = old.find(event_type)?.unwrap_or_else(|| (path, version.clone()));
                (path, Outcome::Compared(compare(before, version, policy, level).await))
            }
            None => (path, Outcome::Gone),
        };
        changes.push(Change { event_type: event_type.clone(), path: path.to_owned(), outcome });
    }
    Ok(changes)
}

/// Compares one schema file with another.
///
/// Each may refer to the schemas of the folder; one that lies elsewhere is read as if it lay where the other does. Where neither lies in the folder, Avro and Protobuf files may refer to what lies in
/// their own.
///
/// # Errors
/// Files that hold no schemas; all at once.
pub async fn compare_files(
    directory: &Path,
    old: Single<'_>,
    new: Single<'_>,
    policy: Policy,
    level: Level,
) -> Result<Report, Vec<LoadError>> {
    let (folder, errors) = if directory.is_dir() { read(directory) } else { (Folder::default(), Vec::new()) };
    if !errors.is_empty() {
        return Err(errors);
    }
    let of = |one: Single<'_>, other: &Path| {
        let blame = |problem| vec![error(one.path, problem)];
        let kind = one.kind.or_else(|| kind_of(one.path));
        let kind = kind.ok_or_else(|| {
            blame("is called neither .json nor .avsc nor .proto; --format says what it is".to_owned())
        })?;
        let place = place(directory, one.path).or_else(|| place(directory, other));
        let bytes = read_bytes(one.path).map_err(blame)?;
        if kind == Kind::Json {
            let stands = place.unwrap_or_else(|| directory.join("schema.json"));
            let own = parse(directory, &stands, bytes).map_err(blame)?;
            return version::json(one.path, &folder.files, &own);
        }
        match place {
            Some(stands) => {
                let own = parse_coded(kind, directory, &stands, bytes).map_err(blame)?;
                version::coded(&own, &folder.coded).map_err(blame)
            }
            None => {
                let own = beside::folder_of(one.path);
                let file = parse_coded(kind, own, &own.join(one.path.file_name().unwrap_or_default()), bytes);
                let file = file.map_err(blame)?;
                version::coded(&file, &beside::read(own, &file).map_err(blame)?).map_err(blame)
            }
        }
    };
    Ok(compare(of(old, new.path)?, of(new, old.path)?, policy, level).await)
}

/// The path of a file below the folder, as the folder is named.
fn place(directory: &Path, path: &Path) -> Option<PathBuf> {
    let (root, path) = (directory.canonicalize().ok()?, path.canonicalize().ok()?);
    path.strip_prefix(root).ok().map(|relative| directory.join(relative))
}
