//! The log that gateways of this binary run on: a broker for each, so that no test meets another's topics.

use tokio::task::spawn_blocking;

use crate::broker::Cluster;

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
