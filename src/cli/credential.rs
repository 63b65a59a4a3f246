//! How a client command proves who it is: a token, an API key, or the development key of this directory.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::auth;
use crate::event::Clock;

/// What to tell who showed nothing.
pub(super) const HOW: &str = "give --token or --api-key, or set WEIRGATE_TOKEN or WEIRGATE_API_KEY; for a gateway of \
                              `weirgate dev`, call this where it runs or name its --data-dir";

/// The arguments of every command that talks to a gateway.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// The gateway.
    #[arg(long, env = "WEIRGATE_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(super) url: String,
    /// Trust the certificates of this PEM file for https, instead of those the system trusts.
    #[arg(long, env = "WEIRGATE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A bearer token; default: WEIRGATE_TOKEN or WEIRGATE_API_KEY of the environment, else one signed with the
    /// development key in the data directory, if there is one.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// An API key instead of a token.
    #[arg(long, conflicts_with = "token", value_name = "KEY")]
    api_key: Option<String>,
    /// Where the development key lies.
    #[arg(long, default_value = "weirgate-data", value_name = "DIRECTORY")]
    data_dir: PathBuf,
}

/// What goes into a request.
#[derive(Debug, Clone)]
pub(super) enum Credential {
    /// `Authorization: Bearer`.
    Bearer(auth::Secret),
    /// `X-Api-Key`.
    ApiKey(auth::Secret),
    /// Nothing; the gateway will say what it wants.
    Absent,
}

impl Args {
    /// The PEM text of `--ca`, where it was given.
    pub(super) fn ca(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("cannot read the certificates in {}", path.display()))
        };
        self.ca.as_ref().map(read).transpose()
    }

    /// The credential that the arguments, the environment or the data directory give.
    pub(super) fn credential(&self) -> anyhow::Result<Credential> {
        // What is typed beats what the shell carries about.
        let (token, key) = match (&self.token, &self.api_key) {
            (None, None) => (variable("WEIRGATE_TOKEN"), variable("WEIRGATE_API_KEY")),
            (token, key) => (token.clone(), key.clone()),
        };
        if let Some(key) = key {
            return Ok(Credential::ApiKey(auth::Secret::new(key)));
        }
        if let Some(token) = token {
            return Ok(Credential::Bearer(auth::Secret::new(token)));
        }
        let key = auth::dev::Key::load(&self.data_dir)?;
        let token = key
            .map(|key| {
                key.mint(
                    "dev",
                    &[auth::dev::ROLE.to_owned()],
                    &serde_json::Map::new(),
                    DAY,
                    Clock::system().now(),
                )
            })
            .transpose()
            .context("the development key cannot sign")?;
        Ok(token.map_or(Credential::Absent, |token| Credential::Bearer(auth::Secret::new(token))))
    }
}

const DAY: Duration = Duration::from_secs(86_400);

impl Credential {
    /// The header that carries it.
    pub(super) fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Bearer(token) => Some(("authorization", format!("Bearer {}", token.expose()))),
            Self::ApiKey(key) => Some(("x-api-key", key.expose().to_owned())),
            Self::Absent => None,
        }
    }
}

/// What the shell carries about under this name.
#[expect(
    clippy::disallowed_methods,
    reason = "clap cannot tell a variable's value from a typed one, which beats it"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
