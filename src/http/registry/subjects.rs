//! Subjects and their versions.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use crate::auth::Operation;
use crate::http::audit::Act;
use crate::http::call::Call;
use crate::http::query::Segments;
use crate::http::serve::Shared;
use crate::problem::Fault;
use crate::schema::registry::{Deleted, Error, Kind, Registered, Versioned, Which};

use super::asked::{self, Asked};
use super::schemas::formatted;
use super::told::{Refusal, Taken};
use super::{may_read, new_subject_of, require, require_reader, subject_of, tell};

/// As many subjects are listed at once.
const LISTED_MAX: usize = 20_000;

/// The subjects the caller may read.
pub(in crate::http) async fn list(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    asked: Asked,
) -> Result<Response, Refusal> {
    require_reader(&shared, &call)?;
    let mut subjects = shared.parts.schemas.subjects(deleted_of(&asked))?;
    let prefix = prefix_of(&asked);
    subjects.retain(|subject| subject.as_str().starts_with(prefix) && may_read(&shared, &call, subject));
    taken.tell(&asked.page(subjects, LISTED_MAX)?)
}

/// The numbers of a subject's versions.
pub(in crate::http) async fn versions(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    let subject = subject_of(segments.get(0))?;
    require(&shared, &call, Operation::SchemaRead, &subject)?;
    let versions = shared.parts.schemas.versions(&subject, deleted_of(&asked))?;
    taken.tell(&asked.page(versions, usize::MAX)?)
}

/// One version.
pub(in crate::http) async fn version(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    taken.tell(&view(&found(&shared, &call, &segments, &asked).await?))
}

/// The schema of one version, alone.
pub(in crate::http) async fn text(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    Ok(taken.send(found(&shared, &call, &segments, &asked).await?.content.text))
}

/// The ids of the schemas that refer to one version.
pub(in crate::http) async fn referrers(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
) -> Result<Response, Refusal> {
    let subject = subject_of(segments.get(0))?;
    require(&shared, &call, Operation::SchemaRead, &subject)?;
    taken.tell(&shared.parts.schemas.referrers(&subject, Which::parse(segments.get(1))?)?)
}

/// Registers a schema.
pub(in crate::http) async fn register(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
    request: Request,
) -> Result<Response, Refusal> {
    let registration =
        asked::registration(asked::members(request, &shared, &call, asked::REGISTRATION).await?)?;
    let subject = new_subject_of(segments.get(0))?;
    require(&shared, &call, Operation::SchemaWrite, &subject)?;
    let schemas = &shared.parts.schemas;
    // Producers register what they write at every start: what changes nothing is no act.
    let Registered { versioned, change_level } = match schemas.registered(&subject, &registration).await? {
        Some(versioned) => Registered { versioned, change_level: None },
        None => {
            tell(&shared, &call, Act::RegisterSchema(&subject)).await?;
            schemas.register(&subject, &registration).await?
        }
    };
    if !asked.takes_more {
        return taken.tell(&json!({"id": versioned.id}));
    }
    let mut told = view_as_sent(&versioned, registration.text);
    if let Some(members) = told.as_object_mut() {
        members.remove("subject");
        if let Some(level) = change_level {
            members.insert("changeLevel".to_owned(), level.as_str().into());
        }
    }
    taken.tell(&told)
}

/// The version of a subject that has a schema.
pub(in crate::http) async fn look_up(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
    request: Request,
) -> Result<Response, Refusal> {
    let registration =
        asked::registration(asked::members(request, &shared, &call, asked::REGISTRATION).await?)?;
    let subject = subject_of(segments.get(0))?;
    require(&shared, &call, Operation::SchemaRead, &subject)?;
    let found = shared.parts.schemas.look_up(&subject, &registration, deleted_of(&asked)).await?;
    taken.tell(&view_as_sent(&found, registration.text))
}

/// Deletes a subject, or removes a deleted one for good.
pub(in crate::http) async fn delete(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    let subject = subject_of(segments.get(0))?;
    require(&shared, &call, Operation::SchemaWrite, &subject)?;
    let schemas = &shared.parts.schemas;
    let versions = if asked.flag("permanent") {
        tell(&shared, &call, Act::RemoveSubject(&subject)).await?;
        schemas.remove_subject(&subject).await?
    } else {
        tell(&shared, &call, Act::DeleteSubject(&subject)).await?;
        schemas.delete_subject(&subject).await?
    };
    taken.tell(&versions)
}

