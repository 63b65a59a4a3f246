//! The log that gateways of this binary run on: a broker for each, so that no test meets another's topics.

use tokio::task::spawn_blocking;

use crate::broker::{self, Cluster};

/// A broker.
#[derive(Debug)]
pub(crate) struct Engine(Cluster);

impl Engine {
    pub(crate) async fn start() -> Self {
        Self(spawn_blocking(|| Cluster::start(1)).await.unwrap())
    }

    /// What a gateway is told to use it.
    pub(crate) fn flags(&self) -> Vec<(String, String)> {
        flags(&self.0)
    }
}

/// What a gateway is told to use this cluster.
pub(crate) fn flags(cluster: &Cluster) -> Vec<(String, String)> {
    let brokers = serde_json::json!(cluster.addresses()).to_string();
    vec![("log.engine".to_owned(), "kafka".to_owned()), ("log.kafka.brokers".to_owned(), brokers)]
}

/// What a gateway is told on its command line to use the broker that all share, which is new and has much to do: it may take
/// its time. Blocks until that runs.
pub(crate) fn sets() -> Vec<String> {
    vec![
        "log.engine=kafka".to_owned(),
        format!("log.kafka.brokers=[{}]", broker::shared().join(",")),
        "log.kafka.delivery_timeout=60s".to_owned(),
    ]
}
