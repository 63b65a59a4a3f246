//! Where a gateway's configuration comes from: `--config`, `WEIRGATE_CONFIG`, else `weirgate.yaml` if present.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;

use crate::app::ReadSources;
use crate::config::{Config, Environment, Mistake, Sources};

use super::output;

/// The arguments that every command with a configuration takes.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// The configuration file; default: weirgate.yaml, if there is one.
    #[arg(long, short, env = "WEIRGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key, as http.listen=127.0.0.1:9000; may be given often.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_set)]
    sets: Vec<(String, String)>,
}

impl Args {
    /// A function that reads the sources, now and again at every reload. Keys in `flags` win over everything but
    /// `--set`.
    pub(super) fn reader(
        self,
        is_dev: bool,
        environment: Environment,
        mut flags: Vec<(String, String)>,
    ) -> ReadSources {
        flags.extend(self.sets);
        let config = self.config;
        Arc::new(move || {
            let path = config.clone().or_else(|| {
                let default = PathBuf::from("weirgate.yaml");
                default.exists().then_some(default)
            });
            let file = path
                .map(|path| {
                    std::fs::read_to_string(&path)
                        .map_err(|error| format!("cannot read {}: {error}", path.display()))
                })
                .transpose()?;
            Ok(Sources { is_dev, file, environment: environment.clone(), flags: flags.clone() })
        })
    }
}

/// Reads the configuration, or says everything that is wrong with it.
pub(super) fn read(sources: &ReadSources) -> anyhow::Result<Config> {
    let sources = sources().map_err(|problem| anyhow!(problem))?;
    Config::read(&sources).map_err(|mistakes| anyhow!(describe(&mistakes)))
}

/// As [`read`], and tries what the configuration names.
pub(super) fn check(sources: &ReadSources) -> anyhow::Result<Config> {
    let sources = sources().map_err(|problem| anyhow!(problem))?;
    Config::check(&sources).map_err(|mistakes| anyhow!(describe(&mistakes)))
}

fn describe(mistakes: &[Mistake]) -> String {
    let lines: String = mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect();
    format!("the configuration has {}:{lines}", output::counted(mistakes.len(), "mistake"))
}

fn parse_set(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}
