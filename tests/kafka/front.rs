//! `deploy/nginx.conf` in front of two gateways on three brokers, and the other files of `deploy/`.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use weirgate::config::{Config, Environment, Sources};

use crate::broker::Cluster;
use crate::harness::{Process, Socket, eventually, order};

/// nginx as a process of its own.
#[derive(Debug)]
struct Nginx {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Nginx {
    /// Starts it with the deployed file, on this machine's addresses.
    async fn start(gateways: [SocketAddr; 2]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = deployed("nginx.conf")
            .replace("/tmp/nginx", &format!("{}/nginx", directory.path().display()))
            .replace("/dev/stdout", "off")
            .replace("access_log off plain", "access_log off")
            .replace("listen 8080", &format!("listen {address}"))
            .replace("gateway-1:8080", &gateways[0].to_string())
            .replace("gateway-2:8080", &gateways[1].to_string());
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, text).unwrap();
        let child = Command::new("nginx")
            .args(["-e", "stderr", "-g", "daemon off; master_process off;", "-c"])
            .arg(file)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self { child, address, _directory: directory };
        eventually("nginx listens", || async { tokio::net::TcpStream::connect(address).await.ok() }).await;
        nginx
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
    let (client, token) = (reqwest::Client::new(), one.token.clone());

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

    // With one gateway dead the other has everything: nobody is sent to the dead one.
    one.kill();
    for number in 10..30 {
        assert_eq!(publish(&client, &nginx, &token, &format!("ord_{number}")).await, Some(201));
    }
    let mut socket = Socket::connect(nginx.address, Some(&token)).await;
    socket.ask(1, r#"{"id":1,"op":"subscribe","topics":["orders.v1"],"from":"latest"}"#).await;
    assert_eq!(publish(&client, &nginx, &token, "ord_last").await, Some(201));
    assert_eq!(socket.next_event().await["event"]["data"]["orderId"], "ord_last");
    drop((socket, sockets));
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
