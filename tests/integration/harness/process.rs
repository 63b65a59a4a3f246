//! The real binary as a process of its own, to be killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Socket;

/// `weirgate dev` on a data directory.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// As it says itself: `http` or `https`.
    pub(crate) scheme: String,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Process {
    /// Starts the gateway with these keys set, as `http.tls.key=key.pem`, and waits until it says that it is ready.
    /// `listen` may name port 0.
    pub(crate) async fn start_with(data_directory: &Path, listen: &str, keys: &[String]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_weirgate"))
            .args(["dev", "--listen", listen, "--set", "http.metrics_listen=null"])
            .args(["--set", "http.drain_delay=0ms", "--set", "socket.drain_window=2s", "--data-dir"])
            .arg(data_directory)
            .args(keys.iter().flat_map(|key| ["--set", key]))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let welcome = tokio::task::spawn_blocking(move || read_welcome(stdout));
        let ((scheme, address), token) = welcome.await.unwrap();
        Self { child, scheme, address, token }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(crate) async fn socket(&self) -> Socket {
        Socket::connect(self.address, Some(&self.token)).await
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; answers the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        let mut child = std::mem::replace(&mut self.child, Command::new("true").spawn().unwrap());
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap().code());
        tokio::time::timeout(Duration::from_secs(35), ended).await.expect("the gateway ends in time").unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The address and the token that `dev` prints, once it is ready.
fn read_welcome(stdout: impl std::io::Read + Send + 'static) -> ((String, SocketAddr), String) {
    let (mut address, mut token) = (None, None);
    let mut lines = BufReader::new(stdout).lines();
    for line in &mut lines {
        let line = line.unwrap();
        if let Some(rest) = line.trim().strip_prefix("Weirgate runs on ") {
            let (scheme, rest) = rest.split_once("://").unwrap();
            let (host, _) = rest.split_once(". ").unwrap();
            address = Some((scheme.to_owned(), host.parse().unwrap()));
        }
        if let Some(rest) = line.trim().strip_prefix("export WEIRGATE_TOKEN='") {
            token = Some(rest.trim_end_matches('\'').to_owned());
        }
        if line.contains("Stop: Ctrl-C") {
            break;
        }
    }
    (address.expect("an address is printed"), token.expect("a token is printed"))
}
