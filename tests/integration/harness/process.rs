//! The real binary as a process of its own, to be killed.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStdout;

use super::waiting::{eventually_within, in_time};
use super::{DRAIN_MAX, READY_MAX, Socket};

/// `weirgate dev` on a data directory.
#[derive(Debug)]
pub(crate) struct Process {
    running: Running,
    /// As it says itself: `http` or `https`.
    pub(crate) scheme: String,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

/// A child that does not outlive its owner.
#[derive(Debug)]
struct Running(Child);

/// What `dev` prints once it is ready.
struct Welcome {
    scheme: String,
    address: SocketAddr,
    token: String,
}

impl Process {
    /// Starts the gateway with these keys set, as `http.tls.key=key.pem`, and waits until it says that it is ready.
    /// `listen` may name port 0.
    pub(crate) async fn start_with(data_directory: &Path, listen: &str, keys: &[String]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_weirgate"))
            .args(["dev", "--listen", listen, "--set", "http.metrics_listen=null"])
            .args(["--set", "http.drain_delay=0ms", "--set", "socket.drain_window=2s", "--data-dir"])
            .arg(data_directory)
            .args(keys.iter().flat_map(|key| ["--set", key]))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut running = Running(child);
        let output = ChildStdout::from_std(running.0.stdout.take().unwrap()).unwrap();
        let Welcome { scheme, address, token } =
            in_time(READY_MAX, "the gateway's start", read_welcome(output)).await;
        Self { running, scheme, address, token }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(crate) async fn socket(&self) -> Socket {
        Socket::connect(self.address, Some(&self.token)).await
    }

    /// kill -9.
    pub(crate) fn kill(self) {
        drop(self.running);
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal("-HUP");
    }

    /// SIGTERM; answers the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        self.signal("-TERM");
        let child = &mut self.running.0;
        eventually_within(DRAIN_MAX, "the gateway ends", async || child.try_wait().unwrap()).await.code()
    }

    fn signal(&self, signal: &str) {
        let told = Command::new("kill").args([signal, &self.running.0.id().to_string()]).status().unwrap();
        assert!(told.success(), "the gateway is gone already");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The address and the token that `dev` prints, once it is ready.
async fn read_welcome(output: ChildStdout) -> Welcome {
    let (mut address, mut token) = (None, None);
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
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
    let (scheme, address) = address.expect("an address is printed");
    Welcome { scheme, address, token: token.expect("a token is printed") }
}
