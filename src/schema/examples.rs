//! Judging a folder's schemas by its examples: `v{N}.examples/valid/*.json` must pass, `…/invalid/*.json` must not.

use std::path::{Path, PathBuf};

use super::folder::{entries, error, read_bytes};
use super::{Config, Error, LoadError, Schemas};
use crate::event::json::{Document, Limits};
use crate::event::{EventType, Format};

/// A larger example is not shown in documents.
const SHOWN_BYTES_MAX: usize = 16 * 1_024;

/// What was judged.
#[derive(Debug, Default)]
pub struct Report {
    /// How many types have a schema.
    pub schemas: usize,
    /// How many examples were judged.
    pub examples: usize,
    /// Schemas that are not taken, examples judged otherwise than their folder says; by path.
    pub findings: Vec<LoadError>,
}

/// What an example's folder says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Valid,
    Invalid,
}

/// Judges the schemas of a folder, and their examples when all schemas are good. Blocks.
#[must_use]
pub fn judge(config: &Config) -> Report {
    let schemas = match Schemas::load(config) {
        Ok(schemas) => schemas,
        Err(findings) => return Report { findings, ..Report::default() },
    };
    let event_types = schemas.event_types();
    let mut report = Report { schemas: event_types.len(), ..Report::default() };
    for event_type in &event_types {
        let Some(folder) = folder_of(&config.directory, event_type) else { continue };
        judge_folder(&schemas, event_type, &folder, &mut report);
    }
    report.findings.sort_by(|left, right| left.path.cmp(&right.path));
    report
}

/// The first valid example of a type by name, where that is not too large to be shown. Blocks.
pub(super) fn first_valid(directory: &Path, event_type: &EventType) -> Option<serde_json::Value> {
    let folder = folder_of(directory, event_type)?.join("valid");
    let bytes = read_bytes(entries(&folder).ok()?.first()?).ok()?;
    if bytes.len() <= SHOWN_BYTES_MAX { serde_json::from_slice(&bytes).ok() } else { None }
}

fn folder_of(directory: &Path, event_type: &EventType) -> Option<PathBuf> {
    let (stem, version) = event_type.split_version()?;
    let mut folder = directory.to_owned();
    folder.extend(stem.split('.'));
    folder.push(format!("v{version}.examples"));
    Some(folder)
}

fn judge_folder(schemas: &Schemas, event_type: &EventType, folder: &Path, report: &mut Report) {
    for (name, expected) in [("valid", Expected::Valid), ("invalid", Expected::Invalid)] {
        let examples = match entries(&folder.join(name)) {
            Ok(examples) => examples,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
            Err(cause) => {
                report.findings.push(error(&folder.join(name), format!("cannot be read: {cause}")));
                continue;
            }
        };
        for path in examples {
            report.examples += 1;
            if let Err(problem) = judge_example(schemas, event_type, &path, expected) {
                report.findings.push(error(&path, problem));
            }
        }
    }
}

fn judge_example(
    schemas: &Schemas,
    event_type: &EventType,
    path: &Path,
    expected: Expected,
) -> Result<(), String> {
    let bytes = read_bytes(path)?;
    let document = Document::parse(&bytes, Limits::default()).map_err(|error| error.to_string())?;
    match (schemas.check(event_type, Format::Json, document.root()), expected) {
        (Ok(_), Expected::Valid) | (Err(Error::Violation { .. }), Expected::Invalid) => Ok(()),
        (Ok(_), Expected::Invalid) => Err(format!("satisfies the schema of {event_type}, but should not")),
        (Err(Error::Violation { errors, .. }), Expected::Valid) => {
            let told = errors.iter().map(|violation| format!("{} {}", violation.pointer, violation.message));
            Err(format!("breaks the schema of {event_type}: {}", told.collect::<Vec<_>>().join("; ")))
        }
        (
            Err(
                error @ (Error::PatternLimit { .. }
                | Error::Unusable { .. }
                | Error::OtherFormat { .. }
                | Error::Nameless { .. }
                | Error::NotReady
                | Error::Unavailable { .. }
                | Error::Missing { .. }),
            ),
            _,
        ) => Err(error.to_string()),
    }
}
