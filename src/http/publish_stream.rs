//! Publishing as a stream: one envelope a line in, one result a line out, in the same order.
//!
//! ```text
//! body ── Lines ── submit (in order) ── open answers (in order, bounded) ── results (4 MiB) ── response body
//! ```
//!
//! Reading and publishing go on in a task of their own while the client does not read its results; when those
//! exceed their bound, the stream ends and what is open is answered `unknown`. A line that is not stored aborts the later
//! lines of its topic and key until the stream ends, as in a batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::auth::{Authenticator, Principal};
use crate::problem::{Code, Problem};
use crate::publish::{Error, Item, Part, Published, Series, Submitted, Underway};

use super::answer;
use super::bodies::Share;
use super::call::Call;
use super::publish_options::Given;
use super::query::invalid;
use super::receipt;
use super::serve::Shared;

/// Bytes of results that wait for a client that does not read them.
const RESULTS_BYTES_MAX: usize = 4 << 20;

/// Events of one stream handed over and not yet answered.
const OPEN_MAX: usize = 1024;

/// Keys of one stream with a line that was not stored; then the stream ends.
const HELD_KEYS_MAX: usize = 10_000;

/// Takes the stream, answers at once, and goes on in a task.
pub(super) fn serve(
    shared: &Arc<Shared>,
    call: &Call,
    given: Given,
    body: Body,
) -> Result<Response, Problem> {
    if given.idempotency_key.is_some() {
        return Err(invalid("a stream of lines takes no Idempotency-Key; give each event an id of its own"));
    }
    if given.is_atomic {
        return Err(invalid("a stream of lines cannot be atomic"));
    }
    if given.options.key.is_some() || given.options.partition.is_some() {
        return Err(invalid("Weirgate-Key and Weirgate-Partition go with a single event only"));
    }
    if given.has_attributes() {
        return Err(invalid("ce- headers go with a single event only"));
    }
    let (results, output) = Results::channel();
    let principal = Arc::clone(call.principal()?);
    let limits = shared.config.limits.load();
    let stream = Stream {
        series: shared.parts.publisher.series(Arc::clone(&principal), given.options, HELD_KEYS_MAX),
        authenticator: shared.parts.authenticator.clone(),
        principal,
        call: call.clone(),
        refusing: shared.drain.refusing().clone(),
        lines: Lines::new(body, limits.event_bytes_max, limits.keep_alive, shared.bodies.share()),
        open: VecDeque::new(),
        results,
    };
    call.connection().tasks().spawn(stream.run());
    Ok(answer::text("application/x-ndjson", output.into_body()))
}

struct Stream {
    series: Series,
    authenticator: Authenticator,
    principal: Arc<Principal>,
    call: Call,
    refusing: CancellationToken,
    lines: Lines,
    open: VecDeque<Open>,
    results: Results,
}

/// An event whose answer is on its way or there, in input order.
enum Open {
    Underway(Box<Underway>),
    Done(Box<Item>),
}

impl Stream {
    async fn run(mut self) {
        let end = loop {
            if self.results.is_abandoned() {
                return;
            }
            if self.series.is_full() {
                break Some(too_many_keys());
            }
            let next = tokio::select! {
                // Lines read from now on would hold the drain up; the client sends them to another gateway.
                () = self.refusing.cancelled() => break Some(Problem::hidden(Code::Draining)),
                // Cancel safe: a line begun stays in `lines`.
                line = self.lines.next(), if self.open.len() < OPEN_MAX => Some(line),
                answer = first(&mut self.open), if !self.open.is_empty() => {
                    self.send_first(answer);
                    None
                }
            };
            match next {
                None => {}
                Some(Ok(Some(line))) => {
                    // A stream may outlive its credential; what was taken before stands.
                    if let Err(error) = self.authenticator.recheck(&self.principal) {
                        break Some(answer::problem_of(&error));
                    }
                    self.take(line).await;
                }
                Some(Ok(None)) => break None,
                Some(Err(problem)) => break Some(problem),
            }
            if self.results.is_full() {
                return self.give_up();
            }
        };
        while !self.open.is_empty() && !self.results.is_abandoned() {
            let answer = first(&mut self.open).await;
            self.send_first(answer);
            if self.results.is_full() {
                return self.give_up();
            }
        }
        if let Some(problem) = end {
            let problem = problem.to_value(self.call.id(), self.call.correlation_id());
            self.results.send(&Map::from_iter([("problem".to_owned(), problem)]));
        }
    }

