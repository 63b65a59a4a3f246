//! `weirgate dev`: the whole story on one machine, with commands to paste.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::app::App;
use crate::config::Environment;
use crate::telemetry;

use super::{output, serve, sources};

/// Run a gateway for development on this machine. Only loopback can reach it; the data directory keeps its events and
/// its signing key.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    sources: sources::Args,
    /// Where to listen; must be a loopback address.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where events, offsets and the development key are kept.
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// Keep events and offsets in Apache Kafka at this address instead.
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
}

pub(super) fn run(args: Args, environment: Environment) -> anyhow::Result<ExitCode> {
    let listen = args.listen.map(|address| ("http.listen".to_owned(), address.to_string()));
    let data_dir =
        args.data_dir.map(|path| ("log.embedded.path".to_owned(), path.to_string_lossy().into_owned()));
    let kafka = args.kafka.into_iter().flat_map(|broker| {
        let brokers = serde_json::json!([broker]).to_string();
        [("log.engine".to_owned(), "kafka".to_owned()), ("log.kafka.brokers".to_owned(), brokers)]
    });
    let flags = listen.into_iter().chain(data_dir).chain(kafka).collect();
    let reader = args.sources.reader(true, environment, flags);
    let config = sources::read(&reader)?;
    telemetry::start(&config.telemetry).context("telemetry.log is no log filter")?;
    let folder = config.schemas.directory.display().to_string();
    let schemas = if config.schemas.uses_samples() {
        format!("the samples, built in (there is no folder {folder} here)")
    } else {
        folder
    };
    let scheme = if config.http.tls.is_some() { Scheme::Tls } else { Scheme::Plain };
    serve::serve(config, reader, |app| welcome(app, scheme, &schemas))
}

/// How the gateway is reached.
#[derive(Debug, Clone, Copy)]
enum Scheme {
    Plain,
    Tls,
}

fn welcome(app: &App, scheme: Scheme, schemas: &str) {
    let (http, ws) = match scheme {
        Scheme::Plain => ("http", "ws"),
        Scheme::Tls => ("https", "wss"),
    };
    let metrics = app.metrics_address();
    let metrics = metrics.map_or_else(|| "off".to_owned(), |address| format!("http://{address}/metrics"));
    let text = include_str!("dev.txt")
        .replace("{url}", &format!("{http}://{}", app.address()))
        .replace("{ws}", &format!("{ws}://{}", app.address()))
        .replace("{schemas}", schemas)
        .replace("{metrics}", &metrics)
        .replace("{weirgate}", &own_path())
        .replace("{data}", &app.data_directory().map_or_else(String::new, |path| path.display().to_string()))
        .replace("{token}", app.dev_token().unwrap_or_default());
    if let Err(error) = output::print(&text) {
        tracing::warn!(%error, "the commands to paste cannot be shown");
    }
}

/// How to call this program from here.
fn own_path() -> String {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("weirgate"));
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(&path).display().to_string()
}
