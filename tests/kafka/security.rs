//! TLS and SCRAM, and what a wrong password or missing rights look like.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use weirgate::event::{Clock, Offset, Partition, Topic};
use weirgate::log::{Append, Cleanup, Error, EventLog, Health, NewRecord, Purpose, TopicSpec};
use weirgate::log_kafka::{Config, Engine, OpenError, Sasl, Secret, Security, SecurityProtocol, Tls};
use weirgate::telemetry::Registry;

use crate::broker::{Cluster, PASSWORD};

fn engine(address: &str, certificate: &Path, username: &str, password: &str) -> Arc<Engine> {
    open(address, Some(certificate), username, password).unwrap()
}

fn open(
    address: &str,
    certificate: Option<&Path>,
    username: &str,
    password: &str,
) -> Result<Arc<Engine>, OpenError> {
    let sasl = Sasl {
        mechanism: "SCRAM-SHA-512".to_owned(),
        username: username.to_owned(),
        password: Secret::new(password),
    };
    let tls = Tls { ca: certificate.map(Path::to_owned), ..Tls::default() };
    let security = Security { protocol: SecurityProtocol::SaslSsl, sasl: Some(sasl), tls };
    let config = Config { security, ..Config::of(vec![address.to_owned()]) };
    Engine::open(config, Clock::system(), &Registry::new())
}

fn spec() -> TopicSpec {
    let name = Topic::parse("secured").unwrap();
    TopicSpec { name, partitions: 1, cleanup: Cleanup::Delete, retention: None, retention_bytes: None }
}

/// Waits until the engine says why it is not ready in these words.
async fn unready(engine: &Engine, words: &str) {
    let says = async {
        let mut interval = tokio::time::interval(Duration::from_millis(20));
        loop {
            interval.tick().await;
            match engine.health() {
                Health::Unready { detail, .. } if detail.contains(words) => return,
                Health::Unready { .. } | Health::Ready => {}
            }
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(20), says).await;
    said.unwrap_or_else(|_| panic!("it never said '{words}' but {:?}", engine.health()));
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn scram_over_tls_lets_the_right_ones_in_and_tells_why_others_stay_out() {
    let (_cluster, address, certificate) = spawn_blocking(Cluster::start_secured).await.unwrap();
    let right = engine(&address, &certificate, "weirgate", PASSWORD);
    let topic = right.ensure_topic(&spec()).await.unwrap().spec.name;
    right.admit();
    assert_eq!(right.health(), Health::Ready);
    let record = NewRecord { value: Some(Bytes::from_static(b"secured")), ..NewRecord::default() };
    let append = Append { topic: topic.clone(), partition: Partition::new(0), records: vec![record] };
    assert_eq!(right.append(append.clone()).await.unwrap().base, Offset::ZERO);
    let mut reader = right.reader(&topic, Partition::new(0), Offset::ZERO, Purpose::Tail).await.unwrap();
    assert_eq!(reader.next(1_000).await.unwrap().records[0].value.as_deref(), Some(&b"secured"[..]));

    let stranger = engine(&address, &certificate, "weirgate", "wrong");
    unready(&stranger, "uthentication").await;
    assert!(matches!(stranger.ensure_topic(&spec()).await, Err(Error::Unavailable(_))));
    assert!(stranger.topics_known().is_err());

    let nobody = engine(&address, &certificate, "nobody", PASSWORD);
    unready(&nobody, "uthorization").await;
    let refused = nobody.append(append).await;
    assert!(refused.is_err(), "{refused:?}");

    let untrusted = open(&address, None, "weirgate", PASSWORD).unwrap();
    unready(&untrusted, "certificate").await;
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_at_start() {
    let error = open("localhost:9093", Some(Path::new("/dev/null")), "weirgate", PASSWORD).unwrap_err();
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("ssl.ca.location"), "{cause}");
}
