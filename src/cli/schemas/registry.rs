//! The registry of a running gateway, or of another server that speaks the same interface.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::cli::credential;
use crate::config::Environment;
use crate::schema::portable::{Content, Portable, Referred};

/// A schema takes its turn with others that are judged at the same time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where the registry is, and who asks.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    #[command(flatten)]
    gateway: credential::Args,
    /// Where the gateway has its registry (schemas.registry_path).
    #[arg(long, value_name = "PATH", default_value = "/registry")]
    registry_path: String,
}

/// A connection to a registry.
#[derive(Debug)]
pub(super) struct Registry {
    client: reqwest::Client,
    url: String,
    header: Option<(&'static str, String)>,
}

/// The versions of what a schema refers to, by name.
type Versions = BTreeMap<String, i64>;

/// A schema's place in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: i64,
    /// Not every registry tells it.
    pub(super) version: Option<i64>,
    /// How much it changes the version before, where that is told.
    pub(super) change_level: Option<String>,
}

/// What registries answer; each answer has some of it.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Answer {
    id: Option<i64>,
    version: Option<i64>,
    #[serde(rename = "changeLevel")]
    change_level: Option<String>,
    is_compatible: bool,
    messages: Vec<String>,
    error_code: i64,
    message: Option<String>,
    /// Of a server that is no registry.
    detail: Option<String>,
}

impl Answer {
    fn problem(&self) -> &str {
        self.message.as_deref().or(self.detail.as_deref()).unwrap_or("nothing more")
    }
}

impl Args {
    /// Gets ready to ask.
    pub(super) fn open(&self, environment: &Environment) -> anyhow::Result<Registry> {
        let (base, path) = (self.gateway.url.trim_end_matches('/'), self.registry_path.trim_matches('/'));
        let url = if path.is_empty() { base.to_owned() } else { format!("{base}/{path}") };
        let header = self.gateway.credential(environment)?.header();
        Ok(Registry { client: self.gateway.client(TIMEOUT)?, url, header })
    }
}

impl Registry {
    /// Where this is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What keeps a schema from being the next version of its type's subject; nothing where it may be.
    pub(super) async fn differences(&self, schema: &Portable) -> anyhow::Result<Vec<String>> {
        let mut versions = Versions::new();
        for one in &schema.referred {
            let Some(version) = self.version_of(one, &versions).await? else {
                let (path, name) = (one.path.display(), &one.name);
                return Ok(vec![format!(
                    "refers to {path}, which the subject {name} does not have as it is here; \
                     weirgate schemas register takes it along"
                )]);
            };
            versions.insert(one.name.clone(), version);
        }
        let path = format!("compatibility/subjects/{}/versions?verbose=true", encoded(&subject(schema)));
        let (status, answer) = self.post(&path, &schema.content, &versions).await?;
        match status {
            200 if answer.is_compatible => Ok(Vec::new()),
            200 if answer.messages.is_empty() => Ok(vec!["is not compatible".to_owned()]),
            200 => Ok(answer.messages),
            // A subject that has no version yet takes any.
            404 if answer.error_code == 40_401 => Ok(Vec::new()),
            _ => bail!("{}", self.refusal(status, &answer)),
        }
    }

    /// Registers a schema as the next version of its type's subject, or finds it there, after all that it refers to; `Err`
    /// within is what the registry says against it.
    pub(super) async fn register(&self, schema: &Portable) -> anyhow::Result<Result<Place, String>> {
        let mut versions = Versions::new();
        for one in &schema.referred {
            if let Err(problem) = self.register_content(&one.name, &one.content, &versions).await? {
                return Ok(Err(format!("{} as {}: {problem}", one.path.display(), one.name)));
            }
            let version = self.version_of(one, &versions).await?;
            let version =
                version.with_context(|| format!("the registry does not have {} after all", one.name))?;
            versions.insert(one.name.clone(), version);
        }
        self.register_content(&subject(schema), &schema.content, &versions).await
    }

    async fn register_content(
        &self,
        subject: &str,
        content: &Content,
        versions: &Versions,
    ) -> anyhow::Result<Result<Place, String>> {
        let path = format!("subjects/{}/versions", encoded(subject));
        let (status, answer) = self.post(&path, content, versions).await?;
        match (status, answer.id) {
            (200, Some(id)) => {
                Ok(Ok(Place { id, version: answer.version, change_level: answer.change_level }))
            }
            (409 | 422, _) => Ok(Err(answer.problem().to_owned())),
            _ => bail!("{}", self.refusal(status, &answer)),
        }
    }

    /// The version that the subject of a schema that others refer to has of it.
    async fn version_of(&self, one: &Referred, versions: &Versions) -> anyhow::Result<Option<i64>> {
        let path = format!("subjects/{}", encoded(&one.name));
        let (status, answer) = self.post(&path, &one.content, versions).await?;
        match (status, answer.version) {
            (200, Some(version)) => Ok(Some(version)),
            (404, _) if matches!(answer.error_code, 40_401 | 40_403) => Ok(None),
            _ => bail!("{}", self.refusal(status, &answer)),
        }
    }

    async fn post(
        &self,
        path: &str,
        content: &Content,
        versions: &Versions,
    ) -> anyhow::Result<(u16, Answer)> {
        let referred = content.needs.iter().filter_map(|name| {
            let version = versions.get(name)?;
            Some(json!({"name": name, "subject": name, "version": version}))
        });
        let references: Vec<serde_json::Value> = referred.collect();
        let body =
            json!({"schemaType": content.kind.as_str(), "schema": content.text, "references": references});
        let mut request = self
            .client
            .post(format!("{}/{path}", self.url))
            .header("content-type", "application/vnd.schemaregistry.v1+json")
            .header("confluent-accept-unknown-properties", "true")
            .body(body.to_string());
        if let Some((name, value)) = &self.header {
            request = request.header(*name, value);
        }
        let unreached = || format!("cannot reach the registry at {}", self.url);
        let answer = request.send().await.with_context(unreached)?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.context("the answer broke off")?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    fn refusal(&self, status: u16, answer: &Answer) -> String {
        let hint = match status {
            401 if self.header.is_none() => format!("; {}", credential::HOW),
            404 => "; is the registry there? --registry-path says where".to_owned(),
            _ => String::new(),
        };
        format!("the registry at {} answered {status}: {}{hint}", self.url, answer.problem())
    }
}

/// The subject of a type's data.
fn subject(schema: &Portable) -> String {
    format!("{}-value", schema.event_type)
}

fn encoded(subject: &str) -> String {
    utf8_percent_encode(subject, NON_ALPHANUMERIC).to_string()
}
