//! The registry's entries: what stands under which key, for whoever keeps them.
//!
//! ```text
//! totals                           what is given out and kept in all
//! schema/{id}                      content                 guid/{guid}            the id it has but for imports
//! version/{subject}/{number}       its id, deleted or not  use/{id}/{subject}/{number}
//! referrer/{subject}/{number}/{id} who refers to a version
//! settings, settings/{subject}     mode, mode/{subject}
//! ```
//! Subjects are percent-encoded in keys, numbers have ten digits, so that keys sort as versions do.

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::Subject;
use crate::log::{Draft, Table};
use crate::schema::SchemaId;

use super::content::{Content, Guid, Version};

/// What parts keys, and what means a percent-encoded byte.
const RESERVED: &AsciiSet = &CONTROLS.add(b'/').add(b'%');

/// Entries by key.
pub(super) trait Rows {
    /// The value of a key.
    fn read(&self, key: &str) -> Option<Bytes>;

    /// The entries whose keys begin so, by key.
    fn below(&self, prefix: &str) -> Vec<(Bytes, Bytes)>;
}

/// Entries that can be changed, all together.
pub(super) trait Change: Rows {
    /// Changes a value, or removes the key with `None`.
    fn write(&mut self, key: String, value: Option<Bytes>);
}

/// What is given out and kept in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Totals {
    /// The highest id ever given out; none comes again.
    pub(super) last_id: i32,
    /// Versions kept, deleted ones too.
    pub(super) versions: u32,
    /// Bytes of their schemas' texts.
    pub(super) bytes: u64,
}

/// A version of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) id: SchemaId,
    pub(super) guid: Guid,
    #[serde(default, rename = "deleted", skip_serializing_if = "is_false")]
    pub(super) is_deleted: bool,
}

/// Whom a change concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Concern {
    /// All subjects.
    All,
    One(Subject),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Rows for Table {
    fn read(&self, key: &str) -> Option<Bytes> {
        Self::read(self, key.as_bytes())
    }

    fn below(&self, prefix: &str) -> Vec<(Bytes, Bytes)> {
        Self::below(self, prefix.as_bytes())
    }
}

impl Rows for Draft<'_> {
    fn read(&self, key: &str) -> Option<Bytes> {
        Self::read(self, key.as_bytes())
    }

    fn below(&self, prefix: &str) -> Vec<(Bytes, Bytes)> {
        Self::below(self, prefix.as_bytes())
    }
}

impl Change for Draft<'_> {
    fn write(&mut self, key: String, value: Option<Bytes>) {
        Self::write(self, key.into(), value);
    }
}

/// The value of a key, read. What cannot be read was written by a later version of the gateway, and is not there.
pub(super) fn value<T: DeserializeOwned>(rows: &dyn Rows, key: &str) -> Option<T> {
    parse(key, &rows.read(key)?)
}

/// A value, read.
pub(super) fn parse<T: DeserializeOwned>(key: &str, value: &[u8]) -> Option<T> {
    serde_json::from_slice(value)
        .inspect_err(|error| tracing::error!(key, %error, "an entry of the schema registry cannot be read"))
        .ok()
}

/// Writes a value.
pub(super) fn put<T: Serialize>(rows: &mut dyn Change, key: String, value: &T) {
    let value =
        serde_json::to_vec(value).inspect_err(|error| tracing::error!(%error, "an entry cannot be written"));
    rows.write(key, value.ok().map(Bytes::from));
}

/// The key of the totals.
pub(super) const TOTALS: &str = "totals";
/// Before the keys of all versions.
pub(super) const VERSIONS: &str = "version/";
/// Before the keys of single subjects' settings.
const SETTINGS: &str = "settings/";

/// The key of a schema.
pub(super) fn schema_key(id: SchemaId) -> String {
    format!("schema/{id}")
}

/// The key of an identity.
pub(super) fn guid_key(guid: Guid) -> String {
    format!("guid/{guid}")
}

/// Before the keys of a subject's versions.
pub(super) fn versions_of(subject: &Subject) -> String {
    format!("{VERSIONS}{}/", encoded(subject))
}

/// The key of a version.
pub(super) fn version_key(subject: &Subject, version: Version) -> String {
    format!("{}{:010}", versions_of(subject), version.number())
}

/// Before the keys of a schema's uses.
pub(super) fn uses_of(id: SchemaId) -> String {
    format!("use/{id}/")
}

