//! The only place that sees everything: it builds the rooms on one another, runs them, and takes them down in order.
//!
//! No rule of the product lives here. What is built is handed on as handles; what runs is tracked and ends when it
//! is told to.
//!
//! ```text
//! Config ── build (engine, topics, schemas, auth, publish, feed, delivery, sockets, http) ── App
//! App ── run ── shutdown: http drains and refuses, sockets leave, groups commit, publishes flush, the log closes
//! ```

mod build;
mod engine;
mod node;
mod playground;
mod reload;
mod schemas;
mod tasks;
mod topics;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::auth;
use crate::config::{Config, Sources};
use crate::delivery;
use crate::event::Clock;
use crate::feed;
use crate::http;
use crate::log::Health;
use crate::publish;
use crate::telemetry::{Family, Registry};

pub use node::NodeError;

/// What reloads the configuration; it blocks, and logs its outcome itself.
pub type Reload = http::Reload;

/// How long what is under way may take to end once the drain is over.
const LAST_GRACE: Duration = Duration::from_secs(4);

/// SIGTERM to exit, as promised to whoever runs the process.
const EXIT_SECONDS_MAX: u64 = 30;
const _: () = assert!(http::Config::END_MAX.as_secs() + LAST_GRACE.as_secs() <= EXIT_SECONDS_MAX);

/// As much of it as the log has for itself, however long the others take.
const LOG_GRACE: Duration = Duration::from_secs(1);

/// How long a start waits to know what was stored before it; then it serves, and is not ready yet.
const LOAD_GRACE: Duration = Duration::from_secs(10);

/// Reads the configuration again, for a reload; blocks on the file system.
pub type ReadSources = Arc<dyn Fn() -> Result<Sources, String> + Send + Sync>;

/// A built gateway, listening but not yet serving.
#[derive(Debug)]
pub struct App {
    engine: engine::Engine,
    feed: feed::Service,
    delivery: delivery::Service,
    sharing: publish::Sharing,
    publisher: publish::Publisher,
    server: http::Server,
    listeners: http::Listeners,
    reload: reload::Reload,
    tasks: tasks::Tasks,
    dev_token: Option<String>,
    data_directory: Option<PathBuf>,
    registry: Registry,
}

impl App {
    /// Builds every room and binds the listeners. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the log cannot be opened, a schema or key cannot be used, or an address is taken.
    pub async fn build(config: Config, read_sources: ReadSources, clock: Clock) -> anyhow::Result<Self> {
        build::build(config, read_sources, clock).await
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.listeners.address()
    }

    /// Where `/metrics` is served.
    #[must_use]
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.listeners.metrics_address()
    }

    /// In development mode, a token with every right.
    #[must_use]
    pub fn dev_token(&self) -> Option<&str> {
        self.dev_token.as_deref()
    }

    /// The metrics of all rooms, those too that count nothing yet.
    #[must_use]
    pub fn metric_families(&self) -> Vec<Family> {
        self.registry.families()
    }

    /// Where this gateway keeps its own state; `None` where it keeps none.
    #[must_use]
    pub fn data_directory(&self) -> Option<&std::path::Path> {
        self.data_directory.as_deref()
    }

    /// What reloads the configuration, for a signal handler; the audit trail tells of it.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.reload.by_signal()
    }

    /// Serves until `shutdown` is cancelled, then drains: requests and sockets first, then groups and feeds, then the
    /// publishes under way, then the log.
    ///
    /// # Errors
    /// When the HTTP side fails; the rest is taken down in order all the same.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let rooms = CancellationToken::new();
        let feed = tokio::spawn(self.feed.run(rooms.clone()));
        let delivery = tokio::spawn(self.delivery.run(rooms.clone()));
        let untold = CancellationToken::new();
        let sharing = tokio::spawn(self.sharing.run(untold.clone()));
        if self.engine.log().health() == Health::Ready {
            // Who comes at once may repeat what came before the start.
            let loaded = timeout(LOAD_GRACE, self.publisher.until_loaded());
            shutdown.run_until_cancelled(loaded).await.unwrap_or(Ok(())).unwrap_or_default();
        }
        tracing::info!(address = %self.listeners.address(), "serving");
        let served = self.server.run(self.listeners, shutdown).await.context("the HTTP side failed");
        rooms.cancel();
        self.tasks.stop();
        let end = Instant::now() + LAST_GRACE;
        let deadline = end - LOG_GRACE;
        join("delivery", delivery, deadline).await;
        join("feed", feed, deadline).await;
        if tokio::time::timeout_at(deadline, self.tasks.ended()).await.is_err() {
            tracing::warn!("what runs beside the rooms did not end in time");
        }
        if tokio::time::timeout_at(deadline, self.publisher.drain()).await.is_err() {
            tracing::warn!("publishes under way did not end in time");
        }
        untold.cancel();
        join("what gateways tell one another", sharing, deadline).await;
        if !self.engine.close_by(end).await {
            tracing::error!("the log did not close in time; it is left as after a kill");
        }
        tracing::info!("stopped");
        served
    }
}

async fn join(room: &'static str, task: JoinHandle<()>, deadline: Instant) {
    let abort = task.abort_handle();
    match tokio::time::timeout_at(deadline, task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(room, %error, "a room failed"),
        Err(_) => {
            abort.abort();
            tracing::warn!(room, "a room did not end in time");
        }
    }
}

/// Refuses a development gateway that others could reach.
fn check_dev(config: &Config) -> anyhow::Result<()> {
    if config.auth.mode == auth::Mode::Dev {
        auth::dev::check_listen(config.http.listen)?;
    }
    Ok(())
}
