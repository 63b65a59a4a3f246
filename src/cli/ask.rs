//! Questions to a gateway over HTTP, and its refusals as sentences.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::config::Environment;

use super::credential;
use super::paint::harmless;

/// A gateway that reads much for an answer takes a few seconds.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to a gateway.
#[derive(Debug)]
pub(super) struct Asker {
    client: reqwest::Client,
    url: String,
    header: Option<(&'static str, String)>,
}

impl Asker {
    /// Gets ready to ask.
    pub(super) fn new(gateway: &credential::Args, environment: &Environment) -> anyhow::Result<Self> {
        let url = gateway.url.trim_end_matches('/').to_owned();
        let header = gateway.credential(environment)?.header();
        Ok(Self { client: gateway.client(TIMEOUT)?, url, header })
    }

    /// What is at a path.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let query: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        self.send(self.client.get(format!("{}{path}{mark}{}", self.url, query.join("&")))).await
    }

    /// What comes of a command.
    pub(super) async fn post(&self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let request = self.client.post(format!("{}{path}", self.url));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        };
        self.send(request).await
    }

    /// Deletes what is at a path.
    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send(self.client.delete(format!("{}{path}", self.url))).await.map(drop)
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        if let Some((name, value)) = &self.header {
            request = request.header(*name, value);
        }
        let answer = request.send().await.map_err(|error| self.unreached(error))?;
        let status = answer.status();
        let body = answer.bytes().await.context("the answer broke off")?;
        let told: Option<Value> = serde_json::from_slice(&body).ok();
        match told {
            None if status == reqwest::StatusCode::NO_CONTENT => Ok(Value::Null),
            Some(told) if status.is_success() => Ok(told),
            told => Err(self.refused(status.as_u16(), &told.unwrap_or_default())),
        }
    }

    fn refused(&self, status: u16, problem: &Value) -> anyhow::Error {
        let member = |name: &str| harmless(problem.get(name).and_then(Value::as_str).unwrap_or_default());
        let is_stranger = status == 401 && self.header.is_none();
        let how = if is_stranger { format!("; {}", credential::HOW) } else { String::new() };
        anyhow!("the gateway answered {status} {}: {}{how}", member("code"), member("detail"))
    }

    fn unreached(&self, error: reqwest::Error) -> anyhow::Error {
        let told = if is_untrusted(&error) {
            format!("the gateway at {} cannot be trusted; --ca names who signs its certificate", self.url)
        } else {
            format!("cannot reach {}; does the gateway run there?", self.url)
        };
        anyhow::Error::new(error).context(told)
    }
}

/// A text as a part of a path or a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Whether a connection failed for its certificates, or because the other side speaks no TLS.
pub(super) fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData) {
            return true;
        }
        // What an I/O error holds is not its source, but passes for it.
        let held = io.and_then(io::Error::get_ref);
        cause = held.map_or_else(|| error.source(), |held| Some(held as _));
    }
    false
}
