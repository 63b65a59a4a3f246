//! What lies beside a schema file that is in no folder of schemas: other files of its own folder, and of folders below that.
//! Nothing above, nothing elsewhere, and no more than is named.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use crate::schema::coded::{Coded, kind_of};
use crate::schema::folder::{entries, parse_coded, read_bytes};
use crate::schema::protobuf;
use crate::schema::registry::Kind;

/// So many files are read.
const FILES_MAX: usize = 100;

/// The folder that a file lies in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// What a file may refer to.
pub(super) fn read(folder: &Path, file: &Coded) -> Result<Vec<Coded>, String> {
    match file.kind {
        Kind::Avro => types(folder, file),
        Kind::Protobuf => imports(folder, file),
        Kind::Json => Ok(Vec::new()),
    }
}

/// The Avro files beside it, which may define the types that it names.
fn types(folder: &Path, file: &Coded) -> Result<Vec<Coded>, String> {
    if crate::schema::avro::outline(&file.text)?.wants.is_empty() {
        return Ok(Vec::new());
    }
    let paths = entries(folder).map_err(|error| format!("what lies beside it cannot be read: {error}"))?;
    let others = paths.into_iter().filter(|path| kind_of(path) == Some(Kind::Avro) && *path != file.path);
    others.take(FILES_MAX).map(|path| parse_coded(Kind::Avro, folder, &path, read_bytes(&path)?)).collect()
}

/// The files that it imports, and those that they import.
fn imports(folder: &Path, file: &Coded) -> Result<Vec<Coded>, String> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut rest = protobuf::imports(&file.text)?;
    while let Some(name) = rest.pop() {
        let is_within = Path::new(&name).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_within || !seen.insert(name.clone()) {
            continue;
        }
        let path = folder.join(&name);
        if !is_below(folder, &path) {
            continue;
        }
        if found.len() >= FILES_MAX {
            return Err(format!("refers to more than {FILES_MAX} files"));
        }
        let bytes = read_bytes(&path).map_err(|problem| format!("{name} {problem}"))?;
        let other = parse_coded(Kind::Protobuf, folder, &path, bytes)?;
        rest.extend(protobuf::imports(&other.text).map_err(|problem| format!("in {name}: {problem}"))?);
        found.push(other);
    }
    Ok(found)
}

/// Whether a file is there and below the folder, whatever links lead to it.
fn is_below(folder: &Path, path: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(folder).zip(real(path)).is_some_and(|(folder, path)| path.starts_with(folder))
}
