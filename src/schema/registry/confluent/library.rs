//! Schemas as they were fetched: what an id, a GUID or a version names never changes, so each is fetched once and kept for as
//! long as there is room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::metrics::Metrics;
use crate::event::Subject;
use crate::schema::SchemaId;
use crate::schema::framing::Writer;
use crate::schema::registry::admission::{Whole, resolve_by};
use crate::schema::registry::content::{Guid, Kind, Reference, Version};
use crate::schema::registry::error::Error;
use crate::schema::registry::live::{Lack, Texts};

/// All texts together may have so many bytes; what was used longest ago goes first.
const BYTES_MAX: usize = 64 << 20;
/// What keeping a text takes beside its bytes.
const ENTRY_BYTES: usize = 512;

/// A schema as the registry tells it. Members of other names are passed over.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Text {
    #[serde(default)]
    pub(super) guid: Option<Guid>,
    #[serde(default, rename = "schemaType")]
    pub(super) kind: Kind,
    #[serde(rename = "schema")]
    pub(super) text: String,
    #[serde(default)]
    pub(super) references: Vec<Reference>,
}

/// A version as the registry tells it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(super) struct Versioned {
    pub(super) id: SchemaId,
    pub(super) version: Version,
    #[serde(flatten)]
    pub(super) text: Text,
}

/// The name of something that never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Schema(Writer),
    Version(Subject, Version),
}

/// What was fetched.
#[derive(Debug)]
pub(super) struct Library {
    /// Guards what is kept; for single look-ups.
    shelves: Mutex<Shelves>,
    bytes_max: usize,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Shelves {
    texts: HashMap<Name, Entry>,
    bytes: usize,
    /// How often something was looked up: the clock by which use is told.
    lookups: u64,
}

#[derive(Debug)]
struct Entry {
    text: Arc<Text>,
    used: u64,
}

/// What some of a schema's references are not there for.
enum Unresolved {
    Broken(Error),
    Unfetched,
}

impl From<Error> for Unresolved {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl Library {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self::bounded(BYTES_MAX, metrics)
    }

    fn bounded(bytes_max: usize, metrics: Metrics) -> Self {
        Self { shelves: Mutex::default(), bytes_max, metrics }
    }

    /// Keeps a text under all its names, and lets others go for it.
    pub(super) fn put(&self, names: impl IntoIterator<Item = Name>, text: &Arc<Text>) {
        let mut shelves = self.shelves();
        for name in names {
            shelves.put(name, Arc::clone(text));
        }
        shelves.lighten(self.bytes_max);
        self.metrics.text_bytes.set(i64::try_from(shelves.bytes).unwrap_or(i64::MAX));
    }

    /// What has this name.
    pub(super) fn find(&self, name: &Name) -> Option<Arc<Text>> {
        self.shelves().find(name)
    }

