//! Frames over a stream: reading by tungstenite, writing our own.
//!
//! Frames to a client are not masked, so their bytes are the same for everybody: payloads are shared and go out by
//! vectored writes, many frames at once, without a copy. What tungstenite itself wants to say (pong, close) is caught
//! in memory and queued like the rest, so that the stream has one writer. Control overtakes data at frame borders.
//!
//! ```text
//! stream ── read ── WebSocketContext ── Incoming
//! stream ◄─ writev ── queue [begun frame | urgent … | data …] ◄─ text, pong, close
//! ```

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::problem::CloseCode;

/// Bytes read at once; the buffer is kept for the life of the connection.
const READ_BYTES: usize = 1024;

/// Slices of one vectored write: two for each frame.
const SLICES_MAX: usize = 64;

/// Unsent bytes up to which one plain write of a copy costs the kernel less than a vectored one.
const COPIED_BYTES_MAX: usize = 1024;

/// Queued frames above which an emptied queue gives its memory back.
const KEPT_FRAMES_MAX: usize = 32;

/// What the client sent.
#[derive(Debug)]
pub(super) enum Incoming {
    Text(Utf8Bytes),
    Binary,
    /// A protocol ping or pong; pings are answered by themselves.
    Control,
    /// The client's close frame. Its answer waits for [`Wire::answer_close`], unless it was itself the answer.
    Close,
    /// What the client sent cannot be; nothing more can be read.
    Fault(CloseCode),
    /// The stream ended, or broke.
    End,
}

/// When a frame goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Before all data that has not begun to go out.
    Urgent,
    /// In the order of the calls.
    Data,
}

/// One client's stream. Its queue is bounded by those who push.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    context: WebSocketContext,
    queue: VecDeque<Frame>,
    /// Bytes of the front frame that are out.
    written: usize,
    /// Urgent frames in the queue.
    urgent: usize,
    unsent_bytes: usize,
    urgent_bytes: usize,
    /// Whether the stream itself may hold bytes back (TLS does).
    is_dirty: bool,
}

#[derive(Debug)]
struct Frame {
    header: [u8; 10],
    header_len: u8,
    turn: Turn,
    payload: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// The server's end of a stream after the 101; messages above `inbound_bytes_max` are a fault.
    pub(super) fn new(stream: S, inbound_bytes_max: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(inbound_bytes_max))
            .max_frame_size(Some(inbound_bytes_max));
        Self {
            stream,
            context: WebSocketContext::new(Role::Server, Some(config)),
            queue: VecDeque::new(),
            written: 0,
            urgent: 0,
            unsent_bytes: 0,
            urgent_bytes: 0,
            is_dirty: false,
        }
    }

    /// Queues a text message.
    pub(super) fn push(&mut self, turn: Turn, payload: Bytes) {
        self.enqueue(Frame::text(turn, payload));
    }

    /// Queues a close frame behind everything else; nothing may be pushed after it.
    pub(super) fn push_close(&mut self, code: CloseCode) {
        let frame = CloseFrame { code: code.number().into(), reason: Utf8Bytes::from_static(code.reason()) };
        let mut said = Said::default();
        // The context only writes to memory here; that it was closed before is no concern.
        drop(self.context.close(&mut said, Some(frame)));
        self.enqueue(Frame::raw(Turn::Data, said.0));
    }

    /// Queues the answer to the client's close frame, behind everything else.
    pub(super) fn answer_close(&mut self) {
        let mut said = Said::default();
        drop(self.context.flush(&mut said));
        self.enqueue(Frame::raw(Turn::Data, said.0));
    }

    /// Bytes queued and not yet given to the stream.
    pub(super) const fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }

    /// Those of them that do not come from a subscription.
    pub(super) const fn urgent_bytes(&self) -> usize {
        self.urgent_bytes
    }

    /// The next message. After [`Incoming::Close`], [`Incoming::Fault`] or [`Incoming::End`] it must not be asked again.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        let mut ends = Ends { stream: Pin::new(&mut self.stream), context, said: Said::default() };
        let read = self.context.read(&mut ends);
        let said = ends.said;
        self.enqueue(Frame::raw(Turn::Urgent, said.0));
        Poll::Ready(match read {
            Ok(Message::Text(text)) => Incoming::Text(text),
            Ok(Message::Binary(_)) => Incoming::Binary,
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Incoming::Control,
            Ok(Message::Close(_)) => Incoming::Close,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(Error::Capacity(_)) => Incoming::Fault(CloseCode::TooLarge),
            Err(Error::Utf8(_)) => Incoming::Fault(CloseCode::InvalidUtf8),
            Err(Error::Protocol(error)) if is_broken_off(&error) => Incoming::End,
            Err(Error::Protocol(_)) => Incoming::Fault(CloseCode::Protocol),
            Err(_) => Incoming::End,
        })
    }

    /// Reads and forgets until the stream ends: bytes left unread when a socket is closed would reset the connection
    /// and take the last messages with them.
    pub(super) fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; READ_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Writes as much as the stream takes; ready when nothing is left.
    ///
    /// # Errors
    /// When the stream is broken.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = gather(&self.queue, self.written, &mut slices);
            let slices = slices.get(..count).unwrap_or_default();
            let stream = Pin::new(&mut self.stream);
            let taken = if self.unsent_bytes <= COPIED_BYTES_MAX {
                let mut copied = [0; COPIED_BYTES_MAX];
                let length = copy(slices, &mut copied);
                ready!(stream.poll_write(context, copied.get(..length).unwrap_or_default()))?
            } else {
                ready!(stream.poll_write_vectored(context, slices))?
            };
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.is_dirty = true;
            self.advance(taken);
        }
        if self.queue.capacity() > KEPT_FRAMES_MAX {
            self.queue = VecDeque::new();
        }
        if self.is_dirty {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.is_dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the writing half.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.stream).poll_shutdown(context).map(drop)
    }

    fn enqueue(&mut self, frame: Frame) {
        let bytes = frame.bytes();
        if bytes == 0 {
            return;
        }
        self.unsent_bytes += bytes;
        match frame.turn {
            Turn::Data => self.queue.push_back(frame),
            Turn::Urgent => {
                let is_data_begun =
                    self.written > 0 && self.queue.front().is_some_and(|front| front.turn == Turn::Data);
                self.queue.insert(self.urgent + usize::from(is_data_begun), frame);
                self.urgent += 1;
                self.urgent_bytes += bytes;
            }
        }
    }

    fn advance(&mut self, taken: usize) {
        self.unsent_bytes -= taken;
        self.written += taken;
        while let Some(front) = self.queue.front() {
            let bytes = front.bytes();
            if self.written < bytes {
                break;
            }
            self.written -= bytes;
            if front.turn == Turn::Urgent {
                self.urgent -= 1;
                self.urgent_bytes -= bytes;
            }
            self.queue.pop_front();
        }
    }
}

