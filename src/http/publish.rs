//! Publishing over HTTP: which form the body has, what the headers add, and the answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::event::DataMembers;
use crate::problem::{Code, Problem};
use crate::publish::{Answer, BatchForm, Claim, Error, Form, IdSeed, Lease, Options, Used, Validation};

use super::answer::{self, problem_of};
use super::call::Call;
use super::media::{self, Media};
use super::publish_options::{self, Given};
use super::query::{Segments, invalid};
use super::serve::Shared;
use super::{body, publish_stream, receipt};

const EVENTS: &[(Media, &str)] = &[
    (Media::Json, "application/json"),
    (Media::CloudEvent, "application/cloudevents+json"),
    (Media::CloudEventBatch, "application/cloudevents-batch+json"),
    (Media::Lines, "application/x-ndjson"),
    (Media::JsonBased, "any +json with ce-specversion"),
];

const DATA: &[(Media, &str)] = &[(Media::Json, "application/json"), (Media::JsonBased, "any +json")];

/// What is published, once its form is known.
enum Shape {
    Single(Form),
    Batch(BatchForm),
}

/// `POST /v1/events`.
pub(super) async fn events(
    State(shared): State<Arc<Shared>>,
    call: Call,
    request: Request,
) -> Result<Response, Problem> {
    let limits = &shared.config.limits;
    let (media, request) = media::require(request, EVENTS, limits).await?;
    let (parts, body) = request.into_parts();
    if media == Media::Lines {
        let given = Given::read(&parts.headers, parts.uri.query())?;
        given.refuse_envelope_members()?;
        return publish_stream::serve(&shared, &call, given, body);
    }
    let body = body::read(body, &shared, &call).await?;
    let mut given = Given::read(&parts.headers, parts.uri.query())?;
    given.refuse_envelope_members()?;
    let attributes = given.take_attributes()?;
    let shape = match (media, attributes) {
        (Media::CloudEvent, _) => Shape::Single(Form::CloudEvent),
        (Media::CloudEventBatch, _) => Shape::Batch(BatchForm::CloudEvents),
        (_, Some(attributes)) => {
            let content_type = content_type(&parts.headers);
            Shape::Single(Form::CloudEventBinary { attributes, content_type })
        }
        (Media::Json, None) if is_array(&body) => Shape::Batch(BatchForm::Native),
        (Media::Json, None) => Shape::Single(Form::Native),
        (Media::JsonBased | Media::Lines | Media::Other, None) => {
            let detail =
                "send application/json, or ce-specversion and the other ce- headers beside this type";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
    };
    answer(&shared, &call, (&parts.method, &parts.uri, media), given, shape, body).await
}

/// The media type of the body, where it is not just `application/json`.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?.trim();
    (!text.eq_ignore_ascii_case("application/json")).then(|| text.to_owned())
}

/// `POST /v1/topics/{topic}/events`: the body is the data alone.
pub(super) async fn topic_events(
    State(shared): State<Arc<Shared>>,
    call: Call,
    segments: Segments,
    request: Request,
) -> Result<Response, Problem> {
    let limits = &shared.config.limits;
    let (media, request) = media::require(request, DATA, limits).await?;
    let (parts, body) = request.into_parts();
    let body = body::read(body, &shared, &call).await?;
    let mut given = Given::read(&parts.headers, parts.uri.query())?;
    if given.has_attributes() {
        return Err(invalid("ce- headers go with POST /v1/events; here the body is the data alone"));
    }
    let members: DataMembers = given.take_members();
    let is_typed = members.event_type.is_some();
    let topic = segments.topic(0)?;
    let shape = Shape::Single(Form::Data { topic, members });
    let answered = answer(&shared, &call, (&parts.method, &parts.uri, media), given, shape, body).await;
    answered.map_err(|mut problem| {
        if problem.code == Code::SchemaMissing && !is_typed {
            problem.detail.push_str("; say which type it is with Weirgate-Event-Type");
        }
        problem
    })
}

