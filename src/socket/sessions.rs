//! The handle through which upgraded streams become sessions, and through which all sessions drain.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::delivery::Delivery;
use crate::event::Clock;
use crate::feed::Feed;
use crate::publish::Publisher;
use crate::telemetry::Registry;

use super::metrics::Metrics;
use super::session::Session;
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

/// What every session holds.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) parts: Parts,
    pub(super) metrics: Metrics,
    pub(super) drain: watch::Sender<Option<Plan>>,
    /// Ends every session where it stands.
    pub(super) force: CancellationToken,
    open: watch::Sender<usize>,
}

/// A drain: when the last socket must be gone, and how far clients are to spread their return.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) until: Instant,
    pub(super) window: Duration,
}

impl Sessions {
    /// Sessions over these parts.
    #[must_use]
    pub fn new(config: Config, parts: Parts, registry: &Registry) -> Self {
        let shared = Shared {
            config,
            parts,
            metrics: Metrics::register(registry),
            drain: watch::Sender::new(None),
            force: CancellationToken::new(),
            open: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Serves one stream, just after the 101, until it is closed. Cancelling `shutdown` closes it at once, with
    /// `bye` and a few seconds for the client to answer; to let all leave in good order, [`Sessions::drain`].
    pub async fn serve<S>(&self, stream: S, handshake: Handshake, shutdown: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let _presence = Presence::new(Arc::clone(&self.shared));
        let mut session = Session::new(Arc::clone(&self.shared), stream, handshake);
        session.run(&shutdown).await;
    }

    /// Asks every socket to leave: groups first settle what is in hand, then each socket gets its `bye` at a moment of
    /// its own. Returns when the last one has gone, or at the end of the window, when those left are cut off.
    pub async fn drain(&self, window: Duration) {
        let until = Instant::now() + window;
        // A slow group must leave the sockets time for their `bye`.
        if timeout(window / 2, self.shared.parts.delivery.drain()).await.is_err() {
            tracing::warn!("groups did not settle within half of the drain window");
        }
        self.shared.drain.send_replace(Some(Plan { until, window }));
        if timeout_at(until, self.all_gone()).await.is_err() {
            tracing::warn!(
                connections = self.connections(),
                "sockets are cut off at the end of the drain window"
            );
            self.shared.force.cancel();
            self.all_gone().await;
        }
    }

    /// How many sockets are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        *self.shared.open.borrow()
    }

    async fn all_gone(&self) {
        // The sender lives as long as this handle, so the wait ends by the count alone.
        drop(self.shared.open.subscribe().wait_for(|open| *open == 0).await);
    }
}

/// Counts a connection for as long as it lives, however it ends.
#[derive(Debug)]
struct Presence(Arc<Shared>);

impl Presence {
    fn new(shared: Arc<Shared>) -> Self {
        shared.open.send_modify(|open| *open += 1);
        shared.metrics.connections.inc();
        Self(shared)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
        self.0.metrics.connections.dec();
    }
}
