//! What is asked of new versions, what may be changed, and the rest that clients ask for.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::auth::Operation;
use crate::event::Subject;
use crate::http::audit::Act;
use crate::http::call::Call;
use crate::http::query::Segments;
use crate::http::serve::Shared;
use crate::problem::{Code, Fault, Problem};
use crate::schema::registry::{Error, Force, Level, Mode, Policy, Settings};

use super::asked::{self, Asked};
use super::told::{Refusal, Taken};
use super::{require, require_all, require_reader, subject_of, tell};

/// Members of a configuration that this registry does not keep: to pass over them would promise what is not done.
const NOT_KEPT: [&str; 7] = [
    "alias",
    "compatibilityGroup",
    "defaultMetadata",
    "defaultRuleSet",
    "overrideMetadata",
    "overrideRuleSet",
    "validateFields",
];

/// What holds for a subject, or for all.
pub(in crate::http) async fn config(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    let subject = read_subject(&shared, &call, &segments)?;
    let schemas = &shared.parts.schemas;
    let settings = match (&subject, schemas.settings(subject.as_ref())?) {
        (Some(_), Some(settings)) => settings,
        (Some(subject), None) if !asked.flag("defaultToGlobal") => {
            return Err(Error::NoSettings(subject.clone()).into());
        }
        (Some(_) | None, _) => schemas.effective_settings(subject.as_ref())?,
    };
    taken.tell(&view(settings))
}

