//! Fetching what is wished for, with all that it refers to, into what is known.

use std::collections::HashSet;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::client::{Body, Error, Patience, Place};
use super::handle::Shared;
use super::library::{Name, Text, Versioned};
use super::types::Found;
use super::wish::Wish;
use crate::event::{EventType, Subject};
use crate::schema::framing::Writer;
use crate::schema::registry::content::Reference;
use crate::schema::registry::level::Policy;
use crate::schema::registry::live::Latest;

/// A schema may refer to this many others, theirs included; more are refused when it is compiled.
const REFERENCES_MAX: usize = 100;

/// Grants a wish; what is not there is known not to be.
pub(super) async fn fetch(shared: &Arc<Shared>, wish: &Wish, patience: Patience) -> Result<(), Error> {
    match wish {
        Wish::Type(event_type) => {
            let found = find(shared, event_type, patience).await?;
            shared.types.note(event_type, found);
            Ok(())
        }
        Wish::Schema(writer) => schema(shared, *writer, patience).await,
    }
}

/// Takes over what judges a type: its own subject, or that of its first version where it names none.
async fn find(shared: &Arc<Shared>, event_type: &EventType, patience: Patience) -> Result<Found, Error> {
    if take(shared, event_type, patience).await? {
        return Ok(Found::Own);
    }
    let first = EventType::parse(&format!("{event_type}.v1")).ok();
    if let Some(first) = first.filter(|_| event_type.major().is_none())
        && take(shared, &first, patience).await?
    {
        return Ok(Found::First);
    }
    Ok(Found::Nothing)
}

/// Takes over the latest version of a type's own subject; whether there is one.
async fn take(shared: &Arc<Shared>, event_type: &EventType, patience: Patience) -> Result<bool, Error> {
    let Ok(subject) = Subject::parse(&format!("{event_type}-value")) else { return Ok(false) };
    let place = ["subjects", subject.as_str(), "versions", "latest"];
    let versioned: Option<Versioned> = get(shared, Place::new(&place), patience).await?;
    let mut latest = None;
    if let Some(Versioned { id, version, text }) = versioned {
        let text = Arc::new(text);
        references(shared, &text, patience).await?;
        let guid = text.guid;
        let by_guid = guid.map(|guid| Name::Schema(Writer::Guid(guid)));
        let names = [Name::Schema(Writer::Id(id)), Name::Version(subject.clone(), version)];
        shared.library.put(names.into_iter().chain(by_guid), &text);
        // What it holds is held to the letter: whether it closes schemas is not asked of every registry.
        latest = Some(Latest { id, guid, policy: Policy::Strict });
    }
    let (taking, event_type) = (Arc::clone(shared), event_type.clone());
    let taken = shared.judges.ask(move || {
        let Shared { live, library, .. } = &*taking;
        live.take(library, (&event_type, &subject), latest);
    });
    taken.await.map_err(Error::Unjudged)?;
    Ok(latest.is_some())
}

/// Fetches a schema, where there is one.
async fn schema(shared: &Shared, writer: Writer, patience: Patience) -> Result<(), Error> {
    if shared.library.whole_of(writer).is_ok() {
        return Ok(());
    }
    let (kind, name) = match writer {
        Writer::Id(id) => ("ids", id.to_string()),
        Writer::Guid(guid) => ("guids", guid.to_string()),
    };
    let place = ["schemas", kind, &name];
    let found: Option<Text> = match (get(shared, Place::new(&place), patience).await, writer) {
        // Older registries have no GUIDs, and no such place.
        (Err(Error::NoRegistry { .. }), Writer::Guid(_)) => None,
        (found, Writer::Id(_) | Writer::Guid(_)) => found?,
    };
    let Some(text) = found.map(Arc::new) else { return Ok(()) };
    references(shared, &text, patience).await?;
    shared.library.put([Name::Schema(writer)], &text);
    Ok(())
}

/// Fetches all that a schema refers to, itself or through others, and is not there.
async fn references(shared: &Shared, text: &Text, patience: Patience) -> Result<(), Error> {
    let mut rest: Vec<Reference> = text.references.clone();
    let mut seen: HashSet<Name> = HashSet::new();
    while let Some(reference) = rest.pop() {
        let name = Name::Version(reference.subject.clone(), reference.version);
        if seen.len() >= REFERENCES_MAX || !seen.insert(name.clone()) {
            continue;
        }
        let text = match shared.library.find(&name) {
            Some(text) => text,
            None => version(shared, name, reference, patience).await?,
        };
        rest.extend(text.references.iter().cloned());
    }
    Ok(())
}

/// Fetches one version, also one that was deleted since.
async fn version(
    shared: &Shared,
    name: Name,
    reference: Reference,
    patience: Patience,
) -> Result<Arc<Text>, Error> {
    let number = reference.version.to_string();
    let segments = ["subjects", reference.subject.as_str(), "versions", &number];
    let place = Place { segments: &segments, query: Some("deleted=true") };
    let versioned: Option<Versioned> = get(shared, place, patience).await?;
    let Some(Versioned { id, text, .. }) = versioned else { return Err(Error::Dangling(reference)) };
    let text = Arc::new(text);
    shared.library.put([name, Name::Schema(Writer::Id(id))], &text);
    Ok(text)
}

async fn get<T: DeserializeOwned>(
    shared: &Shared,
    place: Place<'_>,
    patience: Patience,
) -> Result<Option<T>, Error> {
    let Some(Body { address, bytes }) = shared.source.get(place, patience).await? else { return Ok(None) };
    let malformed = |error| Error::Malformed { address, source: Arc::new(error) };
    serde_json::from_slice(&bytes).map(Some).map_err(malformed)
}
