//! A connection's bytes under time limits: who sends a head too slowly, idles too long, or does not take the
//! answer is cut off here, whatever hyper is doing.
//!
//! One timer per direction, made when first needed and moved only when it fires early, so that a busy connection
//! pays a look at the clock per read and write. While a request is being served nothing is expected of the
//! client, and reading has no limit; bodies have theirs in `body`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::Limits;
use super::framing::{Framing, Place};
use super::watch::Watch;

/// How long, and for how many bytes, a closing connection goes on reading, so that the kernel does not answer
/// bytes under way with a reset that would take our last answer with it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 20;

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    head: Duration,
    between: Duration,
    body: Duration,
    write: Duration,
}

impl Patience {
    /// The limits an operator set.
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            head: limits.header_timeout,
            between: limits.keep_alive,
            body: limits.body_idle_timeout,
            write: limits.write_timeout,
        }
    }
}

/// A stream under limits.
#[derive(Debug)]
pub(super) struct Transport<S> {
    stream: S,
    watch: Arc<Watch>,
    patience: Patience,
    framing: Option<Framing>,
    /// When the connection was accepted, until its first head is complete.
    fresh_since: Option<Instant>,
    /// When a byte last moved, either way.
    quiet_since: Instant,
    head_since: Option<Instant>,
    reading: Alarm,
    writing: Alarm,
    write_since: Option<Instant>,
    closing: Closing,
}

#[derive(Debug, Clone, Copy)]
enum Closing {
    No,
    Lingering { until: Instant, left: usize },
}

impl<S> Transport<S> {
    /// A connection just accepted that speaks HTTP/1.
    pub(super) fn http1(stream: S, watch: Arc<Watch>, patience: Patience) -> Self {
        Self::new(stream, watch, patience, Some(Framing::new()))
    }

    /// A connection just accepted whose requests are framed otherwise (HTTP/2).
    pub(super) fn unframed(stream: S, watch: Arc<Watch>, patience: Patience) -> Self {
        Self::new(stream, watch, patience, None)
    }

