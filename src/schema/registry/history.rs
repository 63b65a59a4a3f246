//! How one version of a subject differs from another.

use serde_json::Value;

use crate::event::Subject;
use crate::schema::compat::Report;

use super::admission;
use super::compatibility::{self, Side, Terms};
use super::content::Content;
use super::error::Error;
use super::handle::Registry;
use super::level::Level;
use super::reading::{self, Deleted, Versioned, Which};

/// Two versions side by side.
#[derive(Debug)]
pub struct Difference {
    /// The earlier one, as it was asked for.
    pub from: Versioned,
    /// The later one.
    pub to: Versioned,
    /// Both schemas, each with all that it refers to; `None` where they are not told as JSON Schemas.
    pub schemas: Option<(Value, Value)>,
    /// What the change means by the subject's level and policy; `None` where the two cannot be compared.
    pub report: Option<Report>,
}

impl Registry {
    /// How a version differs from another one.
    ///
    /// # Errors
    /// When one is not there; when too much is being judged.
    pub async fn difference(&self, subject: &Subject, from: Which, to: Which) -> Result<Difference, Error> {
        let table = self.table()?;
        let version = |which| reading::version(&*table, subject, which, Deleted::Hidden);
        let (from, to) = (version(from)?, version(to)?);
        let settings = reading::comparison(&*table, subject);
        let side = |content: &Content| {
            let named = admission::resolve(&*table, &content.references, Deleted::Shown)?;
            Ok::<_, Error>(Side { content: content.clone(), named })
        };
        let sides = [side(&from.content)?, side(&to.content)?];
        let told = sides.clone();
        let write = move || {
            told.each_ref().map(|Side { content, named }| {
                admission::contract(content.kind, &content.text, named).map(|(schema, _)| schema)
            })
        };
        let told: [Option<Value>; 2] = self.judges().ask(write).await?;
        let report = if from.content.kind == to.content.kind {
            // Where nothing is asked of versions, it is told what breaks the readers of old data.
            let level = if settings.level == Level::None { Level::Backward } else { settings.level };
            let ([old, new], terms) = (sides, Terms { level, policy: settings.policy });
            compatibility::report((self.judges(), self.comparer()), terms, new, vec![old]).await?.ok()
        } else {
            None
        };
        let [old, new] = told;
        Ok(Difference { from, to, schemas: old.zip(new), report })
    }
}
