//! How a client command proves who it is: a token, an API key, or the development key of this directory.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::error::ErrorKind;

use crate::auth;
use crate::config::Environment;
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

    /// A client that trusts whom the arguments name.
    pub(super) fn client(&self, timeout: Duration) -> anyhow::Result<reqwest::Client> {
        let mut client = reqwest::Client::builder().timeout(timeout);
        if let Some(pem) = self.ca()? {
            let trusted =
                reqwest::Certificate::from_pem_bundle(&pem).context("the file of --ca cannot be used")?;
            client = client.tls_certs_only(trusted);
        }
        Ok(client.build()?)
    }

    /// The credential that the arguments, the environment or the data directory give.
    pub(super) fn credential(&self, environment: &Environment) -> anyhow::Result<Credential> {
        // Clap cannot tell a variable's value from a typed one, which beats what the shell carries about.
        let variable = |name| environment.read(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let (token, key) = match (&self.token, &self.api_key) {
            (None, None) => (variable("WEIRGATE_TOKEN"), variable("WEIRGATE_API_KEY")),
            (token, key) => (token.clone(), key.clone()),
        };
        if token.is_some() && key.is_some() {
            let problem =
                "WEIRGATE_TOKEN and WEIRGATE_API_KEY are both set; unset one, or give --token or --api-key\n";
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, problem).into());
        }
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Args, Credential, Environment};

    #[derive(Debug, Parser)]
    struct Call {
        #[command(flatten)]
        args: Args,
    }

    /// The header that a call carries with these arguments and variables.
    fn header(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Option<String>> {
        let Call { args } = Call::try_parse_from(["call", "--data-dir", "/nowhere"].iter().chain(arguments))?;
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let credential: Credential = args.credential(&Environment::new(variables))?;
        Ok(credential.header().map(|(name, value)| format!("{name}: {value}")))
    }

    #[test]
    fn what_is_typed_beats_the_environment_and_of_that_only_one_may_be_set() {
        let (token, key) = (("WEIRGATE_TOKEN", "t"), ("WEIRGATE_API_KEY", "k"));
        let of = |arguments: &[&str], variables: &[_]| header(arguments, variables).unwrap();
        assert_eq!(of(&[], &[token]).unwrap(), "authorization: Bearer t");
        assert_eq!(of(&[], &[key]).unwrap(), "x-api-key: k");
        assert_eq!(of(&[], &[("WEIRGATE_TOKEN", ""), key]).unwrap(), "x-api-key: k");
        assert_eq!(of(&["--token", "x"], &[token, key]).unwrap(), "authorization: Bearer x");
        assert_eq!(of(&["--api-key", "x"], &[token, key]).unwrap(), "x-api-key: x");
        assert_eq!(of(&[], &[]), None);
        let both = header(&[], &[token, key]).unwrap_err().to_string();
        assert!(both.contains("WEIRGATE_TOKEN and WEIRGATE_API_KEY are both set"), "{both}");
    }
}
