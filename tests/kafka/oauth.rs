//! Gateways that come with tokens: what they do beyond a token's end, and what they say where they get none.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::task::spawn_blocking;

use crate::broker::{Cluster, free_port};
use crate::gateway::Gateway;
use crate::harness::waiting::eventually_within;
use crate::harness::{Process, client, order};
use crate::issuer::{AUDIENCE, ISSUER, Issuer, credentials, keys, now};

const SECRET: &str = "not-to-be-seen";
/// librdkafka asks for the next token after four fifths of this.
const LIFETIME: Duration = Duration::from_secs(40);
/// librdkafka asks again 10 s after it got no token.
const PATIENCE: Duration = Duration::from_secs(120);

/// One node that lets nobody in at its second listener without a token, and nobody stay beyond its end.
struct Guarded {
    address: String,
    _cluster: Cluster,
}

impl Guarded {
    async fn start() -> Self {
        spawn_blocking(Self::launch).await.unwrap()
    }

    fn launch() -> Self {
        let mut cluster = Cluster::prepare(1);
        let file = cluster.directory().join("keys.json");
        std::fs::write(&file, keys().to_string()).unwrap();
        let url = format!("file://{}", file.display());
        let address = format!("127.0.0.1:{}", free_port());
        let listener = format!(",SASL_PLAINTEXT://{address}");
        let package = "org.apache.kafka.common.security.oauthbearer";
        let settings = format!(
            "sasl.enabled.mechanisms=OAUTHBEARER\n\
             listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config={package}.OAuthBearerLoginModule required;\n\
             listener.name.sasl_plaintext.oauthbearer.sasl.server.callback.handler.class={package}.OAuthBearerValidatorCallbackHandler\n\
             sasl.oauthbearer.jwks.endpoint.url={url}\n\
             sasl.oauthbearer.expected.audience={AUDIENCE}\n\
             sasl.oauthbearer.expected.issuer={ISSUER}\n\
             connections.max.reauth.ms=3600000\n"
        );
        let change = |text: String| {
            text.replace(",CONTROLLER://", &format!("{listener},CONTROLLER://"))
                .replace("CONTROLLER:PLAINTEXT", "CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT")
                .replacen("\ncontroller.listener.names", &format!("{listener}\ncontroller.listener.names"), 1)
                + &settings
        };
        cluster.reconfigure(0, change, &[]);
        let may_ask = format!("org.apache.kafka.sasl.oauthbearer.allowed.urls={url}");
        cluster.start_node_with(0, &[&may_ask]);
        Self { address, _cluster: cluster }
    }
}

/// What a gateway is told to come here with tokens of this issuer; its secret lies in `directory`.
fn flags(address: &str, issuer: &Issuer, client: &str, directory: &Path) -> Vec<(String, String)> {
    let secret = directory.join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let properties = json!({
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": issuer.url,
        "sasl.oauthbearer.client.id": client,
        "sasl.oauthbearer.client.secret": { "file": secret },
    });
    let flag = |key: &str, value: String| (format!("log.{key}"), value);
    vec![
        flag("engine", "kafka".to_owned()),
        flag("kafka.brokers", format!("['{address}']")),
        flag("kafka.security", "{protocol: sasl_plaintext}".to_owned()),
        flag("kafka.properties", properties.to_string()),
    ]
}

