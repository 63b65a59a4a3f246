//! Gateways that start before Kafka, and outlive it.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use weirgate::app::App;
use weirgate::config::{Config, Sources};
use weirgate::event::Clock;

use crate::broker::Cluster;
use crate::engine;
use crate::harness::{eventually, order};

struct Gateway {
    url: String,
    token: String,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
    client: reqwest::Client,
    _directory: tempfile::TempDir,
}

impl Gateway {
    async fn start(cluster: &Cluster) -> Self {
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
        flags.extend(engine::flags(cluster));
        let sources = Sources { is_dev: true, flags, ..Sources::default() };
        let config = Config::read(&sources).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
        let app = App::build(config, Arc::new(move || Ok(sources.clone())), Clock::system()).await.unwrap();
        let shutdown = CancellationToken::new();
        Self {
            url: format!("http://{}", app.address()),
            token: app.dev_token().unwrap().to_owned(),
            running: tokio::spawn(app.run(shutdown.clone())),
            shutdown,
            client: reqwest::Client::new(),
            _directory: directory,
        }
    }

    async fn ready(&self) -> (u16, Value) {
        let answer = self.client.get(format!("{}/readyz", self.url)).send().await.unwrap();
        (answer.status().as_u16(), json(answer).await)
    }

    /// Status and body of the answer to an order.
    async fn publish(&self, id: &str) -> (u16, Value) {
        let request = self.client.post(format!("{}/v1/events", self.url)).bearer_auth(&self.token);
        let request = request.header("content-type", "application/json").body(order(id, "c-1"));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), json(answer).await)
    }

    async fn until_ready(&self) {
        eventually("the gateway is ready", || async { (self.ready().await.0 == 200).then_some(()) }).await;
    }

    /// The ids of the orders of customer `c-1`, in their order.
    async fn orders(&self, partition: &Value) -> Vec<String> {
        let url = format!("{}/v1/topics/orders.v1/events?from=earliest&limit=500", self.url);
        let answer = self.client.get(url).bearer_auth(&self.token).send().await.unwrap();
        let page = json(answer).await;
        let events =
            page["events"].as_array().unwrap().iter().filter(|event| event["partition"] == *partition);
        events.map(|event| event["event"]["data"]["orderId"].as_str().unwrap().to_owned()).collect()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

async fn json(answer: reqwest::Response) -> Value {
    let text = answer.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Changes a cluster where that may block.
async fn change(cluster: &Arc<Mutex<Cluster>>, change: impl FnOnce(&mut Cluster) + Send + 'static) {
    let cluster = Arc::clone(cluster);
    spawn_blocking(move || change(&mut cluster.lock().unwrap())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_gateway_starts_before_kafka_and_outlives_its_death() {
    let cluster = spawn_blocking(|| Cluster::prepare(1)).await.unwrap();
    let gateway = Gateway::start(&cluster).await;
    let cluster = Arc::new(Mutex::new(cluster));
    let (status, body) = gateway.ready().await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(body["reasons"][0]["detail"], "Kafka cannot be reached");
    let (status, problem) = gateway.publish("ord_early").await;
    assert_eq!((status, problem["retryable"].as_bool()), (503, Some(true)), "{problem}");

    change(&cluster, |cluster| cluster.start_node(0)).await;
    gateway.until_ready().await;
    let (status, receipt) = gateway.publish("ord_before").await;
    assert_eq!(status, 201, "{receipt}");

    change(&cluster, |cluster| cluster.kill_node(0)).await;
    eventually("the gateway is not ready", || async { (gateway.ready().await.0 == 503).then_some(()) }).await;
    let (status, problem) = gateway.publish("ord_meanwhile").await;
    assert_eq!(status, 503, "{problem}");

    change(&cluster, |cluster| cluster.start_node(0)).await;
    gateway.until_ready().await;
    let (status, again) = gateway.publish("ord_after").await;
    assert_eq!(status, 201, "{again}");
    assert_eq!(gateway.orders(&receipt["partition"]).await, ["ord_before", "ord_after"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn what_was_under_way_when_kafka_died_is_never_answered_as_stored_and_lost() {
    let cluster = spawn_blocking(|| Cluster::start(1)).await.unwrap();
    let gateway = Arc::new(Gateway::start(&cluster).await);
    let cluster = Arc::new(Mutex::new(cluster));
    gateway.until_ready().await;
    let (_, first) = gateway.publish("ord_first").await;
    let publishing = {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move {
            let mut stored = vec!["ord_first".to_owned()];
            for number in 0.. {
                let id = format!("ord_{number}");
                match gateway.publish(&id).await {
                    (201, _) => stored.push(id),
                    (503 | 504, problem) => {
                        assert_eq!(problem["retryable"], true, "{problem}");
                        break;
                    }
                    (status, problem) => panic!("{status}: {problem}"),
                }
            }
            stored
        })
    };
    eventually("some are stored", || async {
        (gateway.orders(&first["partition"]).await.len() > 20).then_some(())
    })
    .await;
    change(&cluster, |cluster| cluster.kill_node(0)).await;
    let stored = publishing.await.unwrap();
    change(&cluster, |cluster| cluster.start_node(0)).await;
    gateway.until_ready().await;
    let kept = gateway.orders(&first["partition"]).await;
    // The one under way may be there or not; the others are, in their order.
    assert_eq!(kept[..stored.len()], stored);
    assert!(kept.len() <= stored.len() + 1, "{kept:?}");
    Arc::into_inner(gateway).unwrap().stop().await;
}
