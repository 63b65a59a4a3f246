//! TLS, SCRAM and certificates, and what a wrong password or missing rights look like.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use weirgate::event::{Clock, Offset, Partition, Topic};
use weirgate::log::{Append, Cleanup, Error, EventLog, Health, NewRecord, Purpose, TopicSpec};
use weirgate::log_kafka::{Config, Engine, OpenError, Sasl, Secret, Security, SecurityProtocol, Tls};
use weirgate::telemetry::Registry;

use crate::conformance::read;
use crate::gateway::Gateway;
use crate::harness::eventually;
use crate::harness::waiting::eventually_within;
use crate::secured::{PASSWORD, Secured};

fn engine(address: &str, certificate: &Path, username: &str, password: &str) -> Arc<Engine> {
    open(address, Some(certificate), username, password).unwrap()
}

fn open(
    address: &str,
    certificate: Option<&Path>,
    username: &str,
    password: &str,
) -> Result<Arc<Engine>, OpenError> {
    Engine::open(config(address, certificate, username, password), Clock::system(), &Registry::new())
}

/// How a user reaches the broker.
pub(crate) fn config(address: &str, certificate: Option<&Path>, username: &str, password: &str) -> Config {
    let sasl = Sasl {
        mechanism: "SCRAM-SHA-512".to_owned(),
        username: username.to_owned(),
        password: Secret::new(password),
    };
    let tls = Tls { ca: certificate.map(Path::to_owned), ..Tls::default() };
    let security = Security { protocol: SecurityProtocol::SaslSsl, sasl: Some(sasl), tls };
    Config { security, ..Config::of(vec![address.to_owned()]) }
}

fn spec() -> TopicSpec {
    let name = Topic::parse("secured").unwrap();
    TopicSpec { name, partitions: 1, cleanup: Cleanup::Delete, retention: None, retention_bytes: None }
}

/// Waits until the engine says why it is not ready in these words.
async fn unready(engine: &Engine, words: &str) {
    let says = async || {
        let health = engine.health();
        matches!(&health, Health::Unready { detail, .. } if detail.contains(words)).then_some(())
    };
    let said = fmt::from_fn(|out| write!(out, "it says '{words}', and not {:?}", engine.health()));
    eventually_within(Duration::from_secs(60), said, says).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn the_right_ones_are_let_in_and_others_are_told_why_they_stay_out() {
    let secured = spawn_blocking(Secured::start).await.unwrap();
    let (address, certificate) = (&secured.scram, &secured.ca);
    let right = engine(address, certificate, "weirgate", PASSWORD);
    // A broker that has just started on a busy machine may not answer at once.
    let made = async || match right.ensure_topic(&spec()).await {
        Ok(info) => Some(info.spec.name),
        Err(Error::Unavailable(_)) => None,
        Err(error) => panic!("{error}"),
    };
    let topic = eventually_within(Duration::from_secs(40), "the topic is made", made).await;
    right.admit();
    assert_eq!(right.health(), Health::Ready);
    let append = append_of(&topic);
    assert_eq!(right.append(append.clone()).await.unwrap().base, Offset::ZERO);
    let mut reader = right.reader(&topic, Partition::new(0), Offset::ZERO, Purpose::Tail).await.unwrap();
    assert_eq!(read(&mut *reader, 1_000).await.records[0].value.as_deref(), Some(&b"secured"[..]));

    let stranger = engine(address, certificate, "weirgate", "wrong");
    unready(&stranger, "uthentication").await;
    assert!(matches!(stranger.ensure_topic(&spec()).await, Err(Error::Unavailable(_))));
    assert!(stranger.topics_known().is_err());

    let nobody = engine(address, certificate, "nobody", PASSWORD);
    unready(&nobody, "uthorization").await;
    let refused = nobody.append(append).await;
    // Who has no rights is shown no topics.
    assert!(matches!(refused, Err(Error::UnknownTopic(_))) || is_denied(&refused), "{refused:?}");

    let untrusted = open(address, None, "weirgate", PASSWORD).unwrap();
    unready(&untrusted, "certificate").await;

    let known = mutual(&secured, true);
    eventually("the certificate opens the door", || async { known.topic(&topic).is_some().then_some(()) })
        .await;
    assert_eq!(known.append(append_of(&topic)).await.unwrap().base, Offset::new(1));
    unready(&mutual(&secured, false), "certificate").await;
}

/// Whether Kafka said that it may not be; that it cannot be reached is something else.
pub(crate) fn is_denied<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unavailable(cause)) if cause.to_string().contains("uthorization"))
}