fn set(flags: Vec<(String, String)>) -> Vec<String> {
    flags.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(all(has_kafka, feature = "oauthbearer")),
    ignore = "needs Java 17 and Maven, and the feature oauthbearer"
)]
async fn publishing_and_work_go_on_beyond_the_end_of_tokens() {
    let (guarded, directory) = (Guarded::start().await, tempfile::tempdir().unwrap());
    let issuer = Issuer::start(LIFETIME).await;
    issuer.know("weirgate", SECRET, AUDIENCE);
    let flags = flags(&guarded.address, &issuer, "weirgate", directory.path());
    let process = Process::start_with(directory.path(), "127.0.0.1:0", &set(flags)).await;
    let mut worker = process.socket().await;
    let ok = worker.ask(1, r#"{"id":1,"op":"subscribe","group":"inventory-sync","credit":1}"#).await;
    let (http, mut pace) = (client(), tokio::time::interval(Duration::from_millis(100)));
    let mut ends_at = None;
    let publish = async |order_id: &str| {
        let request = http.post(process.url("/v1/events")).bearer_auth(&process.token);
        let request = request.header("content-type", "application/json");
        request.body(order(order_id, "c-1")).send().await.unwrap().status()
    };
    for number in 0.. {
        pace.tick().await;
        let order_id = format!("ord_{number}");
        assert_eq!(publish(&order_id).await, 201);
        let delivery = worker.next_event().await;
        assert_eq!(delivery["event"]["data"]["orderId"], order_id.as_str());
        worker
            .send(&json!({"op": "ack", "sub": ok["sub"], "delivery": delivery["delivery"]}).to_string())
            .await;
        // All clients that publish and work have a token by now.
        let ends_at = ends_at.get_or_insert_with(|| issuer.granted().into_iter().max().unwrap());
        if now() > *ends_at + 2 {
            break;
        }
    }
    worker.close().await;
    // It was the tokens that let it go on.
    issuer.forget("weirgate", SECRET);
    let is_shut = async || (publish("ord_late").await != 201).then_some(());
    eventually_within(PATIENCE, "without a token nothing is stored", is_shut).await;
    assert_eq!(process.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    not(all(has_kafka, feature = "oauthbearer")),
    ignore = "needs Java 17 and Maven, and the feature oauthbearer"
)]
async fn whoever_gets_no_token_or_a_wrong_one_is_told_and_let_in_later() {
    let (guarded, directory) = (Guarded::start().await, tempfile::tempdir().unwrap());
    let issuer = Issuer::start(LIFETIME).await;
    issuer.know("stranger", SECRET, "somewhere-else");
    let start = |client: &str| Gateway::start(flags(&guarded.address, &issuer, client, directory.path()));
    let (unknown, stranger) = (start("weirgate").await, start("stranger").await);
    let says = async |gateway: &Gateway, words: &str| {
        let said = async || {
            let (status, body) = gateway.ready().await;
            (status == 503 && body["reasons"][0]["detail"].as_str()?.contains(words)).then_some(())
        };
        eventually_within(PATIENCE, format!("it says: {words}"), said).await;
        let (status, problem) = gateway.publish("ord_early").await;
        assert_eq!((status, problem["code"].as_str()), (503, Some("log_unavailable")), "{problem}");
    };
    says(&unknown, "gets no token").await;
    says(&stranger, "does not accept the gateway's credentials").await;
    assert!(issuer.refused() > 0);

    issuer.know("weirgate", SECRET, AUDIENCE);
    let is_ready = async || (unknown.ready().await.0 == 200).then_some(());
    eventually_within(PATIENCE, "it is let in", is_ready).await;
    assert_eq!(unknown.publish("ord_late").await.0, 201);
    unknown.stop().await;
    stranger.stop().await;
}

/// Ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(feature = "oauthbearer"), ignore = "needs the feature oauthbearer")]
async fn a_refused_secret_is_not_told() {
    let directory = tempfile::tempdir().unwrap();
    let issuer = Issuer::start(LIFETIME).await;
    let (port, log) = (free_port(), directory.path().join("log"));
    let flags = flags("127.0.0.1:1", &issuer, "weirgate", directory.path());
    let child = Command::new(env!("CARGO_BIN_EXE_weirgate"))
        .args(["dev", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(directory.path())
        .args(["--set", "http.metrics_listen=null", "--set", "telemetry.log=debug"])
        .args(set(flags).iter().flat_map(|flag| ["--set", flag]))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let running = Running(child);
    let logged = async || {
        let logged = std::fs::read_to_string(&log).unwrap();
        logged.contains("invalid_client").then_some(logged)
    };
    let logged = eventually_within(PATIENCE, "it tells what the issuer says", logged).await;
    for secret in [SECRET.to_owned(), credentials("weirgate", SECRET)] {
        assert!(!logged.contains(&secret), "{logged}");
    }
    drop(running);
}
