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

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::auth::{Authenticator, Principal};
use crate::problem::{Code, Problem};
use crate::publish::{Error, Item, Part, Published, Series, Submitted, Underway, Validation};

use super::answer;
use super::call::Call;
use super::lines::{Line, Lines};
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
    if given.validation == Validation::Atomic {
        let detail =
            "a stream of lines cannot be atomic: it has no end that is known; send a batch, a JSON array";
        return Err(invalid(detail));
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
            Line::Event(body) => self.series.submit(body).await,
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
