//! The gateway's binary on the broker that these tests share, with a topic of its own.

use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::broker;
use crate::harness::{Process, Socket, client};

/// The partitions of the topic.
pub(super) const PARTITIONS: usize = 6;

/// A gateway, and a topic that nobody else has: events of `interop.written.v1`, their key in `/data/key`.
#[derive(Debug)]
pub(super) struct Gateway {
    process: Process,
    pub(super) topic: String,
    client: reqwest::Client,
    _directory: TempDir,
}

impl Gateway {
    /// Starts one whose topic stores events in this way.
    pub(super) async fn start(envelope: &str) -> Self {
        let brokers = spawn_blocking(broker::shared).await.unwrap().join(",");
        let topic = format!("interop.{}", uuid::Uuid::new_v4().simple());
        let directory = tempfile::tempdir().unwrap();
        let topics = format!(
            "topics=[{{name: {topic}, event_types: [interop.written.v1], partitions: {PARTITIONS}, \
             envelope: {envelope}, key: /data/key, key_optional: true, schema: {{required: false}}}}]"
        );
        let brokers = format!("log.kafka.brokers=[{brokers}]");
        // A test that waits for a tool answers no pings.
        let keys = ["log.engine=kafka".to_owned(), "socket.ping=10m".to_owned(), brokers, topics];
        let process = Process::start_with(directory.path(), "127.0.0.1:0", &keys).await;
        Self { process, topic, client: client(), _directory: directory }
    }

    /// Posts JSON; answers status and body.
    pub(super) async fn post(&self, path: &str, headers: HeaderMap, body: String) -> (u16, Value) {
        let mut all = HeaderMap::new();
        all.insert("content-type", HeaderValue::from_static("application/json"));
        all.extend(headers);
        let request = self.client.post(self.process.url(path)).bearer_auth(&self.process.token);
        let request = request.headers(all).body(body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    /// Makes a group of the topic.
    pub(super) async fn make_group(&self, group: &str) {
        let policy = serde_json::json!({"topics": [self.topic]}).to_string();
        let request = self.client.put(self.process.url(&format!("/v1/groups/{group}")));
        let request = request.bearer_auth(&self.process.token).header("content-type", "application/json");
        let answer = request.body(policy).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }

    pub(super) async fn socket(&self) -> Socket {
        self.process.socket().await
    }

    /// SIGTERM, and a good end.
    pub(super) async fn stop(self) {
        assert_eq!(self.process.terminate().await, Some(0));
    }
}