/// The key of a use.
pub(super) fn use_key(id: SchemaId, subject: &Subject, version: Version) -> String {
    format!("{}{}/{:010}", uses_of(id), encoded(subject), version.number())
}

/// Before the keys of who refers to a version.
pub(super) fn referrers_of(subject: &Subject, version: Version) -> String {
    format!("referrer/{}/{:010}/", encoded(subject), version.number())
}

/// The key of one who refers to a version.
pub(super) fn referrer_key(subject: &Subject, version: Version, id: SchemaId) -> String {
    format!("{}{id}", referrers_of(subject, version))
}

/// The key of settings, of all subjects or one.
pub(super) fn settings_key(subject: Option<&Subject>) -> String {
    subject.map_or_else(|| "settings".to_owned(), |subject| format!("{SETTINGS}{}", encoded(subject)))
}

/// The key of a mode, of all subjects or one.
pub(super) fn mode_key(subject: Option<&Subject>) -> String {
    subject.map_or_else(|| "mode".to_owned(), |subject| format!("mode/{}", encoded(subject)))
}

/// Subject and number at the end of a key, behind its prefix.
pub(super) fn place_of(key: &[u8], prefix: &str) -> Option<(Subject, Version)> {
    let (subject, number) = std::str::from_utf8(key).ok()?.strip_prefix(prefix)?.rsplit_once('/')?;
    Some((decoded(subject)?, Version::new(number.parse().ok()?)?))
}

/// Whose latest version, or what holds for it, stands under a key.
pub(super) fn concern_of(key: &[u8]) -> Option<Concern> {
    let key = std::str::from_utf8(key).ok()?;
    if key == settings_key(None) {
        return Some(Concern::All);
    }
    let subject = match key.strip_prefix(VERSIONS) {
        Some(place) => place.rsplit_once('/')?.0,
        None => key.strip_prefix(SETTINGS)?,
    };
    Some(Concern::One(decoded(subject)?))
}

/// The id at the end of a key, behind its prefix.
pub(super) fn id_of(key: &[u8], prefix: &str) -> Option<SchemaId> {
    let number = std::str::from_utf8(key).ok()?.strip_prefix(prefix)?.parse().ok()?;
    SchemaId::new(number)
}

/// The content of a schema.
pub(super) fn content(rows: &dyn Rows, id: SchemaId) -> Option<Content> {
    value(rows, &schema_key(id))
}

fn encoded(subject: &Subject) -> String {
    utf8_percent_encode(subject.as_str(), RESERVED).to_string()
}

fn decoded(subject: &str) -> Option<Subject> {
    Subject::parse(&percent_decode_str(subject).decode_utf8().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::{
        Concern, TOTALS, concern_of, mode_key, place_of, settings_key, uses_of, version_key, versions_of,
    };
    use crate::event::Subject;
    use crate::schema::SchemaId;
    use crate::schema::registry::content::Version;

    #[test]
    fn keys_part_subjects_and_sort_as_versions_do() {
        let subject = |text| Subject::parse(text).unwrap();
        let version = |number| Version::new(number).unwrap();
        let key = version_key(&subject("a/b%2F-größe"), version(7));
        assert_eq!(place_of(key.as_bytes(), "version/"), Some((subject("a/b%2F-größe"), version(7))));
        assert!(!version_key(&subject("a/b"), version(1)).starts_with(&versions_of(&subject("a"))));
        assert!(version_key(&subject("a"), version(9)) < version_key(&subject("a"), version(10)));
        assert!(!uses_of(SchemaId::new(12).unwrap()).starts_with(&uses_of(SchemaId::new(1).unwrap())));
    }

    #[test]
    fn keys_tell_whom_they_concern() {
        let (subject, version) = (Subject::parse("a/b%-größe").unwrap(), Version::new(7).unwrap());
        let one = Some(Concern::One(subject.clone()));
        assert_eq!(concern_of(version_key(&subject, version).as_bytes()), one);
        assert_eq!(concern_of(settings_key(Some(&subject)).as_bytes()), one);
        assert_eq!(concern_of(settings_key(None).as_bytes()), Some(Concern::All));
        for other in [TOTALS.to_owned(), mode_key(Some(&subject)), uses_of(SchemaId::new(1).unwrap())] {
            assert_eq!(concern_of(other.as_bytes()), None, "{other}");
        }
    }
}