    /// A schema with all that it refers to.
    pub(super) fn whole_of(&self, writer: Writer) -> Result<Whole, Lack> {
        let text = self.find(&Name::Schema(writer)).ok_or(Lack::Unfetched)?;
        let named = resolve_by(&text.references, |reference| {
            let name = Name::Version(reference.subject.clone(), reference.version);
            let found = self.find(&name).ok_or(Unresolved::Unfetched)?;
            Ok((found.text.clone(), found.references.clone()))
        });
        match named {
            Ok(named) => Ok(Whole { kind: text.kind, text: text.text.clone(), named }),
            Err(Unresolved::Broken(error)) => Err(Lack::Broken(error)),
            Err(Unresolved::Unfetched) => Err(Lack::Unfetched),
        }
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Texts for Library {
    fn whole(&self, id: SchemaId) -> Result<Whole, Lack> {
        self.whole_of(Writer::Id(id))
    }
}

impl Shelves {
    fn put(&mut self, name: Name, text: Arc<Text>) {
        self.lookups += 1;
        self.bytes += weight(&text);
        let entry = Entry { text, used: self.lookups };
        if let Some(before) = self.texts.insert(name, entry) {
            self.bytes = self.bytes.saturating_sub(weight(&before.text));
        }
    }

    fn find(&mut self, name: &Name) -> Option<Arc<Text>> {
        self.lookups += 1;
        let entry = self.texts.get_mut(name)?;
        entry.used = self.lookups;
        Some(Arc::clone(&entry.text))
    }

    /// Lets go of what was used longest ago, a quarter of all at once, as looking for it takes a look at all.
    fn lighten(&mut self, bytes_max: usize) {
        if self.bytes <= bytes_max {
            return;
        }
        let mut by_use: Vec<(u64, Name)> =
            self.texts.iter().map(|(name, entry)| (entry.used, name.clone())).collect();
        by_use.sort_unstable_by_key(|(used, _)| *used);
        for (_, name) in by_use {
            if self.bytes <= bytes_max / 4 * 3 {
                return;
            }
            if let Some(gone) = self.texts.remove(&name) {
                self.bytes = self.bytes.saturating_sub(weight(&gone.text));
            }
        }
    }
}

fn weight(text: &Text) -> usize {
    text.text.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::metrics::Metrics;
    use super::{ENTRY_BYTES, Library, Name, Text, Versioned};
    use crate::event::Subject;
    use crate::schema::SchemaId;
    use crate::schema::framing::Writer;
    use crate::schema::registry::content::{Kind, Version};
    use crate::schema::registry::live::Lack;
    use crate::telemetry::Registry;

    fn library(bytes_max: usize) -> Library {
        Library::bounded(bytes_max, Metrics::register(&Registry::new()))
    }

    fn id(number: i32) -> Name {
        Name::Schema(Writer::Id(SchemaId::new(number).unwrap()))
    }

    fn read(json: &str) -> Arc<Text> {
        Arc::new(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_registries_tell_is_read() {
        let told = r#"{"subject":"a-value","version":3,"id":7,"schema":"\"string\"","more":{}}"#;
        let read: Versioned = serde_json::from_str(told).unwrap();
        assert_eq!((read.id.number(), read.version.number()), (7, 3));
        assert_eq!(
            (read.text.kind, read.text.text.as_str(), read.text.guid),
            (Kind::Avro, "\"string\"", None)
        );
        let told = r#"{"id":7,"version":1,"schema":"{}","schemaType":"JSON","guid":"0b6e7c1e-6c3d-4b7e-8a52-2f7f3c1c9a10",
            "references":[{"name":"a","subject":"b","version":1}],"metadata":null}"#;
        let read: Versioned = serde_json::from_str(told).unwrap();
        assert!(read.text.kind == Kind::Json && read.text.guid.is_some() && read.text.references.len() == 1);
        for bad in [r#"{"schema":"{}"}"#, r#"{"id":0,"version":1}"#, r#"{"id":1,"version":1}"#, "[]"] {
            assert!(serde_json::from_str::<Versioned>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes_by_size() {
        let library = library(8 * ENTRY_BYTES);
        for number in 1..40 {
            library.put([id(number)], &read(r#"{"schema":""}"#));
            assert!(library.find(&id(1)).is_some());
            assert!(library.shelves().bytes <= 8 * ENTRY_BYTES);
        }
        assert!(library.find(&id(2)).is_none() && library.find(&id(39)).is_some());
    }

    #[test]
    fn a_schema_is_whole_once_all_that_it_refers_to_is_there() {
        let library = library(1 << 20);
        let of = |number: i32| library.whole_of(Writer::Id(SchemaId::new(number).unwrap()));
        assert!(matches!(of(1), Err(Lack::Unfetched)));
        let refers = r#"{"schema":"{}","schemaType":"JSON","references":[{"name":"n","subject":"other","version":2}]}"#;
        library.put([id(1)], &read(refers));
        assert!(matches!(of(1), Err(Lack::Unfetched)));
        let other = Name::Version(Subject::parse("other").unwrap(), Version::new(2).unwrap());
        library.put([other], &read(r#"{"schema":"true","schemaType":"JSON"}"#));
        let whole = of(1).unwrap_or_else(|lack| panic!("{lack:?}"));
        assert_eq!(whole.named[0].as_pair(), ("n", "true"));
    }
}
