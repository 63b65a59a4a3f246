//! curl, Python and Node samples, each run to its end.

use std::process::Command;

use crate::gateway::Gateway;

/// Runs a sample and answers what it printed; fails when it fails.
fn run(program: &str, arguments: &[&str]) -> String {
    let gateway = Gateway::start();
    let output = Command::new("timeout")
        .args(["60", program])
        .args(arguments)
        .env("WEIRGATE_URL", &gateway.url)
        .env("WEIRGATE_TOKEN", &gateway.token)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
#[cfg_attr(not(has_curl), ignore = "needs curl")]
fn the_curl_sample_publishes_repeats_and_reads_back() {
    let text = run("sh", &["examples/clients/curl.sh"]);
    assert!(text.contains(r#""status":"accepted""#) && text.contains(r#""status":"duplicate""#), "{text}");
    assert_eq!(text.matches("ord_curl").count(), 1, "{text}");
}

#[test]
#[cfg_attr(not(has_python), ignore = "needs python3 with the package websockets")]
fn the_python_sample_publishes_and_works_in_a_group() {
    let text = run("python3", &["examples/clients/worker.py"]);
    assert!(
        text.contains("published") && text.contains("attempt 1") && text.contains("acknowledged"),
        "{text}"
    );
}

#[test]
#[cfg_attr(not(has_node), ignore = "needs Node 20 or later")]
fn the_node_sample_publishes_and_follows() {
    let text = run("node", &["--experimental-websocket", "examples/clients/follow.mjs"]);
    assert!(text.contains("published") && text.contains("received orders.v1"), "{text}");
}