/// Deletes a version, or removes a deleted one for good.
pub(in crate::http) async fn delete_version(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    let subject = subject_of(segments.get(0))?;
    require(&shared, &call, Operation::SchemaWrite, &subject)?;
    let (schemas, which) = (&shared.parts.schemas, Which::parse(segments.get(1))?);
    let version = if asked.flag("permanent") {
        tell(&shared, &call, Act::RemoveSchema(&subject, which)).await?;
        schemas.remove_version(&subject, which).await?
    } else {
        tell(&shared, &call, Act::DeleteSchema(&subject, which)).await?;
        schemas.delete_version(&subject, which).await?
    };
    taken.tell(&version)
}

/// Whether a schema fits the versions that the subject's level names.
pub(in crate::http) async fn check(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
    request: Request,
) -> Result<Response, Refusal> {
    compare(&shared, &call, taken, (&segments, None), &asked, request).await
}

/// Whether a schema fits one version.
pub(in crate::http) async fn check_version(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
    request: Request,
) -> Result<Response, Refusal> {
    let which = Which::parse(segments.get(1));
    compare(&shared, &call, taken, (&segments, Some(which)), &asked, request).await
}

async fn compare(
    shared: &Shared,
    call: &Call,
    taken: Taken,
    (segments, which): (&Segments, Option<Result<Which, Error>>),
    asked: &Asked,
    request: Request,
) -> Result<Response, Refusal> {
    let registration =
        asked::registration(asked::members(request, shared, call, asked::REGISTRATION).await?)?;
    let (subject, which) = (subject_of(segments.get(0))?, which.transpose()?);
    require(shared, call, Operation::SchemaRead, &subject)?;
    let differences = shared.parts.schemas.check(&subject, which, &registration).await?;
    let mut told = json!({"is_compatible": differences.is_empty()});
    if asked.flag("verbose")
        && let Some(members) = told.as_object_mut()
    {
        members.insert("messages".to_owned(), differences.into());
    }
    taken.tell(&told)
}

async fn found(
    shared: &Shared,
    call: &Call,
    segments: &Segments,
    asked: &Asked,
) -> Result<Versioned, Refusal> {
    let subject = subject_of(segments.get(0))?;
    require(shared, call, Operation::SchemaRead, &subject)?;
    let which = Which::parse(segments.get(1))?;
    let versioned = shared.parts.schemas.version(&subject, which, deleted_of(asked))?;
    let content = formatted(shared, asked, versioned.content).await?;
    Ok(Versioned { content, ..versioned })
}

/// Which versions a query means.
pub(super) fn deleted_of(asked: &Asked) -> Deleted {
    if asked.flag("deletedOnly") || asked.flag("deleted_only") {
        Deleted::Only
    } else if asked.flag("deleted") {
        Deleted::Shown
    } else {
        Deleted::Hidden
    }
}

/// What a subject's name must begin with; the context of all of them may stand before it.
pub(super) fn prefix_of(asked: &Asked) -> &str {
    let prefix = asked.text("subjectPrefix").unwrap_or_default();
    prefix.strip_prefix(":*:").or_else(|| prefix.strip_prefix(":.:")).unwrap_or(prefix)
}

/// A version as callers see it.
pub(super) fn view(versioned: &Versioned) -> Value {
    let Versioned { subject, version, id, is_deleted, content } = versioned;
    let mut told = json!({
        "subject": subject,
        "version": version,
        "id": id,
        "guid": content.guid,
        "schema": content.text,
    });
    if let Some(members) = told.as_object_mut() {
        // Clients take what names no language for Avro.
        if content.kind != Kind::Avro {
            members.insert("schemaType".to_owned(), content.kind.as_str().into());
        }
        if !content.references.is_empty() {
            members.insert("references".to_owned(), json!(content.references));
        }
        if *is_deleted {
            members.insert("deleted".to_owned(), true.into());
        }
    }
    told
}

/// A version as the caller sent it, where that has two forms: clients keep the answer, and read only the form they write.
fn view_as_sent(versioned: &Versioned, text: String) -> Value {
    let mut told = view(versioned);
    if let (Kind::Protobuf, Some(members)) = (versioned.content.kind, told.as_object_mut()) {
        members.insert("schema".to_owned(), text.into());
    }
    told
}

/// The fault of a schema that is not there, or that the caller may not see.
pub(super) fn no_schema() -> Refusal {
    Fault::from(&Error::SchemaNotFound).into()
}
