//! A gateway without HTTP, and a client that knows frames and nothing else.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;
use weirgate::auth::{self, Authenticator, Credential};
use weirgate::delivery;
use weirgate::event::{Catalogue, Clock, LiveCatalogue, Partition, Topic};
use weirgate::feed;
use weirgate::log::{Append, EventLog, Groups, NewRecord};
use weirgate::publish::Publisher;
use weirgate::schema::{self, Schemas};
use weirgate::socket::{self, Handshake, Sessions};
use weirgate::telemetry::Registry;

use super::deafening::Deafening;
use super::engine::{self, Keep};
use super::setup::{config, delivery_config, grants, publish_config, rule, topic_spec};
use super::waiting::{eventually_within, in_time};

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct TestGateway {
    pub(crate) sessions: Sessions,
    pub(crate) authenticator: Authenticator,
    pub(crate) registry: Registry,
    pub(crate) stop: CancellationToken,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) groups: Arc<dyn Groups>,
    services: Vec<JoinHandle<()>>,
    _keep: Keep,
}

impl TestGateway {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: socket::Config) -> Self {
        let (clock, registry) = (Clock::system(), Registry::new());
        let (log, groups, keep) = engine::open().await;
        for name in ["orders.v1", "payments.v1"] {
            log.ensure_topic(&topic_spec(name)).await.unwrap();
        }
        let catalogue = LiveCatalogue::new(Catalogue::new(vec![rule("orders.v1")], rule("_defaults")));
        let folder = tempfile::tempdir().unwrap();
        let no_schemas = schema::Config {
            directory: folder.path().to_owned(),
            absent: schema::Absent::Refused,
            store: schema::Store::Folder,
        };
        let schemas = Schemas::load(&no_schemas).unwrap();
        let authenticator = Authenticator::build(&grants(true), clock.clone(), &registry).unwrap();
        let publisher = Publisher::new(
            publish_config(),
            Arc::clone(&log),
            catalogue.clone(),
            schemas,
            authenticator.clone(),
            clock.clone(),
            &registry,
        );
        let feed_config = feed::Config {
            ring_bytes_per_partition: 8 << 20,
            ring_bytes_total: 64 << 20,
            catch_up_readers_max: 8,
        };
        let (feed_service, feed) =
            feed::Service::new(feed_config, Arc::clone(&log), catalogue.clone(), clock.clone(), &registry);
        let (delivery_service, delivery) = delivery::Service::new(
            delivery_config(),
            Arc::clone(&log),
            Arc::clone(&groups),
            catalogue,
            clock.clone(),
            &registry,
        );
        let stop = CancellationToken::new();
        let services = vec![
            tokio::spawn(feed_service.run(stop.clone())),
            tokio::spawn(delivery_service.run(stop.clone())),
        ];
        let is_ready = async || delivery.is_ready().then_some(());
        eventually_within(PATIENCE, "the groups are ready", is_ready).await;
        let parts = socket::Parts {
            node: "g1".into(),
            feed,
            delivery,
            publisher,
            authenticator: authenticator.clone(),
            clock,
        };
        let sessions = Sessions::new(config, parts, &registry);
        Self { sessions, authenticator, registry, stop, log, groups, services, _keep: keep }
    }

    /// A client whose handshake carried this key.
    pub(crate) async fn connect(&self, key: &str) -> TestClient {
        let principal = self.authenticator.authenticate(Credential::ApiKey(key)).await;
        self.connect_with(Some(principal), 64 * 1024).await
    }

    /// A client with this outcome of its handshake, over a pipe that holds so many bytes.
    pub(crate) async fn connect_with(
        &self,
        principal: Option<Result<Arc<auth::Principal>, auth::Error>>,
        pipe_bytes: usize,
    ) -> TestClient {
        let (near, session) = self.pipe(principal, pipe_bytes);
        let stream = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        TestClient { stream, session, held: Vec::new() }
    }

    /// A client, and a switch: from when it is on, the gateway's writes to it fail.
    pub(crate) async fn connect_deafening(&self, key: &str) -> (TestClient, Arc<AtomicBool>) {
        let principal = self.authenticator.authenticate(Credential::ApiKey(key)).await;
        let (near, far) = duplex(64 * 1024);
        let is_deaf = Arc::new(AtomicBool::new(false));
        let session = self.serve(Deafening { stream: far, is_deaf: Arc::clone(&is_deaf) }, Some(principal));
        let stream = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        (TestClient { stream, session, held: Vec::new() }, is_deaf)
    }

    /// The client's end of a session, without any WebSocket on it.
    pub(crate) fn pipe(
        &self,
        principal: Option<Result<Arc<auth::Principal>, auth::Error>>,
        bytes: usize,
    ) -> (DuplexStream, JoinHandle<()>) {
        let (near, far) = duplex(bytes);
        (near, self.serve(far, principal))
    }

    fn serve(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        principal: Option<Result<Arc<auth::Principal>, auth::Error>>,
    ) -> JoinHandle<()> {
        let (sessions, stop) = (self.sessions.clone(), self.stop.clone());
        let handshake = Handshake { principal, peer: IpAddr::V4(Ipv4Addr::LOCALHOST) };
        tokio::spawn(async move { sessions.serve(stream, handshake, stop).await })
    }

    /// Appends an event of this customer and number.
    pub(crate) async fn append(&self, topic: &str, customer: &str, number: u64) {
        self.append_all(topic, customer, number..number + 1).await;
    }

    pub(crate) async fn append_all(&self, topic: &str, customer: &str, numbers: std::ops::Range<u64>) {
        let record = |number| {
            let value = json!({
                "eventId": format!("e-{number}"), "eventType": "orders.placed.v1", "eventVersion": "1.0.0",
                "timestamp": "2026-11-21T10:15:30.123Z", "source": "test",
                "data": { "customerId": customer, "n": number },
            });
            NewRecord { value: Some(Bytes::from(value.to_string())), ..NewRecord::default() }
        };
        let append = Append {
            topic: Topic::parse(topic).unwrap(),
            partition: Partition::new(0),
            records: numbers.map(record).collect(),
        };
        self.log.append(append).await.unwrap();
    }

    /// A metric as it is scraped, labels included in `name`.
    pub(crate) fn metric(&self, name: &str) -> i64 {
        let text = self.registry.render();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until a metric has this value.
    pub(crate) async fn until_metric(&self, name: &str, value: i64) {
        let is_reached = async || (self.metric(name) == value).then_some(());
        let what = fmt::from_fn(|out| write!(out, "{name} is {value}, not {}", self.metric(name)));
        eventually_within(PATIENCE, what, is_reached).await;
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        for service in std::mem::take(&mut self.services) {
            in_time(PATIENCE, "a service's end", service).await.unwrap();
        }
        assert_eq!(self.sessions.connections(), 0, "a session is left over");
        assert_eq!(self.metric("weirgate_ws_unsent_bytes"), 0);
    }
}

