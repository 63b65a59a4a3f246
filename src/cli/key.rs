//! `weirgate key new`: makes an API key and prints it once, beside what the configuration stores of it.

use std::process::ExitCode;

use crate::auth::api_key;
use crate::event::Timestamp;

use super::output;

/// Make API keys.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    New(New),
}

/// Make an API key; it is shown once, the gateway stores only its hash.
#[derive(Debug, clap::Args)]
struct New {
    /// Whom the key stands for, such as service:orders.
    #[arg(long)]
    principal: String,
    /// The id by which configuration and logs know the key; made up when absent.
    #[arg(long)]
    id: Option<String>,
    /// When the key ends, RFC 3339; never when absent.
    #[arg(long, value_parser = Timestamp::parse)]
    expires: Option<Timestamp>,
}

/// Prints the key and its entry for `auth.api_keys`.
///
/// # Errors
/// When the id is no id, there is no randomness, or standard output is closed.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Command::New(new) = &args.command;
    output::print(&describe(new)?)?;
    Ok(ExitCode::SUCCESS)
}

fn describe(new: &New) -> anyhow::Result<String> {
    let id = new.id.clone().map_or_else(api_key::random_id, Ok)?;
    let key = api_key::generate(&id)?;
    let principal = serde_json::Value::from(new.principal.as_str());
    let expires = new.expires.map_or_else(|| "null".to_owned(), |time| format!("\"{time}\""));
    Ok(format!(
        "API key, shown only now; send it as `Authorization: ApiKey …` or `X-Api-Key: …`:\n\n  {}\n\n\
         Entry for the configuration:\n\n\
         auth:\n  api_keys:\n    - {{ id: \"{id}\", principal: {principal}, sha256: \"{}\", expires: {expires} }}\n",
        key.text, key.sha256
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::{Args, Command, describe};
    use crate::auth::{Authenticator, Credential, RawConfig};
    use crate::event::Clock;
    use crate::telemetry::Registry;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn describe_with(arguments: &[&str]) -> anyhow::Result<String> {
        let program = Program::try_parse_from([&["key", "new"], arguments].concat())?;
        let Command::New(new) = program.args.command;
        describe(&new)
    }

    #[tokio::test]
    async fn the_printed_entry_lets_the_printed_key_in() {
        let text = describe_with(&[
            "--principal",
            "service:orders",
            "--id",
            "k1",
            "--expires",
            "2031-01-01T00:00:00Z",
        ]);
        let text = text.unwrap();
        let key = text.lines().find_map(|line| line.trim().strip_prefix("wg_")).unwrap();
        let entry = text.lines().last().unwrap();
        let sha256 = entry.split('"').find(|part| part.len() == 64).unwrap();
        assert_eq!(
            entry,
            format!(
                "    - {{ id: \"k1\", principal: \"service:orders\", sha256: \"{sha256}\", \
                 expires: \"2031-01-01T00:00:00.000Z\" }}"
            )
        );
        let section =
            json!({ "api_keys": [{ "id": "k1", "principal": "service:orders", "sha256": sha256 }] });
        let config = serde_json::from_value::<RawConfig>(section).unwrap().check().unwrap();
        let authenticator = Authenticator::build(&config, Clock::system(), &Registry::new()).unwrap();
        let key = format!("wg_{key}");
        let principal = authenticator.authenticate(Credential::ApiKey(&key)).await.unwrap();
        assert_eq!(principal.id(), "service:orders");
    }

    #[test]
    fn an_id_is_made_up_or_checked() {
        assert!(describe_with(&["--principal", "p"]).is_ok());
        assert!(describe_with(&["--principal", "p", "--id", "a b"]).is_err());
        assert!(describe_with(&[]).is_err());
    }
}
