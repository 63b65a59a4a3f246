//! The registry as other rooms use it.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::event::Subject;
use crate::log::Table;
use crate::schema::SchemaId;
use crate::schema::compat::{ChangeLevel, Comparer};

use super::change::{self, Force, Refusal, Wanted};
use super::compatibility::{self, Compared, Side, Terms};
use super::content::{Content, Kind, Reference, Version};
use super::error::Error;
use super::judges::Judges;
use super::level::{Level, Mode, Settings};
use super::live::Live;
use super::reading::{self, Comparison, Deleted, Versioned, Which};
use super::{admission, rows};

mod events;
mod keeper;

pub use keeper::Keeper;

/// How often a registration is judged again because what it was judged by changed.
const JUDGEMENTS_MAX: usize = 10;

/// The registry. Cheap to clone; all clones see the same.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    place: Place,
    /// `None` until it was read once.
    table: ArcSwapOption<Table>,
    judges: Judges,
    comparer: Comparer,
    live: Live,
}

/// Where the schemas are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the table.
    Here,
    /// In another registry.
    Elsewhere,
}

/// A schema that is to be registered, looked up or compared.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    /// Its language.
    pub kind: Kind,
    /// Its text.
    pub text: String,
    /// What it refers to.
    pub references: Vec<Reference>,
    /// The id it shall have, in mode `IMPORT`.
    pub id: Option<SchemaId>,
    /// The version it shall become.
    pub version: Option<Version>,
}

/// A schema that is registered now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its place.
    pub versioned: Versioned,
    /// How much it changes the latest earlier version; `None` where it was compared with none, or was there before.
    pub change_level: Option<ChangeLevel>,
}

impl Registry {
    /// A registry that holds nothing until its keeper has opened the table.
    #[must_use]
    pub fn new() -> (Self, Keeper) {
        let registry = Self::at(Place::Here);
        (registry.clone(), Keeper::of(registry))
    }

    /// What stands in a registry's place where the gateway judges by another one: it refuses whatever is asked.
    #[must_use]
    pub fn elsewhere() -> Self {
        Self::at(Place::Elsewhere)
    }

    fn at(place: Place) -> Self {
        let (table, judges, live) = (ArcSwapOption::empty(), Judges::default(), Live::default());
        Self(Arc::new(Shared { place, table, judges, comparer: Comparer::new(), live }))
    }