pub(crate) struct TestClient {
    pub(crate) stream: WebSocketStream<DuplexStream>,
    pub(crate) session: JoinHandle<()>,
    /// Messages that came while another was waited for.
    held: Vec<Value>,
}

impl TestClient {
    pub(crate) async fn say(&mut self, message: &Value) {
        self.stream.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Sends a text as it is.
    pub(crate) async fn stream_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// The next message, whatever it is.
    pub(crate) async fn hear(&mut self) -> Value {
        if !self.held.is_empty() {
            return self.held.remove(0);
        }
        self.read().await
    }

    /// The next message of which this is true; those before it are kept for later.
    pub(crate) async fn hear_where(&mut self, is_meant: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.held.iter().position(&is_meant) {
            return self.held.remove(at);
        }
        loop {
            let message = self.read().await;
            if is_meant(&message) {
                return message;
            }
            self.held.push(message);
        }
    }

    /// Sends a command and answers its answer.
    pub(crate) async fn ask(&mut self, mut command: Value) -> Value {
        let id = json!(format!("q-{}", command["op"]));
        command["id"] = id.clone();
        self.say(&command).await;
        self.hear_where(|message| message["id"] == id).await
    }

    /// Sends a command and answers the `ok` of its answer.
    pub(crate) async fn ok(&mut self, command: Value) -> Value {
        let mut answer = self.ask(command).await;
        assert!(answer.get("ok").is_some(), "{answer}");
        answer["ok"].take()
    }

    /// Sends a command that is refused, and answers the code.
    pub(crate) async fn refused(&mut self, command: Value) -> String {
        let answer = self.ask(command).await;
        answer["error"]["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub(crate) async fn event(&mut self) -> Value {
        self.hear_where(|message| message.get("offset").is_some()).await
    }

    /// The numbers of the next events.
    pub(crate) async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        for _ in 0..count {
            numbers.push(self.event().await["event"]["data"]["n"].as_u64().unwrap());
        }
        numbers
    }

    /// Reads to the end: `bye`, and the code of the close frame, which must agree.
    pub(crate) async fn ended(&mut self) -> Value {
        let bye = self.hear_where(|message| message["op"] == "bye").await;
        match in_time(PATIENCE, "the next message", self.stream.next()).await {
            Some(Ok(Message::Close(Some(frame)))) => assert_eq!(json!(u16::from(frame.code)), bye["code"]),
            other => panic!("{other:?} instead of a close frame"),
        }
        bye
    }

    /// Closes with a handshake, and waits for the session's end.
    pub(crate) async fn close(mut self) {
        self.stream.close(None).await.unwrap();
        while let Some(message) = in_time(PATIENCE, "the next message", self.stream.next()).await {
            if let Err(Error::Protocol(error)) = message {
                panic!("{error}");
            }
        }
        in_time(PATIENCE, "the session's end", self.session).await.unwrap();
    }

    /// Goes away without a word.
    pub(crate) async fn vanish(self) {
        drop(self.stream);
        in_time(PATIENCE, "the session's end", self.session).await.unwrap();
    }

    async fn read(&mut self) -> Value {
        loop {
            match in_time(PATIENCE, "the next message", self.stream.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?} instead of a message"),
            }
        }
    }
}
