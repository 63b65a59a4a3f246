//! A raw WebSocket client: literal JSON out, JSON values in.

use std::collections::VecDeque;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::DEADLINE;
use super::waiting::in_time;

/// One connection of a subscriber.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Messages that a search passed over; later searches see them first.
    passed: VecDeque<Value>,
}

impl Socket {
    pub(crate) async fn connect(address: SocketAddr, token: Option<&str>) -> Self {
        let mut request = format!("ws://{address}/v1/stream").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "weirgate.v1".parse().unwrap());
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let upgrade = async {
            let tcp = TcpStream::connect(address).await.unwrap();
            tokio_tungstenite::client_async(request, tcp).await.unwrap()
        };
        let (stream, _) = in_time(DEADLINE, "the upgrade", upgrade).await;
        Self { stream, passed: VecDeque::new() }
    }

    pub(crate) async fn send(&mut self, json: &str) {
        in_time(DEADLINE, "sending", self.stream.send(Message::text(json))).await.unwrap();
    }

    /// The next JSON message; answers the server's pings on the way.
    async fn read(&mut self) -> Value {
        loop {
            match self.stream.next().await.expect("the connection is open").unwrap() {
                Message::Text(text) => {
                    let value: Value = serde_json::from_str(&text).unwrap();
                    if value["op"] == "ping" {
                        self.send(r#"{"op":"pong"}"#).await;
                        continue;
                    }
                    return value;
                }
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// The first message that `pick` takes; others are kept for later searches.
    pub(crate) async fn next_where(&mut self, what: &str, pick: impl Fn(&Value) -> bool) -> Value {
        in_time(DEADLINE, what, self.search(pick)).await
    }

    async fn search(&mut self, pick: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.passed.iter().position(&pick) {
            return self.passed.remove(at).unwrap();
        }
        loop {
            let value = self.read().await;
            if pick(&value) {
                return value;
            }
            self.passed.push_back(value);
        }
    }

    /// Sends a command with this id and answers its `ok`.
    pub(crate) async fn ask(&mut self, id: u64, json: &str) -> Value {
        self.send(json).await;
        let answer = self.next_where("an answer", |value| value["id"] == id).await;
        assert!(answer["error"].is_null(), "{answer}");
        answer["ok"].clone()
    }

    /// The next event or delivery.
    pub(crate) async fn next_event(&mut self) -> Value {
        in_time(DEADLINE, "an event", self.event()).await
    }

    /// The next event or delivery, however long it takes: whoever waits for other things, too, has the deadline.
    pub(crate) async fn event(&mut self) -> Value {
        self.search(|value| value["offset"].is_u64()).await
    }

    pub(crate) async fn close(mut self) {
        let closing = async {
            self.stream.close(None).await.unwrap();
            while let Some(Ok(_)) = self.stream.next().await {}
        };
        in_time(DEADLINE, "the end of the connection", closing).await;
    }
}