/// An engine that comes with a certificate, or without any.
fn mutual(secured: &Secured, has_certificate: bool) -> Arc<Engine> {
    let own = |file: &Path| has_certificate.then(|| file.to_owned());
    let (certificate, key) = (own(&secured.certificate), own(&secured.key));
    let tls = Tls { ca: Some(secured.ca.clone()), certificate, key };
    let security = Security { protocol: SecurityProtocol::Ssl, sasl: None, tls };
    let config = Config { security, ..Config::of(vec![secured.mutual.clone()]) };
    Engine::open(config, Clock::system(), &Registry::new()).unwrap()
}

fn append_of(topic: &Topic) -> Append {
    let record = NewRecord { value: Some(Bytes::from_static(b"secured")), ..NewRecord::default() };
    Append { topic: topic.clone(), partition: Partition::new(0), records: vec![record] }
}

/// Nobody restarts a gateway for what is changed at the broker.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(has_kafka), ignore = "needs Java 17 and Maven")]
async fn a_gateway_that_kafka_refuses_goes_on_when_it_is_let_in() {
    let secured = Arc::new(spawn_blocking(Secured::start).await.unwrap());
    let sasl = format!("{{mechanism: SCRAM-SHA-512, username: late, password: {PASSWORD}}}");
    let security = format!("{{protocol: sasl_ssl, sasl: {sasl}, tls: {{ca: '{}'}}}}", secured.ca.display());
    let flag = |key: &str, value: String| (key.to_owned(), value);
    let gateway = Gateway::start(vec![
        flag("log.engine", "kafka".to_owned()),
        flag("log.kafka.brokers", format!("['{}']", secured.scram)),
        flag("log.kafka.security", security),
    ])
    .await;
    let says = |words: &'static str| {
        let gateway = &gateway;
        move || async move {
            let (status, body) = gateway.ready().await;
            (status == 503 && body["reasons"][0]["detail"].as_str()?.contains(words)).then_some(())
        }
    };
    eventually("it says that it is not accepted", says("credentials")).await;
    let (status, problem) = gateway.publish("ord_stranger").await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("log_unavailable")), "{problem}");

    let change = |change: fn(&Secured)| {
        let secured = Arc::clone(&secured);
        async move { spawn_blocking(move || change(&secured)).await.unwrap() }
    };
    change(|secured| secured.add_user("late")).await;
    eventually("it says that it has no rights", says("topics cannot be read")).await;
    assert_eq!(gateway.publish("ord_powerless").await.0, 503);

    change(|secured| {
        let all = ["--operation", "All", "--cluster", "--group", "*"];
        secured.grant("late", &all);
        let reading = ["Create", "Describe", "DescribeConfigs", "AlterConfigs", "Read"];
        let reading = reading.iter().flat_map(|operation| ["--operation", operation]);
        secured.grant("late", &reading.chain(["--topic", "*"]).collect::<Vec<_>>());
        for own in ["_weirgate.", "dlq."] {
            let writing = ["--operation", "Write", "--resource-pattern-type", "prefixed", "--topic", own];
            secured.grant("late", &writing);
        }
        let prefix = ["--resource-pattern-type", "prefixed", "--transactional-id", "weirgate-"];
        secured
            .grant("late", &[&["--operation", "Write", "--operation", "Describe"][..], &prefix[..]].concat());
    })
    .await;
    gateway.until_ready().await;
    let (status, problem) = gateway.publish("ord_denied").await;
    assert_eq!((status, problem["code"].as_str()), (503, Some("log_unavailable")), "{problem}");

    change(|secured| secured.grant("late", &["--operation", "Write", "--topic", "orders.v1"])).await;
    let stored = || async { (gateway.publish("ord_allowed").await.0 == 201).then_some(()) };
    eventually("what is allowed is stored", stored).await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_certificate_is_refused_at_start() {
    let error = open("localhost:9093", Some(Path::new("/dev/null")), "weirgate", PASSWORD).unwrap_err();
    assert!(error.to_string().contains("security.tls.ca"), "{error}");
}
