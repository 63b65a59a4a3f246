//! What changes the registry: decided by its entries alone, so that gateways which decide one after another never give
//! two ids to one schema or one id to two.

use crate::event::Subject;
use crate::schema::SchemaId;

use super::content::{Content, Version};
use super::error::Error;
use super::level::{Level, Mode, Policy, Settings};
use super::reading::{self, Comparison, Deleted, Versioned, Which};
use super::rows::{self, Change, Entry, Rows, Totals};

/// A subject may have this many versions, deleted ones included.
pub(super) const VERSIONS_MAX: usize = 1_000;
/// All subjects together may have this many.
const ALL_VERSIONS_MAX: u32 = 100_000;
/// All schemas together may have texts of this many bytes.
const BYTES_MAX: u64 = 256 << 20;

/// A schema that is to become a version.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) content: Content,
    /// The id that the caller asks for.
    pub(super) id: Option<SchemaId>,
    /// The version that the caller asks for.
    pub(super) version: Option<Version>,
    /// What it was compared with and fits; `None` where it was not compared.
    pub(super) fits: Option<Comparison>,
    /// What its references led to when it was judged, in their order.
    pub(super) referred: Vec<SchemaId>,
}

/// Why a change is not made.
#[derive(Debug)]
pub(super) enum Refusal {
    /// For good.
    Refused(Error),
    /// What it was judged by has changed.
    Outdated,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<crate::log::Error> for Refusal {
    fn from(error: crate::log::Error) -> Self {
        Self::Refused(error.into())
    }
}

/// What a registration comes to without being judged: a version that has the content already.
pub(super) fn registered(rows: &dyn Rows, subject: &Subject, wanted: &Wanted) -> Option<Versioned> {
    let found = reading::find(rows, subject, wanted.content.guid, Deleted::Hidden).ok()?;
    let is_asked = wanted.id.is_none_or(|id| id == found.id)
        && wanted.version.is_none_or(|version| version == found.version);
    is_asked.then_some(found)
}

/// Makes a schema the next version of a subject, or finds it among the versions there are.
pub(super) fn register(
    rows: &mut dyn Change,
    subject: &Subject,
    wanted: &Wanted,
) -> Result<Versioned, Refusal> {
    if let Some(found) = registered(rows, subject, wanted) {
        return Ok(found);
    }
    let mode = check_mode(rows, Some(subject))?;
    let is_import = mode == Mode::Import;
    if wanted.id.is_some() && !is_import {
        let problem = format!("'{subject}' takes schemas with an id in mode IMPORT only");
        return Err(Error::NotPermitted(problem).into());
    }
    if !is_import && wanted.fits.as_ref() != Some(&reading::comparison(rows, subject)) {
        return Err(Refusal::Outdated);
    }
    for (reference, id) in wanted.content.references.iter().zip(&wanted.referred) {
        if reading::referred(rows, reference).ok() != Some(*id) {
            return Err(Refusal::Outdated);
        }
    }
    let version = next_version(rows, subject, wanted.version, is_import)?;
    let mut totals: Totals = rows::value(rows, rows::TOTALS).unwrap_or_default();
    let (guid, (id, is_new)) = (wanted.content.guid, give_id(rows, wanted, &totals)?);
    totals.last_id = totals.last_id.max(id.number());
    totals.versions += 1;
    if is_new {
        totals.bytes += wanted.content.text.len() as u64;
    }
    if totals.versions > ALL_VERSIONS_MAX || totals.bytes > BYTES_MAX {
        return Err(Error::NotPermitted("the registry is full; remove what nobody uses".to_owned()).into());
    }
    rows::put(rows, rows::TOTALS.to_owned(), &totals);
    if is_new {
        rows::put(rows, rows::schema_key(id), &wanted.content);
        if reading::id(rows, guid).is_none() {
            rows::put(rows, rows::guid_key(guid), &id);
        }
        for reference in &wanted.content.references {
            rows::put(rows, rows::referrer_key(&reference.subject, reference.version, id), &());
        }
    }
    rows::put(rows, rows::version_key(subject, version), &Entry { id, guid, is_deleted: false });
    rows::put(rows, rows::use_key(id, subject, version), &());
    let content = rows::content(rows, id).unwrap_or_else(|| wanted.content.clone());
    Ok(Versioned { subject: subject.clone(), version, id, is_deleted: false, content })
}

/// The version that a schema becomes.
fn next_version(
    rows: &dyn Rows,
    subject: &Subject,
    wanted: Option<Version>,
    is_import: bool,
) -> Result<Version, Error> {
    let entries = reading::entries(rows, subject, Deleted::Shown);
    if entries.len() >= VERSIONS_MAX {
        let problem = format!("'{subject}' has {VERSIONS_MAX} versions; remove some for good");
        return Err(Error::NotPermitted(problem));
    }
    let next = match entries.last() {
        None => Some(Version::FIRST),
        Some((last, _)) => last.next(),
    };
    match wanted {
        Some(wanted) if is_import && entries.iter().any(|(version, _)| *version == wanted) => {
            Err(Error::InvalidSchema(format!("version {wanted} of '{subject}' is another schema")))
        }
        Some(wanted) if is_import || Some(wanted) == next => Ok(wanted),
        Some(wanted) => {
            Err(Error::InvalidSchema(format!("version {wanted} is not the next one of '{subject}'")))
        }
        None => next.ok_or_else(|| Error::NotPermitted(format!("'{subject}' is out of versions"))),
    }
}

/// The id of a schema, and whether it is given out only now.
fn give_id(rows: &dyn Rows, wanted: &Wanted, totals: &Totals) -> Result<(SchemaId, bool), Error> {
    let guid = wanted.content.guid;
    if let Some(asked) = wanted.id {
        return match rows::content(rows, asked) {
            None => Ok((asked, true)),
            Some(content) if content.guid == guid => Ok((asked, false)),
            Some(_) => Err(Error::IdMismatch(asked.number())),
        };
    }
    if let Some(id) = reading::id(rows, guid) {
        return Ok((id, false));
    }
    let next = totals.last_id.checked_add(1).and_then(SchemaId::new);
    let id = next.ok_or_else(|| Error::NotPermitted("the registry is out of ids".to_owned()))?;
    Ok((id, true))
}

/// Deletes a version, so that it can still be read by who asks for deleted ones.
pub(super) fn delete_version(
    rows: &mut dyn Change,
    subject: &Subject,
    which: Which,
) -> Result<Version, Error> {
    let (version, entry) = named(rows, subject, which, Deleted::Hidden)?;
    check_mode(rows, Some(subject))?;
    if entry.is_deleted {
        return Err(Error::VersionDeleted { subject: subject.clone(), version });
    }
    hide(rows, subject, version, entry)?;
    Ok(version)
}

/// Removes a deleted version for good.
pub(super) fn remove_version(
    rows: &mut dyn Change,
    subject: &Subject,
    which: Which,
) -> Result<Version, Error> {
    let (version, entry) = named(rows, subject, which, Deleted::Only)?;
    check_mode(rows, Some(subject))?;
    if !entry.is_deleted {
        return Err(Error::VersionNotDeleted { subject: subject.clone(), version });
    }
    remove(rows, subject, version, entry)?;
    Ok(version)
}

/// Deletes all versions of a subject, and what is said of it.
pub(super) fn delete_subject(rows: &mut dyn Change, subject: &Subject) -> Result<Vec<Version>, Error> {
    let entries = reading::entries(rows, subject, Deleted::Shown);
    if entries.is_empty() {
        return Err(Error::SubjectNotFound(subject.clone()));
    }
    check_mode(rows, Some(subject))?;
    let live: Vec<_> = entries.into_iter().filter(|(_, entry)| !entry.is_deleted).collect();
    if live.is_empty() {
        return Err(Error::SubjectDeleted(subject.clone()));
    }
    // From the end: a version may refer to those before it.
    for (version, entry) in live.iter().rev() {
        hide(rows, subject, *version, *entry)?;
    }
    for key in [rows::settings_key(Some(subject)), rows::mode_key(Some(subject))] {
        if rows.read(&key).is_some() {
            rows.write(key, None);
        }
    }
    Ok(live.into_iter().map(|(version, _)| version).collect())
}

/// Removes a deleted subject for good.
pub(super) fn remove_subject(rows: &mut dyn Change, subject: &Subject) -> Result<Vec<Version>, Error> {
    let entries = reading::entries(rows, subject, Deleted::Shown);
    if entries.is_empty() {
        return Err(Error::SubjectNotFound(subject.clone()));
    }
    check_mode(rows, Some(subject))?;
    if entries.iter().any(|(_, entry)| !entry.is_deleted) {
        return Err(Error::SubjectNotDeleted(subject.clone()));
    }
    for (version, entry) in entries.iter().rev() {
        remove(rows, subject, *version, *entry)?;
    }
    Ok(entries.into_iter().map(|(version, _)| version).collect())
}

/// Says something of a subject's new versions, or of all subjects'.
pub(super) fn set_settings(
    rows: &mut dyn Change,
    subject: Option<&Subject>,
    settings: Settings,
) -> Result<(), Error> {
    check_mode(rows, subject)?;
    rows::put(rows, rows::settings_key(subject), &settings);
    Ok(())
}

/// Takes back what was said; answers it.
pub(super) fn reset_settings(rows: &mut dyn Change, subject: Option<&Subject>) -> Result<Settings, Error> {
    let before = reading::settings(rows, subject);
    let before = match (before, subject) {
        (Some(before), _) => before,
        (None, None) => Settings { compatibility: Some(Level::default()), policy: Some(Policy::default()) },
        (None, Some(subject)) => return Err(Error::SubjectNotFound(subject.clone())),
    };
    check_mode(rows, subject)?;
    rows.write(rows::settings_key(subject), None);
    Ok(before)
}

/// Gives a subject, or all, a mode. Where there are versions, `Import` must be forced.
pub(super) fn set_mode(
    rows: &mut dyn Change,
    subject: Option<&Subject>,
    mode: Mode,
    force: Force,
) -> Result<(), Error> {
    if subject.is_some() && mode == Mode::ReadonlyOverride {
        return Err(Error::NotPermitted("READONLY_OVERRIDE is for all subjects at once".to_owned()));
    }
    let has_versions = || match subject {
        Some(subject) => !reading::entries(rows, subject, Deleted::Hidden).is_empty(),
        None => !reading::subjects(rows, Deleted::Hidden).is_empty(),
    };
    if mode == Mode::Import && force == Force::No && has_versions() {
        let problem = "there are schemas already, whose ids imported ones could contradict; force=true does it all the same";
        return Err(Error::NotPermitted(problem.to_owned()));
    }
    rows::put(rows, rows::mode_key(subject), &mode);
    Ok(())
}

/// Whether something is done though it may be a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Only where it is none.
    No,
    /// All the same.
    Yes,
}

