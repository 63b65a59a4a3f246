//! What the registry tells without changing anything.

use crate::event::Subject;
use crate::schema::SchemaId;

use super::content::{Content, Guid, Version};
use super::error::Error;
use super::handle::Registry;
use super::level::{Mode, Settings};
use super::reading::{self, Deleted, Versioned, Which};
use super::rows;

impl Registry {
    /// The subjects that have versions, by name.
    ///
    /// # Errors
    /// [`Error::NotReady`].
    pub fn subjects(&self, deleted: Deleted) -> Result<Vec<Subject>, Error> {
        Ok(reading::subjects(&*self.table()?, deleted).into_keys().collect())
    }

    /// The last version of each subject, by subject.
    ///
    /// # Errors
    /// [`Error::NotReady`].
    pub fn latest(&self, deleted: Deleted) -> Result<Vec<(Subject, Version)>, Error> {
        let latest = reading::subjects(&*self.table()?, deleted);
        Ok(latest.into_iter().map(|(subject, (version, _))| (subject, version)).collect())
    }

    /// All versions, by subject.
    ///
    /// # Errors
    /// [`Error::NotReady`].
    pub fn places(&self, deleted: Deleted) -> Result<Vec<(Subject, Version)>, Error> {
        Ok(reading::places(&*self.table()?, deleted))
    }

    /// The versions of a subject, oldest first.
    ///
    /// # Errors
    /// When there are none.
    pub fn versions(&self, subject: &Subject, deleted: Deleted) -> Result<Vec<Version>, Error> {
        reading::versions(&*self.table()?, subject, deleted)
    }

    /// One version.
    ///
    /// # Errors
    /// When there is none.
    pub fn version(&self, subject: &Subject, which: Which, deleted: Deleted) -> Result<Versioned, Error> {
        reading::version(&*self.table()?, subject, which, deleted)
    }

    /// A schema by its id, also where another gateway has only just given it out.
    ///
    /// # Errors
    /// When there is none.
    pub async fn schema(&self, id: SchemaId) -> Result<Content, Error> {
        let table = self.table()?;
        if let Some(content) = rows::content(&*table, id) {
            return Ok(content);
        }
        let again = table.update(|draft| Ok::<_, Error>(rows::content(draft, id))).await?;
        again.ok_or(Error::SchemaNotFound)
    }

    /// The id of a schema, by its identity.
    ///
    /// # Errors
    /// When there is none.
    pub fn id(&self, guid: Guid) -> Result<SchemaId, Error> {
        reading::id(&*self.table()?, guid).ok_or(Error::SchemaNotFound)
    }

    /// The highest id that was given out; 0 where none was.
    ///
    /// # Errors
    /// [`Error::NotReady`].
    pub fn last_id(&self) -> Result<i32, Error> {
        let totals: Option<rows::Totals> = rows::value(&*self.table()?, rows::TOTALS);
        Ok(totals.unwrap_or_default().last_id)
    }

    /// Where a schema is used, by subject and version.
    ///
    /// # Errors
    /// [`Error::NotReady`].
    pub fn uses(&self, id: SchemaId, deleted: Deleted) -> Result<Vec<(Subject, Version)>, Error> {
        Ok(reading::uses(&*self.table()?, id, deleted))
    }

    /// The schemas that refer to a version.
    ///
    /// # Errors
    /// When there is no such version.
    pub fn referrers(&self, subject: &Subject, which: Which) -> Result<Vec<SchemaId>, Error> {
        let table = self.table()?;
        let found = reading::version(&*table, subject, which, Deleted::Hidden)?;
        Ok(reading::referrers(&*table, subject, found.version))
    }

    /// What is said of a subject's new versions, or of all subjects'; `None` where nothing is.
    ///
    /// # Errors
    /// [`Error::NotReady`].
    pub fn settings(&self, subject: Option<&Subject>) -> Result<Option<Settings>, Error> {
        Ok(reading::settings(&*self.table()?, subject))
    }

    /// What holds for a subject's new versions, or for those of subjects of which nothing is said.
    ///
    /// # Errors
    /// [`Error::NotReady`].
    pub fn effective_settings(&self, subject: Option<&Subject>) -> Result<Settings, Error> {
        Ok(reading::effective_settings(&*self.table()?, subject))
    }

    /// The mode given to a subject itself, or to all; `None` where none was.
    ///
    /// # Errors
    /// [`Error::NotReady`].
    pub fn mode(&self, subject: Option<&Subject>) -> Result<Option<Mode>, Error> {
        Ok(reading::mode(&*self.table()?, subject))
    }

    /// The mode that holds for a subject, or for those of which nothing is said.
    ///
    /// # Errors
    /// [`Error::NotReady`].
    pub fn effective_mode(&self, subject: Option<&Subject>) -> Result<Mode, Error> {
        Ok(reading::effective_mode(&*self.table()?, subject))
    }
}
