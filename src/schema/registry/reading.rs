//! What the registry holds, looked up. Pure: the same entries give the same answers on every gateway.

use std::collections::BTreeMap;

use crate::event::Subject;
use crate::schema::SchemaId;

use super::content::{Content, Guid, Reference, Version};
use super::error::Error;
use super::level::{Level, Mode, Policy, Settings};
use super::rows::{self, Entry, Rows};

/// Which versions are meant, of those that were deleted and those that were not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// Those that were not.
    Hidden,
    /// All.
    Shown,
    /// Those that were.
    Only,
}

/// A version as a caller names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The last one.
    Latest,
    /// This one.
    Number(Version),
}

/// A version of a subject, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The subject.
    pub subject: Subject,
    /// The version.
    pub version: Version,
    /// The schema's id.
    pub id: SchemaId,
    /// Whether it was deleted, though not for good.
    pub is_deleted: bool,
    /// The schema.
    pub content: Content,
}

/// What a new version is to be compared with: looked up before the judgement, and again when it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) level: Level,
    pub(super) policy: Policy,
    /// Oldest first.
    pub(super) with: Vec<(Version, SchemaId)>,
}

impl Deleted {
    const fn holds(self, entry: &Entry) -> bool {
        match self {
            Self::Hidden => !entry.is_deleted,
            Self::Shown => true,
            Self::Only => entry.is_deleted,
        }
    }
}

impl Which {
    /// Reads a version: a number, `latest`, or `-1`, which is the latest.
    ///
    /// # Errors
    /// [`Error::InvalidVersion`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if matches!(text, "latest" | "-1") {
            return Ok(Self::Latest);
        }
        let number = text.parse().ok().and_then(Version::new);
        number.map(Self::Number).ok_or_else(|| Error::InvalidVersion(text.to_owned()))
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest => formatter.write_str("latest"),
            Self::Number(version) => version.fmt(formatter),
        }
    }
}

/// All versions of a subject that are meant, oldest first.
pub(super) fn entries(rows: &dyn Rows, subject: &Subject, deleted: Deleted) -> Vec<(Version, Entry)> {
    let prefix = rows::versions_of(subject);
    let entry = |(key, value): (bytes::Bytes, bytes::Bytes)| {
        let number = std::str::from_utf8(&key).ok()?.strip_prefix(&prefix)?;
        let entry: Entry = rows::parse(number, &value)?;
        Some((Version::new(number.parse().ok()?)?, entry)).filter(|(_, entry)| deleted.holds(entry))
    };
    rows.below(&prefix).into_iter().filter_map(entry).collect()
}

/// The subjects with versions that are meant, by name, and the last such version of each.
pub(super) fn subjects(rows: &dyn Rows, deleted: Deleted) -> BTreeMap<Subject, (Version, Entry)> {
    let mut latest = BTreeMap::new();
    for (key, value) in rows.below(rows::VERSIONS) {
        let Some((subject, version)) = rows::place_of(&key, rows::VERSIONS) else { continue };
        let Some(entry) = rows::parse::<Entry>(rows::VERSIONS, &value) else { continue };
        if deleted.holds(&entry) {
            latest.insert(subject, (version, entry));
        }
    }
    if deleted == Deleted::Only {
        latest.retain(|subject, _| entries(rows, subject, Deleted::Hidden).is_empty());
    }
    latest
}

/// All versions that are meant, by subject.
pub(super) fn places(rows: &dyn Rows, deleted: Deleted) -> Vec<(Subject, Version)> {
    let is_meant =
        |value: &[u8]| rows::parse::<Entry>(rows::VERSIONS, value).is_some_and(|entry| deleted.holds(&entry));
    let entries = rows.below(rows::VERSIONS).into_iter().filter(|(_, value)| is_meant(value));
    let mut places: Vec<_> = entries.filter_map(|(key, _)| rows::place_of(&key, rows::VERSIONS)).collect();
    places.sort();
    places
}

/// The versions of a subject that are meant.
pub(super) fn versions(rows: &dyn Rows, subject: &Subject, deleted: Deleted) -> Result<Vec<Version>, Error> {
    let versions: Vec<Version> =
        entries(rows, subject, deleted).into_iter().map(|(version, _)| version).collect();
    if versions.is_empty() { Err(Error::SubjectNotFound(subject.clone())) } else { Ok(versions) }
}

/// One version of a subject.
pub(super) fn version(
    rows: &dyn Rows,
    subject: &Subject,
    which: Which,
    deleted: Deleted,
) -> Result<Versioned, Error> {
    let entries = entries(rows, subject, deleted);
    let last = entries.last().copied().ok_or_else(|| Error::SubjectNotFound(subject.clone()))?;
    let found = match which {
        Which::Latest => Some(last),
        Which::Number(wanted) => entries.into_iter().find(|(version, _)| *version == wanted),
    };
    let (version, entry) = found.ok_or_else(|| missing(subject, which))?;
    whole(rows, subject, version, entry).ok_or_else(|| missing(subject, which))
}

