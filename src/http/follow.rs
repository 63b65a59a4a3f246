//! Following a topic over plain HTTP: server-sent events or JSON lines, for as long as both sides like.
//!
//! The body pulls from its subscription, so a client that reads slowly slows nobody but itself. It ends when the
//! gateway drains, the credential does, or the grant is taken away; the client comes back with its last cursor.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::auth::Principal;
use crate::event::{Cursor, Offset, Partition, Topic};
use crate::feed::{self, Error, Frame, GapReason, Push, Subscription};
use crate::problem::Problem;

use super::answer::{self, jitter, problem_of};
use super::call::Call;
use super::media::Reading;
use super::read;
use super::serve::Shared;

/// Bytes of frames taken from the subscription at once.
const CHUNK: usize = 64 << 10;

/// After this long without an event the stream says that it lives, so that proxies keep it and a client that has
/// gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Opens the subscription and answers with its stream.
pub(super) async fn serve(
    shared: &Arc<Shared>,
    call: &Call,
    reading: Reading,
    request: feed::Request,
) -> Result<Response, Problem> {
    let subscription = shared.parts.feed.subscribe(request).await.map_err(|error| problem_of(&error))?;
    let principal = Arc::clone(call.principal()?);
    let expires_at = principal.expires_at().map(|end| {
        let left = end.millis().saturating_sub(shared.parts.clock.now().millis());
        Instant::now() + Duration::from_millis(u64::try_from(left).unwrap_or(0))
    });
    let follower = Follower {
        cursor: subscription.cursor(),
        shared: Arc::clone(shared),
        subscription,
        writing: if reading == Reading::Sse { Writing::Sse } else { Writing::Lines },
        principal,
        policy: shared.parts.authenticator.policy_changes(),
        expires_at,
        state: State::Opening,
    };
    let body = Body::from_stream(stream::unfold(follower, Follower::step));
    let media_type = if reading == Reading::Sse { "text/event-stream" } else { "application/x-ndjson" };
    let mut response = answer::text(media_type, body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Sse,
    Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    Ended,
}

/// What happened next.
enum Next {
    Pushes(Vec<Push>),
    Heartbeat,
    Recheck,
    Drain,
    End,
}

struct Follower {
    shared: Arc<Shared>,
    subscription: Subscription,
    writing: Writing,
    /// Where the client stands after what was written.
    cursor: Cursor,
    principal: Arc<Principal>,
    policy: watch::Receiver<u64>,
    expires_at: Option<Instant>,
    state: State,
}

impl Follower {
    /// The next bytes; `None` at the end.
    async fn step(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let mut out = Vec::new();
        match self.state {
            State::Ended => return None,
            State::Opening => {
                self.state = State::Open;
                self.write_opening(&mut out);
            }
            State::Open => {
                while out.is_empty() && self.state == State::Open {
                    match self.next().await {
                        Next::Pushes(pushes) => self.write_all(&mut out, &pushes),
                        Next::Heartbeat => self.write_heartbeat(&mut out),
                        Next::Recheck => self.recheck(),
                        Next::Drain => {
                            self.write_drain(&mut out);
                            self.state = State::Ended;
                        }
                        Next::End => self.state = State::Ended,
                    }
                }
            }
        }
        (!out.is_empty()).then(|| (Ok(out.into()), self))
    }

    async fn next(&mut self) -> Next {
        let expiry = async {
            match self.expires_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        // All branches are cancel safe; the subscription's `next` promises it.
        tokio::select! {
            pushes = self.subscription.next(CHUNK) => match pushes {
                Ok(pushes) => Next::Pushes(pushes),
                Err(Error::Closed) => Next::Drain,
                Err(error) => {
                    tracing::debug!(%error, "a stream ended");
                    Next::End
                }
            },
            () = self.shared.drain.refusing().cancelled() => Next::Drain,
            changed = self.policy.changed() => if changed.is_ok() { Next::Recheck } else { Next::End },
            () = expiry => Next::End,
            () = tokio::time::sleep(HEARTBEAT) => Next::Heartbeat,
        }
    }

    /// Grants or keys changed.
    fn recheck(&mut self) {
        let stands = self.shared.parts.authenticator.recheck(&self.principal).is_ok();
        if !stands || self.subscription.recheck().is_err() {
            self.state = State::Ended;
        }
    }

    fn write_all(&mut self, out: &mut Vec<u8>, pushes: &[Push]) {
        for push in pushes {
            match push {
                Push::Event(frame) => self.write_event(out, frame),
                Push::Gap(gap) => {
                    if gap.reason == GapReason::Recreated {
                        // Another incarnation: only the subscription knows it.
                        self.cursor = self.subscription.cursor();
                    }
                    move_to(&mut self.cursor, &gap.topic, gap.partition, gap.to);
                    self.write_control(out, "gap", &read::gap(gap));
                }
                Push::Positions { cursor, .. } => {
                    self.cursor.clone_from(cursor);
                    self.write_cursor(out);
                }
            }
        }
    }

    fn write_event(&mut self, out: &mut Vec<u8>, frame: &Frame) {
        move_to(&mut self.cursor, &frame.topic, frame.partition, frame.offset.next());
        match self.writing {
            Writing::Sse => {
                out.extend_from_slice(b"id: ");
                out.extend_from_slice(self.cursor.encode().as_bytes());
                out.extend_from_slice(b"\ndata: {");
                out.extend_from_slice(frame.members());
                out.extend_from_slice(b"}\n\n");
            }
            Writing::Lines => {
                out.push(b'{');
                out.extend_from_slice(frame.members());
                out.extend_from_slice(b"}\n");
            }
        }
    }

    /// The first bytes: the answer's head leaves with them, and a client that breaks at once can resume.
    fn write_opening(&self, out: &mut Vec<u8>) {
        if self.writing == Writing::Sse {
            out.extend_from_slice(b"retry: 2000\n");
        }
        self.write_cursor(out);
    }

    /// An event without data moves a browser's last id and is shown to nobody.
    fn write_cursor(&self, out: &mut Vec<u8>) {
        let cursor = self.cursor.encode();
        let (before, after): (&[u8], &[u8]) = match self.writing {
            Writing::Sse => (b"id: ", b"\n\n"),
            Writing::Lines => (b"{\"cursor\":\"", b"\"}\n"),
        };
        out.extend_from_slice(before);
        out.extend_from_slice(cursor.as_bytes());
        out.extend_from_slice(after);
    }

    fn write_heartbeat(&self, out: &mut Vec<u8>) {
        match self.writing {
            Writing::Sse => out.extend_from_slice(b":\n\n"),
            Writing::Lines => self.write_cursor(out),
        }
    }

    /// The client comes back at a moment of its own within the window.
    fn write_drain(&self, out: &mut Vec<u8>) {
        let window = u64::try_from(self.shared.config.drain_window.as_millis()).unwrap_or(0);
        let delay = jitter(window);
        if self.writing == Writing::Sse {
            out.extend_from_slice(format!("retry: {}\n", delay.max(1)).as_bytes());
            self.write_control(out, "drain", &json!({"delayMs": delay}));
        } else {
            self.write_cursor(out);
            self.write_control(out, "drain", &json!({"drain": {"delayMs": delay}}));
        }
    }

    fn write_control(&self, out: &mut Vec<u8>, name: &str, value: &serde_json::Value) {
        let text = match self.writing {
            Writing::Sse => {
                let cursor = self.cursor.encode();
                format!("event: {name}\nid: {cursor}\ndata: {value}\n\n")
            }
            Writing::Lines => format!("{value}\n"),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Sets the next offset of a partition in a cursor.
fn move_to(cursor: &mut Cursor, topic: &Topic, partition: Partition, next: Offset) {
    let entry = cursor.entries.iter_mut().find(|(name, ..)| name == topic);
    let Some((_, _, positions)) = entry else { return };
    match positions.iter_mut().find(|(number, _)| *number == partition) {
        Some((_, offset)) => *offset = next,
        None => positions.push((partition, next)),
    }
}

#[cfg(test)]
mod tests {
    use super::move_to;
    use crate::event::{Cursor, Offset, Partition, Topic};

    #[test]
    fn a_cursor_follows_what_was_written() {
        let topic = Topic::parse("orders.v1").unwrap();
        let at = |number| Offset::new(number);
        let mut cursor = Cursor { entries: vec![(topic.clone(), 7, vec![(Partition::new(0), at(5))])] };
        move_to(&mut cursor, &topic, Partition::new(0), at(6));
        move_to(&mut cursor, &topic, Partition::new(1), at(1));
        move_to(&mut cursor, &Topic::parse("other").unwrap(), Partition::new(0), at(9));
        let positions = vec![(Partition::new(0), at(6)), (Partition::new(1), at(1))];
        assert_eq!(cursor.entries, [(topic, 7, positions)]);
    }
}
