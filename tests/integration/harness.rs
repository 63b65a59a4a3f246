//! Starts gateways and speaks to them as clients do; knows no type of the product beyond its configuration.

mod answer;
mod process;
mod socket;
pub(crate) mod waiting;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weirgate::app::App;
use weirgate::config::{Config, Sources};
use weirgate::event::Clock;

use crate::engine::Engine;

pub(crate) use answer::Answer;
pub(crate) use process::Process;
pub(crate) use socket::Socket;

use waiting::{eventually_within, in_time};

/// The longest any condition may take to come true.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A gateway that is not ready by then never will be, on a busy machine too.
pub(crate) const READY_MAX: Duration = Duration::from_secs(90);

/// The longest a gateway may take to end, in this process or in its own: as promised, and a little for a machine that
/// does other things.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(35);

/// What a gateway shall be like.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    file: String,
    schemas: Option<PathBuf>,
}

/// A gateway in this process, in development mode with the shop's topics.
#[derive(Debug)]
pub(crate) struct TestGateway {
    address: std::net::SocketAddr,
    metrics_address: std::net::SocketAddr,
    token: String,
    sources: Arc<Mutex<Sources>>,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    client: reqwest::Client,
    _directory: TempDir,
    _engine: Engine,
}

impl Builder {
    /// Lays YAML over the development configuration.
    pub(crate) fn with(mut self, yaml: &str) -> Self {
        self.file.push_str(yaml);
        self.file.push('\n');
        self
    }

    /// Schemas from this folder instead of the sample ones.
    pub(crate) fn with_schemas(mut self, directory: &Path) -> Self {
        self.schemas = Some(directory.to_owned());
        self
    }

    pub(crate) async fn start(self) -> TestGateway {
        let directory = tempfile::tempdir().unwrap();
        let samples = || Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let schemas = self.schemas.unwrap_or_else(samples);
        let flag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let engine = Engine::start().await;
        let mut flags = vec![
            flag("http.listen", "127.0.0.1:0"),
            flag("http.metrics_listen", "127.0.0.1:0"),
            flag("http.drain_delay", "0ms"),
            flag("socket.drain_window", "2s"),
            flag("log.embedded.path", directory.path().to_str().unwrap()),
            flag("schemas.directory", schemas.to_str().unwrap()),
        ];
        flags.extend(engine.flags());
        let sources = Sources { is_dev: true, file: Some(self.file), flags, ..Sources::default() };
        let config = Config::read(&sources).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let sources = Arc::new(Mutex::new(sources));
        let written = Arc::clone(&sources);
        let reader = Arc::new(move || Ok(written.lock().unwrap().clone()));
        let app = App::build(config, reader, Clock::system()).await.unwrap();
        let shutdown = CancellationToken::new();
        TestGateway {
            address: app.address(),
            metrics_address: app.metrics_address().unwrap(),
            token: app.dev_token().unwrap().to_owned(),
            running: tokio::spawn(app.run(shutdown.clone())),
            sources,
            shutdown,
            client: client(),
            _directory: directory,
            _engine: engine,
        }
    }
}

impl TestGateway {
    pub(crate) async fn start() -> Self {
        Builder::default().start().await
    }

    pub(crate) fn with(yaml: &str) -> Builder {
        Builder::default().with(yaml)
    }

    /// Waits until it can do everything; it serves a little before its registry is read.
    pub(crate) async fn until_ready(&self) {
        let is_ready = async || (self.get("/readyz").await.status == 200).then_some(());
        eventually_within(READY_MAX, "the gateway is ready", is_ready).await;
    }

    /// Writes another configuration file; it holds after a reload.
    pub(crate) fn rewrite(&self, yaml: &str) {
        self.sources.lock().unwrap().file = Some(yaml.to_owned());
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// A request with the development token; finish it with [`TestGateway::send`].
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method.parse().unwrap(), self.url(path)).bearer_auth(&self.token)
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::of(request.timeout(DEADLINE).send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        self.send(self.request("POST", path).header("content-type", content_type).body(body)).await
    }

    /// Publishes a JSON body to `/v1/events`.
    pub(crate) async fn publish(&self, body: impl Into<reqwest::Body>) -> Answer {
        self.post("/v1/events", "application/json", body).await
    }

    /// A socket with the token in the handshake.
    pub(crate) async fn socket(&self) -> Socket {
        Socket::connect(self.address, Some(&self.token)).await
    }

    /// A socket without a credential, as a browser's.
    pub(crate) async fn anonymous_socket(&self) -> Socket {
        Socket::connect(self.address, None).await
    }

    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.metrics_address);
        self.client.get(url).timeout(DEADLINE).send().await.unwrap().text().await.unwrap()
    }

    /// Drains the gateway and fails when that goes wrong.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        in_time(DRAIN_MAX, "the gateway's drain", self.running).await.unwrap().unwrap();
    }
}

/// A valid `orders.placed.v1` for a customer, as JSON text.
pub(crate) fn order(order_id: &str, customer: &str) -> String {
    format!(
        r#"{{"eventType":"orders.placed.v1","source":"order-service","data":{}}}"#,
        order_data(order_id, customer)
    )
}

/// The data of a valid order.
pub(crate) fn order_data(order_id: &str, customer: &str) -> String {
    format!(
        r#"{{"orderId":"{order_id}","customerId":"{customer}","placedAt":"2026-11-21T10:15:30Z","currency":"EUR","totalAmount":5980,"items":[{{"sku":"MUG-BLUE","quantity":2,"unitPrice":2990}}]}}"#
    )
}

/// Asks until `check` gives something; fails at the deadline, saying what was waited for.
pub(crate) async fn eventually<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, check).await
}

/// A client of HTTP that waits for no answer for ever; brokers that come and go may hold one up for long.
pub(crate) fn client() -> reqwest::Client {
    const ANSWER_MAX: Duration = Duration::from_secs(60);
    reqwest::Client::builder().timeout(ANSWER_MAX).build().unwrap()
}