/// The id of what a schema refers to.
pub(super) fn referred(rows: &dyn Rows, reference: &Reference) -> Result<SchemaId, Error> {
    let found = version(rows, &reference.subject, Which::Number(reference.version), Deleted::Hidden);
    found.map(|found| found.id).map_err(|_| Error::ReferenceNotFound(reference.clone()))
}

/// The error of a version that is not there.
pub(super) fn missing(subject: &Subject, which: Which) -> Error {
    Error::VersionNotFound { subject: subject.clone(), version: which.to_string() }
}

/// The last version of a subject that has this content.
pub(super) fn find(
    rows: &dyn Rows,
    subject: &Subject,
    guid: Guid,
    deleted: Deleted,
) -> Result<Versioned, Error> {
    let entries = entries(rows, subject, deleted);
    if entries.is_empty() {
        return Err(Error::SubjectNotFound(subject.clone()));
    }
    let found = entries.into_iter().rev().find(|(_, entry)| entry.guid == guid);
    let (version, entry) = found.ok_or(Error::SchemaNotFound)?;
    whole(rows, subject, version, entry).ok_or(Error::SchemaNotFound)
}

/// The id of this content, where it has one; imports may have given it others beside.
pub(super) fn id(rows: &dyn Rows, guid: Guid) -> Option<SchemaId> {
    rows::value(rows, &rows::guid_key(guid))
}

/// Where a schema is used, by subject and version.
pub(super) fn uses(rows: &dyn Rows, id: SchemaId, deleted: Deleted) -> Vec<(Subject, Version)> {
    let prefix = rows::uses_of(id);
    let is_meant = |(subject, version): &(Subject, Version)| {
        let entry: Option<Entry> = rows::value(rows, &rows::version_key(subject, *version));
        entry.is_some_and(|entry| deleted.holds(&entry))
    };
    let mut uses: Vec<(Subject, Version)> = rows
        .below(&prefix)
        .iter()
        .filter_map(|(key, _)| rows::place_of(key, &prefix))
        .filter(is_meant)
        .collect();
    uses.sort();
    uses
}

/// The schemas that refer to a version.
pub(super) fn referrers(rows: &dyn Rows, subject: &Subject, version: Version) -> Vec<SchemaId> {
    let prefix = rows::referrers_of(subject, version);
    let mut ids: Vec<SchemaId> =
        rows.below(&prefix).iter().filter_map(|(key, _)| rows::id_of(key, &prefix)).collect();
    ids.sort_unstable();
    ids
}

/// What is said of a subject itself, or of all.
pub(super) fn settings(rows: &dyn Rows, subject: Option<&Subject>) -> Option<Settings> {
    rows::value(rows, &rows::settings_key(subject))
}

/// What holds for a subject, or for those of which nothing is said.
pub(super) fn effective_settings(rows: &dyn Rows, subject: Option<&Subject>) -> Settings {
    let general = settings(rows, None).unwrap_or_default();
    let own = subject.and_then(|subject| settings(rows, Some(subject))).unwrap_or_default();
    Settings {
        compatibility: Some(own.compatibility.or(general.compatibility).unwrap_or_default()),
        policy: Some(own.policy.or(general.policy).unwrap_or_default()),
    }
}

/// The mode given to a subject itself, or to all.
pub(super) fn mode(rows: &dyn Rows, subject: Option<&Subject>) -> Option<Mode> {
    rows::value(rows, &rows::mode_key(subject))
}

/// The mode that holds for a subject, or for those of which nothing is said.
pub(super) fn effective_mode(rows: &dyn Rows, subject: Option<&Subject>) -> Mode {
    let general = mode(rows, None).unwrap_or_default();
    if general == Mode::ReadonlyOverride {
        return general;
    }
    subject.and_then(|subject| mode(rows, Some(subject))).unwrap_or(general)
}

/// What a new version of a subject is to be compared with.
pub(super) fn comparison(rows: &dyn Rows, subject: &Subject) -> Comparison {
    let settings = effective_settings(rows, Some(subject));
    let (level, policy) = (settings.compatibility.unwrap_or_default(), settings.policy.unwrap_or_default());
    let mut with: Vec<(Version, SchemaId)> = match level {
        Level::None => Vec::new(),
        Level::Backward
        | Level::BackwardTransitive
        | Level::Forward
        | Level::ForwardTransitive
        | Level::Full
        | Level::FullTransitive => {
            let entries = entries(rows, subject, Deleted::Hidden);
            entries.into_iter().map(|(version, entry)| (version, entry.id)).collect()
        }
    };
    if !level.is_transitive() {
        with.drain(..with.len().saturating_sub(1));
    }
    Comparison { level, policy, with }
}

fn whole(rows: &dyn Rows, subject: &Subject, version: Version, entry: Entry) -> Option<Versioned> {
    let content = rows::content(rows, entry.id)?;
    let Entry { id, is_deleted, .. } = entry;
    Some(Versioned { subject: subject.clone(), version, id, is_deleted, content })
}
