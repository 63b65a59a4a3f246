//! A gateway with exactly the rights that `deploy/kafka.md` tells does all its work.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use weirgate::event::{Clock, Partition, Topic};
use weirgate::log::{Append, Cleanup, EventLog as _, NewRecord, TopicSpec};
use weirgate::log_kafka::Engine;
use weirgate::telemetry::Registry;

use crate::harness::{Process, client, eventually, order};
use crate::secured::{PASSWORD, Secured};
use crate::security::{config, is_denied};

/// Grants `limited` what the document grants `weirgate`: the arguments of its lines `acls …`.
fn grant(secured: &Secured) {
    secured.add_user("limited");
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kafka.md");
    let document = std::fs::read_to_string(document).unwrap();
    let lines: Vec<&str> = document.lines().filter_map(|line| line.strip_prefix("acls ")).collect();
    assert!(lines.len() >= 5, "{lines:?}");
    for line in lines {
        secured.grant("limited", &line.split_whitespace().collect::<Vec<_>>());
    }
}

/// `weirgate dev` as `limited`, its topics so.
async fn start(directory: &Path, address: &str, certificate: &Path, topics: &str) -> Process {
    let security = format!(
        "log.kafka.security={{protocol: sasl_ssl, tls: {{ca: {}}}, \
         sasl: {{mechanism: SCRAM-SHA-512, username: limited, password: {PASSWORD}}}}}",
        certificate.display()
    );
    let keys = [
        "log.engine=kafka".to_owned(),
        format!("log.kafka.brokers=['{address}']"),
        security,
        format!("topics={topics}"),
    ];
    Process::start_with(directory, "127.0.0.1:0", &keys).await
}

struct Caller<'a>(&'a Process, reqwest::Client);

impl Caller<'_> {
    async fn call(&self, method: &str, path: &str, body: String) -> (u16, Value) {
        let request = self.1.request(method.parse().unwrap(), self.0.url(path)).bearer_auth(&self.0.token);
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }
}

/// Publishes an order, works on it in a group until it is a dead letter, and reads that.
async fn work(process: &Process, order_id: &str) {
    let caller = Caller(process, client());
    let mut follower = process.socket().await;
    follower.ask(1, r#"{"id":1,"op":"subscribe","topics":["orders.v1"],"from":"latest"}"#).await;
    let (status, receipt) = caller.call("POST", "/v1/events", order(order_id, "c-1")).await;
    assert_eq!(status, 201, "{receipt}");
    assert_eq!(follower.next_event().await["offset"], receipt["offset"]);

    let mut worker = process.socket().await;
    let ok = worker.ask(1, r#"{"id":1,"op":"subscribe","group":"inventory-sync","credit":1}"#).await;
    let delivery = worker.next_event().await;
    let rejected =
        json!({"op": "reject", "sub": ok["sub"], "delivery": delivery["delivery"], "reason": "test"});
    worker.send(&rejected.to_string()).await;
    eventually("the dead letter is there and the group has moved on", || async {
        let letters = "/v1/groups/inventory-sync/dead-letters";
        let (_, letters) = caller.call("GET", letters, String::new()).await;
        let (_, group) = caller.call("GET", "/v1/groups/inventory-sync", String::new()).await;
        let is_listed =
            letters["deadLetters"].as_array()?.iter().any(|one| one["offset"] == receipt["offset"]);
        let lags = group["partitions"].as_array()?;
        (is_listed && lags.iter().all(|one| one["lag"] == 0)).then_some(())
    })
    .await;
    follower.close().await;
    worker.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn the_documented_rights_are_enough() {
    let secured = spawn_blocking(|| {
        let secured = Secured::start();
        grant(&secured);
        secured
    });
    let secured = secured.await.unwrap();
    let (address, certificate) = (&secured.scram, &secured.ca);
    let directory = tempfile::tempdir().unwrap();
    let topics = |partitions, retention| {
        format!(
            "[{{name: orders.v1, event_types: [orders.placed.v1], partitions: {partitions}, \
             retention: {retention}, key: /data/customerId}}]"
        )
    };
    let process = start(directory.path(), address, certificate, &topics(2, "7d")).await;
    work(&process, "ord_1").await;
    let caller = Caller(&process, client());
    let policy = json!({"topics": ["orders.v1"], "maxRetries": 1}).to_string();
    let (status, group) = caller.call("PUT", "/v1/groups/inventory-sync", policy).await;
    assert_eq!(status, 200, "{group}");
    drop(caller);
    assert_eq!(process.terminate().await, Some(0));

    // More partitions and another retention: the topic is altered, not made.
    let process = start(directory.path(), address, certificate, &topics(3, "3d")).await;
    let caller = Caller(&process, client());
    let (_, group) = caller.call("GET", "/v1/groups/inventory-sync", String::new()).await;
    assert_eq!(group["partitions"].as_array().map(Vec::len), Some(3), "{group}");
    work(&process, "ord_2").await;
    assert_eq!(process.terminate().await, Some(0));

    // What was not granted is refused, so the list is what lets the rest through.
    let limited = Engine::open(
        config(address, Some(certificate), "limited", PASSWORD),
        Clock::system(),
        &Registry::new(),
    );
    let limited: Arc<Engine> = limited.unwrap();
    let spec = |name: &str| TopicSpec {
        name: Topic::parse(name).unwrap(),
        partitions: 1,
        cleanup: Cleanup::Delete,
        retention: None,
        retention_bytes: None,
    };
    let refused = limited.ensure_topic(&spec("not.granted")).await;
    assert!(is_denied(&refused), "{refused:?}");
    let record = NewRecord { value: Some(Bytes::from_static(b"{}")), ..NewRecord::default() };
    let append =
        Append { topic: spec("orders.v1").name, partition: Partition::new(0), records: vec![record] };
    limited.append_atomic(vec![append]).await.expect("transactions are granted");
}
