//! Acts that must be told with who did them: what administrators changed, schemas among it, payloads that were seen, letters
//! that were settled.
//!
//! Each is a CloudEvent in the topic `_weirgate.audit`, which is made on first need, and a line of the log under the target
//! `weirgate::audit`. It is told before it is done, and what cannot be told is not done, but for what a signal asks. It never
//! holds what was seen or written.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::auth::Operation;
use crate::delivery::{DeadLetterId, JobId};
use crate::event::{GroupName, HeaderName, Headers, Partition, Subject, Timestamp, Topic};
use crate::log::{self, Append, Cleanup, EventLog, NewRecord, TopicSpec};
use crate::problem::{Code, Problem};
use crate::schema::registry::Which;

use super::call::Call;
use super::serve::Shared;

const RETENTION: Duration = Duration::from_secs(365 * 86_400);
/// A log that takes longer has not taken it.
const WRITE_MAX: Duration = Duration::from_secs(10);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What somebody is about to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act<'a> {
    /// See a letter's event.
    SeePayload(&'a GroupName, &'a DeadLetterId),
    /// Write a note to a letter.
    Annotate(&'a GroupName, &'a DeadLetterId),
    /// Declare a letter unneeded.
    Discard(&'a GroupName, &'a DeadLetterId),
    /// Send a letter back.
    Redrive(&'a GroupName, &'a DeadLetterId),
    /// Send many letters back.
    BeginRedrive(&'a GroupName),
    /// End that.
    CancelRedrive(&'a JobId),
    /// Deliver a range to a group once more.
    BeginReplay(&'a GroupName),
    /// End that.
    CancelReplay(&'a JobId),
    /// Make a group or change its policy.
    PutGroup(&'a GroupName),
    /// Delete a group.
    DeleteGroup(&'a GroupName),
    /// Move a group's offsets.
    ResetGroup(&'a GroupName),
    /// Tell a group to go on.
    ResumeGroup(&'a GroupName),
    /// Make a schema a version of a subject.
    RegisterSchema(&'a Subject),
    /// Delete all versions of a subject.
    DeleteSubject(&'a Subject),
    /// Remove a deleted subject for good.
    RemoveSubject(&'a Subject),
    /// Delete a version of a subject.
    DeleteSchema(&'a Subject, Which),
    /// Remove a deleted version for good.
    RemoveSchema(&'a Subject, Which),
    /// Say what is asked of new versions, of a subject or of all.
    PutSchemaConfig(Option<&'a Subject>),
    /// Take that back.
    DeleteSchemaConfig(Option<&'a Subject>),
    /// Say what may be changed, in a subject or in all.
    PutSchemaMode(Option<&'a Subject>),
    /// Take that back.
    DeleteSchemaMode(Option<&'a Subject>),
    /// Read the configuration again, grants among it.
    Reload,
}

impl Act<'_> {
    const fn method(self) -> &'static str {
        match self {
            Self::SeePayload(..) => "dead_letter.payload",
            Self::Annotate(..) => "dead_letter.annotate",
            Self::Discard(..) => "dead_letter.discard",
            Self::Redrive(..) => "dead_letter.redrive",
            Self::BeginRedrive(_) => "redrive.begin",
            Self::CancelRedrive(_) => "redrive.cancel",
            Self::BeginReplay(_) => "replay.begin",
            Self::CancelReplay(_) => "replay.cancel",
            Self::PutGroup(_) => "group.put",
            Self::DeleteGroup(_) => "group.delete",
            Self::ResetGroup(_) => "group.reset",
            Self::ResumeGroup(_) => "group.resume",
            Self::RegisterSchema(_) => "schema.register",
            Self::DeleteSubject(_) => "subject.delete",
            Self::RemoveSubject(_) => "subject.remove",
            Self::DeleteSchema(..) => "schema.delete",
            Self::RemoveSchema(..) => "schema.remove",
            Self::PutSchemaConfig(_) => "schema_config.put",
            Self::DeleteSchemaConfig(_) => "schema_config.delete",
            Self::PutSchemaMode(_) => "schema_mode.put",
            Self::DeleteSchemaMode(_) => "schema_mode.delete",
            Self::Reload => "config.reload",
        }
    }

    /// What allowed it.
    const fn operation(self) -> Operation {
        match self {
            Self::SeePayload(..) => Operation::DeadLetterPayload,
            Self::Annotate(..)
            | Self::Discard(..)
            | Self::Redrive(..)
            | Self::BeginRedrive(_)
            | Self::CancelRedrive(_) => Operation::DeadLetterRedrive,
            Self::BeginReplay(_) | Self::CancelReplay(_) => Operation::Replay,
            Self::PutGroup(_) | Self::DeleteGroup(_) | Self::ResetGroup(_) | Self::ResumeGroup(_) => {
                Operation::GroupAdmin
            }
            Self::RegisterSchema(_)
            | Self::DeleteSubject(_)
            | Self::RemoveSubject(_)
            | Self::DeleteSchema(..)
            | Self::RemoveSchema(..)
            | Self::PutSchemaConfig(_)
            | Self::DeleteSchemaConfig(_)
            | Self::PutSchemaMode(_)
            | Self::DeleteSchemaMode(_) => Operation::SchemaWrite,
            Self::Reload => Operation::Admin,
        }
    }
}

/// What it is about.
impl fmt::Display for Act<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SeePayload(group, id)
            | Self::Annotate(group, id)
            | Self::Discard(group, id)
            | Self::Redrive(group, id) => {
                write!(formatter, "groups/{group}/dead-letters/{id}")
            }
            Self::BeginRedrive(group) => write!(formatter, "groups/{group}/redrives"),
            Self::CancelRedrive(id) => write!(formatter, "redrives/{id}"),
            Self::BeginReplay(group) => write!(formatter, "groups/{group}/replays"),
            Self::CancelReplay(id) => write!(formatter, "replays/{id}"),
            Self::PutGroup(group)
            | Self::DeleteGroup(group)
            | Self::ResetGroup(group)
            | Self::ResumeGroup(group) => write!(formatter, "groups/{group}"),
            Self::RegisterSchema(subject) | Self::DeleteSubject(subject) | Self::RemoveSubject(subject) => {
                write!(formatter, "registry/subjects/{subject}")
            }
            Self::DeleteSchema(subject, which) | Self::RemoveSchema(subject, which) => {
                write!(formatter, "registry/subjects/{subject}/versions/{which}")
            }
            Self::PutSchemaConfig(subject) | Self::DeleteSchemaConfig(subject) => {
                write_setting(formatter, "config", *subject)
            }
            Self::PutSchemaMode(subject) | Self::DeleteSchemaMode(subject) => {
                write_setting(formatter, "mode", *subject)
            }
            Self::Reload => formatter.write_str("config"),
        }
    }
}

fn write_setting(formatter: &mut fmt::Formatter<'_>, name: &str, subject: Option<&Subject>) -> fmt::Result {
    match subject {
        Some(subject) => write!(formatter, "registry/{name}/{subject}"),
        None => write!(formatter, "registry/{name}"),
    }
}

/// Tells of an act that the caller may do and is about to; it must not be done where that fails.
pub(super) async fn tell(shared: &Shared, call: &Call, act: Act<'_>) -> Result<(), Problem> {
    let principal = call.principal()?;
    let request = json!({ "requestId": call.id(), "correlationId": call.correlation_id() });
    let record = record(principal.id(), act, &request, shared.parts.clock.now());
    if let Err(error) = write(&*shared.parts.log, record).await {
        tracing::error!(act = act.method(), request.id = call.id(), %error, "an act cannot be told in the audit trail; it is refused");
        let detail = "what was to be done cannot be told in the audit trail, and so was not done; try again";
        return Err(Problem::new(Code::LogUnavailable, detail).with_retry_after(RETRY_AFTER));
    }
    tracing::info!(
        target: "weirgate::audit",
        act = act.method(),
        principal = principal.id(),
        request.id = call.id(),
        resource = %act,
        "an act that is told"
    );
    Ok(())
}

/// Tells of a reload by a signal. Nobody can be answered, and whoever may send it may do anything to the process: it is
/// done also where it cannot be told, so that a grant can be taken back while the log is away.
pub(crate) async fn tell_signal(log: &dyn EventLog, now: Timestamp) {
    const PRINCIPAL: &str = "operator:signal";
    let act = Act::Reload;
    let record = record(PRINCIPAL, act, &json!({ "signal": "SIGHUP" }), now);
    let told = write(log, record).await;
    if let Err(error) = &told {
        tracing::error!(act = act.method(), %error, "a reload by a signal cannot be told in the audit trail; it is done all the same");
    }
    tracing::info!(
        target: "weirgate::audit",
        act = act.method(),
        principal = PRINCIPAL,
        resource = %act,
        is_in_trail = told.is_ok(),
        "a reload by a signal"
    );
}

/// A CloudEvent in binary mode; the members of its data have the names that Confluent's audit log gives them.
fn record(principal: &str, act: Act<'_>, request: &Value, now: Timestamp) -> NewRecord {
    let resource = act.to_string();
    let data = json!({
        "serviceName": "weirgate",
        "methodName": act.method(),
        "resourceName": resource,
        "authenticationInfo": { "principal": principal },
        "authorizationInfo": { "granted": true, "operation": act.operation().as_str() },
        "request": request,
    });
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", Uuid::new_v4().to_string()),
        ("ce_source", "weirgate".to_owned()),
        ("ce_type", format!("weirgate.audit.{}", act.method())),
        ("ce_time", now.to_string()),
        ("ce_subject", resource),
        ("content-type", "application/json".to_owned()),
    ];
    let headers = headers.map(|(name, value)| (HeaderName::from(name), Some(Bytes::from(value))));
    NewRecord {
        key: None,
        value: Some(data.to_string().into()),
        headers: Headers::new(headers.into()),
        timestamp: None,
    }
}

async fn write(log: &dyn EventLog, record: NewRecord) -> Result<(), log::Error> {
    timeout(WRITE_MAX, append(log, record)).await.unwrap_or(Err(log::Error::OutcomeUnknown))
}

async fn append(log: &dyn EventLog, record: NewRecord) -> Result<(), log::Error> {
    let topic = Topic::audit();
    if log.topic(&topic).is_none() {
        let spec = TopicSpec {
            name: topic.clone(),
            partitions: 1,
            cleanup: Cleanup::Delete,
            retention: Some(RETENTION),
            retention_bytes: None,
        };
        log.ensure_topic(&spec).await?;
    }
    log.append(Append { topic, partition: Partition::new(0), records: vec![record] }).await.map(drop)
}
