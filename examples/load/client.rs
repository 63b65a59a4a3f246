//! The thinnest HTTP/1.1 client there is: one request at a time on a blocking socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;

use anyhow::{Context, bail};

/// A keep-alive connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    head: String,
    request: Vec<u8>,
    answer: Vec<u8>,
    body: Range<usize>,
}

impl Client {
    /// Connects; every request goes to this path with this method.
    pub(crate) fn connect(
        address: SocketAddr,
        method: &str,
        path: &str,
        token: &str,
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: "
        );
        Ok(Self { stream, head, request: Vec::new(), answer: vec![0; 64 << 10], body: 0..0 })
    }

    /// Sends a body and reads the whole answer; its status.
    pub(crate) fn send(&mut self, body: &[u8]) -> anyhow::Result<u16> {
        self.request.clear();
        self.request.extend_from_slice(self.head.as_bytes());
        write!(self.request, "{}\r\n\r\n", body.len())?;
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request)?;
        self.read_answer()
    }

    /// The body of the last answer.
    pub(crate) fn json(&self) -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_slice(self.answer.get(self.body.clone()).unwrap_or_default())?)
    }

    fn read_answer(&mut self) -> anyhow::Result<u16> {
        let mut filled = 0;
        loop {
            let room = self.answer.get_mut(filled..).unwrap_or_default();
            let read = self.stream.read(room)?;
            if read == 0 {
                bail!("the gateway closed the connection");
            }
            filled += read;
            let answer = self.answer.get(..filled).unwrap_or_default();
            let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(answer.get(..end).unwrap_or_default())?;
            let length: usize = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length:")
                        .map(|value| value.trim().to_owned())
                })
                .context("an answer with a length")?
                .parse()?;
            let status = head.get(9..12).unwrap_or_default().parse()?;
            let whole = end + 4 + length;
            if filled >= whole {
                self.body = end + 4..whole;
                return Ok(status);
            }
            if whole > self.answer.len() {
                self.answer.resize(whole, 0);
            }
        }
    }
}
