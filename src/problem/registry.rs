//! Errors as clients of a schema registry know them: a number instead of a code.

use crate::log;
use crate::schema::registry;

use super::{Code, Problem};

/// What a client of the registry is told: the status, and a number of which the first three digits are that status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// The number.
    pub error_code: u32,
    /// What happened, and what the client can do.
    pub message: String,
}

impl Fault {
    /// A fault of this number.
    #[must_use]
    pub fn new(error_code: u32, message: impl Into<String>) -> Self {
        let status = if error_code < 1_000 { error_code } else { error_code / 100 };
        Self { status: u16::try_from(status).unwrap_or(500), error_code, message: message.into() }
    }

    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let told = serde_json::json!({"error_code": self.error_code, "message": self.message});
        serde_json::to_vec(&told).unwrap_or_default()
    }
}

/// What befalls any request, told to a client of the registry.
impl From<&Problem> for Fault {
    fn from(problem: &Problem) -> Self {
        let error_code = match problem.code {
            Code::Unauthenticated | Code::TokenExpired | Code::TokenInvalid => 40_101,
            Code::Forbidden => 40_301,
            // No body of that size holds a schema that is taken.
            Code::BodyTooLarge => 42_209,
            other => u32::from(other.status()),
        };
        Self::new(error_code, problem.detail.clone())
    }
}

impl From<&registry::Error> for Fault {
    fn from(error: &registry::Error) -> Self {
        use registry::Error;
        let error_code = match error {
            Error::SubjectNotFound(_) => 40_401,
            Error::VersionNotFound { .. } => 40_402,
            Error::SchemaNotFound => 40_403,
            Error::SubjectDeleted(_) => 40_404,
            Error::SubjectNotDeleted(_) => 40_405,
            Error::VersionDeleted { .. } => 40_406,
            Error::VersionNotDeleted { .. } => 40_407,
            Error::NoSettings(_) => 40_408,
            Error::NoMode(_) => 40_409,
            Error::Incompatible(_) => 40_901,
            Error::InvalidSchema(_) | Error::ReferenceNotFound(_) => 42_201,
            Error::InvalidVersion(_) => 42_202,
            Error::NotPermitted(_) | Error::Elsewhere => 42_205,
            Error::Referred { .. } => 42_206,
            Error::IdMismatch(_) => 42_207,
            Error::TooLarge { .. } => 42_209,
            Error::NotReady | Error::Busy => 503,
            Error::Log(log::Error::OutcomeUnknown) => 50_002,
            Error::Log(_) => 50_001,
        };
        Self::new(error_code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Code, Fault, Problem, log, registry};

    #[test]
    fn the_number_begins_with_the_status() {
        for (error_code, status) in [(40_401, 404), (42_209, 422), (404, 404), (50_002, 500)] {
            assert_eq!(Fault::new(error_code, "").status, status);
        }
        assert_eq!(Fault::from(&Problem::hidden(Code::Forbidden)).error_code, 40_301);
        assert_eq!(Fault::from(&Problem::hidden(Code::UnsupportedMediaType)).error_code, 415);
    }

    #[test]
    fn the_logs_inner_text_is_not_told() {
        let cause = log::Error::Unavailable(Arc::new(std::io::Error::other("broker 10.0.0.7 is gone")));
        let fault = Fault::from(&registry::Error::Log(cause));
        assert_eq!(fault.error_code, 50_001);
        assert!(!fault.message.contains("10.0.0.7"));
    }
}
