//! A gateway that need not find Kafka when it starts, spoken to over HTTP.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use weirgate::app::App;
use weirgate::config::{Config, Sources};
use weirgate::event::Clock;

use crate::harness::waiting::{eventually_within, in_time};
use crate::harness::{DRAIN_MAX, client, order};

/// A broker that has just started, on a machine that does other things, too, may not answer at once.
const READY_MAX: Duration = Duration::from_secs(60);

/// A gateway in this process, in development mode with the shop's topics.
pub(crate) struct Gateway {
    url: String,
    token: String,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
    client: reqwest::Client,
    _directory: tempfile::TempDir,
}

impl Gateway {
    /// Starts one that is told these flags, too; its log need not be there.
    pub(crate) async fn start(told: Vec<(String, String)>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let flag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let schemas = format!("{}/schemas", env!("CARGO_MANIFEST_DIR"));
        let mut flags = vec![
            flag("http.listen", "127.0.0.1:0"),
            flag("http.metrics_listen", "null"),
            flag("http.drain_delay", "0ms"),
            flag("log.embedded.path", directory.path().to_str().unwrap()),
            flag("log.kafka.delivery_timeout", "2s"),
            flag("schemas.directory", &schemas),
        ];
        flags.extend(told);
        let sources = Sources { is_dev: true, flags, ..Sources::default() };
        let config = Config::read(&sources).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let app = App::build(config, Arc::new(move || Ok(sources.clone())), Clock::system()).await.unwrap();
        let shutdown = CancellationToken::new();
        Self {
            url: format!("http://{}", app.address()),
            token: app.dev_token().unwrap().to_owned(),
            running: tokio::spawn(app.run(shutdown.clone())),
            shutdown,
            client: client(),
            _directory: directory,
        }
    }

    /// Status and body of `/readyz`.
    pub(crate) async fn ready(&self) -> (u16, Value) {
        let answer = self.client.get(format!("{}/readyz", self.url)).send().await.unwrap();
        (answer.status().as_u16(), json(answer).await)
    }

    /// Status and body of the answer to an order.
    pub(crate) async fn publish(&self, id: &str) -> (u16, Value) {
        let request = self.client.post(format!("{}/v1/events", self.url)).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json").body(order(id, "c-1"));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), json(answer).await)
    }

    /// Status and body of the answer to a publish with these headers.
    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: String) -> (u16, Value) {
        self.post_to("/v1/events", headers, body).await
    }

    /// The same with a query.
    pub(crate) async fn post_to(&self, path: &str, headers: &[(&str, &str)], body: String) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json").body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), json(answer).await)
    }

    pub(crate) async fn until_ready(&self) {
        let is_ready = async || (self.ready().await.0 == 200).then_some(());
        eventually_within(READY_MAX, "the gateway is ready", is_ready).await;
    }

    /// The ids of the orders in a partition, in their order.
    pub(crate) async fn orders(&self, partition: &Value) -> Vec<String> {
        let (mut all, mut from) = (Vec::new(), "earliest".to_owned());
        loop {
            let url = format!("{}/v1/topics/orders.v1/events?from={from}&limit=1000", self.url);
            let answer = self.client.get(url).bearer_auth(&self.token).send().await.unwrap();
            let page = json(answer).await;
            let events = page["events"].as_array().unwrap();
            let ours = events.iter().filter(|event| event["partition"] == *partition);
            all.extend(ours.map(|event| event["event"]["data"]["orderId"].as_str().unwrap().to_owned()));
            if page["atEnd"] == true {
                return all;
            }
            page["cursor"].as_str().unwrap().clone_into(&mut from);
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        in_time(DRAIN_MAX, "the gateway's drain", self.running).await.unwrap().unwrap();
    }
}

async fn json(answer: reqwest::Response) -> Value {
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
