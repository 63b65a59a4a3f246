//! One connection of a client: the handshake, and messages both ways until it ends.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Uri};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::socket::handshake::SUBPROTOCOL;

use super::backoff::{Next, after_close};
use super::{Break, Endpoint, Error, passing, tls};

/// Silence beyond the gateway's own ping and pong times that a client bears.
const SLACK: Duration = Duration::from_secs(5);

/// Bytes of the largest message a client takes: an event, its key and headers in JSON.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a connection is made of, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Debug + Send + Unpin> Stream for S {}

/// Where a handshake goes.
#[derive(Debug)]
struct Target {
    request: Request,
    host: String,
    /// Host and port.
    address: String,
    is_tls: bool,
}

/// A message of the gateway.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) text: String,
    pub(super) value: Value,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Link {
    stream: WebSocketStream<Box<dyn Stream>>,
    pub(super) connection: String,
    pub(super) sub: Option<u64>,
    /// How long the gateway may be silent: it pings more often.
    silence_max: Duration,
    bye: Option<Value>,
}

impl Link {
    /// Connects and shakes hands.
    pub(super) async fn connect(endpoint: &Endpoint) -> Result<Self, Break> {
        let Target { request, host, address, is_tls } = request(endpoint).map_err(Break::Final)?;
        let unreachable = |address, source| Break::Final(Error::Unreachable { address, source });
        let stream = match TcpStream::connect(&address).await {
            Ok(stream) => stream,
            Err(source) => return Err(unreachable(address, source)),
        };
        let stream: Box<dyn Stream> = if is_tls {
            match tls::connect(stream, &host, &endpoint.trust).await {
                Ok(stream) => Box::new(stream),
                Err(source) if source.kind() == ErrorKind::InvalidData => {
                    return Err(Break::Final(Error::Untrusted { address, source }));
                }
                Err(source) => return Err(unreachable(address, source)),
            }
        } else {
            Box::new(stream)
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(64 * 1024)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((stream, _)) => Ok(Self {
                stream,
                connection: String::new(),
                sub: None,
                silence_max: Duration::from_secs(60),
                bye: None,
            }),
            Err(tungstenite::Error::Http(response)) => Err(refused(&response)),
            Err(error) => Err(passing(&error.to_string())),
        }
    }

    /// Keeps what `hello` was answered.
    pub(super) fn greet(&mut self, hello: &Value) {
        let millis =
            |name: &str| Duration::from_millis(hello.get(name).and_then(Value::as_u64).unwrap_or(30_000));
        self.silence_max = millis("pingMs") + millis("pongMs") + SLACK;
        self.connection = text_of(hello, "connection").unwrap_or_default().to_owned();
    }

    /// Sends a command. That the connection broke shows when listening.
    pub(super) async fn say(&mut self, command: &Value) {
        drop(self.stream.send(Message::text(command.to_string())).await);
    }

    /// The `ok` of the answer with this id.
    pub(super) async fn answer(&mut self, id: u64) -> Result<Value, Break> {
        loop {
            let Heard { mut value, .. } = self.hear().await?;
            if value.get("id") == Some(&json!(id)) {
                return match value.get("error") {
                    Some(error) => Err(problem(error)),
                    None => Ok(value.get_mut("ok").map(Value::take).unwrap_or_default()),
                };
            }
        }
    }

