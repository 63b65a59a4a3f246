//! From each room's error to a public problem or close code, by exhaustive matches.
//!
//! A fault of ours or of the log is told by its code alone; a fault of the caller is told in full.

use std::time::Duration;

use crate::auth;
use crate::delivery;
use crate::event::{envelope, json};
use crate::feed;
use crate::log;
use crate::publish;
use crate::schema;

use super::{CloseCode, Code, Problem, Quarantine, Violation};

const SOON: Duration = Duration::from_secs(1);
/// Issuers are asked for their keys at most every `jwks_cooldown`.
const KEYS_SOON: Duration = Duration::from_secs(5);

impl From<&json::Error> for Problem {
    fn from(error: &json::Error) -> Self {
        match error {
            json::Error::Malformed { .. } => Self::new(Code::MalformedJson, error.to_string()),
            json::Error::DuplicateMember { pointer, .. } => Self::new(
                Code::DuplicateMember,
                error.to_string(),
            )
            .with_errors(vec![place(pointer, "unique", "the member occurs twice")]),
            json::Error::TooDeep { .. } => Self::new(Code::TooDeep, error.to_string()),
        }
    }
}

impl From<&envelope::Error> for Problem {
    fn from(error: &envelope::Error) -> Self {
        match error {
            envelope::Error::Invalid { pointer, problem } => {
                let name = if pointer.is_empty() { "the envelope" } else { pointer };
                Self::new(Code::InvalidEnvelope, format!("{name} {problem}"))
                    .with_errors(vec![place(pointer, "envelope", problem)])
            }
            envelope::Error::VersionMismatch { .. } => Self::new(Code::VersionMismatch, error.to_string())
                .with_errors(vec![place("/eventVersion", "version", "must agree with the vN of eventType")]),
            envelope::Error::CloudEvent { attribute, problem } => Self::new(
                Code::InvalidCloudevent,
                error.to_string(),
            )
            .with_errors(vec![place(&format!("/{attribute}"), "cloudevent", problem)]),
            envelope::Error::UnsupportedData { .. } => {
                Self::new(Code::UnsupportedMediaType, error.to_string())
            }
        }
    }
}

impl From<&schema::Error> for Problem {
    fn from(error: &schema::Error) -> Self {
        match error {
            schema::Error::Violation { errors, .. } => Self::new(Code::SchemaViolation, violated(errors))
                .with_errors(errors.iter().map(Violation::from).collect()),
            schema::Error::PatternLimit { .. } => Self::new(Code::PatternLimit, error.to_string()),
            schema::Error::Unusable { .. } | schema::Error::Nameless { .. } => {
                Self::new(Code::NotSupported, error.to_string())
            }
            schema::Error::OtherFormat { .. } => Self::new(
                Code::SchemaMissing,
                format!(
                    "{error}; a version of the topic's format, or the topic's schema.format, has to change"
                ),
            ),
            schema::Error::NotReady => Self::hidden(Code::LogUnavailable).with_retry_after(SOON),
            schema::Error::Unavailable { .. } => {
                Self::new(Code::SchemasUnavailable, error.to_string()).with_retry_after(SOON)
            }
            schema::Error::Missing { .. } => {
                Self::new(Code::SchemaMissing, format!("{error}, and the topic takes only events with one"))
            }
        }
    }
}

impl From<&schema::Violation> for Violation {
    fn from(violation: &schema::Violation) -> Self {
        place(&violation.pointer, &violation.keyword, &violation.message)
    }
}

