//! Schemas of one place and time, ready to be compared with those of another, each by the rules of its language.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jsonschema::Registry;

use crate::event::EventType;
use crate::schema::LoadError;
use crate::schema::avro::{self, Avro};
use crate::schema::coded::{Coded, link};
use crate::schema::compat::{
    self, Break, ChangeLevel, Comparer, Difference, Direction, Level, Policy, Report, TimeBox,
};
use crate::schema::compiled::{Dialect, registry};
use crate::schema::folder::{File, Folder, error};
use crate::schema::protobuf;
use crate::schema::registry::Kind;

/// What comparing two schemas of a language other than JSON may take.
const TIME_MAX: Duration = Duration::from_secs(2);

/// A schema, ready to be compared.
#[derive(Debug, Clone)]
pub(super) enum Version {
    Avro(Arc<Avro>),
    Json(Box<compat::Version>),
    Protobuf(Box<protobuf::compat::Version>),
}

/// The schemas of a folder that may refer to each other.
pub(super) struct Versions<'f> {
    folder: &'f Folder,
    registry: Registry<'static>,
}

impl<'f> Versions<'f> {
    pub(super) fn of(blamed: &Path, folder: &'f Folder) -> Result<Self, Vec<LoadError>> {
        Ok(Self { folder, registry: linked(blamed, &folder.files)? })
    }

    /// The event types that have a schema, with the schema's file.
    pub(super) fn event_types(&self) -> impl Iterator<Item = (&'f EventType, &'f Path)> {
        let json = self.folder.files.iter().map(|file| (file.event_type.as_ref(), &*file.path));
        let coded = self.folder.coded.iter().map(|file| (file.event_type.as_ref(), &*file.path));
        json.chain(coded).filter_map(|(event_type, path)| Some((event_type?, path)))
    }

    /// The schema of a type, with its file.
    pub(super) fn find(&self, event_type: &EventType) -> Result<Option<(&'f Path, Version)>, Vec<LoadError>> {
        let Folder { files, coded } = self.folder;
        if let Some(file) = files.iter().find(|file| file.event_type.as_ref() == Some(event_type)) {
            return version(&self.registry, file).map(|version| Some((&*file.path, version)));
        }
        let Some(file) = coded.iter().find(|file| file.event_type.as_ref() == Some(event_type)) else {
            return Ok(None);
        };
        let version = self::coded(file, coded).map_err(|problem| vec![error(&file.path, problem)])?;
        Ok(Some((&file.path, version)))
    }
}

/// A JSON Schema among those that it may refer to, in whose place it stands.
pub(super) fn json(blamed: &Path, files: &[File], own: &File) -> Result<Version, Vec<LoadError>> {
    let schemas = files.iter().filter(|file| file.uri != own.uri).chain([own]);
    version(&linked(blamed, schemas)?, own)
}

/// A schema of another language among those that it may refer to.
pub(super) fn coded(file: &Coded, files: &[Coded]) -> Result<Version, String> {
    let linked = link(file, files)?;
    match file.kind {
        Kind::Avro => linked.avro().map(|avro| Version::Avro(Arc::new(avro))),
        Kind::Protobuf => linked.version().map(|version| Version::Protobuf(Box::new(version))),
        Kind::Json => Err("is JSON".to_owned()),
    }
}

fn linked<'f>(
    blamed: &Path,
    files: impl IntoIterator<Item = &'f File>,
) -> Result<Registry<'static>, Vec<LoadError>> {
    let schemas = files.into_iter().map(|file| (file.uri.as_str(), &file.schema));
    registry(schemas, Dialect::Draft202012).map_err(|problem| vec![error(blamed, problem)])
}

fn version(registry: &Registry<'_>, file: &File) -> Result<Version, Vec<LoadError>> {
    Dialect::of(&file.schema, Dialect::Draft202012)
        .and_then(|dialect| compat::Version::within(registry, &file.uri, dialect))
        .map(|version| Version::Json(Box::new(version)))
        .map_err(|problem| vec![error(&file.path, problem)])
}

/// Compares a schema with the one before.
pub(super) async fn compare(old: Version, new: Version, policy: Policy, level: Level) -> Report {
    let time = TimeBox::new(TIME_MAX);
    match (old, new) {
        (Version::Json(old), Version::Json(new)) => {
            Comparer::new().compare(Arc::from([*old]), Arc::from(new), policy, level).await
        }
        (Version::Avro(old), Version::Avro(new)) => {
            avro::compare_within(std::slice::from_ref(&*old), &new, level, &time)
        }
        (Version::Protobuf(old), Version::Protobuf(new)) => {
            protobuf::compat::compare_within(std::slice::from_ref(&*old), &new, (policy, level), &time)
        }
        (old, new) => of_other_languages(old.language(), new.language(), level),
    }
}

impl Version {
    const fn language(&self) -> &'static str {
        match self {
            Self::Avro(_) => "Avro",
            Self::Json(_) => "JSON Schema",
            Self::Protobuf(_) => "Protobuf",
        }
    }
}

/// Who reads one language does not read the other.
fn of_other_languages(old: &str, new: &str, level: Level) -> Report {
    let found = |direction: &Direction| Break {
        differences: vec![Difference {
            rule: "SCHEMA_TYPE_CHANGED",
            direction: *direction,
            pointer: "#".to_owned(),
            path: String::new(),
            message: format!("the new schema is {new}, and the old one {old}"),
            fix: "keep the language, or make it a new version of the event type".to_owned(),
        }],
        ..Break::new(*direction)
    };
    let breaks: Vec<Break> = level.directions().iter().map(found).collect();
    Report { compatible: breaks.is_empty(), change_level: Some(ChangeLevel::Major), breaks }
}
