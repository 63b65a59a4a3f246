//! The upgrade, as far as it concerns the WebSocket: headers and subprotocols.
//!
//! Pure: `http` reads the request, answers 101 or the problem given here, and hands the stream to
//! [`Sessions::serve`](super::Sessions::serve).

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::auth;
use crate::problem::{Code, Problem};

/// The subprotocol of every socket, and the only one echoed.
pub const SUBPROTOCOL: &str = "weirgate.v1";

/// How a browser puts its token beside the subprotocol.
const BEARER: &str = "weirgate.bearer.";

/// Bytes of the largest token taken from a subprotocol.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What is known of a client when its stream is handed over.
#[derive(Debug)]
pub struct Handshake {
    /// Who the client is, where the handshake held a credential; `None` waits for `hello`. A refused credential of a
    /// browser comes here too: the session answers it with `bye` and a close code, which a page can see.
    pub principal: Option<Result<Arc<auth::Principal>, auth::Error>>,
    /// The client's address, behind trusted proxies the one they name.
    pub peer: IpAddr,
}

/// A request that may become a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
    /// The token a browser sent as `weirgate.bearer.<base64url>`.
    pub bearer: Option<String>,
}

impl Upgrade {
    /// Reads the headers of a `GET /v1/stream`.
    ///
    /// # Errors
    /// `bad_request` when this is no WebSocket handshake of version 13, or `weirgate.v1` is not offered, or the bearer
    /// subprotocol holds no token.
    pub fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let refuse = |detail: &str| Err(Problem::new(Code::BadRequest, detail));
        if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
            return refuse("this address speaks WebSocket; send Connection: Upgrade and Upgrade: websocket");
        }
        if !has_token(headers, &SEC_WEBSOCKET_VERSION, "13") {
            return refuse("Sec-WebSocket-Version must be 13");
        }
        let key = headers.get(SEC_WEBSOCKET_KEY).map(http::HeaderValue::as_bytes).unwrap_or_default();
        if STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
            let bearer = negotiate(&list(headers, &SEC_WEBSOCKET_PROTOCOL))?;
            Ok(Self { accept: derive_accept_key(key), bearer })
        } else {
            refuse("Sec-WebSocket-Key must be 16 bytes in base64")
        }
    }
}

fn negotiate(offered: &[&str]) -> Result<Option<String>, Problem> {
    if !offered.contains(&SUBPROTOCOL) {
        return Err(Problem::new(
            Code::BadRequest,
            "offer the subprotocol weirgate.v1 in Sec-WebSocket-Protocol",
        ));
    }
    let mut tokens = offered.iter().filter_map(|name| name.strip_prefix(BEARER));
    let Some(encoded) = tokens.next() else { return Ok(None) };
    let token = (encoded.len() <= TOKEN_BYTES_MAX * 4 / 3 && tokens.next().is_none())
        .then(|| URL_SAFE_NO_PAD.decode(encoded).ok())
        .flatten()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|token| !token.is_empty());
    token.map(Some).ok_or_else(|| {
        Problem::new(
            Code::BadRequest,
            "the subprotocol weirgate.bearer. must be followed by one token in base64url",
        )
    })
}

fn has_token(headers: &HeaderMap, name: &http::HeaderName, token: &str) -> bool {
    list(headers, name).iter().any(|have| have.eq_ignore_ascii_case(token))
}

fn list<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Vec<&'a str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use http::HeaderMap;

    use super::Upgrade;

    fn headers(protocols: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", "websocket".parse().unwrap());
        headers.insert("connection", "keep-alive, Upgrade".parse().unwrap());
        headers.insert("sec-websocket-version", "13".parse().unwrap());
        headers.insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
        headers.insert("sec-websocket-protocol", protocols.parse().unwrap());
        headers
    }

    #[test]
    fn the_sample_handshake_of_the_rfc_is_accepted() {
        let upgrade = Upgrade::read(&headers("weirgate.v1")).unwrap();
        assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(upgrade.bearer, None);
    }

    #[test]
    fn a_browsers_token_is_read_from_the_second_subprotocol() {
        let offer = format!("weirgate.v1, weirgate.bearer.{}", URL_SAFE_NO_PAD.encode("a.b.c"));
        assert_eq!(Upgrade::read(&headers(&offer)).unwrap().bearer.as_deref(), Some("a.b.c"));
    }

    #[test]
    fn handshakes_that_are_none_are_refused() {
        for offer in [
            "graphql-ws",
            "weirgate.bearer.YQ",
            "weirgate.v1, weirgate.bearer.",
            "weirgate.v1, weirgate.bearer.%",
        ] {
            assert!(Upgrade::read(&headers(offer)).is_err(), "{offer}");
        }
        for name in ["upgrade", "connection", "sec-websocket-version", "sec-websocket-key"] {
            let mut headers = headers("weirgate.v1");
            headers.remove(name);
            assert!(Upgrade::read(&headers).is_err(), "{name}");
        }
    }
}
