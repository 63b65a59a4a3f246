//! The one catalogue of public errors: code, HTTP status, close code, and whether a retry can help.
//!
//! Errors of the rooms above become problems here, by exhaustive matches, and nowhere else. The inner text of a 5xx
//! never leaves the house: the person gets the request id, the log gets the cause. Codes are documented in
//! `openapi/openapi.yaml` and `asyncapi/asyncapi-base.yaml`; a test holds all three together.

mod close;
mod code;
mod registry;
mod rooms;

use std::time::Duration;

pub use close::CloseCode;
pub use code::Code;
pub use registry::Fault;

/// One place in a body that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// A JSON pointer into what was sent.
    pub pointer: String,
    /// The rule that was broken: a JSON Schema keyword, or a word of ours.
    pub keyword: String,
    /// What the rule wants; never the value.
    pub message: String,
}

/// What became of a refused event that its topic keeps.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Quarantine {
    /// `kept`, `failed`, or `unknown` where it may be kept.
    pub state: &'static str,
    /// The topic that keeps it.
    pub topic: String,
    /// Its partition, where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Its offset, where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// A public error, RFC 9457: what the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which error.
    pub code: Code,
    /// What happened this time, and what the client can do.
    pub detail: String,
    /// The places that are wrong, at most 20, by pointer.
    pub errors: Vec<Violation>,
    /// What became of a refused event that its topic keeps.
    pub quarantine: Option<Box<Quarantine>>,
    /// When to come back, where that is known.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// A problem of this code.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), quarantine: None, retry_after: None }
    }

    /// A fault of the gateway or the log, told without its inner text.
    #[must_use]
    pub fn hidden(code: Code) -> Self {
        Self::new(code, code.meaning())
    }

    /// With the places that are wrong: the first 20 by pointer.
    #[must_use]
    pub fn with_errors(mut self, mut errors: Vec<Violation>) -> Self {
        errors.sort_by(|one, other| one.pointer.cmp(&other.pointer));
        errors.truncate(20);
        self.errors = errors;
        self
    }

    /// With the time after which a retry may succeed.
    #[must_use]
    pub const fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The problem object. `instance` is the request's or connection's id.
    #[must_use]
    pub fn to_json(&self, instance: &str, correlation_id: Option<&str>) -> Vec<u8> {
        serde_json::to_vec(&self.told(instance, correlation_id)).unwrap_or_default()
    }

    /// The problem object as a value, for embedding in a larger answer.
    #[must_use]
    pub fn to_value(&self, instance: &str, correlation_id: Option<&str>) -> serde_json::Value {
        serde_json::to_value(self.told(instance, correlation_id)).unwrap_or_default()
    }

    fn told<'a>(&'a self, instance: &'a str, correlation_id: Option<&'a str>) -> Told<'a> {
        Told {
            kind: format!("/problems/{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status(),
            detail: &self.detail,
            code: self.code.as_str(),
            errors: &self.errors,
            quarantine: self.quarantine.as_deref(),
            retryable: self.code.is_retryable(),
            instance,
            correlation_id,
        }
    }
}

/// The members in the order in which a person wants to read them.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "<[Violation]>::is_empty")]
    errors: &'a [Violation],
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<&'a Quarantine>,
    retryable: bool,
    instance: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::{Code, Problem, Violation};

    #[test]
    fn a_problem_names_code_status_and_places() {
        let violation = |pointer: &str| Violation {
            pointer: pointer.to_owned(),
            keyword: "type".to_owned(),
            message: "must be a string".to_owned(),
        };
        let problem = Problem::new(Code::SchemaViolation, "2 places break the schema")
            .with_errors(vec![violation("/data/b"), violation("/data/a")]);
        let value = problem.to_value("r-1", Some("c-1"));
        assert_eq!(value["type"], "/problems/schema_violation");
        assert_eq!(value["status"], 422);
        assert_eq!(value["retryable"], false);
        assert_eq!(value["instance"], "r-1");
        assert_eq!(value["correlationId"], "c-1");
        assert_eq!(value["errors"][0]["pointer"], "/data/a");
    }

    #[test]
    fn at_most_twenty_places_are_listed() {
        let errors = (0..30)
            .map(|index| Violation {
                pointer: format!("/{index}"),
                keyword: String::new(),
                message: String::new(),
            })
            .collect();
        assert_eq!(Problem::new(Code::SchemaViolation, "").with_errors(errors).errors.len(), 20);
    }
}
