//! `deploy/nginx.conf` in front of two gateways on three brokers, and the other files of `deploy/`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use weirgate::config::{Config, Environment, Sources};

use crate::broker::{Cluster, free_port};
use crate::harness::{Process, Socket, client, eventually, order};

/// nginx as a process of its own.
#[derive(Debug)]
struct Nginx {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Nginx {
    /// Starts it with the deployed file, on this machine's addresses.
    async fn start(gateways: [SocketAddr; 2]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let text = deployed("nginx.conf")
            .replace("/tmp/nginx", &format!("{}/nginx", directory.path().display()))
            .replace("/dev/stdout", "off")
            .replace("access_log off plain", "access_log off")
            .replace("listen 8080", &format!("listen {address}"))
            // For addresses there is nothing to resolve, and not every nginx could.
            .replace(" resolve;", ";")
            .replace("gateway-1:8080", &gateways[0].to_string())
            .replace("gateway-2:8080", &gateways[1].to_string());
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let errors = std::fs::File::create(directory.path().join("errors")).unwrap();
        let child = Command::new("nginx")
            .args(["-e", "stderr", "-g", "daemon off; master_process off;", "-c"])
            .arg(file)
            .stdin(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap();
        let nginx = Self { child, address, directory };
        eventually("nginx listens", || async { TcpStream::connect(address).await.ok() }).await;
        nginx
    }

    /// What it wrote to standard error so far.
    fn errors(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("errors")).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn deployed(name: &str) -> String {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    std::fs::read_to_string(deploy.join(name)).unwrap()
}

/// Publishes through nginx; answers the status, where there was an answer.
async fn publish(client: &reqwest::Client, nginx: &Nginx, token: &str, id: &str) -> Option<u16> {
    let request = client.post(format!("http://{}/v1/events", nginx.address)).bearer_auth(token);
    let request = request.header("content-type", "application/json").body(order(id, "c-1"));
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

/// Publishes more than 9 MiB in one stream, each line when the one before it has its result: nginx does not wait for a
/// gateway that takes a request slower than it comes once the answer has begun.
async fn stream_large_orders(nginx: &Nginx, token: &str) {
    let padding = " ".repeat(60 << 10);
    let line = order("ord_large", "c-2").replace(r#""data":"#, &format!(r#""data":{padding}"#)) + "\n";
    let lines = (10 << 20) / line.len();
    let (reader, mut writer) = TcpStream::connect(nginx.address).await.unwrap().into_split();
    let mut answer = BufReader::new(reader).lines();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
        nginx.address
    );
    writer.write_all(head.as_bytes()).await.unwrap();
    for number in 0..lines {
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        writer.write_all(chunk.as_bytes()).await.unwrap();
        let result = loop {
            let read = timeout(Duration::from_secs(60), answer.next_line()).await;
            let text = read.unwrap_or_else(|_| panic!("no result of line {number}")).unwrap();
            let text = text.unwrap_or_else(|| panic!("the answer ends before line {number}"));
            // Between results lie the answer's head and the sizes of its chunks.
            if text.starts_with('{') {
                break text;
            }
        };
        assert!(result.contains("\"offset\""), "{result}");
    }
    writer.write_all(b"0\r\n\r\n").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(not(all(has_kafka, has_nginx)), ignore = "needs Java 17 and Maven, and nginx")]
async fn nginx_carries_requests_and_sockets_to_either_gateway() {
    let cluster = spawn_blocking(|| Cluster::start(3)).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let keys = ["log.engine=kafka".to_owned(), format!("log.kafka.brokers={}", json!(cluster.addresses()))];
    // One directory: they share the key that signs the token.
    let one = Process::start_with(directory.path(), "127.0.0.1:0", &keys).await;
    let other = Process::start_with(directory.path(), "127.0.0.1:0", &keys).await;
    let nginx = Nginx::start([one.address, other.address]).await;
    let (client, token) = (client(), one.token.clone());

    let mut sockets = Vec::new();
    for _ in 0..4 {
        let mut socket = Socket::connect(nginx.address, Some(&token)).await;
        socket.ask(1, r#"{"id":1,"op":"subscribe","topics":["orders.v1"],"from":"latest"}"#).await;
        sockets.push(socket);
    }
    for number in 0..10 {
        assert_eq!(publish(&client, &nginx, &token, &format!("ord_{number}")).await, Some(201));
    }
    // Whichever gateway has the socket or took the order, each sees all of them in their order.
    for socket in &mut sockets {
        for number in 0..10 {
            assert_eq!(socket.next_event().await["event"]["data"]["orderId"], format!("ord_{number}"));
        }
    }
    // A page that waits is not cut off, and a stream comes as it goes.
    let page = format!("http://{}/v1/topics/orders.v1/events?from=earliest&limit=100", nginx.address);
    let page = client.get(page).bearer_auth(&token).send().await.unwrap().text().await.unwrap();
    assert_eq!(page.matches("\"orderId\"").count(), 10, "{page}");

    drop(sockets);

    // A stream has no limit of all it holds.
    stream_large_orders(&nginx, &token).await;

    // With one gateway dead the other has everything: nobody is sent to the dead one.
    one.kill();
    for _ in 0..4 {
        let ready = format!("http://{}/readyz?ticket=not-to-be-seen", nginx.address);
        assert_eq!(client.get(ready).send().await.unwrap().status(), 200);
    }
    assert!(!nginx.errors().contains("not-to-be-seen"), "{}", nginx.errors());
    for number in 10..30 {
        assert_eq!(publish(&client, &nginx, &token, &format!("ord_{number}")).await, Some(201));
    }
    let mut socket = Socket::connect(nginx.address, Some(&token)).await;
    socket.ask(1, r#"{"id":1,"op":"subscribe","topics":["orders.v1"],"from":"latest"}"#).await;
    assert_eq!(publish(&client, &nginx, &token, "ord_last").await, Some(201));
    assert_eq!(socket.next_event().await["event"]["data"]["orderId"], "ord_last");
    drop(socket);
    assert_eq!(other.terminate().await, Some(0));
}

#[test]
fn the_deployed_configuration_holds() {
    let environment = Environment::new([("WEIRGATE__NODE".to_owned(), "gateway-1".to_owned())]);
    let read =
        Config::read(&Sources { file: Some(deployed("gateway.yaml")), environment, ..Sources::default() });
    let config = read.unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    // Compose names the brokers, the gateways and nginx as the other files do.
    let compose = deployed("compose.yaml");
    for name in ["kafka-1", "kafka-2", "kafka-3", "gateway-1", "gateway-2"] {
        assert!(compose.contains(&format!("\n  {name}:\n")), "{name}");
    }
    assert!(compose.contains("ipv4_address: 172.30.0.10") && config.shown.contains("172.30.0.10"));
}
