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
        let tcp = TcpStream::connect(address).await.unwrap();
        let (stream, _) = tokio_tungstenite::client_async(request, tcp).await.unwrap();
        Self { stream, passed: VecDeque::new() }
    }

    pub(crate) async fn send(&mut self, json: &str) {
        self.stream.send(Message::text(json)).await.unwrap();
    }

    /// The next JSON message; answers the server's pings on the way.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match self.next_message().await {
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
        if let Some(at) = self.passed.iter().position(&pick) {
            return self.passed.remove(at).unwrap();
        }
        let search = async {
            loop {
                let value = self.next().await;
                if pick(&value) {
                    return value;
                }
                self.passed.push_back(value);
            }
        };
        tokio::time::timeout(DEADLINE, search).await.unwrap_or_else(|_| panic!("never came: {what}"))
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
        self.next_where("an event", |value| value["offset"].is_u64()).await
    }

    pub(crate) async fn close(mut self) {
        self.stream.close(None).await.unwrap();
        while let Some(Ok(_)) = self.stream.next().await {}
    }

    async fn next_message(&mut self) -> Message {
        let next = tokio::time::timeout(DEADLINE, self.stream.next()).await;
        next.expect("a message before the deadline").expect("the connection is open").unwrap()
    }
}
