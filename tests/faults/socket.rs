//! A WebSocket client that breaks as connections do: every failure is an answer, not a panic.

use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::gateway::Target;
use crate::history::{Deed, Entry, Kind};

/// A connection.
#[derive(Debug)]
pub(crate) struct Socket(WebSocketStream<TcpStream>);

/// A message of the gateway.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) json: Value,
    text: String,
}

impl Socket {
    pub(crate) async fn connect(target: &Target) -> Result<Self, String> {
        let mut request = format!("ws://{}/v1/stream", target.address).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "weirgate.v1".parse().unwrap());
        headers.insert("authorization", format!("Bearer {}", target.token).parse().unwrap());
        let tcp = TcpStream::connect(&target.address).await.map_err(|error| error.to_string())?;
        let connected = tokio_tungstenite::client_async(request, tcp).await;
        connected.map(|(stream, _)| Self(stream)).map_err(|error| error.to_string())
    }

    pub(crate) async fn send(&mut self, json: &Value) -> Result<(), String> {
        self.0.send(Frame::text(json.to_string())).await.map_err(|error| error.to_string())
    }

    /// The next message; answers pings on the way. Cancel safe between frames.
    pub(crate) async fn next(&mut self) -> Result<Message, String> {
        loop {
            let frame = self.0.next().await.ok_or("ended")?.map_err(|error| error.to_string())?;
            match frame {
                Frame::Text(text) => {
                    let json: Value = serde_json::from_str(&text).unwrap();
                    if json["op"] == "ping" {
                        self.send(&serde_json::json!({"op": "pong"})).await?;
                        continue;
                    }
                    return Ok(Message { json, text: text.as_str().to_owned() });
                }
                Frame::Close(frame) => return Err(format!("closed: {frame:?}")),
                _ => {}
            }
        }
    }

    /// Says goodbye and waits for the answer to it.
    pub(crate) async fn close(&mut self) {
        drop(self.0.close(None).await);
        while let Some(Ok(_)) = self.0.next().await {}
    }
}

impl Message {
    /// The delivery in it as a line of history; of a dead letter that came back, the note says which time.
    pub(crate) fn delivery(&self) -> Entry {
        match self.json["redrives"].as_u64() {
            None => self.event(Deed::Deliver),
            Some(redrives) => self.event(Deed::Return).note(redrives.to_string()),
        }
    }

    /// The event in it as a line of history, judged by its bytes as they came.
    pub(crate) fn event(&self, f: Deed) -> Entry {
        #[derive(Deserialize)]
        struct Carried<'a> {
            #[serde(borrow)]
            event: &'a RawValue,
        }
        let Carried { event } = serde_json::from_str(&self.text).unwrap();
        let json = &self.json;
        let part = i32::try_from(json["partition"].as_i64().unwrap()).unwrap();
        Entry::new(f, Kind::Ok)
            .event(json["event"]["correlationId"].as_str().unwrap(), json["key"].as_str().unwrap_or_default())
            .at(part, json["offset"].as_i64().unwrap())
            .attempt(json["attempt"].as_u64().unwrap_or(1))
            .sha(event.get().as_bytes())
    }
}