/// Takes a mode back; answers it.
pub(super) fn reset_mode(rows: &mut dyn Change, subject: Option<&Subject>) -> Result<Mode, Error> {
    let before = match (reading::mode(rows, subject), subject) {
        (Some(before), _) => before,
        (None, None) => Mode::default(),
        (None, Some(subject)) => return Err(Error::SubjectNotFound(subject.clone())),
    };
    rows.write(rows::mode_key(subject), None);
    Ok(before)
}

/// The version that a caller names for deletion, where there is one.
fn named(
    rows: &dyn Rows,
    subject: &Subject,
    which: Which,
    latest_of: Deleted,
) -> Result<(Version, Entry), Error> {
    if reading::entries(rows, subject, Deleted::Shown).is_empty() {
        return Err(Error::SubjectNotFound(subject.clone()));
    }
    let found = match which {
        Which::Latest => reading::entries(rows, subject, latest_of).last().copied(),
        Which::Number(version) => {
            let entry = rows::value(rows, &rows::version_key(subject, version));
            entry.map(|entry| (version, entry))
        }
    };
    found.ok_or_else(|| reading::missing(subject, which))
}

fn hide(rows: &mut dyn Change, subject: &Subject, version: Version, entry: Entry) -> Result<(), Error> {
    let is_live = |id: SchemaId| !reading::uses(rows, id, Deleted::Hidden).is_empty();
    if reading::referrers(rows, subject, version).into_iter().any(is_live) {
        return Err(Error::Referred { subject: subject.clone(), version });
    }
    rows::put(rows, rows::version_key(subject, version), &Entry { is_deleted: true, ..entry });
    Ok(())
}

