//! What stands between a gateway and a registry: hands requests on, counts them, and goes away when told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::harness::client;

/// Hands requests without bodies on to another server.
#[derive(Debug)]
pub(crate) struct Forwarder {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: reqwest::Client,
    is_away: Mutex<bool>,
    paths: Mutex<Vec<String>>,
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Forwarder {
    /// Before the server at this URL.
    pub(crate) async fn start(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_away, paths) = (Mutex::new(false), Mutex::default());
        let shared = Arc::new(Shared { upstream, client: client(), is_away, paths });
        let forwarding = Arc::clone(&shared);
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&forwarding).forward(stream));
            }
        });
        Self { address, shared, running }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Closes connections without an answer, or no longer does.
    pub(crate) fn go(&self, is_away: bool) {
        *self.shared.is_away.lock().unwrap() = is_away;
    }

    /// How often a path was asked for that contains this.
    pub(crate) fn asked(&self, part: &str) -> usize {
        self.shared.paths.lock().unwrap().iter().filter(|path| path.contains(part)).count()
    }
}

impl Shared {
    async fn forward(self: Arc<Self>, mut stream: TcpStream) {
        let mut lines = BufReader::new(&mut stream).lines();
        let mut path = String::new();
        let mut headers = Vec::new();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some((name, value)) if name != "host" => headers.push((name.to_owned(), value.to_owned())),
                Some(_) => {}
                None => line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path),
            }
        }
        self.paths.lock().unwrap().push(path.clone());
        if *self.is_away.lock().unwrap() {
            return;
        }
        let mut request = self.client.get(format!("{}{path}", self.upstream));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.bytes().await.unwrap();
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        // A client that went away wants no answer.
        let written = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        written.unwrap_or_default();
    }
}
