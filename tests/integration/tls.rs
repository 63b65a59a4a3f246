//! The commands of clients against a gateway that serves TLS.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{DEADLINE, Process, order};

/// A gateway for `localhost` in this directory, its certificate in `cert.pem`.
pub(crate) async fn gateway(directory: &Path) -> Process {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("cert.pem"), pair.cert.pem()).unwrap();
    std::fs::write(directory.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    let key = |name: &str, file: &str| format!("http.tls.{name}={}", directory.join(file).display());
    let keys = [key("certificate", "cert.pem"), key("key", "key.pem")];
    Process::start_with(&directory.join("data"), "127.0.0.1:0", &keys).await
}

/// Runs a command against the gateway, its input in `events.ndjson`.
pub(crate) async fn run(gateway: &Process, directory: &Path, scheme: &str, arguments: &[&str]) -> Output {
    let url = format!("{scheme}://localhost:{}", gateway.address.port());
    let mut command = Command::new(env!("CARGO_BIN_EXE_weirgate"));
    command.args(arguments).args(["--url", &url, "--token", &gateway.token]);
    command.current_dir(directory).env_remove("WEIRGATE_CA").kill_on_drop(true);
    tokio::time::timeout(DEADLINE * 2, command.output()).await.expect("the command ends").unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn publish_and_tail_trust_whom_they_are_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let gateway = gateway(directory).await;
    std::fs::write(directory.join("events.ndjson"), order("ord_1", "c-1")).unwrap();
    let published =
        run(&gateway, directory, "https", &["publish", "events.ndjson", "--ca", "cert.pem"]).await;
    assert!(published.status.success(), "{}", text(&published.stderr));
    assert!(text(&published.stdout).starts_with("1 stored"), "{}", text(&published.stdout));
    for scheme in ["https", "wss"] {
        let tail = ["tail", "orders.v1", "--from", "earliest", "--count", "1", "--json", "--ca", "cert.pem"];
        let tailed = run(&gateway, directory, scheme, &tail).await;
        assert!(tailed.status.success(), "{}", text(&tailed.stderr));
        let event: Value = serde_json::from_slice(&tailed.stdout).unwrap();
        assert_eq!(event["event"]["data"]["orderId"], json!("ord_1"));
    }
    assert_eq!(gateway.terminate().await, Some(0));
}

#[tokio::test]
async fn a_gateway_that_nobody_vouches_for_gets_no_credential() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let gateway = gateway(directory).await;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("other.pem"), other.cert.pem()).unwrap();
    assert_eq!(gateway.scheme, "https", "what it says to paste");
    std::fs::write(directory.join("events.ndjson"), order("ord_1", "c-1")).unwrap();
    for trust in [&[][..], &["--ca", "other.pem"]] {
        for (scheme, command) in [("wss", ["tail", "orders.v1"]), ("https", ["publish", "events.ndjson"])] {
            let refused = run(&gateway, directory, scheme, &[&command, trust].concat()).await;
            assert_eq!(refused.status.code(), Some(1));
            let told = text(&refused.stderr);
            assert!(told.contains("cannot be trusted; --ca names who signs"), "{told}");
            assert!(!told.contains("trying again"), "{told}");
        }
    }
    let plain = run(&gateway, directory, "https", &["tail", "orders.v1", "--ca", "key.pem"]).await;
    assert!(text(&plain.stderr).contains("it holds no certificate"), "{}", text(&plain.stderr));
    assert_eq!(gateway.terminate().await, Some(0));
}
