//! Shards: a thread, a single-threaded runtime and a listener each; and the order of going away.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::bodies::Bodies;
use super::connection::{self, Connection};
use super::drain::{Drain, Phase};
use super::metrics::Metrics;
use super::{Config, Error, Listeners, Parts, asyncapi, operations, routes};

/// How long connections that idle get to close when everything is done.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// How long a shard waits after it could not accept, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all shards and handlers share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) parts: Parts,
    pub(super) metrics: Metrics,
    pub(super) drain: Drain,
    pub(super) admission: Arc<Admission>,
    /// Where all request bodies find room.
    pub(super) bodies: Bodies,
    /// How to shake hands; `None` speaks plain HTTP.
    pub(super) tls: Option<TlsAcceptor>,
    /// The AsyncAPI documents made last.
    pub(super) asyncapi: asyncapi::Kept,
    /// Told apart from those of other runs by a random beginning.
    pub(super) request_ids: RequestIds,
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("drain", &self.drain).finish_non_exhaustive()
    }
}

impl Shared {
    /// What a server stands on.
    pub(super) fn new(config: Config, parts: Parts, tls: Option<TlsAcceptor>) -> Self {
        let metrics = Metrics::register(&parts.registry);
        let admission =
            Admission::new(config.limits.clone(), config.trusted_proxies.clone(), metrics.clone());
        Self {
            admission: Arc::new(admission),
            bodies: Bodies::new(config.limits.clone(), metrics.bodies_bytes.clone()),
            tls,
            drain: Drain::default(),
            asyncapi: asyncapi::Kept::default(),
            request_ids: RequestIds::new(),
            config,
            parts,
            metrics,
        }
    }
}

/// Makes the ids of requests.
#[derive(Debug)]
pub(super) struct RequestIds {
    run: u32,
    next: std::sync::atomic::AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        Self { run: getrandom::u32().unwrap_or_default(), next: std::sync::atomic::AtomicU64::new(1) }
    }

    /// An id no other request of this gateway has.
    pub(super) fn next(&self) -> Box<str> {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        format!("r-{:08x}-{number:x}", self.run).into_boxed_str()
    }
}

/// Serves on all listeners until the drain has ended.
pub(super) async fn run(
    shared: Arc<Shared>,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let mut shards = Vec::new();
    for (number, listener) in listeners.shards.into_iter().enumerate() {
        shards.push(start_shard(number, listener, Arc::clone(&shared))?);
    }
    let metrics = listeners
        .metrics
        .map(|listener| tokio::spawn(operations::serve_metrics(Arc::clone(&shared), listener)));
    shutdown.cancelled().await;
    drain(&shared).await;
    for shard in shards {
        match shard.await {
            Ok(result) => result.map_err(Error::Thread)?,
            Err(_) => return Err(Error::Thread(io::Error::other("a shard panicked"))),
        }
    }
    if let Some(metrics) = metrics {
        metrics.abort();
    }
    Ok(())
}

/// Not ready at once; after the delay new requests are refused while running ones and sockets finish; then the
/// end. Each step has its time, so that the whole ends within `drain_delay` and `drain_window`.
async fn drain(shared: &Shared) {
    let window = shared.config.drain_window;
    tracing::info!(delay_ms = shared.config.drain_delay.as_millis(), "draining");
    shared.drain.advance(Phase::Leaving);
    tokio::time::sleep(shared.config.drain_delay).await;
    shared.drain.advance(Phase::Refusing);
    let sockets = shared.parts.sessions.drain(window);
    let requests = tokio::time::timeout(window, shared.drain.until_idle());
    let ((), requests) = tokio::join!(sockets, requests);
    if requests.is_err() {
        tracing::warn!("requests still ran at the end of the drain window and are cut off");
    }
    shared.drain.advance(Phase::Ending);
}

/// Starts a shard; the receiver tells how it ended.
fn start_shard(
    number: usize,
    listener: TcpListener,
    shared: Arc<Shared>,
) -> Result<oneshot::Receiver<io::Result<()>>, Error> {
    let (ended, end) = oneshot::channel();
    let body = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = runtime.and_then(|runtime| runtime.block_on(serve_shard(listener, shared)));
        if ended.send(result).is_err() {
            tracing::debug!(shard = number, "nobody waits for the shard's end");
        }
    };
    std::thread::Builder::new().name(format!("http-{number}")).spawn(body).map_err(Error::Thread)?;
    Ok(end)
}

async fn serve_shard(listener: TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = routes::router(&shared);
    let tasks = TaskTracker::new();
    let ending = shared.drain.ending().clone();
    loop {
        // Both branches are cancel safe: an accept that is not ready has taken nothing.
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ending.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => serve_one(&shared, &router, &tasks, stream, peer.ip()),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    for (stream, peer) in waiting(listener)? {
        serve_one(&shared, &router, &tasks, stream, peer.ip());
    }
    tasks.close();
    if tokio::time::timeout(FAREWELL, tasks.wait()).await.is_err() {
        tracing::debug!(connections = tasks.len(), "connections cut off at the end of the drain");
    }
    Ok(())
}

/// Closes the listener. What the kernel had accepted before gets an answer rather than a reset; the kernel itself is
/// asked, since the runtime may not have heard of it yet.
fn waiting(listener: tokio::net::TcpListener) -> io::Result<Vec<(TcpStream, SocketAddr)>> {
    let listener = listener.into_std()?;
    let mut waiting = Vec::new();
    while let Ok((stream, peer)) = listener.accept() {
        stream.set_nonblocking(true)?;
        waiting.push((TcpStream::from_std(stream)?, peer));
    }
    Ok(waiting)
}

fn serve_one(shared: &Arc<Shared>, router: &Router, tasks: &TaskTracker, stream: TcpStream, peer: IpAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    match shared.admission.admit(peer) {
        Ok(permit) => {
            let connection = Arc::new(Connection::new(peer, permit, tasks.clone()));
            tasks.spawn(connection::serve(Arc::clone(shared), router.clone(), stream, connection));
        }
        Err(refusal) => {
            tracing::debug!(reason = refusal.as_str(), "connection refused");
            // A TLS client could not read a plain refusal.
            if shared.tls.is_none()
                && tasks.len() < shared.config.limits.load().connections_max.saturating_mul(2)
            {
                tasks.spawn(connection::refuse(stream));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net;

    use super::waiting;

    #[tokio::test]
    async fn connections_that_the_runtime_has_not_heard_of_are_taken_over() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Nothing waits in between, so that the runtime has no chance to look.
        let clients: Vec<_> = (0..3).map(|_| net::TcpStream::connect(address).unwrap()).collect();
        let taken = waiting(listener).unwrap();
        assert_eq!(taken.len(), clients.len());
        assert!(
            clients.iter().all(|client| taken.iter().any(|(_, peer)| *peer == client.local_addr().unwrap()))
        );
        assert!(net::TcpStream::connect(address).is_err());
    }
}