    /// Hands one line over.
    async fn take(&mut self, line: Line) {
        let submitted = match line {
            Line::Event(body) => self.series.submit(body),
            Line::TooLong { bytes, bytes_max } => {
                let error = Error::TooLarge { part: Part::Event, bytes, bytes_max };
                Submitted::Done(self.series.refuse(error))
            }
        };
        let open = match submitted {
            // It may still have to be handed over: later events must not overtake it.
            Submitted::Open(mut underway) if underway.is_deferred() => {
                let answer = (&mut underway).await;
                Open::Done(Box::new(self.series.end(underway, answer)))
            }
            Submitted::Open(underway) => Open::Underway(Box::new(underway)),
            Submitted::Done(item) => Open::Done(Box::new(item)),
        };
        self.open.push_back(open);
    }

    /// Sends the first open event's result.
    fn send_first(&mut self, answer: Option<Result<Published, Error>>) {
        let item = match (self.open.pop_front(), answer) {
            (Some(Open::Underway(underway)), Some(answer)) => self.series.end(*underway, answer),
            (Some(Open::Underway(underway)), None) => underway.into_unknown(),
            (Some(Open::Done(item)), _) => *item,
            (None, _) => return,
        };
        self.send(&item);
    }

    fn send(&self, item: &Item) {
        self.results.send(&receipt::item(item, &self.call));
    }

    /// The client does not read: what is open may or may not be stored.
    fn give_up(mut self) {
        while let Some(open) = self.open.pop_front() {
            let item = match open {
                Open::Done(item) => *item,
                Open::Underway(underway) => underway.into_unknown(),
            };
            self.send(&item);
        }
    }
}

/// Waits for the first open event's answer; `None` where it has been given. Cancel safe: it stays first.
async fn first(open: &mut VecDeque<Open>) -> Option<Result<Published, Error>> {
    match open.front_mut() {
        None => std::future::pending().await,
        Some(Open::Underway(underway)) => Some(underway.await),
        Some(Open::Done(_)) => None,
    }
}

fn too_many_keys() -> Problem {
    let detail = format!(
        "events of {HELD_KEYS_MAX} keys were not stored, and no more can be remembered to keep the order of their keys; \
         begin a new stream with what was not stored"
    );
    Problem::new(Code::Overloaded, detail)
}

/// Lines of results on their way to the client.
#[derive(Debug)]
struct Results {
    lines: mpsc::UnboundedSender<Bytes>,
    waiting: Arc<AtomicUsize>,
}

struct Output {
    lines: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

impl Results {
    fn channel() -> (Self, Output) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        (Self { lines: sender, waiting: Arc::clone(&waiting) }, Output { lines: receiver, waiting })
    }

    fn send(&self, members: &Map<String, Value>) {
        let Ok(mut line) = serde_json::to_vec(members) else { return };
        line.push(b'\n');
        self.waiting.fetch_add(line.len(), Ordering::AcqRel);
        if self.lines.send(line.into()).is_err() {
            tracing::trace!("nobody reads the results any more");
        }
    }

    fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > RESULTS_BYTES_MAX
    }

    fn is_abandoned(&self) -> bool {
        self.lines.is_closed()
    }
}

impl Output {
    fn into_body(self) -> Body {
        let chunks = stream::unfold(self, |mut output| async move {
            let first = output.lines.recv().await?;
            let mut chunk = BytesMut::from(first.as_ref());
            while let Ok(line) = output.lines.try_recv() {
                chunk.extend_from_slice(&line);
            }
            output.waiting.fetch_sub(chunk.len(), Ordering::AcqRel);
            Some((Ok::<_, std::convert::Infallible>(chunk.freeze()), output))
        });
        Body::from_stream(chunks)
    }
}

/// A line of the body.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Event(Bytes),
    TooLong { bytes: usize, bytes_max: usize },
}

/// Cuts a body into lines; blank ones do not count.
struct Lines {
    body: Body,
    line_max: usize,
    pause: Duration,
    /// Bytes received and not yet cut.
    chunk: Bytes,
    /// The beginning of a line whose end has not come.
    begun: BytesMut,
    /// Length of that line, which may be more than is kept.
    length: usize,
    /// The room that the beginning takes.
    share: Share,
    is_ended: bool,
}

impl Lines {
    fn new(body: Body, line_max: usize, pause: Duration, share: Share) -> Self {
        Self {
            body,
            line_max,
            pause,
            chunk: Bytes::new(),
            begun: BytesMut::new(),
            length: 0,
            share,
            is_ended: false,
        }
    }

    /// The next line; `None` at the end. Cancel safe.
    async fn next(&mut self) -> Result<Option<Line>, Problem> {
        loop {
            match self.cut() {
                Ok(Some(line)) => return Ok(Some(line)),
                Ok(None) => {}
                Err(problem) => {
                    self.is_ended = true;
                    self.forget();
                    return Err(problem);
                }
            }
            if self.is_ended {
                return Ok(None);
            }
            match timeout(self.pause, self.body.frame()).await {
                Ok(Some(Ok(frame))) => self.chunk = frame.into_data().unwrap_or_default(),
                Ok(Some(Err(_))) => {
                    self.is_ended = true;
                    self.forget();
                    let detail =
                        "the body ended early or its chunks are malformed; the last line was not taken";
                    return Err(Problem::new(Code::BadRequest, detail));
                }
                Ok(None) => self.is_ended = true,
                Err(_) => {
                    self.is_ended = true;
                    self.forget();
                    return Err(Problem::new(
                        Code::RequestTimeout,
                        "no line came in time; begin a new stream",
                    ));
                }
            }
        }
    }

