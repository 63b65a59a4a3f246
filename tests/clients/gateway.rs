//! `weirgate dev` on a free port and a directory of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::engine;

/// A gateway is ready sooner, on a busy machine too.
const READY_MAX: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where it writes what it says, in its directory.
const LOG: &str = "stderr";

/// A running gateway; ends with this value.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pub(crate) url: String,
    pub(crate) token: String,
    directory: TempDir,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(sets: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_weirgate"));
        command.args(["dev", "--listen", "127.0.0.1:0", "--set", "http.metrics_listen=null", "--data-dir"]);
        command.arg(directory.path());
        let engine = engine::sets();
        for set in engine.iter().map(String::as_str).chain(sets.iter().copied()) {
            command.args(["--set", set]);
        }
        let mut child = command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(directory.path().join(LOG)).unwrap())
            .spawn()
            .unwrap();
        let (mut url, mut token) = (None, None);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let line = line.trim();
            if let Some(rest) = line.strip_prefix("Weirgate runs on ") {
                url = rest.split(". ").next().map(str::to_owned);
            }
            if let Some(rest) = line.strip_prefix("export WEIRGATE_TOKEN='") {
                token = Some(rest.trim_end_matches('\'').to_owned());
            }
            if line.contains("Stop: Ctrl-C") {
                break;
            }
        }
        Self { child, url: url.unwrap(), token: token.unwrap(), directory }
    }

    /// What it said so far, for the words of a failure.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join(LOG)).unwrap()
    }

    /// Waits until it can do everything; it serves a little before its registry is read.
    pub(crate) async fn ready(&self) {
        // One connection: who opens a new one for each look is told to come less often.
        let client = reqwest::Client::new();
        let ready = async {
            let mut looks = tokio::time::interval(LOOK_EVERY);
            loop {
                looks.tick().await;
                let answer = client.get(format!("{}/readyz", self.url)).send().await;
                if answer.is_ok_and(|answer| answer.status() == 200) {
                    return;
                }
            }
        };
        tokio::time::timeout(READY_MAX, ready).await.expect("the gateway is ready in time");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
