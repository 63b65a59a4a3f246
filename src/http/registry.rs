//! The schema registry's API, as clients of Confluent's know it: its paths, media types, numbers of errors and habits.
//!
//! Handlers ask the caller's rights on the subject, then the registry of `schema`; nothing is decided here.

mod address;
mod asked;
pub(super) mod schemas;
pub(super) mod settings;
pub(super) mod subjects;
mod told;

pub use address::{RegistryPath, RegistryPathError};
pub(super) use told::write_problem;

use crate::auth::{Object, Operation};
use crate::event::Subject;
use crate::problem::{Code, Fault, Problem};

use super::answer::problem_of;
use super::audit::{self, Act};
use super::call::Call;
use super::serve::Shared;

use told::Refusal;

/// The subject that a path or member names.
fn subject_of(text: &str) -> Result<Subject, Refusal> {
    Subject::parse(text).map_err(|error| Fault::new(42_208, error.to_string()).into())
}

/// The subject of a registration. Clients take `.` and `..` out of addresses, however they are written, so what stood under
/// such a name could not be asked for again.
fn new_subject_of(text: &str) -> Result<Subject, Refusal> {
    let subject = subject_of(text)?;
    if matches!(subject.as_str(), "." | "..") {
        return Err(Fault::new(
            42_208,
            "subject must not be '.' or '..', which clients take out of addresses",
        )
        .into());
    }
    Ok(subject)
}

/// Refuses whoever may not do this to a subject.
fn require(shared: &Shared, call: &Call, operation: Operation, subject: &Subject) -> Result<(), Problem> {
    decide(shared, call, operation, Object::Subject(subject))
}

/// Refuses whoever may not do this to all subjects there are and may ever be.
fn require_all(shared: &Shared, call: &Call, operation: Operation) -> Result<(), Problem> {
    decide(shared, call, operation, Object::AllSubjects)
}

/// Tells of a change that is about to be made, where the registry can make any.
async fn tell(shared: &Shared, call: &Call, act: Act<'_>) -> Result<(), Refusal> {
    shared.parts.schemas.require_ready()?;
    Ok(audit::tell(shared, call, act).await?)
}

/// Refuses whoever may read no subject at all.
fn require_reader(shared: &Shared, call: &Call) -> Result<(), Problem> {
    let may = shared.parts.authenticator.allows_any(call.principal()?, Operation::SchemaRead);
    if may { Ok(()) } else { Err(Problem::hidden(Code::Forbidden)) }
}

/// Whether the caller may read a subject.
fn may_read(shared: &Shared, call: &Call, subject: &Subject) -> bool {
    require(shared, call, Operation::SchemaRead, subject).is_ok()
}

fn decide(shared: &Shared, call: &Call, operation: Operation, object: Object<'_>) -> Result<(), Problem> {
    let access = shared.parts.authenticator.authorize(call.principal()?, operation, object);
    access.map(drop).map_err(|error| problem_of(&error))
}