/// Publishes, under the idempotency key where there is one.
async fn answer(
    shared: &Arc<Shared>,
    call: &Call,
    (method, uri, media): (&Method, &Uri, Media),
    given: Given,
    shape: Shape,
    body: Bytes,
) -> Result<Response, Problem> {
    let Given { mut options, validation, idempotency_key, .. } = given;
    let Some(key) = idempotency_key else {
        return publish(shared, call, body, shape, validation, &options).await;
    };
    let principal = call.principal()?.id();
    let route = format!("{method} {}", uri.path());
    let scope = format!("{}:{principal} {route}", principal.len());
    options.id_seed = Some(IdSeed::new(principal, &route, &key));
    let fingerprint = fingerprint(method, uri, media, &body);
    let lease = match shared.parts.publisher.idempotency().claim(&scope, &key, fingerprint).await {
        Claim::Run(lease) => lease,
        Claim::Replay(first) => return Ok(replay(&first)),
        Claim::InProgress { retry_after } => {
            let problem = Problem::hidden(Code::IdempotencyInProgress);
            return Err(problem.with_retry_after(retry_after));
        }
        Claim::Reused => return Err(Problem::hidden(Code::IdempotencyKeyReused)),
        Claim::Unavailable(error) => return Err(problem_of(&Error::Log(error))),
    };
    match publish(shared, call, body, shape, validation, &options).await {
        Ok(response) => keep(lease, response).await,
        Err(problem) => {
            let body: Bytes = problem.to_json(call.id(), call.correlation_id()).into();
            let status = problem.code.status();
            lease.complete(Answer { status, content_type: "application/problem+json", body });
            Err(problem)
        }
    }
}

async fn publish(
    shared: &Arc<Shared>,
    call: &Call,
    body: Bytes,
    shape: Shape,
    validation: Validation,
    options: &Options,
) -> Result<Response, Problem> {
    let principal = call.principal()?;
    let publisher = &shared.parts.publisher;
    match shape {
        Shape::Single(form) => match publisher.publish(principal, body, form, options).await {
            Ok(published) => {
                let (status, body) = receipt::single(&published);
                Ok(answer::json(status, body))
            }
            Err(error) => refused(&error, call),
        },
        Shape::Batch(form) => {
            let batch = publisher.publish_batch(principal, body, form, validation, options).await;
            match batch {
                Ok(batch) => {
                    let body = json!({"items": receipt::items(&batch, call)});
                    answer::json_of(receipt::batch_status(&batch), &body)
                }
                Err(error) => refused(&error, call),
            }
        }
    }
}

/// The answer to a publish that failed. Only two errors say more than their problem.
pub(super) fn refused(error: &Error, call: &Call) -> Result<Response, Problem> {
    let problem = problem_of(error);
    match error {
        Error::BatchRefused(batch) => {
            let mut body = problem.to_value(call.id(), call.correlation_id());
            if let Some(members) = body.as_object_mut() {
                members.insert("items".to_owned(), receipt::items(batch, call));
            }
            let mut response = answer::json_of(StatusCode::UNPROCESSABLE_ENTITY, &body)?;
            let media_type = HeaderValue::from_static("application/problem+json");
            response.headers_mut().insert(CONTENT_TYPE, media_type);
            Ok(response)
        }
        Error::RateLimited { used, .. } => {
            let mut response = problem.into_response();
            add_rate(&mut response, used);
            Ok(response)
        }
        _ => Err(problem),
    }
}

/// `RateLimit` and `RateLimit-Policy`, as in the IETF's draft for them.
fn add_rate(response: &mut Response, used: &Used) {
    let window = used.window.as_secs().max(1);
    let limit = format!("\"{}\";r={};t={window}", used.policy, used.remaining);
    let policy = format!("\"{}\";q={};w={window};qu=\"{}\"", used.policy, used.quota, used.unit);
    for (name, value) in [("ratelimit", limit), ("ratelimit-policy", policy)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// Keeps an answer for repeats of its request.
async fn keep(lease: Lease, response: Response) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let is_problem = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    let content_type = if is_problem { "application/problem+json" } else { "application/json" };
    let body = axum::body::to_bytes(body, usize::MAX).await.map_err(|error| {
        tracing::error!(%error, "an answer formed in memory cannot be read");
        Problem::hidden(Code::Internal)
    })?;
    lease.complete(Answer { status: parts.status.as_u16(), content_type, body: body.clone() });
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(first: &Answer) -> Response {
    let status = StatusCode::from_u16(first.status).unwrap_or(StatusCode::OK);
    let mut response = answer::json(status, first.body.clone());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(first.content_type));
    headers.insert(publish_options::REPLAYED, HeaderValue::from_static("true"));
    response
}

/// Equal for equal requests only: every part goes in with its length.
fn fingerprint(method: &Method, uri: &Uri, media: Media, body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let media = format!("{media:?}");
    let target = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    for part in [method.as_str().as_bytes(), target.as_bytes(), media.as_bytes(), body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn is_array(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'[')
}