/// A schema goes with its last version, and with it what it refers to by its name. Its id never comes again.
fn remove(rows: &mut dyn Change, subject: &Subject, version: Version, entry: Entry) -> Result<(), Error> {
    if !reading::referrers(rows, subject, version).is_empty() {
        return Err(Error::Referred { subject: subject.clone(), version });
    }
    let mut totals: Totals = rows::value(rows, rows::TOTALS).unwrap_or_default();
    totals.versions = totals.versions.saturating_sub(1);
    rows.write(rows::version_key(subject, version), None);
    rows.write(rows::use_key(entry.id, subject, version), None);
    if rows.below(&rows::uses_of(entry.id)).is_empty()
        && let Some(content) = rows::content(rows, entry.id)
    {
        totals.bytes = totals.bytes.saturating_sub(content.text.len() as u64);
        rows.write(rows::schema_key(entry.id), None);
        if reading::id(rows, content.guid) == Some(entry.id) {
            rows.write(rows::guid_key(content.guid), None);
        }
        for reference in &content.references {
            rows.write(rows::referrer_key(&reference.subject, reference.version, entry.id), None);
        }
    }
    rows::put(rows, rows::TOTALS.to_owned(), &totals);
    Ok(())
}

/// The mode that holds, where it lets anything be changed.
fn check_mode(rows: &dyn Rows, subject: Option<&Subject>) -> Result<Mode, Error> {
    let mode = reading::effective_mode(rows, subject);
    if mode.takes_writes() {
        return Ok(mode);
    }
    let what = subject.map_or_else(|| "the registry".to_owned(), |subject| format!("subject '{subject}'"));
    Err(Error::NotPermitted(format!("{what} is in mode {}", mode.as_str())))
}
