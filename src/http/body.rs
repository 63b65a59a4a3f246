//! Reading request bodies within their limits.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::problem::{Code, Problem};

use super::bodies::Share;
use super::call::Call;
use super::serve::Shared;
use super::{Limits, LiveLimits};

/// A body slower than this on the whole is given up, after the first pause allowed.
const BYTES_PER_SECOND_MIN: u64 = 1024;

/// A refused request's body up to this size is read and thrown away, so that the connection stays usable.
const DISCARD_MAX: u64 = 256 << 10;

/// Reads the whole body, without copying when it came in one piece. A body that finds no room is left where it is,
/// and its connection closes after the answer.
pub(super) async fn read(body: Body, shared: &Shared, call: &Call) -> Result<Bytes, Problem> {
    let bounds = Bounds::new(&shared.config.limits.load());
    let read = read_within(body, bounds, shared.bodies.share()).await;
    read.inspect_err(|problem| {
        if problem.code == Code::Overloaded {
            call.connection().leave_unread();
        }
    })
}

/// Throws a refused request's body away when that is cheap; a body that waits for `100 Continue` never comes.
pub(super) async fn discard(mut body: Body, is_awaiting_continue: bool, limits: &LiveLimits) {
    let is_small = body.size_hint().upper().is_some_and(|size| size <= DISCARD_MAX);
    if is_awaiting_continue || !is_small || body.is_end_stream() {
        return;
    }
    let mut pace = Pace::new(limits.load().body_idle_timeout);
    while let Ok(Some(_)) = pace.next(&mut body).await {}
}

/// What one body may be.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    bytes_max: usize,
    pause: Duration,
}

impl Bounds {
    const fn new(limits: &Limits) -> Self {
        Self { bytes_max: limits.body_bytes_max, pause: limits.body_idle_timeout }
    }
}

async fn read_within(mut body: Body, bounds: Bounds, mut share: Share) -> Result<Bytes, Problem> {
    let max = bounds.bytes_max;
    let too_large =
        || Problem::new(Code::BodyTooLarge, format!("the body is above the limit of {max} bytes"));
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > max {
        return Err(too_large());
    }
    share.check(announced)?;
    let mut pace = Pace::new(bounds.pause);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(data) = pace.next(&mut body).await? {
        if first.len().max(all.len()) + data.len() > max {
            return Err(too_large());
        }
        share.grow(data.len())?;
        if first.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.reserve(announced.max(first.len() + data.len()));
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(share.hold(if all.is_empty() { first } else { all.freeze() }))
}

/// How a body keeps coming.
#[derive(Debug)]
struct Pace {
    pause: Duration,
    began: Instant,
    bytes: u64,
}

impl Pace {
    fn new(pause: Duration) -> Self {
        Self { pause, began: Instant::now(), bytes: 0 }
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self, body: &mut Body) -> Result<Option<Bytes>, Problem> {
        loop {
            let slowest = Duration::from_secs(self.bytes / BYTES_PER_SECOND_MIN);
            let deadline = (Instant::now() + self.pause).min(self.began + self.pause + slowest);
            match timeout_at(deadline, body.frame()).await {
                Err(_) => {
                    return Err(Problem::new(
                        Code::RequestTimeout,
                        "the body did not arrive in time; send it faster",
                    ));
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => {
                    return Err(Problem::new(
                        Code::BadRequest,
                        "the body ended early or its chunks are malformed",
                    ));
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        self.bytes += data.len() as u64;
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use axum::body::Body;
    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};

    use super::super::bodies::Bodies;
    use super::{Bounds, Limits, LiveLimits, Problem};
    use crate::problem::Code;
    use crate::telemetry::Registry;

    /// Reads a body of at most 5 bytes.
    async fn read(body: Body) -> Result<Bytes, Problem> {
        read_beside(body, &room(100)).await
    }

    fn room(bodies_bytes_max: usize) -> Bodies {
        let limits = Limits { bodies_bytes_max, ..Limits::for_tests() };
        Bodies::new(LiveLimits::new(limits), Registry::new().gauge("fill", "Bytes."))
    }

    async fn read_beside(body: Body, bodies: &Bodies) -> Result<Bytes, Problem> {
        let bounds = Bounds { bytes_max: 5, pause: Duration::from_secs(10) };
        super::read_within(body, bounds, bodies.share()).await
    }

    /// A body of pieces, each after its pause in seconds.
    fn slow(pieces: Vec<(u64, &'static [u8])>) -> Body {
        let pieces = stream::iter(pieces).then(|(seconds, piece)| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok::<_, Infallible>(Bytes::from_static(piece))
        });
        Body::from_stream(pieces)
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_are_joined() {
        let body = read(slow(vec![(0, b"ab"), (9, b"cd"), (0, b""), (0, b"e")])).await;
        assert_eq!(body.unwrap(), "abcde");
    }

    #[tokio::test(start_paused = true)]
    async fn one_byte_above_the_limit_is_too_large() {
        let announced = read(Body::from("abcdef")).await;
        assert_eq!(announced.unwrap_err().code, Code::BodyTooLarge);
        let streamed = read(slow(vec![(0, b"abc"), (0, b"def")])).await;
        assert_eq!(streamed.unwrap_err().code, Code::BodyTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_or_dripping_body_is_given_up() {
        let stalled = read(slow(vec![(0, b"abc"), (11, b"d")])).await;
        assert_eq!(stalled.unwrap_err().code, Code::RequestTimeout);
        let dripping = read(slow(vec![(4, b"a"), (4, b"b"), (4, b"c"), (4, b"d")])).await;
        assert_eq!(dripping.unwrap_err().code, Code::RequestTimeout);
    }
    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_is_refused_before_and_while_it_comes() {
        let bodies = room(6);
        let held = read_beside(Body::from("abc"), &bodies).await.unwrap();
        let announced = read_beside(Body::from("abcd"), &bodies).await;
        assert_eq!(announced.unwrap_err().code, Code::Overloaded);
        let streamed = read_beside(slow(vec![(0, b"abc"), (0, b"d")]), &bodies).await;
        assert_eq!(streamed.unwrap_err().code, Code::Overloaded);
        assert_eq!(read_beside(Body::from("abc"), &bodies).await.unwrap(), "abc");
        drop(held);
        assert_eq!(read_beside(slow(vec![(0, b"abc"), (0, b"d")]), &bodies).await.unwrap(), "abcd");
    }
}
