//! From `GET /v1/stream` to a socket: origin, credential, 101, and the stream handed over.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::auth::{self, Credential, Principal};
use crate::problem::{Code, Problem};
use crate::socket::Handshake;
use crate::socket::handshake::{SUBPROTOCOL, Upgrade};

use super::answer::problem_of;
use super::call::Call;
use super::credential;
use super::query::Query;
use super::serve::Shared;
use super::transport::Transport;

/// `GET /v1/stream`.
pub(super) async fn stream(
    State(shared): State<Arc<Shared>>,
    call: Call,
    mut request: Request,
) -> Result<Response, Problem> {
    let query = request.uri().query().unwrap_or_default();
    credential::refuse_in_url(query)?;
    Query::parse(Some(query), &["ticket"])?;
    let ticket = credential::ticket_of(query).map(ToOwned::to_owned);
    let upgrade = Upgrade::read(request.headers())?;
    check_origin(&shared, request.headers())?;
    let principal = authenticate(&shared, &call, request.headers(), &upgrade, ticket.as_deref()).await?;
    let Some(upgraded) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(Problem::new(Code::BadRequest, "sockets need HTTP/1.1"));
    };
    let handshake = Handshake { principal, peer: call.peer() };
    call.connection().tasks().spawn(hand_over(shared, call.clone(), upgraded, handshake));
    switching(&upgrade.accept)
}

fn switching(accept: &str) -> Result<Response, Problem> {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let accept = HeaderValue::from_str(accept).map_err(|_| Problem::hidden(Code::Internal))?;
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// A page of a foreign origin is not let in, whatever it carries.
fn check_origin(shared: &Shared, headers: &HeaderMap) -> Result<(), Problem> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let is_allowed = origins.next().is_none()
        && origin
            .to_str()
            .is_ok_and(|text| shared.config.allowed_origins.iter().any(|pattern| pattern.matches(text)));
    if is_allowed {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        "pages of this origin may not connect: it is not in http.allowed_origins",
    ))
}

/// Who connects. A bad credential in a header is refused here; one that only a browser sends is told after the
/// upgrade, where a page can see it.
async fn authenticate(
    shared: &Shared,
    call: &Call,
    headers: &HeaderMap,
    upgrade: &Upgrade,
    ticket: Option<&str>,
) -> Result<Option<Result<Arc<Principal>, auth::Error>>, Problem> {
    let authenticator = &shared.parts.authenticator;
    let from_headers = credential::from_headers(headers)?;
    let given = usize::from(from_headers.is_some())
        + usize::from(upgrade.bearer.is_some())
        + usize::from(ticket.is_some());
    if given > 1 {
        return Err(Problem::new(
            Code::BadRequest,
            "send one credential: a header, a subprotocol or a ticket",
        ));
    }
    // A certificate counts where nothing else was given, and is no page's: it is judged before the upgrade too.
    let certificate = call.connection().credential().filter(|_| given == 0);
    if let Some(credential) = from_headers.or(certificate) {
        let principal = authenticator.authenticate(credential).await;
        return principal.map(|principal| Some(Ok(principal))).map_err(|error| problem_of(&error));
    }
    let credential = match (&upgrade.bearer, ticket) {
        (Some(token), _) => Credential::Bearer(token),
        (None, Some(ticket)) => Credential::Ticket(ticket),
        (None, None) => return Ok(None),
    };
    Ok(Some(authenticator.authenticate(credential).await))
}

/// Waits for the 101 to leave, then serves the socket until it ends. The call keeps its connection's place.
async fn hand_over(shared: Arc<Shared>, call: Call, upgraded: OnUpgrade, handshake: Handshake) {
    let upgraded = match upgraded.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(request.id = call.id(), %error, "upgrade failed"),
    };
    let shutdown = shared.drain.ending().clone();
    let sessions = &shared.parts.sessions;
    // The bare stream is smaller than hyper's box around it, and the session keeps its own time.
    let upgraded = match upgraded.downcast::<TokioIo<Transport<TcpStream>>>() {
        Ok(parts) => {
            let stream = Resumed::new(parts.read_buf, parts.io.into_inner().into_stream());
            return sessions.serve(stream, handshake, shutdown).await;
        }
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<Transport<TlsStream<TcpStream>>>>() {
        Ok(parts) => {
            let stream = Resumed::new(parts.read_buf, parts.io.into_inner().into_stream());
            Box::pin(sessions.serve(stream, handshake, shutdown)).await;
        }
        Err(_) => tracing::error!(request.id = call.id(), "an upgraded stream of an unknown kind"),
    }
}

/// A stream whose first bytes were read already.
#[derive(Debug)]
struct Resumed<S> {
    first: Bytes,
    stream: S,
}

impl<S> Resumed<S> {
    fn new(first: Bytes, stream: S) -> Self {
        // An empty remainder would hold the buffer that hyper read into for as long as the socket lives.
        let first = if first.is_empty() { Bytes::new() } else { first };
        Self { first, stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Resumed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.first.len().min(buffer.remaining());
        let bytes = self.first.split_to(length);
        buffer.put_slice(&bytes);
        if self.first.is_empty() {
            // Lets go of the buffer that hyper read into.
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Resumed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::Resumed;

    #[tokio::test]
    async fn bytes_read_too_early_come_first() {
        let (mut client, server) = duplex(64);
        let mut resumed = Resumed::new(Bytes::from_static(b"abc"), server);
        client.write_all(b"def").await.unwrap();
        let mut got = [0; 6];
        resumed.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"abcdef");
    }
}