impl From<&auth::Error> for Problem {
    fn from(error: &auth::Error) -> Self {
        let code = match error {
            auth::Error::BadCredential { .. } => Code::BadRequest,
            auth::Error::Unauthenticated => Code::Unauthenticated,
            auth::Error::TokenExpired => Code::TokenExpired,
            auth::Error::TokenInvalid(_) | auth::Error::Revoked => Code::TokenInvalid,
            auth::Error::Forbidden => return Self::hidden(Code::Forbidden),
            auth::Error::SourceNotAllowed { .. } => {
                return Self::new(Code::SourceNotAllowed, error.to_string()).with_errors(vec![place(
                    "/source",
                    "source",
                    "must be one this principal may name",
                )]);
            }
            auth::Error::KeysUnavailable => {
                return Self::new(Code::KeysUnavailable, error.to_string()).with_retry_after(KEYS_SOON);
            }
            auth::Error::Unavailable => {
                return Self::new(Code::Overloaded, error.to_string()).with_retry_after(SOON);
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<&auth::Error> for CloseCode {
    fn from(error: &auth::Error) -> Self {
        match error {
            auth::Error::BadCredential { .. }
            | auth::Error::Unauthenticated
            | auth::Error::TokenInvalid(_) => Self::TokenInvalid,
            auth::Error::TokenExpired => Self::TokenExpired,
            auth::Error::Revoked => Self::Revoked,
            auth::Error::Forbidden | auth::Error::SourceNotAllowed { .. } => Self::Forbidden,
            auth::Error::KeysUnavailable | auth::Error::Unavailable => Self::Overloaded,
        }
    }
}

impl From<&log::Error> for Problem {
    fn from(error: &log::Error) -> Self {
        match error {
            log::Error::UnknownTopic(_) => Self::new(Code::TopicNotFound, error.to_string()),
            log::Error::UnknownPartition { .. }
            | log::Error::OffsetOutOfRange { .. }
            | log::Error::InvalidTopic { .. } => Self::new(Code::InvalidParameter, error.to_string()),
            log::Error::RecordTooLarge { .. } => Self::new(Code::EventTooLarge, error.to_string()),
            log::Error::Overloaded | log::Error::Overtaken => {
                Self::hidden(Code::Overloaded).with_retry_after(SOON)
            }
            log::Error::Unavailable(_) => Self::hidden(Code::LogUnavailable).with_retry_after(SOON),
            log::Error::OutcomeUnknown => Self::hidden(Code::OutcomeUnknown).with_retry_after(SOON),
            log::Error::NotSupported(_) => Self::new(Code::NotSupported, error.to_string()),
            log::Error::Closed => Self::hidden(Code::Draining).with_retry_after(SOON),
            log::Error::NotMember | log::Error::Corrupt { .. } => Self::hidden(Code::Internal),
        }
    }
}

impl From<&publish::Error> for Problem {
    fn from(error: &publish::Error) -> Self {
        use publish::Error;
        let code = match error {
            Error::Json(error) => return error.into(),
            Error::Envelope(error) => return error.into(),
            Error::Auth(error) => return error.into(),
            Error::Schema(error) => return error.into(),
            Error::Quarantined { refusal, kept } => return quarantined(refusal, kept),
            Error::Log(error) => return error.into(),
            Error::NotABatch | Error::NotSingle | Error::EmptyBatch => Code::InvalidEnvelope,
            Error::TooManyItems { .. } => Code::BodyTooLarge,
            Error::SingleOnly(_) | Error::InvalidHeader { .. } | Error::InvalidPartition { .. } => {
                Code::InvalidParameter
            }
            Error::TopicNotFound { .. } => Code::TopicNotFound,
            Error::InvalidKey { pointer, problem } => {
                return Self::new(Code::InvalidKey, error.to_string())
                    .with_errors(vec![place(pointer, "key", problem)]);
            }
            Error::TooLarge { .. } | Error::TooManyHeaders { .. } => Code::EventTooLarge,
            Error::Conflict { .. } => Code::EventIdConflict,
            Error::BatchRefused(_) => Code::BatchRefused,
            Error::RateLimited { retry_after, .. } => {
                return Self::new(Code::RateLimited, error.to_string()).with_retry_after(*retry_after);
            }
            Error::Overloaded => return Self::hidden(Code::Overloaded).with_retry_after(SOON),
            Error::Draining => return Self::hidden(Code::Draining).with_retry_after(SOON),
            Error::OutcomeUnknown { .. } => return Self::hidden(Code::OutcomeUnknown).with_retry_after(SOON),
        };
        Self::new(code, error.to_string())
    }
}

fn quarantined(refusal: &schema::Error, kept: &publish::Quarantine) -> Problem {
    let problem = Problem::from(refusal);
    let (place, told) = match kept.state {
        publish::KeptState::At(partition, offset) => (
            Some((partition.number(), offset.number())),
            format!("the event is kept in '{}' at {partition}:{offset}", kept.topic),
        ),
        publish::KeptState::Failed => (None, format!("it could not be kept in '{}'", kept.topic)),
        publish::KeptState::Unknown => (None, format!("it may be kept in '{}'", kept.topic)),
    };
    let quarantine = Quarantine {
        state: kept.state.as_str(),
        topic: kept.topic.to_string(),
        partition: place.map(|(partition, _)| partition),
        offset: place.map(|(_, offset)| offset),
    };
    let detail = format!("{}; {told}", problem.detail);
    Problem { detail, quarantine: Some(Box::new(quarantine)), ..problem }
}

impl From<&feed::Error> for Problem {
    fn from(error: &feed::Error) -> Self {
        let code = match error {
            feed::Error::UnknownTopic(_) => Code::TopicNotFound,
            feed::Error::UnknownPartition { .. } | feed::Error::UnknownEvent { .. } => Code::NotFound,
            feed::Error::Forbidden(_) => return Self::hidden(Code::Forbidden),
            feed::Error::InvalidTopic(_) | feed::Error::InvalidTopics { .. } => Code::InvalidParameter,
            feed::Error::Slow { .. } => Code::Overloaded,
            feed::Error::Closed => return Self::hidden(Code::Draining).with_retry_after(SOON),
            feed::Error::Log(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<&delivery::Error> for Problem {
    fn from(error: &delivery::Error) -> Self {
        let code = match error {
            delivery::Error::UnknownGroup(_) => Code::GroupNotFound,
            delivery::Error::UnknownTopic(_) => Code::TopicNotFound,
            delivery::Error::TopicsDiffer { .. } => Code::Conflict,
            delivery::Error::InvalidPolicy { pointer, problem } => {
                return Self::new(Code::InvalidParameter, error.to_string())
                    .with_errors(vec![place(pointer, "policy", problem)]);
            }
            delivery::Error::InvalidReset { pointer, problem } => {
                return Self::new(Code::InvalidParameter, error.to_string())
                    .with_errors(vec![place(pointer, "reset", problem)]);
            }
            delivery::Error::InvalidResume { pointer, problem } => {
                return Self::new(Code::InvalidParameter, error.to_string())
                    .with_errors(vec![place(pointer, "resume", problem)]);
            }
            delivery::Error::InvalidReplay { pointer, problem } => {
                return Self::new(Code::InvalidParameter, error.to_string())
                    .with_errors(vec![place(pointer, "replay", problem)]);
            }
            delivery::Error::HasMembers(_)
            | delivery::Error::TooManyGivenUp(_)
            | delivery::Error::ResetUnderWay
            | delivery::Error::ResetOvertaken
            | delivery::Error::NotOurs { .. } => Code::Conflict,
            delivery::Error::InvalidCursor
            | delivery::Error::InvalidNote(_)
            | delivery::Error::InvalidRedrive(_) => Code::InvalidParameter,
            delivery::Error::UnknownDeadLetter | delivery::Error::UnknownDeadLetterOf(_) => {
                Code::DeadLetterNotFound
            }
            delivery::Error::UnknownRedrive => Code::RedriveNotFound,
            delivery::Error::UnknownReplay => Code::ReplayNotFound,
            delivery::Error::DeadLetterSettled { .. }
            | delivery::Error::NotRedrivable(_)
            | delivery::Error::DeadLettersFull(_)
            | delivery::Error::RedriveRunning(_)
            | delivery::Error::RedriveEnded(_)
            | delivery::Error::ReplayRunning(_)
            | delivery::Error::ReplayEnded(_) => Code::Conflict,
            delivery::Error::NotLoaded => return Self::hidden(Code::LogUnavailable).with_retry_after(SOON),
            delivery::Error::Log(error) => return error.into(),
            delivery::Error::Draining | delivery::Error::Closed => {
                return Self::hidden(Code::Draining).with_retry_after(SOON);
            }
        };
        Self::new(code, error.to_string())
    }
}

fn place(pointer: &str, keyword: &str, message: &str) -> Violation {
    Violation { pointer: pointer.to_owned(), keyword: keyword.to_owned(), message: message.to_owned() }
}

/// What a person reads first: how many places are wrong, and the first of them.
fn violated(errors: &[schema::Violation]) -> String {
    match errors {
        [only] => format!("{} {}", only.pointer, only.message),
        [first, ..] => {
            format!("{} places break the schema; first {} {}", errors.len(), first.pointer, first.message)
        }
        [] => "the data breaks its schema".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Code, Problem};
    use crate::log;

    #[test]
    fn faults_of_the_log_are_told_without_their_inner_text() {
        let error = log::Error::Unavailable(Arc::new(std::io::Error::other("/secret/path is full")));
        let problem = Problem::from(&error);
        assert_eq!(problem.code, Code::LogUnavailable);
        assert!(!problem.detail.contains("secret"));
        assert!(problem.retry_after.is_some());
    }

    #[test]
    fn a_time_out_is_an_unknown_outcome_and_never_a_failure() {
        assert_eq!(Problem::from(&log::Error::OutcomeUnknown).code.status(), 504);
    }
}
