//! Where requests begin and end on an HTTP/1 connection, and heads that two parsers may read differently.
//!
//! hyper is lenient where RFC 9112 lets it be: `Content-Length` beside `Transfer-Encoding` is dropped silently, a
//! bare LF ends a line. Behind a proxy that reads such a head otherwise, that is request smuggling. This machine
//! walks the same bytes as hyper and remembers the first head that must be refused; it never refuses by itself,
//! since the answer belongs to a request. It also tells the timers whether a head is under way.

/// Longest header line whose value matters here; a longer `Content-Length` is a fault in itself.
const LINE_KEPT: usize = 80;

/// What is ambiguous about a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Both `Content-Length` and `Transfer-Encoding`, or a length that is no plain number.
    Length,
    /// A line that ends in LF without CR.
    BareNewline,
}

/// Where the connection's reading stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Between requests: nothing of the next one has come.
    Between,
    /// Within a head.
    Head,
    /// Within a body.
    Body,
}

#[derive(Debug)]
enum State {
    Head,
    Sized {
        left: u64,
    },
    ChunkSize,
    ChunkData {
        left: u64,
    },
    Trailers,
    /// Framing was lost with a fault; what follows is never served.
    Lost,
}

/// The machine, one per connection.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    /// The beginning of a line that is not complete yet.
    line: Vec<u8>,
    /// Length of that line so far, kept or not.
    line_length: usize,
    /// Lines of this head so far, the request line included.
    lines: usize,
    length: Option<u64>,
    is_chunked: bool,
    /// Whole heads seen before the present one.
    heads: u32,
    fault: Option<(u32, Fault)>,
}

impl Framing {
    /// A connection of which nothing was read.
    pub(super) const fn new() -> Self {
        Self {
            state: State::Head,
            line: Vec::new(),
            line_length: 0,
            lines: 0,
            length: None,
            is_chunked: false,
            heads: 0,
            fault: None,
        }
    }

    /// Walks over bytes as they were read from the connection.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match &mut self.state {
                State::Sized { left } => match skip(left, bytes) {
                    Some(rest) => {
                        self.state = State::Head;
                        rest
                    }
                    None => return,
                },
                State::ChunkData { left } => match skip(left, bytes) {
                    Some(rest) => {
                        self.state = State::ChunkSize;
                        rest
                    }
                    None => return,
                },
                State::Lost => return,
                State::Head | State::ChunkSize | State::Trailers => self.take_line(bytes),
            };
        }
    }

    /// Where reading stands.
    pub(super) const fn place(&self) -> Place {
        match self.state {
            State::Head if self.lines == 0 && self.line_length == 0 => Place::Between,
            State::Head | State::Lost => Place::Head,
            State::Sized { .. } | State::ChunkSize | State::ChunkData { .. } | State::Trailers => Place::Body,
        }
    }

    /// The first faulty head: its number among the connection's heads, from 0.
    pub(super) const fn fault(&self) -> Option<(u32, Fault)> {
        self.fault
    }

    /// Takes bytes up to the end of a line, judges the line when it is whole, and gives back the rest.
    fn take_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.line_length += bytes.len();
            let room = LINE_KEPT.saturating_sub(self.line.len()).min(bytes.len());
            self.line.extend_from_slice(bytes.get(..room).unwrap_or_default());
            // The CR at the very end of a chunk of bytes must be known even when the line is long.
            if self.line_length > LINE_KEPT
                && let (Some(last), Some(&byte)) = (self.line.last_mut(), bytes.last())
            {
                *last = byte;
            }
            return &[];
        };
        let (head, rest) = bytes.split_at(end);
        let rest = rest.get(1..).unwrap_or_default();
        if self.line_length == 0 {
            self.judge_line(head, head.len());
        } else {
            let length = self.line_length + head.len();
            let mut line = std::mem::take(&mut self.line);
            let room = LINE_KEPT.saturating_sub(line.len()).min(head.len());
            line.extend_from_slice(head.get(..room).unwrap_or_default());
            if length > LINE_KEPT
                && let (Some(last), Some(&byte)) = (line.last_mut(), head.last())
            {
                *last = byte;
            }
            self.line_length = 0;
            self.judge_line(&line, length);
            line.clear();
            self.line = line;
        }
        rest
    }

    /// `line` ends before its LF; of a long one it is the beginning and the last byte, `length` is the whole.
    fn judge_line(&mut self, line: &[u8], length: usize) {
        match self.state {
            State::Head => self.judge_head_line(line, length),
            State::ChunkSize => match chunk_size(line) {
                // The line that ends a chunk's data is empty.
                None if line == b"\r" => {}
                None => self.state = State::Lost,
                Some(0) => self.state = State::Trailers,
                Some(left) => self.state = State::ChunkData { left },
            },
            State::Trailers => {
                if line == b"\r" || line.is_empty() {
                    self.begin_head();
                }
            }
            State::Sized { .. } | State::ChunkData { .. } | State::Lost => {}
        }
    }

    fn judge_head_line(&mut self, line: &[u8], length: usize) {
        let Some(text) = line.strip_suffix(b"\r") else {
            self.set_fault(Fault::BareNewline);
            return;
        };
        if text.is_empty() {
            // Empty lines before a request line are skipped, as RFC 9112 §2.2 advises.
            if self.lines > 0 {
                self.end_head();
            }
            return;
        }
        self.lines += 1;
        if self.lines == 1 {
            return;
        }
        let Some(colon) = text.iter().position(|&byte| byte == b':') else { return };
        let (name, value) = text.split_at(colon);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            match decimal(value).filter(|_| length <= LINE_KEPT) {
                Some(number) if self.length.is_none_or(|have| have == number) => self.length = Some(number),
                _ => self.set_fault(Fault::Length),
            }
        }
    }

    fn end_head(&mut self) {
        if self.is_chunked && self.length.is_some() {
            self.set_fault(Fault::Length);
            return;
        }
        self.state = match (self.is_chunked, self.length) {
            (true, _) => State::ChunkSize,
            (false, Some(left @ 1..)) => State::Sized { left },
            (false, _) => State::Head,
        };
        self.lines = 0;
        self.length = None;
        self.is_chunked = false;
        self.heads = self.heads.saturating_add(1);
    }

    const fn begin_head(&mut self) {
        self.state = State::Head;
    }

    fn set_fault(&mut self, fault: Fault) {
        self.fault = self.fault.or(Some((self.heads, fault)));
        self.state = State::Lost;
    }
}