/// Says what shall hold.
pub(in crate::http) async fn put_config(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    request: Request,
) -> Result<Response, Refusal> {
    let members = asked::members(request, &shared, &call, r#"{"compatibility": "BACKWARD"}"#).await?;
    let settings = settings_of(&members)?;
    let subject = written_subject(&shared, &call, &segments)?;
    tell(&shared, &call, Act::PutSchemaConfig(subject.as_ref())).await?;
    shared.parts.schemas.set_settings(subject.as_ref(), settings).await?;
    taken.tell(&settings)
}

/// Takes back what was said; answers it.
pub(in crate::http) async fn delete_config(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
) -> Result<Response, Refusal> {
    let subject = written_subject(&shared, &call, &segments)?;
    tell(&shared, &call, Act::DeleteSchemaConfig(subject.as_ref())).await?;
    taken.tell(&view(shared.parts.schemas.reset_settings(subject.as_ref()).await?))
}

/// The mode of a subject, or of all.
pub(in crate::http) async fn mode(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
) -> Result<Response, Refusal> {
    let subject = read_subject(&shared, &call, &segments)?;
    let schemas = &shared.parts.schemas;
    let mode = match (&subject, schemas.mode(subject.as_ref())?) {
        (Some(_), Some(mode)) => mode,
        (Some(subject), None) if !asked.flag("defaultToGlobal") => {
            return Err(Error::NoMode(subject.clone()).into());
        }
        (Some(_) | None, _) => schemas.effective_mode(subject.as_ref())?,
    };
    taken.tell(&json!({"mode": mode}))
}

/// Gives a mode.
pub(in crate::http) async fn put_mode(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
    asked: Asked,
    request: Request,
) -> Result<Response, Refusal> {
    let members = asked::members(request, &shared, &call, r#"{"mode": "READONLY"}"#).await?;
    let mode = members.get("mode").and_then(Value::as_str).and_then(Mode::parse);
    let problem = "'mode' must be READWRITE, READONLY, READONLY_OVERRIDE or IMPORT";
    let mode = mode.ok_or_else(|| Fault::new(42_204, problem))?;
    let subject = written_subject(&shared, &call, &segments)?;
    let force = if asked.flag("force") { Force::Yes } else { Force::No };
    tell(&shared, &call, Act::PutSchemaMode(subject.as_ref())).await?;
    shared.parts.schemas.set_mode(subject.as_ref(), mode, force).await?;
    taken.tell(&json!({"mode": mode}))
}

/// Takes a mode back; answers it.
pub(in crate::http) async fn delete_mode(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
    segments: Segments,
) -> Result<Response, Refusal> {
    let subject = written_subject(&shared, &call, &segments)?;
    tell(&shared, &call, Act::DeleteSchemaMode(subject.as_ref())).await?;
    taken.tell(&json!({"mode": shared.parts.schemas.reset_mode(subject.as_ref()).await?}))
}

/// The contexts: there is one.
pub(in crate::http) async fn contexts(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
) -> Result<Response, Refusal> {
    require_reader(&shared, &call)?;
    taken.tell(&json!(["."]))
}

/// Which cluster this is: tools ask it of Confluent's registries, which have an id there only where they are a service.
pub(in crate::http) async fn cluster(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
) -> Result<Response, Refusal> {
    require_reader(&shared, &call)?;
    taken.tell(&json!({"id": "", "scope": {"path": [], "clusters": {"schema-registry-cluster": "weirgate"}}}))
}

/// Which version this is: the gateway's own, which says nothing of Confluent's.
pub(in crate::http) async fn release(
    State(shared): State<Arc<Shared>>,
    call: Call,
    taken: Taken,
) -> Result<Response, Refusal> {
    require_reader(&shared, &call)?;
    taken.tell(&json!({"version": env!("CARGO_PKG_VERSION"), "commitId": ""}))
}

/// What clients ask first: whether a topic has subjects of other names. None has, and they go by the topic's name then.
/// Whoever they are, since another answer ends them.
pub(in crate::http) async fn associations(_call: Call) -> Refusal {
    Problem::new(Code::NotFound, "this registry has no associations").into()
}

/// The subject of a path, where there is one, which the caller may read.
fn read_subject(shared: &Shared, call: &Call, segments: &Segments) -> Result<Option<Subject>, Refusal> {
    let Some(subject) = named(segments)? else {
        require_reader(shared, call)?;
        return Ok(None);
    };
    require(shared, call, Operation::SchemaRead, &subject)?;
    Ok(Some(subject))
}

/// The subject of a path, where there is one, which the caller may change.
fn written_subject(shared: &Shared, call: &Call, segments: &Segments) -> Result<Option<Subject>, Refusal> {
    let Some(subject) = named(segments)? else {
        require_all(shared, call, Operation::SchemaWrite)?;
        return Ok(None);
    };
    require(shared, call, Operation::SchemaWrite, &subject)?;
    Ok(Some(subject))
}

fn named(segments: &Segments) -> Result<Option<Subject>, Refusal> {
    match segments.get(0) {
        "" => Ok(None),
        text => subject_of(text).map(Some),
    }
}

fn settings_of(members: &Map<String, Value>) -> Result<Settings, Refusal> {
    if let Some(name) = NOT_KEPT.iter().find(|name| members.get(**name).is_some_and(|value| !value.is_null()))
    {
        return Err(Fault::new(42_203, format!("this registry does not keep '{name}'")).into());
    }
    let given = |name: &str| members.get(name).filter(|value| !value.is_null());
    let problem = "'compatibility' must be NONE, or BACKWARD, FORWARD or FULL, with or without _TRANSITIVE";
    let level =
        |value: &Value| value.as_str().and_then(Level::parse).ok_or_else(|| Fault::new(42_203, problem));
    let compatibility = given("compatibility").map(level).transpose()?;
    let problem = "'compatibilityPolicy' must be STRICT or LENIENT";
    let policy =
        |value: &Value| value.as_str().and_then(Policy::parse).ok_or_else(|| Fault::new(42_203, problem));
    let policy = given("compatibilityPolicy").map(policy).transpose()?;
    if compatibility.is_none() && policy.is_none() {
        return Err(Fault::new(42_203, "the body needs 'compatibility' or 'compatibilityPolicy'").into());
    }
    Ok(Settings { compatibility, policy })
}

/// Settings as they are read; they are written under another name.
fn view(settings: Settings) -> Value {
    let mut told = json!({"compatibilityLevel": settings.compatibility.unwrap_or_default()});
    if let (Some(policy), Some(members)) = (settings.policy, told.as_object_mut()) {
        members.insert("compatibilityPolicy".to_owned(), json!(policy));
    }
    told
}
