//! Official clients of schema registries, each through a whole round trip; then events are judged by what it registered.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::gateway::Gateway;

const TOPIC: &str = "clients.ordered.v1";
/// Fetching takes a while on a slow network.
const FETCH_SECONDS_MAX: &str = "600";

/// Where the clients are installed, which happens once, and again when another version is asked for.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(install)
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/registry")
}

fn install() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("registry-clients");
    let files = ["package.json", "package-lock.json", ".npmrc", "requirements.txt"];
    let asked: Vec<u8> = files.iter().flat_map(|name| fs::read(scripts().join(name)).unwrap()).collect();
    let marker = target.join("installed");
    if fs::read(&marker).is_ok_and(|installed| installed == asked) {
        return target;
    }
    fs::create_dir_all(&target).unwrap();
    for name in files {
        fs::copy(scripts().join(name), target.join(name)).unwrap();
    }
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new("timeout");
        command.args([FETCH_SECONDS_MAX, program]).args(arguments).current_dir(&target);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&said));
    };
    run("npm", &["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--silent"]);
    run("python3", &["-m", "venv", "--clear", "venv"]);
    let pip = target.join("venv/bin/pip");
    let quiet = ["install", "-q", "--disable-pip-version-check", "-r", "requirements.txt"];
    run(pip.to_str().unwrap(), &quiet);
    fs::write(marker, asked).unwrap();
    target
}

async fn publish(gateway: &Gateway, data: &Value) -> (u16, Value) {
    let body = json!({"eventType": TOPIC, "source": "clients", "data": data}).to_string();
    let request =
        reqwest::Client::new().post(format!("{}/v1/events", gateway.url)).bearer_auth(&gateway.token);
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

/// Waits until the registry is read; the test's own time bounds it.
async fn ready(gateway: &Gateway) {
    let ready = async {
        while reqwest::get(format!("{}/readyz", gateway.url)).await.unwrap().status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), ready)
        .await
        .expect("the gateway is ready in time");
}

/// Runs a client's script against a gateway that judges events by its registry.
async fn round_trip(program: &str, script: &str) {
    let target = installed();
    let topics = format!("topics=[{{name: {TOPIC}, event_types: [{TOPIC}], partitions: 1}}]");
    let gateway = Gateway::start_with(&["schemas.store=embedded", &topics, "groups={}"]);
    ready(&gateway).await;
    let (status, refused) = publish(&gateway, &json!({"orderId": "ord_1"})).await;
    assert_eq!((status, &refused["code"]), (422, &json!("schema_missing")), "{refused}");

    let program = if program == "python" { target.join("venv/bin/python") } else { program.into() };
    let output = Command::new("timeout")
        .arg("120")
        .arg(program)
        .arg(scripts().join(script))
        .args([format!("{}/registry", gateway.url), gateway.token.clone(), TOPIC.to_owned()])
        .env("NODE_PATH", target.join("node_modules"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("round trip 1"), "{text}");

    let (status, stored) = publish(&gateway, &json!({"orderId": "ord_1"})).await;
    assert_eq!(status, 201, "{stored}");
    let (status, refused) = publish(&gateway, &json!({"orderId": 1})).await;
    assert_eq!((status, &refused["code"]), (422, &json!("schema_violation")), "{refused}");
}

#[tokio::test]
#[cfg_attr(not(has_interop), ignore = "needs npm, and Python with venv")]
async fn confluents_client_for_python_registers_writes_and_reads() {
    round_trip("python", "round_trip.py").await;
}

#[tokio::test]
#[cfg_attr(not(has_interop), ignore = "needs npm, and Python with venv")]
async fn confluents_client_for_javascript_registers_writes_and_reads() {
    round_trip("node", "official.cjs").await;
}

#[tokio::test]
#[cfg_attr(not(has_interop), ignore = "needs npm, and Python with venv")]
async fn kafkajss_client_registers_writes_and_reads() {
    round_trip("node", "kafkajs.cjs").await;
}
