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

mod admission;
mod answer;
mod asyncapi;
mod audit;
mod bodies;
mod body;
mod call;
mod config;
mod connection;
mod credential;
mod dead_letters;
mod docs;
mod drain;
mod event_types;
mod follow;
mod framing;
mod front;
mod groups;
mod head;
mod known;
mod limits;
mod lines;
mod listen;
mod media;
mod metrics;
mod operations;
mod origin;
mod pages;
mod publish;
mod publish_options;
mod publish_stream;
mod query;
mod read;
mod receipt;
mod redrives;
mod registry;
mod replays;
mod routes;
mod serve;
mod tls;
mod transport;
mod upgrade;
mod watch;

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::delivery::Delivery;
use crate::event::{Clock, LiveCatalogue};
use crate::feed::Feed;
use crate::log::{self, EventLog};
use crate::publish::Publisher;
use crate::schema::Schemas;
use crate::schema::registry::Registry as SchemaRegistry;
use crate::socket::Sessions;
use crate::telemetry::Registry;

pub(crate) use audit::tell_signal;
pub use config::{Config, Network, NetworkError, OriginError, OriginPattern, Tls};
pub use limits::{Limits, LiveLimits};
pub use listen::Listeners;
pub use registry::{RegistryPath, RegistryPathError};

/// Reads the configuration again and puts in force what can change while running.
pub type Reload = Arc<dyn Fn() -> Result<Reloaded, ReloadError> + Send + Sync>;

/// What a reload left for a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys of the configuration that differ from what is in force and stay as they were.
    pub kept: Vec<String>,
}

/// Why a reload did not happen, or not whole. Every text may be told to the caller.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReloadError {
    /// The new configuration cannot be used; nothing was changed.
    #[error("nothing was changed: {0}")]
    Refused(String),
    /// The log did not take topics or groups; others before them hold, and a repeat takes up the rest.
    #[error("not all was changed, reload again: {0}")]
    Log(#[from] log::Error),
}

/// What the routes stand on: handles of the rooms below and what `app` tells of itself.
#[derive(Clone)]
pub struct Parts {
    /// Who calls, and what they may do.
    pub authenticator: Authenticator,
    /// The way in.
    pub publisher: Publisher,
    /// What events are judged by; asked whether it can.
    pub judged_by: Schemas,
    /// Subjects, versions and schemas.
    pub schemas: SchemaRegistry,
    /// The way out to an audience.
    pub feed: Feed,
    /// The way out to workers.
    pub delivery: Delivery,
    /// Where upgraded streams go.
    pub sessions: Sessions,
    /// What the operator says of each topic.
    pub catalogue: LiveCatalogue,
    /// The log, asked for its health and its topics.
    pub log: Arc<dyn EventLog>,
    /// The wall clock.
    pub clock: Clock,
    /// Where metrics are registered and read.
    pub registry: Registry,
    /// What `GET /v1/admin/config` answers: the configuration with its secrets hidden, as JSON.
    pub config_view: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// What `POST /v1/admin/reload` does. It blocks.
    pub reload: Reload,
    /// The page of `GET /`, in dev mode.
    pub front_page: Option<Arc<dyn Fn() -> String + Send + Sync>>,
    /// A token for this machine's own reader of the docs, in dev mode.
    pub own_token: Option<Arc<dyn Fn() -> String + Send + Sync>>,
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
    #[error("cannot listen on {address} ({key}); is another process using it?")]
    Listen {
        /// The configuration's name for it.
        key: &'static str,
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
    shared: Arc<serve::Shared>,
}

impl Server {
    /// A server with these limits on these rooms.
    ///
    /// # Errors
    /// [`Error::Tls`] when certificate or key cannot be read.
    pub fn new(config: Config, parts: Parts) -> Result<Self, Error> {
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        Ok(Self { shared: Arc::new(serve::Shared::new(config, parts, tls)) })
    }

    /// Serves until `shutdown` is cancelled and the drain has ended.
    ///
    /// # Errors
    /// [`Error::Thread`].
    pub async fn run(self, listeners: Listeners, shutdown: CancellationToken) -> Result<(), Error> {
        serve::run(self.shared, listeners, shutdown).await
    }
}
