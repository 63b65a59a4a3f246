//! `weirgate serve`: a gateway with the operator's configuration, until SIGTERM or SIGINT.

use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{App, ReadSources, Reload};
use crate::config::{Config, Environment};
use crate::event::Clock;
use crate::telemetry;

use super::sources;

/// Run a gateway with your configuration. SIGTERM drains and stops it, SIGHUP reloads grants, keys, topics, groups,
/// schemas, quotas and limits.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    sources: sources::Args,
}

pub(super) fn run(args: Args, environment: Environment) -> anyhow::Result<ExitCode> {
    let reader = args.sources.reader(false, environment, Vec::new());
    let config = sources::read(&reader)?;
    telemetry::start(&config.telemetry).context("telemetry.log is no log filter")?;
    serve(config, reader, |_| {})
}

/// Builds the gateway, tells `started` of it, and runs it until a signal.
pub(super) fn serve(
    config: Config,
    reader: ReadSources,
    started: impl FnOnce(&App),
) -> anyhow::Result<ExitCode> {
    // One thread beside the connections' own: feeds, groups and timers are light, and the log has its own threads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("weirgate-rooms")
        .enable_all()
        .build()
        .context("no runtime")?;
    let served = runtime.block_on(async {
        let app = App::build(config, reader, Clock::system()).await?;
        started(&app);
        let shutdown = CancellationToken::new();
        let signals = tokio::spawn(watch_signals(app.reload(), shutdown.clone()));
        let outcome = app.run(shutdown).await;
        signals.abort();
        outcome
    });
    // A call that stands still, for a log that is away, does not keep the process.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

/// The first SIGTERM or SIGINT drains, the second ends the process at once, SIGHUP reloads.
async fn watch_signals(reload: Reload, shutdown: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut reloading = JoinSet::new();
    loop {
        let status = tokio::select! {
            _ = terminate.recv() => 143,
            _ = interrupt.recv() => 130,
            // One at a time; what comes meanwhile asks for one more. A reload that waits for the log holds up no end.
            _ = hangup.recv(), if reloading.is_empty() => {
                let reload = std::sync::Arc::clone(&reload);
                // It logs its outcome itself.
                reloading.spawn_blocking(move || reload().is_ok());
                continue;
            }
            Some(_) = reloading.join_next() => continue,
        };
        if shutdown.is_cancelled() {
            tracing::warn!("a second signal: leaving at once");
            leave(status);
        }
        shutdown.cancel();
    }
}

/// Leaves as a shell expects it of a process ended by a signal. What was acknowledged is on the disk.
#[expect(clippy::exit, reason = "the drain under way would hold up a return from main")]
fn leave(status: i32) -> ! {
    std::process::exit(status)
}