impl Frame {
    /// An unmasked, final text frame (RFC 6455 §5.2).
    fn text(turn: Turn, payload: Bytes) -> Self {
        const FINAL_TEXT: u8 = 0x81;
        let length = payload.len();
        let mut header = [0; 10];
        let header_len = match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..=125), _) => {
                header[..2].copy_from_slice(&[FINAL_TEXT, short]);
                2
            }
            (_, Ok(medium)) => {
                header[..2].copy_from_slice(&[FINAL_TEXT, 126]);
                header[2..4].copy_from_slice(&medium.to_be_bytes());
                4
            }
            _ => {
                header[..2].copy_from_slice(&[FINAL_TEXT, 127]);
                header[2..].copy_from_slice(&(length as u64).to_be_bytes());
                10
            }
        };
        Self { header, header_len, turn, payload }
    }

    /// Bytes that are frames already.
    fn raw(turn: Turn, bytes: Vec<u8>) -> Self {
        Self { header: [0; 10], header_len: 0, turn, payload: bytes.into() }
    }

    fn header(&self) -> &[u8] {
        self.header.get(..usize::from(self.header_len)).unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        usize::from(self.header_len) + self.payload.len()
    }
}

/// Lays the unwritten parts of the queue into the slices, and says how many it took.
fn gather<'a>(queue: &'a VecDeque<Frame>, written: usize, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
    let mut skip = written;
    let mut count = 0;
    for part in queue.iter().flat_map(|frame| [frame.header(), &frame.payload]) {
        let begun = skip.min(part.len());
        skip -= begun;
        let rest = part.get(begun..).unwrap_or_default();
        if rest.is_empty() {
            continue;
        }
        let Some(slot) = slices.get_mut(count) else { break };
        *slot = IoSlice::new(rest);
        count += 1;
    }
    count
}

/// Puts the slices together, as far as they fit, and says how many bytes that are.
fn copy(slices: &[IoSlice<'_>], bytes: &mut [u8]) -> usize {
    let mut length = 0;
    for slice in slices {
        let Some(place) = bytes.get_mut(length..length + slice.len()) else { break };
        place.copy_from_slice(slice);
        length += slice.len();
    }
    length
}

fn is_broken_off(error: &tokio_tungstenite::tungstenite::error::ProtocolError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    matches!(error, ProtocolError::ResetWithoutClosingHandshake)
}

/// What tungstenite wants to send, caught in memory.
#[derive(Debug, Default)]
struct Said(Vec<u8>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Said {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// The stream's reading half and a memory to write to, as tungstenite wants them.
struct Ends<'a, 'c, S> {
    stream: Pin<&'a mut S>,
    context: &'a mut Context<'c>,
    said: Said,
}

impl<S: AsyncRead> Read for Ends<'_, '_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match self.stream.as_mut().poll_read(self.context, &mut buffer) {
            Poll::Ready(Ok(())) => Ok(buffer.filled().len()),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S> Write for Ends<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.said.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
