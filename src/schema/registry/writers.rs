//! Schemas that wrote records: any version of any subject, deleted ones too, by id or GUID.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use crate::event::{EventType, Subject};
use crate::log;
use crate::schema::SchemaId;
use crate::schema::codec::Rule;
use crate::schema::decoder::{Language, Wanted, Writers};
use crate::schema::framing::Writer;

use super::admission::Whole;
use super::content::Kind;
use super::error::Error;
use super::handle::Registry;
use super::live::{Lack, Texts, WEIGHT_FACTOR, WEIGHT_MIN};
use super::reading;

/// How soon the table is asked again that could not be read to its end.
const AGAIN: Duration = Duration::from_millis(100);
/// That records are JSON is all that is kept of a JSON Schema.
const JSON_WEIGHT: usize = 256;

#[async_trait]
impl Writers for Registry {
    fn find(&self, writer: Writer) -> Option<(Language, usize)> {
        let table = self.table().ok()?;
        let id = match writer {
            Writer::Id(id) => id,
            Writer::Guid(guid) => reading::id(&*table, guid)?,
        };
        language(writer, table.whole(id))
    }

    fn latest(&self, event_type: &EventType) -> Option<SchemaId> {
        self.live().latest(event_type)
    }

    async fn learn(&self, wanted: &[Wanted]) {
        let table = loop {
            if let Ok(table) = self.table()
                && table.update(|_| Ok::<_, log::Error>(())).await.is_ok()
            {
                break table;
            }
            sleep(AGAIN).await;
        };
        // Who follows the table may not have come so far.
        self.live().fill_some(&*table, &wanted.iter().flat_map(subjects).collect());
    }
}

/// The subjects that may have the latest schema that is wanted: a type's own, and that of its first version.
fn subjects(wanted: &Wanted) -> impl Iterator<Item = Subject> {
    let event_type = match wanted {
        Wanted::Schema(_) => None,
        Wanted::Latest(event_type) => Some(event_type),
    };
    event_type.into_iter().flat_map(|event_type| {
        ["", ".v1"]
            .into_iter()
            .filter_map(move |version| Subject::parse(&format!("{event_type}{version}-value")).ok())
    })
}

/// How data was written by a schema, and what that weighs; `None` where its text is not to be had.
pub(super) fn language(writer: Writer, whole: Result<Whole, Lack>) -> Option<(Language, usize)> {
    let weight = |text: &str| (text.len() * WEIGHT_FACTOR).max(WEIGHT_MIN);
    let admitted = match whole {
        Ok(Whole { kind: Kind::Json, .. }) => return Some((Language::Json, JSON_WEIGHT)),
        Ok(whole) => whole.admit().map(|admitted| (admitted.rule, weight(&whole.text))),
        Err(Lack::Broken(Error::SchemaNotFound) | Lack::Unfetched) => return None,
        Err(Lack::Broken(error)) => Err(error),
    };
    Some(match admitted {
        Ok((Rule::Coded(codec), weight)) => (Language::Coded(codec), weight),
        Ok((Rule::Json(_), _)) => (Language::Json, JSON_WEIGHT),
        Err(error) => {
            tracing::error!(%error, "the registered schema with {writer} cannot be compiled");
            (Language::Unusable, WEIGHT_MIN)
        }
    })
}
