//! A socket by hand: the upgrade, a command, frames.

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::gateway::Gateway;

/// Upgrades, sends a command of id 1, and reads up to its answer; what comes after it is left to be read.
pub(crate) async fn open(gateway: &Gateway, command: &str) -> anyhow::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(gateway.address).await?;
    let request = format!(
        "GET /v1/stream HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: weirgate.v1\r\nauthorization: Bearer {}\r\n\r\n",
        gateway.address, gateway.token
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.context("the gateway refused the upgrade")?);
    }
    stream.write_all(&masked(command.as_bytes())).await?;
    loop {
        let answer = read_frame(&mut stream).await?;
        if answer.contains(r#""id":1"#) {
            if !answer.contains(r#""ok":"#) {
                bail!("the gateway refused: {answer}");
            }
            return Ok((stream, answer));
        }
    }
}

async fn read_frame(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    loop {
        bytes.push(stream.read_u8().await.context("the gateway closed the connection")?);
        if let Some(frame) = frame(&bytes) {
            return Ok(String::from_utf8(frame.payload.to_vec())?);
        }
    }
}

/// A client's text frame under an all-zero mask.
pub(crate) fn masked(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ ..=125), _) => frame.push(0x80 | length),
        (_, Ok(length)) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        (_, Err(_)) => {
            frame.push(0x80 | 127);
            frame.extend((text.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text);
    frame
}

/// A whole frame of a server.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// What it holds.
    pub(crate) payload: &'a [u8],
    /// Bytes with its head.
    pub(crate) whole: usize,
}

/// The first whole frame of a server.
pub(crate) fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let (head, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        length => (2, usize::from(length)),
    };
    Some(Frame { payload: bytes.get(head..head + length)?, whole: head + length })
}
