//! A body cut into lines as it comes, each bounded; a body that pauses too long or breaks off ends with a problem.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::problem::{Code, Problem};

use super::bodies::Share;

/// A line of the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Event(Bytes),
    TooLong { bytes: usize, bytes_max: usize },
}

/// Cuts a body into lines; blank ones do not count.
pub(super) struct Lines {
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
    pub(super) fn new(body: Body, line_max: usize, pause: Duration, share: Share) -> Self {
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
    pub(super) async fn next(&mut self) -> Result<Option<Line>, Problem> {
        loop {
            match self.cut() {
                Ok(Some(line)) => return Ok(Some(line)),
                Ok(None) => {}
                Err(problem) => return Err(self.end(problem)),
            }
            if self.is_ended {
                return Ok(None);
            }
            match timeout(self.pause, self.body.frame()).await {
                Ok(Some(Ok(frame))) => self.chunk = frame.into_data().unwrap_or_default(),
                Ok(Some(Err(_))) => {
                    let detail =
                        "the body ended early or its chunks are malformed; the last line was not taken";
                    return Err(self.end(Problem::new(Code::BadRequest, detail)));
                }
                Ok(None) => self.is_ended = true,
                Err(_) => {
                    let detail = "no line came in time; begin a new stream";
                    return Err(self.end(Problem::new(Code::RequestTimeout, detail)));
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

    /// Nothing more is taken, the line that has begun included.
    fn end(&mut self, problem: Problem) -> Problem {
        self.is_ended = true;
        self.chunk.clear();
        self.begun.clear();
        self.share.clear();
        self.length = 0;
        problem
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