    /// The bare stream, for a protocol that keeps its own time.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    fn new(stream: S, watch: Arc<Watch>, patience: Patience, framing: Option<Framing>) -> Self {
        let now = Instant::now();
        Self {
            stream,
            watch,
            patience,
            framing,
            fresh_since: Some(now),
            quiet_since: now,
            head_since: None,
            reading: Alarm::default(),
            writing: Alarm::default(),
            write_since: None,
            closing: Closing::No,
        }
    }

    fn saw(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        self.quiet_since = now;
        let Some(framing) = &mut self.framing else {
            self.fresh_since = None;
            return;
        };
        framing.feed(bytes);
        if let Some((head, fault)) = framing.fault() {
            self.watch.set_fault(head, fault);
        }
        match framing.place() {
            Place::Head => {
                self.head_since.get_or_insert(now);
            }
            Place::Between | Place::Body => {
                self.head_since = None;
                self.fresh_since = None;
            }
        }
    }

    /// When the client must have sent more, if anything is expected of it.
    fn read_deadline(&self) -> Option<Instant> {
        if self.watch.is_serving() {
            return None;
        }
        let place = self.framing.as_ref().map_or(Place::Between, Framing::place);
        Some(match (place, self.fresh_since.or(self.head_since)) {
            (Place::Body, _) => self.quiet_since + self.patience.body,
            (Place::Head | Place::Between, Some(since)) => since + self.patience.head,
            (Place::Head | Place::Between, None) => self.quiet_since + self.patience.between,
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                let read = buffer.filled().get(before..).unwrap_or_default();
                if !read.is_empty() {
                    this.saw(read);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => match this.read_deadline() {
                None => Poll::Pending,
                Some(deadline) => this.reading.poll(context, deadline),
            },
        }
    }
}

impl<S: AsyncWrite + AsyncRead + Unpin> Transport<S> {
    /// Bounds how long a write may wait.
    fn written<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.quiet_since = Instant::now();
            if self.write_since.take().is_some() {
                self.writing = Alarm::default();
            }
            return result;
        }
        let since = *self.write_since.get_or_insert_with(Instant::now);
        ready!(self.writing.poll(context, since + self.patience.write))?;
        Poll::Pending
    }

    /// Reads on, and throws away, until the client has closed its side or the bound is met.
    fn poll_linger(
        &mut self,
        context: &mut Context<'_>,
        until: Instant,
        mut left: usize,
    ) -> Poll<io::Result<()>> {
        let mut scrap = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && left > 0 => {
                    left = left.saturating_sub(buffer.filled().len());
                    self.closing = Closing::Lingering { until, left };
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return self.reading.poll(context, until).map(|_: io::Result<()>| Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        if result.is_ready() && self.write_since.is_none() { result } else { self.written(context, result) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Closing::Lingering { until, left } = this.closing {
            return this.poll_linger(context, until, left);
        }
        let result = Pin::new(&mut this.stream).poll_shutdown(context);
        ready!(this.written(context, result))?;
        if this.framing.as_ref().is_none_or(|framing| framing.place() == Place::Between) {
            return Poll::Ready(Ok(()));
        }
        let until = Instant::now() + LINGER;
        this.closing = Closing::Lingering { until, left: LINGER_BYTES };
        this.poll_linger(context, until, LINGER_BYTES)
    }
}

/// A timer that is made at first need, and not moved when the deadline moves later.
#[derive(Debug, Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Fails with `TimedOut` once `deadline` is past.
    fn poll<T>(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<io::Result<T>> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            if deadline <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;

    use super::super::watch::Watch;
    use super::{Patience, Transport};

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        between: Duration::from_secs(75),
        body: Duration::from_secs(11),
        write: Duration::from_secs(20),
    };

    fn connection() -> (DuplexStream, Arc<Watch>, Transport<DuplexStream>) {
        let (client, server) = duplex(1024);
        let watch = Arc::new(Watch::new());
        (client, Arc::clone(&watch), Transport::http1(server, watch, PATIENCE))
    }

    /// Reads until an error and says after how many seconds it came.
    async fn cut_off_after(transport: &mut Transport<DuplexStream>) -> u64 {
        let began = Instant::now();
        let mut buffer = [0; 64];
        loop {
            match transport.read(&mut buffer).await {
                Ok(0) => panic!("the client did not close"),
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
                    return began.elapsed().as_secs();
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_cut_off_after_the_head_limit() {
        let (_client, _, mut transport) = connection();
        assert_eq!(cut_off_after(&mut transport).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripping_head_is_cut_off_from_its_first_byte() {
        let (mut client, _, mut transport) = connection();
        tokio::spawn(async move {
            for _ in 0..30 {
                client.write_all(b"a").await.unwrap();
                tokio::time::advance(Duration::from_secs(3)).await;
                tokio::task::yield_now().await;
            }
            std::future::pending::<()>().await;
        });
        assert!((9..=12).contains(&cut_off_after(&mut transport).await));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_kept_for_keep_alive() {
        let (mut client, _, mut transport) = connection();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(cut_off_after(&mut transport).await, 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_being_served_has_no_read_limit() {
        let (mut client, watch, mut transport) = connection();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        watch.enter();
        let waited = tokio::time::timeout(Duration::from_secs(3600), cut_off_after(&mut transport)).await;
        assert!(waited.is_err());
        watch.leave();
        assert_eq!(cut_off_after(&mut transport).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_cut_off() {
        let (_client, _, mut transport) = connection();
        let began = Instant::now();
        let error = transport.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_amid_a_body_lingers_and_ends() {
        let (mut client, _, mut transport) = connection();
        client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nabc").await.unwrap();
        let mut buffer = [0; 256];
        assert!(transport.read(&mut buffer).await.unwrap() > 0);
        client.write_all(b"more").await.unwrap();
        let began = Instant::now();
        transport.shutdown().await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 2);
    }
}
