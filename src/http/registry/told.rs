//! Answers in the registry's media types, and what is told of refusals.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::http::answer;
use crate::http::media;
use crate::problem::{Fault, Problem};
use crate::schema::registry::Error;

/// What clients get that say no wish.
const USUAL: &str = "application/vnd.schemaregistry.v1+json";
/// The media types of answers, best first.
const OFFERED: [&str; 3] = [USUAL, "application/vnd.schemaregistry+json", "application/json"];

/// Why a request gets no answer of its own.
#[derive(Debug)]
pub(in crate::http) enum Refusal {
    /// What befalls any request; the front tells it.
    Problem(Problem),
    /// What the registry says.
    Fault(Fault),
}

/// What the caller takes as an answer.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Taken(&'static str);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let fault = Fault::from(&error);
        if fault.status >= 500 {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "the schema registry could not serve a request");
        }
        Self::Fault(fault)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Problem(problem) => problem.into_response(),
            Self::Fault(fault) => {
                let mut response = Response::new(Body::from(fault.to_json()));
                *response.status_mut() = status_of(&fault);
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(USUAL));
                response
            }
        }
    }
}

/// Writes what befell a request as a client of the registry knows it; answers status and body.
pub(in crate::http) fn write_problem(problem: &Problem, headers: &mut HeaderMap) -> (StatusCode, Bytes) {
    let fault = Fault::from(problem);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(USUAL));
    answer::write_headers(problem, headers);
    (status_of(&fault), fault.to_json().into())
}

fn status_of(fault: &Fault) -> StatusCode {
    StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Taken {
    /// An answer of a value.
    pub(super) fn tell(self, value: &impl serde::Serialize) -> Result<Response, Refusal> {
        let mut response = answer::json_of(StatusCode::OK, value)?;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.0));
        Ok(response)
    }

    /// An answer of bytes, all there or yet to come.
    pub(super) fn send(self, body: impl Into<Body>) -> Response {
        answer::text(self.0, body)
    }
}

impl<S: Sync> FromRequestParts<S> for Taken {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        media::best(&parts.headers, &OFFERED).map(Self)
    }
}
