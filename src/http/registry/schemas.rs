//! Schemas by id and by identity, whatever subject they stand under.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

use crate::event::Subject;
use crate::http::call::Call;
use crate::http::query::Segments;
use crate::http::serve::Shared;
use crate::schema::SchemaId;
use crate::schema::registry::{Content, Deleted, Guid, Kind, Version, Which};

use super::asked::Asked;
use super::subjects::{deleted_of, no_schema, prefix_of, view};
use super::told::{Refusal, Taken};
use super::{may_read, require_reader};

/// As many versions are listed at once; their texts leave one by one.
const LISTED_MAX: usize = 1_000;

/// Versions of all subjects the caller may read.
pub(in crate::http) async fn list(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    asked: Asked,
) -> Result<Response, Refusal> {
    require_reader(&shared, &call)?;
    let deleted = deleted_of(&asked);
    let mut places = if asked.flag("latestOnly") {
        shared.parts.schemas.latest(deleted)?
    } else {
        shared.parts.schemas.places(deleted)?
    };
    let prefix = prefix_of(&asked);
    places.retain(|(subject, _)| subject.as_str().starts_with(prefix) && may_read(&shared, &call, subject));
    let places = asked.page(places, LISTED_MAX)?;
    let schemas = shared.parts.schemas.clone();
    let mut before = "";
    let items = places.into_iter().filter_map(move |(subject, version)| {
        let versioned = schemas.version(&subject, Which::Number(version), Deleted::Shown).ok()?;
        let item = format!("{before}{}", view(&versioned));
        before = ",";
        Some(Bytes::from(item))
    });
    let parts = std::iter::once(Bytes::from_static(b"[")).chain(items).chain([Bytes::from_static(b"]")]);
    Ok(taken.send(Body::from_stream(stream::iter(parts.map(Ok::<_, Infallible>)))))
}

/// The languages of schemas that are taken.
pub(in crate::http) async fn types(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
) -> Result<Response, Refusal> {
    require_reader(&shared, &call)?;
    taken.tell(&Kind::ALL.map(Kind::as_str))
}

/// A schema.
pub(in crate::http) async fn by_id(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    let (_, content) = visible(&shared, &call, segments.get(0)).await?;
    let content = formatted(&shared, &asked, content).await?;
    let mut told = content_view(&content);
    if asked.flag("fetchMaxId")
        && let Some(members) = told.as_object_mut()
    {
        members.insert("maxId".to_owned(), shared.parts.schemas.last_id()?.into());
    }
    taken.tell(&told)
}

/// A schema, alone.
pub(in crate::http) async fn text(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    let (_, content) = visible(&shared, &call, segments.get(0)).await?;
    Ok(taken.send(formatted(&shared, &asked, content).await?.text))
}

/// The subjects that use a schema.
pub(in crate::http) async fn subjects(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    let uses = uses(&shared, &call, segments.get(0), &asked).await?;
    let mut subjects: Vec<Subject> = uses.into_iter().map(|(subject, _)| subject).collect();
    subjects.dedup();
    taken.tell(&asked.page(subjects, usize::MAX)?)
}

/// The versions that use a schema.
pub(in crate::http) async fn versions(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    let uses = uses(&shared, &call, segments.get(0), &asked).await?;
    let view = |(subject, version): &(Subject, Version)| json!({"subject": subject, "version": version});
    taken.tell(&asked.page(uses.iter().map(view).collect(), usize::MAX)?)
}

/// A schema by its identity.
pub(in crate::http) async fn by_guid(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    let (_, content) = identified(&shared, &call, segments.get(0)).await?;
    taken.tell(&content_view(&formatted(&shared, &asked, content).await?))
}

/// The id of an identity, in the one context there is.
pub(in crate::http) async fn ids(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
) -> Result<Response, Refusal> {
    let (id, _) = identified(&shared, &call, segments.get(0)).await?;
    taken.tell(&json!([{"context": ".", "id": id}]))
}

/// A schema that stands under a subject the caller may read.
async fn visible(shared: &Shared, call: &Call, id: &str) -> Result<(SchemaId, Content), Refusal> {
    require_reader(shared, call)?;
    let id = id.parse().ok().and_then(SchemaId::new).ok_or_else(no_schema)?;
    let content = shared.parts.schemas.schema(id).await?;
    let uses = shared.parts.schemas.uses(id, Deleted::Shown)?;
    let is_visible = uses.iter().any(|(subject, _)| may_read(shared, call, subject));
    if is_visible { Ok((id, content)) } else { Err(no_schema()) }
}

async fn identified(shared: &Shared, call: &Call, guid: &str) -> Result<(SchemaId, Content), Refusal> {
    require_reader(shared, call)?;
    let guid = Guid::parse(guid).ok_or_else(no_schema)?;
    let id = shared.parts.schemas.id(guid)?;
    visible(shared, call, &id.to_string()).await
}

/// A schema in the form that is asked for; forms that are not known are the text as it was registered.
pub(super) async fn formatted(shared: &Shared, asked: &Asked, content: Content) -> Result<Content, Refusal> {
    if asked.text("format") != Some("serialized") {
        return Ok(content);
    }
    let text = shared.parts.schemas.serialized(&content).await?;
    Ok(Content { text, ..content })
}

/// Where a schema is used, as far as the caller may know.
async fn uses(
    shared: &Shared,
    call: &Call,
    id: &str,
    asked: &Asked,
) -> Result<Vec<(Subject, Version)>, Refusal> {
    let (id, _) = visible(shared, call, id).await?;
    let mut uses = shared.parts.schemas.uses(id, deleted_of(asked))?;
    uses.retain(|(subject, _)| may_read(shared, call, subject));
    Ok(uses)
}

fn content_view(content: &Content) -> Value {
    let mut told = json!({"schema": content.text, "guid": content.guid});
    if let Some(members) = told.as_object_mut() {
        if content.kind != Kind::Avro {
            members.insert("schemaType".to_owned(), content.kind.as_str().into());
        }
        if !content.references.is_empty() {
            members.insert("references".to_owned(), json!(content.references));
        }
    }
    told
}