    /// Whether the table has been read.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.table.load().is_some()
    }

    /// Refuses what is asked where it is not ready, or the schemas are elsewhere.
    ///
    /// # Errors
    /// Which of the two.
    pub fn require_ready(&self) -> Result<(), Error> {
        self.table().map(drop)
    }

    /// Makes a schema the next version of a subject, or finds it among the versions there are.
    ///
    /// # Errors
    /// When the schema cannot be taken, does not fit, or the mode does not allow it; when the log fails.
    pub async fn register(
        &self,
        subject: &Subject,
        registration: &Registration,
    ) -> Result<Registered, Error> {
        let table = self.table()?;
        for _ in 0..JUDGEMENTS_MAX {
            let mut wanted = self.judge(&table, registration).await?;
            if let Some(found) = change::registered(&*table, subject, &wanted) {
                return Ok(Registered { versioned: found, change_level: None });
            }
            let comparison = reading::comparison(&*table, subject);
            let mut change_level = None;
            if reading::effective_mode(&*table, Some(subject)) != Mode::Import {
                let compared = self.compare(&table, &comparison, &wanted.content).await?;
                if !compared.differences.is_empty() {
                    return Err(Error::Incompatible(compared.differences));
                }
                change_level = compared.change_level;
            }
            wanted.fits = Some(comparison);
            match table.update(|draft| change::register(draft, subject, &wanted)).await {
                Ok(versioned) => {
                    self.take_over(&table, Some(subject));
                    let (version, id) = (versioned.version.number(), versioned.id.number());
                    tracing::info!(%subject, version, schema.id = id, "schema registered");
                    return Ok(Registered { versioned, change_level });
                }
                Err(Refusal::Outdated) => {}
                Err(Refusal::Refused(error)) => return Err(error),
            }
        }
        Err(Error::Busy)
    }

    /// What [`Registry::register`] answers without changing anything; `None` where it would try to.
    ///
    /// # Errors
    /// When the schema cannot be taken.
    pub async fn registered(
        &self,
        subject: &Subject,
        registration: &Registration,
    ) -> Result<Option<Versioned>, Error> {
        let table = self.table()?;
        let wanted = self.judge(&table, registration).await?;
        Ok(change::registered(&*table, subject, &wanted))
    }

    /// The version of a subject that has this schema.
    ///
    /// # Errors
    /// When there is none, or the text is no schema.
    pub async fn look_up(
        &self,
        subject: &Subject,
        registration: &Registration,
        deleted: Deleted,
    ) -> Result<Versioned, Error> {
        let table = self.table()?;
        reading::versions(&*table, subject, deleted)?;
        let wanted = self.judge(&table, registration).await?;
        reading::find(&*table, subject, wanted.content.guid, deleted)
    }

    /// What keeps a schema from becoming a version: differences from this one, or from all that the level names. None
    /// where it fits.
    ///
    /// # Errors
    /// When there is no such version, or the text is no schema.
    pub async fn check(
        &self,
        subject: &Subject,
        which: Option<Which>,
        registration: &Registration,
    ) -> Result<Vec<String>, Error> {
        let table = self.table()?;
        let wanted = self.judge(&table, registration).await?;
        let mut comparison = reading::comparison(&*table, subject);
        if let Some(which) = which {
            match reading::version(&*table, subject, which, Deleted::Hidden) {
                Ok(one) if comparison.level != Level::None => comparison.with = vec![(one.version, one.id)],
                Ok(_) => {}
                // With nothing, everything fits.
                Err(Error::SubjectNotFound(_)) if which == Which::Latest => comparison.with.clear(),
                Err(error) => return Err(error),
            }
        }
        Ok(self.compare(&table, &comparison, &wanted.content).await?.differences)
    }

    /// A schema as clients of its language exchange it: of Protobuf the base64 of its file's descriptor, else the text.
    ///
    /// # Errors
    /// When what it refers to is gone, or too many schemas are being judged.
    pub async fn serialized(&self, content: &Content) -> Result<String, Error> {
        match content.kind {
            Kind::Avro | Kind::Json => Ok(content.text.clone()),
            Kind::Protobuf => {
                let table = self.table()?;
                let named = admission::resolve(&*table, &content.references, Deleted::Shown)?;
                let text = content.text.clone();
                let compiled = self.0.judges.ask(move || admission::protobuf(&text, &named)).await?;
                compiled.map(|codec| codec.serialized().to_owned()).map_err(Error::InvalidSchema)
            }
        }
    }

    /// Deletes a version, so that it can still be read by who asks for deleted ones.
    ///
    /// # Errors
    /// When it is not there, deleted already, referred to, or the mode does not allow it; when the log fails.
    pub async fn delete_version(&self, subject: &Subject, which: Which) -> Result<Version, Error> {
        let table = self.table()?;
        let version = table.update(|draft| change::delete_version(draft, subject, which)).await?;
        self.take_over(&table, Some(subject));
        Ok(version)
    }

    /// Removes a deleted version for good.
    ///
    /// # Errors
    /// As [`Registry::delete_version`], and when it was not deleted.
    pub async fn remove_version(&self, subject: &Subject, which: Which) -> Result<Version, Error> {
        let table = self.table()?;
        let version = table.update(|draft| change::remove_version(draft, subject, which)).await?;
        self.take_over(&table, Some(subject));
        Ok(version)
    }

    /// Deletes all versions of a subject; answers which.
    ///
    /// # Errors
    /// As [`Registry::delete_version`].
    pub async fn delete_subject(&self, subject: &Subject) -> Result<Vec<Version>, Error> {
        let table = self.table()?;
        let versions = table.update(|draft| change::delete_subject(draft, subject)).await?;
        self.take_over(&table, Some(subject));
        Ok(versions)
    }

    /// Removes a deleted subject for good; answers its versions.
    ///
    /// # Errors
    /// As [`Registry::remove_version`].
    pub async fn remove_subject(&self, subject: &Subject) -> Result<Vec<Version>, Error> {
        let table = self.table()?;
        let versions = table.update(|draft| change::remove_subject(draft, subject)).await?;
        self.take_over(&table, Some(subject));
        Ok(versions)
    }

    /// Says something of a subject's new versions, or of all subjects'.
    ///
    /// # Errors
    /// When the mode does not allow it, or the log fails.
    pub async fn set_settings(&self, subject: Option<&Subject>, settings: Settings) -> Result<(), Error> {
        let table = self.table()?;
        table.update(|draft| change::set_settings(draft, subject, settings)).await?;
        self.take_over(&table, subject);
        Ok(())
    }

    /// Takes back what was said; answers it.
    ///
    /// # Errors
    /// When nothing was, the mode does not allow it, or the log fails.
    pub async fn reset_settings(&self, subject: Option<&Subject>) -> Result<Settings, Error> {
        let table = self.table()?;
        let before = table.update(|draft| change::reset_settings(draft, subject)).await?;
        self.take_over(&table, subject);
        Ok(before)
    }

    /// Gives a subject, or all, a mode.
    ///
    /// # Errors
    /// When it must be forced and is not, or the log fails.
    pub async fn set_mode(&self, subject: Option<&Subject>, mode: Mode, force: Force) -> Result<(), Error> {
        self.table()?.update(|draft| change::set_mode(draft, subject, mode, force)).await
    }

    /// Takes a mode back; answers it.
    ///
    /// # Errors
    /// When there was none, or the log fails.
    pub async fn reset_mode(&self, subject: Option<&Subject>) -> Result<Mode, Error> {
        self.table()?.update(|draft| change::reset_mode(draft, subject)).await
    }

    pub(super) fn live(&self) -> &Live {
        &self.0.live
    }

    pub(super) fn judges(&self) -> &Judges {
        &self.0.judges
    }

    pub(super) fn comparer(&self) -> &Comparer {
        &self.0.comparer
    }

    pub(super) fn table(&self) -> Result<Arc<Table>, Error> {
        self.0.table.load_full().ok_or(match self.0.place {
            Place::Here => Error::NotReady,
            Place::Elsewhere => Error::Elsewhere,
        })
    }

    /// Lets events be judged by what was said of a subject, or of all.
    fn take_over(&self, table: &Table, subject: Option<&Subject>) {
        match subject {
            Some(subject) => self.0.live.fill_some(table, &BTreeSet::from([subject.clone()])),
            None => self.0.live.fill(table),
        }
    }

    /// Judges a text by itself and by what it refers to.
    async fn judge(&self, table: &Table, registration: &Registration) -> Result<Wanted, Error> {
        let Registration { kind, text, references, id, version } = registration.clone();
        let named = admission::resolve(table, &references, Deleted::Hidden)?;
        let referred = references
            .iter()
            .map(|reference| reading::referred(table, reference))
            .collect::<Result<_, _>>()?;
        let (text, canonical) = self
            .0
            .judges
            .ask(move || {
                let admitted = admission::admit(kind, &text, &named)?;
                Ok::<_, Error>((admitted.readable.unwrap_or(text), admitted.canonical))
            })
            .await??;
        let content = Content::new(kind, text, &canonical, references);
        Ok(Wanted { content, id, version, fits: None, referred })
    }

    /// How a schema stands beside others.
    async fn compare(
        &self,
        table: &Table,
        comparison: &Comparison,
        content: &Content,
    ) -> Result<Compared, Error> {
        let with =
            comparison.with.iter().filter_map(|(version, id)| Some((*version, rows::content(table, *id)?)));
        let with: Vec<(Version, Content)> = with.filter(|(_, other)| other.guid != content.guid).collect();
        if with.is_empty() {
            return Ok(Compared::default());
        }
        let side = |content: Content| {
            let named = admission::resolve(table, &content.references, Deleted::Shown)?;
            Ok::<_, Error>(Side { content, named })
        };
        let candidate = side(content.clone())?;
        let mut earlier = Vec::with_capacity(with.len());
        for (version, content) in with {
            earlier.push((version, side(content)?));
        }
        let Comparison { level, policy, .. } = *comparison;
        let by = (&self.0.judges, &self.0.comparer);
        compatibility::compare(by, Terms { level, policy }, candidate, earlier).await
    }
}