    /// Cuts a line off what was received; at the end of the body the rest is one.
    fn cut(&mut self) -> Result<Option<Line>, Problem> {
        while !self.chunk.is_empty() {
            let Some(end) = self.chunk.iter().position(|&byte| byte == b'\n') else {
                let rest = std::mem::take(&mut self.chunk);
                self.begin(&rest)?;
                return Ok(None);
            };
            let piece = self.chunk.split_to(end + 1);
            let piece = piece.slice(..end);
            if let Some(line) = self.finish(piece)? {
                return Ok(Some(line));
            }
        }
        if self.is_ended && self.length > 0 { self.finish(Bytes::new()) } else { Ok(None) }
    }

    fn begin(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let kept = (self.line_max + 1).saturating_sub(self.begun.len()).min(bytes.len());
        self.share.grow(kept)?;
        self.begun.extend_from_slice(bytes.get(..kept).unwrap_or_default());
        self.length += bytes.len();
        Ok(())
    }

    fn finish(&mut self, piece: Bytes) -> Result<Option<Line>, Problem> {
        let (line, length) = if self.length == 0 {
            let length = piece.len();
            (piece, length)
        } else {
            self.begin(&piece)?;
            // The line is judged before the next one begins.
            self.share.clear();
            (self.begun.split().freeze(), std::mem::take(&mut self.length))
        };
        if length > self.line_max {
            return Ok(Some(Line::TooLong { bytes: length, bytes_max: self.line_max }));
        }
        Ok((!line.trim_ascii().is_empty()).then_some(Line::Event(line)))
    }

    fn forget(&mut self) {
        self.chunk.clear();
        self.begun.clear();
        self.share.clear();
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use axum::body::Body;
    use bytes::Bytes;
    use futures_util::stream;

    use super::super::bodies::{Bodies, Share};
    use super::super::{Limits, LiveLimits};
    use super::{Line, Lines};
    use crate::telemetry::Registry;

    fn share(bytes_max: usize) -> Share {
        let limits = Limits { bodies_bytes_max: bytes_max, ..Limits::for_tests() };
        Bodies::new(LiveLimits::new(limits), Registry::new().gauge("fill", "Bytes.")).share()
    }

    async fn cut(pieces: Vec<&'static [u8]>) -> Vec<Line> {
        let pieces = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece)));
        let mut lines =
            Lines::new(Body::from_stream(stream::iter(pieces)), 5, Duration::from_secs(75), share(6));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    fn event(text: &'static str) -> Line {
        Line::Event(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn lines_are_cut_wherever_the_pieces_end() {
        assert_eq!(cut(vec![b"{}\n[]\n"]).await, [event("{}"), event("[]")]);
        assert_eq!(cut(vec![b"{", b"}\n\n \n[", b"]"]).await, [event("{}"), event("[]")]);
        assert_eq!(cut(vec![b"{}\r\n"]).await, [event("{}\r")]);
        assert_eq!(cut(vec![]).await, []);
    }

    #[tokio::test]
    async fn a_line_above_the_limit_is_one_refusal_and_the_next_is_read() {
        let too_long = Line::TooLong { bytes: 6, bytes_max: 5 };
        assert_eq!(cut(vec![b"123456\n12345\n"]).await, [too_long, event("12345")]);
        let too_long = Line::TooLong { bytes: 12, bytes_max: 5 };
        assert_eq!(cut(vec![b"1234", b"5678", b"9012\n1\n"]).await, [too_long, event("1")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_may_pause_for_keep_alive_and_no_longer() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let mut lines = Lines::new(body, 5, Duration::from_secs(75), share(6));
        assert_eq!(lines.next().await.unwrap_err().code.as_str(), "request_timeout");
        assert_eq!(lines.next().await.unwrap(), None);
    }
    #[tokio::test]
    async fn a_line_that_finds_no_room_ends_the_stream() {
        let pieces = ["12", "34\n12", "345", "6\n1\n"].map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
        let body = Body::from_stream(stream::iter(pieces));
        let mut lines = Lines::new(body, 9, Duration::from_secs(75), share(5));
        assert_eq!(lines.next().await.unwrap(), Some(event("1234")));
        assert_eq!(lines.next().await.unwrap_err().code.as_str(), "overloaded");
        assert_eq!(lines.next().await.unwrap(), None);
    }
}
