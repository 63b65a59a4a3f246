//! `weirgate check-config`: all mistakes at once, or what holds.

use std::process::ExitCode;

use crate::config::Environment;

use super::{output, sources};

/// Check the configuration, the schemas and certificates it names and the topics of its groups, and print what holds.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    sources: sources::Args,
    /// Check as `weirgate dev` would read it, with the sample topics.
    #[arg(long)]
    dev: bool,
}

pub(super) fn run(args: &Args, environment: Environment) -> anyhow::Result<ExitCode> {
    let config = sources::check(&args.sources.clone().reader(args.dev, environment, Vec::new()))?;
    output::print(&config.shown)?;
    Ok(ExitCode::SUCCESS)
}