/// Passes over up to `left` bytes; the rest once all are passed.
fn skip<'a>(left: &mut u64, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let step = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= step as u64;
    if *left == 0 { bytes.get(step..) } else { None }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let is_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if is_digits { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// The size in a chunk's first line, extensions cut off.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let is_hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    if is_hex { u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Framing, Place};

    /// The same bytes whole, byte by byte, and in odd pieces must be read alike.
    fn feed(text: &str) -> Framing {
        let mut whole = Framing::new();
        whole.feed(text.as_bytes());
        for step in [1, 3, 7, 50] {
            let mut pieces = Framing::new();
            for piece in text.as_bytes().chunks(step) {
                pieces.feed(piece);
            }
            assert_eq!(
                (pieces.fault(), pieces.place()),
                (whole.fault(), whole.place()),
                "{text:?} by {step}"
            );
        }
        whole
    }

    #[test]
    fn heads_and_bodies_are_told_apart() {
        for (text, place) in [
            ("", Place::Between),
            ("\r\n", Place::Between),
            ("GET", Place::Head),
            ("GET / HTTP/1.1\r\nHost: a\r\n", Place::Head),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Place::Between),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n1234", Place::Body),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345", Place::Between),
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345G", Place::Head),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", Place::Body),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n0\r\n", Place::Body),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\na\nb\r\n0\r\n\r\n",
                Place::Between,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nt: 1\r\n\r\nGET",
                Place::Head,
            ),
        ] {
            let framing = feed(text);
            assert_eq!(framing.place(), place, "{text:?}");
            assert_eq!(framing.fault(), None, "{text:?}");
        }
    }

    #[test]
    fn ambiguous_lengths_are_faults_of_their_own_request() {
        let both = "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        let turned = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(feed(both).fault(), Some((0, Fault::Length)));
        assert_eq!(feed(turned).fault(), Some((0, Fault::Length)));
        let second = format!("POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}{both}");
        assert_eq!(feed(&second).fault(), Some((1, Fault::Length)));
        let chunked =
            format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{both}");
        assert_eq!(feed(&chunked).fault(), Some((1, Fault::Length)));
        for bad in ["+5", "-1", "5, 5", "0x5", "5 5", "", "99999999999999999999999"] {
            let text = format!("POST / HTTP/1.1\r\nContent-Length: {bad}\r\n\r\n");
            assert_eq!(feed(&text).fault(), Some((0, Fault::Length)), "{bad}");
        }
        let differing = "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n";
        assert_eq!(feed(differing).fault(), Some((0, Fault::Length)));
    }

    #[test]
    fn bare_newlines_are_faults_in_heads_and_data_in_bodies() {
        assert_eq!(feed("GET / HTTP/1.1\nHost: a\n\n").fault(), Some((0, Fault::BareNewline)));
        assert_eq!(feed("GET / HTTP/1.1\r\nHost: a\n\r\n").fault(), Some((0, Fault::BareNewline)));
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "a".repeat(500), "b".repeat(500));
        assert_eq!(feed(&long).fault(), None);
        let long = format!("GET / HTTP/1.1\r\nx: {}\n\r\n", "b".repeat(500));
        assert_eq!(feed(&long).fault(), Some((0, Fault::BareNewline)));
        assert_eq!(feed("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n\n\n\n\n").fault(), None);
    }
}
