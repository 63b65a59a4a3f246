//! `weirgate token`: signs a token of the development issuer with the key in the data directory.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde_json::{Map, Value};

use crate::auth::dev;
use crate::event::{Clock, Timestamp};

use super::output;

/// Sign a token for a gateway in development mode.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weirgate token                                          may do everything
  weirgate token --sub 42 --role customer                 what the grants give customer 42
  weirgate token --sub service:orders --role '' --ttl 5m  what the grants give this principal
  curl -H \"Authorization: Bearer $(weirgate token)\" http://127.0.0.1:8080/v1/whoami")]
pub(super) struct Args {
    /// Whom the token names; the principal.
    #[arg(long, default_value = "dev")]
    sub: String,
    /// A role; may be repeated. `developer` may do everything, others have what the configuration grants them; ''
    /// gives none.
    #[arg(long = "role", default_value = dev::ROLE)]
    roles: Vec<String>,
    /// A further claim, a text; may be repeated.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = parse_claim)]
    claims: Vec<(String, String)>,
    /// How long it lasts: 90s, 15m, 12h, 7d.
    #[arg(long, default_value = "12h", value_parser = dev::parse_ttl)]
    ttl: Duration,
    /// The gateway's data directory, where `weirgate dev` keeps its key.
    #[arg(long, default_value = "./weirgate-data", value_name = "DIRECTORY")]
    data_dir: PathBuf,
}

/// Prints the token.
///
/// # Errors
/// When there is no key or it cannot be read, or standard output is closed.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let token = token(args, Clock::system().now())?;
    output::print(&format!("{token}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn token(args: &Args, now: Timestamp) -> anyhow::Result<String> {
    let Some(key) = dev::Key::load(&args.data_dir)? else {
        bail!(
            "there is no development key in {}; `weirgate dev` makes one where it runs, and --data-dir names another place",
            args.data_dir.display()
        );
    };
    let roles: Vec<_> = args.roles.iter().filter(|role| !role.is_empty()).cloned().collect();
    let claims: Map<String, Value> =
        args.claims.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    Ok(key.mint(&args.sub, &roles, &claims, args.ttl, now)?)
}

fn parse_claim(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    if name.is_empty() {
        return Err("must be NAME=VALUE".to_owned());
    }
    if dev::OWN_CLAIMS.contains(&name) {
        return Err(format!("'{name}' is set by the other options"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::{Args, token};
    use crate::auth::{Authenticator, Credential, RawConfig, dev};
    use crate::event::{Clock, Timestamp};
    use crate::telemetry::Registry;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
        Command::try_parse_from([&["token"], arguments].concat()).map(|command| command.args)
    }

    #[tokio::test]
    async fn the_gateway_of_the_same_directory_takes_the_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let now = Timestamp::from_millis(1_800_000_000_000);
        let args = parse(&[
            "--data-dir",
            path,
            "--sub",
            "42",
            "--role",
            "customer",
            "--claim",
            "region=eu",
            "--ttl",
            "5m",
        ]);
        let args = args.unwrap();
        let refused = token(&args, now).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("there is no development key in {path}")), "{refused}");
        assert_eq!(directory.path().read_dir().unwrap().count(), 0, "none is made in passing");
        let key = dev::Key::load_or_create(directory.path()).unwrap();
        let token = token(&args, now).unwrap();
        let raw: RawConfig = serde_json::from_value(json!({
            "mode": "dev",
            "grants": [{ "claim": { "role": "customer", "region": "eu" }, "allow": ["admin"] }],
        }))
        .unwrap();
        let mut config = raw.check().unwrap();
        config.dev_key = Some(key);
        let authenticator = Authenticator::build(&config, Clock::new(move || now), &Registry::new()).unwrap();
        let principal = authenticator.authenticate(Credential::Bearer(&token)).await.unwrap();
        assert_eq!(principal.id(), "42");
        assert_eq!(principal.expires_at(), Some(now.plus_millis(300_000)));
        assert_eq!(authenticator.grants_of(&principal).len(), 1);
    }

    #[test]
    fn wrong_options_are_named() {
        for wrong in
            [["--claim", "x"], ["--claim", "=x"], ["--claim", "exp=1"], ["--ttl", "12"], ["--ttl", "9999d"]]
        {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }
}
