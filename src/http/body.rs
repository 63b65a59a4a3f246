//! Reading request bodies within their limits.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::problem::{Code, Problem};

use super::Limits;

/// A body slower than this on the whole is given up, after the first pause allowed.
const BYTES_PER_SECOND_MIN: u64 = 1024;

/// A refused request's body up to this size is read and thrown away, so that the connection stays usable.
const DISCARD_MAX: u64 = 256 << 10;

/// Reads the whole body, without copying when it came in one piece.
pub(super) async fn read(body: Body, limits: &Limits) -> Result<Bytes, Problem> {
    read_within(body, limits.body_bytes_max, limits.body_idle_timeout).await
}

/// Reads a body of at most `max` bytes.
pub(super) async fn read_within(mut body: Body, max: usize, pause: Duration) -> Result<Bytes, Problem> {
    let too_large = || {
        let megabytes = format!("the body is above the limit of {max} bytes");
        Problem::new(Code::BodyTooLarge, megabytes)
    };
    let announced = body.size_hint().lower();
    if announced > max as u64 {
        return Err(too_large());
    }
    let mut pace = Pace::new(pause);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(data) = pace.next(&mut body).await? {
        if first.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                let room = usize::try_from(announced).unwrap_or(0).max(first.len() + data.len());
                all.reserve(room);
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
        if first.len().max(all.len()) > max {
            return Err(too_large());
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Throws a refused request's body away when that is cheap; a body that waits for `100 Continue` never comes.
pub(super) async fn discard(body: Body, is_awaiting_continue: bool, limits: &Limits) {
    let is_small = body.size_hint().upper().is_some_and(|size| size <= DISCARD_MAX);
    if is_awaiting_continue || !is_small || body.is_end_stream() {
        return;
    }
    let max = usize::try_from(DISCARD_MAX).unwrap_or(usize::MAX);
    drop(read_within(body, max, limits.body_idle_timeout).await);
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

    use super::read_within;
    use crate::problem::Code;

    const PAUSE: Duration = Duration::from_secs(10);

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
        let body = read_within(slow(vec![(0, b"ab"), (9, b"cd"), (0, b""), (0, b"e")]), 5, PAUSE).await;
        assert_eq!(body.unwrap(), "abcde");
    }

    #[tokio::test(start_paused = true)]
    async fn one_byte_above_the_limit_is_too_large() {
        let announced = read_within(Body::from("abcdef"), 5, PAUSE).await;
        assert_eq!(announced.unwrap_err().code, Code::BodyTooLarge);
        let streamed = read_within(slow(vec![(0, b"abc"), (0, b"def")]), 5, PAUSE).await;
        assert_eq!(streamed.unwrap_err().code, Code::BodyTooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_or_dripping_body_is_given_up() {
        let stalled = read_within(slow(vec![(0, b"abc"), (11, b"d")]), 5, PAUSE).await;
        assert_eq!(stalled.unwrap_err().code, Code::RequestTimeout);
        let dripping = read_within(slow(vec![(4, b"a"), (4, b"b"), (4, b"c"), (4, b"d")]), 5, PAUSE).await;
        assert_eq!(dripping.unwrap_err().code, Code::RequestTimeout);
    }
}
