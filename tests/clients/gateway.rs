//! `weirgate dev` on a free port and a directory of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A running gateway; ends with this value.
#[derive(Debug)]
pub(crate) struct Gateway {
    child: Child,
    pub(crate) url: String,
    pub(crate) token: String,
    _directory: TempDir,
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
        for set in sets {
            command.args(["--set", set]);
        }
        let mut child = command
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
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
        Self { child, url: url.unwrap(), token: token.unwrap(), _directory: directory }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
