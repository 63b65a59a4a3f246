//! `weirgate check-config`: all mistakes at once, or what holds.

use std::process::ExitCode;

use crate::config::Environment;

use super::sources;

/// Check the configuration and print what holds.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    sources: sources::Args,
    /// Check as `weirgate dev` would read it, with the sample topics.
    #[arg(long)]
    dev: bool,
}

#[expect(clippy::print_stdout, reason = "the result of the command")]
pub(super) fn run(args: &Args, environment: Environment) -> anyhow::Result<ExitCode> {
    let config = sources::read(&args.sources.clone().reader(args.dev, environment, Vec::new()))?;
    print!("{}", config.shown);
    Ok(ExitCode::SUCCESS)
}