    /// The next message; answers pings by the way. Cancel safe.
    pub(super) async fn hear(&mut self) -> Result<Heard, Break> {
        loop {
            let message = match timeout(self.silence_max, self.stream.next()).await {
                Err(_) => return Err(passing("the gateway has fallen silent")),
                Ok(None) => return Err(self.ended(None)),
                // A reset without a close frame is how a gateway that was killed looks.
                Ok(Some(Err(tungstenite::Error::Protocol(_) | tungstenite::Error::Io(_)))) => {
                    return Err(self.ended(None));
                }
                Ok(Some(Err(error))) => return Err(passing(&error.to_string())),
                Ok(Some(Ok(message))) => message,
            };
            let text = match message {
                Message::Text(text) => text.as_str().to_owned(),
                Message::Close(frame) => return Err(self.ended(frame.as_ref())),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            let Ok(value) = serde_json::from_str::<Value>(&text) else { continue };
            match text_of(&value, "op") {
                Some("ping") => self.say(&json!({ "op": "pong" })).await,
                Some("bye") => self.bye = Some(value),
                Some(_) | None => return Ok(Heard { text, value }),
            }
        }
    }

    /// Says goodbye and waits for the answer.
    pub(super) async fn close(mut self) {
        drop(self.stream.close(None).await);
        while let Some(Ok(_)) = self.stream.next().await {}
    }

    fn ended(&self, frame: Option<&CloseFrame>) -> Break {
        let bye = self.bye.as_ref().unwrap_or(&Value::Null);
        let code = frame.map_or(1006, |frame| u16::from(frame.code));
        let code = number_of(bye, "code").and_then(|code| u16::try_from(code).ok()).unwrap_or(code);
        let reason = match (text_of(bye, "detail").or_else(|| text_of(bye, "reason")), frame) {
            (Some(reason), _) => reason.to_owned(),
            (None, Some(frame)) => frame.reason.to_string(),
            (None, None) => "the connection broke off".to_owned(),
        };
        let delay = number_of(bye, "delayMs").map(Duration::from_millis);
        match after_close(code, bye.get("reconnect").and_then(Value::as_bool), delay) {
            Some(next) => Break::Passing { reason, next },
            None => Break::Final(Error::Closed { code, reason }),
        }
    }
}

/// A problem object as a break: passing where the gateway says so.
pub(super) fn problem(problem: &Value) -> Break {
    let text = |name: &str| text_of(problem, name).unwrap_or_default().to_owned();
    if problem.get("temporary") == Some(&Value::Bool(true)) {
        let next = number_of(problem, "retryAfterMs").map(Duration::from_millis);
        return Break::Passing { reason: text("detail"), next: next.map_or(Next::Backoff, Next::After) };
    }
    Break::Final(Error::Problem { code: text("code"), detail: text("detail") })
}

fn text_of<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn number_of(value: &Value, name: &str) -> Option<u64> {
    value.get(name).and_then(Value::as_u64)
}

/// The handshake's request, and where to send it.
fn request(endpoint: &Endpoint) -> Result<Target, Error> {
    let wrong = |problem| Error::Address { url: endpoint.url.clone(), problem };
    let (is_tls, rest) = match endpoint.url.split_once("://") {
        Some(("http" | "ws", rest)) => (false, rest),
        Some(("https" | "wss", rest)) => (true, rest),
        _ => return Err(wrong("it must begin with https://, http://, wss:// or ws://")),
    };
    let (scheme, port) = if is_tls { ("wss", 443) } else { ("ws", 80) };
    let uri: Uri = format!("{scheme}://{}/v1/stream", rest.trim_end_matches('/'))
        .parse()
        .map_err(|_| wrong("it is no URL of host and port"))?;
    let host = uri.host().ok_or_else(|| wrong("it names no host"))?.to_owned();
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(port));
    let mut request = uri.into_client_request().map_err(|_| wrong("it is no URL of host and port"))?;
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    if let Some((name, value)) = &endpoint.credential {
        let value = HeaderValue::from_str(value)
            .map_err(|_| wrong("the credential holds characters no header can"))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(Target { request, host, address, is_tls })
}

/// A handshake that was answered by something other than 101.
fn refused(response: &Response) -> Break {
    let body = response.body().as_deref().unwrap_or_default();
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let status = response.status().as_u16();
    let detail = text_of(&problem, "detail").map_or_else(|| response.status().to_string(), str::to_owned);
    if matches!(status, 429 | 502..=504) {
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let next = after.map_or(Next::Backoff, |seconds| Next::After(Duration::from_secs(seconds)));
        return Break::Passing { reason: detail, next };
    }
    Break::Final(Error::Refused { status, detail })
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Target, request};
    use crate::socket::client::Trust;

    fn endpoint(url: &str) -> Endpoint {
        let credential = Some(("authorization", "Bearer t".to_owned()));
        Endpoint { url: url.to_owned(), trust: Trust::System, credential }
    }

    #[test]
    fn a_gateways_address_becomes_that_of_its_sockets() {
        for (url, uri, to, is_secure) in [
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/stream", "127.0.0.1:8080", false),
            ("ws://gateway/", "ws://gateway/v1/stream", "gateway:80", false),
            ("https://gateway", "wss://gateway/v1/stream", "gateway:443", true),
            ("wss://gateway:1/", "wss://gateway:1/v1/stream", "gateway:1", true),
            ("http://[::1]:8080/events", "ws://[::1]:8080/events/v1/stream", "[::1]:8080", false),
        ] {
            let Target { request, address, is_tls, .. } = request(&endpoint(url)).unwrap();
            assert_eq!((request.uri().to_string().as_str(), address.as_str()), (uri, to));
            assert_eq!(is_tls, is_secure);
            assert_eq!(request.headers()["authorization"], "Bearer t");
        }
    }

    #[test]
    fn other_addresses_are_refused_with_a_reason() {
        for url in ["127.0.0.1:8080", "https://", "ftp://gateway", "http://", "http://a b"] {
            assert!(request(&endpoint(url)).is_err(), "{url}");
        }
    }
}
