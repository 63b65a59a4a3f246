//! One connection: hyper over a transport with time limits, and what its requests share.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use crate::auth::Credential;

use super::admission::Permit;
use super::framing::Fault;
use super::front;
use super::serve::Shared;
use super::tls::{self, Agreed};
use super::transport::{Patience, Transport};
use super::watch::Watch;

/// What hyper reads with; a head or a small body fits at once.
const HARD_HEAD_FACTOR: usize = 2;

/// Between pings on a silent HTTP/2 connection.
const HTTP2_PING: Duration = Duration::from_secs(25);

/// Requests at once on an HTTP/2 connection.
const HTTP2_STREAMS: u32 = 100;

/// How long a connection that idles at the end of a drain stays open for what is on its way.
const LAST_CALL: Duration = Duration::from_millis(100);

/// The answer to a connection above a limit, written before anything is read.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 199\r\n\r\n{\"type\":\"/problems/overloaded\",\"title\":\"Overloaded\",\"status\":503,\"detail\":\"too many connections, or too many new ones at once; try again later\",\"instance\":\"\",\"code\":\"overloaded\",\"retryable\":true}    ";

/// A connection as its requests see it.
#[derive(Debug)]
pub(super) struct Connection {
    peer: IpAddr,
    watch: Arc<Watch>,
    /// Heads that reached the service.
    heads: AtomicU32,
    /// Whether a request's body was left where it is, so that nothing can follow it.
    is_unread: AtomicBool,
    /// What the client showed in the TLS handshake, verified.
    certificate: OnceLock<CertificateDer<'static>>,
    tasks: TaskTracker,
    _permit: Permit,
}

impl Connection {
    /// A connection just let in.
    pub(super) fn new(peer: IpAddr, permit: Permit, tasks: TaskTracker) -> Self {
        Self {
            peer,
            watch: Arc::new(Watch::new()),
            heads: AtomicU32::new(0),
            is_unread: AtomicBool::new(false),
            certificate: OnceLock::new(),
            tasks,
            _permit: permit,
        }
    }

    /// The address at its other end.
    pub(super) const fn peer(&self) -> IpAddr {
        self.peer
    }

    /// The client's certificate as a credential, where it showed one.
    pub(super) fn credential(&self) -> Option<Credential<'_>> {
        self.certificate.get().map(|certificate| Credential::Certificate(certificate))
    }

    /// What its transport knows.
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Tasks that must end before the shard does.
    pub(super) const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// A request's body is not read to its end; over HTTP/1 the connection can only close.
    pub(super) fn leave_unread(&self) {
        self.is_unread.store(true, Ordering::Release);
    }

    /// Whether some request's body was not read to its end.
    pub(super) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Acquire)
    }

    /// Counts a head, and tells what is wrong with its framing.
    pub(super) fn next_head(&self) -> Option<Fault> {
        self.watch.fault(self.heads.fetch_add(1, Ordering::AcqRel))
    }
}

/// Serves requests until either side closes.
pub(super) async fn serve(
    shared: Arc<Shared>,
    router: Router,
    stream: TcpStream,
    connection: Arc<Connection>,
) {
    let Some(acceptor) = &shared.tls else {
        return serve_http1(&shared, &router, stream, &connection).await;
    };
    let header_timeout = shared.config.limits.load().header_timeout;
    let (stream, agreed) = match tls::accept(acceptor, stream, header_timeout).await {
        Ok(accepted) => accepted,
        Err(error) => return tracing::debug!(%error, "no TLS handshake"),
    };
    if let Some(certificate) = tls::client_certificate(&stream) {
        connection.certificate.get_or_init(|| certificate);
    }
    match agreed {
        Agreed::Http1 => Box::pin(serve_http1(&shared, &router, stream, &connection)).await,
        Agreed::Http2 => Box::pin(serve_http2(&shared, &router, stream, &connection)).await,
    }
}

async fn serve_http1<S>(shared: &Arc<Shared>, router: &Router, stream: S, connection: &Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = shared.config.limits.load_full();
    let transport = Transport::http1(stream, Arc::clone(&connection.watch), Patience::new(&limits));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes_max.saturating_mul(HARD_HEAD_FACTOR).max(8192))
        .keep_alive(true);
    if limits.headers_max > 100 {
        builder.max_headers(limits.headers_max);
    }
    let service = service_fn(|request| front::serve(shared, router, connection, request));
    let serving = builder.serve_connection(TokioIo::new(transport), service).with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shared.drain.ending().cancelled() => {
            // A request that is on its way is still answered, with a refusal.
            match tokio::time::timeout(LAST_CALL, serving.as_mut()).await {
                Ok(ended) => ended,
                Err(_) => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            }
        }
    };
    report(ended);
}

/// Many requests share the connection; a client that goes silent is found by pings.
async fn serve_http2<S>(shared: &Arc<Shared>, router: &Router, stream: S, connection: &Arc<Connection>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = shared.config.limits.load_full();
    let transport = Transport::unframed(stream, Arc::clone(&connection.watch), Patience::new(&limits));
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(limits.write_timeout)
        .max_concurrent_streams(HTTP2_STREAMS)
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(1 << 20)
        .max_header_list_size(u32::try_from(limits.header_bytes_max * HARD_HEAD_FACTOR).unwrap_or(u32::MAX));
    let (shared_ref, router, connection) = (Arc::clone(shared), router.clone(), Arc::clone(connection));
    let service = service_fn(move |request| {
        let (shared, router, connection) = (Arc::clone(&shared_ref), router.clone(), Arc::clone(&connection));
        async move { front::serve(&shared, &router, &connection, request).await }
    });
    let serving = builder.serve_connection(TokioIo::new(transport), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shared.drain.ending().cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    report(ended);
}

fn report(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Tells a connection above a limit so, and lets it go without a reset.
pub(super) async fn refuse(mut stream: TcpStream) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let farewell = async {
        stream.write_all(REFUSAL).await?;
        stream.shutdown().await?;
        let mut scrap = [0; 1024];
        while stream.read(&mut scrap).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    match tokio::time::timeout(PATIENCE, farewell).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::trace!(%error, "refused connection ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::REFUSAL;

    #[test]
    fn the_refusals_length_is_true() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 503);
    }
}
